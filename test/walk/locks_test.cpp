// The library's locks and pins in every interleaving of two or three threads: their own sources, in
// which `std` and system calls are those of a walk.

#include "walk/walked_std.hpp"
#include "walk/walked_syscall.hpp"

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#define std walked_std
#define sluice walked_sluice
#define syscall walked_syscall
#define __builtin_ia32_pause ::sluice_test::walk::wait_for_a_write
#undef SLUICE_TEST_POINTS
#include "base/assert.cpp"
#include "base/biased_lock.cpp"
#include "base/byte_lock.cpp"
#include "base/pin_count.cpp"
#include "base/queue_lock.cpp"

#include <sluice/detail/base/relaxed.hpp>
#undef std
#undef sluice
#undef syscall
#undef __builtin_ia32_pause

#include <boost/test/unit_test.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

using sluice_test::walk;
namespace walked = walked_sluice::detail;
using bodies = std::vector<std::function<void()>>;

/// In sanitizers a walk takes twenty times as long.
constexpr int preemptions = SLUICE_TEST_SANITIZED ? 2 : 3;

/// Something that one thread at a time may be in.
class alone {
 public:
  void in_and_out() {
    if (inside_.exchange(true)) walk::fail("two threads are inside");
    inside_.store(false);
  }

 private:
  walked_std::atomic<bool> inside_{false};
};

bodies lock_twice_each(std::size_t threads) {
  struct shared {
    walked::byte_lock lock;
    alone inside;
  };
  const auto s = std::make_shared<shared>();
  return bodies(threads, [s] {
    for (int i = 0; i != 2; ++i) {
      s->lock.lock();
      s->inside.in_and_out();
      s->lock.unlock();
    }
  });
}

/// An owner who comes `times`, and one other.
bodies owner_and_other(int times) {
  struct shared {
    walked::biased_lock lock;
    alone inside;
  };
  const auto s = std::make_shared<shared>();
  return {[s, times] {
            for (int i = 0; i != times; ++i) {
              s->lock.lock_as_owner();
              s->inside.in_and_out();
              s->lock.unlock_as_owner();
            }
          },
          [s] {
            if (!s->lock.lock_as_other()) return;
            s->inside.in_and_out();
            s->lock.unlock_as_other();
          }};
}

/// Threads that come so often each, to a lock that is biased at the second time in a row.
bodies to_a_queue_lock(const std::vector<int>& times) {
  struct shared {
    walked::queue_lock lock{1};
    alone inside;
  };
  const auto s = std::make_shared<shared>();
  bodies made;
  for (const int n : times)
    made.push_back([s, n] {
      walked::mark_of_thread = 2 * (walk::this_thread() + 1);
      for (int i = 0; i != n; ++i) {
        s->lock.lock();
        s->inside.in_and_out();
        s->lock.unlock();
      }
    });
  return made;
}

/// Two who use something, and one who ends it and then waits for them.
bodies pin_and_end() {
  struct shared {
    walked::pin_count pins;
    walked_std::atomic<bool> ending{false};
    walked_std::atomic<bool> ended{false};
  };
  const auto s = std::make_shared<shared>();
  const auto use = [s] {
    const auto p = s->pins.add();
    if (!s->ending.load() && s->ended.load()) walk::fail("used when it had ended");
    s->pins.remove(p);
  };
  const auto end = [s] {
    s->ending.store(true);
    s->pins.wait_for_none();
    s->ended.store(true);
  };
  return {use, use, end};
}

/// Each does something and then looks for what the other has done: not both find nothing.
bodies do_and_look() {
  struct shared {
    walked::relaxed<bool> done[2] = {false, false};
    walked_std::atomic<int> found_nothing{0};
  };
  const auto s = std::make_shared<shared>();
  const auto one = [s](int own) {
    return [s, own] {
      s->done[own] = true;
      walked::fence_before_look();
      if (!s->done[1 - own] && s->found_nothing.fetch_add(1) == 1)
        walk::fail("both have found nothing");
    };
  };
  return {one(0), one(1)};
}

std::string wrong_of(walk::machine m, const std::function<bodies()>& make,
                     int late_stores = walk::any_number) {
  walk w(preemptions, late_stores);
  const auto wrong = w.all(m, make);
  BOOST_TEST_MESSAGE(w.interleavings() << " interleavings");
  BOOST_TEST(w.interleavings() > 1U);
  return wrong.value_or("nothing");
}

/// What a thread has of its own is told to the walk.
[[maybe_unused]] const bool numbers_are_apart = (walk::keep_apart(walked::mark_of_thread), true);

constexpr walk::machine as_it_is{};
constexpr walk::machine without_fences{.fences = false};
constexpr walk::machine without_barriers{.barriers_in_all_threads = false};

}  // namespace

BOOST_AUTO_TEST_SUITE(every_interleaving_of)

BOOST_AUTO_TEST_CASE(a_byte_lock_lets_one_thread_in) {
  BOOST_TEST(wrong_of(as_it_is, [] { return lock_twice_each(2); }) == "nothing");
}

BOOST_AUTO_TEST_CASE(a_biased_lock_lets_one_thread_in) {
  BOOST_TEST(wrong_of(as_it_is, [] { return owner_and_other(2); }) == "nothing");
}

BOOST_AUTO_TEST_CASE(a_queue_lock_lets_one_thread_in) {
  BOOST_TEST(wrong_of(as_it_is, [] { return to_a_queue_lock({3, 1}); }, 1) == "nothing");
}

// The first may be about to use a bias that it has no more while the second one has its own.
BOOST_AUTO_TEST_CASE(a_queue_lock_that_has_been_biased_to_another_thread_lets_one_in) {
  BOOST_TEST(wrong_of(as_it_is, [] { return to_a_queue_lock({4, 4}); }, 0) == "nothing");
}

BOOST_AUTO_TEST_CASE(pins_keeps_the_end_waiting) {
  BOOST_TEST(wrong_of(as_it_is, pin_and_end) == "nothing");
}

BOOST_AUTO_TEST_CASE(a_look_behind_a_fence_finds_something) {
  BOOST_TEST(wrong_of(as_it_is, do_and_look) == "nothing");
}

// What the walk is worth: it finds what goes wrong without them.
BOOST_AUTO_TEST_CASE(what_needs_a_fence_is_wrong_without) {
  BOOST_TEST(wrong_of(without_fences, do_and_look) == "both have found nothing");
  BOOST_TEST(wrong_of(without_barriers, [] { return owner_and_other(1); }) ==
             "two threads are inside");
  BOOST_TEST(wrong_of(
                 without_barriers, [] { return to_a_queue_lock({3, 1}); }, 1) ==
             "two threads are inside");
}

BOOST_AUTO_TEST_SUITE_END()
