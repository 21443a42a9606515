// SPDX-License-Identifier: BSL-1.0
// What the library's own messages need for code that it refuses: one `static_assert` says what is
// wrong, and the compiler finds nothing else to complain of.
#pragma once

#include <coroutine>
#include <type_traits>

namespace sluice::detail {

/// False, once the types are known.
template <class...>
inline constexpr bool never = false;

/// Whatever is asked for, so that the compiler complains no more.
struct anything {
  template <class T>
  operator T() const;
};

/// What a call gives that was refused by a `static_assert`: awaiting it says nothing more.
struct refused : std::suspend_never {
  anything await_resume() const noexcept { return {}; }
};

/// Anything that a task cannot await.
struct not_awaitable {
  template <class T>
  not_awaitable(T&&) {
    using type = std::remove_cvref_t<T>;
    if constexpr (requires { typename type::promise_type; })
      static_assert(never<T>, "a task is awaited by its owner: co_await std::move(task)");
    else if constexpr (requires(type& t) { t.capacity(); })
      static_assert(never<T>,
                    "a channel is not awaited itself: co_await ch.receive() or "
                    "co_await ch.send(value)");
    else
      static_assert(never<T>,
                    "a task awaits a task, an operation of sluice, an Asio operation given "
                    "asio::deferred or sluice::use_task, or an asio::awaitable; for a std::future, "
                    "or another call that blocks, there is sluice::offload");
  }
};

}  // namespace sluice::detail
