// SPDX-License-Identifier: BSL-1.0
// The errors of a task group, and its limit. The first error cancels the others; there is room for
// each before it can happen, so that telling it cannot fail.

#include <sluice/task_group.hpp>

#include <sluice/detail/base/exceptions.hpp>

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

group_state::group_state(start_point where, const context& parent, group_errors policy)
    : at_(std::move(where)), tree_(with_cancel(parent)), policy_(policy) {
  errors_.reserve(possible_);
}

void group_state::expect_one_more() {
  const std::lock_guard guard(mutex_);
  if (policy_ == group_errors::all && errors_.capacity() <= possible_)
    errors_.reserve(2 * possible_);
  ++possible_;
}

void group_state::fail() noexcept {
  bool first = false;
  const auto failure = std::current_exception();
  {
    const std::lock_guard guard(mutex_);
    first = errors_.empty();
    if (first || policy_ == group_errors::all) errors_.push_back(failure);
  }
  if (first && policy_ == group_errors::first) tree_.cancel(failure);
}

void group_state::interrupt() noexcept {
  fail();
  tree_.cancel(std::current_exception());
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
  if (children.count() != 0)
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
