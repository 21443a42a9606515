// SPDX-License-Identifier: BSL-1.0
#include "worker.hpp"

#include "../program.hpp"
#include "job_types.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <random>
#include <stdexcept>
#include <utility>

namespace asio = boost::asio;
using sluice::on;
using namespace std::chrono_literals;

namespace {

/// A name that no other process has, nor has had.
std::string make_name() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  std::random_device random;
  return std::string(host.data()) + '-' + std::to_string(::getpid()) + '-' +
         std::to_string(random());
}

void report(const std::string& what) {
  std::fprintf(stderr, "distributed_pool: %s\n", what.c_str());
}

/// The place that a job takes among those that have been taken.
class taken_place {
 public:
  taken_place(sluice::semaphore& slots, std::set<std::string>& held, const std::string& id)
      : slots_(slots), held_(held), id_(id) {}
  taken_place(const taken_place&) = delete;
  taken_place& operator=(const taken_place&) = delete;
  ~taken_place() {
    held_.erase(id_);
    slots_.release();
  }

 private:
  sluice::semaphore& slots_;
  std::set<std::string>& held_;
  const std::string id_;
};

/// Places that have been acquired, and are given back unless they are used.
class free_places {
 public:
  free_places(sluice::semaphore& slots, std::size_t n) : slots_(slots), n_(n) {}
  free_places(const free_places&) = delete;
  free_places& operator=(const free_places&) = delete;
  ~free_places() {
    if (n_ > 0) slots_.release(n_);
  }

  [[nodiscard]] std::size_t count() const { return n_; }
  /// One belongs to a job from now on.
  void use() { --n_; }

 private:
  sluice::semaphore& slots_;
  std::size_t n_;
};

/// How often a job is done beside others although its workers have died.
constexpr unsigned most_with_others = 2;

}  // namespace

worker::worker(asio::io_context& io, job_queue& queue, redis_client redis, redis_client taking,
               worker_options options)
    : queue_(queue),
      redis_(std::move(redis)),
      taking_(std::move(taking)),
      options_(options),
      name_(make_name()),
      slots_(options.goroutines + options.prefetch),
      pool_(
          io,
          {.workers = options.goroutines, .queue_capacity = options.goroutines + options.prefetch},
          [this](delivered_job j) { return do_job(std::move(j)); }) {}

// --- until it stops

sluice::task<worker_counts> worker::run() {
  const auto here = co_await asio::this_coro::executor;
  asio::signal_set signals(here, SIGINT, SIGTERM);
  const auto ended = sluice::make_channel<std::exception_ptr>(1);
  const auto tell = [ended](std::exception_ptr failure) { ended.try_send(std::move(failure)); };
  sluice::go(cut_off_.ctx, here, work(), tell);
  std::printf("working as %s\n", name_.c_str());
  std::fflush(stdout);

  std::optional<std::exception_ptr> end;
  const auto take_end = [&](std::optional<std::exception_ptr> e) { end = std::move(e); };
  const auto stop = [&](sluice::error_code, int) { stop_.cancel(); };
  co_await sluice::select(on(ended.receive(), take_end),
                          on(signals.async_wait(asio::deferred), stop, sluice::drop_lost));
  const auto too_late = [&] { cut_off_.cancel(); };
  const auto again = [&](sluice::error_code, int) { cut_off_.cancel(); };
  if (!end)
    co_await sluice::select(on(ended.receive(), take_end),
                            on(sluice::sleep_for(options_.grace), too_late),
                            on(signals.async_wait(asio::deferred), again, sluice::drop_lost));
  if (!end) {
    counts_.cut_off = held_.size();
    pool_.cancel();
    end = co_await ended.receive();
    co_await pool_.stop();
  }
  begin_last_words({SIGINT, SIGTERM});
  if (*end && !cut_off_.ctx.err()) std::rethrow_exception(*end);
  co_return counts_;
}

/// All of the work, to its graceful end. What has been taken is renewed as long as it lasts.
sluice::task<> worker::work() {
  const auto renewing = sluice::with_cancel(cut_off_.ctx);
  const auto supply = [&](sluice::task_group& group) -> sluice::task<> {
    group.go(take_jobs());
    group.go(take_over_jobs());
    co_return;
  };
  const auto all = [&](sluice::task_group& group) -> sluice::task<> {
    group.go(renew_jobs(renewing.ctx));
    co_await sluice::with_task_group(cut_off_.ctx, supply);
    co_await pool_.stop();
    renewing.cancel();
  };
  co_await sluice::with_task_group(cut_off_.ctx, all);
  co_await queue_.leave(name_);
}

// --- the supply of jobs

/// Takes places for jobs: `least` when there are so many, and as many more as there are then.
sluice::task<std::size_t> worker::acquire_slots(std::size_t least, std::size_t most) {
  std::size_t n = 0;
  const auto take = [&](sluice::semaphore::permit p) {
    n = p.count();
    p.detach();
  };
  const auto stop = [] {};
  co_await sluice::select(on(slots_.acquire(least), take), on(stop_.ctx.done(), stop));
  while (n > 0 && n < most) {
    auto one = slots_.try_acquire();
    if (!one) break;
    one.detach();
    ++n;
  }
  co_return n;
}

/// Has a job done for which a place has been taken.
void worker::start(delivered_job j) {
  held_.insert(j.id);
  static_cast<void>(pool_.try_submit(std::move(j), asio::detached));
}

sluice::task<> worker::take_jobs() {
  // Several at a time cost Redis less, and with half of the reserve no goroutine is idle meanwhile.
  const std::size_t least = std::max<std::size_t>(1, options_.prefetch / 2);
  while (!stopping()) {
    free_places places(slots_,
                       co_await acquire_slots(least, options_.goroutines + options_.prefetch));
    if (places.count() == 0) break;
    std::vector<delivered_job> jobs;
    std::string problem;
    bool lost = false;
    try {
      jobs = co_await queue_.take(taking_, name_, places.count(), options_.block);
    } catch (const sluice::system_error& e) {
      if (e.code() == asio::error::shut_down) throw;
      lost = true;
    } catch (const redis_error& e) {
      problem = e.what();
    }
    for (auto& j : jobs) {
      places.use();
      start(std::move(j));
    }
    if (lost) co_await sluice::select(taking_.connected().receive(), stop_.ctx.done());
    if (problem.empty()) continue;
    report(problem);
    co_await sluice::select(sluice::sleep_for(1s), stop_.ctx.done());
  }
}

sluice::task<> worker::take_over_jobs() {
  while (!stopping()) {
    co_await sluice::select(sluice::sleep_for(options_.idle / 2), stop_.ctx.done());
    // While the server was away nobody could renew: those who live are given the time to do that.
    if (stopping() || redis_.connected_for() < options_.idle) continue;
    std::string problem;
    try {
      co_await take_over_once();
      co_await queue_.tidy(10 * options_.idle);
    } catch (const redis_error& e) {
      problem = e.what();
    }
    if (!problem.empty()) report(problem);
  }
}

sluice::task<> worker::take_over_once() {
  std::string cursor = "0-0";
  do {
    free_places places(slots_, co_await acquire_slots(1, 1));
    if (places.count() == 0) break;
    auto jobs = co_await queue_.take_over(name_, 1, options_.idle, cursor);
    for (auto& j : jobs) {
      if (held_.contains(j.id)) continue;  // our own, which we were too slow to renew
      ++counts_.taken_over;
      if (j.deliveries > options_.deliveries) {
        --j.deliveries;  // this one does not lead to work
        const std::string why =
            "delivered " + std::to_string(j.deliveries) + " times and never done";
        co_await queue_.bury(j, why);
        continue;
      }
      bool suspect = j.deliveries > most_with_others;
      if (suspect) suspect = !co_await queue_.has_failed(j);
      places.use();
      if (suspect)
        co_await start_alone(std::move(j));
      else
        start(std::move(j));
    }
  } while (cursor != "0-0" && !stopping());
}

/// Has a job done while this process does nothing else: its workers have died of it, or of one that
/// they had beside it, and nobody who is here now shall be counted as delivered again.
sluice::task<> worker::start_alone(delivered_job j) {
  held_.insert(j.id);
  const std::size_t others = options_.goroutines + options_.prefetch - 1;
  const free_places all(slots_, co_await acquire_slots(others, others));
  start(std::move(j));
  if (all.count() == 0) co_return;  // it stops, and gives the job back
  const auto ended = co_await slots_.acquire(1);
}

sluice::task<> worker::renew_jobs(sluice::context over) {
  for (bool more = true; more;) {
    const auto end = [&] { more = false; };
    const auto go_on = [] {};
    co_await sluice::select(on(sluice::sleep_for(options_.idle / 3), go_on), on(over.done(), end));
    const std::vector<std::string> ids(held_.begin(), held_.end());
    std::string problem;
    try {
      if (more) co_await queue_.renew(name_, ids);
    } catch (const redis_error& e) {
      problem = e.what();
    }
    if (!problem.empty()) report(problem);
  }
}

// --- one job

/// Does again what the server refuses, until it does not.
template <class Attempt>
sluice::task<> worker::insist(Attempt attempt) {
  for (;;) {
    std::string problem;
    try {
      co_await attempt();
      co_return;
    } catch (const redis_error& e) {
      problem = e.what();
    }
    report(problem);
    co_await sluice::sleep_for(1s);
  }
}

sluice::task<> worker::do_job(delivered_job j) {
  const taken_place place(slots_, held_, j.id);
  if (stopping()) {
    ++counts_.given_back;
    co_await queue_.give_back(name_, j);
  } else {
    co_await try_job(j);
  }
}

sluice::task<> worker::try_job(const delivered_job& j) {
  const job_function function = function_for(j.what.type);
  if (!function) {
    const std::string why = "no worker knows the job type \"" + j.what.type + '"';
    const auto bury = [&] { return queue_.bury(j, why); };
    co_return co_await insist(bury);
  }
  std::string result;
  std::exception_ptr failure;
  try {
    result = co_await function(j.what.payload);
    if (result.size() > queue_.most_bytes())
      throw std::length_error("its result of " + std::to_string(result.size()) +
                              " bytes is over the server's limit");
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) {
    const auto finish = [&] { return queue_.done(j, result); };
    co_await insist(finish);
    ++counts_.done;
    co_return;
  }
  if (cut_off_.ctx.err()) std::rethrow_exception(failure);  // that is why
  ++counts_.failed;
  const std::string why = sluice::describe(failure);
  const bool last = j.deliveries >= options_.deliveries;
  const auto note = [&] { return queue_.failed(j, why); };
  co_await insist(note);
  const std::string times =
      "failed when it was delivered for the " + std::to_string(j.deliveries) + ". time";
  const auto bury = [&] { return queue_.bury(j, times); };
  if (last) co_await insist(bury);
}
