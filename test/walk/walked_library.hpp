#pragma once

// The library's own sources below its public headers, in which `std` is that of a walk: what its
// threads do to each other is walked as it stands. See walked_std.hpp; included before every other
// header of the library.
//
// Replaced are the memory of goroutines, the watchdog, Asio's timer and the event loop
// (walked_loop.hpp). Memory of channels and goroutines is seen to be used after its end.

#include "walk/walked_std.hpp"
#include "walk/walked_syscall.hpp"

#include <boost/asio.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_signal_set.hpp>
#include <boost/throw_exception.hpp>
#include <boost/version.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <concepts>
#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <ranges>
#include <ratio>
#include <source_location>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>
#include <version>

#if defined(__linux__)
#include <malloc.h>
#endif

#include "walk/walked_loop.hpp"

#include <boost/test/unit_test.hpp>

#define std walked_std
#define sluice walked_sluice
#define syscall walked_syscall
#define basic_waitable_timer walked_timer
#define __builtin_ia32_pause ::sluice_test::walk::wait_for_a_write
#define __builtin_ia32_rdtsc ::sluice_test::walk::no_cycles
#undef SLUICE_TEST_POINTS
#undef NDEBUG  // the library looks at its invariants

// What a thread has of its own is told to the walk.
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wkeyword-macro"
#endif
#define private public
#include "wait/put_off.hpp"
#undef private
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

#include "base/biased_lock.cpp"
#include "base/built_with.cpp"
#include "base/byte_lock.cpp"
#include "base/error.cpp"
#include "base/error_code_of.cpp"
#include "base/pin_count.cpp"
#include "base/queue_lock.cpp"
#include "channel/channel_core.cpp"
#include "executor/executor.cpp"
#include "executor/lasting_dispatcher.cpp"
#include "executor/pinned_wake.cpp"
#include "executor/strand_dispatcher.cpp"
#include "goroutine/await.cpp"
#include "goroutine/cancellation.cpp"
#include "goroutine/emission.cpp"
#include "goroutine/escaped_exception.cpp"
#include "goroutine/goroutine.cpp"
#include "goroutine/owned_goroutines.cpp"
#include "operation/initiation.cpp"
#include "scheduler/registry.cpp"
#include "scheduler/scheduler.cpp"
#include "scheduler/scheduler_link.cpp"
#include "scheduler/timer_queue.cpp"
#include "scheduler/wait_reason.cpp"
#include "scheduler/work_sharing.cpp"
#include "select/select_wait.cpp"
#include "sync/children_wait.cpp"
#include "sync/grant_queue.cpp"
#include "task/new_goroutine.cpp"
#include "task/startable.cpp"
#include "time/callback_timer.cpp"
#include "time/timer_state.cpp"
#include "wait/sleep_waiter.cpp"
#include "wait/waiter.cpp"
#include "wait/waking.cpp"

#include <sluice/channel.hpp>
#include <sluice/go.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/when_all.hpp>

namespace sluice::detail {

void report_broken_invariant(const char*, int, const char* invariant) noexcept {
  if (!::sluice_test::walk::is_running()) std::abort();
  ::sluice_test::walk::fail(invariant);
  std::abort();
}

void* allocate_recycled(std::size_t size) {
  return ::operator new(size);
}
void deallocate_recycled(void* memory, std::size_t size) noexcept {
  ::sluice_test::walk::end_of(memory, size, [](void* m) { ::operator delete(m); });
}

namespace watchdog {

void start_if_asked() {}
void enter(worker&) {}
void leave(worker&) noexcept {}
constinit std::atomic<bool> is_on = false;

}  // namespace watchdog

}  // namespace sluice::detail

#undef std
#undef sluice
#undef syscall
#undef basic_waitable_timer
#undef __builtin_ia32_pause
#undef __builtin_ia32_rdtsc

// That of channels.
void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto a = static_cast<std::size_t>(alignment);
  void* const memory = std::aligned_alloc(a, (size + a - 1) / a * a);
  if (!memory) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory, std::align_val_t) noexcept {
  sluice_test::walk::end_of(memory, malloc_usable_size(memory), [](void* m) { std::free(m); });
}
void operator delete(void* memory, std::size_t, std::align_val_t alignment) noexcept {
  ::operator delete(memory, alignment);
}

namespace walked_sluice::detail {

/// A walked loop as a scheduler knows it.
template <>
class native_executor_of<sluice_test::walked_loop> final : public native_executor {
 public:
  explicit native_executor_of(sluice_test::walked_loop& l) noexcept : loop_(l) {}

  [[nodiscard]] static scheduler& scheduler_of(sluice_test::walked_loop& l) {
    return scheduler::with_native_executor(l);
  }

  void post_drain(scheduler& s) override {
    loop_.post([&s] { s.run_posted_drain(false); });
  }
  void post_drain_after_handler(scheduler& s, bool kept) override {
    loop_.post_after_handler([&s, kept] { s.run_posted_drain(kept); });
  }
  void post_drain_after_turn(scheduler& s, std::chrono::steady_clock::time_point) override {
    loop_.post_after_handler([this, &s] { post_drain_after_handler(s, false); });
  }
  void post_watch(scheduler& s) override {
    loop_.post([&s] { s.sharing_.on_watch(); });
  }
  void post_wakeup_timer(scheduler& s) override {
    loop_.post([&s] { s.on_posted_wakeup_timer(); });
  }
  bool running_here() const noexcept override { return loop_.running_here() == &loop_; }
  bool stopped() const noexcept override { return false; }
  boost::asio::any_io_executor executor() const override { return boost::asio::system_executor(); }
  void hold_work() override {}
  void drop_work() noexcept override {}

 private:
  sluice_test::walked_loop& loop_;
};

}  // namespace walked_sluice::detail

namespace sluice_test {

namespace walked = walked_sluice::detail;

/// What is chosen by chance is the first in a walk.
class no_choice final : public walked::environment {
 public:
  std::chrono::steady_clock::time_point now() const noexcept override { return {}; }
  std::uint32_t choose(std::uint32_t) noexcept override { return 0; }
  bool before_operation() noexcept override { return true; }
  bool after_operation() noexcept override { return true; }
  void goroutine_ended(const walked::scheduled_goroutine&) noexcept override {}
  void goroutine_moved(const walked::scheduled_goroutine&,
                       const walked::scheduled_goroutine&) noexcept override {}
};

/// Prepares a program for walks.
struct walked_program {
  walked_program() {
    walk::keep_apart(walked::current_worker);
    walk::keep_apart(walked::innermost_wake);
    walk::keep_apart(walked::put_off::innermost_);
    walk::keep_apart(walked_loop::running_here());
    walked::scheduler::let_choose_here(&nobody);
  }
  no_choice nobody;
};
inline const auto& walked_program_prepared = *new walked_program;

[[nodiscard]] inline walked::scheduler& scheduler_of(walked_loop& l) {
  return walked::native_executor_of<walked_loop>::scheduler_of(l);
}

using bodies = std::vector<std::function<void()>>;

/// The threads of one interleaving, all of which do something to `s`; the last of them to end looks
/// whether it is right, by `s->check()`.
template <class Shared>
bodies threads_of(const std::shared_ptr<Shared>& s, std::vector<void (Shared::*)()> all) {
  bodies made;
  const auto left = std::make_shared<std::size_t>(all.size());
  for (const auto f : all)
    made.push_back([s, f, left] {
      ((*s).*f)();
      if (--*left != 0) return;
      walk::join();
      s->check();
    });
  return made;
}

/// Which interleavings are walked.
struct bounds {
  int preemptions;
  int late_stores;
};
/// Of a few dozen steps.
constexpr bounds of_short[]{{2, 0}, {1, 1}};
/// Of some hundred.
constexpr bounds of_long[]{{1, 0}, {0, 1}};

/// What is wrong in one of the interleavings; "nothing" if nothing is.
inline std::string wrong_of(walk::machine m, const std::function<bodies()>& make,
                            std::span<const bounds> which = of_short) {
  for (const bounds& b : which) {
    walk w(b.preemptions, b.late_stores);
    const auto wrong = w.all(m, make);
    BOOST_TEST_MESSAGE(w.interleavings() << " interleavings");
    if (wrong) return *wrong;
    BOOST_TEST(w.interleavings() > 1U);
  }
  return "nothing";
}

constexpr walk::machine as_it_is{};
/// One in which the functions of such a name make that mistake.
constexpr walk::machine with(walk::mistake m, std::string_view by) {
  return {.made = m, .by = by};
}

}  // namespace sluice_test
