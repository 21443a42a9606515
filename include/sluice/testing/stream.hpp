// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/access.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/serve/peer_watch_state.hpp>
#include <sluice/detail/testing/simulated_pipe.hpp>
#include <sluice/detail/testing/stream_operations.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/socket_base.hpp>

#include <cstddef>
#include <memory>
#include <utility>

namespace sluice::detail {

class simulated_network;
class accept_operation;

}  // namespace sluice::detail

namespace sluice::testing {

class stream;

/// The protocol of connections in memory, as templates over sockets ask for one.
struct protocol {
  /// Of a connection.
  using socket = stream;
};

/// One end of a connection in memory: an `AsyncReadStream` and `AsyncWriteStream` of Asio's.
/**
 * `asio::async_read`, `asio::async_write`, Beast and whatever takes such a stream work on it, and
 * what is written for any socket of Asio's. What is written arrives in order, after the network's
 * latency; a write waits while 64 KiB are on their way. As with a socket, a read and a write may be
 * pending at the same time, and no two of either.
 *
 * @par Thread safety
 * None: used by goroutines and handlers of its simulation.
 */
class stream : public asio::socket_base {
 public:
  /// Runs handlers that have no executor of their own.
  using executor_type = executor;
  /// What it speaks.
  using protocol_type = protocol;
  /// It is no layer above another.
  using lowest_layer_type = stream;
  /// It stays on the simulation's executor.
  template <class Executor>
  struct rebind_executor {
    /// The stream itself.
    using other = stream;
  };

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
  /// Reads what has arrived, and never waits: `asio::error::would_block` if nothing has.
  template <class MutableBuffers>
  std::size_t read_some(const MutableBuffers& buffers, error_code& e) {
    return detail::read_operation<MutableBuffers>(in_, buffers).try_now(e);
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
  /// Writes what there is room for, and never waits: `asio::error::would_block` if there is none.
  template <class ConstBuffers>
  std::size_t write_some(const ConstBuffers& buffers, error_code& e) {
    return detail::write_operation<ConstBuffers>(out_, buffers).try_now(e);
  }

  /// Waits until a read or a write would not wait (for `wait_error`: until the connection is
  /// broken). One at a time, beside a read and a write.
  /**
   * Signature: `void(error_code)`.
   *
   * @par Errors
   * `asio::error::operation_aborted` if cancelled or closed.
   */
  template <class Token>
  auto async_wait(wait_type what, Token&& token) {
    return asio::async_compose<Token, void(error_code)>(
        detail::wait_operation(what == wait_write ? out_ : in_, what), token, executor_);
  }

  /// How many bytes can be read without a wait.
  SLUICE_DECL std::size_t available(error_code& e) const noexcept;
  /// Whether `close` has not been called.
  [[nodiscard]] bool is_open() const noexcept { return in_ != nullptr; }

  /// Ends one direction, or both.
  /**
   * @param what `shutdown_send`: the other end reads what is on its way, and then `eof`.
   * `shutdown_receive`: this end reads `eof`, and what the other writes fails.
   * @param e `asio::error::bad_descriptor` if it has been closed.
   */
  SLUICE_DECL void shutdown(shutdown_type what, error_code& e) noexcept;
  /// The same. @throws system_error `asio::error::bad_descriptor` if it has been closed.
  SLUICE_DECL void shutdown(shutdown_type what);
  /// Cancels what is pending, reads and writes no more. The other end reads what is on its way.
  SLUICE_DECL void close() noexcept;
  /// The same; there is no error.
  void close(error_code& e) noexcept {
    e = {};
    close();
  }
  /// Breaks the connection: what is on its way is lost, and both ends fail with
  /// `connection_reset`.
  SLUICE_DECL void reset() noexcept;
  /// Cancels what is pending.
  SLUICE_DECL void cancel() noexcept;
  /// The same; there is no error.
  void cancel(error_code& e) noexcept {
    e = {};
    cancel();
  }

  /// Accepted, and without effect: a connection in memory has no options.
  template <class Option>
  void set_option(const Option&) noexcept {}
  /// The same; there is no error.
  template <class Option>
  void set_option(const Option&, error_code& e) noexcept {
    e = {};
  }
  /// Accepted, and without effect: `read_some` and `write_some` never wait.
  void non_blocking(bool) noexcept {}
  /// The same; there is no error.
  void non_blocking(bool, error_code& e) noexcept { e = {}; }

 private:
  friend class detail::simulated_network;
  friend class detail::accept_operation;
  friend struct detail::access;

  stream(executor ex, std::shared_ptr<detail::simulated_pipe> in,
         std::shared_ptr<detail::simulated_pipe> out) noexcept
      : executor_(std::move(ex)), in_(std::move(in)), out_(std::move(out)) {}

  /// What `peer_watch` asks.
  [[nodiscard]] SLUICE_DECL detail::peer look_at_peer() const noexcept;

  executor executor_;
  std::shared_ptr<detail::simulated_pipe> in_, out_;
};

}  // namespace sluice::testing
