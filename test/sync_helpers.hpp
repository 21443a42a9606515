#pragma once

#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/this_goroutine.hpp>

#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/io_context.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

// What the tests of locks, semaphores and conditions share.
namespace sluice_test {

/// A goroutine that is cancelled through its token's slot, and what came of it.
class cancellable_goroutine {
 public:
  template <class What>
  cancellable_goroutine(asio::io_context& io, What&& what) {
    sluice::go(io, std::forward<What>(what),
               asio::bind_cancellation_slot(signal_.slot(), [this](std::exception_ptr e) {
                 ended_ = true;
                 try {
                   if (e) std::rethrow_exception(e);
                 } catch (const sluice::system_error& x) {
                   error_ = x.code();
                 }
               }));
  }
  cancellable_goroutine(const cancellable_goroutine&) = delete;
  cancellable_goroutine& operator=(const cancellable_goroutine&) = delete;

  void cancel() { signal_.emit(asio::cancellation_type::terminal); }

  [[nodiscard]] bool ended() const noexcept { return ended_; }
  [[nodiscard]] error_code error() const noexcept { return error_; }

 private:
  asio::cancellation_signal signal_;
  bool ended_ = false;
  error_code error_;
};

/// Two threads that begin each round at the same time.
class duel {
 public:
  /// Calls `prepare()`, then `a()` and `b()` at the same time, then `check()`: `most` times, or
  /// fewer where the threads' turns are long, as on a machine with other work.
  /** @return How many times. */
  template <class Prepare, class A, class B, class Check>
  static std::size_t fight(std::size_t most, Prepare prepare, A a, B b, Check check) {
    const auto limit = std::chrono::milliseconds(rounds(sanitized ? 150'000 : 4'000));
    const stopwatch watch;
    std::atomic<std::size_t> begun = 0;
    std::atomic<std::size_t> ended = 0;
    std::atomic<bool> over = false;
    std::thread second([&] {
      for (std::size_t i = 1;; ++i) {
        while (begun.load() < i) {
          if (over) return;
          std::this_thread::yield();
        }
        b();
        ended.store(i);
      }
    });
    std::size_t i = 0;
    while (i < most && watch.elapsed() < limit) {
      prepare();
      begun.store(++i);
      for (std::size_t k = i % 64; k != 0; --k) static_cast<void>(begun.load());
      a();
      while (ended.load() < i) std::this_thread::yield();
      check();
    }
    over = true;
    second.join();
    return i;
  }
};

}  // namespace sluice_test
