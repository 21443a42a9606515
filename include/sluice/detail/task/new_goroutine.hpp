// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/scheduler_link.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/task.hpp>

#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/post.hpp>

#include <coroutine>
#include <source_location>
#include <stdexcept>
#include <utility>

// From a coroutine's frame to a goroutine that runs.

namespace sluice::detail {

/// A goroutine that is made and not started yet. It ends with this unless it is started.
/** Until then the end of its context waits. Used by one thread, in one function. */
class new_goroutine {
 public:
  /// Takes over the frame. Empty, and the frame destroyed, if its context is ending.
  /** @throws std::bad_alloc; the frame is destroyed then. */
  SLUICE_DECL new_goroutine(start_point at, std::coroutine_handle<> frame, promise_base& root,
                            bool serial, std::source_location where_started);
  /// @throws std::bad_alloc; std::invalid_argument for a task that was moved from
  template <class T>
  new_goroutine(start_point at, task<T> what, bool serial, std::source_location where_started)
      : new_goroutine(std::move(at), what.release(), serial, where_started) {}
  new_goroutine(const new_goroutine&) = delete;
  new_goroutine& operator=(const new_goroutine&) = delete;
  ~new_goroutine() {
    if (g_) give_up();
  }

  explicit operator bool() const noexcept { return g_ != nullptr; }
  [[nodiscard]] goroutine& operator*() const noexcept { return *g_; }

  /// Gives it to the caller, who runs it.
  [[nodiscard]] goroutine& take() noexcept {
    pinned_ = pinned_scheduler();
    return *std::exchange(g_, nullptr);
  }

  /// Makes it ready. It may have ended when this returns.
  /** @throws What its executor throws, if that is not a scheduler's own. */
  SLUICE_DECL void start();

 private:
  template <class Promise>
  new_goroutine(start_point at, std::coroutine_handle<Promise> frame, bool serial,
                std::source_location where_started)
      : new_goroutine(std::move(at), frame, promise_of(frame), serial, where_started) {}

  template <class Promise>
  [[nodiscard]] static Promise& promise_of(std::coroutine_handle<Promise> frame) {
    if (!frame)
      detail::throw_exception(std::invalid_argument("sluice: go with a task that was moved from"));
    return frame.promise();
  }

  SLUICE_DECL void give_up() noexcept;

  goroutine* g_ = nullptr;
  pinned_scheduler pinned_;
};

/// What is done to a goroutine before it is made ready: nothing.
struct as_it_is {
  void operator()(goroutine&) const noexcept {}
};

/// Starts a goroutine; a context that is ending destroys it instead.
/** @param prepare Called with it before it is made ready. */
template <class T, class Prepare = as_it_is>
void start(start_point at, task<T> what, bool serial, std::source_location where_started,
           const Prepare& prepare = {}) {
  new_goroutine g(std::move(at), std::move(what), serial, where_started);
  if (!g) return;
  prepare(*g);
  g.start();
}

/// The running goroutine is about to end with an exception that leaves `run()`: calls `last` when
/// the context has its next turn after that.
/** For a context that ends with the first failure, as `sluice::run`'s, that is never; `last` is
 * destroyed with it. Posted behind the end of such a context, so no thread runs it before. */
template <class F>
void after_failure(F last) {
  const goroutine& g = current_goroutine("sluice");
  g.home->one_fails();
  asio::post(g.home->event_loop_executor(*g.where), std::move(last));
}

/// Passes requests for cancellation on to a goroutine.
struct goroutine_canceller {
  explicit goroutine_canceller(cancellation_ref t) noexcept : target(std::move(t)) {}
  cancellation_ref target;
  void operator()(asio::cancellation_type type) const noexcept { target->request(type); }
};

}  // namespace sluice::detail
