#include <sluice/peer_watch.hpp>

#include <sluice/select.hpp>

#include "serve/helpers.hpp"

#include <boost/asio.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

// Contexts that end when the peer of a socket has gone.

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(peer_watches)

BOOST_AUTO_TEST_CASE(a_peer_that_has_gone_ends_the_context_of_its_watch) {
  for (const bool reset : {false, true}) {
    for (const bool something_unread : {false, true}) {
      server_on_loopback s;
      bool watching = false, ended = false;
      s.serve([&](tcp::socket socket, sluice::context ctx) -> sluice::task<> {
        const auto strand = co_await asio::this_coro::executor;
        const sluice::peer_watch peer(strand, ctx, socket, 1ms);
        watching = true;
        co_await peer.ctx().done();
        ended = true;
      });
      auto client = s.connect();
      if (something_unread) client.write_some(asio::buffer("x", 1));
      s.run_until([&] { return watching; });
      s.io.run_for(20ms);
      BOOST_TEST(!ended);
      if (reset) client.set_option(asio::socket_base::linger(true, 0));
      client.close();
      s.run_until([&] { return ended; });
      s.stop.emit(asio::cancellation_type::total);
      s.run_to_the_end();
    }
  }
}

BOOST_AUTO_TEST_CASE(a_peer_that_has_ended_its_stream_may_listen_for_the_time_given) {
  server_on_loopback s;
  bool ended = false, watching = false;
  s.serve([&](tcp::socket socket, sluice::context ctx) -> sluice::task<> {
    const auto strand = co_await asio::this_coro::executor;
    const sluice::peer_watch peer(strand, ctx, socket, 1h);
    watching = true;
    ended = (co_await sluice::select(peer.ctx().done(), sluice::sleep_for(50ms))).index() == 0;
    socket.write_some(asio::buffer("answer", 6));
  });
  auto client = s.connect();
  client.shutdown(tcp::socket::shutdown_send);
  s.run_until([&] { return watching; });
  s.stop.emit(asio::cancellation_type::total);
  s.run_to_the_end();
  BOOST_TEST(!ended);
  char text[8];
  error_code e;
  BOOST_TEST(asio::read(client, asio::buffer(text), e) == 6u);
}

namespace {

/// A socket whose wait lasts until it is cancelled, and which notes whether it is touched after its
/// end.
class fragile_socket {
 public:
  struct notes {
    bool waiting = false, cancelled = false, gone = false, touched_when_gone = false;
    std::function<void()> complete;
  };

  fragile_socket(asio::io_context& io, std::shared_ptr<notes> n) : io_(io), notes_(std::move(n)) {}
  fragile_socket(const fragile_socket&) = delete;
  fragile_socket& operator=(const fragile_socket&) = delete;
  ~fragile_socket() {
    notes_->gone = true;
    if (notes_->complete) std::exchange(notes_->complete, nullptr)();
  }

  [[nodiscard]] static int native_handle() { return -1; }

  template <class Token>
  auto async_wait(asio::socket_base::wait_type, Token&& token) {
    return asio::async_initiate<Token, void(error_code)>(
        [](auto handler, asio::io_context* io, std::shared_ptr<notes> n) {
          auto slot = asio::get_associated_cancellation_slot(handler);
          const auto where = asio::get_associated_executor(handler, io->get_executor());
          const auto kept = std::make_shared<decltype(handler)>(std::move(handler));
          n->complete = [kept, where] {
            asio::post(where, [kept] { (*kept)(asio::error::operation_aborted); });
          };
          n->waiting = true;
          if (slot.is_connected())
            slot.assign([n](asio::cancellation_type) {
              n->cancelled = true;
              n->touched_when_gone = n->touched_when_gone || n->gone;
              if (n->complete) std::exchange(n->complete, nullptr)();
            });
        },
        token, &io_, notes_);
  }

 private:
  asio::io_context& io_;
  const std::shared_ptr<notes> notes_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_watch_that_has_ended_does_not_touch_its_socket) {
  for (const bool cancelled_before : {false, true}) {
    asio::io_context io;
    const auto notes = std::make_shared<fragile_socket::notes>();
    const auto parent = sluice::with_cancel(sluice::context::background());
    const auto work = [&]() -> sluice::task<> {
      const auto strand = co_await asio::this_coro::executor;
      std::optional<fragile_socket> socket(std::in_place, io, notes);
      std::optional<sluice::peer_watch> peer(std::in_place, strand, parent.ctx, *socket, 1h);
      while (!notes->waiting) co_await sluice::sleep_for(1ms);
      if (cancelled_before) parent.cancel();
      peer.reset();
      socket.reset();
      co_await sluice::sleep_for(10ms);
    };
    sluice::go(io, work);
    io.run_for(60s);
    BOOST_TEST(notes->cancelled);
    BOOST_TEST(!notes->touched_when_gone);
    BOOST_TEST(io.stopped());
  }
}

BOOST_AUTO_TEST_CASE(a_watch_goes_with_its_context) {
  std::optional<asio::io_context> io(std::in_place);
  auto acceptor =
      std::make_unique<tcp::acceptor>(*io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  outcome end;
  bool watching = false, past = false;
  sluice::serve(*acceptor, sluice::serve_options(),
                [&](tcp::socket socket, sluice::context ctx) -> sluice::task<> {
                  const auto strand = co_await asio::this_coro::executor;
                  const sluice::peer_watch peer(strand, ctx, socket, 1h);
                  watching = true;
                  co_await peer.ctx().done();
                  past = true;
                })(end.handler());
  tcp::socket client(*io);
  client.connect(acceptor->local_endpoint());
  while (!watching) io->run_one();
  client.close();
  acceptor.reset();
  io.reset();
  BOOST_TEST(!past);
}

BOOST_AUTO_TEST_SUITE_END()
