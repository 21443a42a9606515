// `go` with a function and its arguments.

#include <sluice/go.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/task_group.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/wait_group.hpp>

#include "support.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

task<> greet(std::string name, sluice::sender<std::string> out) {
  co_await out.send("hello, " + name);
}

task<int> sum(int a, int b) {
  co_await sluice::this_goroutine::yield();
  co_return a + b;
}

struct counter {
  task<> add(int n) {
    co_await sluice::this_goroutine::yield();
    count += n;
  }
  int count = 0;
};

BOOST_AUTO_TEST_SUITE(go_with_arguments)

BOOST_AUTO_TEST_CASE(keeps_copies_until_the_goroutine_ends) {
  asio::io_context io;
  std::string told;
  {
    auto name = std::make_unique<std::string>("gopher");
    sluice::go(
        io,
        [](const std::string& n, std::string* to) -> task<> {
          for (int i = 0; i < 3; ++i) co_await sluice::this_goroutine::yield();
          *to = n;
        },
        *name, &told);
  }
  io.run();
  BOOST_TEST(told == "gopher");
}

BOOST_AUTO_TEST_CASE(converts_as_a_call_does) {
  asio::io_context io;
  auto ch = make_channel<std::string>(io, 1);
  sluice::go(io, greet, "gopher", ch);
  io.run();
  BOOST_TEST(*ch.try_receive() == "hello, gopher");
}

BOOST_AUTO_TEST_CASE(moves_what_can_only_be_moved) {
  asio::io_context io;
  int got = 0;
  sluice::go(
      io, [](std::unique_ptr<int> p, int* to) -> task<> { co_return void(*to = *p); },
      std::make_unique<int>(7), &got);
  io.run();
  BOOST_TEST(got == 7);
}

BOOST_AUTO_TEST_CASE(keeps_a_coroutine_lambda_with_its_captures) {
  asio::io_context io;
  std::string told;
  {
    const std::string word(100, 'x');
    sluice::go(
        io,
        [word](std::string* to) -> task<> {
          co_await sluice::this_goroutine::yield();
          *to = word;
        },
        &told);
  }
  io.run();
  BOOST_TEST(told == std::string(100, 'x'));
}

BOOST_AUTO_TEST_CASE(calls_members_of_a_copy_of_what_is_pointed_to_or_referred_to) {
  asio::io_context io;
  counter c;
  sluice::go(io, &counter::add, c, 100);
  sluice::go(io, &counter::add, &c, 1);
  sluice::go(io, &counter::add, std::ref(c), 2);
  io.run();
  BOOST_TEST(c.count == 3);
}

BOOST_AUTO_TEST_CASE(takes_six) {
  asio::io_context io;
  int got = 0;
  sluice::go(
      io, [](int& to, int a, int b, int c, int d, int e) { to = a + b + c + d + e; }, std::ref(got),
      1, 2, 3, 4, 5);
  io.run();
  BOOST_TEST(got == 15);
}

BOOST_AUTO_TEST_CASE(takes_the_last_for_a_token_if_the_function_cannot_be_called_with_it) {
  asio::io_context io;
  int told = 0;
  sluice::go(io, sum, 1, 2, [&](std::exception_ptr, int v) { told = v; });
  auto f = sluice::go(io, sum, 3, 4, asio::use_future);
  int arguments = 0;
  sluice::go(
      io, [&](auto&&... all) { arguments = static_cast<int>(sizeof...(all)); }, 1,
      [](std::exception_ptr) {});
  io.run();
  BOOST_TEST(told == 3);
  BOOST_TEST(f.get() == 7);
  BOOST_TEST(arguments == 2);
}

// A reference to another type is bound to what was made of the argument, which is kept as well.
BOOST_AUTO_TEST_CASE(that_is_converted_stays_until_the_goroutine_ends) {
  asio::io_context io;
  std::vector<std::string> heard;
  const auto by_reference = [&](const std::string& s, const std::string_view& v) -> task<> {
    co_await sluice::this_goroutine::yield();
    heard.push_back(s + ' ' + std::string(v));
  };
  {
    const std::string local = "a view of this, which is long enough to be on the heap";
    sluice::go(io, by_reference, "a literal that is long enough to be on the heap", local);
  }
  auto ch = make_channel<int>();
  const auto send = [](const sluice::sender<int>& out) -> task<> {
    co_await sluice::this_goroutine::yield();
    co_await out.send(1);
  };
  sluice::go(io, send, ch);
  int received = 0;
  sluice::go(io, [&]() -> task<> { received = *co_await ch.receive(); });
  struct worker {
    task<> note(const std::string& s) {
      co_await sluice::this_goroutine::yield();
      notes.push_back(s);
    }
    std::vector<std::string>& notes;
  } w{heard};
  sluice::go(io, &worker::note, &w, "a member function's, long enough to be on the heap");
  io.run();
  BOOST_TEST(received == 1);
  BOOST_TEST(heard == std::vector<std::string>(
                          {"a literal that is long enough to be on the heap a view of "
                           "this, which is long enough to be on the heap",
                           "a member function's, long enough to be on the heap"}),
             per_element());
}

struct called_once {
  int& sum;
  task<> operator()(int n, const std::string& s) && {
    sum += n + static_cast<int>(s.size());
    co_return;
  }
};

BOOST_AUTO_TEST_CASE(of_a_function_object_that_is_called_as_an_rvalue) {
  asio::io_context io;
  int sum = 0;
  sluice::go(io, called_once{sum}, 1, std::string("ab"));
  io.run();
  BOOST_TEST(sum == 3);
}

struct shape {
  virtual ~shape() = default;
  [[nodiscard]] virtual int corners() const { return 0; }
};
struct square : shape {
  [[nodiscard]] int corners() const override { return 4; }
};

BOOST_AUTO_TEST_CASE(of_a_derived_class_keeps_its_type_behind_a_reference) {
  asio::io_context io;
  int corners = 0;
  const auto count = [&](const shape& s) -> task<> {
    co_await sluice::this_goroutine::yield();
    corners = s.corners();
  };
  sluice::go(io, count, square());
  io.run();
  BOOST_TEST(corners == 4);
}

BOOST_AUTO_TEST_CASE(works_in_a_goroutine_in_groups_and_under_a_context) {
  asio::io_context io;
  std::vector<std::string> heard;
  sluice::go(io, [&]() -> task<> {
    auto ch = make_channel<std::string>();
    const auto hear = [&]() -> task<> { heard.push_back(*co_await ch.receive()); };
    sluice::go(greet, "a", ch);
    co_await hear();
    auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
    sluice::go(ctx, greet, "b", ch);
    co_await hear();
    sluice::go(ctx, io, greet, "c", ch);
    co_await hear();
    sluice::wait_group wg;
    wg.go(greet, "d", ch);
    co_await hear();
    wg.go(io, greet, "e", ch);
    co_await hear();
    co_await wg.wait();
    co_await sluice::with_task_group(ctx, [&](sluice::task_group& g) -> task<> {
      g.go(greet, "f", ch);
      co_await hear();
    });
    sluice::go(sluice::untracked(io), greet, "g", ch);
    co_await hear();
  });
  io.run();
  BOOST_TEST(heard.size() == 7u);
  BOOST_TEST(heard.back() == "hello, g");
}

BOOST_AUTO_TEST_CASE(under_a_context_ends_with_it) {
  asio::io_context io;
  auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  auto ch = make_channel<int>(io);
  bool told = false;
  const auto wait = [](sluice::receiver<int> from) -> task<> {
    static_cast<void>(co_await from.receive());
  };
  sluice::go(ctx, io, wait, ch, [&](std::exception_ptr e) { told = e != nullptr; });
  io.poll();
  cancel();
  io.run();
  BOOST_TEST(told);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
