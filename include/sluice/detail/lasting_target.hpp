#pragma once

#include <sluice/detail/scheduler_link.hpp>
#include <sluice/detail/target.hpp>

#include <memory>
#include <utility>

namespace sluice::detail {

/// A target as those keep it who may outlive its context: channels, functions of contexts, handlers
/// of other contexts.
/**
 * What belongs to the context, as a strand does, is given up when that ends. Whoever uses it later
 * finds none.
 */
class lasting_target {
 public:
  lasting_target() noexcept = default;
  /** @throws std::bad_alloc */
  explicit lasting_target(const target_ptr& where);
  lasting_target(lasting_target&&) noexcept = default;
  lasting_target& operator=(lasting_target&&) = delete;
  ~lasting_target();

  /// The target, for a caller who knows that its context does not end meanwhile; none if it has.
  [[nodiscard]] target_ptr get() const noexcept;

 private:
  friend class pinned_target;
  class keeper;

  std::shared_ptr<scheduler_link> link_;
  /// None for a scheduler's own list.
  std::shared_ptr<keeper> keeper_;
};

/// A target whose context does not end while this exists; none if its end has begun.
class pinned_target {
 public:
  explicit pinned_target(const lasting_target& t) noexcept;

  explicit operator bool() const noexcept { return static_cast<bool>(where_); }
  [[nodiscard]] const target_ptr& operator*() const noexcept { return where_; }

 private:
  pinned_scheduler pinned_;
  target_ptr where_;
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

 private:
  lasting_target where_;
};

}  // namespace sluice::detail
