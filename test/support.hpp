#pragma once

#include "names.hpp"
#include "rounds.hpp"

#include <sluice/error.hpp>
#include <sluice/go.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/test/framework.hpp>
#include <boost/test/tree/test_unit.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <latch>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

/// What the test programs share.
namespace sluice_test {

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// What an exception says; "none" if there is none.
inline std::string text_of(const std::exception_ptr& failure) {
  if (!failure) return "none";
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& e) {
    return e.what();
  }
}

/// The code of a `system_error`, `no_error` for none. Other exceptions are thrown.
inline error_code code_of(const std::exception_ptr& failure) {
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const sluice::system_error& x) {
    return x.code();
  }
  return {};
}

/// Ends the program with a message if the scope that holds it takes two minutes (four if
/// sanitized).
class watchdog {
 public:
  watchdog() : thread_([this] { watch(); }) {}
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;
  ~watchdog() {
    {
      const std::lock_guard guard(mutex_);
      over_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, limit, [this] { return over_; })) return;
    std::fprintf(stderr, "watchdog: \"%s\" hangs\n", name_.c_str());
    std::abort();
  }

  static constexpr std::chrono::seconds limit{sanitized ? 240 : 120};
  const std::string name_ = boost::unit_test::framework::current_test_case().p_name;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

/// Calls `f(0)` ... `f(n - 1)`, each on a thread of its own, all at the same time, and waits for
/// them.
/** @throws The first exception that one of them threw. */
template <class Function>
void on_threads(int n, Function f) {
  std::exception_ptr failure;
  std::mutex failure_mutex;
  std::latch all_there(n);
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i) {
    threads.emplace_back([&, i] {
      all_there.arrive_and_wait();
      try {
        f(i);
      } catch (...) {
        const std::lock_guard guard(failure_mutex);
        if (!failure) failure = std::current_exception();
      }
    });
  }
  for (auto& t : threads) t.join();
  if (failure) std::rethrow_exception(failure);
}

/// Runs `io` until it has no work left, on this thread or on `threads` new ones, under a watchdog.
/** @throws The first exception that left it. */
inline void run(asio::io_context& io, int threads = 1) {
  const watchdog dog;
  if (io.stopped()) io.restart();
  if (threads == 1)
    io.run();
  else
    on_threads(threads, [&](int) { io.run(); });
}

/// Runs what is ready in `io`, on this thread, so that its goroutines have ended or are parked.
inline void poll(asio::io_context& io) {
  if (io.stopped()) io.restart();
  io.poll();
}

/// Runs `main` as a goroutine of a context of its own until all its goroutines have ended.
/** @throws What leaves one of them. */
template <class Main>
void run_task(Main main) {
  asio::io_context io;
  sluice::go(io, std::move(main));
  run(io);
}

/// A goroutine that can be cancelled through the slot of its token, and what came of it. It stays
/// where it is until the goroutine has ended.
class cancellable_goroutine {
 public:
  /// @param arguments Those of `go`, without a token.
  template <class... Arguments>
  explicit cancellable_goroutine(Arguments&&... arguments) {
    sluice::go(std::forward<Arguments>(arguments)...,
               asio::bind_cancellation_slot(signal_.slot(), [this](const std::exception_ptr& e) {
                 ++ends_;
                 error_ = code_of(e);
               }));
  }
  cancellable_goroutine(const cancellable_goroutine&) = delete;
  cancellable_goroutine& operator=(const cancellable_goroutine&) = delete;

  void cancel(asio::cancellation_type type = asio::cancellation_type::terminal) {
    signal_.emit(type);
  }

  [[nodiscard]] bool ended() const noexcept { return ends_ != 0; }
  /// How often its end was told.
  [[nodiscard]] int ends() const noexcept { return ends_; }
  /// The code of the exception that ended it. An exception without one leaves the context's
  /// `run()`.
  [[nodiscard]] error_code error() const noexcept { return error_; }

 private:
  asio::cancellation_signal signal_;
  int ends_ = 0;
  error_code error_;
};

/// What threads that may not use Boost.Test's assertions have found wrong.
class findings {
 public:
  /// Notes `what` unless `right`. Thread safe.
  void expect(bool right, const char* what) {
    if (right) return;
    const std::lock_guard guard(mutex_);
    if (count_++ < 10) text_.append(what).append("; ");
  }

  /// Nothing, if everything was right. For use when the threads have been joined.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::mutex mutex_;
  std::size_t count_ = 0;
  std::string text_;
};

inline const error_code no_error;
inline const error_code closed = sluice::error::closed;
inline const error_code would_block = asio::error::would_block;
inline const error_code aborted = asio::error::operation_aborted;

/// For `BOOST_CHECK_EXCEPTION`: whether a `system_error` has this code.
inline auto has_code(error_code e) {
  return [e](const sluice::system_error& x) { return x.code() == e; };
}

/// Awaits an operation and gives the error that it threw.
template <class Operation>
task<error_code> error_of(Operation op) {
  try {
    static_cast<void>(co_await std::move(op));
  } catch (const sluice::system_error& x) {
    co_return x.code();
  }
  co_return no_error;
}

/// A move-only value whose every object is counted, and checked to be destroyed once where it was
/// made.
class counted {
 public:
  static constexpr int moved_from = -1;

  explicit counted(int v) noexcept : value(v) { ++alive; }
  counted(counted&& other) noexcept : value(std::exchange(other.value, moved_from)) {
    if (other.self_ != &other) ++corrupt;
    ++alive;
  }
  counted& operator=(counted&& other) noexcept {
    value = std::exchange(other.value, moved_from);
    return *this;
  }
  ~counted() {
    if (self_.exchange(nullptr) != this) ++corrupt;
    --alive;
  }

  int value;

  /// How many objects there are.
  static inline std::atomic<long> alive{0};
  /// How often one was used that was none: destroyed twice, or copied by its bytes.
  static inline std::atomic<long> corrupt{0};

 private:
  std::atomic<const counted*> self_{this};
};

}  // namespace sluice_test
