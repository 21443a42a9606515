// SPDX-License-Identifier: BSL-1.0
// The loop of a simulation. Everything that its scheduler has is a candidate here, on the one
// thread that runs it; nothing is posted to any event loop.

#include <sluice/detail/testing/simulator.hpp>

#include "base/location_text.hpp"
#include "scheduler/native_executor.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/executor/strand_dispatcher.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/worker.hpp>
#include <sluice/executor.hpp>
#include <sluice/testing/simulation_failure.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <stdexcept>
#include <utility>

namespace sluice::detail {

namespace {

using testing::simulation_failure;
using reason = simulation_failure::reason;

constexpr std::size_t most_steps_shown = 200;
constexpr std::size_t most_operations_of_step = 2000;
/// How many goroutines may stand on the stack.
constexpr std::size_t most_set_aside = 8;

constexpr auto what_to_use =
    "Asio's timers and sockets are none of the simulation's: use sluice::sleep_for, sluice::timer "
    "and sluice::timeout, and the streams of <sluice/testing/network.hpp>.";

/// The executor of a context that a simulation runs.
class simulated_executor final : public native_executor {
 public:
  explicit simulated_executor(simulator& s) noexcept : simulator_(s) {}

  void bind(scheduler& s) noexcept { scheduler_ = &s; }

  void post_drain(scheduler&) override { simulator_.made_ready(); }
  void post_drain_after_handler(scheduler&, bool) override {}
  void post_drain_after_turn(scheduler&, std::chrono::steady_clock::time_point) override {}
  void post_watch(scheduler&) override {}
  void post_wakeup_timer(scheduler&) override {}
  bool running_here() const noexcept override { return simulator_.is_running_here(); }
  bool stopped() const noexcept override { return false; }
  asio::any_io_executor executor() const override {
    return executor_on(dispatcher_ptr(*scheduler_));
  }
  void hold_work() override { simulator_.note_work(true); }
  void drop_work() noexcept override { simulator_.note_work(false); }

 private:
  simulator& simulator_;
  scheduler* scheduler_ = nullptr;
};

scheduler& simulated(simulator& s, asio::execution_context& context) {
  auto native = std::make_unique<simulated_executor>(s);
  auto& bound = *native;
  auto& made = scheduler::simulated_by(s, context, std::move(native));
  bound.bind(made);
  return made;
}

std::string since_start(std::chrono::steady_clock::time_point at) {
  const std::chrono::duration<double> since = at - simulator::start;
  std::array<char, 32> text{};
  static_cast<void>(std::snprintf(text.data(), text.size(), "%.6gs", since.count()));
  return text.data();
}

}  // namespace

/// A thread that runs the simulation, as a worker of its scheduler.
class simulator::run {
 public:
  explicit run(simulator& s)
      : simulator_(not_running(s)),
        worker_(s.scheduler_),
        chose_before_(scheduler::let_choose_here(&s)) {
    worker_.must_expose = false;
    s.worker_ = &worker_;
    s.running_on_ = std::this_thread::get_id();
  }
  run(const run&) = delete;
  run& operator=(const run&) = delete;
  ~run() {
    static_cast<void>(scheduler::let_choose_here(chose_before_));
    simulator_.take_ready();
    simulator_.worker_ = nullptr;
    simulator_.running_on_ = std::thread::id();
  }

 private:
  static simulator& not_running(simulator& s) {
    if (!s.worker_) return s;
    detail::throw_exception(
        std::logic_error("sluice::testing: a goroutine of a simulation cannot run it; it awaits "
                         "sluice::testing::settle() or sluice::testing::advance(duration)"));
  }

  simulator& simulator_;
  worker worker_;
  environment* const chose_before_;
};

simulator::simulator(asio::execution_context& context, std::unique_ptr<strategy> by,
                     std::vector<std::uint32_t> decided)
    : scheduler_(simulated(*this, context)),
      strategy_(std::move(by)),
      decided_(std::move(decided)) {}

simulator::~simulator() = default;

simulator& simulator::of_running_goroutine(const char* caller) {
  const goroutine* const g = this_goroutine_or_null();
  if (g && g->home->simulated()) return static_cast<simulator&>(*g->home->simulated());
  detail::throw_exception(
      std::logic_error(std::string(caller) + ": no goroutine of a simulation is running"));
}

void simulator::run_until(time_point until, const bool& ended) {
  const run here(*this);
  for (;;) {
    run_all_ready();
    if (ended) return;
    if (let_one_settle()) continue;
    const auto next = scheduler_.timers.next();
    if (next == time_point::max() || next > until) break;
    now_ = next;
    steps_since_time_passed_ = 0;
  }
  if (until != time_point::max()) now_ = std::max(now_, until);
}

void simulator::run_ready() {
  const run here(*this);
  do run_all_ready();
  while (let_one_settle());
}

void simulator::fail_by_deadlock() {
  std::string text = "all goroutines are asleep - deadlock!" + describe_waits();
  if (text.find(detail::text_of(wait_reason::asio_operation)) != std::string::npos)
    text += std::string("\n") + what_to_use;
  detail::throw_exception(simulation_failure(reason::deadlock, text));
}

void simulator::run_all_ready() {
  while (somebody_is_ready()) {
    SLUICE_TRY {
      run_one(choose_candidate());
    }
    SLUICE_CATCH_ALL {
      if (!failure_) failure_ = std::current_exception();
    }
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    check();
  }
}

void simulator::check() {
  check_invariants();
  check_progress();
  if (disturbed_)
    detail::throw_exception(simulation_failure(
        reason::disturbed,
        std::string("a thread outside the simulation has made something ready in it, which "
                    "cannot be repeated: an Asio timer, a socket, offload, or a thread of the "
                    "program's. ") +
            what_to_use));
}

// What was made ready by another thread, before this one came by, is in the shared list.
void simulator::made_ready() noexcept {
  if (std::this_thread::get_id() != made_on_ && !is_running_here()) disturbed_ = true;
}

void simulator::take_ready() noexcept {
  ready_list ready;
  scheduler_.take_ready(*worker_, ready);
  while (ready_node* const node = ready.pop_front())
    candidates_.push_back({node, number_of(*node)});
}

void simulator::give_back() noexcept {
  for (const auto& c : std::exchange(candidates_, {})) scheduler_.schedule(*c.node);
}

bool simulator::timer_is_due() const noexcept {
  return scheduler_.timers.next() <= now_;
}

strategy::id simulator::number_of(ready_node& node) {
  ready_node& inner = strand_dispatcher::on_turn(node);
  if (!goroutine::is_one(inner)) return next_number_++;
  auto& g = static_cast<goroutine&>(inner);
  const auto [at, is_new] = numbers_.try_emplace(&g);
  if (is_new) {
    at->second = next_number_++;
    g.known |= scheduled_goroutine::number;
  }
  return at->second;
}

template <class Ask>
std::uint32_t simulator::decide(decision::question about, std::uint32_t among, Ask ask) noexcept {
  const auto n = decisions_.size();
  const std::uint32_t taken = n < decided_.size() ? decided_[n] % among : ask();
  SLUICE_ASSERT(taken < among, "a strategy decides for one of those that it was given");
  decisions_.push_back({about, among, taken});
  return taken;
}

std::uint32_t simulator::choose(std::uint32_t bound) noexcept {
  if (bound < 2) return 0;
  return decide(decision::question::choose, bound, [&] { return strategy_->choose(bound); });
}

// Where nobody else is ready it is asked again when the operation is done, which may make somebody
// ready. What is done without a wait is not asked about then: so nothing is, and it goes the way of
// those that may have to wait.
bool simulator::before_operation() noexcept {
  if (must_suspend()) return false;
  note_who_runs();
  const bool others = somebody_is_ready();
  asked_ = others || !set_aside_.empty();
  if (!asked_) return false;
  using interruption = strategy::interruption;
  const auto what = interruption{decide(decision::question::interrupts, others ? 3 : 2, [&] {
    const auto chosen = strategy_->before_operation(running_.who, ids_of_ready());
    return static_cast<std::uint32_t>(others || chosen == interruption::none ? chosen
                                                                             : interruption::after);
  })};
  interrupted_ = what == interruption::after;
  if (what == interruption::before && set_aside_.size() != most_set_aside) {
    run_others_first();
    asked_ = true;
  }
  worker_->ticks = 1;  // so that it is not asked again before this operation
  return !interrupted_;
}

bool simulator::after_operation() noexcept {
  if (must_suspend()) return false;
  note_who_runs();
  if (std::exchange(asked_, false)) return true;
  if (!somebody_is_ready() && set_aside_.empty()) return true;
  interrupted_ = decide(decision::question::interrupts, 2, [&] {
                   return strategy_->suspends(running_.who, ids_of_ready()) ? 1U : 0U;
                 }) != 0;
  return !interrupted_;
}

// One that never has to wait suspends all the same when others have waited for long, or when
// something is wrong: whatever a strategy says, and in every run of a schedule alike.
bool simulator::must_suspend() noexcept {
  interrupted_ |= failure_ || ++operations_of_step_ > most_operations_of_step;
  return interrupted_;
}

// Who stands on the stack is ready too.
std::vector<strategy::id> simulator::ids_of_ready() const {
  auto ids = candidate_ids(candidates_.size());
  ids.insert(ids.end(), set_aside_.begin(), set_aside_.end());
  return ids;
}

bool simulator::somebody_is_ready() noexcept {
  take_ready();
  return !candidates_.empty() || timer_is_due();
}

/// What belongs to a step, aside while others run inside it.
class simulator::aside {
 public:
  explicit aside(simulator& s)
      : simulator_(s),
        running_(s.running_),
        current_(std::exchange(s.worker_->current, nullptr)),
        strands_(std::exchange(s.worker_->strands, nullptr)),
        left_(std::exchange(s.worker_->left, nullptr)),
        after_(s.worker_->after),
        may_resume_(std::exchange(s.worker_->may_resume, false)),
        operations_(s.operations_of_step_) {
    s.set_aside_.push_back(running_.who);
  }
  aside(const aside&) = delete;
  aside& operator=(const aside&) = delete;
  ~aside() {
    simulator_.set_aside_.pop_back();
    simulator_.interrupted_ = false;
    simulator_.running_ = running_;
    simulator_.operations_of_step_ = operations_;
    worker& w = *simulator_.worker_;
    w.current = current_;
    w.strands = strands_;
    w.left = left_;
    w.after = after_;
    w.may_resume = may_resume_;
    w.more_ticks = -1;
  }

 private:
  simulator& simulator_;
  const step running_;
  scheduled_goroutine* const current_;
  const strand_held* const strands_;
  left_over* const left_;
  const worker::step after_;
  const bool may_resume_;
  const std::size_t operations_;
};

// As another thread would. The goroutine that runs stands on the stack meanwhile: it is one of
// those who may be next, once another has been.
void simulator::run_others_first() noexcept {
  if (running_.goroutine) {
    end_step(step::end::interrupted_before);
    running_.from = running_.goroutine->location;
  }
  const strategy::id interrupted = running_.who;
  const aside set_aside(*this);
  SLUICE_TRY {
    for (bool first = true; !failure_ && somebody_is_ready(); first = false) {
      auto ids = candidate_ids(candidates_.size());
      const auto others = ids.size();
      if (!first) ids.push_back(interrupted);
      const std::uint32_t taken = choose_next(ids);
      if (taken == others) break;
      run_one(taken);
      if (!failure_) check();
    }
  }
  SLUICE_CATCH_ALL {
    failure_ = std::current_exception();
  }
}

// The clock is one of them while timers are due.
std::vector<strategy::id> simulator::candidate_ids(std::size_t n) const {
  std::vector<strategy::id> ids;
  ids.reserve(n + 1);
  for (std::size_t i = 0; i != n; ++i) ids.push_back(candidates_[i].who);
  if (timer_is_due()) ids.push_back(the_clock);
  return ids;
}

std::uint32_t simulator::choose_next(std::span<const strategy::id> ids) {
  if (ids.size() == 1) return 0;
  return decide(decision::question::next, static_cast<std::uint32_t>(ids.size()),
                [&] { return strategy_->next(ids); });
}

// One that has been interrupted, and so is the last, gives way to another.
std::size_t simulator::choose_candidate() {
  const bool gives_way = std::exchange(interrupted_, false) && candidates_.size() > 1 &&
                         candidates_.back().who == running_.who;
  const std::size_t others = candidates_.size() - (gives_way ? 1 : 0);
  const std::uint32_t taken = choose_next(candidate_ids(others));
  return taken == others ? candidates_.size() : taken;
}

/// @param which Of the candidates; behind them, the clock.
void simulator::run_one(std::size_t which) {
  if (which == candidates_.size()) {
    running_ = {};
    scheduler_.fire_one_timer(now_);
    return;
  }
  const candidate c = candidates_[which];
  candidates_.erase(candidates_.begin() + static_cast<std::ptrdiff_t>(which));
  worker& w = *worker_;
  w.ticks = 0;
  w.more_ticks = -1;
  w.pushed = 0;
  w.steps.store(w.steps.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  interrupted_ = false;
  operations_of_step_ = 0;
  running_ = {};
  running_.who = c.who;
  ready_node& inner = strand_dispatcher::on_turn(*c.node);
  if (goroutine::is_one(inner)) note_running(static_cast<const goroutine&>(inner));
  SLUICE_TRY {
    c.node->run(*c.node, &w);
  }
  SLUICE_CATCH_ALL {
    end_step(step::end::threw);
    detail::rethrow();
  }
  take_ready();
  const bool ready = std::ranges::any_of(
      candidates_, [&](const candidate& other) { return other.who == running_.who; });
  end_step(interrupted_ ? step::end::interrupted : ready ? step::end::gave_way : step::end::waits);
}

void simulator::note_running(const scheduled_goroutine& g) noexcept {
  running_.goroutine = &g;
  running_.started = g.started_at;
  running_.from = g.location;
}

// A goroutine may run inside the step of something else: the first time, a child of `when_all` in
// that of its parent's launch.
void simulator::note_who_runs() noexcept {
  scheduled_goroutine* const g = worker_->current;
  if (!g || running_.goroutine == g) return;
  running_.who = number_of(*g);
  note_running(*g);
}

void simulator::end_step(step::end how) {
  if (steps_.size() == most_steps_shown) steps_.pop_front();
  step& s = steps_.emplace_back(running_);
  s.at = now_;
  s.how = how;
  const scheduled_goroutine* const g = std::exchange(s.goroutine, nullptr);
  s.is_goroutine = s.started.line() != 0;
  if (!g) {
    if (how != step::end::threw) s.how = step::end::ended;
    return;
  }
  s.to = g->location;
  s.waiting_on = g->waiting_on;
  if (std::string name = scheduler_.name_of(*g); !name.empty()) names_[s.who] = std::move(name);
}

void simulator::goroutine_ended(const scheduled_goroutine& g) noexcept {
  const auto found = numbers_.find(&g);
  if (found == numbers_.end()) return;
  if (&g == running_.goroutine) running_.goroutine = nullptr;
  numbers_.erase(found);
}

void simulator::goroutine_moved(const scheduled_goroutine& g,
                                const scheduled_goroutine& to) noexcept {
  auto number = numbers_.extract(&g);
  if (!number) return;
  number.key() = &to;
  numbers_.insert(std::move(number));
  if (running_.goroutine == &g) running_.goroutine = &to;
}

channel<bool> simulator::when_settled() {
  auto settled = make_channel<bool>(1);
  settling_.push_back(settled);
  return settled;
}

bool simulator::let_one_settle() {
  if (settling_.empty()) return false;
  const channel<bool> first = std::move(settling_.front());
  settling_.erase(settling_.begin());
  first.try_send(true);
  return true;
}

void simulator::check_invariants() {
  std::erase_if(invariants_, [](const auto& kept) { return kept.expired(); });
  for (const auto& weak : invariants_) {
    const auto kept = weak.lock();
    const auto fail = [&](const std::string& how) {
      return simulation_failure(reason::invariant,
                                "what always holds " + how +
                                    (kept->what.empty() ? "" : ": " + kept->what) + " (" +
                                    detail::text_of(kept->where) + ")");
    };
    bool holds = false;
    SLUICE_TRY {
      holds = kept->holds();
    }
    SLUICE_CATCH_ALL {
      const auto thrown = std::current_exception();
      detail::throw_nested(fail("cannot be looked at, because that throws " + describe(thrown)),
                           thrown);
    }
    if (!holds) detail::throw_exception(fail("does not hold"));
  }
}

void simulator::check_progress() {
  if (++steps_since_time_passed_ <= most_steps_) return;
  detail::throw_exception(simulation_failure(
      reason::no_progress, std::to_string(most_steps_) +
                               " steps without that everybody waits and time passes (more are "
                               "allowed by limit_steps)"));
}

std::string simulator::text_of(const step& s) const {
  if (!s.is_goroutine) return "a function that was given to the executor, or to a timer, ran";
  const auto name = names_.find(s.who);
  std::string text = "goroutine " + std::to_string(s.who) +
                     (name == names_.end() ? "" : " \"" + name->second + "\"") + " (started at " +
                     detail::text_of(s.started) + ") ran";
  if (detail::text_of(s.from) != detail::text_of(s.started))
    text += " from " + detail::text_of(s.from);
  switch (s.how) {
    case step::end::threw:
      return text + " until an exception left it";
    case step::end::ended:
      return text + " to its end";
    case step::end::waits:
      return text + " to its wait, " + detail::text_of(s.waiting_on) + " at " +
             detail::text_of(s.to);
    case step::end::interrupted_before:
      return text + " until it was interrupted, before its operation at " + detail::text_of(s.to);
    case step::end::interrupted:
      return text + " until it was interrupted, after its operation at " + detail::text_of(s.to);
    case step::end::gave_way:
      break;
  }
  return text + " until it gave way, at " + detail::text_of(s.to);
}

std::string simulator::describe_steps() {
  std::string text;
  time_point last = time_point::min();
  for (const auto& s : steps_) {
    text += "\n  ";
    text += s.at == last ? std::string() : "at " + since_start(s.at) + ": ";
    text += text_of(s);
    last = s.at;
  }
  return text;
}

// Of what is no goroutine only the work is known that it holds.
std::string simulator::describe_waits() {
  std::string text = scheduler_.describe_goroutines();
  if (text.empty() && work_held_)
    text =
        "\n  a handler, an awaitable of asio::co_spawn, or a work guard, that has outstanding work";
  return text;
}

}  // namespace sluice::detail
