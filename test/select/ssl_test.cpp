// Selects over an SSL stream, whose operations are composed of others: the goroutine's strand keeps
// them apart on every number of threads.
#include "helpers.hpp"

#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <string>

namespace {

using namespace sluice_test;

using ssl_stream = asio::ssl::stream<tcp::socket&>;

/// Without certificates: who the peer is does not matter here.
asio::ssl::context anonymous_context() {
  asio::ssl::context c(asio::ssl::context::tlsv12);
  SSL_CTX_set_cipher_list(c.native_handle(), "aNULL:@SECLEVEL=0");
  return c;
}

task<> echo(ssl_stream& stream, std::size_t messages) {
  co_await stream.async_handshake(asio::ssl::stream_base::server, asio::deferred);
  const auto quiet = make_channel<int>();
  std::string data(100, ' ');
  for (std::size_t i = 0; i < messages; ++i) {
    auto r = co_await select(quiet.receive(),
                             asio::async_read(stream, asio::buffer(data), asio::deferred));
    if (r.index() != 1) co_return;
    co_await asio::async_write(stream, asio::buffer(data), asio::deferred);
  }
}

/// Writes each message in one goroutine's select, and reads its echo in the same one's next.
task<std::size_t> ask(ssl_stream& stream, std::size_t messages) {
  co_await stream.async_handshake(asio::ssl::stream_base::client, asio::deferred);
  const auto quiet = make_channel<int>();
  std::size_t right = 0;
  for (std::size_t i = 0; i < messages; ++i) {
    std::string sent(100, static_cast<char>('a' + i % 26));
    std::string got(100, ' ');
    co_await select(asio::async_write(stream, asio::buffer(sent), asio::deferred), quiet.receive(),
                    sluice::sleep_for(1h));
    co_await select(asio::async_read(stream, asio::buffer(got), asio::deferred), quiet.receive(),
                    sluice::sleep_for(1h));
    right += sent == got;
  }
  co_return right;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_select_over_an_ssl_stream)

BOOST_AUTO_TEST_CASE(reads_and_writes_every_message_on_any_number_of_threads) {
  const watchdog dog;
  auto context = anonymous_context();
  for (const int threads : {1, 2, 4}) {
    asio::io_context io;
    socket_pair sockets(io);
    ssl_stream near(sockets.near, context);
    ssl_stream far(sockets.far, context);
    const std::size_t messages = rounds(500);
    std::size_t right = 0;
    sluice::go(io, echo(far, messages));
    sluice::go(io, [&]() -> task<> { right = co_await ask(near, messages); });
    run(io, threads);
    BOOST_TEST(right == messages);
  }
}

// Beast declares the functions of its stream in Asio's older idiom.
BOOST_AUTO_TEST_CASE(takes_use_task_for_a_stream_of_beast) {
  using stream_of_beast = boost::beast::ssl_stream<tcp::socket&>;
  const watchdog dog;
  auto context = anonymous_context();
  asio::io_context io;
  socket_pair sockets(io);
  std::string got(5, ' ');
  std::size_t first = 99;
  error_code shut = aborted;
  sluice::go(io, [&]() -> task<> {
    stream_of_beast far(sockets.far, context);
    co_await far.async_handshake(asio::ssl::stream_base::server, sluice::use_task);
    co_await asio::async_write(far, asio::buffer("hello", 5), asio::deferred);
    shut = co_await error_of(far.async_shutdown(sluice::use_task));
  });
  sluice::go(io, [&]() -> task<> {
    stream_of_beast near(sockets.near, context);
    co_await near.async_handshake(asio::ssl::stream_base::client, sluice::use_task);
    const auto quiet = make_channel<int>();
    auto r =
        co_await select(near.async_read_some(asio::buffer(got), sluice::use_task), quiet.receive());
    first = r.index();
    co_await near.async_shutdown(sluice::use_task);
  });
  run(io, 2);
  BOOST_TEST(first == 0U);
  BOOST_TEST(got == "hello");
  BOOST_TEST(!shut);
}

BOOST_AUTO_TEST_SUITE_END()
