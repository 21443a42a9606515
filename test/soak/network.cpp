#include "lap.hpp"

#include <array>
#include <memory>

namespace sluice_test::soak {

namespace {

using asio::ip::tcp;

task<> echo(tcp::socket socket) {
  std::array<char, 512> data;
  for (;;) {
    const std::size_t n =
        co_await sluice::timeout(socket.async_read_some(asio::buffer(data), asio::deferred), 20ms);
    co_await asio::async_write(socket, asio::buffer(data, n), asio::deferred);
  }
}

/// Connects, talks, and leaves: politely, in the middle of an answer, or with a reset.
task<> talk(lap& l, tcp::endpoint to, dice d) {
  while (l.goes_on()) {
    tcp::socket socket(l.io);
    try {
      co_await socket.async_connect(to, asio::deferred);
      for (auto n = d.below(6); n != 0; --n) {
        std::string said(1 + d.below(300), static_cast<char>('a' + n));
        co_await asio::async_write(socket, asio::buffer(said), asio::deferred);
        std::string heard(said.size(), ' ');
        if (d.below(8) == 0) break;
        if (d.below(2) == 0)
          co_await sluice::timeout(asio::async_read(socket, asio::buffer(heard), asio::deferred),
                                   1s);
        else
          co_await asio::async_read(socket, asio::buffer(heard), asio::deferred);
        if (heard != said) wrong("an echo was another");
        l.done();
      }
      if (d.below(8) == 0) socket.set_option(asio::socket_base::linger(true, 0));
    } catch (const sluice::system_error& x) {
      // The server ends with the lap, and its acceptor with it, maybe before this one is told.
      if (x.code() != asio::error::connection_refused || l.goes_on())
        lap::check(std::current_exception());
    } catch (...) {
      lap::check(std::current_exception());
    }
  }
}

}  // namespace

std::function<void()> start_network(lap& l) {
  const auto acceptor =
      std::make_shared<tcp::acceptor>(l.io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  l.start([&l, acceptor]() -> task<> {
    sluice::serve_options options;
    options.grace = 5ms;
    options.report = [](const std::exception_ptr& e) { lap::check(e); };
    co_await sluice::serve(*acceptor, options, echo);
    l.done();
  });
  for (int i = 0; i < 4; ++i)
    l.start([&l, to = acceptor->local_endpoint(), d = l.some_dice()] { return talk(l, to, d); });
  return [] {};
}

}  // namespace sluice_test::soak
