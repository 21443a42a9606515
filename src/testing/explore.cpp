// SPDX-License-Identifier: BSL-1.0
// The search for a run that fails, and its shortening. A run is its decisions: the same give the
// same run.

#include <sluice/testing/explore.hpp>

#include <sluice/detail/base/exceptions.hpp>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace sluice::detail {

using testing::exploration;
using testing::simulation;
using testing::simulation_failure;

namespace {

/// What the exception that is being handled has nested in it; null if it has nothing.
/** By a handler and no cast, which a build without type information has not. */
std::exception_ptr cause_of_current_exception() noexcept {
  SLUICE_TRY {
    detail::rethrow();
  }
  SLUICE_CATCH(const std::nested_exception& x) {
    return x.nested_ptr();
  }
  SLUICE_CATCH_ALL {
    return nullptr;
  }
}

}  // namespace

/// A run of a body in a simulation of its own, and what it has found.
class exploration_run {
 public:
  using body = simulated_body;

  exploration_run(const body& what, std::uint64_t seed, std::unique_ptr<strategy> by,
                  std::vector<std::uint32_t> decided) {
    simulation sim(seed, std::move(by), std::move(decided));
    SLUICE_TRY {
      what(sim);
    }
    SLUICE_CATCH(const simulation_failure& x) {
      why_ = x.why();
      text_ = x.what();
      exception_ = cause_of_current_exception();
    }
    SLUICE_CATCH(const std::exception& x) {
      note_exception(x.what());
    }
    SLUICE_CATCH_ALL {
      note_exception("no std::exception");
    }
    decisions_ = sim.simulator_->decisions();
    if (why_) steps_ = sim.describe_steps();
  }

  [[nodiscard]] bool failed() const noexcept { return why_.has_value(); }
  [[nodiscard]] const schedule& decisions() const noexcept { return decisions_; }
  [[nodiscard]] bool fails_as(const exploration_run& other) const {
    return why_ == other.why_ && (!exception_ || text_ == other.text_);
  }

  /// @param how How to see it again.
  [[noreturn]] void report(const std::string& how, const std::string& decisions) const {
    const simulation_failure failure(*why_, text_ + "\nWho ran when:" + steps_ + "\n" + how,
                                     decisions);
    if (!exception_) detail::throw_exception(failure);
    detail::throw_nested(failure, exception_);
  }

 private:
  /// Notes the exception that is being handled.
  void note_exception(const char* text) {
    why_ = simulation_failure::reason::exception;
    exception_ = std::current_exception();
    text_ = std::string("an exception has left a goroutine: ") + text;
  }

  std::optional<simulation_failure::reason> why_;
  std::string text_;
  std::string steps_;
  std::exception_ptr exception_;
  schedule decisions_;
};

namespace {

using body = exploration_run::body;
using question = decision::question;

constexpr int most_tries_to_shorten = 400;

std::vector<std::uint32_t> taken_of(const schedule& decisions) {
  std::vector<std::uint32_t> taken;
  taken.reserve(decisions.size());
  for (const auto& d : decisions) taken.push_back(d.taken);
  while (!taken.empty() && taken.back() == 0) taken.pop_back();
  return taken;
}

/// A run: the seed that its body may ask for, and what was decided.
struct decided_run {
  std::uint64_t seed = 0;
  std::vector<std::uint32_t> taken;
};

std::string text_of(const decided_run& run) {
  std::string text = std::to_string(run.seed);
  char before = '/';
  for (const auto t : run.taken) text += std::exchange(before, '.') + std::to_string(t);
  return text;
}

template <class Number>
const char* parse(const char* at, const char* end, Number& value) {
  const auto [parsed, failure] = std::from_chars(at, end, value);
  if (failure != std::errc())
    detail::throw_exception(std::invalid_argument(
        "sluice::testing::replay: decisions are a seed, a slash, and numbers with dots between "
        "them, as a failure shows them"));
  return parsed;
}

decided_run parse(const std::string& text) {
  decided_run run;
  const char* const end = text.data() + text.size();
  const char* at = parse(text.data(), end, run.seed);
  for (char before = '/'; at != end; before = '.') {
    if (*at != before) at = end;  // of which no number can be read
    at = parse(at == end ? at : at + 1, end, run.taken.emplace_back());
  }
  return run;
}

exploration_run run_as_decided(const body& what, std::uint64_t seed,
                               std::vector<std::uint32_t> taken) {
  return {what, seed, std::make_unique<first_come>(), std::move(taken)};
}

/// A run that fails as `failed` does and has fewer decisions other than the first answer.
/** By delta debugging: ever smaller pieces of it are decided as by `first_come`. */
exploration_run shortened(const body& what, std::uint64_t seed, exploration_run failed) {
  int tries = 0;
  for (std::size_t piece = failed.decisions().size(); piece != 0; piece /= 2) {
    for (std::size_t from = 0; from < failed.decisions().size() && tries < most_tries_to_shorten;) {
      auto taken = taken_of(failed.decisions());
      if (from >= taken.size()) break;
      const auto first = taken.begin() + static_cast<std::ptrdiff_t>(from);
      const auto last = first + static_cast<std::ptrdiff_t>(std::min(piece, taken.size() - from));
      from += piece;
      if (std::all_of(first, last, [](std::uint32_t t) { return t == 0; })) continue;
      std::fill(first, last, 0);
      ++tries;
      exploration_run shorter = run_as_decided(what, seed, std::move(taken));
      if (shorter.failed() && shorter.fails_as(failed)) failed = std::move(shorter);
    }
  }
  return failed;
}

[[noreturn]] void report(const body& what, std::uint64_t seed, exploration_run failed,
                         const std::string& found) {
  const exploration_run shorter = shortened(what, seed, std::move(failed));
  const std::string decisions = text_of({seed, taken_of(shorter.decisions())});
  shorter.report(found + "\nThe same again: sluice::testing::replay(\"" + decisions + "\", body)",
                 decisions);
}

std::optional<std::uint64_t> only_seed() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): it is safe while nobody changes the environment
  const char* const text = std::getenv("SLUICE_SIMULATION_SEED");
  if (!text || !*text) return std::nullopt;
  std::uint64_t seed = 0;
  const char* const end = text + std::strlen(text);
  const auto [parsed, failure] = std::from_chars(text, end, seed);
  if (failure != std::errc() || parsed != end)
    detail::throw_exception(std::invalid_argument(
        "SLUICE_SIMULATION_SEED must be a number, not \"" + std::string(text) + "\""));
  return seed;
}

/// Turns the decisions of a run into the first ones of the next, depth first.
/** @return False if there is no next one. */
bool step_to_next(schedule& decisions, std::uint32_t preemptions) {
  auto used = std::ranges::count_if(
      decisions, [](const decision& d) { return d.about == question::interrupts && d.taken != 0; });
  for (; !decisions.empty(); decisions.pop_back()) {
    auto& last = decisions.back();
    const bool preempts = last.about == question::interrupts;
    if (preempts && last.taken != 0) --used;
    if (last.taken + 1 == last.among || (preempts && used >= std::int64_t{preemptions})) continue;
    ++last.taken;
    return true;
  }
  return false;
}

}  // namespace

exploration explore(const testing::explore_options& options, const body& what) {
  const auto only = only_seed();
  const std::uint64_t first = only ? *only : options.first_seed;
  const std::uint64_t seeds = only ? 1 : options.seeds;
  exploration done;
  for (std::uint64_t seed = first; done.schedules != seeds; ++seed) {
    exploration_run run(what, seed, strategy_of_seed(seed), {});
    ++done.schedules;
    if (run.failed())
      report(what, seed, std::move(run),
             "Found by run " + std::to_string(done.schedules) +
                 ": explore({.first_seed = " + std::to_string(seed) +
                 ", .seeds = 1}, body), or SLUICE_SIMULATION_SEED=" + std::to_string(seed) +
                 " in the environment.");
  }
  return done;
}

exploration explore_all(const testing::explore_all_options& options, const body& what) {
  exploration done;
  schedule decisions;
  do {
    if (done.schedules == options.most_schedules) return done;
    exploration_run run = run_as_decided(what, 0, taken_of(decisions));
    ++done.schedules;
    decisions = run.decisions();
    if (run.failed())
      report(what, 0, std::move(run), "Found by schedule " + std::to_string(done.schedules) + ".");
  } while (step_to_next(decisions, options.preemptions));
  done.complete = true;
  return done;
}

void replay(const std::string& decisions, const body& what) {
  decided_run decided = parse(decisions);
  const exploration_run run = run_as_decided(what, decided.seed, std::move(decided.taken));
  if (run.failed()) run.report("Seen again by replay(\"" + decisions + "\", body).", decisions);
}

}  // namespace sluice::detail
