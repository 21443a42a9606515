// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/scheduler/scheduler_link.hpp>

#include <memory>
#include <utility>

namespace sluice::detail {

class dispatcher_keeper;

/// A dispatcher as those keep it who may outlive its context: channels, functions of contexts,
/// handlers of other contexts.
/**
 * What belongs to the context, as a strand does, is given up when that ends, or with the last copy
 * of this. Whoever uses it later finds none.
 */
class lasting_dispatcher {
 public:
  lasting_dispatcher() noexcept = default;
  /** @throws std::bad_alloc */
  SLUICE_DECL explicit lasting_dispatcher(const dispatcher_ptr& where);

  explicit operator bool() const noexcept { return static_cast<bool>(link_); }

 private:
  friend class pinned_dispatcher;

  /// Counts what keeps the dispatcher too, if that is none of a scheduler's own list.
  std::shared_ptr<scheduler_link> link_;
  const dispatcher_keeper* keeper_ = nullptr;
};

/// A dispatcher whose context does not end while this exists; none if its end has begun.
class pinned_dispatcher {
 public:
  pinned_dispatcher() noexcept = default;
  /// @param t Stays where it is while an operation is launched: see `from`.
  SLUICE_DECL explicit pinned_dispatcher(const lasting_dispatcher& t) noexcept;
  SLUICE_DECL explicit pinned_dispatcher(lasting_dispatcher&& t) noexcept;
  /// One whose user sees to it that its context is there.
  pinned_dispatcher(dispatcher_ptr where) noexcept : where_(std::move(where)) {}
  pinned_dispatcher(pinned_dispatcher&&) noexcept = default;
  SLUICE_DECL pinned_dispatcher& operator=(pinned_dispatcher other) noexcept;

  explicit operator bool() const noexcept { return static_cast<bool>(where_); }
  [[nodiscard]] const dispatcher_ptr& operator*() const noexcept { return where_; }
  /// What may be kept instead of it by who may outlive its context: where that stays, or itself, or
  /// neither.
  [[nodiscard]] const lasting_dispatcher* from() const noexcept { return from_; }
  [[nodiscard]] const lasting_dispatcher& kept() const noexcept { return kept_; }

 private:
  SLUICE_DECL void pin(const lasting_dispatcher& t) noexcept;

  /// Goes when nothing is pinned any more: the last copy destroys an executor of a user's.
  lasting_dispatcher kept_;
  pinned_scheduler pinned_;
  dispatcher_ptr where_;
  const lasting_dispatcher* from_ = nullptr;
};

/// Outstanding work of a dispatcher, given up by whoever may outlive its context.
class lasting_work {
 public:
  /** @throws std::bad_alloc */
  explicit lasting_work(const dispatcher_ptr& where) : where_(where) { where->work_started(); }
  lasting_work(const lasting_work&) = delete;
  lasting_work& operator=(const lasting_work&) = delete;
  ~lasting_work() {
    if (const pinned_dispatcher t{where_}) (*t)->work_finished();
  }

  [[nodiscard]] pinned_dispatcher where() const noexcept { return pinned_dispatcher(where_); }

 private:
  lasting_dispatcher where_;
};

}  // namespace sluice::detail
