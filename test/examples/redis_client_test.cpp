// The Redis client of the examples: goroutines that share it, and what they are told.
#include "../../examples/redis/client.hpp"
#include "../support.hpp"
#include "connection.hpp"
#include "redis_server.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

redis_options options_for(std::uint16_t port) {
  redis_options o;
  o.host = "localhost";
  o.port = port;
  return o;
}

/// Runs a test's goroutine with a client on several threads, and closes the client.
void with_client(const redis_options& options,
                 const std::function<sluice::task<>(redis_client)>& body) {
  const watchdog dog;
  const auto all = [&]() -> sluice::task<> {
    const auto redis = co_await redis_client::connect(options);
    co_await body(redis);
    redis.close();
  };
  sluice::run(all, 2);
}

/// What comes of a command.
sluice::task<error_code> error_of_command(redis_client redis, redis_command c,
                                          sluice::clock::duration limit = 60s) {
  try {
    co_await redis.command(std::move(c), limit);
  } catch (const sluice::system_error& e) {
    co_return e.code();
  }
  co_return no_error;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(redis_client_of_the_examples)

BOOST_AUTO_TEST_CASE(many_goroutines_share_one_connection_and_each_gets_its_own_reply) {
  redis_server server;
  const std::size_t goroutines = 100, n = rounds(100);
  std::atomic<std::size_t> wrong = 0;
  const auto ask = [&](redis_client redis, std::size_t id) -> sluice::task<> {
    for (std::size_t i = 0; i < n; ++i) {
      const std::string text = std::to_string(id) + '/' + std::to_string(i);
      const auto reply = co_await redis.command(redis_command("ECHO", text));
      if (reply.text() != text) ++wrong;
    }
  };
  with_client(options_for(server.port()), [&](redis_client redis) -> sluice::task<> {
    sluice::wait_group all;
    for (std::size_t id = 0; id < goroutines; ++id) all.go(ask(redis, id));
    co_await all.wait();
  });
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(server.ask({"INFO", "stats"}).text.find("total_connections_received:2\r") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_is_answered_more_than_once_is_refused) {
  redis_server server;
  with_client(options_for(server.port()), [](redis_client redis) -> sluice::task<> {
    for (const std::string name : {"SUBSCRIBE", "psubscribe", "SSubscribe", "monitor"}) {
      redis_command c(name, "news");
      const auto e = co_await error_of_command(redis, std::move(c));
      BOOST_TEST((e == asio::error::operation_not_supported), name);
    }
    BOOST_TEST((co_await redis.command(redis_command("ECHO", "still here"))).text() ==
               "still here");
  });
}

BOOST_AUTO_TEST_CASE(replies_are_what_redis_says_of_every_type) {
  redis_server server;
  with_client(options_for(server.port()), [&](redis_client redis) -> sluice::task<> {
    const std::string bytes("a\0\r\n", 4);
    const auto set = co_await redis.command(redis_command("SET", "key", bytes));
    const auto got = co_await redis.command(redis_command("GET", "key"));
    const auto none = co_await redis.command(redis_command("GET", "other"));
    const auto length = co_await redis.command(redis_command("STRLEN", "key"));
    const auto list = co_await redis.command(redis_command("MGET", "key", "other"));
    BOOST_TEST(set.text() == "OK");
    BOOST_TEST(got.text() == bytes);
    BOOST_TEST(none.is_nothing());
    BOOST_TEST(length.number() == 4);
    BOOST_TEST(list.size() == 2u);
    BOOST_TEST(list.at(0).text() == bytes);
    std::string said;
    try {
      co_await redis.command(redis_command("INCR", "key"));
    } catch (const redis_error& e) {
      said = e.what();
    }
    BOOST_TEST(said == "Redis says: ERR value is not an integer or out of range");
  });
}

BOOST_AUTO_TEST_CASE(a_wait_ends_with_its_time_or_its_context_and_the_next_reply_is_the_right_one) {
  redis_server server;
  with_client(options_for(server.port()), [&](redis_client redis) -> sluice::task<> {
    server.signal(SIGSTOP);
    const redis_command first("ECHO", "1");
    BOOST_TEST(co_await error_of_command(redis, first, 20ms) == asio::error::timed_out);

    const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
    const auto ended = sluice::make_channel<error_code>(1);
    const auto ask = [&]() -> sluice::task<> {
      const redis_command second("ECHO", "2");
      ended.try_send(co_await error_of_command(redis, second));
    };
    sluice::go(ctx, ask);
    co_await sluice::sleep_for(20ms);
    cancel();
    BOOST_TEST((*co_await ended.receive() == aborted));

    server.signal(SIGCONT);
    const auto reply = co_await redis.command(redis_command("ECHO", "3"));
    BOOST_TEST(reply.text() == "3");
  });
}

BOOST_AUTO_TEST_CASE(a_lost_connection_is_an_error_to_all_that_is_under_way_and_made_again) {
  redis_server server;
  with_client(options_for(server.port()), [&](redis_client redis) -> sluice::task<> {
    server.signal(SIGSTOP);
    std::vector<sluice::receiver<redis_answer>> answers;
    for (int i = 0; i < 100; ++i) answers.push_back(redis.send(redis_command("INCR", "n")));
    co_await sluice::sleep_for(20ms);
    server.kill();
    for (const auto& a : answers) {
      const auto answer = co_await a.receive();
      BOOST_TEST(answer->error() == asio::error::connection_aborted);
    }
    BOOST_TEST(co_await error_of_command(redis, redis_command("PING")) ==
               asio::error::not_connected);
    const auto insisted = sluice::make_channel<std::string>(1);
    const auto insist = [&]() -> sluice::task<> {
      const auto reply = co_await redis.insist(redis_command("ECHO", "at last"));
      insisted.try_send(reply.text());
    };
    sluice::go(insist);
    BOOST_REQUIRE(server.start());
    const auto text = co_await insisted.receive();
    BOOST_TEST(*text == "at last");
    co_await redis.connected().receive();
    BOOST_TEST(co_await error_of_command(redis, redis_command("PING")) == no_error);
  });
}

BOOST_AUTO_TEST_CASE(a_client_that_is_closed_says_so) {
  redis_server server;
  with_client(options_for(server.port()), [&](redis_client redis) -> sluice::task<> {
    server.signal(SIGSTOP);
    const auto answer = redis.send(redis_command("PING"));
    co_await sluice::sleep_for(20ms);
    redis.close();
    const auto ended = co_await answer.receive();
    BOOST_TEST(ended->error() == asio::error::connection_aborted);
    BOOST_TEST(co_await error_of_command(redis, redis_command("PING")) == asio::error::shut_down);
    BOOST_CHECK_EXCEPTION(co_await redis.insist(redis_command("PING")), sluice::system_error,
                          has_code(asio::error::shut_down));
    server.signal(SIGCONT);
  });
}

BOOST_AUTO_TEST_CASE(a_program_may_end_without_closing_it) {
  redis_server server;
  const auto all = [&]() -> sluice::task<> {
    const auto redis = co_await redis_client::connect(options_for(server.port()));
    static_cast<void>(redis.send(redis_command("PING")));
  };
  BOOST_CHECK_NO_THROW(sluice::run(all, 1));
}

BOOST_AUTO_TEST_SUITE_END()
