// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/channel.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/testing/simulated_pipe.hpp>
#include <sluice/detail/testing/stream_operations.hpp>
#include <sluice/executor.hpp>
#include <sluice/sleep.hpp>
#include <sluice/task.hpp>
#include <sluice/testing/simulation.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/compose.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace sluice::detail {

class simulated_network;
class simulated_listener;

}  // namespace sluice::detail

namespace sluice::testing {

/// How the connections of a simulated network behave.
struct network_options {
  /// How long what is written is on its way: between these, by the seed.
  clock::duration least_latency = std::chrono::milliseconds(1);
  /// The longest.
  clock::duration most_latency = std::chrono::milliseconds(10);
  /// Whether a read or a write may transfer less than it could, by the seed.
  bool short_operations = true;
  /// One of so many writes breaks its connection, by the seed; 0: none does.
  std::uint32_t resets_one_of = 0;
};

/// One end of a connection in memory: an `AsyncReadStream` and `AsyncWriteStream` of Asio's.
/**
 * `asio::async_read`, `asio::async_write`, Beast and whatever takes such a stream work on it. What
 * is written arrives in order, after the network's latency; a write waits while 64 KiB are on their
 * way. As with a socket, a read and a write may be pending at the same time, and no two of either.
 *
 * @par Thread safety
 * None: used by goroutines and handlers of its simulation.
 */
class stream {
 public:
  /// Runs handlers that have no executor of their own.
  using executor_type = executor;
  /// It is no layer above another.
  using lowest_layer_type = stream;

  /// What it is moved from is closed.
  stream(stream&& other) noexcept
      : stream(other.executor_, std::move(other.in_), std::move(other.out_)) {}
  /// Closes the connection that it had.
  SLUICE_DECL stream& operator=(stream&& other) noexcept;
  /// Closes it.
  SLUICE_DECL ~stream();

  /// Of its simulation.
  [[nodiscard]] executor_type get_executor() const noexcept { return executor_; }
  /// The stream itself.
  [[nodiscard]] lowest_layer_type& lowest_layer() noexcept { return *this; }

  /// Reads at least one byte, unless the buffers have no room.
  /**
   * Signature: `void(error_code, std::size_t)`. A cancelled read has read nothing.
   *
   * @par Errors
   * `asio::error::eof` when the other end has closed and all has been read;
   * `asio::error::connection_reset`; `asio::error::operation_aborted` if cancelled or closed.
   */
  template <class MutableBuffers, class Token>
  auto async_read_some(const MutableBuffers& buffers, Token&& token) {
    return asio::async_compose<Token, void(error_code, std::size_t)>(
        detail::read_operation<MutableBuffers>(in_, buffers), token, executor_);
  }

  /// Writes at least one byte, unless there is none.
  /**
   * Signature: `void(error_code, std::size_t)`. A cancelled write has written nothing.
   *
   * @par Errors
   * `asio::error::broken_pipe` if the other end has closed, or this one has shut down;
   * `asio::error::connection_reset`; `asio::error::operation_aborted` if cancelled or closed.
   */
  template <class ConstBuffers, class Token>
  auto async_write_some(const ConstBuffers& buffers, Token&& token) {
    return asio::async_compose<Token, void(error_code, std::size_t)>(
        detail::write_operation<ConstBuffers>(out_, buffers), token, executor_);
  }

  /// Whether `close` has not been called.
  [[nodiscard]] bool is_open() const noexcept { return in_ != nullptr; }
  /// Writes no more: the other end reads what is on its way, and then `eof`.
  SLUICE_DECL void shutdown_send() noexcept;
  /// Cancels what is pending, reads and writes no more. The other end reads what is on its way.
  SLUICE_DECL void close() noexcept;
  /// Breaks the connection: what is on its way is lost, and both ends fail with
  /// `connection_reset`.
  SLUICE_DECL void reset() noexcept;
  /// Cancels what is pending.
  SLUICE_DECL void cancel() noexcept;

 private:
  friend class detail::simulated_network;

  stream(executor ex, std::shared_ptr<detail::simulated_pipe> in,
         std::shared_ptr<detail::simulated_pipe> out) noexcept
      : executor_(std::move(ex)), in_(std::move(in)), out_(std::move(out)) {}

  executor executor_;
  std::shared_ptr<detail::simulated_pipe> in_, out_;
};

/// Accepts the connections to a name. Destroying it refuses those that come later.
class acceptor {
 public:
  /// What it is moved from accepts none.
  acceptor(acceptor&&) noexcept = default;
  acceptor& operator=(acceptor&&) = delete;
  SLUICE_DECL ~acceptor();

  /// Waits for the next connection. Awaited in a task of the simulation; a cancelled one has
  /// accepted none.
  /** @throws system_error `asio::error::operation_aborted` if cancelled, or closed. */
  [[nodiscard("co_await it")]] SLUICE_DECL task<stream> accept();
  /// Refuses connections from now on; an `accept` that waits is cancelled.
  SLUICE_DECL void close() noexcept;

 private:
  friend class network;

  explicit acceptor(std::shared_ptr<detail::simulated_listener> listener) noexcept
      : listener_(std::move(listener)) {}

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
   * Awaited in a task of the simulation; a cancelled one has connected nothing.
   * @throws system_error `asio::error::connection_refused` if nobody listens there;
   * `asio::error::timed_out` if the two are apart for two minutes.
   */
  [[nodiscard("co_await it")]] SLUICE_DECL task<stream> connect(std::string from, std::string to);

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
