// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/scheduler/ready_list.hpp>

#include <atomic>

namespace sluice::detail {

/// A strand over another dispatcher: what runs on it runs one after the other.
/**
 * The strand of a goroutine that has launched something or has asked for its executor. Thread safe.
 *
 * One word holds who is next. It is `idle`, or the strand has a holder, and the word is the list of
 * what has come since the holder looked, newest first, ended by `held`. Who finds it idle is the
 * holder, and has `turn_` run on the inner dispatcher; only the holder touches `turn_`, `queue_`
 * and `next_turn_`. After each turn the holder passes on to the next node, and if there is none it
 * puts `idle` back by an exchange that fails when one has come meanwhile. A holder keeps a
 * reference.
 */
class strand_dispatcher final : public dispatcher {
 public:
  [[nodiscard]] SLUICE_DECL static dispatcher_ptr make(dispatcher_ptr inner);

  /// What runs on the turn of a strand, if `n` is one; otherwise `n`. For the thread that is about
  /// to run it.
  [[nodiscard]] static ready_node& on_turn(ready_node& n) noexcept {
    return n.run == &run_turn ? *static_cast<turn_node&>(n).strand.next_turn_ : n;
  }

  SLUICE_DECL void schedule(ready_node& node) override;
  SLUICE_DECL bool try_run_here(void (*f)(void*), void* arg) override;
  [[nodiscard]] SLUICE_DECL bool running_in_this_thread() const noexcept override;

  void work_started() noexcept override { inner_->work_started(); }
  void work_finished() noexcept override { inner_->work_finished(); }

  [[nodiscard]] SLUICE_DECL asio::any_io_executor to_any_executor() const override;
  [[nodiscard]] dispatcher_ptr without_strand() override { return inner_; }
  [[nodiscard]] SLUICE_DECL dispatcher_ptr left_by_the_last() noexcept override;

 private:
  friend class held_strand;
  class turn;
  struct turn_node final : ready_node {
    explicit turn_node(strand_dispatcher& s) noexcept : ready_node(&run_turn), strand(s) {}
    strand_dispatcher& strand;
  };

  SLUICE_DECL explicit strand_dispatcher(dispatcher_ptr inner);
  ~strand_dispatcher() = default;
  SLUICE_DECL void destroy() noexcept override;

  [[nodiscard]] bool try_hold() noexcept;
  [[nodiscard]] SLUICE_DECL ready_node* next() noexcept;
  void pass_on();
  void drop_all() noexcept;
  SLUICE_DECL static void run_turn(ready_node& node, worker* w);

  const dispatcher_ptr inner_;
  ready_node idle_, held_;
  std::atomic<ready_node*> newest_{&idle_};
  turn_node turn_;
  ready_node* next_turn_ = nullptr;
  ready_list queue_;
};

/// Makes a strand that this thread holds, wherever it stands: nobody else knows it yet.
class held_strand {
 public:
  /** @throws std::bad_alloc */
  SLUICE_DECL explicit held_strand(dispatcher_ptr inner);
  held_strand(const held_strand&) = delete;
  held_strand& operator=(const held_strand&) = delete;
  /// Drops what has been scheduled, if the strand has not been passed on.
  SLUICE_DECL ~held_strand();

  [[nodiscard]] const dispatcher_ptr& strand() const noexcept { return strand_; }
  /// Lets what has been scheduled run. Called by somebody who knows that the scheduler is there.
  void pass_on();

 private:
  const dispatcher_ptr strand_;
  bool held_ = true;
};

/// A strand over `where`, or `where` itself if it is one.
[[nodiscard]] dispatcher_ptr serial_dispatcher(dispatcher_ptr where);

}  // namespace sluice::detail
