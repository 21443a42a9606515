#pragma once

#include <sluice/detail/asio_compatibility.hpp>
#include <sluice/detail/lasting_target.hpp>
#include <sluice/detail/make_target.hpp>
#include <sluice/detail/outstanding_work.hpp>
#include <sluice/detail/party.hpp>
#include <sluice/detail/post_by.hpp>
#include <sluice/detail/scheduler.hpp>
#include <sluice/detail/waiter.hpp>
#include <sluice/detail/without_executor.hpp>
#include <sluice/error.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_type.hpp>

#include <memory>
#include <mutex>
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
 */
///
/// @tparam OnTheSpot The handler may be called wherever the operation completes, if that has no
/// executor of its own.
template <class Operation, class Handler, bool OnTheSpot>
class handler_operation final : public party, private parked_handler {
 public:
  /// @param where The operation's own executor; none if it has none.
  static void start(target_ptr where, Operation&& op, Handler&& handler) {
    const executor fallback(std::move(where));
    if (!has_place(handler, fallback))
      return detail::complete_without_executor<decltype(op.take_arguments())>(std::move(handler));
    if constexpr (tries_first)
      if (done_at_once(op)) {
        completion now(std::move(handler), op.take_arguments());
        const handler_executor ex = executor_for(now.handler(), fallback);
        return detail::complete_immediately(ex, std::move(now));
      }
    typename rebound::allocator_type allocator(asio::get_associated_allocator(handler));
    auto* const memory = rebound::allocate(allocator, 1);
    handler_operation* self = nullptr;
    try {
      self = ::new (static_cast<void*>(memory))
          handler_operation(std::move(op), std::move(handler), fallback);
    } catch (...) {
      rebound::deallocate(allocator, memory, 1);
      throw;
    }
    self->begin();
  }

 private:
  using handler_executor =
      std::conditional_t<OnTheSpot, executor, asio::associated_executor_t<Handler, executor>>;
  using rebound = typename std::allocator_traits<
      asio::associated_allocator_t<Handler>>::template rebind_traits<handler_operation>;

  /// Whether there is an executor to run the handler on, or none is needed.
  [[nodiscard]] static bool has_place(const Handler& handler, const executor& fallback) noexcept {
    if constexpr (!has_execution_context<handler_executor>)
      return static_cast<bool>(fallback.where());
    else if constexpr (std::is_same_v<handler_executor, executor> &&
                       (!OnTheSpot || requires { Operation::needs_executor; }))
      return static_cast<bool>(executor_for(handler, fallback).where());
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

  /// Whether what may happen at once is tried before there is an object for the wait.
  static constexpr bool tries_first = requires { Operation::often_ready; }
  &&!OnTheSpot && has_execution_context<handler_executor> &&
      std::is_nothrow_move_constructible_v<decltype(std::declval<Operation&>().take_arguments())>;

  [[nodiscard]] static bool done_at_once(Operation& op) {
    const auto& f = Operation::functions;
    byte_lock* const lock = f.lock(op);
    if (!lock || !f.ready(op)) return false;
    op.prepare();
    party nobody(nullptr, nullptr);
    op.begin(nobody);
    bool done = false;
    wake_list woken;
    {
      const std::lock_guard guard(*lock);
      done = attempt(op, woken);
    }
    woken.wake_all();
    op.who = nullptr;
    return done;
  }

  /// A handler on its way to its executor with what its operation has completed with.
  class completion {
   public:
    using allocator_type = asio::associated_allocator_t<Handler>;
    using arguments = decltype(std::declval<Operation&>().take_arguments());

    completion(Handler&& h, arguments&& all) : handler_(std::move(h)), arguments_(std::move(all)) {}

    [[nodiscard]] const Handler& handler() const noexcept { return handler_; }
    [[nodiscard]] allocator_type get_allocator() const noexcept {
      return asio::get_associated_allocator(handler_);
    }

    void operator()() { std::apply(std::move(handler_), std::move(arguments_)); }

   private:
    Handler handler_;
    arguments arguments_;
  };

  /// Owns the operation on its way to the handler's executor.
  class delivery {
   public:
    using allocator_type = completion_allocator<Handler, handler_executor>;

    explicit delivery(handler_operation& op) noexcept : op_(&op) {}
    delivery(delivery&& other) noexcept : op_(std::exchange(other.op_, nullptr)) {}
    delivery& operator=(delivery&&) = delete;
    ~delivery() {
      if (op_) op_->free();
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
    handler_operation* op;
    void operator()(asio::cancellation_type type) const {
      if (type != asio::cancellation_type::none) op->cancel();
    }
  };

  handler_operation(Operation&& op, Handler&& handler, const executor& fallback)
      : party(&wake_party, nullptr),
        parked_handler(&end_parked),
        handler_(std::move(handler)),
        executor_(executor_for(handler_, fallback)),
        operation_(std::move(op)) {
    if (!has_executor()) return;
    if constexpr (has_execution_context<handler_executor>) {
      home = &scheduler_of(executor_);
    } else {
      home = &scheduler_of(fallback);
      fallback_ = fallback;
    }
    work_.emplace(executor_);
    if (fallback.where() &&
        (!has_execution_context<handler_executor> || &fallback.where()->owner() != home))
      own_work_.emplace(fallback.where());
  }

  [[nodiscard]] bool has_executor() const noexcept {
    if constexpr (std::is_same_v<handler_executor, executor>)
      return static_cast<bool>(executor_.where());
    else
      return true;
  }

  void begin() {
    bool parked = false;
    try {
      if (auto slot = asio::get_associated_cancellation_slot(handler_); slot.is_connected())
        slot.template emplace<canceller>(this);
      parked = start_waiting();
    } catch (...) {
      clear_slot();
      free();
      throw;
    }
    if (parked) return;
    if (!has_executor())
      delivery{*this}();
    else if constexpr (has_execution_context<handler_executor>)
      detail::complete_immediately(executor_, delivery(*this));
    else
      post();
  }

  /// It may be gone when this returns.
  void post() {
    const executor by(std::exchange(fallback_, executor(target_ptr())));
    detail::post_by(by, executor_, delivery(*this));
  }

  /// @return False if it completed at once; otherwise it may be gone by then.
  bool start_waiting() {
    const auto& f = Operation::functions;
    operation_.begin(*this);
    operation_.prepare();
    bool waits = false;
    byte_lock* const lock = f.lock(operation_);
    wake_list woken;
    {
      const auto guard = lock ? std::unique_lock(*lock) : std::unique_lock<byte_lock>();
      if (!lock || !attempt(operation_, woken)) {
        if (lock) f.enlist(operation_);
        if (!home || home->try_add(static_cast<parked_handler&>(*this))) return true;
        waits = true;
      }
    }
    if (waits) {
      clear_slot();
      end_parked(*this);
      return true;
    }
    woken.wake_all();
    return false;
  }

  /// That moving the element throws is a completion, not a failure to start.
  [[nodiscard]] static bool attempt(Operation& op, wake_list& woken) noexcept {
    try {
      return Operation::functions.attempt(op, woken);
    } catch (...) {
      op.outcome = waiter::state::failed;
      return true;
    }
  }

  static void wake_party(party& p) noexcept {
    auto& self = static_cast<handler_operation&>(p);
    if (self.home && !self.home->remove(static_cast<parked_handler&>(self))) return;
    if (self.has_executor())
      self.post();
    else
      delivery{self}();
  }

  // Pinned from before the wait is ended until it has been woken, as everybody's who ends one.
  void cancel() {
    if (!home) return end_wait();
    if (const pinned_scheduler pinned{*home->link()}) end_wait();
  }

  void end_wait() {
    if (!withdraw()) return;
    operation_.outcome = waiter::state::aborted;
    wake_party(*this);
  }

  [[nodiscard]] bool withdraw() noexcept {
    const auto& f = Operation::functions;
    if (f.lock(operation_)) return f.withdraw(operation_);
    return !std::exchange(withdrawn_, true);
  }

  static void end_parked(parked_handler& h) noexcept {
    auto& self = static_cast<handler_operation&>(h);
    forget_waiter(self.operation_, Operation::functions);
    self.free();
  }

  void clear_slot() noexcept {
    if (auto slot = asio::get_associated_cancellation_slot(handler_); slot.is_connected())
      slot.clear();
  }

  void free() noexcept {
    typename rebound::allocator_type allocator(asio::get_associated_allocator(handler_));
    operation_.who = nullptr;
    this->~handler_operation();
    rebound::deallocate(allocator, this, 1);
  }

  // The work ends before the call, by the thread that makes it: whatever runs the handler counts
  // that itself.
  void invoke() {
    clear_slot();
    auto arguments = operation_.take_arguments();
    Handler handler(std::move(handler_));
    {
      typename rebound::allocator_type allocator(asio::get_associated_allocator(handler));
      operation_.who = nullptr;
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
  executor fallback_{target_ptr()};
  std::optional<lasting_work> own_work_;
  bool withdrawn_ = false;
};

}  // namespace sluice::detail
