// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/channel.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/safe_in_co_await.hpp>
#include <sluice/go.hpp>
#include <sluice/task.hpp>

#include <boost/asio/error.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sluice {

/// What a call of a `singleflight` gave, for each of those who share it.
template <class Value>
class singleflight_result {
 public:
  /// Used by `singleflight`.
  singleflight_result(std::optional<Value> v, std::exception_ptr e, bool shared)
      : value_(std::move(v)), failure_(std::move(e)), shared_(shared) {}

  /// The value. @throws What the function threw.
  [[nodiscard]] const Value& value() const& {
    if (failure_) std::rethrow_exception(failure_);
    return *value_;
  }
  /// The value, moved out. @throws What the function threw.
  [[nodiscard]] Value value() && {
    if (failure_) std::rethrow_exception(failure_);
    return *std::move(value_);
  }

  /// Whether several callers were given it.
  [[nodiscard]] bool shared() const noexcept { return shared_; }
  /// Whether it has a value.
  [[nodiscard]] explicit operator bool() const noexcept { return !failure_; }

 private:
  std::optional<Value> value_;
  std::exception_ptr failure_;
  bool shared_;
};

/// Does a thing once for all who ask for it at the same time. Go's
/// `golang.org/x/sync/singleflight`.
/**
 * The function runs in a goroutine of its own, on the scheduler of the first who asked, so a caller
 * that is cancelled only stops waiting. Functions under different keys run beside each other.
 *
 * `Key` is copyable, hashable by `Hash` and comparable; `Value` is copied to each caller, and an
 * exception of a copy is that caller's result. May be destroyed while calls are under way.
 *
 * @par Thread safety
 * Safe.
 *
 * @code
 * sluice::singleflight<std::string, page> pages;
 * const page p = (co_await pages.call(url, [&] { return fetch(url); })).value();
 * @endcode
 */
template <class Key, class Value, class Hash = std::hash<Key>>
class singleflight {
 public:
  /// What a call gives.
  using result = singleflight_result<Value>;

  singleflight() : calls_(std::make_shared<table>()) {}
  singleflight(const singleflight&) = delete;
  singleflight& operator=(const singleflight&) = delete;

  /// Gives the result of `f`, or of a function that is under way for the same key. Go's `Do`.
  /**
   * A task. `f` is a callable without arguments that gives a `task`, an `asio::awaitable` or a
   * plain value.
   *
   * @par Errors
   * `asio::error::operation_aborted` if this caller was cancelled. What `f` throws is in the
   * result, for every caller; `operation_aborted` there if its goroutine was destroyed, or could
   * not be started by the first caller, who is told why.
   *
   * @par Cancellation
   * A cancelled call has stopped waiting; `f` goes on.
   */
  template <class F>
    requires std::convertible_to<detail::result_of_start_t<F>, Value>
  [[nodiscard]] task<result> call(Key key, F&& f,
                                  std::source_location here = std::source_location::current()) {
    static_assert(
        detail::safe_in_co_await_expression<F>,
        "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await expression "
        "and destroys it twice: capture by reference, or name the closure first and pass the name");
    return wait_for(call_channel(std::move(key), std::forward<F>(f), here), here);
  }

  /// The same, on a channel that gives the result once: a case for `select`. Go's `DoChan`.
  /**
   * @throws system_error `error::not_in_goroutine` if it is not called by a goroutine, even if `f`
   * would not be run; std::bad_alloc
   */
  template <class F>
    requires std::convertible_to<detail::result_of_start_t<F>, Value>
  [[nodiscard]] receiver<result> call_channel(
      Key key, F&& f, std::source_location here = std::source_location::current()) {
    const auto at = detail::current_start_point("sluice::singleflight");
    const auto results = make_channel<result>(1);
    std::shared_ptr<flight> mine;
    {
      const std::lock_guard guard(calls_->mutex);
      if (const auto entry = calls_->flights.find(key); entry != calls_->flights.end()) {
        entry->second->waiting.push_back(results);
        return results;
      }
      mine = std::make_shared<flight>(key);
      mine->waiting.push_back(results);
      calls_->flights.emplace(std::move(key), mine);
    }
    // From here on whoever waits is told, whatever throws.
    end_of_flight at_end(calls_, std::move(mine));
    auto body = detail::make_task(std::forward<F>(f));
    detail::start(at, run(std::move(body), std::move(at_end)), detail::starts_serial<F>, here);
    return results;
  }

  /// Makes the next call of `key` run its function, whether one is under way or not. Go's `Forget`.
  void forget(const Key& key) {
    const std::lock_guard guard(calls_->mutex);
    calls_->flights.erase(key);
  }

 private:
  struct flight {
    explicit flight(const Key& k) : key(k) {}
    const Key key;
    std::vector<channel<result>> waiting;
  };
  struct table {
    std::mutex mutex;
    std::unordered_map<Key, std::shared_ptr<flight>, Hash> flights;
  };

  /// Tells those who wait, also if the goroutine is destroyed before it has a result.
  class end_of_flight {
   public:
    end_of_flight(std::shared_ptr<table> t, std::shared_ptr<flight> f) noexcept
        : table_(std::move(t)), flight_(std::move(f)) {}
    end_of_flight(end_of_flight&&) noexcept = default;
    end_of_flight& operator=(end_of_flight&&) = delete;
    ~end_of_flight() {
      if (flight_)
        tell(std::nullopt, std::make_exception_ptr(system_error(asio::error::operation_aborted,
                                                                "sluice: singleflight")));
    }

    // Each gets a copy of his own; who cannot have one is told why, and the others do not notice.
    void tell(const std::optional<Value>& value, const std::exception_ptr& failure) {
      const auto landed = std::exchange(flight_, nullptr);
      {
        const std::lock_guard guard(table_->mutex);
        const auto entry = table_->flights.find(landed->key);
        if (entry != table_->flights.end() && entry->second == landed) table_->flights.erase(entry);
      }
      const bool shared = landed->waiting.size() > 1;
      for (const auto& ch : landed->waiting) {
        SLUICE_TRY {
          ch.try_send(result(value, failure, shared));
        }
        SLUICE_CATCH_ALL {
          ch.try_send(result(std::nullopt, std::current_exception(), shared));
        }
      }
    }

   private:
    std::shared_ptr<table> table_;
    std::shared_ptr<flight> flight_;
  };

  template <class T>
  static task<> run(task<T> what, end_of_flight at_end) {
    std::optional<Value> value;
    std::exception_ptr failure;
    SLUICE_TRY {
      value.emplace(co_await std::move(what));
    }
    SLUICE_CATCH_ALL {
      failure = std::current_exception();
    }
    at_end.tell(value, failure);
  }

  static task<result> wait_for(receiver<result> from, std::source_location here) {
    auto got = from.receive();
    co_return *co_await detail::awaited_at(got, here);
  }

  const std::shared_ptr<table> calls_;
};

}  // namespace sluice
