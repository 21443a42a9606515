// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/access.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/recycling.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>

#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace sluice {

namespace detail {

/// Calls a function that is not needed any more.
template <class Function>
void call_once(Function& f) {
  if constexpr (std::is_invocable_v<Function>)
    std::move(f)();
  else
    f();
}

/// Recycled memory as a standard allocator: what functions are queued in unless they say otherwise.
template <class T>
class recycling_allocator {
 public:
  using value_type = T;

  recycling_allocator() noexcept = default;
  template <class U>
  recycling_allocator(const recycling_allocator<U>&) noexcept {}

  [[nodiscard]] T* allocate(std::size_t n) const {
    if constexpr (alignof(T) > __STDCPP_DEFAULT_NEW_ALIGNMENT__)
      return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{alignof(T)}));
    else
      return static_cast<T*>(allocate_recycled(n * sizeof(T)));
  }
  void deallocate(T* memory, std::size_t n) const noexcept {
    if constexpr (alignof(T) > __STDCPP_DEFAULT_NEW_ALIGNMENT__)
      ::operator delete(memory, std::align_val_t{alignof(T)});
    else
      deallocate_recycled(memory, n * sizeof(T));
  }

  friend bool operator==(recycling_allocator, recycling_allocator) noexcept { return true; }
};

/// A function queued to run once, in memory of an allocator, which has it back before the call.
template <class Function, class Allocator>
class function_node final : ready_node {
 public:
  template <class F>
  static ready_node& make(F&& f, const Allocator& from) {
    allocator_type allocator(from);
    function_node* const memory = traits::allocate(allocator, 1);
    SLUICE_TRY {
      return *::new (static_cast<void*>(memory)) function_node(std::forward<F>(f), from);
    }
    SLUICE_CATCH_ALL {
      traits::deallocate(allocator, memory, 1);
      detail::rethrow();
    }
  }

 private:
  using traits = typename std::allocator_traits<Allocator>::template rebind_traits<function_node>;
  using allocator_type = typename traits::allocator_type;

  template <class F>
  function_node(F&& f, const Allocator& allocator)
      : ready_node(&run_and_free), function_(std::forward<F>(f)), allocator_(allocator) {}

  static void run_and_free(ready_node& node, worker* w) {
    auto& self = static_cast<function_node&>(node);
    Function f(std::move(self.function_));
    allocator_type allocator(self.allocator_);
    self.~function_node();
    traits::deallocate(allocator, &self, 1);
    if (w) detail::call_once(f);
  }

  Function function_;
  [[no_unique_address]] Allocator allocator_;
};

/// `execute` of this library's executors.
template <class F, class Allocator>
void run_or_queue(dispatcher& where, bool may_run_here, F&& f, const Allocator& allocator) {
  using function = std::decay_t<F>;
  using given = std::remove_reference_t<F>;
  if constexpr (std::is_function_v<given>) {
    detail::run_or_queue(where, may_run_here, function(f), allocator);
  } else {
    constexpr auto call = [](void* p) {
      function f_here(std::forward<F>(*static_cast<given*>(p)));
      detail::call_once(f_here);
    };
    void* const address = const_cast<std::remove_const_t<given>*>(std::addressof(f));
    if (may_run_here && where.try_run_here(call, address)) return;
    where.schedule(function_node<function, Allocator>::make(std::forward<F>(f), allocator));
  }
}

template <class Allocator>
class allocating_executor;

/// Whether an allocator stands for none: the standard one, `execution::allocator` without one, or
/// one of void that has no state and allocates nothing itself.
/** Such a one is what Asio's strands ask for, for each of their turns: memory that Asio recycles.
 */
template <class T>
inline constexpr bool is_default_allocator =
    std::is_empty_v<T> && std::is_void_v<typename T::value_type> &&
    !requires(T a) { a.allocate(std::size_t{1}); };
template <>
inline constexpr bool is_default_allocator<void> = true;
template <class T>
inline constexpr bool is_default_allocator<std::allocator<T>> = true;

/// What can be required of an `executor` and gives another.
template <class T>
concept executor_property = std::same_as<T, asio::execution::blocking_t::possibly_t> ||
                            std::same_as<T, asio::execution::blocking_t::never_t> ||
                            std::same_as<T, asio::execution::relationship_t::fork_t> ||
                            std::same_as<T, asio::execution::relationship_t::continuation_t> ||
                            std::same_as<T, asio::execution::outstanding_work_t::tracked_t> ||
                            std::same_as<T, asio::execution::outstanding_work_t::untracked_t>;

}  // namespace detail

/// The executor that goroutines run on: the user's executor, with a ready list in front of it.
/**
 * `execute` links the function into the scheduler's ready list, which one posted handler drains: a
 * hop costs tens of nanoseconds, also through an `asio::strand<sluice::executor>`. It satisfies
 * Asio's executor requirements, with the properties `blocking` (possibly, never), `relationship`,
 * `outstanding_work` and `allocator`, and converts to `asio::any_io_executor`. What is posted with
 * an associated allocator is queued in memory from that, which has it back before the call; the
 * standard allocator, and one of void without state and without `allocate`, stand for none.
 *
 * Obtained from `co_await asio::this_coro::executor` (as a strand) or made from a context:
 * @code
 * sluice::executor ex = sluice::get_executor(io);
 * asio::strand<sluice::executor> strand(ex);
 * @endcode
 *
 * @par Thread safety
 * Distinct objects: safe. Shared objects: safe.
 *
 * Source: the executor requirements of the Asio documentation.
 */
class SLUICE_DECL executor {
 public:
  /// The copy of one that is outstanding work is work too.
  executor(const executor& other) noexcept
      : dispatcher_(other.dispatcher_),
        never_blocking_(other.never_blocking_),
        continuation_(other.continuation_),
        tracked_(other.tracked_) {
    if (tracked_) dispatcher_->work_started();
  }

  /// What it is moved from is no outstanding work any more.
  executor(executor&& other) noexcept
      : dispatcher_(std::move(other.dispatcher_)),
        never_blocking_(other.never_blocking_),
        continuation_(other.continuation_),
        tracked_(std::exchange(other.tracked_, false)) {}

  /// What it was is outstanding work no longer.
  executor& operator=(executor other) noexcept {
    std::swap(dispatcher_, other.dispatcher_);
    std::swap(never_blocking_, other.never_blocking_);
    std::swap(continuation_, other.continuation_);
    std::swap(tracked_, other.tracked_);
    return *this;
  }

  ~executor() {
    if (tracked_) dispatcher_->work_finished();
  }

  /// The context that the functions run on.
  [[nodiscard]] SLUICE_DECL asio::execution_context& context() const noexcept;

  /// Whether this thread is running functions of this executor.
  [[nodiscard]] bool running_in_this_thread() const noexcept {
    return dispatcher_->running_in_this_thread();
  }

  /// Runs a copy of `f`, or what is moved from it: now if that is allowed and this thread may,
  /// otherwise later.
  /**
   * Inside the call nothing runs but `f`. If that completes an operation that a goroutine awaits,
   * this goroutine goes on inside `f`, as a coroutine of Asio's does. As on a strand of Asio's, a
   * stackful coroutine must not be suspended inside it.
   *
   * @throws std::bad_alloc and whatever moving `f` throws; what `f` throws, if it ran inside the
   * call.
   */
  template <class F>
  void execute(F&& f) const {
    detail::run_or_queue(*dispatcher_, !never_blocking_, std::forward<F>(f),
                         detail::recycling_allocator<void>());
  }

  /// Counts outstanding work, for `asio::strand` and work guards of the older executor model.
  void on_work_started() const noexcept { dispatcher_->work_started(); }
  /// Takes back what `on_work_started` has counted.
  void on_work_finished() const noexcept { dispatcher_->work_finished(); }

  /// The property of Asio's executors: its context.
  [[nodiscard]] asio::execution_context& query(asio::execution::context_t) const noexcept {
    return context();
  }
  /// The property: whether `execute` may run a function inside the call.
  [[nodiscard]] asio::execution::blocking_t query(asio::execution::blocking_t) const noexcept {
    return never_blocking_ ? asio::execution::blocking_t(asio::execution::blocking.never)
                           : asio::execution::blocking_t(asio::execution::blocking.possibly);
  }
  /// The property: whether it is outstanding work of its context.
  [[nodiscard]] asio::execution::outstanding_work_t query(
      asio::execution::outstanding_work_t) const noexcept {
    return tracked_
               ? asio::execution::outstanding_work_t(asio::execution::outstanding_work.tracked)
               : asio::execution::outstanding_work_t(asio::execution::outstanding_work.untracked);
  }
  /// The property: whether what it is given continues what runs.
  [[nodiscard]] asio::execution::relationship_t query(
      asio::execution::relationship_t) const noexcept {
    return continuation_
               ? asio::execution::relationship_t(asio::execution::relationship.continuation)
               : asio::execution::relationship_t(asio::execution::relationship.fork);
  }
  /// The property: functions run on threads.
  [[nodiscard]] static constexpr asio::execution::mapping_t query(
      asio::execution::mapping_t) noexcept {
    return asio::execution::mapping.thread;
  }
  /// The property: the standard allocator stands for this library's own recycled memory.
  template <class Allocator>
  [[nodiscard]] static constexpr std::allocator<void> query(
      asio::execution::allocator_t<Allocator>) noexcept {
    return {};
  }

  /// An allocator that stands for none means this library's own recycled memory.
  template <class Allocator>
    requires detail::is_default_allocator<Allocator>
  [[nodiscard]] const executor& require(asio::execution::allocator_t<Allocator>) const& noexcept {
    return *this;
  }
  /// The same of one that is not kept.
  template <class Allocator>
    requires detail::is_default_allocator<Allocator>
  [[nodiscard]] executor require(asio::execution::allocator_t<Allocator>) && noexcept {
    return std::move(*this);
  }
  /// The same executor with another property.
  template <detail::executor_property Property>
  [[nodiscard]] executor require(Property p) const& noexcept {
    executor result(*this);
    result.set(p);
    return result;
  }
  /// The same of one that is not kept.
  template <detail::executor_property Property>
  [[nodiscard]] executor require(Property p) && noexcept {
    set(p);
    return std::move(*this);
  }
  /// The same executor, which queues functions in an allocator's memory.
  template <class Allocator>
    requires(!detail::is_default_allocator<Allocator>)
  [[nodiscard]] detail::allocating_executor<Allocator> require(
      asio::execution::allocator_t<Allocator> property) const noexcept {
    return {*this, property.value()};
  }

  /// Whether both run functions in the same place and in the same way.
  friend bool operator==(const executor& a, const executor& b) noexcept {
    return a.dispatcher_.get() == b.dispatcher_.get() && a.never_blocking_ == b.never_blocking_ &&
           a.continuation_ == b.continuation_;
  }
  /// The opposite.
  friend bool operator!=(const executor& a, const executor& b) noexcept { return !(a == b); }

 private:
  friend struct detail::access;

  explicit executor(detail::dispatcher_ptr where) noexcept : dispatcher_(std::move(where)) {}

  void set(asio::execution::blocking_t::possibly_t) noexcept { never_blocking_ = false; }
  void set(asio::execution::blocking_t::never_t) noexcept { never_blocking_ = true; }
  void set(asio::execution::relationship_t::fork_t) noexcept { continuation_ = false; }
  void set(asio::execution::relationship_t::continuation_t) noexcept { continuation_ = true; }
  void set(asio::execution::outstanding_work_t::tracked_t) noexcept {
    if (!std::exchange(tracked_, true)) dispatcher_->work_started();
  }
  void set(asio::execution::outstanding_work_t::untracked_t) noexcept {
    if (std::exchange(tracked_, false)) dispatcher_->work_finished();
  }

  detail::dispatcher_ptr dispatcher_;
  bool never_blocking_ = false;
  bool continuation_ = false;
  bool tracked_ = false;
};

namespace detail {

/// The executor that runs functions on `where`.
[[nodiscard]] inline executor executor_on(dispatcher_ptr where) noexcept {
  return access::make<executor>(std::move(where));
}
/// Where it runs them.
[[nodiscard]] inline const dispatcher_ptr& where_of(const executor& ex) noexcept {
  return access::dispatcher_of(ex);
}

/// An `executor` that queues functions in memory of an allocator.
template <class Allocator>
class allocating_executor {
 public:
  allocating_executor(executor ex, const Allocator& allocator) noexcept
      : executor_(std::move(ex)), allocator_(allocator) {}

  [[nodiscard]] asio::execution_context& context() const noexcept { return executor_.context(); }
  [[nodiscard]] bool running_in_this_thread() const noexcept {
    return executor_.running_in_this_thread();
  }
  [[nodiscard]] friend const dispatcher_ptr& where_of(const allocating_executor& ex) noexcept {
    return where_of(ex.executor_);
  }

  template <class F>
  void execute(F&& f) const {
    const bool may_run_here =
        executor_.query(asio::execution::blocking) == asio::execution::blocking.possibly;
    detail::run_or_queue(*where_of(executor_), may_run_here, std::forward<F>(f), allocator_);
  }

  void on_work_started() const noexcept { executor_.on_work_started(); }
  void on_work_finished() const noexcept { executor_.on_work_finished(); }

  template <class A>
  [[nodiscard]] Allocator query(asio::execution::allocator_t<A>) const noexcept {
    return allocator_;
  }
  template <class Property>
    requires requires(const executor& ex, const Property& p) { ex.query(p); }
  [[nodiscard]] decltype(auto) query(const Property& p) const noexcept {
    return executor_.query(p);
  }

  template <class A>
  [[nodiscard]] auto require(asio::execution::allocator_t<A> p) const noexcept {
    return executor_.require(p);
  }
  template <class Property>
    requires requires(const executor& ex, const Property& p) { ex.require(p); }
  [[nodiscard]] allocating_executor require(const Property& p) const noexcept {
    return {executor_.require(p), allocator_};
  }

  friend bool operator==(const allocating_executor& a, const allocating_executor& b) noexcept {
    return a.executor_ == b.executor_ && a.allocator_ == b.allocator_;
  }
  friend bool operator!=(const allocating_executor& a, const allocating_executor& b) noexcept {
    return !(a == b);
  }

 private:
  executor executor_;
  [[no_unique_address]] Allocator allocator_;
};

template <class T>
inline constexpr bool is_own_executor = false;
template <>
inline constexpr bool is_own_executor<executor> = true;
template <class Allocator>
inline constexpr bool is_own_executor<allocating_executor<Allocator>> = true;

/// An executor of this library, and nothing that converts to one.
template <class T>
concept own_executor = is_own_executor<std::remove_cvref_t<T>>;

}  // namespace detail

}  // namespace sluice
