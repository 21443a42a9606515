// What the library's assertions say when an invariant is broken, which a child process does: it
// prints where, and which, and aborts.

#include <sluice/detail/base/assert.hpp>

#include <sluice/detail/base/pin_count.hpp>
#include <sluice/detail/channel/channel_core.hpp>
#include <sluice/detail/executor/strand_dispatcher.hpp>
#include <sluice/detail/goroutine/cancellation.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/pool/job_queue.hpp>
#include <sluice/detail/scheduler/ready_list.hpp>
#include <sluice/detail/scheduler/registered.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/timer_queue.hpp>
#include <sluice/detail/scheduler/worker.hpp>
#include <sluice/detail/sync/grant_queue.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/worker_pool.hpp>

#include "../child_process.hpp"
#include "../names.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <sys/resource.h>

#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <source_location>
#include <string>
#include <thread>

namespace {

using namespace sluice_test;

using namespace sluice::detail;

/// A program with a context, in which something is done wrong.
struct program {
  asio::io_context io;
  scheduler& home = scheduler::of(io);
  waker somebody{[](waker&) noexcept {}, nullptr};

  dispatcher_ptr place() { return dispatcher_ptr(home); }
};

constexpr element_type of_ints{sizeof(int), alignof(int), true, nullptr, nullptr};

/// A channel of numbers, of which one is there.
struct numbers : program {
  channel_core& core = channel_core::make(of_ints, 2, place(), std::source_location());
  int number = 1;
  channel_waiter w;

  numbers() {
    static_cast<void>(core.try_send(&number));
    w.core = &core;
    w.element_address = &number;
    w.begin(somebody);
  }
  void take_the_number() { static_cast<void>(core.try_receive(&number)); }
};

struct breach {
  const char* invariant;
  void (*commit)();
};

/// The end of a job, which only its queue brings about.
struct end_of_a_job {
  using type = bool (job_queue::*)(pool_worker&, job_slot*, std::exception_ptr&, bool, bool,
                                   wake_list&) noexcept;
  friend type private_member(end_of_a_job);
};
/// What a class keeps to itself: an explicit instantiation may name it.
template <class Member, typename Member::type Pointer>
struct disclosed {
  friend typename Member::type private_member(Member) { return Pointer; }
};
template struct disclosed<end_of_a_job, &job_queue::end_job>;

/// A pool that does nothing.
struct idle_pool final : job_queue {
  using job_queue::job_queue;
  sluice::task<> work(working) override { co_return; }
};

constexpr timer_node::kind never_due{[](timer_node&) noexcept { return false; },
                                     [](timer_node&) noexcept {}};

constexpr breach breaches[] = {
    // A claim.
    {"a waiter that is claimed waits",
     [] {
       numbers n;
       n.take_the_number();
       n.core.enlist_receiver(n.w);
       n.w.outcome = waiter::state::done;
       static_cast<void>(n.core.try_send(&n.number));
     }},
    {"whoever claims a select says for which of its cases",
     [] {
       selection s(nullptr);
       static_cast<void>(s.claim(selection::none));
     }},

    // A hand-over.
    {"a waiter that is to be woken has left its wait queue",
     [] {
       program p;
       waiter w;
       w.begin(p.somebody);
       waiter_list place;
       place.push_back(w);
       w.outcome = waiter::state::done;
       wake_list woken;
       woken.add(w);
     }},
    {"a waiter that is to be woken alone has its outcome",
     [] {
       program p;
       waiter w;
       w.begin(p.somebody);
       wake_list woken;
       woken.add(w);
     }},
    {"only its own thread puts something into a worker's list without the lock",
     [] {
       program p;
       worker w(p.home);
       ready_node node([](ready_node&, worker*) {});
       std::thread([&] { w.push(node); }).join();
     }},
    {"a strand is handed on by the one who holds it",
     [] {
       program p;
       held_strand strand(p.place());
       strand.pass_on();
       strand.pass_on();
     }},

    // The end of an operation.
    {"an operation ends when its waiter has left its wait queue",
     [] {
       waiter_list place;
       waiter w;
       place.push_back(w);
     }},
    {"a timer ends when it has left the queue of its scheduler",
     [] {
       program p;
       timer_node node(never_due);
       p.home.timers.insert(node);
     }},

    // A list.
    {"a wait queue is destroyed when nobody waits there",
     [] {
       waiter w;
       waiter_list place;
       place.push_back(w);
     }},
    {"a waiter that is put into a list is in none",
     [] {
       waiter_list here;
       waiter_list there;
       waiter w;
       here.push_back(w);
       there.push_back(w);
     }},
    {"a waiter that is taken out of a list is in one",
     [] {
       waiter w;
       w.previous = &w;
       waiter_list::remove(w);
     }},
    {"a list of ready nodes ends when none is left in it",
     [] {
       ready_node node([](ready_node&, worker*) {});
       ready_list list;
       list.push_back(node);
     }},
    {"a queue of timers ends when none is left in it",
     [] {
       timer_node node(never_due);
       program p;
       p.home.timers.insert(node);
     }},
    {"whatever is registered with a context has ended before it",
     [] {
       parked_handler handler([](parked_handler&) noexcept {});
       registered_list list;
       list.push_front(handler);
     }},
    {"what is taken out of a list is in it",
     [] {
       parked_handler handler([](parked_handler&) noexcept {});
       registered_list list;
       list.remove(handler);
     }},

    // A job's end.
    {"a job ends once, after it has begun",
     [] {
       program p;
       const ref<job_queue> queue(
           *new idle_pool(start_point{p.place(), true}, sluice::worker_pool_options{}));
       const ref<pool_worker> w(*new pool_worker(*queue.get()));
       std::exception_ptr failure;
       wake_list told;
       (queue.get()->*private_member(end_of_a_job()))(*w.get(), nullptr, failure, false, false,
                                                      told);
     }},

    // Reference counts.
    {"as many references are given up as there were",
     [] {
       numbers n;
       n.core.retain_state();
       n.core.release();
       n.core.release();
     }},
    {"a reference is given by somebody who has one",
     [] {
       numbers n;
       n.core.retain_state();
       n.core.release();
       n.core.retain();
     }},
    {"a goroutine's block outlives its frames",
     [] {
       program p;
       goroutine::make_without_frames(p.place()).release();
     }},
    {"a pin that is given back was taken",
     [] {
       pin_count pins;
       pins.remove(0);
     }},
    {"units that come back were given out and are not detached",
     [] {
       grant_queue::owner queue(1);
       queue->release(1);
     }},
    {"a queue has as many members as leave it",
     [] {
       grant_queue::owner queue(1);
       queue->release(0);
     }},

    // A channel's lock is free again.
    {"a receiver waits only while there is no value",
     [] {
       numbers n;
       n.core.enlist_receiver(n.w);
     }},
    {"a sender waits only while the ring is full",
     [] {
       numbers n;
       n.core.enlist_sender(n.w);
     }},
    {"nobody waits for a closed channel",
     [] {
       numbers n;
       n.take_the_number();
       static_cast<void>(n.core.close(std::source_location()));
       n.core.enlist_receiver(n.w);
     }},

    // A goroutine.
    {"a goroutine begins a wait when it has none",
     [] {
       program p;
       goroutine& g = goroutine::make_without_frames(p.place());
       const cancellation_ref c = g.become_cancellable();
       cancellable wait{nullptr};
       static_cast<void>(c->begin(wait));
       static_cast<void>(c->begin(wait));
     }},
};

/// What this program says when it runs the case below that is only for children, and dies of it.
std::string last_words(const std::string& number) {
  ::setenv("SLUICE_TEST_CHILD", number.c_str(), 1);
  sluice_test::child_process child(
      {"/proc/self/exe", "--catch_system_errors=no", "--run_test=a_child_of_the_assertions_test",
       "--run_test=*/a_child_of_the_assertions_test"},
      true);
  ::unsetenv("SLUICE_TEST_CHILD");
  std::string text = child.read_all();
  BOOST_TEST(child.wait() == 128 + SIGABRT);
  return text;
}

bool contains(const std::string& text, const std::string& what) {
  return text.find(what) != text.npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_child_of_the_assertions_test) {
  const char* const number = std::getenv("SLUICE_TEST_CHILD");
  if (!number) return;
  const ::rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  if (number == std::string("report")) report_broken_invariant("there.cpp", 7, "all is well");
  breaches[std::stoul(number)].commit();
}

BOOST_AUTO_TEST_CASE(a_broken_invariant_is_reported_in_every_build) {
  const auto text = last_words("report");
  BOOST_TEST(contains(text, "there.cpp:7: sluice: broken invariant: all is well\n"), text);
}

#ifdef NDEBUG

BOOST_AUTO_TEST_CASE(nothing_is_looked_at_without_assertions) {
  int looks = 0;
  const auto look = [&] {
    ++looks;
    return false;
  };
  SLUICE_ASSERT(look(), "a look is one");
  BOOST_TEST(looks == 0);
}

#else

BOOST_AUTO_TEST_CASE(each_invariant_that_is_broken_is_named) {
  for (std::size_t i = 0; i < std::size(breaches); ++i) BOOST_TEST_CONTEXT(breaches[i].invariant) {
      const auto text = last_words(std::to_string(i));
      BOOST_TEST(contains(text, std::string("broken invariant: ") + breaches[i].invariant + "\n"),
                 text);
      BOOST_TEST(contains(text, "pp:"), text);
    }
}

#endif
