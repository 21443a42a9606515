// SPDX-License-Identifier: BSL-1.0
// A strand whose nodes are linked into it. One word says who is next: `idle` while nobody holds
// it, otherwise the newest node; only the holder takes nodes out, and gives up only when none is
// left.

#include <sluice/detail/executor/strand_dispatcher.hpp>

#include "scheduler/current_worker.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/recycling.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/executor.hpp>

#include <new>
#include <utility>

namespace sluice::detail {

/// A holder's turn on a worker: the worker knows on which strands it is, and the strand is passed
/// on when the turn ends, also by an exception.
class strand_dispatcher::turn {
 public:
  turn(strand_dispatcher& strand, worker& w) noexcept
      : strand_(strand), worker_(w), held_{&strand, w.strands} {
    w.strands = &held_;
  }
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;
  ~turn() {
    worker_.strands = held_.outer;
    strand_.pass_on();
  }

 private:
  strand_dispatcher& strand_;
  worker& worker_;
  const strand_held held_;
};

strand_dispatcher::strand_dispatcher(dispatcher_ptr inner)
    : dispatcher(inner->owner(), kind::serial),
      inner_(std::move(inner)),
      idle_(nullptr),
      held_(nullptr),
      turn_(*this) {}

held_strand::held_strand(dispatcher_ptr inner)
    : strand_(strand_dispatcher::make(std::move(inner))) {
  static_cast<void>(static_cast<strand_dispatcher&>(*strand_).try_hold());
}

held_strand::~held_strand() {
  if (held_) static_cast<strand_dispatcher&>(*strand_).drop_all();
}

void held_strand::pass_on() {
  held_ = false;
  static_cast<strand_dispatcher&>(*strand_).pass_on();
}

dispatcher_ptr serial_dispatcher(dispatcher_ptr where) {
  return where->is_serial() ? where : strand_dispatcher::make(std::move(where));
}

dispatcher_ptr strand_dispatcher::make(dispatcher_ptr inner) {
  return dispatcher_ptr(*::new (allocate_recycled(sizeof(strand_dispatcher)))
                            strand_dispatcher(std::move(inner)));
}

void strand_dispatcher::destroy() noexcept {
  this->~strand_dispatcher();
  deallocate_recycled(this, sizeof(strand_dispatcher));
}

bool strand_dispatcher::try_hold() noexcept {
  ready_node* seen = &idle_;
  if (newest_.load(std::memory_order_relaxed) != seen ||
      !newest_.compare_exchange_strong(seen, &held_, std::memory_order_acquire,
                                       std::memory_order_relaxed))
    return false;
  retain();
  return true;
}

void strand_dispatcher::schedule(ready_node& node) {
  for (ready_node* seen = newest_.load(std::memory_order_relaxed);;) {
    if (seen == &idle_) {
      if (try_hold()) {
        next_turn_ = &node;
        return inner_->schedule(turn_);
      }
      seen = newest_.load(std::memory_order_relaxed);
    } else {
      node.next = seen;
      if (newest_.compare_exchange_weak(seen, &node, std::memory_order_release,
                                        std::memory_order_relaxed))
        return;
    }
  }
}

/// The node that has waited longest; null if there is none, and then the strand has no holder.
ready_node* strand_dispatcher::next() noexcept {
  SLUICE_ASSERT(newest_.load(std::memory_order_relaxed) != &idle_,
                "a strand is handed on by the one who holds it");
  if (queue_.empty()) {
    ready_node* seen = &held_;
    if (newest_.compare_exchange_strong(seen, &idle_, std::memory_order_release,
                                        std::memory_order_relaxed))
      return nullptr;
    ready_node* oldest = nullptr;
    for (ready_node* n = newest_.exchange(&held_, std::memory_order_acquire); n != &held_;) {
      ready_node* const older = n->next;
      n->next = oldest;
      oldest = std::exchange(n, older);
    }
    while (oldest) {
      ready_node* const newer = oldest->next;
      queue_.push_back(*std::exchange(oldest, newer));
    }
  }
  return queue_.pop_front();
}

void strand_dispatcher::pass_on() {
  if (ready_node* const n = next()) {
    next_turn_ = n;
    inner_->schedule(turn_);
  } else {
    release();
  }
}

void strand_dispatcher::run_turn(ready_node& node, worker* w) {
  strand_dispatcher& self = static_cast<turn_node&>(node).strand;
  ready_node& current = *self.next_turn_;
  if (!w) {
    current.run(current, nullptr);
    return self.drop_all();
  }
  const turn t(self, *w);
  current.run(current, w);
}

void strand_dispatcher::drop_all() noexcept {
  while (ready_node* const n = next()) n->run(*n, nullptr);
  release();
}

// Only where a worker can carry the strand's name: a native dispatcher runs the function beneath
// one.
bool strand_dispatcher::try_run_here(void (*f)(void*), void* arg) {
  if (!inner_->is_native()) {
    if (!running_in_this_thread()) return false;
    f(arg);
    return true;
  }
  if (running_in_this_thread()) return inner_->try_run_here(f, arg);
  struct call {
    strand_dispatcher& strand;
    void (*f)(void*);
    void* arg;
    bool ran;
  } c{*this, f, arg, false};
  static_cast<void>(inner_->try_run_here(
      [](void* p) {
        auto& self = *static_cast<call*>(p);
        self.ran = self.strand.try_hold();
        if (!self.ran) return;
        const turn t(self.strand, *current_worker);
        self.f(self.arg);
      },
      &c));
  return c.ran;
}

bool strand_dispatcher::running_in_this_thread() const noexcept {
  for (const worker* w = current_worker; w; w = w->outer)
    for (const strand_held* held = w->strands; held; held = held->outer)
      if (held->strand == this) return true;
  return false;
}

// The holder, on whose turn this is called, reads its queue. One that queues has a reference until
// its node is in the list, so who has seen no other reference sees the node.
dispatcher_ptr strand_dispatcher::left_by_the_last() noexcept {
  constexpr std::uint32_t of_the_holder_and_the_goroutine = 2;
  const bool unused = inner_->is_native() && references() == of_the_holder_and_the_goroutine &&
                      queue_.empty() && newest_.load(std::memory_order_relaxed) == &held_;
  return unused ? inner_ : dispatcher_ptr();
}

asio::any_io_executor strand_dispatcher::to_any_executor() const {
  return detail::executor_on(dispatcher_ptr(const_cast<strand_dispatcher&>(*this)));
}

}  // namespace sluice::detail
