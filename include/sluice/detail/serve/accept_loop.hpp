// SPDX-License-Identifier: BSL-1.0
// The goroutines of a server that depend on the types of its acceptor and its handler: the one
// that accepts, and one for each connection. Each is counted before it starts and until it has
// ended.
#pragma once

#include <sluice/context.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/operation/initiation.hpp>
#include <sluice/detail/select/select_cases.hpp>
#include <sluice/detail/serve/prepared_descriptors.hpp>
#include <sluice/detail/serve/serve_state.hpp>
#include <sluice/detail/sync/child.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/serve_options.hpp>
#include <sluice/server_connection.hpp>
#include <sluice/task.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <source_location>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// Stands for a function that refuses connections, where the user has given none.
struct no_refusal {};

template <class Handler, class Socket>
concept connection_handler =
    std::invocable<Handler&, Socket, server_connection> ||
    std::invocable<Handler&, Socket, context> || std::invocable<Handler&, Socket>;

template <class Handler, class Socket>
decltype(auto) call_connection_handler(Handler& f, Socket socket, server_connection& c) {
  if constexpr (std::invocable<Handler&, Socket, server_connection>)
    return std::invoke(f, std::move(socket), std::move(c));
  else if constexpr (std::invocable<Handler&, Socket, context>)
    return std::invoke(f, std::move(socket), c.ctx());
  else
    return std::invoke(f, std::move(socket));
}

// The handler's own member goes before this coroutine does: `alive` holds the server, and with it
// the handler, until the exception has been reported.
template <class Handler, class Socket>
task<> run_connection(serve_member alive, server_connection c, Socket socket, Handler& f) {
  SLUICE_TRY {
    using given = decltype(detail::call_connection_handler(f, std::move(socket), c));
    if constexpr (is_awaited<given>)
      co_await detail::call_connection_handler(f, std::move(socket), c);
    else
      detail::call_connection_handler(f, std::move(socket), c);
  }
  SLUICE_CATCH_ALL {
    alive.state()->connection_failed();
  }
}

template <class Acceptor, class Handler, class Refuse>
task<> accept_one_after_another(serve_state& s, const std::shared_ptr<serve_state>& shared,
                                Acceptor& acceptor, Handler& f, Refuse& refuse,
                                std::source_location location) {
  auto as_result = asio::as_tuple(use_task);  // Boost 1.82 takes no const one
  constexpr bool refuses = !std::is_same_v<Refuse, no_refusal>;
  while (!s.stopping().err()) {
    error_code failed;
    SLUICE_TRY {
      semaphore::permit permit;
      if constexpr (!refuses)
        if (s.permits) {
          auto acquiring = s.permits->acquire();
          auto acquired = co_await detail::arguments_of_operation(acquiring);
          if (std::get<0>(acquired)) continue;  // the server stops
          permit = std::move(std::get<1>(acquired));
        }
      auto [error, socket] = co_await acceptor.async_accept(as_result);
      if (error) {
        failed = error;
      } else if (refuses && s.permits && !(permit = s.permits->try_acquire())) {
        ++s.result.refused;
        if constexpr (refuses) std::invoke(refuse, std::move(socket));
      } else {
        auto body = detail::run_connection(
            serve_member(shared, &serve_state::handlers),
            access::make<server_connection>(shared, std::move(permit)), std::move(socket), f);
        if constexpr (requires { acceptor.native_handle(); })
          if (const std::size_t n = s.descriptors_to_prepare())
            detail::prepare_descriptors(acceptor.get_executor(), n);
        new_goroutine g(s.at(), std::move(body), false, location);
        if (g) {
          detail::bind_to_context(*g, access::state_of(s.cut()));
          ++s.result.served;
          g.start();
        }
      }
    }
    SLUICE_CATCH(const std::bad_alloc& no_memory) {
      failed = asio::error::no_memory;
    }
    SLUICE_CATCH(const system_error& failure) {
      if (!s.stopping().err()) s.connection_failed();
    }
    SLUICE_CATCH_ALL {
      s.connection_failed();
    }
    if (!failed) continue;
    if (!acceptor.is_open()) break;
    const auto advice = s.accept_failed(failed);
    if (advice == serve_state::advice::never) break;
    if (advice == serve_state::advice::later)
      co_await sleep_for(std::chrono::milliseconds(100))(as_result);
  }
}

template <class Acceptor, class Handler, class Refuse>
task<> accept_connections(serve_member self, Acceptor& acceptor, Handler& f, Refuse& refuse,
                          std::source_location location) {
  serve_state& s = *self.state();
  SLUICE_TRY {
    co_await detail::accept_one_after_another(s, self.state(), acceptor, f, refuse, location);
  }
  SLUICE_CATCH_ALL {
    // Not even what has failed could be told.
    s.failure = asio::error::no_memory;
  }
  error_code ignored;
  acceptor.close(ignored);
}

// The handler is kept until the last connection has ended.
template <class Acceptor, class Handler, class Refuse>
task<> serve_until_stopped(std::shared_ptr<serve_state> s, Acceptor& acceptor, Handler f,
                           Refuse refuse, std::source_location location) {
  auto body = detail::accept_connections(serve_member(s, &serve_state::accepting), acceptor, f,
                                         refuse, location);
  detail::start(s->at(), std::move(body), false, location,
                bound_to(access::state_of(s->stopping())));
  if (s->options().give_memory_back)
    detail::start(s->at(), serve_state::give_memory_back(serve_member(s, &serve_state::handlers)),
                  false, location, bound_to(access::state_of(s->stopping())));
  co_await serve_state::supervise(s);
}

template <class Completion>
task<> run_server(std::shared_ptr<serve_state> s, task<> body, boxed_handler<Completion> handler) {
  SLUICE_TRY {
    co_await std::move(body);
  }
  SLUICE_CATCH(const std::bad_alloc& no_memory) {
    s->failure = asio::error::no_memory;
  }
  const error_code failure = s->failure;
  const serve_result result = s->result;
  s.reset();
  boxed_handler<Completion>::complete(std::move(handler), failure, result);
}

template <class Acceptor, class Handler, class Refuse>
auto serve(Acceptor& acceptor, serve_options options, Handler&& f, Refuse&& refuse,
           std::source_location location) {
  static_assert(safe_in_co_await_expression<Handler> && safe_in_co_await_expression<Refuse>,
                "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await "
                "expression and destroys it twice: capture by reference, or name the closure first "
                "and pass the name");
  start_point at = detail::start_point_of(acceptor.get_executor());
  auto where = at.where;
  return asio::async_initiate<const use_task_t, void(error_code, serve_result)>(
      initiation(
          std::move(where),
          [at = std::move(at), &acceptor, location](auto handler, serve_options o, auto&& serving,
                                                    auto&& refusing) {
            auto s = std::make_shared<serve_state>(at, std::move(o), acceptor.is_open());
            boxed_handler<decltype(handler)> box(std::move(handler), detail::executor_on(at.where));
            auto slot = box.slot();
            auto body =
                detail::serve_until_stopped<Acceptor, std::decay_t<Handler>, std::decay_t<Refuse>>(
                    s, acceptor, std::forward<decltype(serving)>(serving),
                    std::forward<decltype(refusing)>(refusing), location);
            new_goroutine g(at, detail::run_server(s, std::move(body), std::move(box)), false,
                            location);
            if (!g) return;
            const auto cancel = (*g).become_cancellable();
            cancel->reset(asio::cancellation_type::all);
            if (slot.is_connected()) slot.template emplace<goroutine_canceller>(cancel);
            g.start();
          }),
      use_task, std::move(options), std::forward<Handler>(f), std::forward<Refuse>(refuse));
}

}  // namespace sluice::detail
