// A client that tries again, against a server that goes away and comes back: a test of both that
// takes no time, in virtual time, over connections in memory. The client is written for any stream
// and any way to connect; here it gets `sluice::testing::network`, in a program Asio's sockets.
//
// The server answers a request, is gone for a minute, its host is cut off for another, and in the
// end answers again. Whatever the seed does with latency, short reads and broken connections, each
// request must be answered once, within five minutes.
#include <sluice.hpp>
#include <sluice/testing.hpp>

#include <boost/asio.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

namespace asio = boost::asio;
namespace testing = sluice::testing;
using namespace std::chrono_literals;

// --- the client, as a program has it -------------------------------------------------------------

/// Asks once, over a connection of its own.
template <class Connect>
sluice::task<std::string> ask(Connect& connect, const std::string& question) {
  auto s = co_await connect();
  const std::string line = question + '\n';
  co_await asio::async_write(s, asio::buffer(line), sluice::use_task);
  std::string answer;
  co_await asio::async_read_until(s, asio::dynamic_buffer(answer), '\n', sluice::use_task);
  answer.pop_back();
  co_return answer;
}

/// Asks until there is an answer, with pauses that double, up to half a minute.
template <class Connect>
sluice::task<std::string> ask_again(Connect connect, std::string question, int& attempts) {
  const auto here = co_await asio::this_coro::executor;
  for (auto pause = 500ms;; pause = std::min<std::chrono::milliseconds>(2 * pause, 30s)) {
    ++attempts;
    try {
      auto answer = sluice::go(here, ask(connect, question), asio::deferred);
      co_return co_await sluice::timeout(std::move(answer), 2s);
    } catch (const sluice::system_error&) {  // refused, broken, or too late
    }
    co_await sluice::sleep_for(pause);
  }
}

// --- the server ----------------------------------------------------------------------------------

sluice::task<> answer_all(testing::stream s) {
  std::string text;
  for (;;) {
    const auto [failed, n] = co_await asio::async_read_until(s, asio::dynamic_buffer(text), '\n',
                                                             asio::as_tuple(sluice::use_task));
    if (failed) co_return;
    const std::string answer = "answer to " + text.substr(0, n);
    text.erase(0, n);
    const auto [broken, written] =
        co_await asio::async_write(s, asio::buffer(answer), asio::as_tuple(sluice::use_task));
    if (broken) co_return;
  }
}

sluice::task<> accept_all(testing::network& net) {
  auto listening = net.listen("server");
  for (;;) {
    auto s = co_await listening.accept();
    sluice::go(answer_all, std::move(s));
  }
}

// --- the test ------------------------------------------------------------------------------------

sluice::task<> server_goes_away(testing::simulation& sim, bool tell) {
  testing::network net(sim, {.least_latency = 1ms, .most_latency = 300ms, .resets_one_of = 30});
  const auto connect = [&net] { return net.connect("client", "server"); };
  const auto begin = sluice::now();
  int attempts = 0;

  auto serving = sluice::with_cancel(sluice::context::background());
  sluice::go(serving.ctx, accept_all, std::ref(net));
  if (co_await ask_again(connect, "one", attempts) != "answer to one")
    throw std::logic_error("another answer");

  serving.cancel();  // gone for a minute, and when it is back its host is cut off for another
  const auto back = sluice::with_cancel(sluice::context::background());
  const auto returns = sluice::after_func(60s, [&] {
    net.partition("client", "server");
    sluice::go(back.ctx, accept_all, std::ref(net));
  });
  const auto repaired = sluice::after_func(120s, [&] { net.repair("client", "server"); });
  if (co_await ask_again(connect, "two", attempts) != "answer to two")
    throw std::logic_error("another answer");
  if (sluice::now() - begin > 5min) throw std::logic_error("more than five minutes");
  back.cancel();
  if (tell)
    std::printf("seed %llu: %d attempts in %.1f s of virtual time\n",
                static_cast<unsigned long long>(sim.seed()), attempts,
                std::chrono::duration<double>(sluice::now() - begin).count());
  co_await testing::advance(10min);  // whatever is on its way arrives
}

int main() {
  constexpr std::uint64_t runs = 500;
  const auto begin = std::chrono::steady_clock::now();
  testing::explore({.first_seed = 1, .seeds = runs},
                   [](testing::simulation& sim) { return server_goes_away(sim, sim.seed() <= 3); });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%llu seeds tried\n", static_cast<unsigned long long>(runs));
  return took.count() < 60 ? 0 : 1;
}
