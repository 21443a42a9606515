// Selects put together at random, and in every way up to three cases, against a model.
#include "helpers.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

enum class kind : std::uint8_t {
  ready_receive,
  ready_send,
  closed_receive,
  closed_send,
  quiet_receive,
  quiet_send,
  nil_receive,
  nil_send,
};
constexpr std::size_t kinds = 8;

bool is_receive(kind k) {
  return static_cast<unsigned>(k) % 2 == 0;
}
bool is_ready(kind k) {
  return k < kind::quiet_receive;
}
bool is_quiet(kind k) {
  return k == kind::quiet_receive || k == kind::quiet_send;
}

constexpr int untouched = -1;
constexpr int nothing = -2;

/// One case with a channel of its own, and what the select has done with it.
class model_case {
 public:
  model_case(kind k, int number) : kind_(k), number_(number) {
    if (k == kind::nil_receive || k == kind::nil_send) return;
    ch_ = make_channel<int>(is_quiet(k) ? 0 : 1);
    if (k == kind::ready_receive) ch_.try_send(number);
    if (k == kind::closed_receive || k == kind::closed_send) ch_.close();
  }

  [[nodiscard]] kind what() const { return kind_; }

  [[nodiscard]] sluice::select_case make() {
    if (is_receive(kind_))
      return on(ch_.receive(), [this](std::optional<int> v) { destination_ = v ? *v : nothing; });
    return on(ch_.send(number_), [this] { destination_ = number_; });
  }

  /// Does what a parked select waits for. @return Whether there was one.
  bool serve() {
    if (is_receive(kind_)) return try_send(ch_, number_);
    error_code e;
    return ch_.try_receive(e) == number_;
  }

  /// Whether its channel and its destination are as they were, or as after it has happened.
  [[nodiscard]] bool is_untouched() const {
    return destination_ == untouched && ch_.size() == (kind_ == kind::ready_receive ? 1u : 0u);
  }
  [[nodiscard]] bool has_happened() const {
    switch (kind_) {
      case kind::ready_receive:
        return destination_ == number_ && ch_.size() == 0;
      case kind::ready_send:
        return destination_ == number_ && ch_.size() == 1;
      case kind::closed_receive:
        return destination_ == nothing;
      case kind::closed_send:
        return destination_ == untouched;
      default:
        return destination_ == number_;
    }
  }
  /// Whether nobody waits on its channel.
  [[nodiscard]] bool is_left() const {
    if (!is_quiet(kind_)) return true;
    error_code e;
    return is_receive(kind_) ? !ch_.try_send(0, e) : !ch_.try_receive(e);
  }

 private:
  const kind kind_;
  const int number_;
  channel<int> ch_;
  int destination_ = untouched;
};

enum class place : std::uint8_t { nowhere, front, back };

/// Does one select of these kinds, and tells whether everything about it is as it should be.
bool is_right(const std::vector<kind>& what, place otherwise_place, std::size_t to_serve = 0) {
  std::vector<model_case> cases;
  cases.reserve(what.size());
  for (const kind k : what) cases.emplace_back(k, static_cast<int>(cases.size()) + 100);
  const std::size_t offset = otherwise_place == place::front ? 1 : 0;

  asio::io_context io;
  std::optional<std::size_t> index;
  error_code failure;
  bool otherwise_taken = false;
  sluice::go(io, [&]() -> task<> {
    std::vector<sluice::select_case> all;
    if (otherwise_place == place::front)
      all.emplace_back(otherwise([&] { otherwise_taken = true; }));
    for (auto& c : cases) all.push_back(c.make());
    if (otherwise_place == place::back)
      all.emplace_back(otherwise([&] { otherwise_taken = true; }));
    try {
      index = co_await select(std::move(all));
    } catch (const sluice::system_error& e) {
      failure = e.code();
    }
  });
  poll(io);

  bool any_ready = false;
  for (const auto& c : cases) any_ready = any_ready || is_ready(c.what());
  std::size_t served = cases.size();
  if (!any_ready && otherwise_place == place::nowhere) {
    if (index || failure) return false;
    for (std::size_t i = 0; i < cases.size(); ++i)
      if (is_quiet(cases[(i + to_serve) % cases.size()].what())) {
        served = (i + to_serve) % cases.size();
        break;
      }
    if (served == cases.size()) return true;  // parked for ever
    if (!cases[served].serve()) return false;
    poll(io);
    if (index != served) return false;
  }

  int happened = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto& c = cases[i];
    if (!c.is_left()) return false;
    if (index == i + offset)
      happened += c.has_happened() && (is_ready(c.what()) || i == served);
    else if (!c.is_untouched())
      return false;
  }
  if (failure) {
    bool closed_send = false;
    for (const auto& c : cases) closed_send = closed_send || c.what() == kind::closed_send;
    return failure == closed && closed_send && !index && !otherwise_taken;
  }
  if (!any_ready && otherwise_place != place::nowhere)
    return otherwise_taken && index == (offset ? 0 : cases.size());
  return happened == 1 && !otherwise_taken;
}

}  // namespace

// Source: golang test/chan/select5.go
BOOST_AUTO_TEST_CASE(every_select_of_up_to_three_cases_does_one_thing_that_it_may_do) {
  std::size_t wrong = 0;
  std::size_t done = 0;
  for (const place otherwise_place : {place::nowhere, place::front, place::back})
    for (std::size_t n = 0, all = 1; n <= 3; ++n, all *= kinds)
      for (std::size_t form = 0; form < all; ++form) {
        std::vector<kind> what;
        for (std::size_t i = 0, rest = form; i < n; ++i, rest /= kinds)
          what.push_back(static_cast<kind>(rest % kinds));
        if (!is_right(what, otherwise_place)) ++wrong;
        ++done;
      }
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(done == 3 * (1 + 8 + 64 + 512));
}

// Source: golang reflect TestSelect
BOOST_AUTO_TEST_CASE(selects_of_many_cases_put_together_at_random_do_what_they_may) {
  random_numbers random(20240229);
  std::size_t wrong = 0;
  for (std::size_t i = 0, n = rounds(3000); i < n; ++i) {
    std::vector<kind> what;
    const std::size_t first = random.below(3) == 0 ? 0 : 4;  // mostly with nothing ready
    for (std::size_t k = random.below(20) + 1; k != 0; --k)
      what.push_back(static_cast<kind>(first + random.below(kinds - first)));
    if (!is_right(what, static_cast<place>(random.below(3)), random.below(what.size()))) ++wrong;
  }
  BOOST_TEST(wrong == 0u);
}

namespace {

/// A case of a select that is known when it is compiled.
template <bool Receives>
auto make_case(const channel<int>& ch, int& destination) {
  if constexpr (Receives)
    return on(ch.receive(),
              [&destination](std::optional<int> v) { destination = v ? *v : nothing; });
  else
    return on(ch.send(7), [&destination] { destination = 7; });
}

template <bool FirstReceives, bool SecondReceives>
task<bool> two_cases_are_right(bool first_ready, bool second_ready, place otherwise_place) {
  const auto make = [](bool receives, bool ready) {
    auto ch = make_channel<int>(ready ? 1 : 0);
    if (receives && ready) ch.try_send(7);
    return ch;
  };
  const auto a = make(FirstReceives, first_ready);
  const auto b = make(SecondReceives, second_ready);
  int to_first = untouched;
  int to_second = untouched;
  bool otherwise_taken = false;
  const auto take_otherwise = [&] { otherwise_taken = true; };
  auto first = make_case<FirstReceives>(a, to_first);
  auto second = make_case<SecondReceives>(b, to_second);
  std::size_t i = 0;
  switch (otherwise_place) {
    case place::nowhere:
      i = co_await select(first, second);
      break;
    case place::front:
      i = co_await select(otherwise(take_otherwise), first, second);
      i = i == 0 ? 2 : i - 1;
      break;
    case place::back:
      i = co_await select(first, second, otherwise(take_otherwise));
      break;
  }
  co_return to_first == (i == 0 ? 7 : untouched) && to_second == (i == 1 ? 7 : untouched) &&
      otherwise_taken == (i == 2) && (i != 0 || first_ready) && (i != 1 || second_ready) &&
      (i != 2 || (!first_ready && !second_ready));
}

template <bool FirstReceives, bool SecondReceives>
task<int> wrong_forms() {
  int wrong = 0;
  for (const bool first_ready : {false, true})
    for (const bool second_ready : {false, true})
      for (const place p : {place::nowhere, place::front, place::back}) {
        if (!first_ready && !second_ready && p == place::nowhere) continue;
        const bool right = co_await two_cases_are_right<FirstReceives, SecondReceives>(
            first_ready, second_ready, p);
        wrong += !right;
      }
  co_return wrong;
}

}  // namespace

// Source: golang test/chan/select5.go
BOOST_AUTO_TEST_CASE(the_same_of_cases_that_are_known_when_compiled) {
  run_task([]() -> task<> {
    int wrong = 0;
    wrong += co_await wrong_forms<true, true>();
    wrong += co_await wrong_forms<true, false>();
    wrong += co_await wrong_forms<false, true>();
    wrong += co_await wrong_forms<false, false>();
    BOOST_TEST(wrong == 0);
  });
}
