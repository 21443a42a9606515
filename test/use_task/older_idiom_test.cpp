// Functions of Asio's older idiom declare what they return by the token and the signature alone
// (`BOOST_ASIO_INITFN_RESULT_TYPE`), which `asio::deferred` does not have. So do adapters of
// tokens, up to Boost 1.81. Source: the completion token requirements of Boost.Asio 1.69 and Beast.
#include <sluice/use_task.hpp>

#include "../counting_allocator.hpp"
#include "../goroutine/helpers.hpp"
#include "../names.hpp"
#include "../support.hpp"

#include <boost/asio/append.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace {

using namespace sluice_test;

/// As Beast declares its functions.
template <class Timer, class Token>
BOOST_ASIO_INITFN_RESULT_TYPE(Token, void(error_code))
async_old_wait(Timer& timer, Token&& token) {
  return timer.async_wait(std::forward<Token>(token));
}

struct give {
  using executor_type = asio::io_context::executor_type;

  executor_type ex;

  [[nodiscard]] executor_type get_executor() const noexcept { return ex; }
  template <class Handler>
  void operator()(Handler handler, std::unique_ptr<int> v) {
    const auto to = asio::get_associated_executor(handler, ex);
    asio::post(to, [h = std::move(handler), v = std::move(v)]() mutable {
      std::move(h)(error_code(), std::move(v));
    });
  }
};

/// The same with a value and arguments that can only be moved, and an executor.
template <class Token>
BOOST_ASIO_INITFN_RESULT_TYPE(Token, void(error_code, std::unique_ptr<int>))
async_old_give(asio::io_context& io, std::unique_ptr<int> value, Token&& token) {
  return asio::async_initiate<Token, void(error_code, std::unique_ptr<int>)>(
      give{io.get_executor()}, token, std::move(value));
}

/// Keeps its handler in `to`, or drops it if that is null.
template <class Token>
BOOST_ASIO_INITFN_RESULT_TYPE(Token, void(error_code))
async_old_keep(std::shared_ptr<void>* to, Token&& token) {
  return asio::async_initiate<Token, void(error_code)>(
      [to](auto handler) {
        if (to) *to = std::make_shared<decltype(handler)>(std::move(handler));
      },
      token);
}

template <class Token>
BOOST_ASIO_INITFN_RESULT_TYPE(Token, void(error_code))
async_old_throw(Token&& token) {
  return asio::async_initiate<Token, void(error_code)>(
      [](auto) { throw std::runtime_error("initiation"); }, token);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(use_task_with_the_older_idiom)

BOOST_AUTO_TEST_CASE(gives_what_the_operation_gives) {
  asio::io_context io;
  int got = 0;
  sluice::go(io, [&]() -> task<> {
    asio::steady_timer timer(io, 1ms);
    co_await async_old_wait(timer, sluice::use_task);
    const auto [e] = co_await async_old_wait(timer, asio::as_tuple(sluice::use_task));
    BOOST_TEST(!e);
    auto value = std::make_unique<int>(7);
    const auto given = co_await async_old_give(io, std::move(value), sluice::use_task);
    got = *given;
  });
  run(io);
  BOOST_TEST(got == 7);
}

BOOST_AUTO_TEST_CASE(is_cancelled_with_its_goroutine) {
  asio::io_context io;
  asio::steady_timer timer(io, 1h);
  asio::cancellation_signal signal;
  error_code told;
  sluice::go(
      io, [&]() -> task<> { told = co_await error_of(async_old_wait(timer, sluice::use_task)); },
      asio::bind_cancellation_slot(signal.slot(), [](const std::exception_ptr&) {}));
  poll(io);
  signal.emit(asio::cancellation_type::terminal);
  run(io);
  BOOST_TEST(told == aborted);
}

BOOST_AUTO_TEST_CASE(is_a_case_of_a_select_and_has_a_timeout) {
  asio::io_context io;
  std::size_t index = 99;
  error_code told;
  sluice::go(io, [&]() -> task<> {
    asio::steady_timer timer(io, 1h);
    auto ch = make_channel<int>(1);
    ch.try_send(1);
    const auto first =
        co_await select(async_old_wait(timer, sluice::use_task), ch.receive(), sleep_for(1h));
    index = first.index();
    told = co_await error_of(timeout(async_old_wait(timer, sluice::use_task), 1ms));
  });
  run(io);
  BOOST_TEST(index == 1U);
  BOOST_TEST(told == error_code(asio::error::timed_out));
}

BOOST_AUTO_TEST_CASE(runs_its_steps_on_the_goroutines_strand) {
  asio::io_context io;
  std::atomic<int> inside = 0;
  std::atomic<bool> beside = false;
  sluice::go(io, [&]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    asio::steady_timer timer(io);
    for (std::size_t i = 0; i < rounds(1000); ++i) {
      asio::post(ex, [&] {
        if (++inside != 1) beside = true;
        --inside;
      });
      timer.expires_after(0ms);
      co_await async_old_wait(timer, sluice::use_task);
      if (++inside != 1) beside = true;
      --inside;
    }
  });
  run(io, 4);
  BOOST_TEST(!beside);
}

BOOST_AUTO_TEST_CASE(takes_any_other_token_on_the_executor_of_its_object) {
  asio::io_context io;
  asio::thread_pool other(1);
  asio::steady_timer timer(io, 1ms);
  int calls = 0;
  std::thread::id where;
  auto op = async_old_wait(timer, sluice::use_task);
  std::move(op)([&](error_code e) { calls += e ? 100 : 1; });
  auto there = async_old_wait(timer, sluice::use_task);
  std::move(there)(
      asio::bind_executor(other, [&](error_code) { where = std::this_thread::get_id(); }));
  run(io);
  other.join();
  BOOST_TEST(calls == 1);
  BOOST_TEST((where != std::thread::id() && where != std::this_thread::get_id()));
}

BOOST_AUTO_TEST_CASE(gives_its_memory_back_before_the_handler_is_called) {
  asio::io_context io;
  asio::steady_timer timer(io, 1ms);
  memory_account account;
  long held_inside = -1;
  const counting_allocator<char> memory(account);
  async_old_wait(timer, sluice::use_task)(
      asio::bind_allocator(memory, [&](error_code) { held_inside = account.bytes; }));
  BOOST_TEST(account.allocations >= 1U);
  run(io);
  BOOST_TEST(held_inside == 0);
  BOOST_TEST(account.bytes == 0);
}

BOOST_AUTO_TEST_CASE(throws_what_its_initiation_throws) {
  std::string told;
  run_task([&]() -> task<> {
    try {
      co_await async_old_throw(sluice::use_task);
    } catch (const std::runtime_error& e) {
      told = e.what();
    }
  });
  BOOST_TEST(contains(told, "initiation"));
}

BOOST_AUTO_TEST_CASE(ends_its_goroutine_if_the_handler_is_dropped_and_is_inert_if_it_is_kept) {
  std::atomic<int> alive = 0;
  std::shared_ptr<void> kept;
  {
    asio::io_context io;
    const auto wait = [&alive](std::shared_ptr<void>* to) -> task<> {
      const witness here(alive);
      co_await async_old_keep(to, sluice::use_task);
    };
    sluice::go(io, wait(nullptr));
    sluice::go(io, wait(&kept));
    io.poll();
    BOOST_TEST(alive == 1);
  }
  BOOST_TEST(alive == 0);
  kept.reset();
}

BOOST_AUTO_TEST_CASE(stands_within_the_adapters_of_tokens) {
  asio::io_context io;
  asio::steady_timer timer(io, 1h);
  memory_account account;
  const counting_allocator<char> memory(account);
  asio::cancellation_signal signal;
  error_code redirected;
  error_code told;
  int appended = 0;
  sluice::go(io, [&]() -> task<> {
    co_await timer.async_wait(asio::redirect_error(sluice::use_task, redirected));
    timer.expires_after(1h);
    co_await timer.async_wait(
        asio::bind_cancellation_slot(signal.slot(), asio::redirect_error(sluice::use_task, told)));
    timer.expires_after(1ms);
    co_await timer.async_wait(asio::bind_allocator(memory, sluice::use_task));
    appended = co_await timer.async_wait(asio::append(sluice::use_task, 5));
  });
  poll(io);
  timer.cancel();
  poll(io);
  signal.emit(asio::cancellation_type::terminal);
  run(io);
  BOOST_TEST(redirected == aborted);
  BOOST_TEST(told == aborted);
  BOOST_TEST(appended == 5);
  BOOST_TEST(account.allocations >= 1U);
  BOOST_TEST(account.bytes == 0);
}

BOOST_AUTO_TEST_SUITE_END()
