#include <sluice/wait_group.hpp>

#include <mutex>
#include <stdexcept>

namespace sluice {

/// The parts of a wait group that its waiters' functions use.
struct wait_group_access {
  static wait_group* of(const detail::waiter& w) noexcept {
    return static_cast<const detail::wait_group_waiter&>(w).group;
  }
  static detail::byte_lock* lock(detail::waiter& w) noexcept {
    return of(w) ? &of(w)->lock_ : nullptr;
  }
  static bool ready(const detail::waiter& w) noexcept { return of(w) && of(w)->count_ == 0; }
  static bool attempt(detail::waiter& w) noexcept {
    if (of(w)->count_ != 0) return false;
    w.outcome = detail::waiter::state::done;
    return true;
  }
  static void enlist(detail::waiter& w) noexcept { of(w)->waiters_.push_back(w); }
  static bool withdraw(detail::waiter& w) noexcept {
    if (!of(w)) return false;
    const std::lock_guard guard(of(w)->lock_);
    if (!w.linked()) return false;
    detail::waiter_list::remove(w);
    return true;
  }
};

namespace detail {

const waiter_functions wait_group_functions{
    "wait_group",
    &wait_group_access::lock,
    &wait_group_access::ready,
    [](waiter& w, wake_list&) { return wait_group_access::attempt(w); },
    [](waiter& w) { wait_group_access::enlist(w); },
    &wait_group_access::withdraw,
};

}  // namespace detail

wait_group::~wait_group() {
  while (detail::waiter* const w = waiters_.pop_front())
    static_cast<detail::wait_group_waiter*>(w)->group = nullptr;
}

void wait_group::add(std::ptrdiff_t delta) {
  detail::wake_list woken;
  {
    const std::lock_guard guard(lock_);
    if (count_ + delta < 0) throw std::logic_error("sluice: negative wait_group counter");
    count_ = count_ + delta;
    if (count_ == 0)
      while (detail::waiter* const w = waiters_.pop_claimed()) {
        w->outcome = detail::waiter::state::done;
        woken.add(*w);
      }
  }
  woken.wake_all();
}

}  // namespace sluice
