#include <sluice/serve.hpp>

#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>

#include "serve/helpers.hpp"
#include "unless_sanitized.hpp"

#include <boost/asio.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/test/unit_test.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

// Servers made with `serve`, and clients that are a part of the test.

namespace {

using namespace sluice_test;

/// Waits for nothing that comes.
sluice::task<> for_ever() {
  co_await sluice::sleep_for(24h);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(serve)

BOOST_AUTO_TEST_CASE(every_connection_has_a_goroutine_and_is_counted) {
  server_on_loopback s;
  int handled = 0;
  s.serve([&](tcp::socket socket) {
    ++handled;
    return until_closed(std::move(socket));
  });
  auto a = s.connect(), b = s.connect(), c = s.connect();
  s.run_until([&] { return handled == 3; });
  a.close(), b.close(), c.close();
  s.stop.emit(asio::cancellation_type::total);
  s.run_to_the_end();
  BOOST_TEST(!s.end.error);
  BOOST_TEST(s.end.result.served == 3u);
  BOOST_TEST(s.end.result.refused == 0u);
  BOOST_TEST(s.end.result.cut_off == 0u);
  BOOST_TEST(!s.acceptor.is_open());
}

BOOST_AUTO_TEST_CASE(one_too_many_waits_until_another_has_ended) {
  server_on_loopback s;
  s.options.max_connections = 2;
  int handled = 0;
  s.serve([&](tcp::socket socket, const sluice::context&) {
    ++handled;
    return until_closed(std::move(socket));
  });
  auto a = s.connect(), b = s.connect(), c = s.connect();
  s.run_until([&] { return handled == 2; });
  s.io.run_for(20ms);
  BOOST_TEST(handled == 2);
  a.close();
  s.run_until([&] { return handled == 3; });
  b.close(), c.close();
  s.stop.emit(asio::cancellation_type::terminal);
  s.run_to_the_end();
  BOOST_TEST(s.end.result.served == 3u);
}

BOOST_AUTO_TEST_CASE(one_too_many_is_refused_if_there_is_a_function_for_it) {
  server_on_loopback s;
  s.options.max_connections = 1;
  int handled = 0, refused = 0;
  s.serve(
      [&](tcp::socket socket) {
        ++handled;
        return until_closed(std::move(socket));
      },
      [&](tcp::socket socket) {
        ++refused;
        socket.write_some(asio::buffer("full", 4));
      });
  auto a = s.connect();
  s.run_until([&] { return handled == 1; });
  auto b = s.connect();
  s.run_until([&] { return refused == 1; });
  char text[8];
  error_code e;
  BOOST_TEST(asio::read(b, asio::buffer(text), e) == 4u);
  a.close();
  s.stop.emit(asio::cancellation_type::all);
  s.run_to_the_end();
  BOOST_TEST(s.end.result.served == 1u);
  BOOST_TEST(s.end.result.refused == 1u);
}

BOOST_AUTO_TEST_CASE(an_exception_ends_its_own_connection_and_is_reported) {
  server_on_loopback s;
  std::vector<std::string> reported;
  s.options.report = [&](std::exception_ptr e) { reported.push_back(sluice::describe(e)); };
  int handled = 0;
  s.serve([&](tcp::socket socket) -> sluice::task<> {
    if (++handled == 1) throw std::runtime_error("wrong");
    if (handled == 2) throw sluice::system_error(asio::error::eof, "x");
    co_await until_closed(std::move(socket));
  });
  auto a = s.connect(), b = s.connect(), c = s.connect();
  s.run_until([&] { return handled == 3; });
  c.close();
  s.stop.emit(asio::cancellation_type::total);
  s.run_to_the_end();
  BOOST_TEST(s.end.result.served == 3u);
  BOOST_REQUIRE(reported.size() == 2u);
  BOOST_TEST(reported[0] == "wrong");
  BOOST_TEST(reported[1] == "End of file");
}

BOOST_AUTO_TEST_CASE(without_a_function_a_failure_is_printed_but_not_the_end_of_a_stream) {
  const auto printed = [](const std::function<void()>& f) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), &std::fclose);
    BOOST_REQUIRE(file);
    const int errors = ::dup(STDERR_FILENO);
    ::dup2(::fileno(file.get()), STDERR_FILENO);
    f();
    ::dup2(errors, STDERR_FILENO);
    ::close(errors);
    std::rewind(file.get());
    char text[200];
    return std::string(text, std::fread(text, 1, sizeof text, file.get()));
  };
  server_on_loopback s;
  int handled = 0;
  s.serve([&](tcp::socket) -> sluice::task<> {
    if (++handled == 1) throw sluice::system_error(asio::error::eof, "x");
    throw std::runtime_error("wrong");
    co_return;
  });
  auto a = s.connect(), b = s.connect();
  const std::string text = printed([&] { s.run_until([&] { return handled == 2; }); });
  s.stop.emit(asio::cancellation_type::total);
  s.run_to_the_end();
  BOOST_TEST(text == "a connection has failed: wrong\n");
}

BOOST_AUTO_TEST_CASE(connections_that_do_not_end_in_time_are_cut_off) {
  server_on_loopback s;
  s.options.grace = 50ms;
  s.options.report = [](std::exception_ptr) { BOOST_ERROR("being cut off is no error"); };
  int handled = 0;
  bool told = false;
  s.serve([&](tcp::socket socket, sluice::server_connection c) -> sluice::task<> {
    const tcp::socket kept(std::move(socket));
    ++handled;
    co_await c.stopping().done();
    told = !c.ctx().err();
    co_await for_ever();
  });
  auto a = s.connect();
  s.run_until([&] { return handled == 1; });
  const auto began = sluice::clock::now();
  s.stop.emit(asio::cancellation_type::total);
  s.run_to_the_end();
  BOOST_TEST(told);
  BOOST_TEST((sluice::clock::now() - began >= 50ms));
  BOOST_TEST(s.end.result.cut_off == 1u);
}

BOOST_AUTO_TEST_CASE(a_second_request_cuts_off_at_once) {
  for (const bool by_signal : {false, true}) {
    server_on_loopback s;
    s.options.grace = 1h;
    s.options.signals = {SIGUSR1};
    bool told = false;
    int handled = 0;
    s.serve([&](tcp::socket socket, sluice::server_connection c) -> sluice::task<> {
      const tcp::socket kept(std::move(socket));
      ++handled;
      co_await c.stopping().done();
      told = true;
      co_await for_ever();
    });
    auto a = s.connect();
    s.run_until([&] { return handled == 1; });
    const auto ask = [&] {
      by_signal ? static_cast<void>(std::raise(SIGUSR1))
                : s.stop.emit(asio::cancellation_type::total);
    };
    ask();
    s.run_until([&] { return told; });
    s.io.run_for(20ms);
    BOOST_TEST(!s.end.complete);
    ask();
    s.run_to_the_end();
    BOOST_TEST(s.end.result.cut_off == 1u);
  }
}

// The order in which a program makes a server and tells the world: a signal may come at once.
BOOST_AUTO_TEST_CASE(a_signal_that_comes_before_anything_has_run_is_not_lost) {
  server_on_loopback s;
  s.options.signals = {SIGUSR1};
  s.serve([](tcp::socket socket) { return until_closed(std::move(socket)); });
  std::raise(SIGUSR1);
  s.run_to_the_end();
  BOOST_TEST(!s.end.error);
}

BOOST_AUTO_TEST_CASE(a_handler_without_a_coroutine_keeps_its_connection) {
  server_on_loopback s;
  std::optional<sluice::server_connection> kept;
  s.serve([&](tcp::socket, sluice::server_connection c) { kept.emplace(std::move(c)); });
  auto a = s.connect();
  s.run_until([&] { return kept.has_value(); });
  s.stop.emit(asio::cancellation_type::total);
  s.io.run_for(20ms);
  BOOST_TEST(!s.end.complete);
  BOOST_TEST(!!kept->stopping().err());
  kept.reset();
  s.io.restart();
  s.run_to_the_end();
  BOOST_TEST(s.end.result.served == 1u);
  BOOST_TEST(s.end.result.cut_off == 0u);
}

BOOST_AUTO_TEST_CASE(an_acceptor_that_does_not_listen_is_an_error) {
  server_on_loopback s;
  s.acceptor = tcp::acceptor(s.io);
  s.acceptor.open(tcp::v4());
  s.serve([](tcp::socket socket) { return until_closed(std::move(socket)); });
  s.run_to_the_end();
  BOOST_TEST((s.end.error == asio::error::invalid_argument));
}

BOOST_AUTO_TEST_CASE(an_acceptor_that_is_not_open_is_an_error) {
  server_on_loopback s;
  s.acceptor.close();
  s.serve([](tcp::socket socket) { return until_closed(std::move(socket)); });
  s.run_to_the_end();
  BOOST_TEST((s.end.error == asio::error::bad_descriptor));
}

namespace {

/// As long as this exists so many descriptors may be open.
class descriptor_limit {
 public:
  explicit descriptor_limit(::rlim_t n) {
    BOOST_REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const ::rlimit now{n, before_.rlim_max};
    BOOST_REQUIRE(::setrlimit(RLIMIT_NOFILE, &now) == 0);
  }
  descriptor_limit(const descriptor_limit&) = delete;
  descriptor_limit& operator=(const descriptor_limit&) = delete;
  ~descriptor_limit() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  ::rlimit before_{};
};

}  // namespace

// The undefined behaviour sanitizer needs descriptors of its own.
BOOST_AUTO_TEST_CASE(an_exception_of_a_function_that_is_told_leaves_run_and_the_server_goes_on,
                     *sluice_test::unless_sanitized()) {
  server_on_loopback s;
  s.options.max_connections = 1;
  s.options.report_accept = [](const error_code&) { throw std::runtime_error("cannot accept"); };
  s.options.report = [](std::exception_ptr) { throw std::runtime_error("cannot report"); };
  int handled = 0, refused = 0;
  s.serve(
      [&](tcp::socket socket) -> sluice::task<> {
        if (++handled == 1) throw std::runtime_error("wrong");
        co_await until_closed(std::move(socket));
      },
      [&](const tcp::socket&) {
        ++refused;
        throw std::runtime_error("cannot refuse");
      });
  const auto leaves_run = [&](const std::string& what) {
    BOOST_CHECK_EXCEPTION(s.io.run_for(60s), std::runtime_error,
                          [&](const std::runtime_error& e) { return e.what() == what; });
    s.io.restart();
  };
  tcp::socket a(s.io, tcp::v4());
  {
    const descriptor_limit none(3);
    a.connect(s.acceptor.local_endpoint());
    leaves_run("cannot accept");
  }
  leaves_run("cannot report");
  s.run_until([&] { return handled == 1; });
  auto b = s.connect();
  s.run_until([&] { return handled == 2; });
  auto c = s.connect();
  leaves_run("cannot report");
  BOOST_TEST(refused == 1);
  BOOST_TEST(s.acceptor.is_open());
  b.close();
  s.io.run_for(20ms);
  s.stop.emit(asio::cancellation_type::total);
  s.run_to_the_end();
  BOOST_TEST(!s.end.error);
  BOOST_TEST(s.end.result.served == 2u);
}

BOOST_AUTO_TEST_CASE(the_limit_of_connections_leaves_descriptors_for_others) {
  {
    const descriptor_limit few(64);
    BOOST_TEST(sluice::connections_by_descriptors() == 48u);
    BOOST_TEST(sluice::connections_by_descriptors(2) == 24u);
    BOOST_TEST(sluice::serve_options().max_connections == 48u);
  }
  const descriptor_limit none(3);
  BOOST_TEST(sluice::connections_by_descriptors() == 1u);
}

bool is_caught() {
  struct ::sigaction now;
  BOOST_REQUIRE(::sigaction(SIGUSR1, nullptr, &now) == 0);
  return now.sa_handler != SIG_DFL;
}

/// A server that has been told by a signal to stop, and whose connection ignores it.
struct server_after_a_signal : server_on_loopback {
  explicit server_after_a_signal(sluice::clock::duration grace) {
    options.signals = {SIGUSR1};
    options.grace = grace;
    serve([this](tcp::socket, sluice::server_connection c) { kept.emplace(std::move(c)); });
    client.emplace(connect());
    run_until([&] { return kept.has_value(); });
    std::raise(SIGUSR1);
    run_until([&] { return !!kept->stopping().err(); });
  }

  /// A second one cuts the connection off, and a third would have its default effect.
  void is_told_again() {
    std::raise(SIGUSR1);
    run_until([] { return !is_caught(); });
    BOOST_TEST(!!kept->ctx().err());
  }

  void ends_with_its_connection() {
    kept.reset();
    run_to_the_end();
    BOOST_TEST(end.result.cut_off == 1u);
  }

  std::optional<sluice::server_connection> kept;
  std::optional<tcp::socket> client;
};

// A connection that ignores that it is cut off holds the server up: there is a way out.
BOOST_AUTO_TEST_CASE(a_third_signal_has_its_default_effect) {
  for (const auto grace : {sluice::clock::duration::zero(), sluice::clock::duration(1h)}) {
    server_after_a_signal s(grace);
    s.io.run_for(20ms);
    BOOST_REQUIRE(is_caught());
    s.is_told_again();
    BOOST_TEST(!s.end.complete);
    s.ends_with_its_connection();
  }
}

// The end of the grace time and the signal are found by the same turn of the loop: whichever comes
// first, the signal counts, and a third one is free to end the program.
BOOST_AUTO_TEST_CASE(a_second_signal_counts_also_as_the_grace_time_ends) {
  for (int round = 0; round < 20; ++round) {
    server_after_a_signal s(5ms);
    const auto end_of_grace = sluice::clock::now() + s.options.grace;
    while (sluice::clock::now() < end_of_grace) continue;
    s.is_told_again();
    s.ends_with_its_connection();
  }
}

BOOST_AUTO_TEST_CASE(closing_the_acceptor_stops_the_server) {
  server_on_loopback s;
  s.serve([](tcp::socket socket) { return until_closed(std::move(socket)); });
  s.io.poll();
  s.acceptor.close();
  s.run_to_the_end();
  BOOST_TEST(!s.end.error);
}

BOOST_AUTO_TEST_CASE(it_is_awaited_selected_and_limited_as_other_operations_are) {
  asio::io_context io;
  int ended = 0;
  const auto endpoint = tcp::endpoint(asio::ip::address_v4::loopback(), 0);
  const auto handler = [](tcp::socket socket) { return until_closed(std::move(socket)); };
  sluice::go(io, [&]() -> sluice::task<> {
    tcp::acceptor a(io, endpoint), b(io, endpoint), c(io, endpoint);
    const sluice::serve_options options;
    const auto limited = co_await sluice::timeout(sluice::serve(a, options, handler), 10ms);
    BOOST_TEST(limited.served == 0u);
    ++ended;
    auto event =
        co_await sluice::select(sluice::serve(b, options, handler), sluice::sleep_for(10ms));
    BOOST_TEST(event.index() == 1u);
    ++ended;
    sluice::sleep_for(10ms)(asio::bind_executor(io, [&](error_code) { c.close(); }));
    const auto awaited = co_await sluice::serve(c, options, handler);
    BOOST_TEST(awaited.served == 0u);
    ++ended;
  });
  io.run();
  BOOST_TEST(ended == 3);
}

BOOST_AUTO_TEST_CASE(acceptors_of_other_protocols_and_executors_do_as_well) {
  asio::io_context io;
  {
    using local = asio::local::stream_protocol;
    const std::string path = "/tmp/sluice-serve-test-" + std::to_string(::getpid());
    std::remove(path.c_str());
    local::acceptor acceptor(io, path);
    outcome end;
    bool handled = false;
    sluice::serve(acceptor, sluice::serve_options(), [&](local::socket socket) {
      handled = true;
      acceptor.close();
      return until_closed(std::move(socket));
    })(end.handler());
    local::socket client(io);
    client.connect(path);
    client.shutdown(local::socket::shutdown_send);
    io.run_for(60s);
    BOOST_TEST(handled);
    BOOST_TEST(end.complete);
    std::remove(path.c_str());
  }
  io.restart();
  {
    using executor = asio::strand<asio::io_context::executor_type>;
    asio::basic_socket_acceptor<tcp, executor> acceptor(
        asio::make_strand(io), tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    outcome end;
    bool handled = false;
    sluice::serve(acceptor, sluice::serve_options(),
                  [&](asio::basic_stream_socket<tcp, executor> socket) {
                    handled = true;
                    acceptor.close();
                    return until_closed(std::move(socket));
                  })(end.handler());
    tcp::socket client(io);
    client.connect(acceptor.local_endpoint());
    client.shutdown(tcp::socket::shutdown_send);
    io.run_for(60s);
    BOOST_TEST(handled);
    BOOST_TEST(end.complete);
  }
}

BOOST_AUTO_TEST_CASE(a_server_goes_with_its_context) {
  std::optional<asio::io_context> io(std::in_place);
  auto acceptor =
      std::make_unique<tcp::acceptor>(*io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  const auto alive = std::make_shared<int>(0);
  outcome end;
  const auto handler = [alive](tcp::socket socket) { return until_closed(std::move(socket)); };
  sluice::serve(*acceptor, sluice::serve_options(), handler)(end.handler());
  tcp::socket client(*io);
  client.connect(acceptor->local_endpoint());
  io->run_for(20ms);
  client.close();
  acceptor.reset();
  io.reset();
  BOOST_TEST(!end.complete);
  BOOST_TEST(alive.use_count() == 2);
}

BOOST_AUTO_TEST_CASE(many_connections_on_several_threads_are_all_served_and_all_end) {
  asio::io_context io(4);
  tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  const auto endpoint = acceptor.local_endpoint();
  asio::cancellation_signal stop;
  sluice::serve_options options;
  options.max_connections = 7;
  outcome end;
  std::atomic<int> handled = 0;
  sluice::serve(acceptor, options, [&](tcp::socket socket) {
    ++handled;
    return until_closed(std::move(socket));
  })(asio::bind_cancellation_slot(stop.slot(), end.handler()));
  std::jthread clients([&] {
    asio::io_context own;
    for (int i = 0; i < 200; ++i) {
      tcp::socket s(own);
      s.connect(endpoint);
    }
    while (handled < 200) std::this_thread::sleep_for(1ms);
    asio::post(io, [&] { stop.emit(asio::cancellation_type::total); });
  });
  sluice::run_threads(io, 4);
  BOOST_TEST(end.complete);
  BOOST_TEST(end.result.served == 200u);
}

// --- the loop of threads

BOOST_AUTO_TEST_CASE(threads_go_on_after_an_exception_that_is_reported) {
  asio::io_context io;
  std::atomic<int> reported = 0, others = 0, ran = 0;
  for (int i = 0; i < 20; ++i) {
    asio::post(io, [] { throw std::length_error("out of a handler"); });
    sluice::go(io, []() -> sluice::task<> {
      throw std::runtime_error("out of a goroutine");
      co_return;
    });
    asio::post(io, [&] { ++ran; });
  }
  sluice::run_threads(io, 3, [&](std::exception_ptr e) {
    ++(sluice::describe(e).starts_with("out of a ") ? reported : others);
  });
  BOOST_TEST(reported == 40);
  BOOST_TEST(others == 0);
  BOOST_TEST(ran == 20);
}

BOOST_AUTO_TEST_CASE(what_the_function_throws_ends_the_run) {
  asio::io_context io;
  const auto work = asio::make_work_guard(io);
  asio::post(io, [] { throw std::length_error("first"); });
  BOOST_CHECK_THROW(
      sluice::run_threads(io, 2, [](std::exception_ptr e) { std::rethrow_exception(e); }),
      std::length_error);
}

BOOST_AUTO_TEST_CASE(a_runtime_with_such_a_function_goes_on_until_main_returns) {
  std::atomic<int> reported = 0;
  sluice::runtime runtime(2, [&](std::exception_ptr) { ++reported; });
  const auto main = [&]() -> sluice::task<int> {
    sluice::go([]() -> sluice::task<> {
      throw std::runtime_error("not main's");
      co_return;
    });
    while (reported == 0) co_await sluice::sleep_for(1ms);
    co_return 3;
  };
  BOOST_TEST(runtime.run(main) == 3);
  BOOST_CHECK_THROW(runtime.run([]() -> sluice::task<> {
    throw std::runtime_error("main's");
    co_return;
  }),
                    std::runtime_error);
  BOOST_TEST(reported == 1);
}

BOOST_AUTO_TEST_CASE(an_error_is_described_without_its_place_in_the_source) {
  try {
    asio::io_context io;
    tcp::socket s(io);
    s.connect({asio::ip::address_v4::loopback(), 1});
  } catch (...) {
    BOOST_TEST(sluice::describe(std::current_exception()) == "Connection refused");
  }
}

BOOST_AUTO_TEST_SUITE_END()
