// SPDX-License-Identifier: BSL-1.0
// The errors of a task group, and its limit. The first error cancels the others; there is room for
// each before it can happen, so that telling it cannot fail.

#include <sluice/task_group.hpp>

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/test_point.hpp>
#include <sluice/detail/context/bound_to.hpp>
#include <sluice/detail/goroutine/await.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/goroutine/joined.hpp>
#include <sluice/detail/task/new_goroutine.hpp>

#include <string>

namespace sluice {

namespace {

std::string text_of(const std::vector<std::exception_ptr>& errors) {
  std::string text = "sluice: " + std::to_string(errors.size()) + " failed in a task group";
  const char* separator = ": ";
  for (const auto& e : errors) {
    text.append(separator);
    text += detail::visit_exception<std::exception>(
        e, [](const std::exception& x) { return std::string(x.what()); },
        [] { return std::string("unknown exception"); });
    separator = "; ";
  }
  return text;
}

}  // namespace

task_group_error::task_group_error(std::vector<std::exception_ptr> errors)
    : std::runtime_error(text_of(errors)),
      errors_(std::make_shared<const std::vector<std::exception_ptr>>(std::move(errors))) {}

namespace detail {

/// A goroutine of a group, as the group knows it.
class group_member final : public joined, public list_hook<group_member> {
 public:
  group_member(goroutine& g, group_state& group) noexcept : joined(g), group_(group) {}
  group_member(const group_member&) = delete;
  group_member& operator=(const group_member&) = delete;
  ~group_member() override = default;

  void ended(const std::exception_ptr& failure) noexcept override {
    group_.one_has_ended(*this, failure);
  }

  /// Whether it is in the group's list: not once it has been cancelled.
  bool listed = false;

 private:
  group_state& group_;
};

// What the context calls may still be running when the group has gone.
std::shared_ptr<group_state> group_state::make(const context& parent, group_errors policy) {
  auto made = std::make_shared<group_state>(parent, policy);
  const auto cancel = [group = std::weak_ptr(made)] {
    if (const auto g = group.lock()) g->cancel_members();
  };
  made->told_by_context_.emplace(access::state_of(made->ctx()), cancel);
  if (!made->told_by_context_->start()) made->cancel_members();
  return made;
}

group_state::group_state(const context& parent, group_errors policy)
    : tree_(with_cancel(parent)), policy_(policy) {
  errors_.reserve(possible_);
}

void group_state::expect_one_more() {
  const std::lock_guard guard(errors_mutex_);
  if (errors_.capacity() <= possible_) errors_.reserve(2 * possible_);
  ++possible_;
}

// Once it has joined, its end is told, also if it cannot be started.
void group_state::start(const start_point& at, std::coroutine_handle<> frame, promise_base& root,
                        bool serial, std::source_location where_started, grant_waiter* turn) {
  new_goroutine made(at, frame, root, serial, where_started);
  if (!made) return;
  goroutine& g = *made;
  if (policy_ == group_errors::all) expect_one_more();
  auto& m = *new group_member(g, *this);
  g.join(m);
  add(m);
  if (turn && wait_before_start(g, *turn, semaphore_functions))
    static_cast<void>(made.take());
  else
    made.start();
}

void group_state::add(group_member& m) noexcept {
  auto cancelled = waiter::state::waiting;
  {
    wake_list nobody;
    const std::lock_guard guard(lock());
    if (ready()) self_ = shared_from_this();
    change(1, nobody);
    cancelled = cancelled_;
    m.listed = cancelled == waiter::state::waiting;
    if (m.listed) members_.push_front(m);
  }
  if (cancelled != waiter::state::waiting) m.context_done(cancelled);
}

void group_state::one_has_ended(group_member& m, const std::exception_ptr& failure) noexcept {
  if (failure) fail(failure);
  std::shared_ptr<group_state> self;
  wake_list woken;
  const std::lock_guard guard(lock());
  if (m.listed) members_.remove(m);
  change(-1, woken);
  if (ready()) self = std::move(self_);
}

// Under the lock whoever is in the list has not ended, and is kept by the reference until he has
// been told.
void group_state::cancel_members() noexcept {
  const waiter::state reason = outcome_of_waits(*access::state_of(ctx()).get());
  for (;;) {
    cancellation_ref told;
    {
      const std::lock_guard guard(lock());
      cancelled_ = reason;
      group_member* const m = members_.pop_front();
      if (!m) break;
      m->listed = false;
      told = cancellation_ref(*m);
    }
    told->context_done(reason);
  }
  test_point("a group has told its goroutines");
}

void group_state::fail(const std::exception_ptr& failure) noexcept {
  bool first = false;
  {
    const std::lock_guard guard(errors_mutex_);
    first = errors_.empty();
    if (first || policy_ == group_errors::all) errors_.push_back(failure);
  }
  if (first && policy_ == group_errors::first) tree_.cancel(failure);
}

void group_state::interrupt() noexcept {
  const auto failure = std::current_exception();
  fail(failure);
  tree_.cancel(failure);
}

void group_state::rethrow() const {
  if (errors_.empty()) return;
  if (policy_ == group_errors::first) std::rethrow_exception(errors_.front());
  detail::throw_exception(task_group_error(errors_));
}

void group_state::throw_if_cancelled() const {
  if (const error_code e = ctx().err()) throw_error(e, "sluice: task_group");
}

void group_state::set_limit(std::size_t n) {
  if (n == 0) detail::throw_exception(std::invalid_argument("sluice::task_group: a limit of 0"));
  if (count() != 0)
    detail::throw_exception(std::logic_error("sluice::task_group: set_limit while goroutines run"));
  permits_.emplace(n);
}

semaphore& group_state::permits() {
  if (!permits_)
    detail::throw_exception(std::logic_error("sluice::task_group: slot without a limit"));
  return *permits_;
}

}  // namespace detail

}  // namespace sluice
