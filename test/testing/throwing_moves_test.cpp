// Programs of a seed whose elements fail to move now and then, in a simulation: what was sent comes
// once or is still there, what could not be sent does not come, and nothing leaks.

#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/sleep.hpp>
#include <sluice/timeout.hpp>

#include "fragile.hpp"
#include "support.hpp"
#include "testing/actors.hpp"
#include "testing/search.hpp"
#include "time_helpers.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;
using sluice::testing::simulation;

/// Two channels, and what has become of each value that somebody has tried to send.
struct values {
  explicit values(random_numbers& r)
      : random(r),
        channels{make_channel<fragile>(random.below(3)), make_channel<fragile>(random.below(3))} {}

  channel<fragile>& any() { return channels[random.below(2)]; }
  fragile next() {
    sent.push_back(false);
    received.push_back(0);
    return fragile(static_cast<int>(sent.size()) - 1);
  }
  void note_sent(std::size_t number) { sent[number] = true; }
  void note_received(const std::optional<fragile>& v) {
    if (v) ++received.at(static_cast<std::size_t>(v->number));
  }

  random_numbers& random;
  std::array<channel<fragile>, 2> channels;
  std::vector<bool> sent;
  std::vector<int> received;
};

/// Whether the exception that is being handled is of a move; others are thrown on, but for those
/// that say that a wait was given up, or that the channel is closed.
void note_failure() {
  try {
    throw;
  } catch (const sluice::system_error& e) {
    if (e.code() != closed && e.code() != sluice::error::move_failed &&
        e.code() != asio::error::timed_out)
      throw;
  } catch (const std::runtime_error& e) {
    if (e.what() != std::string("fragile")) throw;
  }
}

task<> receive_one(values& v, bool planted) {
  auto& from = v.any();
  if (planted) {
    auto got = co_await from.receive();
    if (!got) co_return;
    const fragile kept(*std::move(got));  // and if that fails nobody has it
    ++v.received.at(static_cast<std::size_t>(kept.number));
    co_return;
  }
  error_code error;
  switch (v.random.below(3)) {
    case 0:
      v.note_received(from.try_receive(error));
      break;
    case 1: {
      const auto got =
          co_await sluice::timeout(from.receive(), std::chrono::milliseconds(v.random.below(3)));
      v.note_received(got);
      break;
    }
    default: {
      const auto got = co_await from.receive();
      v.note_received(got);
    }
  }
}

task<> send_one(values& v) {
  auto& to = v.any();
  fragile value = v.next();
  const auto number = v.sent.size() - 1;
  error_code error;
  switch (v.random.below(3)) {
    case 0:
      if (to.try_send(std::move(value), error)) v.note_sent(number);
      break;
    case 1:
      co_await sluice::timeout(to.send(std::move(value)),
                               std::chrono::milliseconds(v.random.below(3)));
      v.note_sent(number);
      break;
    default:
      co_await to.send(std::move(value));
      v.note_sent(number);
  }
}

/// A select of a receive and a send.
task<> select_one(values& v) {
  fragile value = v.next();
  const auto number = v.sent.size() - 1;
  const auto got = [&v](const std::optional<fragile>& r) { v.note_received(r); };
  const auto went = [&v, number] { v.note_sent(number); };
  auto& from = v.any();
  auto& to = v.any();
  co_await sluice::select(sluice::on(from.receive(), got),
                          sluice::on(to.send(std::move(value)), went));
}

task<> moves(simulation& sim, bool planted) {
  random_numbers random(sim.seed());
  const lit_fuse may_fail(0);
  {
    values v(random);
    const std::function<task<>()> act = [&]() -> task<> {
      if (random.below(2) == 0) fragile::fuse = 1 + static_cast<int>(random.below(8));
      try {
        switch (random.below(5)) {
          case 0:
          case 1:
            co_await send_one(v);
            break;
          case 2:
          case 3:
            co_await receive_one(v, planted);
            break;
          default:
            co_await select_one(v);
        }
      } catch (...) {
        note_failure();
      }
      co_await do_nothing_for_a_while(random);
    };
    co_await run_actors(random, true, act);
    fragile::fuse = 0;
    for (auto& c : v.channels) {
      c.close();
      for (;;) {
        const auto got = co_await c.receive();
        if (!got) break;
        v.note_received(got);
      }
    }
    for (std::size_t i = 0; i != v.sent.size(); ++i)
      if (v.received[i] != (v.sent[i] ? 1 : 0))
        refuse("value " + std::to_string(i) + (v.sent[i] ? " was sent" : " was not sent") +
               " and has come " + std::to_string(v.received[i]) + " times");
  }
  if (fragile::alive != 0) {
    fragile::alive = 0;
    refuse("an element is left");
  }
}

const std::vector<named_program> programs{{"throwing moves", &moves}};

}  // namespace

BOOST_AUTO_TEST_SUITE(elements_in_a_simulation)

BOOST_DATA_TEST_CASE(are_neither_lost_nor_doubled, boost::unit_test::data::make(programs), p) {
  try_seeds(rounds(20'000), p.run, false);
}

BOOST_DATA_TEST_CASE(are_missed_if_one_is_lost, boost::unit_test::data::make(programs), p) {
  BOOST_TEST(search_finds(p.run));
}

BOOST_AUTO_TEST_SUITE_END()
