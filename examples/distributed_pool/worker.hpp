// SPDX-License-Identifier: BSL-1.0
// The process that does jobs: goroutines of a worker_pool, and three more that keep them supplied.
#pragma once

#include "job_queue.hpp"

#include <sluice.hpp>

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <set>
#include <string>
#include <vector>

/// How a worker process works.
struct worker_options {
  std::size_t goroutines = 16;              ///< how many jobs are done at a time
  std::size_t prefetch = 16;                ///< how many more are taken, so that none of them waits
  std::chrono::milliseconds idle{30'000};   ///< after which silence a job is taken over
  std::chrono::milliseconds block{500};     ///< how long to wait for new jobs at a time
  std::chrono::milliseconds grace{10'000};  ///< how long jobs may go on after a signal
  unsigned deliveries = 5;                  ///< after how many a job is given up
};

/// What a worker process has done.
struct worker_counts {
  std::size_t done = 0;
  std::size_t failed = 0;      ///< attempts
  std::size_t taken_over = 0;  ///< from others
  std::size_t given_back = 0;  ///< taken, but not begun before the end
  std::size_t cut_off = 0;     ///< taken, but not ended in time: others will take them over
};

/// Takes jobs of a queue and does them, until it is told to stop.
/** Everything runs on one thread: what the goroutines share needs no lock. */
class worker {
 public:
  /// @param taking A client of its own, because a read that waits holds up its connection.
  worker(boost::asio::io_context& io, job_queue& queue, redis_client redis, redis_client taking,
         worker_options options);

  /// Works until SIGINT or SIGTERM, and then finishes what has been begun; a second one, or the end
  /// of the grace time, cuts that off.
  [[nodiscard]] sluice::task<worker_counts> run();

 private:
  using pool = sluice::worker_pool<delivered_job, void>;

  [[nodiscard]] sluice::task<> work();
  [[nodiscard]] sluice::task<> take_jobs();
  [[nodiscard]] sluice::task<> take_over_jobs();
  [[nodiscard]] sluice::task<> take_over_once();
  [[nodiscard]] sluice::task<> start_alone(delivered_job j);
  [[nodiscard]] sluice::task<> renew_jobs(sluice::context over);

  [[nodiscard]] sluice::task<std::size_t> acquire_slots(std::size_t least, std::size_t most);
  void start(delivered_job j);
  [[nodiscard]] sluice::task<> do_job(delivered_job j);
  [[nodiscard]] sluice::task<> try_job(const delivered_job& j);
  template <class Attempt>
  [[nodiscard]] sluice::task<> insist(Attempt attempt);
  [[nodiscard]] bool stopping() const { return stop_.ctx.err().failed(); }

  job_queue& queue_;
  const redis_client redis_, taking_;
  const worker_options options_;
  const std::string name_;  // as the group's consumer
  const sluice::cancellable_context stop_ = sluice::with_cancel(sluice::context::background());
  const sluice::cancellable_context cut_off_ = sluice::with_cancel(sluice::context::background());
  sluice::semaphore slots_;     // one for each job that has been taken and has not ended
  std::set<std::string> held_;  // the ids of these
  worker_counts counts_;
  pool pool_;
};
