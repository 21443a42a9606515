#pragma once

#include <sluice/channel.hpp>
#include <sluice/error.hpp>
#include <sluice/task.hpp>
#include <sluice/worker_pool.hpp>

#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>

#include <atomic>
#include <cstddef>
#include <exception>
#include <ostream>
#include <utility>

// What the tests of worker pools share.
namespace sluice_test {

using int_pool = sluice::worker_pool<int, int>;

/// What a submitter can be told about its job.
enum class fate { done, failed, out_of_time, cancelled, refused };

inline std::ostream& operator<<(std::ostream& out, fate f) {
  static constexpr const char* names[] = {"done", "failed", "out of time", "cancelled", "refused"};
  return out << names[static_cast<std::size_t>(f)];
}

inline fate fate_of(const std::exception_ptr& failure) {
  if (!failure) return fate::done;
  try {
    std::rethrow_exception(failure);
  } catch (const sluice::system_error& e) {
    if (e.code() == timed_out) return fate::out_of_time;
    if (e.code() == aborted) return fate::cancelled;
    if (e.code() == closed) return fate::refused;
    return fate::failed;
  } catch (...) {
    return fate::failed;
  }
}

/// Awaits a job's end.
template <class Submission>
task<fate> fate_of_job(Submission submission) {
  std::exception_ptr failure;
  try {
    static_cast<void>(co_await std::move(submission));
  } catch (...) {
    failure = std::current_exception();
  }
  co_return fate_of(failure);
}

/// A submitter with a callback and a cancellation slot. It stays where it is.
class submitter {
 public:
  submitter() = default;
  submitter(const submitter&) = delete;
  submitter& operator=(const submitter&) = delete;

  /// A completion handler.
  auto callback() {
    return [this](const std::exception_ptr& e, auto... results) {
      ++times;
      last = fate_of(e);
      ((result = results), ...);
    };
  }
  /// The same with a slot.
  auto token() { return asio::bind_cancellation_slot(signal_.slot(), callback()); }
  void cancel(asio::cancellation_type type = asio::cancellation_type::terminal) {
    signal_.emit(type);
  }

  /// How often it was told.
  int times = 0;
  fate last{};
  int result = 0;

 private:
  asio::cancellation_signal signal_;
};

/// Where jobs wait until it is opened.
class gate {
 public:
  explicit gate(asio::io_context& io) : open_(sluice::make_channel<void>(io)) {}

  task<> pass() {
    ++arrived;
    static_cast<void>(co_await open_.receive());
  }
  /// The same, whatever is asked of the goroutine meanwhile.
  task<> pass_stubbornly() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await pass();
  }

  /// Lets one through.
  void let_in() { static_cast<void>(open_.try_send()); }
  void open() { open_.close(); }

  std::atomic<int> arrived{0};

 private:
  const sluice::channel<void> open_;
};

/// All jobs that have been told about.
inline std::size_t told(const sluice::worker_pool_stats& s) {
  return s.done + s.failed + s.timed_out + s.cancelled;
}

}  // namespace sluice_test
