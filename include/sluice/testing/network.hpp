// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/testing/connection_operations.hpp>
#include <sluice/detail/testing/simulated_network.hpp>
#include <sluice/executor.hpp>
#include <sluice/testing/network_options.hpp>
#include <sluice/testing/simulation.hpp>
#include <sluice/testing/stream.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/compose.hpp>

#include <memory>
#include <string>
#include <utility>

namespace sluice::testing {

/// Accepts the connections to a name, also for `sluice::serve`. Destroying it refuses those that
/// come later.
class acceptor {
 public:
  /// Runs handlers that have no executor of their own.
  using executor_type = executor;
  /// Of its connections.
  using protocol_type = protocol;

  /// What it is moved from accepts none.
  acceptor(acceptor&& other) noexcept : acceptor(other.executor_, std::move(other.listener_)) {}
  acceptor& operator=(acceptor&&) = delete;
  SLUICE_DECL ~acceptor();

  /// Of its simulation.
  [[nodiscard]] executor_type get_executor() const noexcept { return executor_; }
  /// Whether it accepts connections.
  [[nodiscard]] bool is_open() const noexcept { return listener_ != nullptr; }

  /// Waits for the next connection.
  /**
   * Signature: `void(error_code, stream)`. A cancelled one has accepted none; what it gives beside
   * an error is a closed stream.
   *
   * @par Errors
   * `asio::error::operation_aborted` if cancelled, or closed.
   */
  template <class Token>
  auto async_accept(Token&& token) {
    return asio::async_compose<Token, void(error_code, stream)>(
        detail::accept_operation(executor_, listener_), token, executor_);
  }
  /// The same, awaited in a task. @throws system_error
  [[nodiscard("co_await it")]] auto accept() { return async_accept(use_task); }

  /// Refuses connections from now on; an `accept` that waits is cancelled.
  SLUICE_DECL void close() noexcept;
  /// The same; there is no error.
  void close(error_code& e) noexcept {
    e = {};
    close();
  }

 private:
  friend class network;

  acceptor(executor ex, std::shared_ptr<detail::simulated_listener> listener) noexcept
      : executor_(std::move(ex)), listener_(std::move(listener)) {}

  executor executor_;
  std::shared_ptr<detail::simulated_listener> listener_;
};

/// Connections in memory between hosts that have names.
/**
 * Latency, short reads and writes, and broken connections come from the seed of the simulation, so
 * that a client and its server run in virtual time, in a way that can be repeated.
 *
 * @code
 * sluice::testing::network net(sim);
 * auto listening = net.listen("server");
 * auto there = co_await net.connect("client", "server");
 * net.partition("client", "server");  // nothing arrives
 * net.repair("client", "server");     // what was on its way does
 * @endcode
 *
 * @par Thread safety
 * None: used by goroutines and handlers of its simulation.
 *
 * Source: Rust's turmoil.
 */
class network {
 public:
  /// @param sim Lives longer.
  /// @param options How its connections behave.
  SLUICE_DECL explicit network(simulation& sim, const network_options& options = {});
  network(const network&) = delete;
  network& operator=(const network&) = delete;
  SLUICE_DECL ~network();

  /// Accepts connections to `host`.
  /** @throws system_error `asio::error::address_in_use` if somebody does already. */
  [[nodiscard]] SLUICE_DECL acceptor listen(const std::string& host);

  /// Connects `from` to `to`, which takes two latencies.
  /**
   * Signature: `void(error_code, stream)`. A cancelled one has connected nothing; what it gives
   * beside an error is a closed stream.
   *
   * @par Errors
   * `asio::error::connection_refused` if nobody listens there; `asio::error::timed_out` if the two
   * are apart for two minutes; `asio::error::operation_aborted` if cancelled.
   */
  template <class Token>
  auto async_connect(std::string from, std::string to, Token&& token) {
    return asio::async_compose<Token, void(error_code, stream)>(
        detail::connect_operation(state_, std::move(from), std::move(to)), token,
        state_->get_executor());
  }
  /// The same, awaited in a task. @throws system_error
  [[nodiscard("co_await it")]] auto connect(std::string from, std::string to) {
    return async_connect(std::move(from), std::move(to), use_task);
  }

  /// Nothing arrives between the two any more: what is written waits.
  SLUICE_DECL void partition(const std::string& a, const std::string& b);
  /// What has waited arrives.
  SLUICE_DECL void repair(const std::string& a, const std::string& b);
  /// Breaks all connections between the two, as `stream::reset` does.
  SLUICE_DECL void reset(const std::string& a, const std::string& b);

 private:
  std::shared_ptr<detail::simulated_network> state_;
};

}  // namespace sluice::testing
