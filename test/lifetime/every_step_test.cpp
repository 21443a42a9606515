// Every operation, given up after each of its steps in turn: its context is destroyed, its
// goroutines are cancelled, an allocation is refused. Nobody is left, nothing is kept or destroyed
// twice, and what remains works.
#include "../failing_allocations.hpp"
#include "../goroutine/helpers.hpp"
#include "../support.hpp"
#include "../time_helpers.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// What the operations use, and who uses it. Its context goes before the rest.
struct stage {
  std::optional<asio::io_context> io{std::in_place, 1};
  sluice::cancellable_context tree = with_cancel(context::background());
  std::vector<sluice::cancellable_context> people;
  channel<counted> ch = make_channel<counted>(*io);
  channel<counted> buffered = make_channel<counted>(*io, 1);
  channel<counted> quiet = make_channel<counted>(*io);
  sluice::mutex lock;
  sluice::shared_mutex shared;
  sluice::condition changed;
  sluice::semaphore places{2};
  sluice::wait_group group;
  sluice::once first;
  sluice::singleflight<int, int> flights;
  bool flag = false;
  std::atomic<int> handlers = 0;

  /// Starts somebody whose waits end with `tree`.
  template <class Body>
  void start(Body body) {
    people.push_back(with_cancel(tree.ctx));
    sluice::go(people.back().ctx, *io, std::move(body),
               asio::bind_executor(*io, [](const std::exception_ptr& e) {
                 if (!e) return;
                 try {
                   std::rethrow_exception(e);
                 } catch (const std::bad_alloc&) {
                 } catch (const sluice::system_error&) {
                 }
               }));
  }
  /// A handler that counts itself, and holds a value until it has gone.
  auto handler() {
    return asio::bind_executor(*io,
                               [this, held = counted(7)](error_code, auto&&...) { ++handlers; });
  }
};

struct operation {
  const char* name;
  /// Starts it, and whoever it needs.
  void (*begin)(stage&);
  /// Whether somebody is told of it without a goroutine: no memory for that ends the process.
  bool tells_a_handler = false;
};

task<> send_one(stage& s, const channel<counted>& ch) {
  const counted local(1);
  co_await ch.send(counted(2));
  static_cast<void>(s);
}
task<> receive_one(stage& s, const channel<counted>& ch) {
  const counted local(1);
  static_cast<void>(co_await ch.receive());
  static_cast<void>(s);
}
task<int> leaf(stage& s) {
  const counted local(1);
  static_cast<void>(s);
  co_await yield();
  co_return 1;
}
asio::awaitable<void> receive_in_asio(const channel<counted>& ch) {
  const counted local(1);
  static_cast<void>(co_await ch.async_receive(asio::use_awaitable));
}

const operation operations[] = {
    {"send and receive",
     [](stage& s) {
       s.start([&s] { return send_one(s, s.ch); });
       s.start([&s] { return receive_one(s, s.ch); });
     }},
    {"receive and send",
     [](stage& s) {
       s.start([&s] { return receive_one(s, s.ch); });
       s.start([&s] { return send_one(s, s.ch); });
     }},
    {"a full buffer",
     [](stage& s) {
       for (int i = 0; i < 3; ++i) s.start([&s] { return send_one(s, s.buffered); });
       for (int i = 0; i < 3; ++i) s.start([&s] { return receive_one(s, s.buffered); });
     }},
    {"values that nobody receives",
     [](stage& s) {
       for (int i = 0; i < 2; ++i) s.start([&s] { return send_one(s, s.buffered); });
     }},
    {"close",
     [](stage& s) {
       const auto ch = make_channel<counted>(*s.io);
       for (int i = 0; i < 2; ++i) s.start([&s, ch]() -> task<> { co_await receive_one(s, ch); });
       s.start([ch]() -> task<> {
         co_await yield();
         ch.close();
       });
     }},
    {"select",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         co_await select(s.quiet.receive(), s.ch.send(counted(3)), sleep_for(24h));
       });
       s.start([&s] { return receive_one(s, s.ch); });
     }},
    {"select with handlers",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         co_await select(on(s.ch.receive(), [] {}), on(s.quiet.send(counted(3)), [] {}));
       });
       s.start([&s] { return send_one(s, s.ch); });
     }},
    {"select of a range",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         std::vector<select_case> cases;
         cases.emplace_back(on(s.quiet.receive(), [] {}));
         cases.emplace_back(on(s.ch.receive(), [] {}));
         co_await select(std::move(cases));
       });
       s.start([&s] { return send_one(s, s.ch); });
     }},
    {"select beside an Asio operation",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         asio::steady_timer never(*s.io, 24h);
         co_await select(s.ch.receive(), never.async_wait(asio::deferred));
       });
       s.start([&s]() -> task<> {
         co_await yield();
         co_await send_one(s, s.ch);
       });
     }},
    {"select that an Asio operation wins",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         asio::steady_timer now(*s.io, 0s);
         co_await select(s.quiet.send(counted(4)), now.async_wait(asio::deferred));
       });
     }},
    {"timeout",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         try {
           co_await timeout(s.quiet.send(counted(4)), 100us);
         } catch (const sluice::system_error&) {
           co_return;
         }
       });
     }},
    {"timeout of an Asio operation",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         asio::steady_timer never(*s.io, 24h);
         static_cast<void>(
             co_await timeout(never.async_wait(asio::as_tuple(asio::deferred)), 100us));
       });
     }},
    {"sleep",
     [](stage& s) {
       s.start([]() -> task<> {
         const counted local(1);
         co_await sleep_for(0s);
         co_await sleep_for(50us);
       });
     }},
    {"timer and ticker",
     [](stage& s) {
       s.start([]() -> task<> {
         const counted local(1);
         sluice::timer timer(50us);
         static_cast<void>(co_await timer.receive());
         timer.reset(50us);
         static_cast<void>(co_await after(50us).receive());
         sluice::ticker ticker(50us);
         static_cast<void>(co_await ticker.receive());
       });
     }},
    {"a context's end",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         auto [inner, cancel] = with_timeout(s.tree.ctx, 50us);
         co_await inner.done();
       });
     }},
    {"mutex",
     [](stage& s) {
       for (int i = 0; i < 3; ++i)
         s.start([&s]() -> task<> {
           const counted local(1);
           const auto guard = co_await s.lock.lock();
           co_await yield();
         });
     }},
    {"shared mutex",
     [](stage& s) {
       for (int i = 0; i < 3; ++i)
         s.start([&s, i]() -> task<> {
           const counted local(1);
           if (i == 1) {
             const auto guard = co_await s.shared.lock();
             co_await yield();
           } else {
             const auto guard = co_await s.shared.lock_shared();
             co_await yield();
           }
         });
     }},
    {"condition",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         auto guard = co_await s.lock.lock();
         const auto is_set = [&s] { return s.flag; };
         co_await s.changed.wait(guard, is_set);
       });
       s.start([&s]() -> task<> {
         co_await yield();
         const auto guard = co_await s.lock.lock();
         s.flag = true;
         s.changed.notify_all();
       });
     }},
    {"semaphore",
     [](stage& s) {
       for (const std::size_t wanted : {1U, 2U, 1U})
         s.start([&s, wanted]() -> task<> {
           const counted local(1);
           const auto permit = co_await s.places.acquire(wanted);
           for (int i = 0; i < 3; ++i) co_await yield();
         });
     }},
    {"wait group",
     [](stage& s) {
       s.start([&s]() -> task<> {
         s.group.add(1);
         const at_exit done([&s] { s.group.done(); });
         co_await yield();
       });
       s.start([&s]() -> task<> {
         const counted local(1);
         co_await s.group.wait();
       });
     }},
    {"once",
     [](stage& s) {
       for (int i = 0; i < 2; ++i)
         s.start([&s]() -> task<> {
           const counted local(1);
           const auto body = []() -> task<> { co_await yield(); };
           co_await s.first.call(body);
         });
     }},
    {"singleflight",
     [](stage& s) {
       for (int i = 0; i < 2; ++i)
         s.start([&s]() -> task<> {
           const counted local(1);
           const auto body = [&s] { return leaf(s); };
           static_cast<void>(co_await s.flights.call(1, body));
         });
     }},
    {"rate limiter",
     [](stage& s) {
       const auto limiter = std::make_shared<rate_limiter>(*s.io, 100us, 1);
       for (int i = 0; i < 3; ++i)
         s.start([limiter]() -> task<> {
           const counted local(1);
           co_await limiter->acquire();
         });
     }},
    {"worker pool",
     [](stage& s) {
       const auto pool = std::make_shared<sluice::worker_pool<counted, int>>(
           *s.io, sluice::worker_pool_options{.workers = 1, .queue_capacity = 1},
           [](const counted& c) -> task<int> {
             co_await yield();
             co_return c.value;
           });
       for (int i = 0; i < 3; ++i)
         s.start([pool]() -> task<> {
           const counted local(1);
           static_cast<void>(co_await pool->submit(counted(5)));
         });
     }},
    {"task group",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         const auto body = [&s](task_group& g) -> task<> {
           g.go([&s]() -> task<> { static_cast<void>(co_await leaf(s)); });
           g.go([&s]() -> task<> { static_cast<void>(co_await leaf(s)); });
           co_return;
         };
         co_await with_task_group(s.tree.ctx, body);
       });
     }},
    {"when_all",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         static_cast<void>(co_await sluice::when_all(leaf(s), s.ch.receive(), leaf(s)));
       });
       s.start([&s] { return send_one(s, s.ch); });
     }},
    {"for_each",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         const ints numbers{1, 2, 3, 4};
         const auto body = [&s](int) { return leaf(s); };
         static_cast<void>(co_await sluice::for_each(numbers, body, sluice::limit(2)));
       });
     }},
    {"tasks within tasks, and an awaitable",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         static_cast<void>(co_await leaf(s));
         co_await receive_in_asio(s.ch);
       });
       s.start([&s]() -> task<> {
         co_await yield();
         co_await send_one(s, s.ch);
       });
     }},
    {"a goroutine that starts others",
     [](stage& s) {
       s.start([&s]() -> task<> {
         const counted local(1);
         for (int i = 0; i < 3; ++i) sluice::go(s.tree.ctx, send_one, std::ref(s), s.quiet);
         for (int i = 0; i < 3; ++i) static_cast<void>(co_await s.quiet.receive());
       });
     }},
    {"handlers of channels",
     [](stage& s) {
       s.ch.async_receive(bind_context(s.tree.ctx, s.handler()));
       s.ch.async_send(counted(6), bind_context(s.tree.ctx, s.handler()));
       s.quiet.async_send(counted(6), bind_context(s.tree.ctx, s.handler()));
       s.start([&s] { return receive_one(s, s.quiet); });
     },
     true},
    {"a select for a handler",
     [](stage& s) {
       select(s.ch.receive(), s.quiet.send(counted(6)))(bind_context(s.tree.ctx, s.handler()));
       s.start([&s] { return send_one(s, s.ch); });
     },
     true},
    {"a timeout for a handler",
     [](stage& s) { timeout(s.ch.receive(), 50us)(bind_context(s.tree.ctx, s.handler())); }, true},
};

constexpr int most_turns = 16;
constexpr int most_steps = 40;

/// Whether others can have the locks.
void check_locks(stage& s) {
  int used = 0;
  const auto use = [&]() -> task<> {
    {
      const auto guard = co_await s.lock.lock();
      ++used;
    }
    {
      const auto guard = co_await s.shared.lock();
      ++used;
    }
    {
      const auto permit = co_await s.places.acquire(2);
      ++used;
    }
    co_await s.group.wait();
    ++used;
  };
  sluice::go(*s.io, use);
  for (int i = 0; i < 20; ++i) poll(*s.io);
  BOOST_TEST(used == 4);
}

/// Whether others can use what is there.
void check_what_remains(stage& s) {
  check_locks(s);
  int used = 0;
  const auto use = [&]() -> task<> {
    const auto body = []() -> task<> { co_return; };
    co_await s.first.call(body);
    ++used;
    for (const auto* ch : {&s.ch, &s.buffered, &s.quiet}) {
      error_code e;
      while (ch->try_receive(e)) continue;
      sluice::go([ch]() -> task<> { co_await ch->send(counted(8)); });
      const auto v = co_await ch->receive();
      used += v && v->value == 8;
    }
  };
  sluice::go(*s.io, use);
  s.io->restart();
  s.io->run_for(10s);
  BOOST_TEST(used == 4);
  BOOST_TEST(sluice::goroutine_count(*s.io) == 0u);
}

/// Calls `f` after `steps` turns of all that is ready; the later steps are moments, for timers.
template <class F>
void after_steps(stage& s, int steps, F f) {
  sluice::go(*s.io, [steps, f]() -> task<> {
    for (int i = 0; i < std::min(steps, most_turns); ++i) co_await yield();
    if (steps > most_turns) co_await sleep_for((steps - most_turns) * 25us);
    f();
  });
}

/// Gives each operation up after 0, 1, 2, … steps, until it ends by itself before that.
/** @param give_up `bool(stage&, steps)`: whether there was something left to give up. */
template <class GiveUp>
void give_up_everywhere(GiveUp give_up) {
  const watchdog dog;
  for (const auto& op : operations) BOOST_TEST_CONTEXT(op.name) {
      int steps = 0;
      for (int ended_before = 0; ended_before < 2 && steps < most_steps; ++steps) {
        BOOST_TEST_CONTEXT("step " << steps) {
          {
            stage s;
            ended_before += !give_up(s, op, steps);
          }
          BOOST_TEST(counted::alive == 0);
          BOOST_TEST(counted::corrupt == 0);
        }
      }
      BOOST_TEST(steps > 1);
    }
}

/// Refuses the allocation for which none is left.
template <class T>
struct refusing_allocator {
  using value_type = T;

  explicit refusing_allocator(long& n) noexcept : left(&n) {}
  template <class U>
  refusing_allocator(const refusing_allocator<U>& other) noexcept : left(other.left) {}

  T* allocate(std::size_t n) const {
    if ((*left)-- == 0) throw std::bad_alloc();
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) const noexcept { std::allocator<T>().deallocate(p, n); }
  template <class U>
  bool operator==(const refusing_allocator<U>& other) const noexcept {
    return left == other.left;
  }

  long* left;
};

/// Calls `begin(stage, token)` with a handler whose allocator refuses its n-th allocation inside
/// that call: either it throws, and the handler is destroyed, or the handler is called.
template <class Begin>
void with_each_associated_allocation_refused(Begin begin) {
  bool refused = true;
  for (long n = 0; refused && n < 100; ++n) BOOST_TEST_CONTEXT("allocation " << n) {
      {
        stage s;
        long left = n;
        bool threw = false;
        try {
          begin(s, asio::bind_allocator(refusing_allocator<void>(left), s.handler()));
        } catch (const std::bad_alloc&) {
          threw = true;
        }
        refused = left < 0;
        left = 1'000'000;
        s.tree.cancel();
        s.ch.cancel();
        s.quiet.cancel();
        s.io->run_for(10s);
        BOOST_TEST(s.handlers == (threw ? 0 : 1));
        check_what_remains(s);
      }
      BOOST_TEST(counted::alive == 0);
    }
  BOOST_TEST(!refused);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(given_up_at_every_step)

BOOST_AUTO_TEST_CASE(because_its_context_is_destroyed_an_operation_leaves_nothing) {
  give_up_everywhere([](stage& s, const operation& op, int steps) {
    op.begin(s);
    after_steps(s, steps, [&s] { s.io->stop(); });
    while (!s.io->stopped() && s.io->run_one() != 0) continue;
    const bool left = sluice::goroutine_count(*s.io) != 0;
    const int told = s.handlers;
    s.io.reset();
    BOOST_TEST(s.handlers == told);
    return left;
  });
}

BOOST_AUTO_TEST_CASE(because_it_is_cancelled_an_operation_ends_and_the_rest_works) {
  give_up_everywhere([](stage& s, const operation& op, int steps) {
    op.begin(s);
    bool left = false;
    after_steps(s, steps, [&] {
      left = sluice::goroutine_count(*s.io) > 1;
      s.tree.cancel();
    });
    s.io->run_for(10s);
    BOOST_TEST(sluice::goroutine_count(*s.io) == 0u);
    BOOST_TEST(s.io->stopped());
    check_what_remains(s);
    return left;
  });
}

// The others go on, or wait for it and end when they are cancelled, too.
BOOST_AUTO_TEST_CASE(because_one_of_its_goroutines_is_cancelled_the_others_are_not_held_up) {
  for (const std::size_t victim : {0U, 1U, 2U})
    give_up_everywhere([victim](stage& s, const operation& op, int steps) {
      op.begin(s);
      bool left = false;
      after_steps(s, steps, [&] {
        left = sluice::goroutine_count(*s.io) > 1;
        if (victim < s.people.size()) s.people[victim].cancel();
      });
      for (int i = 0; i < 100; ++i) poll(*s.io);
      s.io->restart();
      s.io->run_for(1ms);
      check_locks(s);
      s.tree.cancel();
      s.io->restart();
      s.io->run_for(10s);
      BOOST_TEST(sluice::goroutine_count(*s.io) == 0u);
      check_what_remains(s);
      return left;
    });
}

BOOST_AUTO_TEST_CASE(because_an_allocation_is_refused_an_operation_ends_and_the_rest_works) {
  if (sanitized) return;
  const watchdog dog;
  for (const auto& op : operations) BOOST_TEST_CONTEXT(op.name) {
      if (op.tells_a_handler) continue;
      bool refused = true;
      long n = 0;
      for (; refused && n < 1'000; ++n) BOOST_TEST_CONTEXT("allocation " << n) {
          {
            stage s;
            // The services of the context are there, and room in the queue of Asio's timers.
            sluice::go(*s.io, []() -> task<> { co_await sleep_for(1us); });
            s.io->run();
            s.io->restart();
            const auto run_until_nothing_is_refused = [&] {
              for (;;) try {
                  s.io->run_for(10s);
                  return;
                } catch (const std::bad_alloc&) {
                  continue;
                }
            };
            until_failure = n;
            try {
              op.begin(s);
            } catch (const std::bad_alloc&) {
            }
            // Whoever could not be started is missed by the others.
            s.io->poll();
            refused = until_failure < 0;
            until_failure = -1;
            s.tree.cancel();
            run_until_nothing_is_refused();
            BOOST_TEST(sluice::goroutine_count(*s.io) == 0u);
            check_what_remains(s);
          }
          BOOST_TEST(counted::alive == 0);
          BOOST_TEST(counted::corrupt == 0);
        }
      BOOST_TEST(n > 1);
      BOOST_TEST(n < 1'000);
    }
}

BOOST_AUTO_TEST_CASE(because_its_handler_has_no_memory_an_operation_does_not_begin) {
  const watchdog dog;
  with_each_associated_allocation_refused(
      [](stage& s, auto token) { s.ch.async_receive(std::move(token)); });
  with_each_associated_allocation_refused(
      [](stage& s, auto token) { s.ch.async_send(counted(1), std::move(token)); });
  with_each_associated_allocation_refused(
      [](stage& s, auto token) { s.buffered.async_send(counted(1), std::move(token)); });
  with_each_associated_allocation_refused([](stage& s, auto token) {
    select(s.ch.receive(), s.quiet.send(counted(1)))(std::move(token));
  });
  with_each_associated_allocation_refused(
      [](stage& s, auto token) { timeout(s.ch.receive(), 50us)(std::move(token)); });
  with_each_associated_allocation_refused(
      [](stage&, auto token) { sleep_for(50us)(std::move(token)); });
  with_each_associated_allocation_refused(
      [](stage& s, auto token) { s.tree.ctx.done()(std::move(token)); });
  with_each_associated_allocation_refused(
      [](stage& s, auto token) { s.group.wait()(std::move(token)); });
  with_each_associated_allocation_refused(
      [](stage& s, auto token) { s.places.acquire()(std::move(token)); });
  with_each_associated_allocation_refused(
      [](stage& s, auto token) { s.lock.lock()(std::move(token)); });
}

BOOST_AUTO_TEST_SUITE_END()
