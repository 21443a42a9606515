#pragma once

#include "support.hpp"

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <utility>

// What the tests of goroutines share. Boost.Test's assertions are not thread-safe: tests that run a
// context on several threads gather their results and assert after the join.
namespace sluice_test {

/// How many rounds of a stress test to do; as `rounds(n)`, with a number for the sanitizers.
inline std::size_t rounds(std::size_t plain, std::size_t under_sanitizers) {
  return rounds(sanitized ? under_sanitizers * 10 : plain);
}

/// Calls `f` on a thread with a stack of so many bytes.
template <class F>
void on_stack_of(std::size_t bytes, F f) {
  struct call {
    F& function;
    std::exception_ptr failure;
  } c{f, nullptr};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, bytes);
  pthread_t thread;
  const auto body = [](void* p) -> void* {
    auto& self = *static_cast<call*>(p);
    try {
      self.function();
    } catch (...) {
      self.failure = std::current_exception();
    }
    return nullptr;
  };
  const int failed = pthread_create(&thread, &attributes, body, &c);
  pthread_attr_destroy(&attributes);
  if (failed != 0) std::abort();
  pthread_join(thread, nullptr);
  if (c.failure) std::rethrow_exception(c.failure);
}

/// Small enough for a chain of a few thousand nested calls to overflow it.
inline constexpr std::size_t small_stack = 256 * 1024;

/// Counts itself in `alive` while it lives.
class witness {
 public:
  explicit witness(std::atomic<int>& alive) noexcept : alive_(&alive) { ++alive; }
  witness(witness&& other) noexcept : alive_(std::exchange(other.alive_, nullptr)) {}
  witness& operator=(witness&&) = delete;
  ~witness() {
    if (alive_) --*alive_;
  }

 private:
  std::atomic<int>* alive_;
};

/// Calls a function when it is destroyed.
template <class F>
class at_exit {
 public:
  explicit at_exit(F f) : f_(std::move(f)) {}
  at_exit(const at_exit&) = delete;
  at_exit& operator=(const at_exit&) = delete;
  ~at_exit() { f_(); }

 private:
  F f_;
};

}  // namespace sluice_test
