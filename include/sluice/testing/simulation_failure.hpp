// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace sluice::testing {

/// What a simulation found to be wrong.
/** Its text says what, who ran when, and how to see the same again. */
class SLUICE_DECL simulation_failure : public std::runtime_error {
 public:
  /// What is wrong.
  enum class reason : std::uint8_t {
    deadlock,     ///< main waits, and nothing is left that could wake anybody
    left_over,    ///< main has ended, and others wait that nobody stopped
    no_progress,  ///< steps follow each other, and no time passes
    invariant,    ///< what `always` was given does not hold
    exception,    ///< an exception has left a goroutine; it is nested in this one
    disturbed,    ///< something was made ready by a thread outside the simulation
  };

  /// @param why What is wrong.
  /// @param text The same in words.
  simulation_failure(reason why, const std::string& text) : std::runtime_error(text), why_(why) {}
  /// The same, found by `explore` and its like.
  /// @param why What is wrong.
  /// @param text The same in words.
  /// @param decisions What `replay` takes.
  simulation_failure(reason why, const std::string& text, std::string decisions)
      : std::runtime_error(text), why_(why), decisions_(std::move(decisions)) {}

  /// What is wrong.
  [[nodiscard]] reason why() const noexcept { return why_; }
  /// How it was come to, for `replay`; empty if no search has found it.
  [[nodiscard]] const std::string& decisions() const noexcept { return decisions_; }

 private:
  reason why_;
  std::string decisions_;
};

}  // namespace sluice::testing
