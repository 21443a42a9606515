// SPDX-License-Identifier: BSL-1.0
// A worker pool over several machines: jobs wait in a Redis stream, and are done by the goroutines
// of as many processes as there are, wherever they run.
//
//   distributed_pool submit HOST PORT QUEUE     appends jobs: "KEY TYPE PAYLOAD" in each line of
//                                               the standard input
//   distributed_pool work HOST PORT QUEUE       does jobs until SIGTERM
//   distributed_pool watch HOST PORT QUEUE      shows what stands in the queue, live
//
// A job is in the stream until its result is stored, which takes it out in the same step. So a
// worker may be killed, or its machine lost, and all that it held is done by others after a time; a
// job that is delivered too often ends among the dead letters, with the reason. Each job is done at
// least once; its result is stored once, under the job's key:
//
//   redis-cli HGET '{QUEUE}:job:KEY' result
//
// redis/ is a client for goroutines, over hiredis; distributed_pool/ is the rest.
#include "distributed_pool/job_queue.hpp"
#include "distributed_pool/submit.hpp"
#include "distributed_pool/watch.hpp"
#include "distributed_pool/worker.hpp"
#include "program.hpp"
#include "redis/client.hpp"

#include <sluice.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>

using std::chrono::milliseconds;

namespace {

constexpr unsigned day = 86'400'000;

/// What all sub-commands are told.
struct common_arguments {
  std::string host;
  unsigned port = 0;
  std::string queue;
  unsigned answer_ms = 5000;
  unsigned patience_ms = 0;
  unsigned keep_s = 86'400;

  void add_to(command_line& line) {
    line.positional("HOST", host, "where Redis is");
    line.positional("PORT", port, 1, 65535, "usually 6379");
    line.positional("QUEUE", queue, "the name of the queue");
    line.option("--answer-ms", answer_ms, 1, day, "how long the server may be silent");
    line.option("--patience-ms", patience_ms, 0, day,
                "how long to go on without a server once there was one; 0: for ever");
    line.option("--keep-s", keep_s, 0, 1'000'000'000,
                "how long results, and the keys of jobs, are kept; 0: for ever");
  }

  /// @param wait How long the server is to wait before it answers.
  [[nodiscard]] sluice::task<redis_client> connect(milliseconds wait = {}) const {
    redis_options o;
    o.host = host;
    o.port = static_cast<unsigned short>(port);
    o.connect_limit = milliseconds(answer_ms);
    o.answer_limit = milliseconds(answer_ms) + wait;
    if (patience_ms > 0) o.patience = milliseconds(patience_ms);
    o.report = [](const std::string& what) {
      std::fprintf(stderr, "distributed_pool: %s\n", what.c_str());
    };
    return redis_client::connect(std::move(o));
  }
  [[nodiscard]] job_queue_options queue_options() const {
    return {queue, std::chrono::seconds(keep_s)};
  }
};

/// Runs a goroutine on this thread, and everything else on it too.
template <class Main>
int run_on_one_thread(Main main) {
  int status = 0;
  const int failed = run_program("distributed_pool", [&] {
    sluice::runtime one_thread(1);
    status = one_thread.run([&] { return main(one_thread.context()); });
  });
  return failed ? failed : status;
}

int submit_jobs(int argc, char* argv[]) {
  common_arguments a;
  a.patience_ms = 60'000;
  unsigned limit = 10'000, at_a_time = 32;
  command_line line("distributed_pool submit",
                    "Appends the jobs on its standard input, KEY TYPE PAYLOAD in each line, to a "
                    "queue; waits while that is full.");
  a.add_to(line);
  line.option("--limit", limit, 1, 1'000'000'000, "how many jobs there may be in the queue");
  line.option("--at-a-time", at_a_time, 1, 10'000, "how many are on their way to the server");
  int status = 0;
  if (!line.parse(argc, argv, status)) return status;
  // Before a descriptor of the program's own takes its place.
  if (::fcntl(STDIN_FILENO, F_GETFD) == -1) {
    std::fputs("distributed_pool submit: the standard input, with the jobs, is closed\n", stderr);
    return 2;
  }
  return run_on_one_thread([&](auto&) -> sluice::task<int> {
    const auto redis = co_await a.connect();
    job_queue queue(redis, a.queue_options());
    co_await queue.open();
    const submit_options options{limit, at_a_time};
    const auto counts = co_await submit(queue, options);
    redis.close();
    std::printf("added %zu jobs, %zu were known, %zu lines were refused%s\n", counts.added,
                counts.known, counts.refused, counts.interrupted ? "; interrupted" : "");
    co_return counts.interrupted ? 130 : counts.refused ? 1 : 0;
  });
}

int work_on_jobs(int argc, char* argv[]) {
  common_arguments a;
  worker_options o;
  unsigned goroutines = 16, prefetch = 16, idle_ms = 30'000, grace_ms = 10'000;
  command_line line("distributed_pool work",
                    "Does the jobs of a queue until SIGINT or SIGTERM; then finishes those that "
                    "it has begun. Types of jobs: echo TEXT, wait MS, fail TEXT, crash.");
  a.add_to(line);
  line.option("--goroutines", goroutines, 1, 100'000, "how many jobs are done at a time");
  line.option("--prefetch", prefetch, 0, 100'000, "how many more are taken from the queue");
  line.option("--idle-ms", idle_ms, 30, day, "after which silence a job is taken over");
  line.option("--deliveries", o.deliveries, 1, 1'000'000,
              "after how many a job goes to the dead letters");
  line.option("--grace-ms", grace_ms, 0, day, "how long jobs may go on after a signal");
  int status = 0;
  if (!line.parse(argc, argv, status)) return status;
  o.goroutines = goroutines;
  o.prefetch = prefetch;
  o.idle = milliseconds(idle_ms);
  o.grace = milliseconds(grace_ms);
  return run_on_one_thread([&](auto& io) -> sluice::task<int> {
    const auto redis = co_await a.connect();
    const auto taking = co_await a.connect(o.block);
    job_queue queue(redis, a.queue_options());
    co_await queue.open();
    worker w(io, queue, redis, taking, o);
    const auto counts = co_await w.run();
    redis.close();
    taking.close();
    std::printf(
        "did %zu jobs; %zu attempts failed, %zu were taken over, %zu given back, %zu cut "
        "off\n",
        counts.done, counts.failed, counts.taken_over, counts.given_back, counts.cut_off);
    co_return 0;
  });
}

int watch_queue(int argc, char* argv[]) {
  common_arguments a;
  watch_options o;
  unsigned period_ms = 1000;
  command_line line("distributed_pool watch", "Shows what stands in a queue, and its rate.");
  a.add_to(line);
  line.option("--period-ms", period_ms, 10, day, "how often to look");
  line.option("--times", o.times, 0, 1'000'000'000, "how many times; 0: until a signal comes");
  int status = 0;
  if (!line.parse(argc, argv, status)) return status;
  o.period = milliseconds(period_ms);
  return run_on_one_thread([&](auto&) -> sluice::task<int> {
    const auto redis = co_await a.connect();
    job_queue queue(redis, a.queue_options());
    co_await queue.open();
    co_await watch(queue, o);
    redis.close();
    co_return 0;
  });
}

}  // namespace

int main(int argc, char* argv[]) {
  // hiredis writes to a connection that its server has reset as to any other.
  std::signal(SIGPIPE, SIG_IGN);
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "submit") return submit_jobs(argc - 1, argv + 1);
  if (what == "work") return work_on_jobs(argc - 1, argv + 1);
  if (what == "watch") return watch_queue(argc - 1, argv + 1);
  const bool help = what == "--help";
  std::fputs(
      "usage: distributed_pool submit|work|watch HOST PORT QUEUE [OPTION N]...\n"
      "A worker pool over Redis. distributed_pool submit --help, and so on, say more.\n",
      help ? stdout : stderr);
  return help ? 0 : 2;
}
