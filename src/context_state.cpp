#include <sluice/detail/context_state.hpp>

#include "waking.hpp"

#include <sluice/detail/one_shot.hpp>
#include <sluice/detail/scheduler.hpp>

#include <boost/asio/error.hpp>

#include <mutex>

namespace sluice::detail {

void context_link::cancel(const error_code& e, const std::exception_ptr& cause) {
  context_ref target;
  {
    const std::lock_guard guard(lock_);
    if (!state_ || !state_->try_retain()) return;
    target = context_ref::adopt(*state_);
  }
  target->cancel(e, cause);
}

void context_link::clear() noexcept {
  const std::lock_guard guard(lock_);
  state_ = nullptr;
}

context_state& context_state::make(context_state* parent) {
  auto& child = *new context_state(parent);
  if (!parent) return child;
  parent->retain();
  {
    const std::lock_guard guard(parent->lock_);
    child.deadline_ = parent->deadline_;
    if (!parent->done_.load(std::memory_order_relaxed)) {
      child.next_sibling_ = parent->first_child_;
      if (child.next_sibling_) child.next_sibling_->previous_sibling_ = &child;
      parent->first_child_ = &child;
      child.linked_ = true;
      return child;
    }
  }
  child.cancel(parent->err(), parent->cause());
  return child;
}

bool context_state::try_retain() noexcept {
  auto n = references_.load(std::memory_order_relaxed);
  while (n != 0)
    if (references_.compare_exchange_weak(n, n + 1, std::memory_order_acq_rel)) return true;
  return false;
}

// Without recursion: a chain of contexts may be long.
void context_state::release() noexcept {
  context_state* s = this;
  while (s && s->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    context_state* const parent = s->parent_;
    if (parent) parent->unlink_child(*s);
    if (s->timer_) s->timer_->stop();
    if (s->link_) s->link_->clear();
    delete s;
    s = parent;
  }
}

void context_state::unlink_child(context_state& c) noexcept {
  const std::lock_guard guard(lock_);
  if (!std::exchange(c.linked_, false)) return;
  (c.previous_sibling_ ? c.previous_sibling_->next_sibling_ : first_child_) = c.next_sibling_;
  if (c.next_sibling_) c.next_sibling_->previous_sibling_ = c.previous_sibling_;
}

void context_state::cancel(error_code e, std::exception_ptr cause) {
  retain();
  context_state* todo = nullptr;
  for (context_state* s = this; s;) {
    s->cancel_one(e, cause, todo);
    if (s->parent_) s->parent_->unlink_child(*s);
    s->release();
    s = todo;
    if (s) todo = s->next_to_cancel_;
  }
}

void context_state::cancel_one(const error_code& e, const std::exception_ptr& cause,
                               context_state*& todo) {
  wake_list woken;
  std::shared_ptr<one_shot> timer;
  std::vector<std::shared_ptr<void>> kept;
  {
    const std::lock_guard guard(lock_);
    if (done_.load(std::memory_order_relaxed)) return;
    error_ = e;
    cause_ = cause;
    done_.store(true, std::memory_order_release);
    timer = std::move(timer_);
    kept.swap(kept_);
    while (waiter* const w = pop_claimed(waiters_)) {
      w->outcome = waiter::state::done;
      woken.add(*w);
    }
    for (context_state* c = first_child_; c; c = c->next_sibling_) {
      c->linked_ = false;
      if (!c->try_retain()) continue;
      c->next_to_cancel_ = todo;
      todo = c;
    }
    first_child_ = nullptr;
  }
  if (timer) timer->stop();
  woken.wake_all();
  for (;;) {
    std::function<void()> f;
    {
      const std::lock_guard guard(lock_);
      context_callback* const c = callbacks_;
      if (!c) break;
      callbacks_ = c->next_;
      if (callbacks_) callbacks_->previous_ = nullptr;
      c->registered_ = false;
      f.swap(c->function_);
    }
    f();
  }
}

bool context_state::add(context_callback& c) noexcept {
  const std::lock_guard guard(lock_);
  if (done_.load(std::memory_order_relaxed)) return false;
  c.previous_ = nullptr;
  c.next_ = callbacks_;
  if (callbacks_) callbacks_->previous_ = &c;
  callbacks_ = &c;
  c.registered_ = true;
  return true;
}

bool context_state::remove(context_callback& c) noexcept {
  std::function<void()> unused;
  const std::lock_guard guard(lock_);
  if (!std::exchange(c.registered_, false)) return false;
  unused.swap(c.function_);
  (c.previous_ ? c.previous_->next_ : callbacks_) = c.next_;
  if (c.next_) c.next_->previous_ = c.previous_;
  return true;
}

void context_state::set_deadline(const target_ptr& where, std::chrono::steady_clock::time_point t) {
  {
    const std::lock_guard guard(lock_);
    if (deadline_ && *deadline_ <= t) return;
    deadline_ = t;
  }
  if (t <= scheduler::now()) {
    cancel(asio::error::timed_out, nullptr);
    return;
  }
  auto timer = std::make_shared<one_shot>(
      where->owner(), [target = link()] { target->cancel(asio::error::timed_out, nullptr); });
  timer->start(t);
  {
    const std::lock_guard guard(lock_);
    if (!done_.load(std::memory_order_relaxed)) {
      timer_ = std::move(timer);
      return;
    }
  }
  timer->stop();
}

error_code context_state::err() const noexcept {
  const std::lock_guard guard(lock_);
  return error_;
}

std::exception_ptr context_state::cause() const noexcept {
  const std::lock_guard guard(lock_);
  if (cause_ || !error_) return cause_;
  return std::make_exception_ptr(system_error(error_, "sluice: context"));
}

std::optional<std::chrono::steady_clock::time_point> context_state::deadline() const noexcept {
  const std::lock_guard guard(lock_);
  return deadline_;
}

std::shared_ptr<context_link> context_state::link() {
  const std::lock_guard guard(lock_);
  if (!link_) link_ = std::make_shared<context_link>(*this);
  return link_;
}

void context_state::keep(std::shared_ptr<void> what) {
  const std::lock_guard guard(lock_);
  if (!done_.load(std::memory_order_relaxed)) kept_.push_back(std::move(what));
}

std::size_t context_state::child_count() const noexcept {
  const std::lock_guard guard(lock_);
  std::size_t n = 0;
  for (const context_state* c = first_child_; c; c = c->next_sibling_) ++n;
  return n;
}

bool context_state::withdraw(waiter& w) noexcept {
  const std::lock_guard guard(lock_);
  return waiter_list::remove_if_linked(w);
}

}  // namespace sluice::detail
