// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/task.hpp>

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

// The first goroutine of a program, or of a simulation.

namespace sluice::detail {

/// How a main has ended, if it has.
template <class Result>
struct end_of_main {
  using stored = std::conditional_t<
      std::is_void_v<Result>, bool,
      std::conditional_t<std::is_reference_v<Result>,
                         std::reference_wrapper<std::remove_reference_t<Result>>, Result>>;
  bool reached = false;
  std::exception_ptr failure;
  std::optional<stored> value;

  /// Its result. @throws What has left it.
  Result take() {
    if (failure) std::rethrow_exception(failure);
    if constexpr (!std::is_void_v<Result>) return static_cast<Result>(*std::move(value));
  }
};

/// Runs `main`, notes its end, and calls `ended`.
// Awaits main's own task, without another between them: by that `before_main_ends` knows it.
template <class Main, class Ended, class Result = result_of_start_t<Main>>
task<> run_main(std::shared_ptr<end_of_main<Result>> end, Main main, Ended ended) {
  const auto start = [&] {
    if constexpr (std::invocable<Main&> && is_task<started_t<Main>>)
      return std::invoke(main);
    else
      return detail::make_task(std::move(main));
  };
  SLUICE_TRY {
    if constexpr (std::is_void_v<Result>)
      co_await start();
    else
      end->value.emplace(co_await start());
  }
  SLUICE_CATCH_ALL {
    end->failure = std::current_exception();
  }
  end->reached = true;
  ended(end.get());
}

}  // namespace sluice::detail
