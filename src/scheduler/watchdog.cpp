// SPDX-License-Identifier: BSL-1.0
// One thread of the process looks at the workers four times in the limit that was asked for. A
// worker exists while a thread runs goroutines, so one whose steps have not changed for that long
// has a goroutine that holds its thread. The thread says itself where it is, in the handler of a
// signal; it cannot leave meanwhile, because `leave` takes the lock.
#include "watchdog.hpp"

#include "base/location_text.hpp"
#include "current_worker.hpp"

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/scheduled_goroutine.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#if __has_include(<pthread.h>) && __has_include(<semaphore.h>) && !defined(_WIN32)
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#define SLUICE_CAN_ASK_THREADS 1
#endif
#if __has_include(<execinfo.h>)
#include <execinfo.h>
#endif

namespace sluice::detail::watchdog {

constinit std::atomic<bool> is_on = false;

namespace {

using std::chrono::steady_clock;

/// What a thread says about itself.
struct statement {
  static constexpr int most_frames = 64;

  const scheduled_goroutine* goroutine = nullptr;
  std::source_location started_at;
  std::source_location location;
  int frames = 0;
  void* stack[most_frames];
};

#if defined(SLUICE_CAN_ASK_THREADS)

statement told;
sem_t has_told;

void tell(int) {
  const int outer_errno = errno;
  told.goroutine = current_worker ? current_worker->current : nullptr;
  if (told.goroutine) {
    told.started_at = told.goroutine->started_at;
    told.location = told.goroutine->location;
  }
#if __has_include(<execinfo.h>)
  told.frames = ::backtrace(told.stack, statement::most_frames);
#endif
  ::sem_post(&has_told);
  errno = outer_errno;
}

/// A signal that programs have no use for.
int asking_signal() {
#if defined(SIGRTMAX)
  return SIGRTMAX - 3;
#else
  return SIGINFO;
#endif
}

void prepare_to_ask() {
  ::sem_init(&has_told, 0, 0);
#if __has_include(<execinfo.h>)
  void* first[1];
  static_cast<void>(::backtrace(first, 1));  // the first call allocates
#endif
  struct sigaction action = {};
  action.sa_handler = &tell;
  action.sa_flags = SA_RESTART;
  ::sigaction(asking_signal(), &action, nullptr);
}

const statement* ask(pthread_t thread) {
  if (::pthread_kill(thread, asking_signal()) != 0) return nullptr;
  while (::sem_wait(&has_told) != 0) continue;
  return &told;
}

using thread_handle = pthread_t;
thread_handle this_thread() {
  return ::pthread_self();
}

#else

void prepare_to_ask() {}
using thread_handle = int;
thread_handle this_thread() {
  return 0;
}
const statement* ask(thread_handle) {
  return nullptr;
}

#endif

struct watched {
  worker* w;
  thread_handle thread;
  std::uint64_t steps;
  steady_clock::time_point since;
  bool reported;
};

/// Once it has begun it goes on until the process ends.
class watching {
 public:
  explicit watching(std::chrono::milliseconds limit) : limit_(limit) {
    std::thread([this] { run(); }).detach();
  }

  void enter(worker& w) {
    const std::lock_guard guard(mutex_);
    workers_.push_back(
        {&w, this_thread(), w.steps.load(std::memory_order_relaxed), steady_clock::now(), false});
  }
  void leave(const worker& w) noexcept {
    const std::lock_guard guard(mutex_);
    std::erase_if(workers_, [&](const watched& x) { return x.w == &w; });
  }

 private:
  [[noreturn]] void run() {
    const auto pause =
        std::max<std::chrono::milliseconds>(limit_ / 4, std::chrono::milliseconds(1));
    for (;;) {
      std::this_thread::sleep_for(pause);
      const std::lock_guard guard(mutex_);
      const auto now = steady_clock::now();
      for (std::size_t i = 0; i < workers_.size(); ++i)
        if (is_innermost(i)) look_at(workers_[i], now);
    }
  }

  /// Whether no other stands on it: a goroutine that runs the event loop may wait for long.
  [[nodiscard]] bool is_innermost(std::size_t i) const {
    const auto later = workers_.begin() + static_cast<std::ptrdiff_t>(i) + 1;
    return std::none_of(later, workers_.end(),
                        [&](const watched& x) { return x.w->outer == workers_[i].w; });
  }

  void look_at(watched& x, steady_clock::time_point now) {
    const auto steps = x.w->steps.load(std::memory_order_relaxed);
    if (steps != x.steps) {
      x.steps = steps;
      x.since = now;
      x.reported = false;
    } else if (!x.reported && now - x.since >= limit_) {
      x.reported = true;
      if (const statement* const s = ask(x.thread); s && s->goroutine) report(*x.w, *s);
    }
  }

  void report(worker& w, const statement& s) const {
    const std::string name = w.owner.name_of(*s.goroutine);
    const std::string start = text_of(s.started_at);
    const std::string wait = text_of(s.location);
    const std::string text = "sluice: a goroutine" + (name.empty() ? "" : " \"" + name + '"') +
                             " has held its thread for " + std::to_string(limit_.count()) +
                             " ms; it was started at " + start +
                             (wait == start ? "" : " and has last waited at " + wait) + '\n';
    std::fputs(text.c_str(), stderr);
#if __has_include(<execinfo.h>)
    ::backtrace_symbols_fd(s.stack, s.frames, 2);
#endif
    std::fflush(stderr);
  }

  const std::chrono::milliseconds limit_;
  std::mutex mutex_;
  std::vector<watched> workers_;
};

// The lock that its workers take would order for the thread sanitizer what nothing else orders, and
// sanitizers are slow.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif
#else
constexpr bool sanitized = false;
#endif
#if defined(NDEBUG)
constexpr bool is_release = true;
#else
constexpr bool is_release = false;
#endif
constexpr auto default_limit = is_release || sanitized ? std::optional<std::chrono::milliseconds>()
                                                       : std::chrono::milliseconds(2000);

std::optional<std::chrono::milliseconds> limit_from_environment() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): it is safe while nobody changes the environment
  const char* const text = std::getenv("SLUICE_WATCHDOG");
  if (!text || !*text) return default_limit;
  if (std::strcmp(text, "off") == 0) return std::nullopt;
  long long n = 0;
  const char* const end = text + std::strlen(text);
  const auto [rest, failure] = std::from_chars(text, end, n);
  const std::string unit(rest, end);
  if (failure != std::errc() || n <= 0 || (unit != "ms" && unit != "s"))
    detail::throw_exception(std::invalid_argument(
        "SLUICE_WATCHDOG must be off or a duration such as 100ms or 2s, not \"" +
        std::string(text) + "\""));
  return std::chrono::milliseconds(unit == "s" ? n * 1000 : n);
}

watching* instance = nullptr;

}  // namespace

// Never destroyed: threads may run goroutines while the process ends.
void start_if_asked() {
  static const bool asked = [] {
    const auto limit = limit_from_environment();
    if (!limit) return false;
    prepare_to_ask();
    instance = new watching(*limit);
    is_on.store(true, std::memory_order_release);
    return true;
  }();
  static_cast<void>(asked);
}

void enter(worker& w) {
  instance->enter(w);
}

void leave(worker& w) noexcept {
  instance->leave(w);
}

}  // namespace sluice::detail::watchdog
