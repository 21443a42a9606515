#include <sluice/detail/lasting_target.hpp>

#include <sluice/detail/scheduler.hpp>

namespace sluice::detail {

/// Keeps a strand, or somebody else's executor, until its context ends at the latest.
/** Written before it is registered, and by the end, which has waited for all pins. */
class lasting_target::keeper : private parked_handler {
 public:
  explicit keeper(const target_ptr& t) noexcept : parked_handler(&end_parked), where(t) {}

  static std::shared_ptr<keeper> make(const target_ptr& t) {
    auto k = std::make_shared<keeper>(t);
    if (t->owner().try_add(static_cast<parked_handler&>(*k)))
      k->kept_ = k;
    else
      k->where = {};
    return k;
  }

  /// Nobody will ask any more. The end of its context does it if that has begun.
  void drop(scheduler& s) noexcept {
    if (!s.remove(static_cast<parked_handler&>(*this))) return;
    where = {};
    kept_.reset();
  }

  target_ptr where;

 private:
  static void end_parked(parked_handler& h) noexcept {
    auto& self = static_cast<keeper&>(h);
    const auto last = std::move(self.kept_);
    self.where = {};
  }

  std::shared_ptr<keeper> kept_;
};

lasting_target::lasting_target(const target_ptr& where) {
  if (!where) return;
  link_ = where->owner().link();
  if (!where->is_native()) keeper_ = keeper::make(where);
}

lasting_target::~lasting_target() {
  if (!keeper_) return;
  if (const pinned_scheduler s{*link_}) keeper_->drop(*s);
}

target_ptr lasting_target::get() const noexcept {
  if (!link_) return {};
  const pinned_target pinned(*this);
  return *pinned;
}

namespace {

scheduler_link& no_link() noexcept {
  static scheduler_link none;
  return none;
}

}  // namespace

pinned_target::pinned_target(const lasting_target& t) noexcept
    : pinned_(t.link_ ? *t.link_ : no_link()) {
  if (pinned_) where_ = t.keeper_ ? t.keeper_->where : target_ptr(*pinned_);
}

}  // namespace sluice::detail
