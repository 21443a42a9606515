// SPDX-License-Identifier: BSL-1.0
// How goroutines that an operation owns are made, cancelled and destroyed. Their tree is walked in
// loops, along the links to who waits for them: it may be a million deep.

#include <sluice/detail/goroutine/owned_goroutines.hpp>

#include "goroutine/owned_count.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>

#include <mutex>
#include <new>
#include <utility>

namespace sluice::detail {

owned_goroutines::~owned_goroutines() {
  if (count_.load(std::memory_order_acquire) > stopped || has_own_blocks_) destroy_all();
}

waiter::state owned_goroutines::begin_in(goroutine& g, cancellable& wait) noexcept {
  if (!g.cancel) return waiter::state::waiting;
  cancellation& c = *g.cancel.get();
  const std::lock_guard guard(c.lock());
  waiting_ = c.owned;
  if (waiting_) c.owns = this;
  return c.begin(wait);
}

void owned_goroutines::end_in(const goroutine& g) noexcept {
  if (!g.cancel) return;
  g.cancel->owns = nullptr;
  g.cancel->end();
}

goroutine* owned_goroutines::make(owned_goroutine& o, const dispatcher_ptr& where,
                                  promise_base& root, bool counts_as_work,
                                  std::source_location started_at, std::size_t count) noexcept {
  goroutine& g = *::new (&o.block) goroutine(where, &root, counts_as_work, started_at);
  cancellation& c = *::new (&o.own_cancellation) cancellation(g);
  c.owned = &o;
  g.cancel = cancellation_ref::adopt(c);
  g.is_owned_ = g.in_place_ = true;
  g.is_registered_ = !waiting_;
  root.g = &g;
  o.g_ = &g;
  o.cancel_.store(&c, std::memory_order_relaxed);
  if (g.is_registered_ && !g.enter()) {
    stop();
    g.destroy_new_frames();
    return nullptr;
  }
  if (!g.is_registered_) count_owned(*g.home, 1);
  if (add(o, count)) return &g;
  g.destroy_new_frames();
  g.leave();
  return nullptr;
}

bool owned_goroutines::adopt(owned_goroutine& o, goroutine& g) {
  g.become_cancellable()->owned = &o;
  g.is_owned_ = true;
  o.g_ = &g;
  o.cancel_.store(g.cancel.get(), std::memory_order_relaxed);
  g.retain();
  g.cancel->retain();
  has_own_blocks_ = true;
  return add(o, one);
}

// One that is not started any more stays in the list: who cancels may look at it.
bool owned_goroutines::add(owned_goroutine& o, std::size_t count) noexcept {
  o.owner_ = this;
  o.elder_ = youngest_;
  youngest_ = &o;
  if ((count_.fetch_add(count, std::memory_order_acq_rel) & stopped) == 0) return true;
  const bool last = count_down(count);
  SLUICE_ASSERT(!last, "who starts what an operation owns is counted");
  static_cast<void>(last);
  return false;
}

// A goroutine that goes on in a block of its own has its state copied under the lock of the
// cancellation that it leaves, and is seen to have another before that is free.
void owned_goroutines::cancel_all(waiter::state reason) noexcept {
  for (owned_goroutine* o = youngest_; o; o = o->elder_) {
    cancellation* told = nullptr;
    while (told != o->cancel_.load(std::memory_order_acquire)) {
      told = o->cancel_.load(std::memory_order_acquire);
      told->context_done(reason);
    }
  }
}

bool owned_goroutines::count_up_unless_over() noexcept {
  auto seen = count_.load(std::memory_order_relaxed);
  while (seen >= one)
    if (count_.compare_exchange_weak(seen, seen + one, std::memory_order_acq_rel,
                                     std::memory_order_relaxed))
      return true;
  return false;
}

void owned_goroutines::destroy_all() noexcept {
  for (owned_goroutines* all = this;;) {
    owned_goroutine* const o = all->youngest_;
    if (!o) {
      if (all == this) return;
      all = &all->waiting_->owner();
      continue;
    }
    if (o->is_alive()) {
      owned_goroutines* const below = o->g_->cancel->owns;
      if (below && below->youngest_) {
        all = below;
        continue;
      }
      o->g_->destroy_frames();
      o->g_->leave();
      // The reference that its last step would have given back.
      if (!o->g_->in_place_) o->g_->release();
    }
    all->youngest_ = o->elder_;
    o->release();
  }
}

void owned_goroutine::move_to(goroutine& g) noexcept {
  SLUICE_ASSERT(g_ == &block, "a goroutine leaves the block that it was made in once");
  g.retain();
  g.cancel->retain();
  g_ = &g;
  owner_->has_own_blocks_ = true;
  own_cancellation.move_to(*g.cancel.get(), cancel_);
}

void owned_goroutine::release() noexcept {
  if (g_ == &block) return;
  cancel_.load(std::memory_order_relaxed)->release();
  g_->release();
}

// What is registered is found there.
const goroutine* owned_goroutines::first_alive(const owned_goroutine* o) noexcept {
  while (o && (!o->is_alive() || o->g_->is_registered_)) o = o->elder_;
  return o ? o->g_ : nullptr;
}

const goroutine* owned_goroutines::next_below(const goroutine& root, const goroutine& at) noexcept {
  if (const owned_goroutines* const below = at.cancel ? at.cancel->owns : nullptr)
    if (const goroutine* const g = first_alive(below->youngest_)) return g;
  for (const goroutine* g = &at; g != &root;) {
    const owned_goroutine& o = *g->cancel->owned;
    if (const goroutine* const elder = first_alive(o.elder_)) return elder;
    g = o.owner().waiting_->g_;
  }
  return nullptr;
}

}  // namespace sluice::detail
