// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/channel.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/serve/peer_watch_state.hpp>
#include <sluice/error.hpp>
#include <sluice/executor.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace sluice::detail {

/// Whether two hosts can reach each other.
struct simulated_link {
  bool up = true;
};

/// What happens by chance in a pipe.
struct pipe_chances {
  using duration = std::chrono::steady_clock::duration;

  /// The time of the simulation.
  std::function<std::chrono::steady_clock::time_point()> now;
  /// How long what is written now is on its way.
  std::function<duration()> latency;
  /// How much of `n` bytes, which are at least one, is transferred.
  std::function<std::size_t(std::size_t n)> part_of;
  /// Whether the connection breaks.
  std::function<bool()> breaks;
};

/// One direction of a connection in memory. Used on the simulation's thread only.
class simulated_pipe : public std::enable_shared_from_this<simulated_pipe> {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  /// Whether an end can do something now, and otherwise what it waits for.
  struct outlook {
    bool now = false;
    /// When it can, if that is known.
    time_point at = time_point::max();
  };

  simulated_pipe(const executor& ex, std::shared_ptr<const pipe_chances> chances,
                 std::shared_ptr<const simulated_link> link);

  [[nodiscard]] SLUICE_DECL outlook can_read() const noexcept;
  /// When that says "now": some of what has arrived.
  [[nodiscard]] SLUICE_DECL error_code read(std::span<std::byte> to, std::size_t& n);
  [[nodiscard]] SLUICE_DECL bool can_write() const noexcept;
  [[nodiscard]] SLUICE_DECL error_code write(std::span<const std::byte> from, std::size_t& n);

  /// How many bytes can be read now.
  [[nodiscard]] std::size_t available() const noexcept;
  /// Whether who writes into it is there, as the reader can see.
  [[nodiscard]] peer look_at_writer() const noexcept;
  [[nodiscard]] bool broken() const noexcept { return broken_; }

  void end_writing() noexcept;
  void end_reading() noexcept;
  /// Makes the two directions of a connection one: what breaks, breaks whole.
  static void connect(simulated_pipe& there, simulated_pipe& back) noexcept;
  void break_off() noexcept;
  /// Whoever waits looks again.
  void link_has_changed() noexcept;

  /// Cancels what its reader, or its writer, waits for.
  void cancel_read() noexcept;
  void cancel_write() noexcept;
  /// Two may wait at an end: who has been told and leaves something to be done tells the other.
  void tell_next_reader() noexcept { tell(readable_); }
  void tell_next_writer() noexcept { tell(writable_); }
  void tell_next_watcher() noexcept { tell(when_broken_); }
  /// How often that has been done.
  [[nodiscard]] std::size_t reads_cancelled() const noexcept { return reads_cancelled_; }
  [[nodiscard]] std::size_t writes_cancelled() const noexcept { return writes_cancelled_; }

  [[nodiscard]] const channel<bool>& readable() const noexcept { return readable_; }
  [[nodiscard]] const channel<bool>& writable() const noexcept { return writable_; }
  /// For who reads nothing, and waits for the connection to break.
  [[nodiscard]] const channel<bool>& when_broken() const noexcept { return when_broken_; }

 private:
  struct segment {
    std::vector<std::byte> bytes;
    std::size_t read = 0;
    time_point arrives;
  };

  static constexpr std::size_t most_on_the_way = 65536;

  static void tell(const channel<bool>& who) noexcept;

  const std::shared_ptr<const pipe_chances> chances_;
  const std::shared_ptr<const simulated_link> link_;
  const channel<bool> readable_, writable_, when_broken_;
  std::weak_ptr<simulated_pipe> opposite_;
  std::deque<segment> segments_;
  std::size_t on_the_way_ = 0;
  bool writer_ended_ = false;
  time_point end_arrives_{};
  bool reader_ended_ = false;
  bool broken_ = false;
  std::size_t reads_cancelled_ = 0;
  std::size_t writes_cancelled_ = 0;
};

}  // namespace sluice::detail
