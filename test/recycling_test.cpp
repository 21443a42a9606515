#include <sluice/detail/base/recycling.hpp>

#include "allocation_counts.hpp"
#include "support.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <vector>

namespace {

using namespace sluice_test;

using sluice::detail::allocate_recycled;
using sluice::detail::deallocate_recycled;

/// A block that is full of one byte, and knows whether it still is.
class block {
 public:
  block(std::size_t size, unsigned mark) : size_(size), mark_(static_cast<unsigned char>(mark)) {
    memory_ = static_cast<unsigned char*>(allocate_recycled(size));
    std::memset(memory_, mark_, size_);
  }

  [[nodiscard]] bool is_aligned() const {
    return reinterpret_cast<std::uintptr_t>(memory_) % alignof(std::max_align_t) == 0;
  }

  /// Gives it back. @return Whether it was intact.
  [[nodiscard]] bool give_back() {
    const bool intact = std::all_of(memory_, memory_ + size_, [&](auto c) { return c == mark_; });
    deallocate_recycled(memory_, size_);
    return intact;
  }

 private:
  std::size_t size_;
  unsigned char mark_;
  unsigned char* memory_ = nullptr;
};

std::vector<block> many(std::size_t n, std::size_t size) {
  std::vector<block> blocks;
  blocks.reserve(n);
  for (std::size_t i = 0; i < n; ++i) blocks.emplace_back(size, static_cast<unsigned>(i));
  return blocks;
}

std::size_t give_back(std::vector<block> blocks) {
  return static_cast<std::size_t>(
      std::count_if(blocks.begin(), blocks.end(), [](block& b) { return !b.give_back(); }));
}

/// Blocks on their way from some threads to others.
class conveyor {
 public:
  void put(block b) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return blocks_.size() < 1'000; });
    blocks_.push_back(b);
    changed_.notify_all();
  }
  std::optional<block> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !blocks_.empty() || ended_; });
    if (blocks_.empty()) return std::nullopt;
    const block b = blocks_.front();
    blocks_.pop_front();
    changed_.notify_all();
    return b;
  }
  void end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<block> blocks_;
  bool ended_ = false;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(recycling)

BOOST_AUTO_TEST_CASE(blocks_of_every_size_are_aligned_and_do_not_overlap) {
  std::vector<block> blocks;
  for (std::size_t size = 0; size <= 1'200; ++size)
    for (unsigned i = 0; i < 3; ++i) blocks.emplace_back(size, static_cast<unsigned>(size) + i);
  BOOST_TEST(std::all_of(blocks.begin(), blocks.end(), [](auto& b) { return b.is_aligned(); }));
  BOOST_TEST(give_back(blocks) == 0u);
}

BOOST_AUTO_TEST_CASE(what_was_given_back_is_taken_again_without_an_allocation) {
  BOOST_TEST(give_back(many(300, 120)) == 0u);
  const std::size_t before = allocations;
  void* const a = allocate_recycled(120);
  void* const b = allocate_recycled(120);
  deallocate_recycled(a, 120);
  deallocate_recycled(b, 120);
  const std::size_t after = allocations;
  if (!sanitized) BOOST_TEST(after == before);
}

BOOST_AUTO_TEST_CASE(many_blocks_take_few_allocations_and_are_returned) {
  const std::ptrdiff_t before = live_allocations;
  auto blocks = many(100'000, 120);
  const std::ptrdiff_t between = live_allocations;
  if (!sanitized) BOOST_TEST(between - before < 500);
  BOOST_TEST(give_back(std::move(blocks)) == 0u);
  const std::ptrdiff_t after = live_allocations;
  BOOST_TEST(after - before < 20);
}

BOOST_AUTO_TEST_CASE(threads_that_end_return_what_they_kept) {
  const std::ptrdiff_t before = live_allocations;
  std::size_t broken = 0;
  for (int i = 0; i < 100; ++i) std::thread([&] { broken += give_back(many(1'000, 200)); }).join();
  const std::ptrdiff_t after = live_allocations;
  BOOST_TEST(broken == 0u);
  BOOST_TEST(after - before < 20);  // without that it would be 200 or more
}

// The destructors of a thread's own objects may run after its kept blocks are gone.
BOOST_AUTO_TEST_CASE(thread_local_objects_may_take_and_give_back_at_the_end_of_their_threads) {
  struct last {
    ~last() { ended += give_back(std::move(first)) == 0 && give_back(many(500, 300)) == 0; }
    std::vector<block> first;
    std::size_t& ended;
  };
  const std::ptrdiff_t before = live_allocations;
  std::size_t ended = 0;
  for (int i = 0; i < 100; ++i)
    std::thread([&] {
      thread_local last l{{}, ended};
      l.first = many(500, 300);
    }).join();
  const std::ptrdiff_t after = live_allocations;
  BOOST_TEST(ended == 100u);
  BOOST_TEST(after - before < 20);  // kept for a thread that is gone it would be 500 or more
}

BOOST_AUTO_TEST_CASE(threads_give_back_what_others_took) {
  const sluice_test::watchdog dog;
  const std::size_t n = rounds(200'000);
  const std::ptrdiff_t before = live_allocations;
  conveyor belt;
  std::atomic<std::size_t> broken = 0;
  std::atomic<std::size_t> returned = 0;
  std::vector<std::thread> takers;
  std::vector<std::thread> givers;
  for (unsigned t = 0; t < 2; ++t) {
    takers.emplace_back([&, t] {
      std::minstd_rand random(t + 1);
      for (std::size_t i = 0; i < n; ++i) {
        const auto number = static_cast<unsigned>(random());
        belt.put(block(number % 8 == 0 ? number / 8 % 1'100 + 1 : 120, number >> 16));
      }
    });
    givers.emplace_back([&] {
      while (auto b = belt.take()) {
        broken += !b->give_back();
        ++returned;
      }
    });
  }
  for (auto& t : takers) t.join();
  belt.end();
  for (auto& g : givers) g.join();
  const std::ptrdiff_t after = live_allocations;
  BOOST_TEST(broken == 0u);
  BOOST_TEST(returned == 2 * n);
  BOOST_TEST(after - before < 150);  // a slab for each of 64 classes, and what the test holds
}

BOOST_AUTO_TEST_SUITE_END()
