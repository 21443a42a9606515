// SPDX-License-Identifier: BSL-1.0
// The children of a `when_all`: a task, an operation of this library, or one that is launched with
// a handler. Each keeps what it is made of, and what it has completed with.
#pragma once

#include <sluice/detail/base/access.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/goroutine/owned_goroutines.hpp>
#include <sluice/detail/operation/asio_operation.hpp>
#include <sluice/detail/operation/public_operation.hpp>
#include <sluice/detail/select/select_cases.hpp>
#include <sluice/detail/sync/children_wait.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/error.hpp>
#include <sluice/task.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/as_tuple.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// What a child of any kind has: its completion arguments, of which a failure is the first.
template <class Arguments, class Value>
class child : public owned_goroutine {
 public:
  using arguments = Arguments;
  /// What awaiting it gives.
  using value_type = Value;

  child() = default;
  // Moved before it is launched.
  child(child&&) noexcept {}
  child& operator=(child&&) = delete;

  [[nodiscard]] bool succeeded() { return outcome && !thrown && !detail::says_failure(*outcome); }

  std::optional<Arguments> outcome;
  /// What came instead: moving its result, or launching it, has thrown.
  std::exception_ptr thrown;

 protected:
  ~child() = default;

  /// Tells its parent that it has failed, if it has.
  void report() noexcept {
    auto& parent = static_cast<children_wait&>(this->owner());
    if (thrown)
      parent.failed(thrown);
    else if (outcome)
      failure_argument<Arguments>::visit(*outcome, [&](const auto& f) {
        if (f) parent.failed(f);
      });
  }
};

/// A child that awaits what it is made of in a coroutine of its own.
template <class Arguments, class Value>
class awaiting_child : public child<Arguments, Value> {
 protected:
  awaiting_child() = default;
  awaiting_child(awaiting_child&&) = default;
  ~awaiting_child() = default;

 private:
  void collect(promise_base&) noexcept final { this->report(); }
};

/// How the result of a task is kept: so that there may be none.
template <class T>
struct kept_result {
  using type = std::conditional_t<std::is_default_constructible_v<T>, T, std::optional<T>>;
};
template <class T>
struct kept_result<T&> {
  using type = T*;
};

template <class T>
struct task_arguments {
  using type = std::tuple<std::exception_ptr, typename kept_result<T>::type>;
};
template <>
struct task_arguments<void> {
  using type = std::tuple<std::exception_ptr>;
};

/// A child that is a task.
template <class T>
class task_child final : public child<typename task_arguments<T>::type, T> {
 public:
  static constexpr bool gives_exceptions = true;

  explicit task_child(task<T> what) noexcept : what_(std::move(what)) {}

  [[nodiscard]] task<T> body() noexcept { return std::move(what_); }

  T take() {
    if constexpr (std::is_reference_v<T>)
      return *std::get<1>(*this->outcome);
    else if constexpr (std::is_same_v<typename kept_result<T>::type, T>)
      return std::move(std::get<1>(*this->outcome));
    else
      return *std::move(std::get<1>(*this->outcome));
  }

  [[nodiscard]] static pinned_dispatcher handler_dispatcher() noexcept { return {}; }
  static void keep() noexcept {}

 private:
  // Its goroutine is the task itself, whose promise has what it has ended with.
  void collect(promise_base& root) noexcept override {
    auto& p = static_cast<task_promise<T>&>(root);
    SLUICE_TRY {
      if (p.exception)
        std::get<0>(this->outcome.emplace()) = std::move(p.exception);
      else if constexpr (std::is_void_v<T>)
        this->outcome.emplace();
      else if constexpr (std::is_reference_v<T>)
        this->outcome.emplace(nullptr, p.result);
      else
        this->outcome.emplace(nullptr, std::move(*p.result));
    }
    SLUICE_CATCH_ALL {
      this->outcome.reset();
      this->thrown = std::current_exception();
    }
    this->report();
  }

  task<T> what_;
};

/// Awaits an operation of this library and gives its completion arguments.
template <class Wait>
class arguments_of {
 public:
  using sluice_operation = void;

  explicit arguments_of(Wait& w) noexcept : wait_(w) {}

  [[nodiscard]] bool try_now(goroutine& g) noexcept
    requires requires(Wait& w) { w.try_now(g); }
  {
    return wait_.try_now(g);
  }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    return wait_.await_suspend(h);
  }
  auto await_resume() {
    if constexpr (requires { wait_.who; }) {
      if (waker* const who = std::exchange(wait_.who, nullptr)) {
        const auto& g = static_cast<goroutine&>(*who);
        if (g.cancel) g.cancel->end();
      }
    }
    return wait_.take_arguments();
  }

 private:
  Wait& wait_;
};

/// The same for an operation as a caller has it, which stays his.
template <class Operation>
[[nodiscard]] auto arguments_of_operation(Operation& op) noexcept {
  return arguments_of<wait_of_t<Operation>>(access::wait_of(op));
}

template <class Wait>
using value_of_wait = decltype(std::declval<std::remove_reference_t<Wait>&>().await_resume());
template <class Wait>
using arguments_of_wait = decltype(std::declval<std::remove_reference_t<Wait>&>().take_arguments());

/// A child that is an operation of this library; `Wait` is a reference for one that stays the
/// caller's.
template <class Wait>
class operation_child final : public awaiting_child<arguments_of_wait<Wait>, value_of_wait<Wait>> {
  using wait_type = std::remove_reference_t<Wait>;

 public:
  static constexpr bool gives_exceptions =
      tuple_begins_with<std::exception_ptr, arguments_of_wait<Wait>>;

  explicit operation_child(Wait&& w) : wait_(std::forward<Wait>(w)) {}

  [[nodiscard]] task<> body() { return run(*this); }

  value_of_wait<Wait> take() {
    if constexpr (!std::is_void_v<value_of_wait<Wait>>)
      return value_of_wait<Wait>(std::get<1>(*std::move(this->outcome)));
  }

  [[nodiscard]] pinned_dispatcher handler_dispatcher() const { return wait_.handler_dispatcher(); }
  void keep() noexcept { wait_.keep(); }

 private:
  static task<> run(operation_child& self) {
    SLUICE_TRY {
      self.outcome.emplace(co_await arguments_of<wait_type>(self.wait_));
    }
    SLUICE_CATCH_ALL {
      self.thrown = std::current_exception();
    }
  }

  Wait wait_;
};

/// A child that is launched with a handler, as Asio's operations are; `Operation` is a reference
/// for one that stays the caller's until then.
template <class Operation>
class launched_child final
    : public awaiting_child<typename std::remove_reference_t<Operation>::arguments,
                            typename std::remove_reference_t<Operation>::value::type> {
  using operation_type = std::remove_reference_t<Operation>;
  using value = typename operation_type::value;

 public:
  static constexpr bool gives_exceptions = operation_type::has_exception_ptr;

  explicit launched_child(Operation&& op) : operation_(std::forward<Operation>(op)) {}

  [[nodiscard]] task<> body() { return run(*this); }

  typename value::type take() { return value::get(*std::move(this->outcome)); }

  [[nodiscard]] pinned_dispatcher handler_dispatcher() const {
    return operation_.handler_dispatcher();
  }
  static void keep() noexcept {}

 private:
  static task<> run(launched_child& self) {
    SLUICE_TRY {
      auto launched = std::move(self.operation_)(asio::as_tuple(use_task));
      self.outcome.emplace(co_await std::move(launched));
    }
    SLUICE_CATCH_ALL {
      self.thrown = std::current_exception();
    }
  }

  Operation operation_;
};

/// What may be a child.
template <class T>
concept child_operand = case_operand<T> || becomes_task<T> || startable<T>;

/// How an argument of `when_all` is kept.
template <class Argument>
struct child_for {
  using type = task_child<result_of_start_t<Argument>>;
};
template <sluice_operation Argument>
struct child_for<Argument> {
  using type = operation_child<std::conditional_t<std::is_lvalue_reference_v<Argument>,
                                                  wait_of_t<Argument>&, wait_of_t<Argument>>>;
};
template <class Argument>
  requires(case_operand<Argument> && !sluice_operation<Argument>)
struct child_for<Argument> {
  template <class Case>
  struct of_case;
  template <class Operation>
  struct of_case<asio_case<Operation>> {
    using type = launched_child<Operation>;
  };
  using type = typename of_case<typename case_for<Argument>::type>::type;
};
template <class Argument>
  requires(!case_operand<Argument> && becomes_task<Argument>)
struct child_for<Argument> {
  using type = task_child<result_of_start_t<decltype(std::declval<Argument>().into_task())>>;
};
template <class Argument>
using child_for_t = typename child_for<Argument>::type;

/// What a child is constructed from.
template <class Argument>
[[nodiscard]] decltype(auto) child_source(Argument&& argument) {
  if constexpr (case_operand<Argument>)
    return detail::case_source(std::forward<Argument>(argument));
  else if constexpr (becomes_task<Argument>)
    return std::move(argument).into_task();
  else
    return detail::make_task(std::forward<Argument>(argument));
}

}  // namespace sluice::detail
