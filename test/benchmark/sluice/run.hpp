#pragma once

#include "../measure.hpp"

#include <sluice.hpp>

#include <exception>
#include <utility>

namespace sluice_side {

/// Runs a callable that gives a task as the first goroutine of a program until all have ended.
/** @return Nanoseconds for each of `operations`. */
template <class Main>
double run(const measure::setting& s, std::size_t operations, Main&& main) {
  measure::program program(s.threads);
  sluice::go(program.io(), std::forward<Main>(main), [&](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
    program.end();
  });
  return program.run() * 1e9 / static_cast<double>(operations);
}
template <class Main>
double run(const measure::setting& s, Main&& main) {
  return run(s, s.size, std::forward<Main>(main));
}

}  // namespace sluice_side
