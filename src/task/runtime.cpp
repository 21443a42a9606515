// SPDX-License-Identifier: BSL-1.0
// `sluice::run` and the threads of a program. No thread runs anything before all are there, and
// what main leaves behind is destroyed while no other thread runs the context.

#include <sluice/runtime.hpp>

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/require.hpp>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace sluice {

namespace {

std::size_t default_threads() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): it is safe while nobody changes the environment
  const char* const text = std::getenv("SLUICE_THREADS");
  if (!text || !*text) return std::max(1U, std::thread::hardware_concurrency());
  std::size_t n = 0;
  const char* const end = text + std::strlen(text);
  const auto [parsed, failure] = std::from_chars(text, end, n);
  if (failure != std::errc() || parsed != end || n == 0)
    detail::throw_exception(std::invalid_argument(
        "SLUICE_THREADS must be a positive number, not \"" + std::string(text) + "\""));
  return n;
}

/// The threads that run a context.
class running_threads {
 public:
  explicit running_threads(std::size_t n) noexcept : left_(n) {}

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  void one_has_stopped() {
    const std::lock_guard guard(mutex_);
    --left_;
    changed_.notify_all();
  }
  /// Waits until one is left; false if that takes too long.
  [[nodiscard]] bool wait_for_the_others() {
    std::unique_lock guard(mutex_);
    return changed_.wait_for(guard, longest, [this] { return left_ == 1; });
  }

 private:
  /// One may wait for something that main holds.
  static constexpr std::chrono::seconds longest{1};

  std::size_t left_;
  const std::size_t count_ = left_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

/// Known to the scheduler as long as it lives.
struct end_of_run : detail::scheduler::end_of_program {
  end_of_run(asio::io_context& c, running_threads& t)
      : end_of_program{&stop_others}, context(c), threads(t) {
    detail::scheduler::of(context).set_end_of_program(this);
  }
  end_of_run(const end_of_run&) = delete;
  end_of_run& operator=(const end_of_run&) = delete;
  ~end_of_run() { detail::scheduler::of(context).set_end_of_program(nullptr); }

  static bool stop_others(end_of_program& e) noexcept {
    auto& self = static_cast<end_of_run&>(e);
    // A main that has moved to another executor, and should have come back, is none of these
    // threads.
    if (!self.context.get_executor().running_in_this_thread()) return false;
    self.context.stop();
    return self.threads.wait_for_the_others();
  }

  asio::io_context& context;
  running_threads& threads;
};

// Whether the run of a context that has ended was stopped by somebody, and not out of work: work
// that comes and goes stops a context that has none besides.
bool was_stopped(asio::io_context& context) {
  context.restart();
  static_cast<void>(
      asio::require(context.get_executor(), asio::execution::outstanding_work.tracked));
  return !context.stopped();
}

}  // namespace

runtime::runtime(std::size_t threads, std::function<void(std::exception_ptr)> escaped)
    : threads_(threads == 0 ? default_threads() : threads),
      escaped_(std::move(escaped)),
      context_(static_cast<int>(threads_)) {
  auto& scheduler = detail::scheduler::of(context_);
  scheduler.find_deadlocks();
  if (!escaped_) scheduler.end_with_first_failure(context_);
}

runtime::~runtime() = default;

void runtime::stop(const void* main) noexcept {
  if (main != main_) return;
  context_.stop();
  // Nothing that is ready behind main has another turn on this thread.
  detail::this_worker()->use_up_ticks();
}

namespace {

void run_on(running_threads& threads, asio::io_context& context,
            const std::function<void(std::exception_ptr)>& escaped) {
  std::mutex mutex;
  std::exception_ptr failure;
  const auto end_with = [&](std::exception_ptr e) {
    const std::lock_guard guard(mutex);
    if (!failure) failure = std::move(e);
    context.stop();
  };
  const auto report = [&](const std::exception_ptr& e) {
    if (escaped)
      escaped(e);
    else
      std::fprintf(stderr, "an exception has left a handler: %s\n", describe(e).c_str());
  };
  // Nobody runs anything before all are there.
  enum class start { awaited, given, refused };
  std::atomic<start> go = start::awaited;
  const auto run_one = [&] {
    go.wait(start::awaited);
    for (bool again = go == start::given; again;) {
      again = false;
      SLUICE_TRY {
        context.run();
      }
      SLUICE_CATCH_ALL {
        again = true;
        SLUICE_TRY {
          report(std::current_exception());
        }
        SLUICE_CATCH_ALL {
          end_with(std::current_exception());
        }
      }
    }
    threads.one_has_stopped();
  };
  {
    std::vector<std::thread> others;
    SLUICE_TRY {
      others.reserve(threads.count() - 1);
      while (others.size() < threads.count() - 1) others.emplace_back(run_one);
      go = start::given;
    }
    SLUICE_CATCH_ALL {
      end_with(std::current_exception());
      go = start::refused;
    }
    go.notify_all();
    run_one();
    for (auto& other : others) other.join();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

void run_threads(asio::io_context& context, std::size_t threads,
                 const std::function<void(std::exception_ptr)>& escaped) {
  running_threads running(std::max<std::size_t>(threads, 1));
  run_on(running, context, escaped);
}

void runtime::run_to_end(const void* main, const bool& finished) {
  main_ = main;
  context_.restart();
  const auto rethrow = [](const std::exception_ptr& e) { std::rethrow_exception(e); };
  running_threads running(threads_);
  const end_of_run end(context_, running);
  run_on(running, context_, escaped_ ? escaped_ : std::function<void(std::exception_ptr)>(rethrow));
  if (!finished) {
    if (was_stopped(context_))
      detail::throw_exception(
          system_error(asio::error::operation_aborted, "sluice: run of a stopped runtime"));
    auto& scheduler = detail::scheduler::of(context_);
    detail::throw_exception(deadlock_error(
        "all goroutines are asleep - deadlock! (A thread, or another context, that is to wake one "
        "holds a sluice::work_guard meanwhile.)" +
        scheduler.describe_goroutines()));
  }
}

}  // namespace sluice
