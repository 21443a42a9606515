// SPDX-License-Identifier: BSL-1.0
// The tree of contexts: who is told when one is done, once, in which order, and in constant stack.
// A context is marked done under its lock before it is told; after the mark nothing is added to
// it.

#include <sluice/detail/context/context_state.hpp>

#include "wait/waking.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/time/callback_timer.hpp>

#include <boost/asio/error.hpp>

#include <mutex>
#include <utility>

namespace sluice::detail {

namespace {
/// The loops of `cancel` that this thread is in, and the end of the list of the innermost.
thread_local constinit int loops = 0;
constexpr int most_loops = 16;
thread_local constinit context_state** last_to_tell = nullptr;
/// What the loops of this thread have still to do that drop callbacks and destroy contexts.
thread_local constinit context_state** never_done_here = nullptr;
thread_local constinit context_state** dying_here = nullptr;
}  // namespace

context_ref context_link::lock() noexcept {
  const std::lock_guard guard(lock_);
  if (!state_ || !state_->try_retain()) return {};
  return context_ref::adopt(*state_);
}

void context_link::cancel(const error_code& e, const std::exception_ptr& cause) noexcept {
  if (const context_ref target = lock()) target->cancel(e, cause);
}

void context_link::expire() noexcept {
  if (const context_ref target = lock()) target->expire();
}

void context_link::clear() noexcept {
  const std::lock_guard guard(lock_);
  state_ = nullptr;
}

context_canceller::context_canceller(context_state& s) : link_(s.link()) {
  s.add_canceller();
}

context_canceller::context_canceller(const context_canceller& other) noexcept : link_(other.link_) {
  if (!link_) return;
  if (const context_ref target = link_->lock()) target->add_canceller();
}

context_canceller::~context_canceller() {
  if (!link_) return;
  if (const context_ref target = link_->lock()) target->remove_canceller();
}

// The child has the reference to its parent once it is there.
context_state& context_state::make(context_ref parent_ref) {
  auto& child = *new context_state(parent_ref.get());
  context_state* const parent = parent_ref.detach();
  if (!parent) return child;
  {
    const std::lock_guard guard(parent->lock_);
    child.limit(parent->deadline_, parent->whose_deadline_);
    if (!parent->done_.load(std::memory_order_relaxed)) {
      parent->children_.push_front(child);
      child.linked_ = true;
      return child;
    }
  }
  child.cancel(parent->error_, parent->cause_);
  return child;
}

// Without recursion: a chain of contexts, or of what they were merged with, may be long. Nobody
// else has a use for the link of one that has no references.
void context_state::release() noexcept {
  if (!references_.release()) return;
  if (dying_here) {
    next_to_tell_ = std::exchange(*dying_here, this);
    return;
  }
  context_state* first = this;
  next_to_tell_ = nullptr;
  dying_here = &first;
  while (context_state* const s = first) {
    first = s->next_to_tell_;
    context_state* const parent = s->parent_;
    if (parent) parent->unlink_child(*s);
    if (s->timer_) s->timer_->stop();
    if (s->link_) s->link_->clear();
    delete s;
    if (parent) parent->release();
  }
  dying_here = nullptr;
}

void context_state::unlink_child(context_state& c) noexcept {
  const std::lock_guard guard(lock_);
  if (!c.linked_) return;
  c.linked_ = false;
  children_.remove(c);
}

// Every context is marked before it is linked, so one that several threads or several ways of a
// merged tree come to at the same time is in one list only; and everything that a function of a
// context can see of its children is told in a loop, because a chain of contexts may be long.
//
// What is told may cancel another context, here: a stop callback, or the destructor of a function
// that can run no more. Beyond a few of these, one inside the other, that one is told by the loop
// under way.
void context_state::cancel(const error_code& e, const std::exception_ptr& cause) noexcept {
  if (!mark_done(e, cause)) return;
  retain();
  if (loops == most_loops) {
    (*last_to_tell)->next_to_tell_ = this;
    *last_to_tell = this;
    return;
  }
  ++loops;
  context_state* last = this;
  context_state** const outer = std::exchange(last_to_tell, &last);
  context_state* told = nullptr;
  for (context_state* s = this; s; s = s->next_to_tell_) {
    if (told) told->release();
    s->tell(last);
    if (s->linked_) s->parent_->unlink_child(*s);
    told = s;
  }
  last_to_tell = outer;
  --loops;
  told->release();
}

bool context_state::mark_done(const error_code& e, const std::exception_ptr& cause) noexcept {
  const std::lock_guard guard(lock_);
  if (done_.load(std::memory_order_relaxed)) return false;
  error_ = e;
  cause_ = cause;
  done_.store(true, std::memory_order_release);
  return true;
}

// It is marked, so nothing is added any more, and who has nobody behind him is done with one look.
void context_state::tell(context_state*& last) noexcept {
  wake_list woken;
  std::shared_ptr<callback_timer> timer;
  std::vector<std::shared_ptr<void>> kept;
  std::optional<stop_source> stop;
  bool has_others = false;
  {
    const std::lock_guard guard(lock_);
    has_others = !callbacks_.empty() || !children_.empty();
    timer = std::move(timer_);
    kept.swap(kept_);
    stop.swap(stop_source_);
    while (waiter* const w = pop_claimed(waiters_)) {
      w->outcome = waiter::state::done;
      woken.add(*w);
    }
  }
  if (timer) timer->stop();
  woken.wake_all();
  if (stop) stop->request_stop();
  if (!has_others) return;
  for (;;) {
    std::function<void()> f;
    context_canceller target;
    {
      const std::lock_guard guard(lock_);
      if (!take_callback(f, target)) break;
    }
    if (target)
      append_if_marked(target.lock(), last);
    else
      f();
  }
  while (context_ref child = take_child()) append_if_marked(std::move(child), last);
}

context_ref context_state::take_child() noexcept {
  const std::lock_guard guard(lock_);
  while (context_state* const c = children_.pop_front()) {
    c->linked_ = false;
    if (c->try_retain()) return context_ref::adopt(*c);
  }
  return {};
}

// The reference goes into the list.
void context_state::append_if_marked(context_ref c, context_state*& last) noexcept {
  if (!c || !c->mark_done(error_, cause_)) return;
  last->next_to_tell_ = c.get();
  last = c.detach();
}

// A callback that never will be called, and of which this is the only trace, is destroyed outside
// the lock.
bool context_state::add(context_callback& c) noexcept {
  std::function<void()> unused;
  context_canceller nobody;
  const std::lock_guard guard(lock_);
  if (done_.load(std::memory_order_relaxed)) return false;
  if (never_done_) {
    unused.swap(c.function_);
    std::swap(nobody, c.target_);
    return true;
  }
  callbacks_.push_front(c);
  c.registered_ = true;
  return true;
}

bool context_state::remove(context_callback& c) noexcept {
  std::function<void()> unused;
  const std::lock_guard guard(lock_);
  if (!std::exchange(c.registered_, false)) return false;
  unused.swap(c.function_);
  callbacks_.remove(c);
  return true;
}

void context_state::set_deadline(const dispatcher_ptr& where,
                                 std::chrono::steady_clock::time_point t,
                                 std::exception_ptr cause) {
  const auto self = link();
  {
    const std::lock_guard guard(lock_);
    if (deadline_ && *deadline_ <= t) return;
    deadline_ = t;
    whose_deadline_ = self;
    deadline_cause_ = std::move(cause);
  }
  if (t <= where->owner().now()) return expire();
  auto timer = std::make_shared<callback_timer>(
      where, [self = context_canceller(*this), t](callback_timer::reason why) {
        if (why == callback_timer::reason::due || t <= scheduler::now_here())
          self.expire();
        else
          self.cancel(asio::error::operation_aborted, nullptr);
      });
  if (!timer->start(t)) return cancel(asio::error::operation_aborted, nullptr);
  {
    const std::lock_guard guard(lock_);
    if (!done_.load(std::memory_order_relaxed)) {
      timer_ = std::move(timer);
      return;
    }
  }
  timer->stop();
}

void context_state::expire() noexcept {
  std::exception_ptr cause;
  {
    const std::lock_guard guard(lock_);
    cause = deadline_cause_;
  }
  cancel(error::deadline_exceeded, cause);
}

void context_state::limit(const std::optional<std::chrono::steady_clock::time_point>& deadline,
                          const std::shared_ptr<context_link>& whose) noexcept {
  if (!deadline || (deadline_ && *deadline_ <= *deadline)) return;
  deadline_ = deadline;
  whose_deadline_ = whose;
}

void context_state::join(context_state& other) {
  struct registration {
    registration(context_state& s, context_canceller target) noexcept
        : of(s), callback(std::move(target)) {
      of.retain();
    }
    registration(const registration&) = delete;
    registration& operator=(const registration&) = delete;
    ~registration() {
      of.remove(callback);
      of.release();
    }
    context_state& of;
    context_callback callback;
  };
  const auto r = std::make_shared<registration>(other, context_canceller(*this));
  keep(r);
  if (!other.add(r->callback)) return cancel(other.error_, other.cause_);
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::shared_ptr<context_link> whose;
  {
    const std::lock_guard guard(other.lock_);
    deadline = other.deadline_;
    whose = other.whose_deadline_;
  }
  const std::lock_guard guard(lock_);
  limit(deadline, whose);
}

void context_state::add_canceller() noexcept {
  const std::lock_guard guard(lock_);
  ++cancellers_;
}

// A child whose last canceller goes and a parent that is found never to be done see each other: the
// child counts before it looks at its parent, and the parent is marked before it looks at its
// children. In a loop, because a chain of contexts may be long, and what is dropped may be the last
// canceller of another.
void context_state::remove_canceller() noexcept {
  {
    const std::lock_guard guard(lock_);
    SLUICE_ASSERT(cancellers_ != 0, "a context has as many cancellers as give up");
    if (--cancellers_ != 0) return;
  }
  if (parent_ && !parent_->is_never_done()) return;
  if (never_done_here) return mark_never_done(*never_done_here);
  context_state* first = nullptr;
  never_done_here = &first;
  mark_never_done(first);
  while (context_state* const s = first) {
    s->drop_callbacks(first);
    s->release();
  }
  never_done_here = nullptr;
}

bool context_state::is_never_done() const noexcept {
  const std::lock_guard guard(lock_);
  return never_done_;
}

// Once, and only while nobody may make it done: then it is referred to by the list.
void context_state::mark_never_done(context_state*& first) noexcept {
  const std::lock_guard guard(lock_);
  if (done_.load(std::memory_order_relaxed) || never_done_ || cancellers_ != 0 || !try_retain())
    return;
  never_done_ = true;
  next_never_done_ = std::exchange(first, this);
}

// Takes itself off the list, and puts its children there that nobody else makes done. What it drops
// is destroyed under no lock, because it may be the last that keeps another context.
void context_state::drop_callbacks(context_state*& first) noexcept {
  first = next_never_done_;
  for (bool more = true; more;) {
    std::function<void()> unused;
    context_canceller nobody;
    const std::lock_guard guard(lock_);
    more = take_callback(unused, nobody);
    if (more) continue;
    for (context_state* c = children_.front(); c; c = children_.after(*c))
      c->mark_never_done(first);
  }
}

bool context_state::take_callback(std::function<void()>& f, context_canceller& target) noexcept {
  context_callback* const c = callbacks_.pop_front();
  if (!c) return false;
  c->registered_ = false;
  f.swap(c->function_);
  std::swap(target, c->target_);
  return true;
}

error_code context_state::err() noexcept {
  std::shared_ptr<context_link> late;
  {
    const std::lock_guard guard(lock_);
    if (error_ || !deadline_ || *deadline_ > scheduler::now_here()) return error_;
    late = whose_deadline_;
  }
  late->expire();
  const std::lock_guard guard(lock_);
  return error_;
}

std::exception_ptr context_state::cause() noexcept {
  static_cast<void>(err());
  const std::lock_guard guard(lock_);
  if (cause_ || !error_) return cause_;
  return std::make_exception_ptr(system_error(error_, "sluice: context"));
}

std::optional<std::chrono::steady_clock::time_point> context_state::deadline() const noexcept {
  const std::lock_guard guard(lock_);
  return deadline_;
}

std::shared_ptr<context_link> context_state::link() {
  const std::lock_guard guard(lock_);
  if (!link_) link_ = std::make_shared<context_link>(*this);
  return link_;
}

stop_token context_state::stop_token() {
  stop_source source;
  const std::lock_guard guard(lock_);
  if (done_.load(std::memory_order_relaxed)) {
    source.request_stop();
    return source.get_token();
  }
  if (!stop_source_) stop_source_ = std::move(source);
  return stop_source_->get_token();
}

void context_state::keep(std::shared_ptr<void> what) {
  const std::lock_guard guard(lock_);
  if (!done_.load(std::memory_order_relaxed)) kept_.push_back(std::move(what));
}

std::size_t context_state::child_count() const noexcept {
  const std::lock_guard guard(lock_);
  std::size_t n = 0;
  for (const context_state* c = children_.front(); c; c = children_.after(*c)) ++n;
  return n;
}

bool context_state::withdraw(waiter& w) noexcept {
  const std::lock_guard guard(lock_);
  return waiter_list::remove_if_linked(w);
}

}  // namespace sluice::detail
