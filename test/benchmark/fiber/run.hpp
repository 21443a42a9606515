#pragma once

#include "../measure.hpp"

#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/pooled_fixedsize_stack.hpp>

#include <cstddef>
#include <memory>
#include <utility>

namespace fiber_side {

namespace fibers = boost::fibers;

/// Calls `main` on this thread's first fiber, with a second thread alive. There is no reactor.
/** @return Nanoseconds for each of `operations`. */
template <class Main>
double run(std::size_t operations, Main main) {
  const measure::second_thread second_thread;
  const measure::stopwatch watch;
  main();
  return watch.nanoseconds_each(operations);
}

/// Starts a fiber with a stack from a pool.
template <class Function>
[[nodiscard]] fibers::fiber go(Function f) {
  static fibers::pooled_fixedsize_stack stacks(16 * 1024);
  return fibers::fiber(std::allocator_arg, stacks, std::move(f));
}

}  // namespace fiber_side
