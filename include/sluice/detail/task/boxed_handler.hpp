// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/handler_arguments.hpp>
#include <sluice/detail/base/outstanding_work.hpp>
#include <sluice/detail/executor/pinned_wake.hpp>
#include <sluice/detail/executor/post_by.hpp>
#include <sluice/detail/scheduler/registered.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>

#include <memory>
#include <new>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

// A completion handler while a goroutine works for it.

namespace sluice::detail {

/// A completion handler in memory from its associated allocator, and its outstanding work.
template <class Handler>
class boxed_handler {
 public:
  boxed_handler(Handler&& handler, const executor& where) {
    typename traits::allocator_type allocator(asio::get_associated_allocator(handler));
    auto* const memory = traits::allocate(allocator, 1);
    SLUICE_TRY {
      box_ = ::new (static_cast<void*>(memory)) box(std::move(handler), where);
    }
    SLUICE_CATCH_ALL {
      traits::deallocate(allocator, memory, 1);
      detail::rethrow();
    }
  }
  boxed_handler(boxed_handler&& other) noexcept : box_(std::exchange(other.box_, nullptr)) {}
  boxed_handler& operator=(boxed_handler&&) = delete;
  // Its executor may have refused it.
  ~boxed_handler() {
    if (!box_) return;
    box_->work.reset();
    if (!pinned_wake::leave_to_end(home(), *box_)) box::free_parked(*box_);
  }

  using allocator_type = asio::associated_allocator_t<Handler>;
  [[nodiscard]] allocator_type get_allocator() const noexcept {
    return asio::get_associated_allocator(box_->handler);
  }

  /// The handler's cancellation slot. It stays where it is until the handler is taken.
  [[nodiscard]] auto slot() const noexcept {
    return asio::get_associated_cancellation_slot(box_->handler);
  }

  /// Calls the handler on its executor, when all its memory has been given back.
  /** Values that cannot be moved there make it a failure. */
  template <class Failure, class... Values>
  static void complete(boxed_handler self, Failure failure, Values&&... values) {
    const auto ex = self.box_->ex;
    detail::dispatch_to(ex, completion<Failure, std::decay_t<Values>...>(
                                std::move(self), failure, std::forward<Values>(values)...));
  }
  /// Calls `f` with the handler on its executor, never inside this call, when all its memory has
  /// been given back.
  /** `f` is moved on the way and does not throw there, so the handler is not lost. */
  template <class F>
  static void post(boxed_handler self, F f) {
    static_assert(std::is_nothrow_move_constructible_v<F>);
    const auto ex = self.box_->ex;
    keep_while_waking(ex);
    const executor by = self.box_->by;
    detail::post_by(by, ex, taken<F>(std::move(self), std::move(f)));
  }

  /// The scheduler whose shutdown ends what the handler runs on; null if that has no context.
  [[nodiscard]] scheduler* home() const noexcept { return box_->home; }

 private:
  using handler_executor = asio::associated_executor_t<Handler, executor>;

  struct box : parked_handler {
    box(Handler&& h, const executor& where)
        : parked_handler(&free_parked),
          handler(std::move(h)),
          by(where),
          ex(asio::get_associated_executor(handler, where)),
          home(home_of(ex)) {
      if (!is_found_in_deadlock()) work.emplace(ex);
    }

    /// Whether the goroutine that works for it is of the same context, and that finds deadlocks:
    /// what waits for a goroutine that waits is no work.
    [[nodiscard]] bool is_found_in_deadlock() const noexcept {
      return home && home->finds_deadlocks() && &where_of(by)->owner() == home;
    }

    static scheduler* home_of([[maybe_unused]] const handler_executor& ex) {
      if constexpr (has_execution_context<handler_executor>)
        return &scheduler_of(ex);
      else
        return nullptr;
    }

    static void free_parked(parked_handler& h) noexcept {
      auto& self = static_cast<box&>(h);
      free(&self, asio::get_associated_allocator(self.handler));
    }

    Handler handler;
    executor by;
    handler_executor ex;
    scheduler* home;
    std::optional<detail::outstanding_work<handler_executor>> work;
  };
  using traits = typename std::allocator_traits<allocator_type>::template rebind_traits<box>;

  [[nodiscard]] auto completion_memory() const noexcept {
    return completion_allocator_of<handler_executor>(box_->handler);
  }

  template <class Failure, class... Values>
  class completion {
   public:
    using allocator_type = completion_allocator<Handler, handler_executor>;
    template <class... V>
    completion(boxed_handler&& h, const Failure& failure, V&&... values)
        : handler_(std::move(h)), arguments_(std::in_place, failure, std::forward<V>(values)...) {}
    [[nodiscard]] allocator_type get_allocator() const noexcept {
      return handler_.completion_memory();
    }
    void operator()() { std::apply(handler_.take(), std::move(arguments_).get()); }

   private:
    boxed_handler handler_;
    handler_arguments<Failure, Values...> arguments_;
  };

  template <class F>
  class taken {
   public:
    using allocator_type = completion_allocator<Handler, handler_executor>;
    taken(boxed_handler&& h, F&& f) noexcept : handler_(std::move(h)), function_(std::move(f)) {}
    [[nodiscard]] allocator_type get_allocator() const noexcept {
      return handler_.completion_memory();
    }
    void operator()() { std::move(function_)(handler_.take()); }

   private:
    boxed_handler handler_;
    F function_;
  };

  [[nodiscard]] Handler take() {
    if (auto s = slot(); s.is_connected()) s.clear();
    Handler h(std::move(box_->handler));
    free(std::exchange(box_, nullptr), asio::get_associated_allocator(h));
    return h;
  }

  static void free(box* b, const allocator_type& a) noexcept {
    typename traits::allocator_type allocator(a);
    traits::destroy(allocator, b);
    traits::deallocate(allocator, b, 1);
  }

  box* box_ = nullptr;
};

}  // namespace sluice::detail
