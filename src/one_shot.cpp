#include <sluice/detail/one_shot.hpp>

#include <mutex>
#include <utility>

namespace sluice::detail {

one_shot::one_shot(scheduler& s, std::function<void()> f)
    : party(&fire, &s),
      parked_handler{&withdraw_parked, &destroy_parked},
      function_(std::move(f)) {}

void one_shot::start(std::chrono::steady_clock::time_point at) {
  if (home->shutting_down()) {
    function_ = nullptr;
    return;
  }
  waiter_.begin(*this);
  waiter_.deadline = at;
  const std::lock_guard guard(home->timers.lock);
  sleep_functions.enlist(waiter_);
  kept_ = shared_from_this();
  home->add(static_cast<parked_handler&>(*this));
}

bool one_shot::stop() noexcept {
  if (!waiter_.who || !withdraw()) return false;
  home->remove(static_cast<parked_handler&>(*this));
  const auto last = std::move(kept_);
  return true;
}

bool one_shot::withdraw() noexcept {
  return sleep_functions.withdraw(waiter_);
}

void one_shot::fire(party& p) noexcept {
  auto& self = static_cast<one_shot&>(p);
  self.home->remove(static_cast<parked_handler&>(self));
  const auto last = std::move(self.kept_);
  self.function_();
}

bool one_shot::withdraw_parked(parked_handler& h) noexcept {
  return static_cast<one_shot&>(h).withdraw();
}

void one_shot::destroy_parked(parked_handler& h) noexcept {
  auto& self = static_cast<one_shot&>(h);
  self.waiter_.who = nullptr;  // its scheduler is about to go
  const auto function = std::move(self.function_);
  const auto last = std::move(self.kept_);
}

}  // namespace sluice::detail
