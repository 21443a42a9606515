// SPDX-License-Identifier: BSL-1.0
// A connection to Redis that many goroutines share, made again when it is lost.
#pragma once

#include "command.hpp"
#include "connection.hpp"
#include "reply.hpp"

#include <sluice.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

/// Where a server is, and how long it is waited for.
struct redis_options {
  std::string host;
  unsigned short port = 6379;
  /// How long the look-up of the name may take, and connecting.
  sluice::clock::duration connect_limit = std::chrono::seconds(5);
  /// How long the server may be silent while it owes an answer: the connection is given up then.
  sluice::clock::duration answer_limit = std::chrono::seconds(5);
  /// The pauses before connecting again grow from the least to the most.
  sluice::clock::duration least_pause = std::chrono::milliseconds(50);
  sluice::clock::duration most_pause = std::chrono::seconds(2);
  /// How long it goes on without a connection before it closes itself.
  sluice::clock::duration patience = sluice::clock::duration::max();
  /// Told in words of every loss, failure and new connection.
  std::function<void(const std::string&)> report;
};

/// A client whose commands are answered in the order in which they were given.
/**
 * What is given while others wait is sent together with it. Every command is answered: by the
 * server, or with `connection_aborted` if the connection is lost meanwhile (whether the server has
 * run it is not known then), or with `not_connected` if there is none. What the server answers more
 * than once, as SUBSCRIBE and MONITOR, gets `operation_not_supported`. Nothing is sent twice unless
 * it is asked for: see `insist`.
 *
 * A handle: copies are the same client. `close` it before its event loop ends.
 *
 * @par Thread safety
 * Safe.
 */
class redis_client {
 public:
  /// Connects.
  /** @throws std::runtime_error that says why there is no connection */
  static sluice::task<redis_client> connect(redis_options options);

  /// Gives a command and does not wait: the answer comes through the channel.
  /**
   * So one goroutine can give several, and receiving can be a case of `select`.
   */
  [[nodiscard]] sluice::receiver<redis_answer> send(const redis_command& command) const;

  /// Has a command run, and waits at most so long for its reply.
  /**
   * What ends the wait, time or cancellation, does not end the command.
   * @throws redis_error if the server says that it cannot; sluice::system_error
   * `asio::error::timed_out`, or what became of the connection
   */
  [[nodiscard]] sluice::task<redis_reply> command(
      redis_command command, sluice::clock::duration limit = sluice::clock::duration::max()) const;

  /// Has a command run that may be run twice: on every new connection, until there is a reply,
  /// which may be an error.
  /** @throws sluice::system_error `asio::error::shut_down` when the client has been closed, or has
   * given up */
  [[nodiscard]] sluice::task<redis_reply> insist(redis_command command) const;

  /// Waits until there is a connection, or the client is closed: the channel is closed then.
  [[nodiscard]] sluice::receiver<void> connected() const;
  /// For how long it has been there; nothing if it is not.
  [[nodiscard]] sluice::clock::duration connected_for() const;

  /// Ends it: what is under way gets an error.
  void close() const;

 private:
  class state;
  explicit redis_client(std::shared_ptr<state> s) : state_(std::move(s)) {}

  std::shared_ptr<state> state_;
};
