// SPDX-License-Identifier: BSL-1.0
// A queue of jobs in Redis: a stream with a consumer group, from which a job is deleted in the same
// step in which its result is stored.
#pragma once

#include "script.hpp"

#include "../redis/client.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// A job as it was submitted.
struct job {
  std::string key;  ///< by which the result is found, and by which it is the same job
  std::string type;
  std::string payload;
};

/// A job as a worker was given it.
struct delivered_job {
  std::string id;  ///< in the stream
  job what;
  unsigned deliveries = 1;  ///< this one included
};

/// What all who use a queue agree on.
struct job_queue_options {
  std::string name;
  /// How long a result can be fetched, and a second job of the same key is recognised; 0: for ever.
  std::chrono::seconds keep = std::chrono::hours(24);
};

/// What stands in the queue, and what has come of the jobs.
struct job_queue_counts {
  long long length = 0;      ///< jobs that are not done, those that are pending among them
  long long pending = 0;     ///< jobs that a worker has been given
  long long workers = 0;     ///< those that are known to the group
  long long stored = 0;      ///< results
  long long repeated = 0;    ///< times that a job was done when its result was there already
  long long taken_over = 0;  ///< times that a job was taken from a worker that was silent
  long long dead = 0;        ///< dead letters
  std::string last_death;    ///< the youngest of them
};

/// The commands of a queue. Each may be run twice, so each goes on over lost connections.
/**
 * What they are given by reference is there until they have ended.
 *
 * The names of all keys begin with the queue's in braces: on a cluster they are on one server.
 *
 * @par Errors
 * `redis_error` for what the server refuses; `sluice::system_error` if the client was closed.
 */
class job_queue {
 public:
  job_queue(redis_client redis, job_queue_options options);

  /// Sees to it that the server can do it, and that the queue is there.
  /** @throws std::runtime_error that says what is wrong with the server */
  [[nodiscard]] sluice::task<> open();

  /// What the server allows for one argument of a command.
  [[nodiscard]] std::size_t most_bytes() const { return most_bytes_; }

  // --- for those who have work

  enum class outcome { added, known, full };
  /// Appends a job, unless one of the same key is known or `limit` jobs are there.
  [[nodiscard]] sluice::task<outcome> add(job j, unsigned limit);

  // --- for those who do it

  /// Takes up to `count` new jobs, and waits for the first of them for the time `block`.
  /**
   * @param own A client that nobody else uses: Redis does one command of a connection at a time.
   * @throws as `redis_client::command`; nothing is lost then, because what was on its way stays
   * pending.
   */
  [[nodiscard]] sluice::task<std::vector<delivered_job>> take(redis_client own,
                                                              std::string consumer,
                                                              std::size_t count,
                                                              std::chrono::milliseconds block);

  /// Takes up to `count` jobs from workers that have been silent about them for the time `idle`.
  /** @param cursor Where to look, "0-0" at first, and when all has been seen. */
  [[nodiscard]] sluice::task<std::vector<delivered_job>> take_over(std::string consumer,
                                                                   std::size_t count,
                                                                   std::chrono::milliseconds idle,
                                                                   std::string& cursor);

  /// Says that the consumer still works on these. Does not count as a delivery.
  [[nodiscard]] sluice::task<> renew(std::string consumer, std::vector<std::string> ids);

  /// Stores the result, unless there is one, and takes the job out of the queue.
  [[nodiscard]] sluice::task<> done(const delivered_job& j, const std::string& result);

  /// Notes why it could not be done; it will be delivered again.
  [[nodiscard]] sluice::task<> failed(const delivered_job& j, const std::string& why);

  /// Whether its last attempt was noted so, and not cut off with its worker.
  [[nodiscard]] sluice::task<bool> has_failed(const delivered_job& j);

  /// Takes the job out of the queue and puts it among the dead letters.
  [[nodiscard]] sluice::task<> bury(const delivered_job& j, const std::string& why);

  /// Lets somebody else have a job at once that has not been begun, as if it had not been
  /// delivered.
  [[nodiscard]] sluice::task<> give_back(const std::string& consumer, const delivered_job& j);

  /// Forgets the consumer if nothing is pending for it.
  [[nodiscard]] sluice::task<> leave(std::string consumer);

  /// Forgets all consumers that have nothing and have not been heard of for the time `idle`.
  [[nodiscard]] sluice::task<> tidy(std::chrono::milliseconds idle);

  // --- for those who watch

  [[nodiscard]] sluice::task<job_queue_counts> counts();

 private:
  [[nodiscard]] sluice::task<> make_group();
  [[nodiscard]] std::string key_of(const job& j) const { return prefix_ + "job:" + j.key; }

  redis_client redis_;
  const std::string prefix_;
  const std::chrono::seconds keep_;
  const std::string stream_, stats_, dead_;
  std::size_t most_bytes_ = 512UL * 1024 * 1024;
  redis_script add_, take_over_, renew_, done_, failed_, bury_, give_back_, leave_, tidy_;
};
