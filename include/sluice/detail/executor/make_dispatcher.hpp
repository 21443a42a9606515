// SPDX-License-Identifier: BSL-1.0
// From an executor to a dispatcher: of this library's, of Asio's own contexts, or somebody else's,
// on which each node is one posted function.
#pragma once

#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/base/outstanding_work.hpp>
#include <sluice/detail/executor/pinned_wake.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

namespace sluice::detail {

template <class T>
inline constexpr bool is_strand = false;
template <class Executor>
inline constexpr bool is_strand<asio::strand<Executor>> = true;

template <class T>
inline constexpr bool is_native_executor = false;
template <class Allocator, std::uintptr_t Bits>
inline constexpr bool is_native_executor<asio::io_context::basic_executor_type<Allocator, Bits>> =
    true;
template <class Allocator, unsigned int Bits>
inline constexpr bool is_native_executor<asio::thread_pool::basic_executor_type<Allocator, Bits>> =
    true;

/// The context of an executor of either of Asio's two models.
template <class Executor>
  requires asio::can_query<const Executor&, asio::execution::context_t>::value ||
           requires(const Executor& ex) { ex.context(); }
[[nodiscard]] auto& context_of(const Executor& ex) noexcept {
  if constexpr (asio::can_query<const Executor&, asio::execution::context_t>::value)
    return asio::query(ex, asio::execution::context);
  else
    return ex.context();
}

template <class Executor>
concept has_execution_context = requires(const Executor& ex) {
  { detail::context_of(ex) } -> std::convertible_to<asio::execution_context&>;
};

/// A node on its way through somebody else's executor.
class node_in_flight {
 public:
  node_in_flight(ready_node& node, dispatcher& where) noexcept : node_(&node), where_(where) {}
  node_in_flight(node_in_flight&& other) noexcept
      : node_(std::exchange(other.node_, nullptr)), where_(std::move(other.where_)) {}
  node_in_flight& operator=(node_in_flight&&) = delete;
  ~node_in_flight() {
    if (node_) node_->run(*node_, nullptr);
  }

  void operator()() { where_->owner().run_here(*std::exchange(node_, nullptr)); }

 private:
  ready_node* node_;
  dispatcher_ptr where_;
};

template <class Executor>
void keep_while_waking(const Executor& ex) noexcept;

template <class Executor>
[[nodiscard]] dispatcher_ptr dispatcher_of(const Executor& ex);

/// A strand, or an executor that this library does not know: one `post` for each node.
template <class Executor>
class executor_dispatcher final : public dispatcher {
 public:
  executor_dispatcher(scheduler& owner, Executor ex)
      : dispatcher(owner, is_strand<Executor> ? kind::serial : kind::foreign),
        executor_(std::move(ex)) {}

  void schedule(ready_node& node) override {
    keep_while_waking(executor_);
    if (owner().shutting_down())
      node.run(node, nullptr);
    else if constexpr (std::is_same_v<Executor, asio::strand<executor>>)
      // As `asio::post` does, without its copies for properties that make no difference here.
      executor_.require(asio::execution::blocking.never).execute(node_in_flight(node, *this));
    else
      asio::post(executor_, node_in_flight(node, *this));
  }

  bool try_run_here(void (*f)(void*), void* arg) override {
    if (!running_in_this_thread()) return false;
    f(arg);
    return true;
  }

  [[nodiscard]] bool running_in_this_thread() const noexcept override {
    if constexpr (requires { executor_.running_in_this_thread(); })
      return executor_.running_in_this_thread();
    else
      return false;
  }

  void work_started() noexcept override {
    const std::lock_guard guard(lock_);
    if (work_count_++ == 0) work_.emplace(executor_);
  }

  void work_finished() noexcept override {
    const std::lock_guard guard(lock_);
    if (--work_count_ == 0) work_.reset();
  }

  [[nodiscard]] asio::any_io_executor to_any_executor() const override {
    if constexpr (std::is_convertible_v<Executor, asio::any_io_executor>)
      return executor_;
    else
      return executor(dispatcher_ptr(const_cast<executor_dispatcher&>(*this)));
  }

  [[nodiscard]] dispatcher_ptr without_strand() override;

 private:
  ~executor_dispatcher() = default;
  void destroy() noexcept override { delete this; }

  Executor executor_;
  byte_lock lock_;
  std::size_t work_count_ = 0;
  std::optional<outstanding_work<Executor>> work_;
};

template <class Executor>
dispatcher_ptr executor_dispatcher<Executor>::without_strand() {
  if constexpr (is_strand<Executor>)
    return dispatcher_of(executor_.get_inner_executor());
  else
    return dispatcher_ptr(*this);
}

/// An executor of Asio's contexts that counts outstanding work.
template <class Context>
using tracked_executor = decltype(asio::require(std::declval<typename Context::executor_type>(),
                                                asio::execution::outstanding_work.tracked));

/// Whether it is one of `Known`; calls `f` with it then.
template <class... Known, class F>
bool visit_erased(const asio::any_io_executor& ex, F f) {
  const auto visit = [&](const auto* known) {
    if (known) f(*known);
    return known != nullptr;
  };
  return (visit(ex.template target<Known>()) || ...);
}

template <class Executor>
[[nodiscard]] scheduler& scheduler_of(const Executor& ex);

/// The scheduler of an executor's context.
/** It is told the context's own executor if `ex` shows the type of its context, also under a strand
 * or erased. */
template <class Executor>
[[nodiscard]] scheduler& scheduler_of(const Executor& ex) {
  if constexpr (own_executor<Executor>) {
    return where_of(ex)->owner();
  } else if constexpr (is_strand<Executor>) {
    return scheduler_of(ex.get_inner_executor());
  } else if constexpr (is_native_executor<Executor>) {
    return scheduler::of(context_of(ex));
  } else {
    if constexpr (std::is_same_v<Executor, asio::any_io_executor>) {
      scheduler* known = nullptr;
      if (visit_erased<asio::io_context::executor_type, asio::thread_pool::executor_type, executor,
                       tracked_executor<asio::io_context>, tracked_executor<asio::thread_pool>,
                       asio::strand<executor>, asio::strand<asio::io_context::executor_type>,
                       asio::strand<asio::thread_pool::executor_type>,
                       asio::strand<asio::any_io_executor>>(
              ex, [&](const auto& inside) { known = &scheduler_of(inside); }))
        return *known;
    }
    return scheduler::of(context_of(ex));
  }
}

/// Calls `f` with the part of an executor that may own its context.
/** Not a strand of Asio's, which must go before its context does, but what is beneath it. */
template <class Executor, class F>
void visit_owner(const Executor& ex, F f) {
  if constexpr (own_executor<Executor> || is_native_executor<Executor>) {
  } else if constexpr (is_strand<Executor>) {
    detail::visit_owner(ex.get_inner_executor(), f);
  } else if constexpr (std::is_same_v<Executor, asio::any_io_executor>) {
    if (!visit_erased<asio::io_context::executor_type, asio::thread_pool::executor_type, executor,
                      tracked_executor<asio::io_context>, tracked_executor<asio::thread_pool>,
                      asio::strand<executor>, asio::strand<asio::io_context::executor_type>,
                      asio::strand<asio::thread_pool::executor_type>,
                      asio::strand<asio::any_io_executor>>(ex, [](const auto&) {}))
      f(ex);
  } else {
    f(ex);
  }
}

/// If this thread is waking somebody, keeps what may own the executor's context until it has.
template <class Executor>
void keep_while_waking(const Executor& ex) noexcept {
  if constexpr (!own_executor<Executor> && !is_native_executor<Executor>)
    if (pinned_wake* const here = pinned_wake::under_way())
      detail::visit_owner(ex, [here](const auto& owner) { here->keep(owner); });
}

/// The dispatcher on which the goroutines and handlers of an executor run.
template <class Executor>
[[nodiscard]] dispatcher_ptr dispatcher_of(const Executor& ex) {
  static_assert(has_execution_context<Executor>,
                "sluice needs an executor that has an execution context");
  if constexpr (own_executor<Executor>) {
    return where_of(ex);
  } else if constexpr (is_native_executor<Executor>) {
    return dispatcher_ptr(scheduler_of(ex));
  } else {
    dispatcher_ptr known;
    if constexpr (std::is_same_v<Executor, asio::any_io_executor>)
      if (visit_erased<asio::io_context::executor_type, asio::thread_pool::executor_type, executor,
                       tracked_executor<asio::io_context>, tracked_executor<asio::thread_pool>,
                       asio::strand<executor>>(
              ex, [&](const auto& inside) { known = dispatcher_of(inside); }))
        return known;
    return dispatcher_ptr(*new executor_dispatcher<Executor>(scheduler_of(ex), ex));
  }
}

}  // namespace sluice::detail
