#include <sluice/shared_mutex.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// Rows of Go's sync/rwmutex_test.go.

namespace {

using namespace sluice_test;

static_assert(!std::is_copy_constructible_v<shared_mutex>);
static_assert(!std::is_convertible_v<shared_mutex::guard, shared_mutex::shared_guard>);

}  // namespace

BOOST_AUTO_TEST_SUITE(a_shared_mutex)

// Source: TestParallelReaders
BOOST_AUTO_TEST_CASE(lets_many_readers_in_at_the_same_time) {
  asio::io_context io;
  shared_mutex m;
  const auto until = sluice::make_channel<void>(io);
  int reading = 0;
  for (int i = 0; i < 10; ++i)
    sluice::go(io, [&]() -> task<> {
      const auto g = co_await m.lock_shared();
      ++reading;
      static_cast<void>(co_await until.receive());
    });
  poll(io);
  BOOST_TEST(reading == 10);
  BOOST_TEST(!m.try_lock());
  until.close();
  run(io);
  BOOST_TEST(m.try_lock().owns_lock());
}

// Source: TestRWMutex: the try variants
BOOST_AUTO_TEST_CASE(can_be_tried) {
  shared_mutex m;
  {
    const auto w = m.try_lock();
    BOOST_TEST(w.owns_lock());
    BOOST_TEST(!m.try_lock());
    BOOST_TEST(!m.try_lock_shared());
  }
  {
    const auto r = m.try_lock_shared();
    BOOST_TEST(r.owns_lock());
    const auto another = m.try_lock_shared();
    BOOST_TEST(another.owns_lock());
    BOOST_TEST(!m.try_lock());
  }
  BOOST_TEST(m.try_lock().owns_lock());
}

// Source: TestRWMutex misuse: RUnlock and Unlock of what is not locked
BOOST_AUTO_TEST_CASE(cannot_be_unlocked_when_it_is_not_locked) {
  shared_mutex m;
  shared_mutex::guard none;
  shared_mutex::shared_guard none_shared;
  const auto says_unlocked = [](const std::logic_error& e) {
    return std::string(e.what()).find("unlocked") != std::string::npos;
  };
  BOOST_CHECK_EXCEPTION(none.unlock(), std::logic_error, says_unlocked);
  BOOST_CHECK_EXCEPTION(none_shared.unlock(), std::logic_error, says_unlocked);
  auto w = m.try_lock();
  w.unlock();
  BOOST_CHECK_EXCEPTION(w.unlock(), std::logic_error, says_unlocked);
  BOOST_TEST(m.try_lock_shared().owns_lock());
}

// Source: the documentation of RWMutex: a writer that waits blocks new readers
BOOST_AUTO_TEST_CASE(lets_no_reader_past_a_writer_that_waits) {
  asio::io_context io;
  shared_mutex m;
  std::vector<std::string> order;
  auto reading = m.try_lock_shared();
  const auto start = [&](std::string name, bool writes) {
    sluice::go(io, [&m, &order, name, writes]() -> task<> {
      if (writes) {
        const auto g = co_await m.lock();
        order.push_back(name);
        co_await sluice::this_goroutine::yield();
      } else {
        const auto g = co_await m.lock_shared();
        order.push_back(name);
        co_await sluice::this_goroutine::yield();
      }
    });
    poll(io);
  };
  start("writer", true);
  start("reader", false);
  start("another reader", false);
  start("second writer", true);
  BOOST_TEST(order.empty());
  BOOST_TEST(!m.try_lock_shared());
  reading.unlock();
  run(io);
  const std::vector<std::string> expected{"writer", "reader", "another reader", "second writer"};
  BOOST_TEST(order == expected, per_element());
}

BOOST_AUTO_TEST_CASE(lets_readers_in_when_the_writer_before_them_gives_up) {
  for (const bool by_select : {false, true}) {
    asio::io_context io;
    shared_mutex m;
    const auto reading = m.try_lock_shared();
    const auto tree = with_cancel(sluice::context::background());
    const auto give_up = sluice::make_channel<void>(io);
    sluice::go(tree.ctx, io, [&]() -> task<> {
      try {
        co_await sluice::select(m.lock(), give_up.receive());
      } catch (const sluice::system_error&) {
      }
    });
    poll(io);
    int readers = 0;
    for (int i = 0; i < 3; ++i)
      sluice::go(io, [&]() -> task<> {
        const auto g = co_await m.lock_shared();
        ++readers;
      });
    poll(io);
    BOOST_TEST(readers == 0);
    if (by_select)
      give_up.close();
    else
      tree.cancel();
    run(io);
    BOOST_TEST(readers == 3);
  }
}

BOOST_AUTO_TEST_CASE(works_with_handlers) {
  asio::io_context io;
  shared_mutex m;
  std::vector<std::string> order;
  auto writing = m.try_lock();
  m.lock_shared()(asio::bind_executor(io, [&](error_code e, shared_mutex::shared_guard g) {
    if (!e && g.owns_lock()) order.push_back("read");
  }));
  m.lock()(asio::bind_executor(io, [&](error_code e, shared_mutex::guard g) {
    if (!e && g.owns_lock()) order.push_back("written");
  }));
  poll(io);
  BOOST_TEST(order.empty());
  writing.unlock();
  run(io);
  const std::vector<std::string> expected{"read", "written"};
  BOOST_TEST(order == expected, per_element());
}

// Source: TestRWMutex, HammerRWMutex: one to ten readers on one to ten processors
BOOST_AUTO_TEST_CASE(excludes_writers_from_everybody_on_several_threads) {
  const watchdog dog;
  for (const int readers : {1, 3, 10})
    for (const int threads : {1, 4}) {
      asio::io_context io;
      shared_mutex m;
      // A writer adds 10000 while it is in, a reader 1.
      std::atomic<int> activity{0};
      std::atomic<std::size_t> wrong{0}, done{0};
      const std::size_t n = rounds(300, 100);
      const auto read = [&]() -> task<> {
        for (std::size_t i = 0; i < n; ++i) {
          const auto g = co_await m.lock_shared();
          const int now = ++activity;
          if (now < 1 || now >= 10000) ++wrong;
          co_await sluice::this_goroutine::yield();
          --activity;
        }
        ++done;
      };
      const auto write = [&]() -> task<> {
        for (std::size_t i = 0; i < n; ++i) {
          const auto g = co_await m.lock();
          if ((activity += 10000) != 10000) ++wrong;
          co_await sluice::this_goroutine::yield();
          activity -= 10000;
        }
        ++done;
      };
      for (int i = 0; i < readers; ++i) sluice::go(io, read);
      sluice::go(io, write);
      sluice::go(io, write);
      run(io, threads);
      BOOST_TEST(wrong == 0u);
      BOOST_TEST(done == static_cast<std::size_t>(readers) + 2);
    }
}

BOOST_AUTO_TEST_SUITE_END()
