// SPDX-License-Identifier: BSL-1.0
// An `asio::awaitable` inside a task: it runs on the goroutine's strand, so nothing of the
// goroutine runs beside it.
#pragma once

#include <sluice/task.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>

#include <optional>
#include <type_traits>
#include <utility>

namespace sluice::detail {

template <class T, class Executor>
asio::awaitable<void, Executor> store_result(asio::awaitable<T, Executor> what,
                                             std::optional<T>& result) {
  result.emplace(co_await std::move(what));
}

/// Runs an `asio::awaitable` on the goroutine's explicit strand.
template <class T, class Executor>
task<T> await_awaitable(asio::awaitable<T, Executor> what) {
  const Executor strand(co_await asio::this_coro::executor);
  if constexpr (std::is_void_v<T>) {
    co_await asio::co_spawn(strand, std::move(what), use_task);
  } else {
    std::optional<T> result;
    co_await asio::co_spawn(strand, detail::store_result(std::move(what), result), use_task);
    co_return std::move(*result);
  }
}

}  // namespace sluice::detail
