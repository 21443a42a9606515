// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/select/case_binding.hpp>
#include <sluice/detail/select/range_select_wait.hpp>
#include <sluice/task.hpp>

#include <cstdint>
#include <utility>

// What a `select_case` holds, whatever kind of case it was made of.

namespace sluice::detail {

/// A case of any kind.
struct any_case {
  virtual ~any_case() = default;
  virtual void bind(range_select_wait& wait, std::uint32_t index) = 0;
  [[nodiscard]] virtual bool has_coroutine() const noexcept = 0;
  // The first for what is no coroutine, the second for what is one.
  virtual void call() = 0;
  [[nodiscard]] virtual task<> call_coroutine() = 0;
  virtual void lose() = 0;
  [[nodiscard]] virtual bool move_failed() const noexcept = 0;
  [[nodiscard]] virtual pinned_dispatcher handler_dispatcher() const = 0;
  virtual void keep() noexcept = 0;
};

template <class Case>
struct any_case_of final : any_case {
  template <class C>
  explicit any_case_of(std::in_place_t, C&& c) : held(std::forward<C>(c)) {}

  void bind(range_select_wait& wait, std::uint32_t index) override { bind_case(held, index, wait); }
  bool has_coroutine() const noexcept override { return has_coroutine_handler<Case>; }
  void call() override {
    if constexpr (!case_with_handler<Case>)
      static_cast<void>(held.take());
    else if constexpr (!has_coroutine_handler<Case>)
      static_cast<void>(held.call());
  }
  task<> call_coroutine() override {
    if constexpr (has_coroutine_handler<Case>) co_await held.call();
    co_return;
  }
  void lose() override {
    if constexpr (case_with_handler<Case>) held.lose();
  }
  bool move_failed() const noexcept override { return held.move_failed(); }
  pinned_dispatcher handler_dispatcher() const override { return held.handler_dispatcher(); }
  void keep() noexcept override { held.keep(); }

  Case held;
};

}  // namespace sluice::detail
