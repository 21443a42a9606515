// Small programs of channels, selects, timeouts and contexts, made by a seed and run in a
// simulation by the same seed: what they have seen could have been done one after another.
#include <sluice/testing/explore.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/select.hpp>
#include <sluice/sleep.hpp>
#include <sluice/timeout.hpp>

#include "model/history.hpp"
#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;
using model::event;
using model::history;
using effect = event::effect;
using channels = std::array<channel<std::uint32_t>, 2>;

/// What the goroutines of one program share.
struct stage {
  channels c;
  random_numbers random;
  history seen;
  event::time now{};
  std::uint32_t next_value = 1;

  /// The instant of something that a goroutine does or sees: no two are at the same.
  event::time tick() { return now += event::time::duration(1); }
};

void note_received(event& e, std::uint8_t from, const auto& v) {
  e.channel = from;
  e.what = v ? effect::received : effect::received_closed;
  if (v) e.value = *v;
}

void note_sent(event& e, std::uint8_t to) {
  e.channel = to;
  e.what = effect::sent;
}

/// A select of a receive from one channel and a send to the other, perhaps with `otherwise`.
task<> select_two(stage& s, event& e, bool waits) {
  const auto from = e.channel;
  const auto to = static_cast<std::uint8_t>(1 - from);
  e.waits = waits;
  const auto received = [&e, from](std::optional<std::uint32_t> v) { note_received(e, from, v); };
  const auto sent = [&e, to] { note_sent(e, to); };
  if (waits) {
    co_await sluice::select(sluice::on(s.c[from].receive(), received),
                            sluice::on(s.c[to].send(e.value), sent));
    co_return;
  }
  const auto nothing = [&e, from, to] {
    e.receives = static_cast<std::uint8_t>(1U << from);
    e.sends = static_cast<std::uint8_t>(1U << to);
  };
  co_await sluice::select(sluice::on(s.c[from].receive(), received),
                          sluice::on(s.c[to].send(e.value), sent), sluice::otherwise(nothing));
}

void do_without_waiting(stage& s, event& e) {
  e.waits = false;
  error_code error;
  if (s.random.below(2) == 0) {
    if (s.c[e.channel].try_send(e.value, error))
      note_sent(e, e.channel);
    else if (error == closed)
      e.what = effect::send_failed;
    else
      e.sends = static_cast<std::uint8_t>(1U << e.channel);
    return;
  }
  const auto v = s.c[e.channel].try_receive(error);
  if (error)
    e.receives = static_cast<std::uint8_t>(1U << e.channel);
  else
    note_received(e, e.channel, v);
}

/// Does one thing. @return Whether it has had an effect, or has seen one.
task<bool> do_one(stage& s, event& e) {
  const auto limit = std::chrono::milliseconds(s.random.below(3));
  auto& own = s.c[e.channel];
  auto sends_to = e.channel;
  try {
    switch (s.random.below(9)) {
      case 0:
      case 1:
        co_await own.send(e.value);
        note_sent(e, e.channel);
        break;
      case 2:
      case 3:
        note_received(e, e.channel, co_await own.receive());
        break;
      case 4:
        do_without_waiting(s, e);
        break;
      case 5:
      case 6:
        sends_to = static_cast<std::uint8_t>(1 - e.channel);
        co_await select_two(s, e, s.random.below(2) == 0);
        break;
      case 7:
        if (s.random.below(2) == 0) {
          note_received(e, e.channel, co_await sluice::timeout(own.receive(), limit));
        } else {
          co_await sluice::timeout(own.send(e.value), limit);
          note_sent(e, e.channel);
        }
        break;
      default:
        if (s.random.below(3) != 0) co_return false;
        e.what = own.try_close() ? effect::closed : effect::close_failed;
    }
  } catch (const sluice::system_error& x) {
    if (x.code() == boost::asio::error::timed_out) co_return false;
    if (x.code() != closed) throw;
    e.what = effect::send_failed;
    e.channel = sends_to;
  }
  co_return true;
}

task<> act(stage& s, std::size_t operations) {
  for (std::size_t i = 0; i != operations; ++i) {
    event e;
    e.channel = static_cast<std::uint8_t>(s.random.below(2));
    e.value = s.next_value++;
    e.begin = s.tick();
    const bool counts = co_await do_one(s, e);
    e.end = s.tick();
    if (counts) s.seen.add(e);
  }
}

/// Two to four goroutines; those that wait in the end are cancelled, and have done nothing then.
task<> run_program(sluice::testing::simulation& sim) {
  random_numbers random(sim.seed() + 1);
  const std::array<std::size_t, 2> room{random.below(3), random.below(3)};
  const std::size_t goroutines = 2 + random.below(3);
  const std::size_t operations = 2 + random.below(5);
  stage s{
      {sluice::make_channel<std::uint32_t>(room[0]), sluice::make_channel<std::uint32_t>(room[1])},
      random,
      history(room)};
  const auto ended = sluice::with_cancel(sluice::context::background());
  // Half of them can be cancelled from the start, which is another way through the library.
  for (std::size_t i = 0; i != goroutines; ++i)
    if (i % 2 == 0)
      sluice::go(act, std::ref(s), operations);
    else
      sluice::go(ended.ctx, act, std::ref(s), operations);
  co_await sluice::testing::advance(1s);
  ended.cancel();
  for (std::uint8_t i = 0; i != 2; ++i) {
    event e;
    e.channel = i;
    e.begin = s.tick();
    e.what = s.c[i].try_close() ? effect::closed : effect::close_failed;
    e.end = s.tick();
    s.seen.add(e);
  }
  for (std::uint8_t i = 0; i != 2; ++i)
    for (bool open = true; open;) {
      event e;
      e.begin = s.tick();
      const auto v = co_await s.c[i].receive();
      note_received(e, i, v);
      e.end = s.tick();
      s.seen.add(e);
      open = v.has_value();
    }
  co_await sluice::testing::settle();
  if (!s.seen.is_linearizable()) throw std::logic_error(s.seen.text());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(programs_in_a_simulation)

BOOST_AUTO_TEST_CASE(do_what_could_have_been_done_one_after_another) {
  const auto done =
      sluice::testing::explore({.first_seed = 1, .seeds = rounds(20'000)}, run_program);
  BOOST_TEST(done.schedules == rounds(20'000));
}

BOOST_AUTO_TEST_SUITE_END()
