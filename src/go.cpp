#include <sluice/go.hpp>

#include <sluice/detail/make_target.hpp>
#include <sluice/detail/scheduler.hpp>

namespace sluice::detail {

start_place current_place(const char* caller) {
  goroutine& g = current_goroutine(caller);
  return {g.start_target(), g.counts_as_work()};
}

goroutine* make_goroutine(start_place place, std::coroutine_handle<> frame, promise_base& root,
                          bool serial, std::source_location where_started) {
  struct destroy_unless_started {
    std::coroutine_handle<> frame;
    ~destroy_unless_started() {
      if (frame) frame.destroy();
    }
  } guard{frame};
  if (place.where->owner().shutting_down()) return nullptr;
  if (serial) place.where = serial_target(std::move(place.where));
  goroutine& g = goroutine::make(std::move(place.where), root, place.counts_as_work, where_started);
  guard.frame = nullptr;
  return &g;
}

}  // namespace sluice::detail
