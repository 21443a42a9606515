// SPDX-License-Identifier: BSL-1.0
// What channels do, whatever their elements are: send, receive, close, and what becomes of those
// who wait. All of it under one lock, whenever that is free `check` holds; whoever was claimed is
// woken after that, and a channel ends when neither a reference nor a waiter nor a withdrawal
// means it any more.

#include <sluice/detail/channel/channel_core.hpp>
#include <sluice/detail/goroutine/await.hpp>

#include "wait/put_off.hpp"
#include "wait/waking.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/test_point.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>

#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace sluice::detail {

namespace {

std::size_t alignment_of(const element_type& e) noexcept {
  return std::max(e.alignment, alignof(channel_core));
}

channel_core* core_of(const waiter& w) noexcept {
  return static_cast<const channel_waiter&>(w).core;
}

queue_lock* lock_of(waiter& w) noexcept {
  channel_core* const core = core_of(w);
  return core ? &core->lock() : nullptr;
}

bool withdraw_from_channel(waiter& w) noexcept {
  return channel_core::withdraw(static_cast<channel_waiter&>(w));
}

/// Exists while somebody looks whether a waiter is still in its channel's list, to take it out.
/**
 * The waiter keeps its channel only as long as it is there, so a channel that ends waits until
 * nobody looks. Who looks says for which channel, in one of several lists, before it looks; who
 * ends a channel has taken out its waiters before it asks. Both under the list's lock: one of them
 * comes first, and the second sees what the first has done.
 */
class withdrawal : public list_hook<withdrawal> {
 public:
  explicit withdrawal(const channel_core& from) noexcept : from_(from), list_(list_of(from)) {
    const std::lock_guard guard(list_.lock);
    list_.withdrawals.push_front(*this);
  }
  withdrawal(const withdrawal&) = delete;
  withdrawal& operator=(const withdrawal&) = delete;
  ~withdrawal() {
    bool awaited = false;
    {
      const std::lock_guard guard(list_.lock);
      list_.withdrawals.remove(*this);
      list_.ended.fetch_add(1, std::memory_order_release);
      awaited = std::exchange(list_.awaited, false);
    }
    if (awaited) list_.ended.notify_all();
  }

  static void wait_for_all_from(const channel_core& core) noexcept {
    list& l = list_of(core);
    for (;;) {
      std::uint32_t seen = 0;
      {
        const std::lock_guard guard(l.lock);
        const withdrawal* w = l.withdrawals.front();
        while (w && &w->from_ != &core) w = l.withdrawals.after(*w);
        if (!w) return;
        l.awaited = true;
        seen = l.ended.load(std::memory_order_relaxed);
      }
      l.ended.wait(seen, std::memory_order_acquire);
    }
  }

 private:
  struct alignas(64) list {
    byte_lock lock;
    bool awaited = false;
    std::atomic<std::uint32_t> ended{0};
    intrusive_list<withdrawal> withdrawals;
  };

  static list& list_of(const channel_core& core) noexcept {
    static constinit list lists[64];
    return lists[reinterpret_cast<std::uintptr_t>(&core) / 64 % std::size(lists)];
  }

  const channel_core& from_;
  list& list_;
};

}  // namespace

const waiter_functions send_functions{
    wait_reason::send,
    &lock_of,
    [](const waiter& w) noexcept { return core_of(w) && core_of(w)->may_send(); },
    [](waiter& w, wake_list& woken) noexcept {
      return core_of(w)->attempt_send(w, woken) || core_of(w)->abandons(w);
    },
    [](waiter& w) { core_of(w)->enlist_sender(w); },
    &withdraw_from_channel,
};

const waiter_functions receive_functions{
    wait_reason::receive,
    &lock_of,
    [](const waiter& w) noexcept { return core_of(w) && core_of(w)->may_receive(); },
    [](waiter& w, wake_list& woken) noexcept {
      return core_of(w)->attempt_receive(w, woken) || core_of(w)->abandons(w);
    },
    [](waiter& w) { core_of(w)->enlist_receiver(w); },
    &withdraw_from_channel,
};

channel_core& channel_core::make(const element_type& element, std::size_t capacity,
                                 const dispatcher_ptr& where, const std::source_location& made_at) {
  constexpr std::size_t most = std::numeric_limits<std::ptrdiff_t>::max();
  const auto offset = offset_of_ring(element.alignment);
  const bool too_long =
      capacity > most || (element.size != 0 && capacity > (most - offset) / element.size);
  if (too_long)
    detail::throw_exception(std::length_error("sluice::make_channel: capacity out of range"));
  lasting_dispatcher lasting(where);
  void* const memory =
      ::operator new(offset + capacity * element.size, std::align_val_t{alignment_of(element)});
  return *::new (memory) channel_core(element, capacity, std::move(lasting), made_at);
}

channel_core::~channel_core() {
  while (returned_) {
    const boxed_ptr first(returned_);
    returned_ = first->next;
    count_ = count_ - 1;
  }
  for (; count_ != 0; drop_first())
    if (element_.destroy) element_.destroy(cell(head_));
}

void channel_core::destroy() noexcept {
  withdrawal::wait_for_all_from(*this);
  owned_.reset();
  const auto alignment = std::align_val_t{alignment_of(element_)};
  this->~channel_core();
  ::operator delete(this, alignment);
}

void channel_core::move_element(void* to, void* from) noexcept {
  if (!element_.trivial)
    element_.move(to, from);
  else if (element_.size == sizeof(std::uint64_t))
    std::memcpy(to, from, sizeof(std::uint64_t));
  else if (element_.size == sizeof(std::uint32_t))
    std::memcpy(to, from, sizeof(std::uint32_t));
  else
    std::memcpy(to, from, element_.size);
}

// The receiver stays in the line until the element is there, so whoever cancels it meanwhile waits
// for the lock and finds it still to be had or done, and nothing in between. A waiter alone keeps
// its place if the element cannot be made; the claim of a select cannot be taken back.
void channel_core::refuse(waiter& receiver, wake_list& woken) noexcept {
  if (!receiver.shared_claim) return unclaim(receiver);
  take_out(receiver);
  static_cast<failing_channel_waiter&>(receiver).failure = std::current_exception();
  receiver.outcome = waiter::state::failed;
  woken.add(receiver);
}

template <class Make>
bool channel_core::attempt_send_made(waiter& w, wake_list& woken, Make make) {
  if (closed_.load(std::memory_order_relaxed)) {
    w.outcome = waiter::state::closed;
    return true;
  }
  if (waiter* const receiver = first_claimed(receivers_)) {
    if constexpr (!noexcept(make())) {
      SLUICE_TRY {
        make();
      }
      SLUICE_CATCH_ALL {
        refuse(*receiver, woken);
        detail::rethrow();
      }
    }
    SLUICE_ASSERT(count_ == 0, "a value is handed to a receiver only while there is no other");
    take_out(*receiver);
    move_element(receiver->element_address, w.element_address);
    receiver->outcome = waiter::state::done;
    woken.add(*receiver);
  } else if (count_ < capacity_) {
    SLUICE_ASSERT(count_ - returned_count_ < capacity_, "a value is put into a free cell");
    make();
    move_element(cell(tail(count_ - returned_count_)), w.element_address);
    count_ = count_ + 1;
  } else {
    return false;
  }
  w.outcome = waiter::state::done;
  check();
  return true;
}

bool channel_core::attempt_send(waiter& w, wake_list& woken) noexcept {
  return attempt_send_made(w, woken, []() noexcept {});
}

void channel_core::complete_from(waiter& sender, void* to, wake_list& woken) noexcept {
  take_out(sender);
  move_element(to, sender.element_address);
  sender.outcome = waiter::state::done;
  woken.add(sender);
}

// While boxes that came back fill the ring's share, the ring itself may have room.
void channel_core::receive_returned(void* to, wake_list& woken) noexcept {
  boxed_ptr first(returned_);
  returned_ = std::exchange(first->next, nullptr);
  --returned_count_;
  ::new (to) boxed_ptr(std::move(first));
  if (count_ <= capacity_)
    if (waiter* const sender = first_claimed(senders_)) {
      complete_from(*sender, cell(tail(count_ - 1 - returned_count_)), woken);
      return;
    }
  count_ = count_ - 1;
}

bool channel_core::attempt_receive(waiter& w, wake_list& woken) noexcept {
  if (count_ != 0) {
    if (returned_) [[unlikely]] {
      receive_returned(w.element_address, woken);
      w.outcome = waiter::state::done;
      check();
      return true;
    }
    std::byte* const first = cell(head_);
    move_element(w.element_address, first);
    if (element_.destroy) element_.destroy(first);
    // Senders wait only while the ring is full, so the cell of the first element is also the place
    // of the next. The count stays what it is if a sender follows: who looks without the lock must
    // not find a channel empty that is not.
    waiter* const sender = senders_.empty() ? nullptr : first_claimed(senders_);
    if (sender) {
      complete_from(*sender, first, woken);
      advance_head();
    } else {
      drop_first();
    }
  } else if (waiter* const sender = first_claimed(senders_)) {
    complete_from(*sender, w.element_address, woken);
  } else if (closed_.load(std::memory_order_relaxed)) {
    w.outcome = waiter::state::closed;
    return true;
  } else {
    return false;
  }
  w.outcome = waiter::state::done;
  check();
  return true;
}

void channel_core::give_back(boxed_ptr b) noexcept {
  wake_list woken;
  const checked_lock guard(*this);
  if (waiter* const receiver = first_claimed(receivers_)) {
    take_out(*receiver);
    ::new (receiver->element_address) boxed_ptr(std::move(b));
    receiver->outcome = waiter::state::done;
    woken.add(*receiver);
    return;
  }
  b->next = returned_;
  returned_ = b.release();
  ++returned_count_;
  count_ = count_ + 1;
}

template <bool (channel_core::*attempt)(waiter&, wake_list&) noexcept,
          void (channel_core::*enlist)(waiter&) noexcept>
bool channel_core::wait_for(goroutine& g, channel_waiter& w, const waiter_functions& f) {
  if (g.cancel) [[unlikely]]
    return await_waiter(g, w, f);
  w.begin(g);
  g.waiting_on = f.reason;
  {
    wake_list woken;
    const checked_lock guard(*this);
    if (!(this->*attempt)(w, woken)) {
      (this->*enlist)(w);
      return true;
    }
  }
  return g.must_yield();
}

bool channel_core::send_for(goroutine& g, channel_waiter& w) {
  return wait_for<&channel_core::attempt_send, &channel_core::enlist_sender>(g, w, send_functions);
}

bool channel_core::receive_for(goroutine& g, channel_waiter& w) {
  return wait_for<&channel_core::attempt_receive, &channel_core::enlist_receiver>(
      g, w, receive_functions);
}

namespace {

channel_core::result result_of(const waiter& w) noexcept {
  return w.outcome == waiter::state::done ? channel_core::result::done
                                          : channel_core::result::closed;
}

}  // namespace

channel_core::result channel_core::try_send(void* element) noexcept {
  waiter w;
  w.element_address = element;
  wake_list woken;
  const checked_lock guard(*this);
  return attempt_send(w, woken) ? result_of(w) : result::would_block;
}

channel_core::result channel_core::try_send_new(boxed_ptr (*make_box)(void*), void* from) {
  boxed_ptr made;
  waiter w;
  w.element_address = &made;
  wake_list woken;
  const checked_lock guard(*this);
  return attempt_send_made(w, woken, [&] { made = make_box(from); }) ? result_of(w)
                                                                     : result::would_block;
}

void channel_core::offer(void* element, wake_list& woken) noexcept {
  waiter w;
  w.element_address = element;
  const checked_lock guard(*this);
  static_cast<void>(attempt_send(w, woken));
}

channel_core::result channel_core::try_receive(void* element) noexcept {
  waiter w;
  w.element_address = element;
  wake_list woken;
  const checked_lock guard(*this);
  return attempt_receive(w, woken) ? result_of(w) : result::would_block;
}

bool channel_core::close(const std::source_location& at) noexcept {
  wake_list woken;
  {
    const checked_lock guard(*this);
    if (closed_.load(std::memory_order_relaxed)) return false;
    closed_at_ = at;
    closed_.store(true, std::memory_order_release);
    end_waits(receivers_, waiter::state::closed, woken);
    end_waits(senders_, waiter::state::closed, woken);
  }
  return true;
}

std::size_t channel_core::end_waits(waiter_list& line, waiter::state outcome,
                                    wake_list& woken) noexcept {
  std::size_t ended = 0;
  for (; waiter* const w = first_claimed(line); ++ended) {
    take_out(*w);
    w->outcome = outcome;
    woken.add(*w);
  }
  return ended;
}

std::size_t channel_core::cancel(waiter_list& line) noexcept {
  wake_list woken;
  const checked_lock guard(*this);
  return end_waits(line, waiter::state::aborted, woken);
}

waiter* channel_core::first_claimed(waiter_list& line) noexcept {
  return detail::first_claimed(line, [this] { keep_for_dropped_case(); });
}

// A case of a select that has left its line, but was not completed here, keeps the channel until
// its select goes on, finds it gone and gives the reference back. That may be the first reference
// again: of a channel that only its waiters kept, or of one whose last reference another thread has
// just given up. That thread is on its way to this lock, and is told to leave the channel alone.
void channel_core::keep_for_dropped_case() noexcept {
  if (references_.add() != 0) return;
  if (!std::exchange(orphaned_, false)) ++superseded_;
}

bool channel_core::withdraw(channel_waiter& w) noexcept {
  channel_core& core = *w.core;
  bool withdrawn = false;
  bool last = false;
  if (w.shared_claim) {
    withdrawn = core.remove(w, last);
    if (!withdrawn) core.release_state();
  } else if (w.owns_state) {
    withdrawn = core.remove(w, last);
  } else {
    const withdrawal here(core);
    test_point("a withdrawal from a channel");
    withdrawn = w.linked() && core.remove(w, last);
    std::atomic_thread_fence(std::memory_order_acquire);
  }
  if (last)
    put_off::until_unlocked([](void* c) noexcept { static_cast<channel_core*>(c)->destroy(); },
                            &core);
  return withdrawn;
}

bool channel_core::remove(waiter& w, bool& last) noexcept {
  const checked_lock guard(*this);
  if (!waiter_list::remove_if_linked(w)) return false;
  last = orphaned_ && receivers_.empty() && senders_.empty();
  return true;
}

// A goroutine, and a case of a select, may have others to wait for, or be looked for in vain.
bool channel_core::is_left_alone(const waiter& w) const noexcept {
  return !w.shared_claim && !goroutine::is_one(*w.who) && lost_handles_;
}

bool channel_core::abandons(waiter& w) const noexcept {
  if (!is_left_alone(w)) return false;
  w.outcome = waiter::state::aborted;
  return true;
}

// Whoever comes to wait later finds under the lock that no handle is left. A select that waits for
// a handler ends with the last of its channels to come to this.
void channel_core::lose_handles(wake_list& woken) noexcept {
  const checked_lock guard(*this);
  if (std::exchange(lost_handles_, true)) return;
  for (waiter_list* const line : {&receivers_, &senders_})
    for (waiter* w = line->front(); w;) {
      waiter& here = *std::exchange(w, line->after(*w));
      const bool ends = here.shared_claim
                            ? here.shared_claim->loses_last_hope() && claim_whole(here)
                            : is_left_alone(here) && claim(here);
      if (!ends) continue;
      take_out(here);
      if (here.shared_claim)
        keep_for_dropped_case();
      else
        here.outcome = waiter::state::aborted;
      woken.add(here);
    }
}

// A channel that owns something is sent to by that, which needs no handle.
void channel_core::last_handle_gone() noexcept {
  if (!owned_) {
    wake_list woken;
    lose_handles(woken);
  }
  release_state();
}

// Of several who have given up the last reference, one after the other, the last to have the lock
// ends the channel: nobody else comes then.
void channel_core::last_reference_gone() noexcept {
  test_point("a channel's last reference is gone");
  {
    const checked_lock guard(*this);
    if (superseded_ != 0) {
      --superseded_;
      return;
    }
    if (!receivers_.empty() || !senders_.empty()) {
      orphaned_ = true;
      return;
    }
  }
  destroy();
}

}  // namespace sluice::detail
