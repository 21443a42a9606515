// SPDX-License-Identifier: BSL-1.0
// hiredis on Asio: the pattern for a C library that has a file descriptor and hooks by which it
// says what it waits for.
#pragma once

#include "reply.hpp"

#include <sluice.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <hiredis/async.h>

#include <cstddef>
#include <memory>
#include <string>

/// One connection to a Redis server, until it is lost.
/**
 * The library's object is used on one strand: all members are called there, and two goroutines on
 * it do what the library asks for. Each waits in turn for a wish of the library, which its hook
 * sends, and for the descriptor, and then calls the library's function.
 *
 * @par Thread safety
 * None: everything runs on the strand.
 */
class redis_connection : public std::enable_shared_from_this<redis_connection> {
 public:
  /// Begins to connect. @param address A numeric address.
  /** @throws std::runtime_error with hiredis' own words */
  static std::shared_ptr<redis_connection> begin(const boost::asio::any_io_executor& strand,
                                                 const std::string& address, unsigned short port);

  redis_connection(const boost::asio::any_io_executor& strand, redisAsyncContext* context);
  redis_connection(const redis_connection&) = delete;
  redis_connection& operator=(const redis_connection&) = delete;
  ~redis_connection() { close(); }

  /// Closed when the connection stands.
  [[nodiscard]] sluice::receiver<void> established() const { return established_; }
  /// Closed when there is no connection, or no longer.
  [[nodiscard]] sluice::receiver<void> ended() const { return ended_; }
  /// Why it has ended.
  [[nodiscard]] const std::string& reason() const { return reason_; }

  /// Sends a command. `answer`, which has room for one, is sent its answer in any case.
  /** @param wire As of `redis_command`. */
  void send(const std::string& wire, sluice::sender<redis_answer> answer);

  /// How many commands have no answer yet.
  [[nodiscard]] std::size_t under_way() const { return under_way_; }
  /// How long the oldest of them, or the next after the last answer, has waited.
  [[nodiscard]] sluice::clock::duration silence() const;

  /// Ends it: what is under way is answered with `connection_aborted`.
  void close();

 private:
  struct pending_answer;

  static void reply_has_come(redisAsyncContext*, void* reply, void* pending);
  static void connect_has_ended(const redisAsyncContext*, int status);
  static void library_lets_go(void* self);
  template <sluice::channel<void> redis_connection::* Wish>
  static void wish(void* self);
  template <sluice::channel<void> redis_connection::* Wish>
  static void withdraw(void* self);

  static sluice::task<> serve_wishes(std::shared_ptr<redis_connection> self,
                                     sluice::receiver<void> wishes,
                                     boost::asio::posix::descriptor_base::wait_type readiness,
                                     void (*handle)(redisAsyncContext*));

  redisAsyncContext* context_;
  boost::asio::posix::stream_descriptor descriptor_;
  sluice::channel<void> to_read_, to_write_;
  sluice::channel<void> established_, ended_;
  std::string reason_;
  std::size_t under_way_ = 0;
  sluice::clock::time_point last_answer_;
};
