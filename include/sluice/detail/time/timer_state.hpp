// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/channel.hpp>
#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/time/callback_timer.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/sleep.hpp>
#include <sluice/task.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

// What goes off behind timers, tickers and functions that run later.

namespace sluice::detail {

/// What `timer`, `ticker` and `after_func` have in common: when it goes off, and how often.
class SLUICE_DECL timer_state : public std::enable_shared_from_this<timer_state> {
 public:
  /** @throws std::bad_alloc */
  explicit timer_state(const dispatcher_ptr& where) : where_(where) {}
  timer_state(const timer_state&) = delete;
  timer_state& operator=(const timer_state&) = delete;
  SLUICE_DECL virtual ~timer_state();

  /// Sets it to go off `d` from now and then every `period`, if that is positive.
  /** Does no more than `stop` if its context has ended.
   * @return Whether it was set, or what it did last can still be undone and has been. */
  SLUICE_DECL bool set(clock::duration d, clock::duration period);
  /// The same without setting it again: afterwards it does nothing.
  SLUICE_DECL bool stop() noexcept;

 protected:
  /// It goes off. Called under the lock, so that it happens before a `stop` or not at all.
  virtual void go_off(clock::time_point now, wake_list& woken) = 0;
  /// Called afterwards, under no lock; again a little later if it throws `std::bad_alloc`.
  virtual void gone_off() {}
  /// Its context has ended, so that it never goes off. Called under the lock.
  virtual void end(wake_list&) noexcept {}
  /// Whether it lives while it is set, although nobody holds it.
  [[nodiscard]] virtual bool keeps_itself() const noexcept { return false; }
  /// Undoes what it did last, under the lock. @return False if that is too late.
  virtual bool undo() noexcept { return false; }

  byte_lock lock_;

 private:
  [[nodiscard]] bool unset(std::shared_ptr<callback_timer>& was) noexcept;
  [[nodiscard]] bool arm(const dispatcher_ptr& where, clock::time_point at);
  void on_shot(std::uint64_t generation);
  void on_end_of_context() noexcept;
  void try_again(std::uint64_t generation, std::shared_ptr<callback_timer> shot) noexcept;

  const lasting_dispatcher where_;
  std::shared_ptr<callback_timer> shot_;
  std::uint64_t generation_ = 0;
  clock::time_point deadline_;
  clock::duration period_{};
};

/// A timer that sends the time to a channel, which owns it and looks unbuffered.
class channel_timer final : public timer_state {
 public:
  /// The channel of a timer that is set to `d` and `period`; it owns the timer.
  SLUICE_DECL static channel<clock::time_point> make(
      const dispatcher_ptr& where, clock::duration d, clock::duration period,
      std::shared_ptr<channel_timer>* timer = nullptr);

  using timer_state::timer_state;

  /// The channel has ended.
  SLUICE_DECL void detach() noexcept;

 private:
  SLUICE_DECL void go_off(clock::time_point now, wake_list& woken) override;
  SLUICE_DECL void end(wake_list& woken) noexcept override;
  SLUICE_DECL bool undo() noexcept override;

  channel_core* channel_ = nullptr;
};

/// A timer that starts a goroutine.
class goroutine_timer final : public timer_state {
 public:
  goroutine_timer(const dispatcher_ptr& where, std::function<void()> start)
      : timer_state(where), start_(std::move(start)) {}

 private:
  void go_off(clock::time_point, wake_list&) override {}
  void gone_off() override { start_(); }
  [[nodiscard]] bool keeps_itself() const noexcept override { return true; }

  const std::function<void()> start_;
};

}  // namespace sluice::detail
