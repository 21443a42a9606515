// What may travel through a channel, and that it is neither lost, nor copied, nor destroyed twice.
#include "../support.hpp"

#include <sluice/channel.hpp>
#include <sluice/select.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <any>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// How to make a `T` from a number, and to get the number back.
template <class T>
struct sample {
  static T make(int n) { return static_cast<T>(n); }
  static int number(const T& v) { return static_cast<int>(v); }
};
template <>
struct sample<bool> {
  static bool make(int n) { return n % 2 != 0; }
  static int number(bool v) { return v; }
};
template <>
struct sample<std::unique_ptr<int>> {
  static auto make(int n) { return std::make_unique<int>(n); }
  static int number(const std::unique_ptr<int>& v) { return v ? *v : -1; }
};
template <>
struct sample<std::string> {
  static std::string make(int n) { return std::string(100, static_cast<char>('a' + n)); }
  static int number(const std::string& v) { return v.size() == 100 ? v[99] - 'a' : -1; }
};
template <>
struct sample<error_code> {
  static error_code make(int n) { return {n, boost::system::generic_category()}; }
  static int number(const error_code& v) { return v.value(); }
};
template <>
struct sample<std::exception_ptr> {
  static std::exception_ptr make(int n) { return std::make_exception_ptr(n); }
  static int number(const std::exception_ptr& v) {
    try {
      if (v) std::rethrow_exception(v);
    } catch (int n) {
      return n;
    }
    return -1;
  }
};
template <>
struct sample<std::optional<int>> {
  static std::optional<int> make(int n) { return n == 0 ? std::nullopt : std::optional(n); }
  static int number(const std::optional<int>& v) { return v.value_or(0); }
};
template <>
struct sample<std::any> {
  static std::any make(int n) { return std::make_shared<int>(n); }
  static int number(const std::any& v) { return *std::any_cast<std::shared_ptr<int>>(v); }
};

struct no_default {
  explicit no_default(int n) : number(n) {}
  int number;
};

struct alignas(64) over_aligned {
  explicit over_aligned(int n) : number(n) {}
  over_aligned(over_aligned&& other) noexcept : number(other.number) {
    if (reinterpret_cast<std::uintptr_t>(this) % 64 != 0) misplaced = true;
  }
  static inline bool misplaced = false;
  int number;
};

struct large {
  explicit large(int n) { numbers.fill(n); }
  [[nodiscard]] int number() const { return numbers.front() == numbers.back() ? numbers[250] : -1; }
  std::array<int, 500> numbers;
};

struct empty {};

template <>
struct sample<no_default> {
  static no_default make(int n) { return no_default(n); }
  static int number(const no_default& v) { return v.number; }
};
template <>
struct sample<over_aligned> {
  static over_aligned make(int n) { return over_aligned(n); }
  static int number(const over_aligned& v) { return v.number; }
};
template <>
struct sample<large> {
  static large make(int n) { return large(n); }
  static int number(const large& v) { return v.number(); }
};
template <>
struct sample<counted> {
  static counted make(int n) { return counted(n); }
  static int number(const counted& v) { return v.value; }
};
template <>
struct sample<empty> {
  static empty make(int) { return {}; }
  static int number(const empty&) { return 0; }
};
using element_types =
    std::tuple<bool, double, std::unique_ptr<int>, std::string, error_code, std::exception_ptr,
               std::optional<int>, std::any, no_default, over_aligned, large, counted, empty>;
using types_for_handlers = std::tuple<bool, std::unique_ptr<int>, error_code, std::exception_ptr,
                                      no_default, over_aligned, counted, empty>;

template <class T>
task<> send_samples(sluice::sender<T> out, int n) {
  for (int i = 0; i < n; ++i) co_await out.send(sample<T>::make(i));
  out.close();
}

template <class T>
task<> receive_samples(sluice::receiver<T> in, std::vector<int>& got) {
  while (const auto v = co_await in.receive()) got.push_back(sample<T>::number(*v));
}

template <class T>
std::vector<int> sample_numbers(int n) {
  std::vector<int> result;
  for (int i = 0; i < n; ++i) result.push_back(sample<T>::number(sample<T>::make(i)));
  return result;
}

/// No `counted` object may outlive the scope, and none may have been misused in it.
struct census {
  census() { counted::corrupt = 0; }
  ~census() {
    BOOST_TEST(counted::alive == 0);
    BOOST_TEST(counted::corrupt == 0);
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(every_type)

// Source: boostorg/cobalt#183, hudson-trading/corral#32, chriskohlhoff/asio#962
BOOST_AUTO_TEST_CASE_TEMPLATE(goes_through_a_channel_between_goroutines, T, element_types) {
  const census nothing_left;
  for (const std::size_t capacity : {0u, 1u, 5u}) {
    asio::io_context io;
    auto ch = make_channel<T>(capacity);
    ints got;
    sluice::go(io, send_samples<T>(ch, 10));
    sluice::go(io, receive_samples<T>(ch, got));
    run(io);
    BOOST_TEST(got == sample_numbers<T>(10), per_element());
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(goes_through_a_channel_without_blocking, T, element_types) {
  const census nothing_left;
  auto ch = make_channel<T>(4);
  ints got;
  for (int i = 0; i < 10; ++i) {
    ch.try_send(sample<T>::make(i));
    const auto v = ch.try_receive();
    BOOST_REQUIRE(v);
    got.push_back(sample<T>::number(*v));
  }
  BOOST_TEST(got == sample_numbers<T>(10), per_element());
  ch.close();
  BOOST_TEST(!ch.try_receive().has_value());
}

BOOST_AUTO_TEST_CASE_TEMPLATE(goes_through_a_channel_between_handlers, T, types_for_handlers) {
  const census nothing_left;
  asio::io_context io;
  auto ch = make_channel<T>(io);
  ints got;
  for (int i = 0; i < 10; ++i) {
    ch.async_send(sample<T>::make(i), [](error_code e) { BOOST_TEST(e == no_error); });
    ch.async_receive([&](error_code e, std::optional<T> v) {
      BOOST_TEST(e == no_error);
      BOOST_REQUIRE(v);
      got.push_back(sample<T>::number(*v));
    });
  }
  run(io);
  BOOST_TEST(got == sample_numbers<T>(10), per_element());
}

BOOST_AUTO_TEST_CASE(over_aligned_elements_are_always_aligned) {
  over_aligned::misplaced = false;
  asio::io_context io;
  auto ch = make_channel<over_aligned>(io, 3);
  for (int i = 0; i < 3; ++i) ch.try_send(over_aligned(i));
  ch.async_send(over_aligned(3), [](error_code) {});
  for (int i = 0; i < 5; ++i)
    ch.async_receive([](error_code, const std::optional<over_aligned>&) {});
  ch.try_send(over_aligned(4));
  run(io);
  BOOST_TEST(!over_aligned::misplaced);
}

// Source: condy-cpp/condy#98
BOOST_AUTO_TEST_CASE(a_temporary_that_is_sent_survives_the_wait) {
  asio::io_context io;
  auto ch = make_channel<std::unique_ptr<int>>(io, 1);
  ch.try_send(std::make_unique<int>(0));
  ch.async_send(std::make_unique<int>(1), [](error_code e) { BOOST_TEST(e == no_error); });
  auto future = ch.async_send(std::make_unique<int>(2), asio::use_future);
  auto deferred = ch.async_send(std::make_unique<int>(3), asio::deferred);
  auto lazy = ch.send(std::make_unique<int>(4));
  sluice::go(io, [ch]() -> task<> { co_await ch.send(std::make_unique<int>(5)); });
  poll(io);
  std::move(deferred)([](error_code e) { BOOST_TEST(e == no_error); });
  std::move(lazy)([](error_code e) { BOOST_TEST(e == no_error); });

  ints got;
  for (int i = 0; i < 6; ++i) got.push_back(**ch.try_receive());
  run(io);
  future.get();
  BOOST_TEST(got == ints({0, 1, 2, 5, 3, 4}), per_element());
}

BOOST_AUTO_TEST_SUITE_END()

// Source: golang test/chan/zerosize.go
BOOST_AUTO_TEST_CASE(elements_may_have_no_size) {
  struct nothing {};
  static_cast<void>(make_channel<nothing>());
  auto ch = make_channel<nothing>(2);
  ch.try_send(nothing());
  ch.try_send(nothing());
  error_code e;
  BOOST_TEST(!ch.try_send(nothing(), e));
  BOOST_TEST(ch.try_receive().has_value());
  BOOST_TEST(ch.size() == 1u);
}

// Source: golang runtime TestChanSendInterface
BOOST_AUTO_TEST_CASE(values_of_any_type_go_through_one_channel) {
  auto ch = make_channel<std::any>(3);
  error_code e;
  auto shared = std::make_shared<int>(1);
  for (int i = 0; i < 5; ++i) ch.try_send(std::any(shared), e);
  BOOST_TEST(shared.use_count() == 4);
  const auto v = ch.try_receive();
  BOOST_TEST(*std::any_cast<std::shared_ptr<int>>(*v) == 1);
}

// Source: crossbeam-rs/crossbeam#1187, nim-lang/threading#87, tokio-rs/tokio#601
BOOST_AUTO_TEST_SUITE(every_element_is_destroyed_once)

BOOST_AUTO_TEST_CASE(that_is_buffered_when_the_last_handle_goes) {
  const census nothing_left;
  for (const int n : {0, 1, 2, 7, 8}) {
    auto ch = make_channel<counted>(8);
    for (int i = 0; i < 5; ++i) {  // the ring begins in the middle
      ch.try_send(counted(i));
      ch.try_receive();
    }
    for (int i = 0; i < n; ++i) ch.try_send(counted(i));
    BOOST_TEST(counted::alive == n);
  }
}

BOOST_AUTO_TEST_CASE(that_a_parked_goroutine_was_sending) {
  const census nothing_left;
  auto ch = make_channel<counted>(2);
  {
    asio::io_context io;
    for (int i = 0; i < 5; ++i)
      sluice::go(io, [&ch, i]() -> task<> { co_await ch.send(counted(i)); });
    poll(io);
    BOOST_TEST(counted::alive >= 5);
  }
  BOOST_TEST(counted::alive == 2);
}

BOOST_AUTO_TEST_CASE(that_a_parked_handler_was_sending) {
  const census nothing_left;
  auto ch = make_channel<counted>(2);
  {
    asio::io_context io;
    for (int i = 0; i < 5; ++i)
      ch.async_send(counted(i), asio::bind_executor(io, [](error_code) {}));
    BOOST_TEST(counted::alive >= 5);
  }
  BOOST_TEST(counted::alive == 2);
}

BOOST_AUTO_TEST_CASE(that_was_handed_to_a_goroutine_destroyed_before_it_ran) {
  const census nothing_left;
  auto ch = make_channel<counted>();
  int resumed = 0;
  {
    asio::io_context io;
    for (int i = 0; i < 3; ++i)
      sluice::go(io, [&]() -> task<> {
        co_await ch.receive();
        ++resumed;
      });
    poll(io);
    for (int i = 0; i < 3; ++i) ch.try_send(counted(i));
    BOOST_TEST(counted::alive == 3);
  }
  BOOST_TEST(resumed == 0);
}

BOOST_AUTO_TEST_CASE(that_was_handed_to_a_handler_destroyed_before_it_ran) {
  const census nothing_left;
  auto ch = make_channel<counted>(1);
  {
    asio::io_context io;
    auto ignore = asio::bind_executor(io, [](error_code, const std::optional<counted>&) {});
    ch.async_receive(ignore);  // parked
    ch.try_send(counted(1));
    ch.try_send(counted(2));
    ch.async_receive(ignore);  // ready at once
    BOOST_TEST(counted::alive == 2);
  }
}

BOOST_AUTO_TEST_CASE(of_an_operation_that_was_never_started) {
  const census nothing_left;
  auto ch = make_channel<counted>(1);
  {
    auto send = ch.send(counted(1));
    auto receive = ch.receive();
    auto deferred = ch.async_send(counted(2), asio::deferred);
    BOOST_TEST(counted::alive == 2);
  }
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(ch.size() == 0u);
}

// Source: crystal-lang/crystal#6948
BOOST_AUTO_TEST_CASE(whose_parked_send_was_ended_by_close) {
  const census nothing_left;
  asio::io_context io;
  auto ch = make_channel<counted>();
  error_code result;
  sluice::go(io, [&]() -> task<> { result = co_await error_of(ch.send(counted(1))); });
  poll(io);
  BOOST_TEST(counted::alive >= 1);
  ch.close();
  run(io);
  BOOST_TEST(result == closed);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(!ch.try_receive().has_value());
}

struct in_parts {
  std::shared_ptr<int> owned;
  int number = 5;
};

// g++ 12 destroyed it twice.
BOOST_AUTO_TEST_CASE(that_is_an_aggregate_is_made_of_its_parts_inside_a_wait) {
  const auto owned = std::make_shared<int>(1);
  asio::io_context io;
  auto ch = make_channel<in_parts>(io, 8);
  sluice::go(io, [&]() -> task<> {
    co_await ch.send({owned, 1});
    co_await ch.send({owned});
    co_await ch.send({});
    co_await sluice::select(on(ch.send({owned, 2}), [] {}));
    in_parts named{owned, 3};
    co_await ch.send(named);
    co_await ch.send(std::move(named));
  });
  io.run();
  BOOST_TEST(owned.use_count() == 6);
  std::vector<int> numbers;
  error_code e;
  while (auto v = ch.try_receive(e)) numbers.push_back(v->number);
  BOOST_TEST(numbers == std::vector({1, 5, 5, 2, 3, 3}));
  BOOST_TEST(owned.use_count() == 1);
}

BOOST_AUTO_TEST_SUITE_END()

// Source: golang runtime TestChanSendBarrier
BOOST_AUTO_TEST_CASE(direct_handoffs_neither_leak_nor_double_an_element) {
  counted::corrupt = 0;
  const auto n = rounds(2000);
  asio::io_context io;
  std::atomic<std::size_t> intact = 0;
  for (int pair = 0; pair < 20; ++pair) {
    const auto ch = make_channel<counted>();
    sluice::go(io, [ch, n]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) co_await ch.send(counted(static_cast<int>(i)));
    });
    sluice::go(io, [ch, n, &intact]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) {
        const auto v = co_await ch.receive();
        if (v && v->value == static_cast<int>(i)) ++intact;
      }
    });
  }
  run(io, 4);
  BOOST_TEST(intact == 20 * n);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}
