#include <sluice/runtime.hpp>

#include <sluice/detail/scheduler.hpp>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace sluice {

namespace {

std::size_t default_threads() {
  const char* const text = std::getenv("SLUICE_THREADS");
  if (!text || !*text) return std::max(1U, std::thread::hardware_concurrency());
  std::size_t n = 0;
  const char* const end = text + std::strlen(text);
  const auto [parsed, failure] = std::from_chars(text, end, n);
  if (failure != std::errc() || parsed != end || n == 0)
    throw std::invalid_argument("SLUICE_THREADS must be a positive number, not \"" +
                                std::string(text) + "\"");
  return n;
}

}  // namespace

runtime::runtime(std::size_t threads)
    : threads_(threads == 0 ? default_threads() : threads), context_(static_cast<int>(threads_)) {
  detail::scheduler::of(context_).end_with_first_failure(context_);
}

runtime::~runtime() = default;

void runtime::stop(const void* main) noexcept {
  if (main != main_) return;
  context_.stop();
  // Nothing that is ready behind main has another turn on this thread.
  detail::this_worker()->ticks = 0;
}

void runtime::run_threads(const void* main, const bool& finished) {
  main_ = main;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run_one = [&] {
    try {
      context_.run();
    } catch (...) {
      const std::lock_guard guard(mutex);
      if (!failure) failure = std::current_exception();
      context_.stop();
    }
  };
  context_.restart();
  {
    std::vector<std::jthread> others;
    for (std::size_t i = 1; i < threads_; ++i) others.emplace_back(run_one);
    run_one();
  }
  if (failure) std::rethrow_exception(failure);
  if (!finished) {
    auto& scheduler = detail::scheduler::of(context_);
    throw deadlock_error("all goroutines are asleep - deadlock!" + scheduler.describe_goroutines());
  }
}

}  // namespace sluice
