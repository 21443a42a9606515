#pragma once

#include <sluice/detail/scheduler/scheduler_link.hpp>
#include <sluice/detail/scheduler/target.hpp>

#include <memory>
#include <utility>

namespace sluice::detail {

class target_keeper;

/// A target as those keep it who may outlive its context: channels, functions of contexts, handlers
/// of other contexts.
/**
 * What belongs to the context, as a strand does, is given up when that ends, or with the last copy
 * of this. Whoever uses it later finds none.
 */
class lasting_target {
 public:
  lasting_target() noexcept = default;
  /** @throws std::bad_alloc */
  explicit lasting_target(const target_ptr& where);

  explicit operator bool() const noexcept { return static_cast<bool>(link_); }

 private:
  friend class pinned_target;

  /// Counts what keeps the target too, if that is none of a scheduler's own list.
  std::shared_ptr<scheduler_link> link_;
  const target_keeper* keeper_ = nullptr;
};

/// A target whose context does not end while this exists; none if its end has begun.
class pinned_target {
 public:
  pinned_target() noexcept = default;
  /// @param t Stays where it is while an operation is launched: see `from`.
  explicit pinned_target(const lasting_target& t) noexcept;
  explicit pinned_target(lasting_target&& t) noexcept;
  /// One whose user sees to it that its context is there.
  pinned_target(target_ptr where) noexcept : where_(std::move(where)) {}
  pinned_target(pinned_target&&) noexcept = default;
  pinned_target& operator=(pinned_target other) noexcept;

  explicit operator bool() const noexcept { return static_cast<bool>(where_); }
  [[nodiscard]] const target_ptr& operator*() const noexcept { return where_; }
  /// What may be kept in its place by who may outlive its context: where that stays, or itself, or
  /// neither.
  [[nodiscard]] const lasting_target* from() const noexcept { return from_; }
  [[nodiscard]] const lasting_target& kept() const noexcept { return kept_; }

 private:
  void pin(const lasting_target& t) noexcept;

  /// Goes when nothing is pinned any more: the last copy destroys an executor of a user's.
  lasting_target kept_;
  pinned_scheduler pinned_;
  target_ptr where_;
  const lasting_target* from_ = nullptr;
};

/// Outstanding work of a target, given up by whoever may outlive its context.
class lasting_work {
 public:
  /** @throws std::bad_alloc */
  explicit lasting_work(const target_ptr& where) : where_(where) { where->work_started(); }
  lasting_work(const lasting_work&) = delete;
  lasting_work& operator=(const lasting_work&) = delete;
  ~lasting_work() {
    if (const pinned_target t{where_}) (*t)->work_finished();
  }

  [[nodiscard]] pinned_target where() const noexcept { return pinned_target(where_); }

 private:
  lasting_target where_;
};

}  // namespace sluice::detail
