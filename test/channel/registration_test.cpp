// A receiver that looks and then parks, while what it waits for comes from another thread.
#include <sluice/channel.hpp>
#include <sluice/go.hpp>

#include "support.hpp"
#include "sync_helpers.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <optional>

namespace {

using namespace sluice_test;

/// `run` has a watchdog of its own, which a short round does not repay.
void run_out(asio::io_context& io) {
  io.restart();
  io.run();
}

/// Whether every receiver ends as `right` says, each beside `disturb` on another thread.
template <class Disturb, class Right>
bool every_receiver_ends(Disturb disturb, Right right) {
  const watchdog dog;
  asio::io_context here;
  asio::io_context there;
  channel<int> ch;
  std::optional<std::optional<int>> got;
  std::size_t ended = 0;
  const std::size_t n = duel::fight(
      rounds(20'000),
      [&] {
        ch = make_channel<int>();
        got.reset();
      },
      [&] {
        sluice::go(here, [&]() -> task<> { got = co_await ch.receive(); });
        run_out(here);
      },
      [&] { disturb(there, ch); }, [&] { ended += got && right(*got); });
  return ended == n;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_receiver_that_is_about_to_park)

// Source: embassy-rs/embassy#226, fereidani/kanal#15
BOOST_AUTO_TEST_CASE(does_not_miss_the_value_that_comes_just_then) {
  const auto send = [](asio::io_context& there, channel<int>& ch) {
    sluice::go(there, [&]() -> task<> { co_await ch.send(7); });
    run_out(there);
  };
  BOOST_TEST(every_receiver_ends(send, [](std::optional<int> v) { return v == 7; }));
}

BOOST_AUTO_TEST_CASE(does_not_miss_the_close_that_comes_just_then) {
  const auto close = [](asio::io_context&, channel<int>& ch) { ch.close(); };
  BOOST_TEST(every_receiver_ends(close, [](std::optional<int> v) { return !v; }));
}

BOOST_AUTO_TEST_SUITE_END()
