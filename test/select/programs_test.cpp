// Programs whose selects switch cases off and on; all of them are among Go's own tests.
#include "helpers.hpp"

#include <sluice/runtime.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

constexpr std::size_t threads = 4;

}  // namespace

BOOST_AUTO_TEST_SUITE(values_that_take_one_of_four_ways_arrive_once)  // Source: doubleselect.go

namespace {

constexpr std::size_t ways = 4;

task<> choose_ways(std::array<channel<std::size_t>, ways> to, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i)
    co_await select(to[0].send(i), to[1].send(i), to[2].send(i), to[3].send(i));
}

/// Counts how often each number comes.
task<> count_arrivals(receiver<std::size_t> in, std::vector<int>& arrivals) {
  while (const auto v = co_await in.receive()) ++arrivals.at(*v);
}

}  // namespace

BOOST_AUTO_TEST_CASE(when_all_ways_are_closed_at_the_end) {
  const auto n = rounds(50'000);
  asio::io_context io;
  std::array<channel<std::size_t>, ways> way;
  for (auto& w : way) w = make_channel<std::size_t>();
  const auto merged = make_channel<std::size_t>();
  std::vector<int> arrivals(n);
  std::atomic<std::size_t> open = ways;
  for (const auto& w : way)
    sluice::go(io, [&, w]() -> task<> {
      while (const auto v = co_await w.receive()) co_await merged.send(*v);
      if (--open == 0) merged.close();
    });
  sluice::go(io, count_arrivals(merged, arrivals));
  sluice::go(io, [&]() -> task<> {
    co_await choose_ways(way, n);
    for (const auto& w : way) w.close();
  });
  run(io, static_cast<int>(threads));
  BOOST_TEST(arrivals == std::vector<int>(n, 1), per_element());
}

BOOST_AUTO_TEST_CASE(when_only_one_way_is_closed_and_ends_the_merged_stream) {
  const auto n = rounds(50'000);
  std::vector<int> arrivals(n);
  std::atomic<std::size_t> refused = 0;
  {
    asio::io_context io;
    std::array<channel<std::size_t>, ways> way;
    for (auto& w : way) w = make_channel<std::size_t>();
    const auto merged = make_channel<std::size_t>();
    const auto where = sluice::untracked(io);  // three forwarders stay parked
    for (const auto& w : way)
      sluice::go(where, [&, w]() -> task<> {
        while (const auto v = co_await w.receive()) {
          const auto e = co_await error_of(merged.send(*v));
          refused += e == closed;
        }
        merged.close();
      });
    sluice::go(where, count_arrivals(merged, arrivals));
    sluice::go(where, [&]() -> task<> {
      co_await choose_ways(way, n);
      way[2].close();
    });
    run(io, static_cast<int>(threads));
  }
  BOOST_TEST(*std::max_element(arrivals.begin(), arrivals.end()) == 1);
  BOOST_TEST(std::accumulate(arrivals.begin(), arrivals.end(), std::size_t{0}) + refused == n);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_sieve_that_merges_multiples)  // Source: golang test/chan/sieve2.go

namespace {

/// A queue without a limit: it offers its head only while it has one.
task<> queue_up(receiver<int> in, sender<int> out) {
  std::deque<int> waiting;
  for (;;) {
    const bool any = !waiting.empty();
    const sender<int> to = any ? out : sender<int>();
    co_await select(on(in.receive(), [&](std::optional<int> v) { waiting.push_back(*v); }),
                    on(to.send(any ? waiting.front() : 0), [&] { waiting.pop_front(); }));
  }
}

task<> send_multiples(int prime, sender<int> out) {
  for (int i = prime * prime;; i += prime) co_await out.send(i);
}

struct multiples {
  int next;
  receiver<int> more;
  bool operator>(const multiples& other) const { return next > other.next; }
};

/// Sends every number that is a multiple of one of the primes, once.
task<> send_composites(receiver<int> primes, sender<int> out) {
  std::priority_queue<multiples, std::vector<multiples>, std::greater<>> all;
  int prime = *co_await primes.receive();
  for (int last = 0;;) {
    while (all.empty() || all.top().next >= prime * prime) {
      auto more = make_channel<int>(10);
      sluice::go(send_multiples(prime, more));
      const int first = *co_await more.receive();
      all.push({first, more});
      prime = *co_await primes.receive();
    }
    multiples least = all.top();
    all.pop();
    if (std::exchange(last, least.next) != least.next) co_await out.send(least.next);
    least.next = *co_await least.more.receive();
    all.push(least);
  }
}

task<std::vector<int>> sieve(std::size_t n) {
  auto found = make_channel<int>();
  auto queued = make_channel<int>();
  auto composites = make_channel<int>(10);
  sluice::go(queue_up(found, queued));
  sluice::go(send_composites(queued, composites));
  std::vector<int> primes;
  const auto add = [&](int p) {
    primes.push_back(p);
    return found.send(p);
  };
  co_await add(2);
  co_await add(3);
  int composite = *co_await composites.receive();
  for (int i = 4; primes.size() < n; ++i) {
    if (i == composite)
      composite = *co_await composites.receive();
    else
      co_await add(i);
  }
  co_return primes;
}

}  // namespace

BOOST_AUTO_TEST_CASE(finds_the_first_primes) {
  const watchdog dog;
  const std::vector<int> expected{2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37, 41,
                                  43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97};
  for (const std::size_t n : {std::size_t{1}, threads}) {
    auto primes = sluice::run([] { return sieve(300); }, n);
    BOOST_TEST(primes.back() == 1987);
    primes.resize(expected.size());
    BOOST_TEST(primes == expected, per_element());
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(power_series_on_demand)  // Source: golang test/chan/powser1.go, powser2.go

namespace {

// Shared, so that every term that a channel loses or doubles shows as a leak or a double free.
using term = std::shared_ptr<const double>;

term make_term(double value) {
  return std::make_shared<const double>(value);
}

/// An endless stream of coefficients, each made when it is asked for.
struct series {
  static series make() { return {make_channel<void>(), make_channel<term>()}; }

  [[nodiscard]] task<double> next() const { return next_of(*this); }
  [[nodiscard]] task<> give(double value) const { return give_to(*this, value); }

  channel<void> requests;
  channel<term> terms;

 private:
  static task<double> next_of(series s) {
    co_await s.requests.send();
    const auto t = co_await s.terms.receive();
    co_return **t;
  }
  static task<> give_to(series s, double value) {
    co_await s.requests.receive();
    co_await s.terms.send(make_term(value));
  }
};

/// The next term of each of two, asked for and taken in whatever order they come.
task<std::pair<double, double>> next_of_both(series a, series b) {
  std::pair<double, double> result;
  const auto take_from = [](series& s, double& to, std::optional<term> t) {
    to = **t;
    s.terms = {};
  };
  while (a.terms || b.terms)
    co_await select(
        on(a.requests.send(), [&] { a.requests = {}; }),
        on(b.requests.send(), [&] { b.requests = {}; }),
        on(a.terms.receive(), [&](std::optional<term> t) { take_from(a, result.first, t); }),
        on(b.terms.receive(), [&](std::optional<term> t) { take_from(b, result.second, t); }));
  co_return result;
}

void start_split(const series& in, const series& first, const series& second, receiver<void> turn);

/// Gives one term of `in` to both of two streams, each when it asks, and leaves the next term to
/// another goroutine, which serves only `first` until it has its turn.
task<> split_one(series in, series first, series second, receiver<void> turn) {
  bool has_turn = false;
  co_await select(on(first.requests.receive(), [] {}),
                  on(turn.receive(), [&] { has_turn = true; }));
  if (has_turn)
    co_await select(on(first.requests.receive(), [] {}),
                    on(second.requests.receive(), [&] { std::swap(first, second); }));
  co_await in.requests.send();
  auto next_turn = make_channel<void>();
  start_split(in, first, second, next_turn);
  const auto t = co_await in.terms.receive();
  co_await first.terms.send(*t);
  if (!has_turn) co_await turn.receive();
  co_await second.requests.receive();
  co_await second.terms.send(*t);
  co_await next_turn.send();
}

void start_split(const series& in, const series& first, const series& second, receiver<void> turn) {
  sluice::go(split_one(in, first, second, std::move(turn)));
}

std::pair<series, series> split(const series& in) {
  std::pair result(series::make(), series::make());
  auto turn = make_channel<void>();
  start_split(in, result.first, result.second, turn);
  sluice::go([turn]() -> task<> { co_await turn.send(); });
  return result;
}

template <class Make>
series started(Make make) {
  const series out = series::make();
  sluice::go(make(out));
  return out;
}

task<> give_all(series out, std::function<double(int)> f) {
  for (int i = 0;; ++i) co_await out.give(f(i));
}
series function_of(std::function<double(int)> f) {
  return started([&](series out) { return give_all(out, f); });
}

task<> give_sum(series a, series b, series out) {
  for (;;) {
    co_await out.requests.receive();
    const auto [x, y] = co_await next_of_both(a, b);
    co_await out.terms.send(make_term(x + y));
  }
}
series sum(series a, series b) {
  return started([&](series out) { return give_sum(a, b, out); });
}

task<> give_multiple(double factor, series a, series out) {
  for (;;) {
    co_await out.requests.receive();
    const double x = co_await a.next();
    co_await out.terms.send(make_term(factor * x));
  }
}
series multiple(double factor, series a) {
  return started([&](series out) { return give_multiple(factor, a, out); });
}

series product(series a, series b);

// (a + xA)(b + xB) = ab + x(aB + bA) + x²AB
task<> give_product(series a, series b, series out) {
  co_await out.requests.receive();
  const auto [x, y] = co_await next_of_both(a, b);
  co_await out.terms.send(make_term(x * y));
  const auto [a1, a2] = split(a);
  const auto [b1, b2] = split(b);
  const series middle = sum(multiple(x, b1), multiple(y, a1));
  co_await out.requests.receive();
  const double first = co_await middle.next();
  co_await out.terms.send(make_term(first));
  co_await give_sum(middle, product(a2, b2), out);
}
series product(series a, series b) {
  return started([&](series out) { return give_product(a, b, out); });
}

task<> give_integral(double constant, series a, series out) {
  co_await out.give(constant);
  for (int i = 1;; ++i) {
    co_await out.requests.receive();
    const double x = co_await a.next();
    co_await out.terms.send(make_term(x / i));
  }
}
series integral(double constant, series a) {
  return started([&](series out) { return give_integral(constant, a, out); });
}

/// The solution of y' = f(y) with y(0) = `constant`: what comes out goes back in.
template <class F>
series solution(double constant, F f) {
  const series back_in = series::make();
  const auto [out, again] = split(integral(constant, f(back_in)));
  sluice::go([](series from, series to) -> task<> {
    for (;;) {
      co_await to.requests.receive();
      const double x = co_await from.next();
      co_await to.terms.send(make_term(x));
    }
  }(again, back_in));
  return out;
}

/// Whether its first coefficients are these.
task<bool> begins_with(series s, std::vector<double> expected) {
  for (const double e : expected) {
    const double got = co_await s.next();
    if (std::abs(got - e) > 1e-12) co_return false;
  }
  co_return true;
}

series ones() {
  return function_of([](int) { return 1.0; });
}

std::vector<double> coefficients(int n, double (*f)(int)) {
  std::vector<double> result;
  for (int i = 0; i < n; ++i) result.push_back(f(i));
  return result;
}

task<> check_all() {
  const bool sums = co_await begins_with(sum(ones(), function_of([](int i) { return double(i); })),
                                         coefficients(20, [](int i) { return 1.0 + i; }));
  BOOST_TEST(sums);
  const bool products = co_await begins_with(product(ones(), ones()),
                                             coefficients(20, [](int i) { return 1.0 + i; }));
  BOOST_TEST(products);
  const bool cubes =
      co_await begins_with(product(ones(), product(ones(), ones())),
                           coefficients(12, [](int i) { return (i + 1) * (i + 2) / 2.0; }));
  BOOST_TEST(cubes);
  const bool logarithm = co_await begins_with(
      integral(0, function_of([](int i) { return i % 2 ? -1.0 : 1.0; })),
      coefficients(20, [](int i) { return i == 0 ? 0 : (i % 2 ? 1.0 : -1.0) / i; }));
  BOOST_TEST(logarithm);
  const bool exponential =
      co_await begins_with(solution(1, [](series y) { return y; }),
                           coefficients(15, [](int i) { return 1 / std::tgamma(i + 1); }));
  BOOST_TEST(exponential);
  const std::vector<double> of_tangent{0,        1, 0,          1.0 / 3, 0,
                                       2.0 / 15, 0, 17.0 / 315, 0,       62.0 / 2835};
  const series tan = solution(0, [](series y) {
    const auto [a, b] = split(y);
    return sum(function_of([](int i) { return i == 0 ? 1.0 : 0.0; }), product(a, b));
  });
  const bool tangent = co_await begins_with(tan, of_tangent);
  BOOST_TEST(tangent);
}

}  // namespace

BOOST_AUTO_TEST_CASE(have_the_right_coefficients) {
  for (const std::size_t n : {std::size_t{1}, threads}) {
    const watchdog dog;
    sluice::run(check_all, n);
  }
}

BOOST_AUTO_TEST_SUITE_END()
