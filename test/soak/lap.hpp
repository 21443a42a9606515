#pragma once

#include <sluice.hpp>

#include <boost/asio.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

// What the people of the soak share: values that are counted, and one lap of work after which
// nothing is left.
namespace sluice_test::soak {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using sluice::task;

/// Ends the program: something is wrong.
[[noreturn]] inline void wrong(const std::string& what) {
  std::fprintf(stderr, "soak: %s\n", what.c_str());
  std::_Exit(1);
}

/// A value with an owner: in one place at a time.
class parcel {
 public:
  explicit parcel(std::uint64_t n) : number(n), text_(48, 'p') { ++alive; }
  parcel(parcel&& other) noexcept : number(other.number), text_(std::move(other.text_)) { ++alive; }
  parcel& operator=(parcel&&) noexcept = default;
  ~parcel() { --alive; }

  std::uint64_t number;
  static inline std::atomic<long> alive{0};

 private:
  std::string text_;
};

/// A value whose move fails now and then.
class fragile_parcel {
 public:
  explicit fragile_parcel(std::uint64_t n) : number(n) { ++alive; }
  fragile_parcel(fragile_parcel&& other) : number(other.number) {
    static thread_local std::minstd_rand random;
    if (random() % 64 == 0) throw std::runtime_error("a parcel that cannot be moved");
    ++alive;
  }
  ~fragile_parcel() { --alive; }

  std::uint64_t number;
  static inline std::atomic<long> alive{0};
};

/// Numbers of one goroutine.
class dice {
 public:
  explicit dice(std::uint64_t seed) : engine_(seed) {}
  std::size_t below(std::size_t n) { return engine_() % n; }
  std::chrono::microseconds moment() { return std::chrono::microseconds(below(400)); }

 private:
  std::mt19937_64 engine_;
};

/// A second or so of work in a context that goes on; everything that takes part ends with it.
class lap {
 public:
  lap(asio::io_context& where, std::uint64_t seed, std::chrono::milliseconds length)
      : io(where),
        tree(sluice::with_timeout(io, sluice::context::background(), length)),
        seed_(seed) {}

  /// Starts somebody, whose waits end with the lap. What is thrown then but the end of waiting and
  /// what the people do to each other is wrong.
  template <class Body>
  void start(Body body) {
    ++people_;
    sluice::go(tree.ctx, io, std::move(body), [this](const std::exception_ptr& e) {
      if (e) check(e);
      --people_;
    });
  }
  [[nodiscard]] dice some_dice() { return dice(seed_ += 0x9e3779b97f4a7c15U); }

  /// Whether the people go on.
  [[nodiscard]] bool goes_on() const { return !tree.ctx.err(); }
  [[nodiscard]] int people() const { return people_; }
  void done(std::size_t n = 1) { steps.fetch_add(n, std::memory_order_relaxed); }

  /// Whether an exception may end somebody.
  static void check(const std::exception_ptr& e) {
    try {
      std::rethrow_exception(e);
    } catch (const sluice::system_error& x) {
      const auto& c = x.code();
      if (c == asio::error::operation_aborted || c == sluice::error::deadline_exceeded ||
          c == sluice::error::closed || c == asio::error::timed_out || c == asio::error::eof ||
          c == asio::error::connection_reset || c == asio::error::broken_pipe)
        return;
      wrong(std::string("an unexpected error: ") + x.what());
    } catch (const std::exception& x) {
      if (std::string(x.what()).find("cannot be moved") != std::string::npos ||
          std::string(x.what()).find("a job that fails") != std::string::npos)
        return;
      wrong(std::string("an unexpected exception: ") + x.what());
    }
  }

  asio::io_context& io;
  sluice::cancellable_context tree;
  std::atomic<std::uint64_t> steps{0};

 private:
  std::atomic<int> people_{0};
  std::uint64_t seed_;
};

/// Awaits something that may end in one of the errors above. @return Whether it did not.
template <class Operation>
task<bool> succeeds(Operation op) {
  try {
    static_cast<void>(co_await std::move(op));
    co_return true;
  } catch (...) {
    lap::check(std::current_exception());
  }
  co_return false;
}

// --- the people, one topic to a file ---

/// Channels, selects, close, contexts, callbacks: what was sent was received, or is there, or came
/// back. The result looks at that, when all have ended.
std::function<void()> start_traders(lap& l);
/// Timers, tickers, timeouts, contexts with deadlines.
std::function<void()> start_clocks(lap& l);
/// Worker pools, task groups, when_all, locks.
std::function<void()> start_workers(lap& l);
/// An echo server and its clients, over TCP.
std::function<void()> start_network(lap& l);

}  // namespace sluice_test::soak
