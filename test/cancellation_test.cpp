#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/rate_limiter.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/shared_mutex.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>
#include <sluice/wait_group.hpp>
#include <sluice/worker_pool.hpp>

#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// What a request for cancellation does to one operation.

namespace {

using namespace sluice_test;

/// Passes what any completion signature tells about errors on.
struct teller {
  template <class... Rest>
  void operator()(error_code e, Rest&&...) const {
    tell(e);
  }
  template <class... Rest>
  void operator()(const std::exception_ptr& e, Rest&&...) const {
    tell(code_of(e));
  }
  std::function<void(error_code)> tell;
};

/// A handler that carries the signal of its own slot, so that its slot is gone once it is moved.
struct self_signalling : teller {
  using cancellation_slot_type = asio::cancellation_slot;
  using executor_type = asio::io_context::executor_type;

  self_signalling(asio::io_context& io, std::function<void(error_code)> f)
      : teller{std::move(f)},
        signal(std::make_unique<asio::cancellation_signal>()),
        executor(io.get_executor()) {}

  [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept {
    return signal->slot();
  }
  [[nodiscard]] executor_type get_executor() const noexcept { return executor; }

  std::unique_ptr<asio::cancellation_signal> signal;
  executor_type executor;
};

/// Every operation of this library, where nothing ends it.
class parked_operations {
 public:
  explicit parked_operations(asio::io_context& context)
      : io(context), pool(context, {}, [this](int) { return wait(); }) {
    group.add();
  }

  struct kind {
    std::string name;
    bool terminal_only;
  };
  static const std::vector<kind>& kinds() {
    static const std::vector<kind> all{
        {"receive", false},  {"send", false},         {"sleep", false},     {"wait_group", false},
        {"mutex", false},    {"shared_mutex", false}, {"semaphore", false}, {"rate_limiter", false},
        {"context", false},  {"select", false},       {"timeout", false},   {"worker_pool", false},
        {"goroutine", true},
    };
    return all;
  }

  /// Starts the operation of that kind.
  template <class Token>
  void start(const std::string& name, Token&& token) {
    if (name == "receive") quiet.receive()(std::forward<Token>(token));
    if (name == "send") full.send(1)(std::forward<Token>(token));
    if (name == "sleep") sleep_for(24h)(std::forward<Token>(token));
    if (name == "wait_group") group.wait()(std::forward<Token>(token));
    if (name == "mutex") locked.lock()(std::forward<Token>(token));
    if (name == "shared_mutex") shared.lock_shared()(std::forward<Token>(token));
    if (name == "semaphore") units.acquire()(std::forward<Token>(token));
    if (name == "rate_limiter") limiter.acquire()(std::forward<Token>(token));
    if (name == "context") tree.ctx.done()(std::forward<Token>(token));
    if (name == "select") sluice::select(quiet.receive(), full.send(1))(std::forward<Token>(token));
    if (name == "timeout") sluice::timeout(quiet.receive(), 24h)(std::forward<Token>(token));
    if (name == "worker_pool") pool.submit(1)(std::forward<Token>(token));
    if (name == "goroutine") sluice::go(io, wait(), std::forward<Token>(token));
  }

 private:
  task<int> wait() {
    const auto v = co_await quiet.receive();
    co_return v.value_or(0);
  }

  asio::io_context& io;
  const sluice::channel<int> quiet = make_channel<int>();
  const sluice::channel<int> full = make_channel<int>();
  sluice::wait_group group;
  sluice::mutex locked;
  const sluice::mutex::guard locked_ = locked.try_lock();
  sluice::shared_mutex shared;
  const sluice::shared_mutex::guard shared_ = shared.try_lock();
  sluice::semaphore units{1};
  const sluice::semaphore::permit units_ = units.try_acquire();
  sluice::rate_limiter limiter{io, 24h};
  const bool limited_ = limiter.try_acquire();
  const sluice::cancellable_context tree = with_cancel(sluice::context::background());
  sluice::worker_pool<int, int> pool;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(a_request)

// Source: zeromq/azmq#209, boostorg/cobalt#270
BOOST_AUTO_TEST_CASE(of_any_type_ends_an_operation_but_a_goroutine_listens_to_terminal_only) {
  for (const auto& [name, terminal_only] : parked_operations::kinds()) {
    for (const types type : {types::total, types::partial, types::terminal}) {
      asio::io_context io;
      parked_operations all(io);
      asio::cancellation_signal signal;
      std::vector<error_code> told;
      all.start(name,
                asio::bind_cancellation_slot(
                    signal.slot(),
                    asio::bind_executor(io, teller{[&](error_code e) { told.push_back(e); }})));
      poll(io);
      BOOST_TEST(told.empty(), name);
      signal.emit(types::none);
      poll(io);
      BOOST_TEST(told.empty(), name);
      signal.emit(type);
      BOOST_TEST(told.empty(), name << ": never inside emit");
      poll(io);
      BOOST_TEST(told.empty() == (terminal_only && type != types::terminal),
                 name << ", type " << static_cast<unsigned>(type));
      signal.emit(types::terminal);
      run(io);
      const std::vector<error_code> once{aborted};
      BOOST_TEST(told == once, name);
      signal.emit(types::terminal);
      run(io);
      BOOST_TEST(told == once, name);
    }
  }
}

// Source: boostorg/beast PR #3053
BOOST_AUTO_TEST_CASE(reaches_an_operation_whose_handler_carries_its_own_signal) {
  for (const auto& [name, terminal_only] : parked_operations::kinds()) {
    asio::io_context io;
    parked_operations all(io);
    std::vector<error_code> told;
    self_signalling handler(io, [&](error_code e) { told.push_back(e); });
    asio::cancellation_signal& signal = *handler.signal;
    all.start(name, std::move(handler));
    poll(io);
    BOOST_TEST(told.empty(), name);
    signal.emit(types::terminal);
    run(io);
    const std::vector<error_code> once{aborted};
    BOOST_TEST(told == once, name);
  }
}

// Source: boostorg/beast PR #3053: a slot that is not connected
BOOST_AUTO_TEST_CASE(cannot_come_through_a_slot_that_is_not_connected) {
  int told = 0;
  for (const auto& [name, terminal_only] : parked_operations::kinds()) {
    asio::io_context io;
    parked_operations all(io);
    all.start(name, asio::bind_cancellation_slot(
                        asio::cancellation_slot(),
                        asio::bind_executor(io, teller{[&](error_code) { ++told; }})));
    poll(io);
  }
  BOOST_TEST(told == 0);
}

// Source: boostorg/beast PR #3053: inside a parallel group
BOOST_AUTO_TEST_CASE(of_a_parallel_group_ends_all_its_operations) {
  asio::io_context io;
  const auto a = make_channel<int>(io), b = make_channel<int>(io);
  sluice::wait_group group;
  group.add();
  asio::cancellation_signal signal;
  std::vector<error_code> told;
  asio::experimental::make_parallel_group(
      [&](auto token) { return a.receive()(std::move(token)); },
      [&](auto token) { return b.send(1)(std::move(token)); },
      [&](auto token) { return group.wait()(asio::bind_executor(io, std::move(token))); })
      .async_wait(
          asio::experimental::wait_for_all(),
          asio::bind_cancellation_slot(
              signal.slot(), asio::bind_executor(io, [&](std::array<std::size_t, 3>, error_code x,
                                                         std::optional<int>, error_code y,
                                                         error_code z) { told = {x, y, z}; })));
  poll(io);
  BOOST_TEST(told.empty());
  signal.emit(types::partial);
  run(io);
  BOOST_TEST(told == std::vector<error_code>(3, aborted), per_element());
  BOOST_CHECK_EXCEPTION(a.try_send(1), sluice::system_error, has_code(would_block));
}

// Source: chriskohlhoff/asio#1549
BOOST_AUTO_TEST_CASE(ends_the_one_of_a_sequence_that_is_parked) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  asio::cancellation_signal signal;
  for (int i = 0; i < 3; ++i) {
    std::optional<error_code> first, second;
    ch.receive()(asio::bind_cancellation_slot(
        signal.slot(), [&](error_code e, std::optional<int>) { first = e; }));
    ch.try_send(1);
    poll(io);
    BOOST_TEST(first.value() == no_error);
    signal.emit(types::terminal);
    ch.receive()(asio::bind_cancellation_slot(
        signal.slot(), [&](error_code e, std::optional<int>) { second = e; }));
    poll(io);
    BOOST_TEST(!second, "a late request is forgotten");
    signal.emit(types::terminal);
    poll(io);
    BOOST_TEST(second.value() == aborted);
  }
}

// Source: chriskohlhoff/asio#1549: two at a time is misuse, and the later has the slot.
BOOST_AUTO_TEST_CASE(through_a_slot_that_two_operations_share_ends_the_later_one) {
  asio::io_context io;
  const auto a = make_channel<int>(io), b = make_channel<int>(io);
  asio::cancellation_signal signal;
  std::optional<error_code> first, second;
  a.receive()(asio::bind_cancellation_slot(signal.slot(),
                                           [&](error_code e, std::optional<int>) { first = e; }));
  b.receive()(asio::bind_cancellation_slot(signal.slot(),
                                           [&](error_code e, std::optional<int>) { second = e; }));
  signal.emit(types::terminal);
  poll(io);
  BOOST_TEST(!first);
  BOOST_TEST(second.value() == aborted);
  a.try_send(1);
  run(io);
  BOOST_TEST(first.value() == no_error);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_goroutine)

// Source: chriskohlhoff/asio#1574
BOOST_AUTO_TEST_CASE(that_was_cancelled_between_two_waits_begins_none) {
  const auto quiet = make_channel<int>();
  using wait = std::function<task<>()>;
  const wait waits[] = {
      [&]() -> task<> { co_await quiet.receive(); },
      [&]() -> task<> { co_await quiet.send(1); },
      []() -> task<> { co_await sleep_for(1h); },
      [&]() -> task<> { co_await sluice::select(quiet.receive(), quiet.send(1)); },
      [&]() -> task<> { co_await sluice::timeout(quiet.receive(), 1h); },
      []() -> task<> {
        asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
        co_await timer.async_wait(asio::deferred);
      },
      [&]() -> task<> {
        asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
        co_await sluice::select(quiet.receive(), timer.async_wait(asio::deferred));
      }};
  for (const auto& w : waits) {
    asio::io_context io;
    bool ready = false, go_on = false;
    cancellable_goroutine g(io, [&]() -> task<> {
      ready = true;
      while (!go_on) co_await sluice::this_goroutine::yield();
      co_await w();
    });
    while (!ready) io.run_one();
    g.cancel();
    go_on = true;
    run(io);
    BOOST_TEST(g.ends() == 1);
    BOOST_TEST(g.error() == aborted);
  }
}

// Source: chriskohlhoff/asio#1452
BOOST_AUTO_TEST_CASE(cancelled_before_its_first_step_is_entered_and_begins_no_wait) {
  asio::io_context io;
  bool entered = false, passed = false;
  cancellable_goroutine g(io, [&]() -> task<> {
    entered = true;
    co_await sleep_for(0s);
    passed = true;
  });
  g.cancel(types::all);
  run(io);
  BOOST_TEST(entered);
  BOOST_TEST(!passed);
  BOOST_TEST(g.ends() == 1);
  BOOST_TEST(g.error() == aborted);
}

// Source: chriskohlhoff/asio#1452: many, cancelled in the handler that started them
BOOST_AUTO_TEST_CASE(can_be_cancelled_by_the_handler_that_started_it) {
  asio::io_context io;
  constexpr std::size_t n = 1000;
  std::deque<cancellable_goroutine> all;
  asio::post(io, [&] {
    for (std::size_t i = 0; i < n; ++i)
      all.emplace_back(io, []() -> task<> { co_await sleep_for(1h); });
    for (auto& g : all) g.cancel();
  });
  run(io);
  std::size_t cancelled = 0;
  for (const auto& g : all) cancelled += g.error() == aborted;
  BOOST_TEST(cancelled == n);
}

// A request that a goroutine does not listen to leaves the slot as it is.
BOOST_AUTO_TEST_CASE(chooses_which_types_it_listens_to) {
  asio::io_context io;
  std::vector<error_code> errors;
  cancellable_goroutine g(io, [&]() -> task<> {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_partial_cancellation());
    errors.push_back(co_await error_of(sleep_for(1h)));
    co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    errors.push_back(co_await error_of(sleep_for(1h)));
  });
  poll(io);
  g.cancel(types::total);
  poll(io);
  BOOST_TEST(errors.empty());
  g.cancel(types::partial);
  poll(io);
  BOOST_TEST(errors.size() == 1u);
  g.cancel(types::partial);
  poll(io);
  BOOST_TEST(errors.size() == 1u);
  g.cancel(types::terminal);
  run(io);
  BOOST_TEST(errors == std::vector<error_code>(2, aborted), per_element());
  BOOST_TEST(g.error() == no_error);
}

BOOST_AUTO_TEST_SUITE_END()
