// Operations that a goroutine has named and awaits a second time.
#include <sluice/use_task.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/for_each.hpp>
#include <sluice/go.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>
#include <sluice/when_all.hpp>
#include <sluice/worker_pool.hpp>

#include "../timer/helpers.hpp"
#include "fragile.hpp"
#include "virtual_time.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;
using strings = std::vector<std::string>;

/// What a goroutine of `main` leaves in the log that it is given.
template <class Main>
strings logged(Main main) {
  asio::io_context io;
  strings log;
  sluice::go(io, main, std::ref(io), std::ref(log));
  run(io);
  BOOST_TEST(has_no_timer(io));
  return log;
}

/// Awaits an operation that can be started once, and has been.
template <class Operation>
task<> await_started(Operation& op, strings& log) {
  try {
    static_cast<void>(co_await std::move(op));
    log.emplace_back("done again");
  } catch (const std::logic_error& x) {
    const std::string why = x.what();
    log.push_back(contains(why, "make another") ? "refused" : why.substr(why.find("its")));
  }
}

task<int> squared(int n) {
  const int square = n * n;
  co_return square;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(what_is_awaited_again)

BOOST_AUTO_TEST_CASE(is_for_a_select_another_of_the_same_channels) {
  const auto log = logged([](asio::io_context& io, strings& told) -> task<> {
    const auto a = make_channel<int>(1), b = make_channel<int>(1);
    auto s = select(a.receive(), b.receive());
    // Ready, then parked, ready, parked, and with its winner among those that lost before.
    for (const bool ready : {true, false, true, false, false}) {
      const auto& ch = told.size() % 3 == 0 ? a : b;
      const int value = static_cast<int>(told.size());
      if (ready) {
        ch.try_send(value);
      } else {
        asio::post(io, [ch, value] { ch.try_send(value); });
      }
      auto r = co_await s;
      told.push_back(std::to_string(r.index()) + ":" +
                     std::to_string(r.index() == 0 ? *r.get<0>() : *r.get<1>()));
    }
    told.push_back(a.size() == 0 && b.size() == 0 ? "nothing is left" : "a value is left");
  });
  const strings expected{"0:0", "1:1", "1:2", "0:3", "1:4", "nothing is left"};
  BOOST_TEST(log == expected, per_element());
}

BOOST_AUTO_TEST_CASE(is_for_a_select_with_handlers_the_same) {
  const auto log = logged([](asio::io_context& io, strings& told) -> task<> {
    const auto ch = make_channel<int>(1), other = make_channel<int>();
    auto s = select(on(other.receive(), [&](auto&&) { told.emplace_back("other"); }),
                    on(ch.receive(), [&](auto v) { told.push_back(std::to_string(*v)); }));
    for (int i = 0; i < 3; ++i) {
      asio::post(io, [ch, i] { ch.try_send(i); });
      BOOST_TEST(co_await s == 1U);
    }
    auto or_not = select(on(ch.receive(), [&](auto v) { told.push_back(std::to_string(*v)); }),
                         otherwise([&] { told.emplace_back("nothing"); }));
    co_await or_not;
    ch.try_send(4);
    co_await or_not;
    co_await or_not;
  });
  const strings expected{"0", "1", "2", "nothing", "4", "nothing"};
  BOOST_TEST(log == expected, per_element());
}

BOOST_AUTO_TEST_CASE(is_for_a_select_of_a_range_the_same) {
  const auto log = logged([](asio::io_context& io, strings& told) -> task<> {
    std::vector<channel<int>> channels;
    for (int i = 0; i < 3; ++i) channels.push_back(make_channel<int>(1));
    std::vector<sluice::receive_operation<int>> cases;
    for (const auto& ch : channels) cases.push_back(ch.receive());
    auto s = select(std::move(cases));
    for (std::size_t i = 0; i < 5; ++i) {
      const auto ch = channels[i % 3];
      if (i % 2 == 0)
        ch.try_send(1);
      else
        asio::post(io, [ch] { ch.try_send(1); });
      auto r = co_await s;
      told.push_back(std::to_string(r.index()));
      BOOST_TEST(r.get().value() == 1);
    }
  });
  const strings expected{"0", "1", "2", "0", "1"};
  BOOST_TEST(log == expected, per_element());
}

BOOST_AUTO_TEST_CASE(is_for_a_timeout_another_of_the_same_length) {
  strings log;
  run_in_virtual_time([&]() -> task<> {
    const auto ch = make_channel<int>(1);
    const auto send = [ch](int i) { ch.try_send(i); };
    auto within = timeout(ch.receive(), 1s);
    for (int i = 0; i < 6; ++i) {
      if (i % 3 == 0) send(i);
      if (i % 3 == 1) sluice::go(send, i);
      const auto begun = sluice::now();
      try {
        log.push_back(std::to_string(*co_await within));
      } catch (const sluice::system_error& x) {
        const bool at_its_end = sluice::now() - begun == 1s;
        log.emplace_back(x.code() == timed_out && at_its_end ? "timed out" : x.what());
      }
    }
  });
  const strings expected{"0", "1", "timed out", "3", "4", "timed out"};
  BOOST_TEST(log == expected, per_element());
}

BOOST_AUTO_TEST_CASE(is_refused_for_an_asio_operation_that_was_launched) {
  const auto log = logged([](asio::io_context& io, strings& told) -> task<> {
    asio::steady_timer timer(io);
    timer.expires_after(0s);
    auto op = timer.async_wait(sluice::use_task);
    co_await op;
    co_await await_started(op, told);

    const auto quiet = make_channel<int>();
    try {
      co_await select(quiet.receive(), op);
    } catch (const std::logic_error& x) {
      told.emplace_back("refused as a case");
    }
    auto s = select(quiet.receive(), timer.async_wait(sluice::use_task));
    BOOST_TEST((co_await s).index() == 1U);
    co_await await_started(s, told);

    auto within = timeout(timer.async_wait(sluice::use_task), 1h);
    co_await within;
    co_await await_started(within, told);

    BOOST_CHECK_THROW(std::move(op)([](error_code) {}), std::logic_error);
  });
  const strings expected{"refused", "refused as a case", "refused", "refused"};
  BOOST_TEST(log == expected, per_element());
}

BOOST_AUTO_TEST_CASE(is_launched_if_it_was_cancelled_before_that) {
  const auto log = logged([](asio::io_context& io, strings& told) -> task<> {
    const auto tree = sluice::with_cancel(sluice::context::background());
    asio::steady_timer timer(io);
    timer.expires_after(1ms);
    auto op = timer.async_wait(sluice::use_task);
    auto within = timeout(timer.async_wait(sluice::use_task), 1h);
    const auto attempt = [&](auto& what) -> task<> {
      try {
        co_await what;
        told.emplace_back("launched");
      } catch (const sluice::system_error& x) {
        told.emplace_back(x.code() == aborted ? "cancelled" : x.what());
      }
    };
    tree.cancel();
    co_await sluice::go(tree.ctx, io, attempt(op), sluice::use_task);
    co_await sluice::go(tree.ctx, io, attempt(within), sluice::use_task);
    co_await attempt(op);
    co_await attempt(within);
  });
  const strings expected{"cancelled", "cancelled", "launched", "launched"};
  BOOST_TEST(log == expected, per_element());
}

BOOST_AUTO_TEST_CASE(is_refused_for_children_that_were_launched) {
  const auto log = logged([](asio::io_context&, strings& told) -> task<> {
    auto both = sluice::when_all(squared(2), squared(3));
    const auto [four, nine] = co_await std::move(both);
    BOOST_TEST(four + nine == 13);
    co_await await_started(both, told);

    std::vector<task<int>> row;
    row.push_back(squared(4));
    auto all = sluice::when_all(std::move(row));
    BOOST_TEST((co_await std::move(all)).at(0) == 16);
    co_await await_started(all, told);

    const std::vector<int> numbers{1, 2};
    auto each = sluice::for_each(numbers, squared, sluice::limit(1));
    BOOST_TEST((co_await std::move(each)).at(1) == 4);
    co_await await_started(each, told);
  });
  const strings expected{"refused", "refused", "refused"};
  BOOST_TEST(log == expected, per_element());
}

BOOST_AUTO_TEST_CASE(is_refused_for_a_job_that_was_submitted) {
  const auto log = logged([](asio::io_context& io, strings& told) -> task<> {
    sluice::worker_pool<int, int> pool(io, {.workers = 1}, [](int n) { return 2 * n; });
    auto job = pool.submit(3);
    BOOST_TEST(co_await job == 6);
    co_await await_started(job, told);
    co_await pool.stop();
    auto refused = pool.submit(3);
    BOOST_CHECK_EXCEPTION(co_await refused, sluice::system_error, has_code(closed));
    co_await await_started(refused, told);
  });
  const strings expected{"refused", "refused"};
  BOOST_TEST(log == expected, per_element());
}

BOOST_AUTO_TEST_CASE(is_refused_for_a_send_whose_value_has_been_moved_on) {
  const auto log = logged([](asio::io_context&, strings& told) -> task<> {
    const auto words = make_channel<std::string>(8);
    const auto full = make_channel<std::string>(1);
    full.try_send("in the way");
    auto send = words.send("a word");
    co_await send;
    co_await await_started(send, told);
    auto s = select(words.send("another"), full.send("lost"));
    auto r = co_await s;
    BOOST_TEST(*r.lost<1>() == "lost");
    co_await await_started(s, told);
    auto two = select_in_order(full.send("still here"), full.receive());
    static_cast<void>(co_await two);
    co_await await_started(two, told);
    told.push_back(std::to_string(words.size()));

    const auto numbers = make_channel<int>(2);
    auto number = numbers.send(1);
    co_await number;
    co_await number;
    told.push_back(std::to_string(numbers.size()));

    const auto ticks = make_channel<void>(4);
    const auto quiet = make_channel<int>();
    auto tick = ticks.send();
    co_await tick;
    auto select_of_tick = select(std::move(tick), quiet.receive());
    co_await select_of_tick;
    told.push_back(std::to_string(ticks.size()));
  });
  const strings expected{"its value has been sent",
                         "its value has been sent",
                         "its value has been sent",
                         "2",
                         "2",
                         "2"};
  BOOST_TEST(log == expected, per_element());
}

BOOST_AUTO_TEST_CASE(is_refused_too_where_it_has_been_moved_to) {
  const auto log = logged([](asio::io_context& io, strings& told) -> task<> {
    const auto words = make_channel<std::string>(8);
    auto word = words.send("a word");
    co_await word;
    auto word_within = timeout(std::move(word), 1h);
    co_await await_started(word_within, told);

    const auto boxes = make_channel<fragile>(8);
    auto box = boxes.send(fragile(1));
    co_await box;
    auto box_within = timeout(std::move(box), 1h);
    co_await await_started(box_within, told);
    told.push_back(std::to_string(words.size() + boxes.size()));

    int runs = 0;
    sluice::worker_pool<int, int> pool(io, {.workers = 1}, [&](int n) { return n + ++runs; });
    auto job = pool.submit(3);
    co_await job;
    auto job_within = timeout(std::move(job), 1h);
    co_await await_started(job_within, told);
    co_await pool.stop();
    BOOST_TEST(runs == 1);

    auto both = sluice::when_all(squared(2), squared(3));
    co_await std::move(both);
    BOOST_CHECK_THROW(static_cast<void>(timeout(std::move(both), 1h)), std::logic_error);

    asio::steady_timer timer(io);
    auto fired = timer.async_wait(sluice::use_task);
    co_await fired;
    error_code told_to_handler;
    timeout(std::move(fired), 1h)([&](error_code e) { told_to_handler = e; });
    co_await sluice::this_goroutine::yield();
    BOOST_TEST((told_to_handler == sluice::error::initiation_failed));

    int handled = 0;
    const auto quiet = make_channel<int>();
    const auto handler = [&]() -> task<> {
      ++handled;
      co_return;
    };
    auto s = select(on(timer.async_wait(sluice::use_task), handler, sluice::drop_lost),
                    on(quiet.receive(), [](auto&&) -> task<> { co_return; }));
    co_await s;
    co_await await_started(s, told);
    BOOST_TEST(handled == 1);
  });
  const strings expected{"its value has been sent", "its value has been sent", "2", "refused",
                         "refused"};
  BOOST_TEST(log == expected, per_element());
}

BOOST_AUTO_TEST_CASE(is_launched_if_what_it_is_launched_with_could_not_be_moved) {
  const auto log = logged([](asio::io_context& io, strings& told) -> task<> {
    const auto initiate = [&io](auto handler, const fragile&) {
      asio::post(io, [h = std::move(handler)]() mutable { std::move(h)(error_code()); });
    };
    auto op = asio::async_initiate<const sluice::use_task_t&, void(error_code)>(
        initiate, sluice::use_task, fragile(1));
    try {
      const lit_fuse first_move(1);
      co_await op;
    } catch (const std::runtime_error& x) {
      told.emplace_back(x.what());
    }
    co_await op;
    told.emplace_back("completed");
  });
  const strings expected{"fragile", "completed"};
  BOOST_TEST(log == expected, per_element());
}

BOOST_AUTO_TEST_SUITE_END()
