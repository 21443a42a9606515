#pragma once

#include "../names.hpp"

#include <sluice/serve.hpp>

#include <boost/asio.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <functional>
#include <utility>

// A server made with `serve`, whose clients are a part of the test.

namespace sluice_test {

struct outcome {
  bool complete = false;
  error_code error;
  sluice::serve_result result;

  [[nodiscard]] auto handler() {
    return [this](error_code e, sluice::serve_result r) {
      complete = true;
      error = e;
      result = r;
    };
  }
};

struct server_on_loopback {
  asio::io_context io;
  tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
  asio::cancellation_signal stop;
  sluice::serve_options options;
  outcome end;

  template <class Handler, class... Refuse>
  void serve(Handler handler, Refuse... refuse) {
    sluice::serve(acceptor, options, handler,
                  refuse...)(asio::bind_cancellation_slot(stop.slot(), end.handler()));
  }
  /// A client, connected.
  tcp::socket connect() {
    tcp::socket s(io);
    s.connect(acceptor.local_endpoint());
    return s;
  }
  void run_until(const std::function<bool()>& done) {
    const auto limit = sluice::clock::now() + 60s;
    while (!done() && sluice::clock::now() < limit) io.run_one_for(100ms);
    BOOST_REQUIRE(done());
  }
  void run_to_the_end() {
    io.run_for(60s);
    BOOST_REQUIRE(end.complete);
  }
};

/// Waits until the client has closed.
template <class Socket>
sluice::task<> until_closed(Socket socket) {
  char byte;
  const auto read =
      co_await socket.async_read_some(asio::buffer(&byte, 1), asio::as_tuple(asio::deferred));
  static_cast<void>(read);
}

}  // namespace sluice_test
