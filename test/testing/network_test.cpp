#include <sluice/testing/network.hpp>

#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/sleep.hpp>
#include <sluice/testing/explore.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>
#include <sluice/wait_group.hpp>

#include "support.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

// Connections in memory between hosts of a simulation.

namespace {

using namespace sluice_test;
namespace http = boost::beast::http;
using sluice::testing::acceptor;
using sluice::testing::explore;
using sluice::testing::network;
using sluice::testing::network_options;
using sluice::testing::simulation;
using sluice::testing::stream;

constexpr auto as_result = boost::asio::as_tuple(sluice::use_task);

/// Sends back what comes until the other end closes.
task<> echo(stream s) {
  std::string some(100, ' ');
  for (;;) {
    const auto [e, n] = co_await s.async_read_some(boost::asio::buffer(some), as_result);
    if (e) co_return;
    const auto [failed, written] =
        co_await boost::asio::async_write(s, boost::asio::buffer(some.data(), n), as_result);
    if (failed) co_return;
  }
}

task<> serve(acceptor& listening) {
  for (;;) {
    auto s = co_await listening.accept();
    sluice::go(echo, std::move(s));
  }
}

/// An acceptor whose connections are echoed until its host is left.
class echo_server {
 public:
  explicit echo_server(network& net)
      : listening_(net.listen("server")),
        serving_(sluice::with_cancel(sluice::context::background())) {
    sluice::go(serving_.ctx, [this]() -> task<> { co_await serve(listening_); });
  }
  void stop() { serving_.cancel(); }

 private:
  acceptor listening_;
  sluice::cancellable_context serving_;
};

task<std::string> exchange(stream& s, std::string text) {
  co_await boost::asio::async_write(s, boost::asio::buffer(text), sluice::use_task);
  std::string answer(text.size(), ' ');
  co_await boost::asio::async_read(s, boost::asio::buffer(answer), sluice::use_task);
  co_return answer;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_connection_in_memory)

BOOST_AUTO_TEST_CASE(carries_all_bytes_in_order_whatever_the_seed) {
  explore({.seeds = rounds(200)}, [](simulation& sim) -> task<> {
    network net(sim);
    echo_server server(net);
    auto s = co_await net.connect("client", "server");
    std::string text(3000, ' ');
    for (std::size_t i = 0; i != text.size(); ++i) text[i] = static_cast<char>('a' + i % 26);
    const std::string answer = co_await exchange(s, text);
    if (answer != text) throw std::logic_error("other bytes");
    s.close();
    co_await sluice::testing::advance(1s);
    server.stop();
  });
}

BOOST_AUTO_TEST_CASE(takes_the_time_that_it_is_told_to) {
  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim, {.least_latency = 40ms, .most_latency = 40ms, .short_operations = false});
    echo_server server(net);
    const auto begin = sluice::now();
    auto s = co_await net.connect("client", "server");
    BOOST_TEST((sluice::now() - begin == 80ms));
    BOOST_TEST(co_await exchange(s, "hello") == "hello");
    BOOST_TEST((sluice::now() - begin == 160ms));
    s.close();
    co_await sluice::testing::advance(1s);
    server.stop();
  });
}

BOOST_AUTO_TEST_CASE(carries_beast_and_its_messages) {
  explore({.seeds = rounds(50)}, [](simulation& sim) -> task<> {
    network net(sim);
    auto listening = net.listen("server");
    const auto answer_one = [](acceptor& from) -> task<> {
      auto s = co_await from.accept();
      boost::beast::flat_buffer buffer;
      http::request<http::string_body> request;
      co_await http::async_read(s, buffer, request, sluice::use_task);
      http::response<http::string_body> response(http::status::ok, request.version());
      response.body() = "you said " + request.body();
      response.prepare_payload();
      co_await http::async_write(s, response, sluice::use_task);
    };
    sluice::go(answer_one, std::ref(listening));

    auto s = co_await net.connect("client", "server");
    http::request<http::string_body> request(http::verb::post, "/", 11);
    request.body() = std::string(5000, 'x');
    request.prepare_payload();
    co_await http::async_write(s, request, sluice::use_task);
    boost::beast::flat_buffer buffer;
    http::response<http::string_body> response;
    co_await http::async_read(s, buffer, response, sluice::use_task);
    if (response.body() != "you said " + request.body()) throw std::logic_error("another answer");
  });
}

BOOST_AUTO_TEST_CASE(closes_the_connection_in_whose_place_another_is_put) {
  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim, {.least_latency = 1ms, .most_latency = 1ms});
    acceptor listening = net.listen("server");
    BOOST_TEST(listening.is_open());
    auto first = co_await net.connect("client", "server");
    auto second = co_await net.connect("client", "server");
    auto at_server = co_await listening.accept();
    first = std::move(second);
    BOOST_TEST(!second.is_open());
    char byte = 0;
    sluice::error_code e;
    co_await at_server.async_read_some(boost::asio::buffer(&byte, 1),
                                       boost::asio::redirect_error(sluice::use_task, e));
    BOOST_TEST(e == boost::asio::error::eof);

    first.lowest_layer().non_blocking(true);
    e = boost::asio::error::eof;
    first.cancel(e);
    BOOST_TEST(!e);
    BOOST_TEST(first.is_open());
    e = boost::asio::error::eof;
    listening.close(e);
    BOOST_TEST(!e);
    BOOST_TEST(!listening.is_open());
  });
}

BOOST_AUTO_TEST_CASE(serves_asios_own_coroutines) {
  simulation sim;
  std::string received;
  sim.run([&]() -> task<> {
    network net(sim);
    echo_server server(net);
    auto s = co_await net.connect("client", "server");
    const auto talk = [](stream& on, std::string& answer) -> boost::asio::awaitable<void> {
      co_await boost::asio::async_write(on, boost::asio::buffer("a line\n", 7),
                                        boost::asio::use_awaitable);
      co_await boost::asio::async_read_until(on, boost::asio::dynamic_buffer(answer), '\n',
                                             boost::asio::use_awaitable);
    };
    co_await talk(s, received);
    s.close();
    co_await sluice::testing::advance(1s);
    server.stop();
  });
  BOOST_TEST(received == "a line\n");
}

BOOST_AUTO_TEST_CASE(ends_for_the_other_side_when_it_is_closed_or_shut_down) {
  explore({.seeds = rounds(100)}, [](simulation& sim) -> task<> {
    network net(sim);
    auto listening = net.listen("server");
    auto here = co_await net.connect("client", "server");
    auto there = co_await listening.accept();
    co_await boost::asio::async_write(here, boost::asio::buffer("last", 4), sluice::use_task);
    here.shutdown(stream::shutdown_send);
    std::string all;
    const auto [e, n] =
        co_await boost::asio::async_read(there, boost::asio::dynamic_buffer(all), as_result);
    if (e != boost::asio::error::eof || all != "last") throw std::logic_error("no eof: " + all);
    // The other direction is still open.
    co_await boost::asio::async_write(there, boost::asio::buffer("answer", 6), sluice::use_task);
    std::string answer(6, ' ');
    co_await boost::asio::async_read(here, boost::asio::buffer(answer), sluice::use_task);
    here.close();
    const auto [refused, none] =
        co_await there.async_write_some(boost::asio::buffer("more", 4), as_result);
    if (refused != boost::asio::error::broken_pipe) throw std::logic_error(refused.message());
    const auto [closed, nothing] =
        co_await here.async_read_some(boost::asio::buffer(answer), as_result);
    if (closed != boost::asio::error::bad_descriptor) throw std::logic_error(closed.message());
  });
}

BOOST_AUTO_TEST_CASE(holds_its_writer_when_nobody_reads) {
  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim, {.short_operations = false});
    auto listening = net.listen("server");
    auto here = co_await net.connect("client", "server");
    auto there = co_await listening.accept();
    const std::string much(200'000, 'x');
    const auto [e, n] = co_await sluice::timeout(
        boost::asio::async_write(here, boost::asio::buffer(much), as_result), 1s);
    BOOST_TEST((e == boost::asio::error::timed_out || e == boost::asio::error::operation_aborted));
    BOOST_TEST(n == 65536U);
    std::string all(65536, ' ');
    co_await boost::asio::async_read(there, boost::asio::buffer(all), sluice::use_task);
    co_await here.async_write_some(boost::asio::buffer(much), sluice::use_task);
  });
}

BOOST_AUTO_TEST_CASE(is_cancelled_by_close_cancel_and_a_slot) {
  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim);
    auto listening = net.listen("server");
    auto here = co_await net.connect("client", "server");
    auto there = co_await listening.accept();
    char byte = 0;
    int aborted = 0;
    const auto count = [&](sluice::error_code e, std::size_t n) {
      if (e == boost::asio::error::operation_aborted && n == 0) ++aborted;
    };
    here.async_read_some(boost::asio::buffer(&byte, 1), count);
    co_await sluice::testing::settle();
    here.cancel();
    co_await sluice::testing::settle();
    BOOST_TEST(aborted == 1);

    boost::asio::cancellation_signal signal;
    here.async_read_some(boost::asio::buffer(&byte, 1),
                         boost::asio::bind_cancellation_slot(signal.slot(), count));
    co_await sluice::testing::settle();
    signal.emit(boost::asio::cancellation_type::total);
    co_await sluice::testing::settle();
    BOOST_TEST(aborted == 2);

    here.async_read_some(boost::asio::buffer(&byte, 1), count);
    co_await sluice::testing::settle();
    here.close();
    co_await sluice::testing::settle();
    BOOST_TEST(aborted == 3);

    // What was not read is there for the next.
    auto next = co_await net.connect("client", "server");
    auto peer = co_await listening.accept();
    const auto begin = sluice::now();
    const auto [late, none] = co_await sluice::timeout(
        next.async_read_some(boost::asio::buffer(&byte, 1), as_result), 1s);
    BOOST_TEST((late == boost::asio::error::timed_out));
    BOOST_TEST(none == 0U);
    BOOST_TEST((sluice::now() - begin == 1s));
    co_await peer.async_write_some(boost::asio::buffer("z", 1), sluice::use_task);
    co_await next.async_read_some(boost::asio::buffer(&byte, 1), sluice::use_task);
    BOOST_TEST(byte == 'z');
  });
}

BOOST_AUTO_TEST_CASE(breaks_by_the_seed_or_when_it_is_told_to) {
  std::set<std::string> ends;
  explore({.seeds = rounds(300)}, [&](simulation& sim) -> task<> {
    network net(sim, {.resets_one_of = 20});
    echo_server server(net);
    auto s = co_await net.connect("client", "server");
    std::string end = "all";
    try {
      for (int i = 0; i != 5; ++i) static_cast<void>(co_await exchange(s, "hello"));
    } catch (const sluice::system_error& x) {
      end = x.code() == boost::asio::error::connection_reset ? "reset" : x.code().message();
    }
    ends.insert(end);
    s.close();
    co_await sluice::testing::advance(1s);
    server.stop();
  });
  BOOST_TEST(ends == std::set<std::string>({"all", "reset"}));

  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim);
    auto listening = net.listen("server");
    auto here = co_await net.connect("client", "server");
    auto there = co_await listening.accept();
    net.reset("server", "client");
    char byte = 0;
    for (stream* end : {&here, &there}) {
      const auto [e, n] = co_await end->async_read_some(boost::asio::buffer(&byte, 1), as_result);
      BOOST_TEST((e == boost::asio::error::connection_reset));
    }
  });
}

BOOST_AUTO_TEST_CASE(is_read_and_written_without_a_wait) {
  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim, {.least_latency = 10ms, .most_latency = 10ms, .short_operations = false});
    auto listening = net.listen("server");
    auto here = co_await net.connect("client", "server");
    auto there = co_await listening.accept();
    sluice::error_code e;
    here.non_blocking(true, e);
    BOOST_TEST(!e);
    here.set_option(boost::asio::ip::tcp::no_delay(true), e);
    BOOST_TEST(!e);
    std::string text(8, ' ');
    BOOST_TEST(there.read_some(boost::asio::buffer(text), e) == 0U);
    BOOST_TEST((e == boost::asio::error::would_block));
    BOOST_TEST(here.write_some(boost::asio::buffer("hello", 5), e) == 5U);
    BOOST_TEST(!e);
    BOOST_TEST(there.available(e) == 0U);
    co_await sluice::sleep_for(10ms);
    BOOST_TEST(there.available(e) == 5U);
    BOOST_TEST(there.read_some(boost::asio::buffer(text), e) == 5U);
    BOOST_TEST(!e);
    BOOST_TEST(text.substr(0, 5) == "hello");

    const std::string much(100'000, 'x');
    BOOST_TEST(here.write_some(boost::asio::buffer(much), e) == 65536U);
    BOOST_TEST(here.write_some(boost::asio::buffer(much), e) == 0U);
    BOOST_TEST((e == boost::asio::error::would_block));
    here.close(e);
    BOOST_TEST(!e);
    BOOST_TEST(here.write_some(boost::asio::buffer(much), e) == 0U);
    BOOST_TEST((e == boost::asio::error::bad_descriptor));
    BOOST_CHECK_THROW(here.shutdown(stream::shutdown_both), sluice::system_error);
  });
}

BOOST_AUTO_TEST_CASE(is_waited_for_beside_a_read_and_a_write) {
  explore({.seeds = rounds(200)}, [](simulation& sim) -> task<> {
    network net(sim);
    auto listening = net.listen("server");
    auto here = co_await net.connect("client", "server");
    auto there = co_await listening.accept();
    // One byte wakes who waits and who reads.
    int readable = 0;
    here.async_wait(stream::wait_read, [&](sluice::error_code e) { readable += e ? 100 : 1; });
    char byte = 0;
    int read = 0;
    here.async_read_some(boost::asio::buffer(&byte, 1),
                         [&](sluice::error_code, std::size_t n) { read += static_cast<int>(n); });
    co_await sluice::testing::settle();
    if (readable + read != 0) throw std::logic_error("nothing has been written");
    co_await boost::asio::async_write(there, boost::asio::buffer("ab", 2), sluice::use_task);
    co_await sluice::testing::advance(1s);
    if (readable != 1 || read != 1) throw std::logic_error("one of the two was not told");

    co_await here.async_wait(stream::wait_write, sluice::use_task);
    // Cancelled, both end.
    co_await here.async_read_some(boost::asio::buffer(&byte, 1), sluice::use_task);
    here.async_wait(stream::wait_read, [&](sluice::error_code e) { readable += e ? 100 : 1; });
    const auto broken = [&](sluice::error_code e) { readable += e ? 1000 : 10'000; };
    there.async_wait(stream::wait_error, broken);
    here.async_read_some(boost::asio::buffer(&byte, 1),
                         [&](sluice::error_code e, std::size_t) { read += e ? 100 : 1; });
    co_await sluice::testing::settle();
    here.cancel();
    co_await sluice::testing::settle();
    if (readable != 101 || read != 101) throw std::logic_error("one was not cancelled");
    here.reset();
    co_await sluice::testing::settle();
    if (readable != 10'101) throw std::logic_error("the broken connection was not seen");
  });
}

BOOST_AUTO_TEST_CASE(is_watched_for_its_end_while_what_has_arrived_is_left_unread) {
  explore({.seeds = rounds(200)}, [](simulation& sim) -> task<> {
    network net(sim);
    auto listening = net.listen("server");
    auto here = co_await net.connect("client", "server");
    auto there = co_await listening.accept();
    std::optional<sluice::error_code> watched;
    here.async_wait(stream::wait_error, [&](sluice::error_code e) { watched = e; });
    co_await sluice::testing::settle();
    char byte = 0;
    std::size_t read = 0;
    here.async_read_some(boost::asio::buffer(&byte, 1),
                         [&](sluice::error_code, std::size_t n) { read = n; });
    co_await boost::asio::async_write(there, boost::asio::buffer("ab", 2), sluice::use_task);
    co_await sluice::testing::advance(1s);
    if (read != 1) throw std::logic_error("the one that reads was not told");
    if (watched) throw std::logic_error("the connection is not broken");
    there.reset();
    co_await sluice::testing::settle();
    if (!watched || *watched) throw std::logic_error("the broken connection was not seen");
  });
}

BOOST_AUTO_TEST_CASE(that_receives_no_more_reads_its_end_and_refuses_what_is_written) {
  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim);
    auto listening = net.listen("server");
    auto here = co_await net.connect("client", "server");
    auto there = co_await listening.accept();
    char byte = 0;
    std::optional<sluice::error_code> end;
    here.async_read_some(boost::asio::buffer(&byte, 1),
                         [&](sluice::error_code e, std::size_t) { end = e; });
    co_await sluice::testing::settle();
    here.shutdown(stream::shutdown_receive);
    co_await sluice::testing::settle();
    BOOST_TEST((end == boost::asio::error::eof));
    const auto [e, n] = co_await there.async_write_some(boost::asio::buffer(&byte, 1), as_result);
    BOOST_TEST((e == boost::asio::error::broken_pipe));
  });
}

BOOST_AUTO_TEST_CASE(is_waited_for_at_the_line_that_does) {
  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim);
    auto listening = net.listen("server");
    sluice::go([&]() -> task<> { static_cast<void>(co_await listening.accept()); });
    static_cast<void>(co_await net.connect("client", "server"));
    co_await sluice::testing::settle();
  });
  const std::string steps = sim.describe_steps();
  BOOST_TEST(steps.find("src/testing") == std::string::npos, steps);
  BOOST_TEST(steps.find("detail/testing") == std::string::npos, steps);
}

BOOST_AUTO_TEST_CASE(breaks_as_a_whole_when_a_write_breaks_it) {
  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim, {.resets_one_of = 1});
    auto listening = net.listen("server");
    auto here = co_await net.connect("client", "server");
    auto there = co_await listening.accept();
    int resets = 0;
    char bytes[2] = {};
    for (int i = 0; stream * end : {&here, &there})
      end->async_read_some(boost::asio::buffer(&bytes[i++], 1),
                           [&](sluice::error_code e, std::size_t) {
                             if (e == boost::asio::error::connection_reset) ++resets;
                           });
    sluice::error_code e;
    for (int tries = 0; !e && tries != 100; ++tries)
      co_await here.async_write_some(boost::asio::buffer("x", 1),
                                     boost::asio::redirect_error(sluice::use_task, e));
    co_await sluice::testing::settle();
    BOOST_TEST((e == boost::asio::error::connection_reset));
    BOOST_TEST(resets >= 1);  // the other end may have read a byte before
    const auto [broken, n] =
        co_await here.async_read_some(boost::asio::buffer(bytes, 1), as_result);
    BOOST_TEST((broken == boost::asio::error::connection_reset));
  });
}

BOOST_AUTO_TEST_CASE(that_was_moved_is_closed_where_it_was) {
  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim);
    auto listening = net.listen("server");
    auto here = co_await net.connect("client", "server");
    auto there = std::move(here);
    char byte = 0;
    const auto [e, n] = co_await here.async_read_some(boost::asio::buffer(&byte, 1), as_result);
    BOOST_TEST((e == boost::asio::error::bad_descriptor));
    const auto [refused, none] =
        co_await here.async_write_some(boost::asio::buffer(&byte, 1), as_result);
    BOOST_TEST((refused == boost::asio::error::bad_descriptor));
  });
}

BOOST_AUTO_TEST_CASE(may_outlive_its_simulation) {
  std::optional<stream> left;
  std::optional<acceptor> listening;
  {
    simulation sim;
    sim.run([&]() -> task<> {
      network net(sim);
      listening.emplace(net.listen("server"));
      left.emplace(co_await net.connect("client", "server"));
    });
  }
  left->shutdown(stream::shutdown_send);
  left.reset();
  listening.reset();
}

BOOST_AUTO_TEST_CASE(closed_between_two_runs_ends_when_that_arrives) {
  simulation sim;
  network net(sim, {.least_latency = 5s, .most_latency = 5s});
  std::optional<stream> here;
  std::optional<stream> there;
  sim.run([&]() -> task<> {
    auto listening = net.listen("server");
    here.emplace(co_await net.connect("client", "server"));
    there.emplace(co_await listening.accept());
  });
  here->close();
  sim.run([&]() -> task<> {
    const auto begin = sluice::now();
    char byte = 0;
    const auto [e, n] = co_await there->async_read_some(boost::asio::buffer(&byte, 1), as_result);
    BOOST_TEST((e == boost::asio::error::eof));
    BOOST_TEST((sluice::now() - begin == 5s));
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_network)

BOOST_AUTO_TEST_CASE(lets_a_server_come_back_at_once) {
  explore({.seeds = rounds(100)}, [](simulation& sim) -> task<> {
    network net(sim);
    std::optional<acceptor> listening(net.listen("server"));
    const auto accept_one = [&]() -> task<> { static_cast<void>(co_await listening->accept()); };
    const auto serving = sluice::with_cancel(sluice::context::background());
    sluice::go(serving.ctx, accept_one);
    const auto connect = [&]() -> task<> {
      try {
        static_cast<void>(co_await net.connect("client", "server"));
      } catch (const sluice::system_error&) {  // it has gone
      }
    };
    sluice::go(connect);
    co_await sluice::sleep_for(5ms);
    serving.cancel();
    listening.reset();
    listening.emplace(net.listen("server"));
    co_await sluice::testing::advance(1s);
  });
}

BOOST_AUTO_TEST_CASE(accepts_none_where_its_acceptor_was_moved_from) {
  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim);
    auto was_here = net.listen("server");
    auto listening = std::move(was_here);
    const auto [e, none] = co_await was_here.async_accept(as_result);
    BOOST_TEST((e == boost::asio::error::operation_aborted));
    BOOST_TEST(!none.is_open());
    static_cast<void>(co_await net.connect("client", "server"));
    static_cast<void>(co_await listening.accept());
  });
}

BOOST_AUTO_TEST_CASE(refuses_where_nobody_listens_and_a_name_that_is_taken) {
  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim);
    const auto refused = [](const sluice::system_error& x) {
      return x.code() == boost::asio::error::connection_refused;
    };
    BOOST_CHECK_EXCEPTION(co_await net.connect("client", "server"), sluice::system_error, refused);
    {
      const auto listening = net.listen("server");
      BOOST_CHECK_EXCEPTION(static_cast<void>(net.listen("server")), sluice::system_error,
                            [](const sluice::system_error& x) {
                              return x.code() == boost::asio::error::address_in_use;
                            });
    }
    BOOST_CHECK_EXCEPTION(co_await net.connect("client", "server"), sluice::system_error, refused);
  });
}

BOOST_AUTO_TEST_CASE(delivers_after_a_partition_what_was_written_before) {
  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim);
    echo_server server(net);
    auto s = co_await net.connect("client", "server");
    net.partition("client", "server");
    const auto begin = sluice::now();
    const auto repair = sluice::after_func(1h, [&] { net.repair("server", "client"); });
    BOOST_TEST(co_await exchange(s, "hello") == "hello");
    BOOST_TEST((sluice::now() - begin >= 1h));
    s.close();
    co_await sluice::testing::advance(1s);
    server.stop();
  });
}

BOOST_AUTO_TEST_CASE(gives_up_connecting_to_a_host_that_is_cut_off) {
  simulation sim;
  sim.run([&]() -> task<> {
    network net(sim);
    const auto listening = net.listen("server");
    net.partition("client", "server");
    const auto begin = sluice::now();
    BOOST_CHECK_EXCEPTION(
        co_await net.connect("client", "server"), sluice::system_error,
        [](const sluice::system_error& x) { return x.code() == boost::asio::error::timed_out; });
    BOOST_TEST((sluice::now() - begin >= 120s));

    const auto repair = sluice::after_func(10s, [&] { net.repair("client", "server"); });
    static_cast<void>(co_await net.connect("client", "server"));
  });
}

BOOST_AUTO_TEST_SUITE_END()
