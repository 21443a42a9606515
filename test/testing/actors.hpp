#pragma once

#include <sluice/context.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/sleep.hpp>
#include <sluice/task.hpp>
#include <sluice/testing/simulation.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/wait_group.hpp>

#include "support.hpp"
#include "time_helpers.hpp"

#include <cstddef>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>

/// What programs of a seed have in common that several goroutines run.
namespace sluice_test {

/// Says that the program has seen what its model forbids.
[[noreturn]] inline void refuse(const std::string& what) {
  throw std::logic_error(what);
}

/// The error that a wait was given up with which the exception being handled is; others are thrown
/// on.
inline error_code given_up() {
  const auto code = code_of(std::current_exception());
  if (code != asio::error::operation_aborted && code != sluice::error::deadline_exceeded &&
      code != asio::error::timed_out)
    throw;
  return code;
}

/// Counts somebody who is inside something, as long as it lives.
template <class Count>
class one_inside {
 public:
  explicit one_inside(Count& n, Count by = 1) : n_(n), by_(by) { n_ += by_; }
  one_inside(const one_inside&) = delete;
  one_inside& operator=(const one_inside&) = delete;
  ~one_inside() { n_ -= by_; }

 private:
  Count& n_;
  const Count by_;
};

/// Lets others run, lets time pass, or goes on.
inline task<> do_nothing_for_a_while(random_numbers& random) {
  switch (random.below(4)) {
    case 0:
      co_await sluice::this_goroutine::yield();
      break;
    case 1:
      co_await sluice::sleep_for(std::chrono::milliseconds(1 + random.below(3)));
      break;
    default:
      break;
  }
}

/// Two to four goroutines that do `act()` a few times each; it returns when they have ended. Some
/// are cancelled after a few milliseconds, and those that are left after a second, but for those
/// that nobody can cancel, if there may be such.
inline task<> run_actors(random_numbers& random, bool all_can_be_cancelled,
                         const std::function<task<>()>& act) {
  const auto end = sluice::with_timeout(sluice::context::background(), 1s);
  const std::size_t goroutines = 2 + random.below(3);
  const std::size_t times = 1 + random.below(4);
  std::exception_ptr failure;
  const auto body = [&]() -> task<> {
    try {
      for (std::size_t i = 0; i != times; ++i) co_await act();
    } catch (...) {
      try {
        given_up();
      } catch (...) {
        failure = std::current_exception();
      }
    }
  };
  wait_group all;
  const auto member = [&]() -> task<> {
    co_await body();
    all.done();
  };
  for (std::size_t i = 0; i != goroutines; ++i) {
    all.add();
    switch (random.below(3)) {
      case 0:
        if (!all_can_be_cancelled) {
          sluice::go(member);
          break;
        }
        [[fallthrough]];
      case 1:
        sluice::go(end.ctx, member);
        break;
      default: {
        const auto soon = sluice::with_timeout(end.ctx, std::chrono::milliseconds(random.below(6)));
        sluice::go(soon.ctx, member);
      }
    }
  }
  co_await all.wait();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace sluice_test
