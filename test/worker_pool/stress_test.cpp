#include "helpers.hpp"

#include <sluice/context.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// Submitting, timeouts, cancelling, resizing and stopping at the same time, on several threads:
// accepted = done + failed + timed out + cancelled, and each is told exactly once.

namespace {

using namespace sluice_test;

/// How many submissions ended in what way.
class tally {
 public:
  explicit tally(std::size_t submissions) : times_(submissions) {}

  void tell(std::size_t id, const std::exception_ptr& failure) {
    ++times_[id];
    ++fates_[static_cast<std::size_t>(fate_of(failure))];
  }
  /// It was not accepted, and the token was not used.
  void skip(std::size_t id) { times_[id] = 1; }

  [[nodiscard]] std::size_t count(fate f) const { return fates_[static_cast<std::size_t>(f)]; }
  [[nodiscard]] bool each_was_told_once() const {
    return std::all_of(times_.begin(), times_.end(), [](const auto& n) { return n == 1; });
  }

 private:
  std::vector<std::atomic<int>> times_;
  std::array<std::atomic<std::size_t>, 5> fates_{};
};

/// Does one of the things that jobs do.
task<int> do_job(int kind) {
  switch (kind % 6) {
    case 0:
      co_return kind;
    case 1:
      throw std::runtime_error("a job that fails");
    case 2:
      co_await sluice::sleep_for(std::chrono::microseconds(kind));
      co_return kind;
    case 3:
      co_await sluice::sleep_for(24h);
      co_return kind;
    case 4: {
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
      co_await sluice::sleep_for(std::chrono::microseconds(kind));
      co_return kind;
    }
    default:
      for (int i = 0; i < kind % 7; ++i) co_await sluice::this_goroutine::yield();
      co_return kind;
  }
}

/// A submitter with a callback and a cancellation slot, on a strand of its own.
class slotted_submission : public std::enable_shared_from_this<slotted_submission> {
  auto token() {
    return asio::bind_cancellation_slot(
        signal_.slot(),
        asio::bind_executor(strand_, [self = shared_from_this()](const std::exception_ptr& e, int) {
          self->all_.tell(self->id_, e);
        }));
  }

 public:
  slotted_submission(asio::io_context& io, tally& all, std::size_t id)
      : strand_(asio::make_strand(io)), all_(all), id_(id) {}

  void submit(int_pool& p, int job, sluice::clock::duration limit) {
    p.submit(job, limit)(token());
  }
  void try_submit(int_pool& p, int job) {
    if (!p.try_submit(std::move(job), token())) all_.skip(id_);
  }
  void cancel() {
    asio::post(strand_,
               [self = shared_from_this()] { self->signal_.emit(asio::cancellation_type::total); });
  }

 private:
  asio::strand<asio::io_context::executor_type> strand_;
  asio::cancellation_signal signal_;
  tally& all_;
  const std::size_t id_;
};

/// One pool, used by two threads and by goroutines while it is resized, and then ended.
class round_of_submissions {
 public:
  round_of_submissions(std::uint64_t seed, int threads)
      : seed_(seed), all_(3 * each), context_(threads) {
    pool_.emplace(context_.io,
                  sluice::worker_pool_options{
                      .workers = 1 + seed % 4, .queue_capacity = seed % 5, .job_timeout = 24h},
                  do_job);
  }

  /// @return What was wrong.
  std::string play() {
    on_threads(4, [this](int i) {
      if (i < 2)
        submit_with_callbacks(static_cast<std::size_t>(i));
      else if (i == 2)
        submit_in_goroutines();
      else
        resize_and_end();
    });
    context_.join();
    const auto s = pool_->stats();
    wrong_.expect(all_.each_was_told_once(), "one was not told once");
    wrong_.expect(all_.count(fate::done) == s.done, "done");
    wrong_.expect(all_.count(fate::failed) == s.failed, "failed");
    wrong_.expect(all_.count(fate::out_of_time) == s.timed_out, "timed out");
    // A goroutine that was cancelled before it came to submit was told so without a job.
    wrong_.expect(all_.count(fate::cancelled) >= s.cancelled, "more were cancelled than told");
    wrong_.expect(all_.count(fate::cancelled) - cancelled_in_goroutines_ <= s.cancelled,
                  "fewer were cancelled than told");
    wrong_.expect(s.queued == 0 && s.running == 0 && s.overdue == 0, "something is left");
    return wrong_.text();
  }

 private:
  static constexpr std::size_t each = 60;

  /// For jobs that end only if they are made to, a time in which they are.
  static sluice::clock::duration limit_for(int job, random_numbers& random) {
    if (job % 6 == 3 || random.below(4) == 0) return std::chrono::microseconds(random.below(300));
    return sluice::clock::duration::max();
  }

  void submit_with_callbacks(std::size_t thread) {
    random_numbers random(seed_ * 4 + thread);
    std::vector<std::shared_ptr<slotted_submission>> mine;
    for (std::size_t i = 0; i < each; ++i) {
      const int job = static_cast<int>(random.below(200));
      mine.push_back(std::make_shared<slotted_submission>(context_.io, all_, thread * each + i));
      if (random.below(3) == 0 && job % 6 != 3)
        mine.back()->try_submit(*pool_, job);
      else
        mine.back()->submit(*pool_, job, limit_for(job, random));
      if (random.below(3) == 0) mine[random.below(mine.size())]->cancel();
      random.pause();
    }
  }

  void submit_in_goroutines() {
    random_numbers random(seed_ * 4 + 2);
    for (std::size_t i = 0; i < each; ++i) {
      const auto tree = sluice::with_cancel(sluice::context::background());
      const int job = static_cast<int>(random.below(200));
      const auto limit = limit_for(job, random);
      sluice::go(tree.ctx, context_.io, [this, i, job, limit]() -> task<> {
        std::exception_ptr failure;
        try {
          static_cast<void>(co_await pool_->submit(job, limit));
        } catch (...) {
          failure = std::current_exception();
        }
        all_.tell(2 * each + i, failure);
        if (fate_of(failure) == fate::cancelled) ++cancelled_in_goroutines_;
      });
      for (std::size_t n = random.below(4); n != 0; --n) random.pause();
    }
  }

  void resize_and_end() {
    random_numbers random(seed_ * 4 + 3);
    for (int i = 0; i < 20; ++i) {
      pool_->resize(1 + random.below(4));
      const auto s = pool_->stats();
      wrong_.expect(s.running <= 4, "more run than there ever were workers");
      for (std::size_t n = random.below(10); n != 0; --n) random.pause();
    }
    std::future<void> stopped;
    if (random.below(2) == 0) {
      stopped = pool_->stop()(asio::use_future);
      if (random.below(2) == 0) pool_->cancel();
    } else {
      pool_->cancel();
      stopped = pool_->stop()(asio::use_future);
    }
    stopped.get();
  }

  const std::uint64_t seed_;
  tally all_;
  std::atomic<std::size_t> cancelled_in_goroutines_{0};
  findings wrong_;
  running_context context_;
  std::optional<int_pool> pool_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(a_pool_on_several_threads)

BOOST_AUTO_TEST_CASE(tells_every_submitter_exactly_once) {
  const watchdog dog;
  for (const int threads : {1, 2, 4}) {
    for (std::size_t seed = 0; seed < rounds(100, 40); ++seed) {
      round_of_submissions r(seed, threads);
      const auto wrong = r.play();
      BOOST_TEST(wrong == "", "seed " << seed << ", " << threads << " threads: " << wrong);
    }
  }
}

// Source: ScrollPrize/villa#1688
BOOST_AUTO_TEST_CASE(can_be_ended_at_any_moment_without_hanging) {
  const watchdog dog;
  running_context context(2);
  std::atomic<std::size_t> times{0};
  const std::size_t n = rounds(3000, 500);
  for (std::size_t i = 0; i < n; ++i) {
    int_pool p(context.io, {.workers = 4}, [](int job) { return job; });
    for (int job = 0; job < 17; ++job) p.submit(job)([&](std::exception_ptr, int) { ++times; });
    if (i % 2 == 0) p.stop()(asio::use_future).get();
  }
  context.join();
  BOOST_TEST(times == 17 * n);
}

// The job ends, its time runs out, and its submitter cancels it, all in the same instant.
BOOST_AUTO_TEST_CASE(agrees_with_itself_about_how_a_job_ended) {
  const watchdog dog;
  const std::size_t n = rounds(2000, 500);
  tally all(n);
  sluice::worker_pool_stats s{};
  {
    running_context context(3);
    int_pool p(context.io, {.workers = 3}, [](int us) -> task<int> {
      co_await sluice::sleep_for(std::chrono::microseconds(us));
      co_return us;
    });
    random_numbers random(7);
    for (std::size_t i = 0; i < n; ++i) {
      const int us = static_cast<int>(random.below(60));
      const auto one = std::make_shared<slotted_submission>(context.io, all, i);
      one->submit(p, us, std::chrono::microseconds(us));
      sluice::after_func(context.io, std::chrono::microseconds(us), [one] { one->cancel(); });
      if (i % 8 == 0) p.submit(0)(asio::use_future).get();
    }
    p.stop()(asio::use_future).get();
    s = p.stats();
    context.join();
  }
  BOOST_TEST(all.each_was_told_once());
  BOOST_TEST(all.count(fate::done) + (n + 7) / 8 == s.done);
  BOOST_TEST(all.count(fate::out_of_time) == s.timed_out);
  BOOST_TEST(all.count(fate::cancelled) == s.cancelled);
  BOOST_TEST(all.count(fate::failed) == 0u);
  BOOST_TEST(s.failed == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
