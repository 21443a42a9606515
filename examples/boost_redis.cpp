// SPDX-License-Identifier: BSL-1.0
// The jobs of the example distributed_pool, done over Boost.Redis: what to use instead of redis/
// where Boost 1.84 or newer is at hand.
//
//   boost_redis HOST PORT QUEUE     does the jobs of type "echo" that wait, and ends
//
// Others that it takes are taken over by those who know them.
//
// Its operations are Asio's: awaited with asio::deferred, ended by a context, limited by timeout,
// and shared by goroutines, whose commands it sends together. async_run keeps it connected. What a
// worker does beside (takeovers, renewal, dead letters) is in distributed_pool/, and is the same
// with it.
#include "distributed_pool/scripts.hpp"

#include <sluice.hpp>

#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/redis/connection.hpp>
#include <boost/redis/src.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace asio = boost::asio;
namespace redis = boost::redis;
using namespace std::chrono_literals;

namespace {

/// The fields of a job, by name and value in turn.
struct entry {
  std::string id;
  std::vector<std::string> fields;

  [[nodiscard]] std::string operator[](std::string_view name) const {
    for (std::size_t i = 0; i + 1 < fields.size(); i += 2)
      if (fields[i] == name) return fields[i + 1];
    return {};
  }
};

/// Has one command run. @throws std::runtime_error if the server says that it cannot
sluice::task<redis::generic_response> run(redis::connection& server, redis::request command) {
  redis::generic_response reply;
  co_await sluice::timeout(server.async_exec(command, reply, asio::deferred), 5s);
  if (reply.has_error()) throw std::runtime_error(reply.error().diagnostic);
  co_return reply;
}

/// Takes up to 100 jobs.
sluice::task<std::vector<entry>> take(redis::connection& server, std::string stream) {
  redis::request read;
  read.push("XREADGROUP", "GROUP", group, "boost_redis", "COUNT", 100, "STREAMS", stream, ">");
  const auto reply = co_await run(server, read);
  std::vector<entry> entries;
  // The reply is a tree in the order of its text: streams, entries, ids and fields.
  for (const auto& node : reply.value()) {
    if (node.data_type != redis::resp3::type::blob_string) continue;
    if (node.depth == 3) entries.emplace_back().id = node.value;
    if (node.depth == 4) entries.back().fields.push_back(node.value);
  }
  co_return entries;
}

/// Stores the result of a job, and takes the job out of the queue.
sluice::task<> finish(redis::connection& server, std::string prefix, entry e) {
  redis::request done;
  done.push("EVAL", done_script, 3, prefix + "jobs", prefix + "job:" + e["key"], prefix + "stats",
            group, e.id, e["payload"], 86400);
  co_await run(server, done);
}

sluice::task<std::size_t> do_jobs(redis::connection& server, std::string prefix) {
  std::size_t n = 0;
  for (;;) {
    const auto entries = co_await take(server, prefix + "jobs");
    if (entries.empty()) co_return n;
    const auto all = [&](sluice::task_group& goroutines) -> sluice::task<> {
      for (const auto& e : entries)
        if (e["type"] == "echo") {
          goroutines.go(finish(server, prefix, e));
          ++n;
        }
      co_return;
    };
    // On this strand, because they share the connection.
    co_await sluice::with_task_group(co_await asio::this_coro::executor,
                                     sluice::context::background(), all);
  }
}

/// Begins to connect, and to connect again whenever that is needed.
template <class Connection>
void keep_connected(Connection& server, const redis::config& where) {
  if constexpr (requires { server.async_run(where, asio::detached); })
    server.async_run(where, asio::detached);
  else  // before Boost 1.88 it takes a logger
    server.async_run(where, {}, asio::detached);
}

}  // namespace

int main(int argc, char* argv[]) {
  if (argc != 4) {
    std::fputs("usage: boost_redis HOST PORT QUEUE\n", stderr);
    return 2;
  }
  try {
    redis::config where;
    where.addr.host = argv[1];
    where.addr.port = argv[2];
    const std::string prefix = '{' + std::string(argv[3]) + "}:";
    const auto n = sluice::run(
        [&]() -> sluice::task<std::size_t> {
          // On this goroutine's strand, as are all who use it: so it needs no lock.
          redis::connection server(co_await asio::this_coro::executor);
          keep_connected(server, where);
          const auto done = co_await do_jobs(server, prefix);
          server.cancel();
          co_return done;
        },
        1);
    std::printf("did %zu jobs\n", n);
  } catch (const std::exception&) {
    std::fprintf(stderr, "boost_redis: %s\n", sluice::describe(std::current_exception()).c_str());
    return 1;
  }
}
