#pragma once

#include <boost/context/fiber.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

// Walks the interleavings of a few threads, at each of their atomic operations, on a machine whose
// stores are seen by other threads some time after they are made, in order (x86's). What a thread
// does with `walked::atomic` and its like is seen here; see walked_std.hpp for how the library's
// own code comes to use these.
//
// Source: the CDSChecker and Relacy race detector for C++, loom for Rust; P. Sewell et al.,
// "x86-TSO: A Rigorous and Usable Programmer's Model".
namespace sluice_test {

/// The state of one walk: threads that take turns, and what is decided for them.
class walk {
 public:
  static constexpr int any_number = -1;

  /// @param preemptions How often a thread that could go on does not, at most.
  /// @param late_stores How many stores are seen late, at most, each as late as may be; of any
  /// number, each as late as it likes, all are walked.
  explicit walk(int preemptions, int late_stores = any_number)
      : preemptions_(preemptions), late_stores_(late_stores) {}
  walk(const walk&) = delete;
  walk& operator=(const walk&) = delete;

  /// What a function of the library is made to do wrong.
  enum class mistake {
    none,
    takes_no_lock,     ///< what it locks for a scope it does not
    stores_late,       ///< a store that is to be seen at once is not
    changes_in_steps,  ///< what reads and writes in one step does it in two
    writes_nothing,    ///< what it writes to an atomic it does not
  };
  /// What is to be looked for: faults of the machine, the fences that a protocol cannot do without,
  /// or a function that makes a mistake.
  struct machine {
    bool fences = true;
    bool barriers_in_all_threads = true;
    mistake made = mistake::none;
    std::string_view by{};  ///< a part of that function's name
  };

  /// Whether the code that stands there makes that mistake.
  [[nodiscard]] static bool makes(mistake m, const std::source_location& at) noexcept {
    if (!is_running()) return false;
    const machine& of = running()->machine_;
    return of.made == m &&
           std::string_view(at.function_name()).find(of.by) != std::string_view::npos;
  }

  /// Something that each thread has of its own: `variable` is what the running one has.
  template <class T>
  static void keep_apart(T& variable) {
    apart().push_back({&variable, sizeof(T)});
  }

  /// Which of its threads runs.
  [[nodiscard]] static std::size_t this_thread() noexcept { return running()->current_; }

  /// Runs `threads`, made anew by `make` for each interleaving, in all of them.
  /** @return What was wrong; nothing if all were right. `interleavings` says how many there were.
   */
  template <class Make>
  std::optional<std::string> all(machine m, Make make) {
    machine_ = m;
    decisions_.clear();
    do {
      std::vector<std::function<void()>> bodies = make();
      one(bodies);
      ++interleavings_;
      if (wrong_) {
        leave_as_it_is(std::move(bodies));
        return wrong_;
      }
    } while (next());
    return std::nullopt;
  }

  [[nodiscard]] std::size_t interleavings() const noexcept { return interleavings_; }

  /// Called by the threads: what must hold does not.
  static void fail(const std::string& what) {
    if (!running()->wrong_) running()->wrong_ = what;
    for (;;) turn();  // that comes no more
  }

  /// All that has been written can be seen, as where threads are joined.
  static void join() {
    for (auto& t : running()->threads_) running()->flush_all(t);
  }

  /// Memory is given up, which stays until the interleaving has ended: whoever comes to it then
  /// fails.
  static void end_of(void* memory, std::size_t size, void (*free)(void*)) {
    if (is_running())
      running()->ended_.push_back({memory, size, free});
    else
      free(memory);
  }

  /// Whether the threads of one are running.
  [[nodiscard]] static bool is_running() noexcept { return running() != nullptr; }

  // --- what atomics are made of; called by the threads, or where none runs ---

  using word = std::uint64_t;

  /// Before each operation that another thread can tell.
  static void turn() { running()->switch_thread(); }
  [[nodiscard]] static word load(const word& at) {
    if (!is_running()) return at;
    turn();
    running()->look_whether_ended(at);
    return running()->value_of(at);
  }
  static void store(word& at, word value, bool at_once) {
    if (!is_running()) {
      at = value;
      return;
    }
    turn();
    walk& w = *running();
    w.look_whether_ended(at);
    thread& t = w.current();
    if (w.late_stores_ == any_number || !t.stores.empty() || (!at_once && w.decide_to_be_late()))
      t.stores.push_back({&at, value});
    else
      w.write(at, value);
    if (at_once) w.flush_all(t);
  }
  /// It ends: what its thread has stored is seen no more.
  static void forget(const word& at) {
    if (is_running())
      std::erase_if(running()->current().stores,
                    [&](const pending_store& s) { return s.at == &at; });
  }
  /// Reads, and writes what `change` gives, if it gives something.
  template <class Change>
  static word change(word& at, Change change) {
    if (is_running()) {
      turn();
      running()->look_whether_ended(at);
      running()->flush_all(running()->current());
    }
    const word before = at;
    if (const std::optional<word> after = change(before)) {
      at = *after;
      if (is_running()) ++running()->writes_;
    }
    return before;
  }
  static void fence() {
    if (!is_running()) return;
    turn();
    if (running()->machine_.fences) running()->flush_all(running()->current());
  }
  /// Of a kernel that interrupts all threads.
  static void fence_in_all_threads() {
    turn();
    if (!running()->machine_.barriers_in_all_threads) return;
    for (auto& t : running()->threads_) running()->flush_all(t);
  }
  /// No time passes by a processor's counter.
  static std::uint32_t no_cycles() noexcept { return 0; }
  /// Waits until somebody else has written something that can be seen.
  static void wait_for_a_write() { wait_for_a_write(writes()); }
  /// The same, since there were so many `writes`.
  static void wait_for_a_write(std::size_t seen) {
    running()->current().waits_since = seen;
    turn();
  }
  [[nodiscard]] static std::size_t writes() noexcept { return running()->writes_; }
  /// Waits until no other thread can run, as what takes long does.
  static void wait_for_others() {
    running()->current().waits_for_others = true;
    turn();
  }
  /// Waits until it is notified, if `at` still is `value`.
  static void wait(word& at, word value) {
    turn();
    running()->flush_all(running()->current());
    while (running()->value_of(at) == value) {
      running()->current().waits_on = &at;
      turn();
    }
  }
  static void notify(const word& at) {
    if (!is_running()) return;
    turn();
    running()->flush_all(running()->current());
    for (auto& t : running()->threads_)
      if (t.waits_on == &at) t.waits_on = nullptr;
  }

 private:
  using fiber = boost::context::fiber;

  struct pending_store {
    word* at;
    word value;
  };
  struct thread {
    fiber stack;
    fiber back;
    bool ended = false;
    std::deque<pending_store> stores;
    std::optional<std::size_t> waits_since;
    bool waits_for_others = false;
    const word* waits_on = nullptr;
    std::vector<std::vector<std::byte>> apart;
  };
  struct variable {
    void* at;
    std::size_t size;
  };
  struct ended_memory {
    void* at;
    std::size_t size;
    void (*free)(void*);
  };
  struct decision {
    std::size_t taken;
    std::size_t among;
  };

  static constexpr int most_turns = 100'000;

  static walk*& running() noexcept {
    static walk* w = nullptr;
    return w;
  }

  [[nodiscard]] thread& current() noexcept { return threads_[current_]; }

  /// What a thread sees: its own last store, or the memory.
  [[nodiscard]] word value_of(const word& at) {
    const auto& own = current().stores;
    const auto last =
        std::find_if(own.rbegin(), own.rend(), [&](const pending_store& s) { return s.at == &at; });
    return last == own.rend() ? at : last->value;
  }
  void write(word& at, word value) {
    at = value;
    ++writes_;
  }
  void flush_one(thread& t) {
    const pending_store s = t.stores.front();
    t.stores.pop_front();
    write(*s.at, s.value);
  }
  void flush_all(thread& t) {
    while (!t.stores.empty()) flush_one(t);
  }

  void switch_thread() {
    thread& t = current();
    t.back = std::move(t.back).resume();
  }

  void look_whether_ended(const word& at) const {
    for (const ended_memory& m : ended_)
      if (std::less_equal<const void*>()(m.at, &at) &&
          std::less<const void*>()(&at, static_cast<std::byte*>(m.at) + m.size))
        fail("something is used after its end");
  }

  [[nodiscard]] bool decide_to_be_late() {
    if (used_late_ == late_stores_ || decide(2) == 0) return false;
    ++used_late_;
    return true;
  }

  static std::vector<variable>& apart() {
    static std::vector<variable> variables;
    return variables;
  }

  /// Runs a thread until its next turn, with what is its own.
  void resume(thread& t) {
    const auto& variables = apart();
    t.apart.resize(variables.size());
    for (std::size_t i = 0; i != variables.size(); ++i) {
      t.apart[i].resize(variables[i].size);
      std::memcpy(variables[i].at, t.apart[i].data(), variables[i].size);
    }
    t.stack = std::move(t.stack).resume();
    for (std::size_t i = 0; i != variables.size(); ++i) {
      std::memcpy(t.apart[i].data(), variables[i].at, variables[i].size);
      std::memset(variables[i].at, 0, variables[i].size);
    }
  }

  void one(std::vector<std::function<void()>>& bodies) {
    running() = this;
    wrong_.reset();
    decided_ = 0;
    used_ = 0;
    used_late_ = 0;
    writes_ = 0;
    current_ = 0;
    threads_.clear();
    threads_.resize(bodies.size());
    for (std::size_t i = 0; i != bodies.size(); ++i)
      threads_[i].stack = fiber([this, i, &bodies](fiber&& back) {
        threads_[i].back = std::move(back);
        bodies[i]();
        threads_[i].ended = true;
        return std::move(threads_[i].back);
      });
    bool begun = false;
    int turns = 0;
    for (;;) {
      if (wrong_) break;
      const auto actions = possible(begun);
      if (actions.empty()) break;
      if (++turns == most_turns) wrong_ = "it does not end";
      const std::size_t taken = decide(actions.size());
      const auto [who, flushes] = actions[taken];
      if (flushes) {
        flush_one(threads_[who]);
        continue;
      }
      if (begun && who != current_ && can_run(threads_[current_])) ++used_;
      begun = true;
      current_ = who;
      thread& t = threads_[who];
      t.waits_since.reset();
      t.waits_for_others = false;
      resume(t);
    }
    for (auto& t : threads_) {
      if (t.ended) continue;
      if (!wrong_) wrong_ = "a thread waits for ever";
      abandoned().push_back(std::move(t.stack));
    }
    running() = nullptr;
    if (!wrong_)
      for (const ended_memory& m : std::exchange(ended_, {})) m.free(m.at);
  }

  struct action {
    std::size_t who;
    bool flushes;
  };

  [[nodiscard]] bool can_run(const thread& t) const noexcept {
    return !t.ended && !t.waits_on && !t.waits_for_others &&
           (!t.waits_since || *t.waits_since != writes_);
  }

  /// What may happen next: the thread that runs first, if it can go on.
  [[nodiscard]] std::vector<action> possible(bool begun) const {
    std::vector<action> found;
    const bool goes_on = begun && can_run(threads_[current_]);
    if (goes_on) found.push_back({current_, false});
    if (!goes_on || used_ < preemptions_)
      for (std::size_t i = 0; i != threads_.size(); ++i)
        if (!(goes_on && i == current_) && can_run(threads_[i])) found.push_back({i, false});
    if (late_stores_ == any_number || found.empty())
      for (std::size_t i = 0; i != threads_.size(); ++i)
        if (!threads_[i].stores.empty()) found.push_back({i, true});
    if (found.empty())
      for (std::size_t i = 0; i != threads_.size(); ++i)
        if (threads_[i].waits_for_others) found.push_back({i, false});
    return found;
  }

  [[nodiscard]] std::size_t decide(std::size_t among) {
    if (decided_ == decisions_.size()) decisions_.push_back({0, among});
    const decision& d = decisions_[decided_++];
    if (d.among == among) return d.taken;
    if (!wrong_) wrong_ = "an interleaving is not repeated by what was decided";
    return 0;
  }

  /// The decisions of the next interleaving; false if there is none.
  [[nodiscard]] bool next() {
    while (!decisions_.empty() && decisions_.back().taken + 1 == decisions_.back().among)
      decisions_.pop_back();
    if (decisions_.empty()) return false;
    ++decisions_.back().taken;
    return true;
  }

  /// What threads have left that have not ended cannot be destroyed.
  void leave_as_it_is(std::vector<std::function<void()>> bodies) {
    struct left {
      std::vector<std::function<void()>> bodies;
      std::vector<ended_memory> ended;
    };
    static auto* const all = new std::vector<left>;
    all->push_back({std::move(bodies), std::exchange(ended_, {})});
  }

  /// The stacks of threads that wait for ever: they may stand in functions that cannot be unwound.
  static std::vector<fiber>& abandoned() {
    static auto* const stacks = new std::vector<fiber>;
    return *stacks;
  }

  const int preemptions_;
  const int late_stores_;
  machine machine_;
  std::vector<thread> threads_;
  std::vector<ended_memory> ended_;
  std::size_t current_ = 0;
  std::size_t writes_ = 0;
  int used_ = 0;
  int used_late_ = 0;
  std::vector<decision> decisions_;
  std::size_t decided_ = 0;
  std::size_t interleavings_ = 0;
  std::optional<std::string> wrong_;
};

}  // namespace sluice_test
