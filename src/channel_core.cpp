#include <sluice/detail/channel_core.hpp>

#include "waking.hpp"

#include <sluice/detail/scheduler.hpp>

#include <cstdint>
#include <cstring>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace sluice::detail {

namespace {

waiter* pop(waiter*& first) noexcept {
  waiter* const w = first;
  if (w) first = static_cast<waiter*>(w->previous);
  return w;
}
void push(waiter*& first, waiter& w) noexcept {
  w.previous = nullptr;
  if (!first) {
    first = &w;
    return;
  }
  waiter_link* last = first;
  while (last->previous) last = last->previous;
  last->previous = &w;
}

/// Partners to be woken once the lock is free: one, and senders whose elements could not be moved.
struct wake_at_end {
  ~wake_at_end() {
    while (waiter* const w = pop(first)) wake(*w);
  }
  waiter* first = nullptr;
};

std::size_t alignment_of(const element_type& e) noexcept {
  return std::max(e.alignment, alignof(channel_core));
}

channel_core* core_of(const waiter& w) noexcept {
  return static_cast<const channel_waiter&>(w).core;
}

byte_lock* lock_of(waiter& w) noexcept {
  channel_core* const core = core_of(w);
  return core ? &core->lock() : nullptr;
}

bool withdraw_from_channel(waiter& w) noexcept {
  return channel_core::withdraw(static_cast<channel_waiter&>(w));
}

/// Under way: somebody looks whether a waiter is still in its channel's list, to take it out.
/** The waiter keeps its channel only as long as it is there, so a channel that ends waits until
 * nobody looks. */
class withdrawal {
 public:
  withdrawal() noexcept { under_way_.fetch_add(1, std::memory_order_acq_rel); }
  withdrawal(const withdrawal&) = delete;
  withdrawal& operator=(const withdrawal&) = delete;
  ~withdrawal() { under_way_.fetch_sub(1, std::memory_order_release); }

  // A read-modify-write: it comes before a withdrawal, which then sees what this thread has taken
  // out, or after it.
  static void wait_for_all() noexcept {
    while (under_way_.fetch_add(0, std::memory_order_acq_rel) != 0) std::this_thread::yield();
  }

 private:
  static inline constinit std::atomic<std::size_t> under_way_{0};
};

template <bool (channel_core::*attempt)(waiter&, waiter*&)>
bool attempt_in_channel(waiter& w, wake_list& woken) {
  struct add_at_end {
    wake_list& woken;
    waiter* first = nullptr;
    ~add_at_end() {
      while (waiter* const w = pop(first)) woken.add(*w);
    }
  } at_end{woken};
  return (core_of(w)->*attempt)(w, at_end.first);
}

}  // namespace

const waiter_functions send_functions{
    "send",
    &lock_of,
    [](const waiter& w) noexcept { return core_of(w) && core_of(w)->may_send(); },
    &attempt_in_channel<&channel_core::attempt_send>,
    [](waiter& w) { core_of(w)->enlist_sender(w); },
    &withdraw_from_channel,
};

const waiter_functions receive_functions{
    "receive",
    &lock_of,
    [](const waiter& w) noexcept { return core_of(w) && core_of(w)->may_receive(); },
    &attempt_in_channel<&channel_core::attempt_receive>,
    [](waiter& w) { core_of(w)->enlist_receiver(w); },
    &withdraw_from_channel,
};

channel_core& channel_core::make(const element_type& element, std::size_t capacity,
                                 target_ptr where) {
  constexpr std::size_t most = std::numeric_limits<std::ptrdiff_t>::max();
  const auto offset = offset_of_ring(element.alignment);
  const bool too_long =
      capacity > most || (element.size != 0 && capacity > (most - offset) / element.size);
  if (too_long) throw std::length_error("sluice::make_channel: capacity out of range");
  void* const memory =
      ::operator new (offset + capacity * element.size, std::align_val_t{alignment_of(element)});
  return *::new (memory) channel_core(element, capacity, std::move(where));
}

channel_core::~channel_core() {
  for (; count_ != 0; drop_first())
    if (element_.destroy) element_.destroy(slot(head_));
}

void channel_core::destroy() noexcept {
  withdrawal::wait_for_all();
  owned_.reset();
  const auto alignment = std::align_val_t{alignment_of(element_)};
  this->~channel_core();
  ::operator delete(this, alignment);
}

void channel_core::move_element(void* to, void* from, void (*move)(void*, void*)) {
  if (!element_.trivial)
    move(to, from);
  else if (element_.size == sizeof(std::uint64_t))
    std::memcpy(to, from, sizeof(std::uint64_t));
  else if (element_.size == sizeof(std::uint32_t))
    std::memcpy(to, from, sizeof(std::uint32_t));
  else
    std::memcpy(to, from, element_.size);
}

// A waiter alone goes back to the head of the line if the move throws. The claim of a select cannot
// be taken back: its case has failed.
void channel_core::put_back(waiter& w, waiter_list& line, waiter*& woken) noexcept {
  if (w.shared_claim) {
    element_.fail(w);
    push(woken, w);
  } else {
    line.push_front(w);
    unpin(*w.who);
  }
}

void channel_core::hand_over(waiter& receiver, void* from, waiter*& woken) {
  try {
    move_element(receiver.slot, from, element_.deliver);
  } catch (...) {
    put_back(receiver, receivers_, woken);
    throw;
  }
  receiver.outcome = waiter::state::done;
  push(woken, receiver);
}

// Senders wait only while the ring is full, so the slot of the first element, which has been taken,
// is also the place of the next. One whose element cannot be moved is told, and the next has its
// turn.
bool channel_core::refill_first(waiter*& woken) noexcept {
  while (waiter* const sender = next_claimed(senders_)) {
    push(woken, *sender);
    try {
      move_element(slot(head_), sender->slot, element_.move);
    } catch (...) {
      element_.fail(*sender);
      continue;
    }
    sender->outcome = waiter::state::done;
    return true;
  }
  return false;
}

bool channel_core::attempt_send(waiter& w, waiter*& woken) {
  if (closed_.load(std::memory_order_relaxed)) {
    w.outcome = waiter::state::closed;
    return true;
  }
  if (waiter* const receiver = next_claimed(receivers_)) {
    hand_over(*receiver, w.slot, woken);
  } else if (count_ < capacity_) {
    move_element(slot(tail()), w.slot, element_.move);
    count_ = count_ + 1;
  } else {
    return false;
  }
  w.outcome = waiter::state::done;
  return true;
}

bool channel_core::attempt_receive(waiter& w, waiter*& woken) {
  if (count_ != 0) {
    std::byte* const first = slot(head_);
    move_element(w.slot, first, element_.deliver);
    if (element_.destroy) element_.destroy(first);
    // The count stays what it is if a sender follows: who looks without the lock must not find a
    // channel empty that is not.
    if (!senders_.empty() && refill_first(woken))
      advance_head();
    else
      drop_first();
  } else if (waiter* const sender = next_claimed(senders_)) {
    try {
      move_element(w.slot, sender->slot, element_.deliver);
    } catch (...) {
      put_back(*sender, senders_, woken);
      throw;
    }
    sender->outcome = waiter::state::done;
    push(woken, *sender);
  } else if (closed_.load(std::memory_order_relaxed)) {
    w.outcome = waiter::state::closed;
    return true;
  } else {
    return false;
  }
  w.outcome = waiter::state::done;
  return true;
}

template <bool (channel_core::*attempt)(waiter&, waiter*&), void (channel_core::*enlist)(waiter&)>
bool channel_core::wait_for(goroutine& g, channel_waiter& w, const waiter_functions& f) {
  if (g.cancel) [[unlikely]]
    return await_waiter(g, w, f);
  w.begin(g);
  g.waiting_on = f.name;
  {
    wake_at_end woken;
    const std::lock_guard guard(lock_);
    if (!(this->*attempt)(w, woken.first)) {
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

channel_core::result channel_core::try_send(void* value) {
  if (!may_send()) return result::would_block;
  waiter w;
  w.slot = value;
  wake_at_end woken;
  const std::lock_guard guard(lock_);
  if (!attempt_send(w, woken.first)) return result::would_block;
  return w.outcome == waiter::state::done ? result::done : result::closed;
}

void channel_core::offer(void* value, wake_list& woken) {
  waiter w;
  w.slot = value;
  waiter* first = nullptr;
  const std::lock_guard guard(lock_);
  static_cast<void>(attempt_send(w, first));
  while (waiter* const partner = pop(first)) woken.add(*partner);
}

channel_core::result channel_core::try_receive(void* to) {
  waiter w;
  w.slot = to;
  wake_at_end woken;
  const std::lock_guard guard(lock_);
  if (!attempt_receive(w, woken.first)) return result::would_block;
  return w.outcome == waiter::state::done ? result::done : result::closed;
}

bool channel_core::close() noexcept {
  wake_list woken;
  {
    const std::lock_guard guard(lock_);
    if (closed_.load(std::memory_order_relaxed)) return false;
    closed_.store(true, std::memory_order_release);
    for (waiter_list* list : {&receivers_, &senders_})
      while (waiter* const w = next_claimed(*list)) {
        w->outcome = waiter::state::closed;
        woken.add(*w);
      }
  }
  woken.wake_all();
  return true;
}

// A case of a select that was decided elsewhere keeps the channel, until its select goes on and
// withdraws it.
waiter* channel_core::next_claimed(waiter_list& line) noexcept {
  return pop_claimed(line, [this] {
    retain();
    orphaned_ = false;
  });
}

bool channel_core::withdraw(channel_waiter& w) noexcept {
  channel_core& core = *w.core;
  bool withdrawn = false;
  bool last = false;
  if (w.shared_claim) {
    withdrawn = core.remove(w, last);
    if (!withdrawn) core.release();
  } else {
    const withdrawal here;
    withdrawn = w.linked() && core.remove(w, last);
    std::atomic_thread_fence(std::memory_order_acquire);
  }
  if (last) core.destroy();
  return withdrawn;
}

bool channel_core::remove(waiter& w, bool& last) noexcept {
  const std::lock_guard guard(lock_);
  if (!waiter_list::remove_if_linked(w)) return false;
  last = orphaned_ && receivers_.empty() && senders_.empty();
  return true;
}

void channel_core::last_handle_gone() noexcept {
  {
    const std::lock_guard guard(lock_);
    if (!receivers_.empty() || !senders_.empty()) {
      orphaned_ = true;
      return;
    }
  }
  destroy();
}

}  // namespace sluice::detail
