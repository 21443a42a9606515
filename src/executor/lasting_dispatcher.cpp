// SPDX-License-Identifier: BSL-1.0
// Targets that are kept by those who may outlive their context. Whoever asks for one pins its
// scheduler first, so it finds the dispatcher there, or nothing once the context's end has begun.

#include <sluice/detail/executor/lasting_dispatcher.hpp>

#include "scheduler/current_worker.hpp"

#include <sluice/detail/scheduler/scheduler.hpp>

namespace sluice::detail {

/// Keeps a strand, or somebody else's executor, until its context ends at the latest.
/** Written before it is registered, and by the end, which has waited for all pins. */
class dispatcher_keeper : private parked_handler {
 public:
  explicit dispatcher_keeper(const dispatcher_ptr& t)
      : parked_handler(&end_parked),
        link(t->owner().link()),
        beneath_(t->is_serial() ? t->without_strand() : dispatcher_ptr()),
        where_(t) {}

  static std::shared_ptr<dispatcher_keeper> make(const dispatcher_ptr& t) {
    auto k = std::make_shared<dispatcher_keeper>(t);
    if (t->owner().try_add(static_cast<parked_handler&>(*k)))
      k->kept_ = k;
    else
      k->give_up();
    return k;
  }

  [[nodiscard]] const dispatcher_ptr& where() const noexcept { return where_; }

  /// Nobody will ask any more. The end of its context does it if that has begun.
  /** A strand goes at once, because it must before its context does. @return What may own that
   * context: somebody else's executor, also beneath a strand. It goes when nothing is pinned. */
  [[nodiscard]] dispatcher_ptr drop(scheduler& s) noexcept {
    if (!s.remove(static_cast<parked_handler&>(*this))) return {};
    kept_.reset();
    if (!beneath_) return std::move(where_);
    where_ = {};
    return std::move(beneath_);
  }

  const std::shared_ptr<scheduler_link> link;

 private:
  static void end_parked(parked_handler& h) noexcept {
    auto& self = static_cast<dispatcher_keeper&>(h);
    const auto last = std::move(self.kept_);
    self.give_up();
  }

  void give_up() noexcept {
    where_ = {};
    beneath_ = {};
  }

  dispatcher_ptr beneath_;
  dispatcher_ptr where_;
  std::shared_ptr<dispatcher_keeper> kept_;
};

namespace {

/// What all copies of a lasting dispatcher share.
struct shared_keeper {
  ~shared_keeper() {
    if (!keeper) return;
    dispatcher_ptr last;
    if (const pinned_scheduler s{*keeper->link}) last = keeper->drop(*s);
  }

  std::shared_ptr<dispatcher_keeper> keeper;
};

}  // namespace

lasting_dispatcher::lasting_dispatcher(const dispatcher_ptr& where) {
  if (!where) return;
  if (where->is_native()) {
    link_ = where->owner().link();
    return;
  }
  const auto shared = std::make_shared<shared_keeper>();
  shared->keeper = dispatcher_keeper::make(where);
  keeper_ = shared->keeper.get();
  link_ = std::shared_ptr<scheduler_link>(shared, keeper_->link.get());
}

pinned_dispatcher::pinned_dispatcher(const lasting_dispatcher& t) noexcept : from_(&t) {
  if (t.keeper_) kept_ = t;
  pin(t);
}

pinned_dispatcher::pinned_dispatcher(lasting_dispatcher&& t) noexcept : kept_(std::move(t)) {
  pin(kept_);
}

pinned_dispatcher& pinned_dispatcher::operator=(pinned_dispatcher other) noexcept {
  std::swap(kept_, other.kept_);
  std::swap(pinned_, other.pinned_);
  std::swap(where_, other.where_);
  std::swap(from_, other.from_);
  return *this;
}

// No end can begin while a thread of the context drains the scheduler.
void pinned_dispatcher::pin(const lasting_dispatcher& t) noexcept {
  if (!t.link_) return;
  const worker* const w = current_worker;
  const bool here = w && !w->lent && w->owner.link() == t.link_;
  if (!here) pinned_ = pinned_scheduler(*t.link_);
  if (!here && !pinned_) return;
  where_ = t.keeper_ ? t.keeper_->where() : dispatcher_ptr(here ? w->owner : *pinned_);
}

}  // namespace sluice::detail
