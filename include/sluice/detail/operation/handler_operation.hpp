// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/asio_compatibility.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/outstanding_work.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/executor/make_dispatcher.hpp>
#include <sluice/detail/executor/pinned_wake.hpp>
#include <sluice/detail/executor/post_by.hpp>
#include <sluice/detail/operation/without_executor.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/waker.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/error.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_type.hpp>

#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// An operation that was given a completion handler.
/**
 * It lives in memory from the handler's associated allocator, all of which is given back before the
 * handler is called. The handler runs on its associated executor, by default the operation's own;
 * both have outstanding work until then. The handler's context, at its end, destroys the operation;
 * the operation's own, if that is another one, may end before, and only its work is given up. When
 * the handler is called, nothing is left that refers to either: it may destroy both. Any type of
 * cancellation ends a parked operation, which then has had no effect.
 *
 * @tparam Operation Has `take_arguments()`, `keep()` and:
 * - `done_for_handler()`, if it is `often_ready`: does the operation on the stack, if it needs no
 *   wait, and says whether it did;
 * - `begin_for_handler(waker, parked_handler)`: does the operation or begins its wait. For an
 *   operation that may launch Asio operations a third argument gives the dispatcher on which those
 *   complete; it is called right before the launch;
 * - `cancel_for_handler()`: ends the wait, and says whether this call has ended it. May be called
 *   until the operation ends;
 * - `woken_for_handler(leaves)`: called by whoever has ended the wait; `leaves` says that the
 *   scheduler may end before the handler is called;
 * - `forget()`: ends the wait of an operation that is destroyed while it waits;
 * - `end_for_handler()`: called before an operation that does not wait is destroyed;
 * - `abandoned()`, if it may launch Asio operations: whether one of them has dropped its handler.
 *   Then this operation is dropped too;
 * - `waits_for_goroutines`, if it is goroutines of its own executor's that end its wait: they are
 *   what keeps that executor's context at work.
 * @tparam OnTheSpot The handler may be called wherever the operation completes, if that has no
 * executor of its own.
 */
template <class Operation, class Handler, bool OnTheSpot>
class handler_operation final : public waker, private parked_handler {
 public:
  /// @param own The operation's own executor; none if it has none. Given up before anything of the
  /// user's is called or destroyed here.
  static void start(pinned_dispatcher& own, Operation&& op, Handler&& handler) {
    const executor fallback = detail::executor_on(*own);
    if (!has_executor_for(handler, fallback))
      return detail::complete_without_executor<arguments_type>(std::move(handler));
    if constexpr (tries_first)
      if (op.done_for_handler()) {
        completion now(std::move(handler), op.take_arguments());
        const handler_executor ex = executor_for(now.handler(), fallback);
        if constexpr (completes_elsewhere) own = {};
        return detail::complete_immediately(ex, std::move(now));
      }
    typename rebound::allocator_type allocator(asio::get_associated_allocator(handler));
    auto* const memory = rebound::allocate(allocator, 1);
    handler_operation* self = nullptr;
    SLUICE_TRY {
      self = ::new (static_cast<void*>(memory))
          handler_operation(std::move(op), std::move(handler), fallback);
    }
    SLUICE_CATCH_ALL {
      rebound::deallocate(allocator, memory, 1);
      detail::rethrow();
    }
    self->begin(own);
  }

 private:
  using arguments_type = decltype(std::declval<Operation&>().take_arguments());
  using handler_executor =
      std::conditional_t<OnTheSpot, executor, asio::associated_executor_t<Handler, executor>>;
  using rebound = typename std::allocator_traits<
      asio::associated_allocator_t<Handler>>::template rebind_traits<handler_operation>;

  /// Whether there is an executor to run the handler on, or none is needed.
  [[nodiscard]] static bool has_executor_for(const Handler& handler,
                                             const executor& fallback) noexcept {
    if constexpr (!has_execution_context<handler_executor>)
      return static_cast<bool>(where_of(fallback));
    else if constexpr (std::is_same_v<handler_executor, executor> &&
                       (!OnTheSpot || requires { Operation::needs_executor; }))
      return static_cast<bool>(where_of(executor_for(handler, fallback)));
    else
      return true;
  }

  [[nodiscard]] static handler_executor executor_for(const Handler& handler,
                                                     const executor& fallback) noexcept {
    if constexpr (OnTheSpot)
      return fallback;
    else
      return asio::get_associated_executor(handler, fallback);
  }

  /// Whether what completes at once is given to an executor of the user's.
  static constexpr bool completes_elsewhere =
      !std::is_same_v<handler_executor, executor> || has_own_immediate_executor<Handler>;

  static constexpr bool waits_for_goroutines =
      requires { requires Operation::waits_for_goroutines; };
  static constexpr bool may_launch = requires(const Operation& op) { op.abandoned(); };

  /// Whether what may happen at once is tried before there is an object for the wait.
  static constexpr bool tries_first = requires { requires Operation::often_ready; } && !OnTheSpot &&
                                      has_execution_context<handler_executor> &&
                                      std::is_nothrow_move_constructible_v<arguments_type> &&
                                      std::is_nothrow_move_constructible_v<Handler>;

  /// A handler on its way to its executor with what its operation has completed with.
  class completion {
   public:
    using allocator_type = asio::associated_allocator_t<Handler>;

    completion(Handler&& h, arguments_type&& all)
        : handler_(std::move(h)), arguments_(std::move(all)) {}

    [[nodiscard]] const Handler& handler() const noexcept { return handler_; }
    [[nodiscard]] allocator_type get_allocator() const noexcept {
      return asio::get_associated_allocator(handler_);
    }

    void operator()() { std::apply(std::move(handler_), std::move(arguments_)); }

   private:
    Handler handler_;
    arguments_type arguments_;
  };

  /// Owns the operation on its way to the handler's executor.
  class delivery {
   public:
    using allocator_type = completion_allocator<Handler, handler_executor>;

    explicit delivery(handler_operation& op) noexcept : op_(&op) {}
    delivery(delivery&& other) noexcept : op_(std::exchange(other.op_, nullptr)) {}
    delivery& operator=(delivery&&) = delete;
    ~delivery() {
      if (op_) op_->refuse();
    }

    [[nodiscard]] const Handler& handler() const noexcept { return op_->handler_; }
    [[nodiscard]] allocator_type get_allocator() const noexcept {
      return completion_allocator_of<handler_executor>(handler());
    }

    void operator()() { std::exchange(op_, nullptr)->invoke(); }

   private:
    handler_operation* op_;
  };

  struct canceller {
    // The constructor is for clang 15, which makes no aggregate of an argument in parentheses.
    explicit canceller(handler_operation* o) noexcept : op(o) {}
    handler_operation* op;
    void operator()(asio::cancellation_type type) const {
      if (type != asio::cancellation_type::none) op->cancel();
    }
  };

  handler_operation(Operation&& op, Handler&& handler, const executor& fallback)
      : waker(&wake_handler, nullptr),
        parked_handler(&end_parked),
        handler_(std::move(handler)),
        executor_(executor_for(handler_, fallback)),
        operation_(std::move(op)) {
    operation_.keep();
    if (!has_executor()) return;
    if constexpr (has_execution_context<handler_executor>) {
      home = &scheduler_of(executor_);
    } else {
      home = &scheduler_of(fallback);
      fallback_ = fallback;
    }
    if (is_found_in_deadlock(fallback)) return;
    work_.emplace(executor_);
    if constexpr (waits_for_goroutines) return;
    if (where_of(fallback) &&
        (!has_execution_context<handler_executor> || &where_of(fallback)->owner() != home))
      own_work_.emplace(where_of(fallback));
  }

  [[nodiscard]] bool has_executor() const noexcept {
    if constexpr (std::is_same_v<handler_executor, executor>)
      return static_cast<bool>(where_of(executor_));
    else
      return true;
  }

  /// Whether it waits for goroutines of the handler's own context, and that finds deadlocks: what
  /// waits for a goroutine that waits is no work.
  [[nodiscard]] bool is_found_in_deadlock([[maybe_unused]] const executor& own) const noexcept {
    if constexpr (waits_for_goroutines)
      return home->finds_deadlocks() && where_of(own) && &where_of(own)->owner() == home;
    else
      return false;
  }

  void begin(pinned_dispatcher& own) {
    auto state = begun::refused;
    SLUICE_TRY {
      if (auto slot = asio::get_associated_cancellation_slot(handler_); slot.is_connected())
        slot.template emplace<canceller>(this);
      if constexpr (may_launch)
        state = operation_.begin_for_handler(*this, *this, [this, &own] {
          dispatcher_ptr where = handler_dispatcher();
          own = {};
          return where;
        });
      else
        state = operation_.begin_for_handler(*this, *this);
    }
    SLUICE_CATCH_ALL {
      clear_slot();
      own = {};
      free();
      detail::rethrow();
    }
    if (state == begun::waits) return;
    if (state == begun::refused) {
      clear_slot();
      own = {};
      return end_parked(*this);
    }
    if (!has_executor() || completes_elsewhere) own = {};
    if (!has_executor())
      delivery{*this}();
    else if constexpr (has_execution_context<handler_executor>)
      detail::complete_immediately(executor_, delivery(*this));
    else
      post();
  }

  /// Where the handler's executor runs what this library gives it.
  [[nodiscard]] dispatcher_ptr handler_dispatcher() const {
    if constexpr (has_execution_context<handler_executor>)
      return dispatcher_of(executor_);
    else
      return where_of(fallback_);
  }

  /// It may be gone when this returns.
  void post() {
    keep_while_waking(executor_);
    const executor by(std::exchange(fallback_, detail::executor_on(dispatcher_ptr())));
    detail::post_by(by, executor_, delivery(*this));
  }

  static void wake_handler(waker& p) noexcept {
    auto& self = static_cast<handler_operation&>(p);
    if (self.home && !self.home->remove(static_cast<parked_handler&>(self))) return;
    self.operation_.woken_for_handler(!has_execution_context<handler_executor>);
    if (self.has_executor())
      self.post();
    else
      delivery{self}();
  }

  // Pinned from before the wait is ended until it has been woken, as everybody's who ends one.
  void cancel() {
    if (!home) return end_wait();
    if (const pinned_wake here{pinned_scheduler(*home->link())}) end_wait();
  }

  void end_wait() {
    if (operation_.cancel_for_handler()) wake_handler(*this);
  }

  static void end_parked(parked_handler& h) noexcept {
    auto& self = static_cast<handler_operation&>(h);
    self.operation_.forget();
    self.free();
  }

  /// The handler's executor has destroyed the function that was to call the handler. The operation
  /// may be left to its context's end; its work is over now.
  void refuse() noexcept {
    work_.reset();
    own_work_.reset();
    this->end = [](parked_handler& h) noexcept { static_cast<handler_operation&>(h).free(); };
    if (!pinned_wake::leave_to_end(home, *this)) free();
  }

  void clear_slot() noexcept {
    if (auto slot = asio::get_associated_cancellation_slot(handler_); slot.is_connected())
      slot.clear();
  }

  void free() noexcept {
    typename rebound::allocator_type allocator(asio::get_associated_allocator(handler_));
    operation_.end_for_handler();
    this->~handler_operation();
    rebound::deallocate(allocator, this, 1);
  }

  /// Frees what is not called, or cannot be moved to its call.
  struct freed_unless_called {
    handler_operation* op;
    ~freed_unless_called() {
      if (op) op->free();
    }
  };

  // The work ends before the call, by the thread that makes it: whatever runs the handler counts
  // that itself.
  void invoke() {
    freed_unless_called self{this};
    clear_slot();
    if constexpr (may_launch)
      if (operation_.abandoned()) return;
    auto arguments = operation_.take_arguments();
    Handler handler(std::move(handler_));
    self.op = nullptr;
    {
      typename rebound::allocator_type allocator(asio::get_associated_allocator(handler));
      operation_.end_for_handler();
      this->~handler_operation();
      rebound::deallocate(allocator, this, 1);
    }
    std::apply(std::move(handler), std::move(arguments));
  }

  Handler handler_;
  handler_executor executor_;
  Operation operation_;
  std::optional<outstanding_work<handler_executor>> work_;
  /// By which a handler is run whose executor has no context.
  executor fallback_ = detail::executor_on(dispatcher_ptr());
  std::optional<lasting_work> own_work_;
};

}  // namespace sluice::detail
