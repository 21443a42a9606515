// A program that is built without exceptions: every error comes as an error_code.
#include <sluice.hpp>

#include <boost/asio.hpp>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <tuple>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;
namespace asio = boost::asio;

// As Boost asks for it: what would be thrown comes here, and is not to return.
void boost::throw_exception(const std::exception& e) {
  std::printf("would have thrown: %s\n", e.what());
  std::fflush(stdout);
  std::_Exit(3);
}
void boost::throw_exception(const std::exception& e, const boost::source_location&) {
  boost::throw_exception(e);
}

static int failures = 0;

static void check(bool right, const char* what) {
  std::printf("%s: %s\n", right ? "right" : "WRONG", what);
  if (!right) ++failures;
}

static constexpr auto in_tuple = asio::as_tuple(asio::deferred);

static sluice::task<> channels() {
  auto ch = sluice::make_channel<int>(1);
  auto [sent] = co_await ch.send(1)(in_tuple);
  check(!sent, "a value is sent");
  auto [received, value] = co_await ch.receive()(in_tuple);
  check(!received && value == 1, "and received");
  co_await ch.send(2);
  const auto plain = co_await ch.receive();
  check(plain == 2, "by a plain co_await, too");
  ch.close();
  auto [closed] = co_await ch.send(3)(in_tuple);
  check(closed == sluice::error::closed, "a closed channel says so");
  sluice::error_code e;
  check(!ch.try_send(4, e) && e == sluice::error::closed, "to who does not wait, too");
  const auto nothing = co_await ch.receive();
  check(!nothing, "and gives nothing");
}

static sluice::task<> selects() {
  auto a = sluice::make_channel<int>();
  auto b = sluice::make_channel<int>(1);
  static_cast<void>(co_await b.send(5));
  auto r = co_await sluice::select(a.receive(), b.receive());
  check(r.index() == 1 && r.get<1>() == 5, "a select takes the ready case");
  a.close();
  auto [e, which] = co_await sluice::select(a.send(1), sluice::sleep_for(1h))(in_tuple);
  check(e == sluice::error::closed, "and says the error of its case");
  sluice::error_code told;
  const auto note = [&](sluice::error_code of_send) { told = of_send; };
  co_await sluice::select(sluice::on(a.send(1), note), sluice::on(sluice::sleep_for(1h), [] {}));
  check(told == sluice::error::closed, "to a handler that takes it");
  asio::steady_timer never(co_await asio::this_coro::executor, 1h);
  auto both = co_await sluice::select(never.async_wait(asio::deferred), sluice::sleep_for(1ms));
  check(both.index() == 1, "beside an Asio operation, which is cancelled");
}

static sluice::task<> timeouts() {
  auto quiet = sluice::make_channel<int>();
  auto [e, value] = co_await sluice::timeout(quiet.receive(), 1ms)(in_tuple);
  check(e == asio::error::timed_out && !value, "a timeout");
  asio::steady_timer never(co_await asio::this_coro::executor, 1h);
  auto [late] = co_await sluice::timeout(never.async_wait(asio::deferred), 1ms)(in_tuple);
  check(late == asio::error::timed_out, "of an Asio operation");
  asio::steady_timer soon(co_await asio::this_coro::executor, 1ms);
  auto [in_time] = co_await sluice::timeout(soon.async_wait(asio::deferred), 1h)(in_tuple);
  check(!in_time, "that is in time");
}

static sluice::task<> contexts() {
  auto scope = sluice::with_timeout(sluice::context::background(), 1ms);
  auto quiet = sluice::make_channel<int>();
  sluice::wait_group all;
  int ended = 0;
  const auto waits = [&]() -> sluice::task<> {
    auto [e, value] = co_await quiet.receive()(in_tuple);
    if (e == sluice::error::deadline_exceeded) ++ended;
    auto [at_once] = co_await sluice::sleep_for(1h)(in_tuple);
    if (at_once == sluice::error::deadline_exceeded) ++ended;
    auto [none, which] = co_await sluice::select(quiet.receive(), sluice::sleep_for(1h))(in_tuple);
    if (none == sluice::error::deadline_exceeded) ++ended;
    auto [late, nothing] = co_await sluice::timeout(quiet.receive(), 1h)(in_tuple);
    if (late == sluice::error::deadline_exceeded) ++ended;
    all.done();
  };
  all.add(1);
  sluice::go(scope.ctx, waits);
  co_await all.wait();
  check(ended == 4, "every wait of a context's goroutine ends with it");
  co_await scope.ctx.done();
  check(scope.ctx.err() == sluice::error::deadline_exceeded, "and its error says why");
}

static sluice::task<> locks() {
  sluice::mutex m;
  int count = 0;
  sluice::wait_group all;
  for (int i = 0; i < 10; ++i)
    all.go([&]() -> sluice::task<> {
      const auto held = co_await m.lock();
      const int before = count;
      co_await sluice::this_goroutine::yield();
      count = before + 1;
    });
  co_await all.wait();
  check(count == 10, "a mutex");
  sluice::semaphore permits(2);
  const auto both = co_await permits.acquire(2);
  check(!permits.try_acquire(), "a semaphore");
  const std::vector<int> numbers{1, 2, 3};
  const auto twice = [](int i) -> sluice::task<int> { co_return 2 * i; };
  const auto doubled = co_await sluice::for_each(numbers, twice, sluice::limit(2));
  check(doubled == std::vector<int>{2, 4, 6}, "for_each");
  sluice::once first;
  int calls = 0;
  co_await first.call([&] { ++calls; });
  co_await first.call([&] { ++calls; });
  check(calls == 1, "once");
  const int blocking = co_await sluice::offload([] { return 7; });
  check(blocking == 7, "offload");
}

static sluice::task<> pools() {
  const auto square = [](int job) -> sluice::task<int> {
    co_await sluice::this_goroutine::yield();
    co_return job* job;
  };
  const auto where = co_await asio::this_coro::executor;
  sluice::worker_pool<int, int> pool(where, {.workers = 2}, square);
  auto [e, squared] = co_await pool.submit(3)(in_tuple);
  check(!e && squared == 9, "a pool does a job");
  const int again = co_await pool.submit(4);
  check(again == 16, "for a plain co_await, too");
  co_await pool.stop();
  auto [closed, none] = co_await pool.submit(5)(in_tuple);
  static_assert(std::is_same_v<decltype(closed), sluice::error_code>);
  check(closed == sluice::error::closed, "a closed one says so");
}

static sluice::task<> servers() {
  auto ex = co_await asio::this_coro::executor;
  asio::ip::tcp::acceptor acceptor(ex, {asio::ip::address_v4::loopback(), 0});
  const auto where = acceptor.local_endpoint();
  auto scope = sluice::with_cancel(sluice::context::background());
  sluice::serve_result served{};
  sluice::wait_group ended;
  const auto echo = [](asio::ip::tcp::socket s) -> sluice::task<> {
    char data[16];
    for (;;) {
      auto [e, n] = co_await s.async_read_some(asio::buffer(data), in_tuple);
      if (e) co_return;
      static_cast<void>(co_await asio::async_write(s, asio::buffer(data, n), in_tuple));
    }
  };
  const auto serving = [&]() -> sluice::task<> {
    sluice::serve_options options;
    options.max_connections = 1;
    options.grace = 0s;
    options.give_memory_back = true;
    auto [e, result] = co_await sluice::serve(acceptor, options, echo)(in_tuple);
    served = result;
    ended.done();
  };
  ended.add(1);
  sluice::go(scope.ctx, serving);
  asio::ip::tcp::socket client(ex);
  auto [connected] = co_await client.async_connect(where, in_tuple);
  static_cast<void>(co_await asio::async_write(client, asio::buffer("hello", 5), in_tuple));
  char answer[5];
  auto [read, n] = co_await asio::async_read(client, asio::buffer(answer), in_tuple);
  check(!connected && !read && n == 5, "a server answers");
  scope.cancel();
  co_await ended.wait();
  check(served.served == 1 && served.cut_off == 1, "and stops when it is told to");
}

int main(int argc, char**) {
  const int code = sluice::run([]() -> sluice::task<int> {
    co_await channels();
    co_await selects();
    co_await timeouts();
    co_await contexts();
    co_await locks();
    co_await pools();
    co_await servers();
    co_return failures;
  });
  if (argc > 1) {  // and without an error_code to say it in
    sluice::run([]() -> sluice::task<int> {
      auto ch = sluice::make_channel<int>();
      ch.close();
      co_await ch.send(1);
      co_return 0;
    });
  }
  std::printf("%d wrong\n", code);
  return code;
}
