// Children of one operation. Each is in a list while it can be cancelled; who cancels takes them
// off one by one, so that none is called under the lock, and is counted meanwhile: the operation
// stays until he is done. Whoever counts down to zero wakes, and touches nothing after that.

#include <sluice/detail/sync/children_wait.hpp>

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/task/new_goroutine.hpp>

#include <boost/asio/error.hpp>

#include <mutex>
#include <new>
#include <string>

namespace sluice::detail {

error_code error_code_of(const std::exception_ptr& failure) noexcept {
  try {
    std::rethrow_exception(failure);
  } catch (const system_error& x) {
    return x.code();
  } catch (const std::bad_alloc&) {
    return asio::error::no_memory;
  } catch (...) {
    return error::initiation_failed;
  }
}

bool children_wait::begin(goroutine& g) noexcept {
  g.waiting_on = reason_;
  begin(static_cast<waker&>(g));
  if (!g.cancel) return true;
  cancel_ = g.cancel;
  const std::lock_guard guard(cancel_->lock());
  const auto seen = cancel_->begin(*this);
  if (seen == waiter::state::waiting) return true;
  outcome_ = seen;
  stopped_ = true;
  return false;
}

void children_wait::begin(waker& p) noexcept {
  who_ = &p;
  outstanding_.store(1, std::memory_order_relaxed);
}

void children_wait::launch(child_link& c, start_point at, task<> body, std::source_location where) {
  new_goroutine g(std::move(at), std::move(body), false, where);
  if (!g) {
    const std::lock_guard guard(lock_);
    stopped_ = true;
    return;
  }
  auto of_child = (*g).become_cancellable();
  {
    const std::lock_guard guard(lock_);
    if (stopped_) return;
    c.cancel = std::move(of_child);
    running_.push_front(c);
  }
  g.start();
}

bool children_wait::stopped() noexcept {
  const std::lock_guard guard(lock_);
  return stopped_;
}

void children_wait::failed(const std::exception_ptr& e) noexcept {
  {
    const std::lock_guard guard(lock_);
    if (std::exchange(stopped_, true)) return;
    first_exception_ = e;
  }
  cancel_children();
}

void children_wait::failed(const error_code& e) noexcept {
  {
    const std::lock_guard guard(lock_);
    if (std::exchange(stopped_, true)) return;
    first_error_ = e;
  }
  cancel_children();
}

void children_wait::cancel_children() noexcept {
  for (;;) {
    cancellation_ref to_cancel;
    auto reason = waiter::state::aborted;
    {
      const std::lock_guard guard(lock_);
      child_link* const c = running_.pop_front();
      if (!c) return;
      c->told = true;
      told_.push_front(*c);
      to_cancel = c->cancel;
      if (outcome_ != waiter::state::waiting) reason = outcome_;
    }
    to_cancel->context_done(reason);
  }
}

void children_wait::ended(child_link& c) noexcept {
  bool goes_on = false;
  {
    cancellation_ref unused;
    const std::lock_guard guard(lock_);
    if (c.cancel) {
      (c.told ? told_ : running_).remove(c);
      unused = std::exchange(c.cancel, {});
    }
    goes_on = !stopped_;
  }
  if (goes_on && successor_) successor_(successor_argument_);
  count_down_and_wake();
}

void children_wait::count_down_and_wake() noexcept {
  waker& who = *who_;
  if (count_down()) who.wake(who);
}

bool children_wait::count_up_unless_over() noexcept {
  auto seen = outstanding_.load(std::memory_order_relaxed);
  while (seen != 0)
    if (outstanding_.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel,
                                           std::memory_order_relaxed))
      return true;
  return false;
}

bool children_wait::cancel_later(cancellable& wait, asio::cancellation_type, waiter::state outcome,
                                 ready_list& steps) noexcept {
  auto& self = static_cast<children_wait&>(wait);
  if (!self.count_up_unless_over()) return false;
  bool first = false;
  {
    const std::lock_guard guard(self.lock_);
    first = !std::exchange(self.stopped_, true);
    if (first) self.outcome_ = outcome;
  }
  if (first) {
    steps.push_back(self);
    return false;
  }
  // Not the last: a child is there, or who has stopped it before still counts.
  return self.count_down();
}

// Without a worker its executor, or its context, has ended: so have the children, or will.
void children_wait::cancel_now(ready_node& node, worker* w) {
  auto& self = static_cast<children_wait&>(node);
  if (w) self.cancel_children();
  self.count_down_and_wake();
}

bool children_wait::cancel_for_handler() noexcept {
  if (!count_up_unless_over()) return false;
  {
    const std::lock_guard guard(lock_);
    if (!std::exchange(stopped_, true)) outcome_ = waiter::state::aborted;
  }
  cancel_children();
  return count_down();
}

void children_wait::failure(error_code& e) const noexcept {
  if (outcome_ != waiter::state::waiting)
    e = outcome_error(outcome_);
  else if (first_exception_)
    e = error_code_of(first_exception_);
  else if (first_error_)
    e = first_error_;
  else
    e = asio::error::operation_aborted;
}

void children_wait::failure(std::exception_ptr& e) const {
  if (first_exception_) {
    e = first_exception_;
    return;
  }
  error_code code;
  failure(code);
  e = std::make_exception_ptr(system_error(code, std::string("sluice: ") + text_of(reason_)));
}

}  // namespace sluice::detail
