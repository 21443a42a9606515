#include <sluice/go.hpp>

#include "waking.hpp"

#include <sluice/detail/make_target.hpp>
#include <sluice/detail/scheduler.hpp>

namespace sluice::detail {

start_place current_place(const char* caller) {
  goroutine& g = current_goroutine(caller);
  return {g.start_target(), g.counts_as_work()};
}

new_goroutine::new_goroutine(start_place place, std::coroutine_handle<> frame, promise_base& root,
                             bool serial, std::source_location where_started) {
  struct destroy_unless_taken {
    std::coroutine_handle<> frame;
    ~destroy_unless_taken() {
      if (frame) frame.destroy();
    }
  } guard{frame};
  if (serial) place.where = serial_target(std::move(place.where));
  goroutine& g = goroutine::make(std::move(place.where), root, place.counts_as_work, where_started);
  guard.frame = nullptr;
  pin(g);
  if (g.enter()) {
    g_ = &g;
    return;
  }
  unpin(g);
  g.destroy_frames();
  g.release();
}

void new_goroutine::start() {
  struct unpin_at_end {
    scheduler* pinned;
    ~unpin_at_end() {
      if (pinned) pinned->unpin();
    }
  } pin_held{to_pin(*g_)};
  if (g_->where->is_native()) {
    std::exchange(g_, nullptr)->make_ready();
    return;
  }
  bool begun = false;
  try {
    g_->start_elsewhere(begun);
  } catch (...) {
    if (begun)
      g_ = nullptr;
    else
      pin_held.pinned = nullptr;  // `give_up` unpins
    throw;
  }
  g_ = nullptr;
}

void new_goroutine::give_up() noexcept {
  g_->leave();
  unpin(*g_);
  g_->destroy_frames();
  g_->release();
}

}  // namespace sluice::detail
