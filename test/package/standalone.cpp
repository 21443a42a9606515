// A program of an Asio without Boost: a channel, a timeout and a socket in one select.
#include <sluice.hpp>

#include <asio.hpp>

#include <cstdio>
#include <string>
#include <system_error>

using namespace std::chrono_literals;
using asio::ip::tcp;

static sluice::task<> echo(tcp::socket socket) {
  char data[64];
  for (;;) {
    const auto [e, n] =
        co_await socket.async_read_some(asio::buffer(data), asio::as_tuple(sluice::use_task));
    if (e) co_return;
    co_await asio::async_write(socket, asio::buffer(data, n), asio::deferred);
  }
}

static sluice::task<std::string> ask(tcp::endpoint where, sluice::receiver<int> quiet) {
  tcp::socket socket(co_await asio::this_coro::executor);
  co_await socket.async_connect(where, sluice::use_task);
  co_await asio::async_write(socket, asio::buffer("hello", 5), asio::deferred);
  std::string answer(5, ' ');
  auto r = co_await sluice::select(quiet.receive(),
                                   asio::async_read(socket, asio::buffer(answer), asio::deferred),
                                   sluice::sleep_for(1min));
  if (r.index() != 1) throw std::system_error(std::make_error_code(std::errc::timed_out));
  co_return answer;
}

int main() {
  asio::io_context io;
  tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  const auto quiet = sluice::make_channel<int>();
  std::string answer;
  std::error_code timed_out;
  sluice::go(io, [&]() -> sluice::task<> {
    tcp::socket accepted = co_await acceptor.async_accept(asio::deferred);
    sluice::go(echo, std::move(accepted));
  });
  sluice::go(io, [&]() -> sluice::task<> {
    answer = co_await ask(acceptor.local_endpoint(), quiet);
    try {
      static_cast<void>(co_await sluice::timeout(quiet.receive(), 1ms));
    } catch (const sluice::system_error& e) {
      timed_out = e.code();
    }
    io.stop();
  });
  io.run();
  std::printf("%s, %s\n", answer.c_str(), timed_out.message().c_str());
  return answer == "hello" && timed_out == asio::error::timed_out ? 0 : 1;
}
