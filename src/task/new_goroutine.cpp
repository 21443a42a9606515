// SPDX-License-Identifier: BSL-1.0
// A goroutine between its making and its first step. It is registered with its context when it is
// made, and is destroyed again by its maker if it is not started.

#include <sluice/detail/task/new_goroutine.hpp>

#include "wait/waking.hpp"

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/executor/make_dispatcher.hpp>
#include <sluice/detail/executor/strand_dispatcher.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>

namespace sluice::detail {

new_goroutine::new_goroutine(start_point at, std::coroutine_handle<> frame, promise_base& root,
                             bool serial, std::source_location where_started) {
  struct destroy_unless_taken {
    std::coroutine_handle<> frame;
    ~destroy_unless_taken() {
      if (frame) frame.destroy();
    }
  } guard{frame};
  if (serial) at.where = serial_dispatcher(std::move(at.where));
  const bool counts = at.counts_as_work && !at.where->owner().finds_deadlocks();
  goroutine& g = goroutine::make(std::move(at.where), root, counts, where_started);
  guard.frame = nullptr;
  if (scheduler* const s = to_pin(g)) pinned_ = pinned_scheduler(s);
  if (g.enter()) {
    g_ = &g;
    return;
  }
  pinned_ = pinned_scheduler();
  g.destroy_frames();
  g.release();
}

void new_goroutine::start() {
  if (g_->where->is_native()) {
    std::exchange(g_, nullptr)->make_ready();
  } else {
    bool begun = false;
    SLUICE_TRY {
      g_->start_elsewhere(begun);
    }
    SLUICE_CATCH_ALL {
      if (begun) g_ = nullptr;
      detail::rethrow();
    }
    g_ = nullptr;
  }
}

// It has not begun, so nobody wakes it: whoever can cancel it finds that it waits for nothing. So
// no pins are waited for, and the caller may hold one.
void new_goroutine::give_up() noexcept {
  g_->leave();
  pinned_ = pinned_scheduler();
  g_->give_up();
}

}  // namespace sluice::detail
