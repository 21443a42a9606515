#include "../../examples/http_server/service.hpp"

#include <sluice/testing.hpp>

#include "support.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/test/unit_test.hpp>

#include <optional>
#include <set>
#include <stdexcept>

// The HTTP server of the examples and its clients, in virtual time over connections in memory: its
// limits take no time, and each is tried with many seeds.

namespace {

using namespace sluice_test;
using sluice::testing::explore;
using sluice::testing::network;
using sluice::testing::network_options;
using sluice::testing::simulation;
using sluice::testing::stream;

constexpr auto as_result = asio::as_tuple(sluice::use_task);

/// The server, as its `main` has it.
class http_server {
 public:
  http_server(simulation& sim, network& net, const http_limits& limits = {}, std::size_t most = 100)
      : listening_(net.listen("server")), service_(sim, limits) {
    sluice::serve_options options;
    options.max_connections = most;
    const auto serve_one = [this](stream s, sluice::server_connection c) {
      return service_.serve(std::move(s), std::move(c));
    };
    sluice::serve(listening_, options, serve_one,
                  http_service<stream>::refuse)(asio::bind_cancellation_slot(
        stop_.slot(), [this, &sim](sluice::error_code, sluice::serve_result result) {
          service_.stop()(asio::bind_executor(sim.get_executor(), asio::detached));
          ended_ = result;
        }));
  }

  void stop() { stop_.emit(asio::cancellation_type::terminal); }
  [[nodiscard]] const std::optional<sluice::serve_result>& ended() const { return ended_; }
  [[nodiscard]] std::size_t requests() const { return service_.requests(); }

 private:
  sluice::testing::acceptor listening_;
  http_service<stream> service_;
  asio::cancellation_signal stop_;
  std::optional<sluice::serve_result> ended_;
};

class client {
 public:
  explicit client(stream s) : stream_(std::move(s)) {}

  sluice::task<> send(std::string text) {
    co_await asio::async_write(stream_, asio::buffer(text), sluice::use_task);
  }
  sluice::task<response> receive() {
    response r;
    co_await http::async_read(stream_, buffer_, r, sluice::use_task);
    co_return r;
  }
  sluice::task<response> get(std::string path) {
    co_await send("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n");
    co_return co_await receive();
  }
  /// Whether the server has closed the connection, and has said nothing more.
  sluice::task<bool> is_closed() {
    char byte = 0;
    const auto [e, n] = co_await stream_.async_read_some(asio::buffer(&byte, 1), as_result);
    co_return e == asio::error::eof;
  }
  void close() { stream_.close(); }

 private:
  stream stream_;
  beast::flat_buffer buffer_;
};

sluice::task<client> connect(network& net) {
  co_return client(co_await net.connect("client", "server"));
}

void require(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

/// Stops it, and waits for its end.
sluice::task<> end(http_server& server) {
  server.stop();
  co_await sluice::testing::advance(1min);
  require(server.ended().has_value(), "the server has not ended");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(the_http_server_in_virtual_time)

BOOST_AUTO_TEST_CASE(answers_one_request_after_another_whatever_the_seed) {
  explore({.seeds = rounds(100)}, [](simulation& sim) -> sluice::task<> {
    network net(sim);
    http_server server(sim, net);
    auto c = co_await connect(net);
    const auto hello = co_await c.get("/");
    require(hello.body() == "hello\n", "no hello");
    co_await c.send(
        "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc"
        "GET /none HTTP/1.1\r\nHost: test\r\n\r\n");
    const auto echoed = co_await c.receive();
    require(echoed.body() == "abc", "no echo");
    const auto none = co_await c.receive();
    require(none.result() == http::status::not_found, "found");
    c.close();
    co_await end(server);
    require(server.requests() == 3, "not three requests");
    require(server.ended()->served == 1 && server.ended()->cut_off == 0, "not one connection");
  });
}

BOOST_AUTO_TEST_CASE(closes_an_idle_connection_after_an_hour_and_not_before) {
  explore({.seeds = rounds(50)}, [](simulation& sim) -> sluice::task<> {
    network net(sim);
    http_server server(sim, net, {.idle = 1h});
    auto c = co_await connect(net);
    static_cast<void>(co_await c.get("/"));
    co_await sluice::sleep_for(59min);
    static_cast<void>(co_await c.get("/"));
    const auto begin = sluice::now();
    require(co_await c.is_closed(), "the connection is open");
    const auto waited = sluice::now() - begin;
    require(waited >= 1h - 1s && waited <= 1h + 1s, "not after an hour");
    co_await end(server);
  });
}

BOOST_AUTO_TEST_CASE(gives_up_on_a_request_that_arrives_too_slowly) {
  explore({.seeds = rounds(50)}, [](simulation& sim) -> sluice::task<> {
    network net(sim);
    http_server server(sim, net);
    auto c = co_await connect(net);
    const auto begin = sluice::now();
    for (const std::string part : {"GET / ", "HTTP/1.1\r\n", "Host: "}) {
      co_await c.send(part);
      co_await sluice::sleep_for(1500ms);
    }
    const auto refused = co_await c.receive();
    require(refused.result() == http::status::request_timeout, "another status");
    require(sluice::now() - begin >= 5s && sluice::now() - begin < 6s, "not after five seconds");
    require(co_await c.is_closed(), "the connection is open");
    c.close();
    co_await end(server);
  });
}

BOOST_AUTO_TEST_CASE(refuses_slow_work_that_no_worker_can_do_and_ends_that_of_a_client_that_left) {
  explore({.seeds = rounds(100)}, [](simulation& sim) -> sluice::task<> {
    network net(sim);
    http_server server(sim, net, {.workers = 1, .queue = 0});
    auto first = co_await connect(net);
    auto second = co_await connect(net);
    co_await first.send("GET /slow/60000 HTTP/1.1\r\nHost: test\r\n\r\n");
    co_await sluice::sleep_for(1s);
    const auto busy = co_await second.get("/slow/1");
    require(busy.result() == http::status::service_unavailable, "the worker is not busy");
    first.close();
    co_await sluice::sleep_for(2s);  // it is missed half a second after it has left
    const auto done = co_await second.get("/slow/10");
    require(done.body() == "took 10 ms\n", "the worker is still busy");
    second.close();
    co_await end(server);
  });
}

BOOST_AUTO_TEST_CASE(tells_a_connection_that_is_one_too_many) {
  explore({.seeds = rounds(50)}, [](simulation& sim) -> sluice::task<> {
    network net(sim, {.short_operations = false});  // it is told in one piece, or not at all
    http_server server(sim, net, {}, 1);
    auto first = co_await connect(net);
    static_cast<void>(co_await first.get("/"));
    auto second = co_await connect(net);
    const auto refused = co_await second.receive();
    require(refused.result() == http::status::service_unavailable, "not refused");
    first.close();
    second.close();
    co_await end(server);
    require(server.ended()->refused == 1 && server.ended()->served == 1, "other counts");
  });
}

BOOST_AUTO_TEST_CASE(answers_what_it_has_begun_when_it_stops_and_cuts_off_what_takes_too_long) {
  explore({.seeds = rounds(100)}, [](simulation& sim) -> sluice::task<> {
    network net(sim);
    http_server server(sim, net);
    auto idle = co_await connect(net);
    static_cast<void>(co_await idle.get("/"));
    auto busy = co_await connect(net);
    co_await busy.send("GET /slow/5000 HTTP/1.1\r\nHost: test\r\n\r\n");
    auto endless = co_await connect(net);
    co_await endless.send("GET /slow/60000 HTTP/1.1\r\nHost: test\r\n\r\n");
    co_await sluice::sleep_for(1s);
    const auto begin = sluice::now();
    server.stop();
    require(co_await idle.is_closed(), "the idle connection is open");
    require(sluice::now() - begin < 1s, "the idle connection was open for long");
    const auto answer = co_await busy.receive();
    require(answer.body() == "took 5000 ms\n" && !answer.keep_alive(), "not answered");
    require(co_await endless.is_closed(), "not cut off");
    require(sluice::now() - begin >= 10s && sluice::now() - begin < 11s, "not after ten seconds");
    busy.close();
    co_await sluice::testing::advance(1min);
    require(server.ended()->served == 3 && server.ended()->cut_off == 1, "other counts");
  });
}

// Whatever the network does: each client ends, each answer is whole, and the server ends with
// nobody left.
BOOST_AUTO_TEST_CASE(outlives_partitions_and_broken_connections) {
  std::set<std::string> ends;
  explore({.seeds = rounds(200)}, [&ends](simulation& sim) -> sluice::task<> {
    network net(sim, {.most_latency = 500ms, .resets_one_of = 15});
    http_server server(sim, net);
    const auto repeat = [&]() -> sluice::task<> {
      std::string how = "all";
      try {
        auto c = co_await connect(net);
        for (int i = 0; i != 4; ++i) {
          const auto r = co_await sluice::timeout(
              sluice::go(sim, c.get(i == 2 ? "/slow/300" : "/"), asio::deferred), 90s);
          // A request of which a part arrives half a minute later is refused.
          if (r.result() == http::status::request_timeout) break;
          require(r.body() == (i == 2 ? "took 300 ms\n" : "hello\n"), "another answer");
        }
      } catch (const sluice::system_error& x) {
        how = x.code().message();
      }
      ends.insert(how);
    };
    sluice::wait_group clients;
    for (int i = 0; i != 3; ++i) clients.go(repeat);
    co_await sluice::sleep_for(700ms);
    net.partition("client", "server");
    co_await sluice::sleep_for(30s);
    net.repair("client", "server");
    co_await clients.wait();
    co_await end(server);
  });
  BOOST_TEST(ends.contains("all"));
  BOOST_TEST(ends.contains(sluice::error_code(asio::error::connection_reset).message()));
}

BOOST_AUTO_TEST_SUITE_END()
