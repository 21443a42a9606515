// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/error.hpp>
#include <sluice/timer.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <vector>

namespace sluice {

/// How many connections the system's limit of open descriptors (`RLIMIT_NOFILE`) leaves room for.
/**
 * @param descriptors How many each connection has.
 * @return At least 1; 0 if there is no limit. A sixteenth of the descriptors, and at least 16, is
 * left for other things.
 */
[[nodiscard]] SLUICE_DECL std::size_t connections_by_descriptors(
    std::size_t descriptors = 1) noexcept;

/// How `serve` goes about it.
class serve_options {
 public:
  // Not an aggregate: g++ 12 copies those bitwise inside a co_await expression.
  serve_options() {}

  /// How many connections there are at a time; 0: any number. One too many waits in the system's
  /// queue until another has ended, or is refused, if `serve` was given a function that does.
  std::size_t max_connections = connections_by_descriptors();

  /// How long connections have to end by themselves when the server stops; then they are cut off.
  clock::duration grace = std::chrono::seconds(10);

  /// The signals that stop the server: the first gracefully, the second at once. Then they have
  /// their default effect again, so that a third one ends the program if a connection does not.
  std::vector<int> signals;

  /// Whether the allocator is told to give free memory back to the system whenever half of the
  /// connections have gone, at most once a second. That takes some ms for every 100 MB that they
  /// had; what the allocator keeps otherwise can be as much as they had.
  bool give_memory_back = true;

  /// Told of an exception that has left a connection's handler, and has ended that connection only.
  /** An error of a connection that has been cut off is none. It may be called from several threads
   * at the same time. What it throws leaves the context's `run()`, and the server goes on. Without
   * one a line is written to standard error, at most once a second, and none for
   * `asio::error::eof`. */
  std::function<void(std::exception_ptr)> report;

  /// Told why nobody can be accepted at present (out of descriptors, for example), at most once a
  /// second. What it throws leaves `run()` as well. Without one a line is written to standard
  /// error.
  std::function<void(error_code)> report_accept;
};

/// What a server has done, given by `serve`.
struct serve_result {
  std::size_t served = 0;   ///< connections handed to the handler, those cut off included
  std::size_t refused = 0;  ///< connections that were one too many
  std::size_t cut_off = 0;  ///< connections that had not ended within the grace time
};

}  // namespace sluice
