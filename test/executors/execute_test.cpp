// sluice::executor against the tables of Asio's executor requirements, and what `execute` does with
// the function that it is given.

#include <sluice/executor.hpp>

#include <sluice/channel.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/use_task.hpp>

#include "counting_allocator.hpp"
#include "manual_executor.hpp"
#include "support.hpp"

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/defer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/strand.hpp>
#include <boost/test/unit_test.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace {

using namespace sluice_test;

namespace execution = asio::execution;
using sluice::executor;

static_assert(execution::is_executor<executor>::value);
static_assert(std::is_nothrow_copy_constructible_v<executor>);
static_assert(std::is_nothrow_move_constructible_v<executor>);
static_assert(std::is_nothrow_copy_assignable_v<executor>);
static_assert(std::is_nothrow_move_assignable_v<executor>);
static_assert(std::is_nothrow_destructible_v<executor>);
static_assert(std::equality_comparable<executor>);
static_assert(noexcept(std::declval<const executor&>() == std::declval<const executor&>()));
static_assert(std::is_convertible_v<executor, asio::any_io_executor>);

template <class Property>
inline constexpr bool can_query = asio::can_query<const executor&, Property>::value;
template <class Property>
inline constexpr bool can_require = asio::can_require<const executor&, Property>::value;
template <class Property>
inline constexpr bool can_prefer = asio::can_prefer<const executor&, Property>::value;

static_assert(can_query<execution::context_t>);
static_assert(can_query<execution::blocking_t>);
static_assert(can_query<execution::relationship_t>);
static_assert(can_query<execution::outstanding_work_t>);
static_assert(can_query<execution::mapping_t>);
static_assert(can_require<execution::blocking_t::possibly_t>);
static_assert(can_require<execution::blocking_t::never_t>);
static_assert(!can_require<execution::blocking_t::always_t>);
static_assert(can_require<execution::relationship_t::fork_t>);
static_assert(can_require<execution::relationship_t::continuation_t>);
static_assert(can_require<execution::outstanding_work_t::tracked_t>);
static_assert(can_require<execution::outstanding_work_t::untracked_t>);
using counting = counting_allocator<void>;
static_assert(can_require<execution::allocator_t<std::allocator<void>>>);
static_assert(can_require<execution::allocator_t<void>>);
static_assert(can_require<execution::allocator_t<counting>>);
static_assert(can_query<execution::allocator_t<void>>);
static_assert(can_query<execution::allocator_t<counting>>);

// With an allocator of its own it still is what Asio's tables require, and can be erased.
using allocating = decltype(asio::require(std::declval<const executor&>(),
                                          execution::allocator(std::declval<const counting&>())));
static_assert(execution::is_executor<allocating>::value);
static_assert(std::is_nothrow_copy_constructible_v<allocating>);
static_assert(std::is_nothrow_move_constructible_v<allocating>);
static_assert(std::is_nothrow_copy_assignable_v<allocating>);
static_assert(std::equality_comparable<allocating>);
static_assert(std::is_convertible_v<allocating, asio::any_io_executor>);
static_assert(asio::can_require<const allocating&, execution::blocking_t::never_t>::value);
static_assert(!asio::can_require<const allocating&, execution::blocking_t::always_t>::value);
static_assert(
    std::is_same_v<decltype(asio::require(std::declval<const allocating&>(), execution::allocator)),
                   executor>);

/// After a property has been required, a query of its kind says so.
template <class Property>
bool says(const executor& ex, Property p) {
  const auto with = asio::require(ex, p);
  return asio::query(with, p) == p;
}

struct alignas(64) aligned {
  explicit aligned(std::size_t& misplaced) : misplaced_(&misplaced) { look(); }
  aligned(const aligned& other) : misplaced_(other.misplaced_) { look(); }
  void operator()() const { look(); }

 private:
  void look() const {
    *misplaced_ += reinterpret_cast<std::uintptr_t>(this) % alignof(aligned) != 0 ? 1U : 0U;
  }
  std::size_t* misplaced_;
};

struct as_rvalue_or_lvalue {
  std::string text = std::string(100, 'x');
  void operator()() && { text.clear(); }
  void operator()() & { text.clear(); }
};
struct as_lvalue_only {
  int* calls;
  void operator()() & { ++*calls; }
};
struct as_rvalue_only {
  int* calls;
  void operator()() && { ++*calls; }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(executor_execute)

BOOST_AUTO_TEST_CASE(a_property_that_was_required_is_what_a_query_says) {
  asio::io_context io;
  const executor ex = sluice::get_executor(io);
  BOOST_TEST(says(ex, execution::blocking.never));
  BOOST_TEST(says(ex, execution::blocking.possibly));
  BOOST_TEST(says(ex, execution::relationship.fork));
  BOOST_TEST(says(ex, execution::relationship.continuation));
  BOOST_TEST(says(ex, execution::outstanding_work.tracked));
  BOOST_TEST(says(ex, execution::outstanding_work.untracked));
  BOOST_TEST(&asio::query(ex, execution::context) == &io);
  const auto all =
      asio::require(ex, execution::blocking.never, execution::relationship.continuation,
                    execution::outstanding_work.tracked);
  BOOST_TEST((asio::query(all, execution::blocking) == execution::blocking.never));
  BOOST_TEST((asio::query(all, execution::relationship) == execution::relationship.continuation));
  BOOST_TEST((executor(all) ==
              asio::require(ex, execution::blocking.never, execution::relationship.continuation)));
  BOOST_TEST((executor(all) != ex));
}

BOOST_AUTO_TEST_CASE(leaves_the_callers_object_alone) {
  for (const bool never : {false, true}) {
    asio::io_context io;
    executor ex = sluice::get_executor(io);
    if (never) ex = ex.require(execution::blocking.never);
    as_rvalue_or_lvalue f;
    const as_rvalue_or_lvalue& c = f;
    asio::post(io, [&] {
      ex.execute(f);
      if constexpr (std::is_invocable_v<as_rvalue_or_lvalue>) ex.execute(c);
    });
    io.run();
    BOOST_TEST(f.text.size() == 100U);
  }
}

BOOST_AUTO_TEST_CASE(calls_what_can_be_called_in_one_way_only) {
  asio::io_context io;
  const executor ex = sluice::get_executor(io);
  int calls = 0;
  ex.execute(as_lvalue_only{&calls});
  ex.execute(as_rvalue_only{&calls});
  asio::post(io, [&] {
    ex.execute(as_lvalue_only{&calls});
    ex.execute(as_rvalue_only{&calls});
  });
  io.run();
  BOOST_TEST(calls == 4);
}

BOOST_AUTO_TEST_CASE(places_functions_with_extended_alignment) {
  asio::io_context io;
  const executor ex = sluice::get_executor(io);
  const asio::strand<executor> strand(ex);
  std::size_t misplaced = 0;
  for (int i = 0; i < 20; ++i) {
    asio::post(ex, aligned(misplaced));
    asio::post(strand, aligned(misplaced));
    asio::post(io, [&] { asio::dispatch(ex, aligned(misplaced)); });
  }
  io.run();
  BOOST_TEST(misplaced == 0U);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(executor_allocator)

BOOST_AUTO_TEST_CASE(is_what_a_query_says_and_stays_when_other_properties_are_required) {
  asio::io_context io;
  memory_account used;
  const counting memory(used);
  const auto ex = asio::require(sluice::get_executor(io), execution::allocator(memory));
  const auto all =
      asio::require(ex, execution::blocking.never, execution::relationship.continuation,
                    execution::outstanding_work.tracked);
  BOOST_TEST((asio::query(all, execution::allocator) == memory));
  BOOST_TEST((asio::query(all, execution::blocking) == execution::blocking.never));
  BOOST_TEST((asio::query(all, execution::relationship) == execution::relationship.continuation));
  BOOST_TEST(
      (asio::query(all, execution::outstanding_work) == execution::outstanding_work.tracked));
  BOOST_TEST(&asio::query(all, execution::context) == &io);
  BOOST_TEST((ex == asio::require(sluice::get_executor(io), execution::allocator(memory))));
  BOOST_TEST((ex != asio::require(ex, execution::blocking.never)));
  BOOST_TEST((asio::require(ex, execution::allocator) == sluice::get_executor(io)));
}

BOOST_AUTO_TEST_CASE(gives_the_memory_of_what_is_posted_and_has_it_back_before_the_call) {
  asio::io_context io;
  const executor ex = sluice::get_executor(io);
  memory_account used;
  std::size_t calls = 0, had_back = 0;
  const auto f = [&] {
    ++calls;
    had_back += used.allocations == used.deallocations ? 1 : 0;
  };
  const auto bound = [&] { return asio::bind_allocator(counting(used), f); };
  const auto in_turn = [&](std::size_t allocations) {
    io.run();
    io.restart();
    BOOST_TEST(used.allocations == allocations);
    BOOST_TEST(used.deallocations == allocations);
    used.reset();
  };
  asio::post(ex, bound());
  in_turn(1);
  asio::defer(ex, bound());
  in_turn(1);
  asio::post(asio::require(ex, execution::allocator(counting(used))), f);
  in_turn(0);
  asio::require(ex, execution::allocator(counting(used))).execute(f);
  in_turn(1);
  asio::dispatch(ex, [&] { asio::dispatch(ex, bound()); });
  in_turn(0);
  BOOST_TEST(calls == 5U);
  BOOST_TEST(had_back == 5U);
}

BOOST_AUTO_TEST_CASE(gives_the_memory_of_what_goes_through_a_strand) {
  asio::io_context io;
  const asio::strand<executor> strand(sluice::get_executor(io));
  memory_account used;
  bool called = false;
  asio::post(strand, asio::bind_allocator(counting(used), [&] { called = true; }));
  BOOST_TEST(used.allocations != 0U);
  io.run();
  BOOST_TEST(called);
  BOOST_TEST(used.allocations == used.deallocations);
}

// An arena for one operation must do: see completion_allocator.
BOOST_AUTO_TEST_CASE(of_a_handler_is_asked_once_for_an_operation_that_waits_or_is_ready) {
  asio::io_context io;
  const auto ch = sluice::make_channel<int>(io, 1);
  memory_account used;
  int calls = 0;
  const auto receive = [&] {
    ch.async_receive(asio::bind_allocator(counting(used), [&](auto, auto) { ++calls; }));
  };
  const auto once = [&] {
    io.run();
    io.restart();
    BOOST_TEST(used.allocations == 1U);
    BOOST_TEST(used.deallocations == 1U);
    used.reset();
  };
  receive();
  ch.try_send(1);
  once();
  ch.try_send(1);
  receive();
  once();
  sluice::go(
      io, []() -> task<> { co_return; },
      asio::bind_allocator(counting(used), [&](auto) { ++calls; }));
  once();
  BOOST_TEST(calls == 3);
}

// Of Asio's own, which its strands ask for at each turn, among others.
BOOST_AUTO_TEST_CASE(that_stands_for_none_makes_no_other_executor) {
  using recycling = execution::allocator_t<asio::recycling_allocator<void>>;
  using standard = execution::allocator_t<std::allocator<void>>;
  static_assert(std::is_same_v<decltype(asio::require(std::declval<executor>(),
                                                      std::declval<const recycling&>())),
                               executor>);
  static_assert(std::is_same_v<decltype(asio::prefer(std::declval<executor>(),
                                                     std::declval<const standard&>())),
                               executor>);
  asio::io_context io;
  const executor ex = sluice::get_executor(io);
  const executor never = ex.require(execution::blocking.never);
  BOOST_TEST(
      (asio::require(never, execution::allocator(asio::recycling_allocator<void>())) == never));
  BOOST_TEST((asio::require(ex.require(execution::blocking.never), execution::allocator) == never));
}

BOOST_AUTO_TEST_CASE(has_the_memory_back_of_what_is_never_called) {
  memory_account used;
  {
    asio::io_context io;
    asio::post(sluice::get_executor(io), asio::bind_allocator(counting(used), [] {}));
    BOOST_TEST(used.allocations == 1U);
  }
  BOOST_TEST(used.deallocations == 1U);
}

BOOST_AUTO_TEST_CASE(may_be_that_of_the_executor_that_goroutines_are_started_on) {
  asio::io_context io;
  memory_account used;
  const auto ex = asio::require(sluice::get_executor(io), execution::allocator(counting(used)));
  bool ended = false;
  sluice::go(ex, [&]() -> task<> {
    co_await asio::post(ex, asio::deferred);
    ended = true;
  });
  io.run();
  BOOST_TEST(ended);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(executor_dispatch)

BOOST_AUTO_TEST_CASE(runs_the_function_and_nothing_else_inside_the_call) {
  for (const bool on_strand : {false, true}) {
    asio::io_context io;
    const executor ex = sluice::get_executor(io);
    const asio::strand<executor> strand(ex);
    bool inside = false;
    int ran = 0, others_inside = 0, others = 0;
    asio::post(io, [&] {
      const auto other = [&]() -> task<> {
        ++others;
        others_inside += inside ? 1 : 0;
        co_return;
      };
      sluice::go(io, other);
      inside = true;
      const auto f = [&] {
        ++ran;
        sluice::go(io, other);
      };
      if (on_strand)
        asio::dispatch(strand, f);
      else
        asio::dispatch(ex, f);
      inside = false;
      BOOST_TEST(ran == 1);
    });
    io.run();
    BOOST_TEST(others == 2);
    BOOST_TEST(others_inside == 0);
  }
}

// A goroutine of the context may run on a thread of somebody else's.
BOOST_AUTO_TEST_CASE(runs_the_function_on_a_thread_that_runs_the_context_and_on_no_other) {
  asio::io_context io;
  const manual_executor lent(io);
  bool ran = false;
  sluice::go(lent, [&]() -> task<> {
    asio::dispatch(sluice::get_executor(io), [&] { ran = true; });
    co_return;
  });
  BOOST_TEST(lent.run_one());
  BOOST_TEST(!ran);
  io.run();
  BOOST_TEST(ran);
}

BOOST_AUTO_TEST_CASE(lets_out_only_the_functions_own_exception) {
  asio::io_context io;
  const executor ex = sluice::get_executor(io);
  asio::post(io, [&] {
    sluice::go(io, []() -> task<> {
      throw std::runtime_error("of a goroutine");
      co_return;
    });
    BOOST_CHECK_NO_THROW(asio::dispatch(ex, [] {}));
    BOOST_CHECK_THROW(asio::dispatch(ex, [] { throw std::logic_error("its own"); }),
                      std::logic_error);
  });
  BOOST_CHECK_THROW(io.run(), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(
    runs_the_function_inside_the_call_also_in_a_goroutine_and_in_another_dispatch) {
  asio::io_context io;
  const executor ex = sluice::get_executor(io);
  std::string order;
  sluice::go(io, [&]() -> task<> {
    order += '1';
    asio::dispatch(ex, [&] {
      order += '2';
      asio::dispatch(ex, [&] { order += '3'; });
      order += '4';
    });
    order += '5';
    co_return;
  });
  io.run();
  BOOST_TEST(order == "12345");
}

BOOST_AUTO_TEST_SUITE_END()
