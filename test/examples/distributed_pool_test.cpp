// The worker pool over Redis of the examples: processes that are killed, and a server that is.
#include "../support.hpp"
#include "connection.hpp"
#include "redis_server.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// Waits for something that another process brings about.
template <class Condition>
void wait_until(Condition holds, const char* what) {
  const auto end = steady::now() + patience;
  while (!holds()) {
    BOOST_REQUIRE_MESSAGE(steady::now() < end, "waited in vain until " << what);
    std::this_thread::sleep_for(20ms);
  }
}

std::string as_lines(const std::vector<std::string>& jobs) {
  std::string text;
  for (const auto& j : jobs) text += j + '\n';
  return text;
}

/// The arguments of a sub-command.
std::vector<std::string> arguments(const std::string& what, std::uint16_t port,
                                   std::vector<std::string> options = {}) {
  options.insert(options.begin(), {what, "127.0.0.1", std::to_string(port), "q"});
  return example("distributed_pool", std::move(options));
}

/// A process that submits these lines.
std::unique_ptr<child_process> submitter(redis_server& redis, const std::string& lines,
                                         const std::string& options = "") {
  static int number = 0;
  const std::string file = redis.directory().file("lines-" + std::to_string(++number));
  std::ofstream(file) << lines;
  std::string command = "exec";
  for (const auto& word : arguments("submit", redis.port())) command += " '" + word + '\'';
  return std::make_unique<child_process>(
      std::vector<std::string>{"/bin/sh", "-c", command + ' ' + options + " <" + file}, true);
}

/// Submits jobs that the queue has room for. @return What the program says.
std::string submit(redis_server& redis, const std::vector<std::string>& jobs, int status = 0) {
  const auto p = submitter(redis, as_lines(jobs));
  std::string said = p->read_all();
  BOOST_TEST(p->wait() == status);
  return said;
}

std::string added(std::size_t n, std::size_t known = 0) {
  return "added " + std::to_string(n) + " jobs, " + std::to_string(known) +
         " were known, 0 lines were refused\n";
}

/// A process that does jobs.
class worker_process {
 public:
  worker_process(redis_server& redis, std::vector<std::string> options)
      : process_(arguments("work", redis.port(), std::move(options)), true) {
    const std::string line = process_.read_line(), beginning = "working as ";
    BOOST_REQUIRE_MESSAGE(line.starts_with(beginning), "the worker said \"" << line << '"');
    name_ = line.substr(beginning.size());
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  void signal(int number) const { process_.signal(number); }
  [[nodiscard]] std::string read_line() { return process_.read_line(); }

  [[nodiscard]] bool has_ended() const {
    ::siginfo_t how{};
    const auto pid = static_cast<::id_t>(process_.pid());
    return ::waitid(P_PID, pid, &how, WEXITED | WNOHANG | WNOWAIT) == 0 && how.si_pid != 0;
  }

  /// How many jobs it has been given and has not done.
  [[nodiscard]] std::size_t pending(redis_server& redis) const {
    return redis.ask({"XPENDING", "{q}:jobs", "workers", "-", "+", "1000", name_}).elements.size();
  }

  /// Kills it while it holds jobs. @return Whether it did.
  [[nodiscard]] bool kill_if_busy(redis_server& redis) {
    process_.signal(SIGSTOP);
    // What it had sent before has been dealt with when the second answer comes.
    const bool busy = pending(redis) > 0 && pending(redis) > 0;
    process_.signal(busy ? SIGKILL : SIGCONT);
    if (busy) static_cast<void>(process_.wait());
    return busy;
  }

  /// Tells it to stop. @return Its last words.
  std::string stop() {
    process_.signal(SIGTERM);
    std::string said = process_.read_all();
    BOOST_TEST(process_.wait() == 0);
    return said;
  }

 private:
  child_process process_;
  std::string name_;
};

std::string result_of(redis_server& redis, const std::string& key) {
  return redis.ask({"HGET", "{q}:job:" + key, "result"}).text;
}

std::size_t count(redis_server& redis, const std::string& name) {
  const std::string text = redis.ask({"HGET", "{q}:stats", name}).text;
  return text.empty() ? 0 : std::stoul(text);
}

std::size_t length(redis_server& redis) {
  return std::stoul(redis.ask({"XLEN", "{q}:jobs"}).text);
}

/// Waits until the queue is empty, and checks what has come of the jobs.
void check_counts(redis_server& redis, std::size_t stored, std::size_t dead) {
  wait_until([&] { return length(redis) == 0; }, "the queue is empty");
  BOOST_TEST(count(redis, "stored") == stored);
  BOOST_TEST(count(redis, "dead") == dead);
  BOOST_TEST(redis.ask({"XPENDING", "{q}:jobs", "workers"}).elements.at(0).text == "0");
}

/// The dead letter of a key: its reason.
std::string reason_of_death(redis_server& redis, const std::string& key) {
  for (const auto& letter : redis.ask({"XRANGE", "{q}:dead", "-", "+"}).elements)
    if (letter.elements.at(1)["key"] == key) return letter.elements.at(1)["reason"];
  return "it is not dead";
}

/// How long a worker may be silent before others take over: a busy machine is not to look dead.
const std::string idle = sanitized ? "3000" : "700";

}  // namespace

BOOST_AUTO_TEST_SUITE(distributed_pool_of_the_examples)

BOOST_AUTO_TEST_CASE(no_job_is_lost_when_workers_and_the_server_are_killed) {
  const std::size_t n = rounds(10'000), kills = sanitized ? 3 : 15;
  redis_server redis;
  std::mt19937 random(24);
  std::vector<int> times;
  std::vector<std::string> jobs;
  for (std::size_t i = 0; i < n; ++i) {
    times.push_back(std::uniform_int_distribution(1, 20)(random));
    jobs.push_back("job-" + std::to_string(i) + " wait " + std::to_string(times.back()));
  }
  const auto submitting = submitter(redis, as_lines(jobs), "--limit 500");

  const std::string goroutines = sanitized ? "2" : "5";
  const std::vector<std::string> options{"--goroutines", goroutines, "--prefetch",   "5",
                                         "--idle-ms",    idle,       "--deliveries", "1000"};
  std::vector<std::unique_ptr<worker_process>> workers;
  for (int i = 0; i < 3; ++i) workers.push_back(std::make_unique<worker_process>(redis, options));

  std::size_t killed = 0;
  while (killed < kills) {
    BOOST_REQUIRE_MESSAGE(count(redis, "stored") < n, "all was done after " << killed << " kills");
    BOOST_TEST(length(redis) <= 500u);
    auto& victim = workers[killed % 3];
    if (!victim->kill_if_busy(redis)) continue;
    victim = std::make_unique<worker_process>(redis, options);
    if (++killed != kills / 2) continue;
    redis.kill();
    BOOST_REQUIRE(redis.start());
  }
  const std::string said = submitting->read_all();
  BOOST_TEST(submitting->wait() == 0);
  std::size_t accepted = 0, known = 0;
  const auto summary = said.find("added ");
  BOOST_REQUIRE_MESSAGE(summary != said.npos, said);
  BOOST_TEST(std::sscanf(said.c_str() + summary, "added %zu jobs, %zu were known", &accepted,
                         &known) == 2);
  // One that was under way when the server was killed may have been added without a word.
  BOOST_TEST(accepted + known == n);

  check_counts(redis, n, 0);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < n; ++i)
    wrong += result_of(redis, "job-" + std::to_string(i)) !=
             "waited " + std::to_string(times[i]) + " ms";
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(count(redis, "taken_over") >= kills);
  BOOST_TEST_MESSAGE(n << " jobs, " << killed << " workers killed, " << count(redis, "taken_over")
                       << " jobs taken over, " << count(redis, "repeated") << " done again");
  for (const auto& w : workers) BOOST_TEST(w->stop().find("did ") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_server_that_is_stopped_is_connected_to_again) {
  redis_server redis;
  worker_process worker(redis, {"--idle-ms", idle});
  BOOST_TEST(submit(redis, {"a echo A"}) == added(1));
  wait_until([&] { return result_of(redis, "a") == "A"; }, "a job is done");
  redis.stop();
  const std::string lost = "distributed_pool: lost the connection to 127.0.0.1:";
  const std::string again = "distributed_pool: connected again to 127.0.0.1:";
  for (int i = 0; i < 2; ++i) {  // a connection for commands, and one for taking jobs
    std::string line = worker.read_line();
    while (line.starts_with("distributed_pool: cannot connect to")) line = worker.read_line();
    BOOST_TEST(line.starts_with(lost), line);
    BOOST_TEST(line.find("; next attempt in ") != line.npos, line);
  }
  BOOST_TEST(worker.read_line().find("Connection refused; next attempt in ") != std::string::npos);
  BOOST_REQUIRE(redis.start());
  for (int i = 0; i < 2; ++i) {
    std::string line = worker.read_line();
    while (line.starts_with("distributed_pool: cannot connect to")) line = worker.read_line();
    BOOST_TEST(line.starts_with(again), line);
  }
  BOOST_TEST(result_of(redis, "a") == "A");
  BOOST_TEST(submit(redis, {"a echo A", "b echo B"}) == added(1, 1));
  wait_until([&] { return result_of(redis, "b") == "B"; }, "the next job is done");
  worker.stop();
}

BOOST_AUTO_TEST_CASE(those_who_submit_go_on_when_the_server_is_back_or_give_up) {
  redis_server redis;
  const std::string full = "a echo A\nb echo B\n";
  const auto submitting = submitter(redis, full, "--limit 1 --at-a-time 1");
  wait_until([&] { return length(redis) == 1; }, "the queue is full");
  const auto impatient = submitter(redis, "c echo C\n", "--limit 1 --patience-ms 200");
  const auto both_try = [&] {
    const std::string clients = redis.ask({"CLIENT", "LIST"}).text, tries = "cmd=evalsha";
    const auto one = clients.find(tries);
    return one != clients.npos && clients.find(tries, one + 1) != clients.npos;
  };
  wait_until(both_try, "two processes try to add a job");
  redis.kill();
  const std::string last_words = impatient->read_all();
  BOOST_TEST(impatient->wait() == 1);
  BOOST_TEST(last_words.find("giving up") != std::string::npos, last_words);
  BOOST_REQUIRE(redis.start());
  worker_process worker(redis, {});
  const std::string said = submitting->read_all();
  BOOST_TEST(said.ends_with(added(2)), said);
  BOOST_TEST(submitting->wait() == 0);
  wait_until([&] { return result_of(redis, "b") == "B"; }, "the last job is done");
  worker.stop();
}

BOOST_AUTO_TEST_CASE(a_server_that_is_silent_is_given_up) {
  redis_server redis;
  worker_process worker(redis, {"--answer-ms", sanitized ? "2000" : "300", "--idle-ms", "60"});
  redis.signal(SIGSTOP);
  const std::string line = worker.read_line();
  BOOST_TEST(line.find(": no answer for too long; next attempt in ") != line.npos, line);
  redis.signal(SIGCONT);
  for (std::string said; said.find("connected again") == said.npos;) {
    said = worker.read_line();
    BOOST_REQUIRE(!said.empty());
  }
  BOOST_TEST(submit(redis, {"a echo A"}) == added(1));
  wait_until([&] { return result_of(redis, "a") == "A"; }, "a job is done");
  worker.stop();
}

BOOST_AUTO_TEST_CASE(a_signal_lets_what_has_been_begun_end_and_leaves_the_rest) {
  redis_server redis;
  std::vector<std::string> jobs{"first echo"};
  for (int i = 0; i < 6; ++i) jobs.push_back("job-" + std::to_string(i) + " wait 700");
  BOOST_TEST(submit(redis, jobs) == added(7));
  worker_process first(redis, {"--goroutines", "2", "--prefetch", "5"});
  // They are taken together: when the first is done, one or two of the others have been begun.
  wait_until([&] { return count(redis, "stored") == 1; }, "the first job is done");
  const std::string said = first.stop();
  std::size_t done = 0, given_back = 0;
  BOOST_TEST(
      std::sscanf(said.c_str(),
                  "did %zu jobs; 0 attempts failed, 0 were taken over, %zu given back, 0 cut",
                  &done, &given_back) == 2,
      said);
  BOOST_TEST((done == 2 || done == 3), said);
  BOOST_TEST(done + given_back == 7u, said);
  BOOST_TEST(count(redis, "stored") == done);
  const auto left = redis.ask({"XPENDING", "{q}:jobs", "workers", "-", "+", "9"});
  BOOST_TEST(left.elements.size() == given_back);
  for (const auto& p : left.elements) BOOST_TEST(p.elements.at(3).text == "0");  // deliveries
  worker_process second(redis, {"--idle-ms", idle, "--deliveries", "1"});
  check_counts(redis, 7, 0);
  BOOST_TEST(second.stop().starts_with("did " + std::to_string(given_back) + " jobs; 0 attempts"));
}

BOOST_AUTO_TEST_CASE(a_second_signal_cuts_off_what_others_then_take_over) {
  redis_server redis;
  BOOST_TEST(submit(redis, {"first echo", "long wait 5000"}) == added(2));
  worker_process first(redis, {});
  // They are begun together.
  wait_until([&] { return count(redis, "stored") == 1; }, "the first job is done");
  first.signal(SIGTERM);
  std::this_thread::sleep_for(100ms);
  BOOST_TEST(first.stop() ==
             "did 1 jobs; 0 attempts failed, 0 were taken over, 0 given back, 1 cut off\n");
  worker_process second(redis, {"--idle-ms", idle});
  check_counts(redis, 2, 0);
  second.stop();
}

BOOST_AUTO_TEST_CASE(a_long_job_is_renewed_and_done_by_one_worker_only) {
  redis_server redis;
  BOOST_TEST(submit(redis, {"long wait 3000"}) == added(1));
  const std::vector<std::string> options{"--idle-ms", sanitized ? "2000" : "700", "--deliveries",
                                         "1"};
  worker_process first(redis, options), second(redis, options);
  check_counts(redis, 1, 0);
  BOOST_TEST(count(redis, "taken_over") == 0u);
  BOOST_TEST(count(redis, "repeated") == 0u);
  BOOST_TEST(result_of(redis, "long") == "waited 3000 ms");
}

BOOST_AUTO_TEST_CASE(what_cannot_be_done_ends_among_the_dead_letters_with_the_reason) {
  redis_server redis;
  const std::vector<std::string> options{"--idle-ms", idle, "--deliveries", "2"};
  worker_process worker(redis, options);
  BOOST_TEST(submit(redis, {"unknown dance tango", "failing fail no paper", "good echo G"}) ==
             added(3));
  check_counts(redis, 1, 2);
  worker.stop();

  BOOST_TEST(submit(redis, {"killer crash"}) == added(1));
  for (int i = 0; i < 2; ++i) {
    worker_process victim(redis, options);
    BOOST_TEST(victim.read_line() == "");
  }
  worker_process next(redis, options);
  check_counts(redis, 1, 3);
  BOOST_TEST(result_of(redis, "good") == "G");
  BOOST_TEST(reason_of_death(redis, "unknown") == "no worker knows the job type \"dance\"");
  BOOST_TEST(reason_of_death(redis, "killer") == "delivered 2 times and never done");
  const std::string reason = reason_of_death(redis, "failing");
  BOOST_TEST(reason.ends_with(": no paper"), reason);
  BOOST_TEST(redis.ask({"HGET", "{q}:job:killer", "dead"}).text ==
             "delivered 2 times and never done");
  next.stop();
}

// They are done beside it, and die with it, twice.
BOOST_AUTO_TEST_CASE(a_job_that_kills_its_worker_takes_no_other_with_it) {
  redis_server redis;
  std::vector<std::string> jobs;
  for (int i = 0; i < 14; ++i) {
    if (i == 9) jobs.push_back("killer crash");
    jobs.push_back("good-" + std::to_string(i) + " wait 200");
  }
  BOOST_TEST(submit(redis, jobs) == added(15));
  const std::vector<std::string> options{"--idle-ms", "400", "--goroutines", "16"};
  std::vector<std::unique_ptr<worker_process>> workers(2);
  while (redis.ask({"HGET", "{q}:stats", "dead"}).text != "1" ||
         redis.ask({"HGET", "{q}:stats", "stored"}).text != "14")
    for (auto& w : workers) {
      if (!w || w->has_ended()) w = std::make_unique<worker_process>(redis, options);
      std::this_thread::sleep_for(5ms);
    }
  BOOST_TEST(reason_of_death(redis, "killer") == "delivered 5 times and never done");
  BOOST_TEST(result_of(redis, "good-0") == "waited 200 ms");
  for (auto& w : workers) w->stop();
}

BOOST_AUTO_TEST_CASE(a_job_of_a_known_key_is_not_added_again) {
  redis_server redis;
  const std::vector<std::string> jobs{"a echo 1", "b echo 2", "a echo 3"};
  BOOST_TEST(submit(redis, jobs) == added(2, 1));
  BOOST_TEST(submit(redis, jobs) == added(0, 3));
  worker_process worker(redis, {});
  check_counts(redis, 2, 0);
  BOOST_TEST(submit(redis, jobs) == added(0, 3));
  BOOST_TEST(result_of(redis, "a") == "1");
}

BOOST_AUTO_TEST_CASE(watching_shows_what_stands_in_the_queue) {
  redis_server redis;
  BOOST_TEST(submit(redis, {"a echo A", "b dance B"}) == added(2));
  const std::vector<std::string> often{"--period-ms", "20", "--times", "0"};
  child_process watching(arguments("watch", redis.port(), often));
  BOOST_TEST(watching.read_line() ==
             "length 2, pending 0 at 0 workers, done 0, 0/s, taken over 0, dead 0");
  worker_process worker(redis, {});
  const std::string end = "dead 1, the last: b: no worker knows the job type \"dance\"";
  std::string line;
  while (!line.ends_with(end)) {
    line = watching.read_line();
    BOOST_REQUIRE(!line.empty());
  }
  redis.stop();
  while (line != "no connection") {
    line = watching.read_line();
    BOOST_REQUIRE(!line.empty());
  }
  watching.signal(SIGTERM);
  static_cast<void>(watching.read_all());
  BOOST_TEST(watching.wait() == 0);
}

// hiredis writes to a connection that its server has reset as to any other, so the program ignores
// SIGPIPE, by which it would end there.
BOOST_AUTO_TEST_CASE(a_watch_ends_when_nobody_reads_it_any_more) {
  redis_server redis;
  child_process watching(arguments("watch", redis.port(), {"--period-ms", "10"}));
  BOOST_TEST(!watching.read_line().empty());
  watching.stop_reading();
  BOOST_TEST(watching.wait() == 0);
}

BOOST_AUTO_TEST_CASE(a_watch_ends_at_a_signal_although_the_server_is_silent) {
  redis_server redis;
  child_process watching(
      arguments("watch", redis.port(), {"--period-ms", "10", "--answer-ms", "600000"}));
  static_cast<void>(watching.read_line());
  redis.signal(SIGSTOP);
  std::this_thread::sleep_for(100ms);  // it owes an answer by then; the test holds anyway
  watching.signal(SIGINT);
  static_cast<void>(watching.read_all());
  BOOST_TEST(watching.wait() == 0);
  redis.signal(SIGCONT);
}

BOOST_AUTO_TEST_CASE(a_queue_that_somebody_deletes_is_made_again) {
  redis_server redis;
  worker_process worker(redis, {});
  BOOST_TEST(submit(redis, {"a echo A"}) == added(1));
  wait_until([&] { return result_of(redis, "a") == "A"; }, "a job is done");
  child_process watching(arguments("watch", redis.port(), {"--period-ms", "20", "--times", "0"}));
  static_cast<void>(watching.read_line());
  redis.ask({"DEL", "{q}:jobs"});
  BOOST_TEST(submit(redis, {"b echo B"}) == added(1));
  wait_until([&] { return result_of(redis, "b") == "B"; }, "the next job is done");
  for (std::string line; line.find(" done 2,") == line.npos;) {
    line = watching.read_line();
    BOOST_REQUIRE(!line.empty());
  }
  watching.signal(SIGTERM);
  static_cast<void>(watching.read_all());
  BOOST_TEST(watching.wait() == 0);
  worker.stop();
}

// To do them frees what the server lacks.
BOOST_AUTO_TEST_CASE(a_server_without_memory_takes_no_more_jobs_and_loses_none) {
  redis_server redis({"--maxmemory", "4mb", "--maxmemory-policy", "noeviction"});
  std::vector<std::string> jobs;
  for (int i = 0; i < 64; ++i)
    jobs.push_back("job-" + std::to_string(i) + " fail " + std::string(100'000, 'x'));
  const std::string said = submit(redis, jobs, 1);
  BOOST_TEST(said.find("OOM") != said.npos, said.substr(0, 400));
  const std::size_t accepted = length(redis);
  BOOST_TEST(accepted > 0u);
  // Some of those under way when the first was refused have been added too.
  const auto told = said.find("at least ");
  BOOST_REQUIRE_MESSAGE(told != said.npos, said.substr(0, 400));
  BOOST_TEST(std::stoul(said.substr(told + 9)) <= accepted);
  redis.ask({"CONFIG", "SET", "maxmemory", "1"});
  worker_process worker(redis, {"--deliveries", "1", "--goroutines", "1", "--prefetch", "1"});
  wait_until([&] { return length(redis) == 0; }, "the queue is empty");
  BOOST_TEST(count(redis, "dead") == accepted);
  worker.stop();
}

BOOST_AUTO_TEST_CASE(workers_that_have_died_and_hold_nothing_are_forgotten) {
  redis_server redis;
  const auto knows = [&](const std::string& name) {
    const auto all = redis.ask({"XINFO", "CONSUMERS", "{q}:jobs", "workers"}).elements;
    return std::ranges::any_of(all, [&](const auto& c) { return c["name"] == name; });
  };
  worker_process dies(redis, {});
  BOOST_TEST(submit(redis, {"a echo A"}) == added(1));
  wait_until([&] { return result_of(redis, "a") == "A"; }, "a job is done");
  dies.signal(SIGKILL);
  BOOST_TEST(knows(dies.name()));
  worker_process lives(redis, {"--idle-ms", "60"});
  wait_until([&] { return !knows(dies.name()); }, "the dead worker is forgotten");
  BOOST_TEST(submit(redis, {"b echo B"}) == added(1));
  wait_until([&] { return result_of(redis, "b") == "B"; }, "the next job is done");
  lives.stop();
  BOOST_TEST(!knows(lives.name()));
}

BOOST_AUTO_TEST_CASE(a_closed_standard_input_is_refused) {
  redis_server redis;
  std::string command = "exec <&-; exec";
  for (const auto& word : arguments("submit", redis.port())) command += " '" + word + '\'';
  child_process p({"/bin/sh", "-c", command}, true);
  BOOST_TEST(p.read_all() ==
             "distributed_pool submit: the standard input, with the jobs, is closed\n");
  BOOST_TEST(p.wait() == 2);
}

BOOST_AUTO_TEST_CASE(every_address_of_a_host_is_tried) {
  if (sanitized) return;  // the sanitizers want to be loaded first
  redis_server redis({"--bind", "127.0.0.1"});
  ::setenv("LD_PRELOAD", SLUICE_EXAMPLES_DIR "/../test/libsluice_two_addresses.so", 1);
  child_process watching(
      example("distributed_pool",
              {"watch", "two.addresses", std::to_string(redis.port()), "q", "--times", "1"}),
      true);
  ::unsetenv("LD_PRELOAD");
  const std::string said = watching.read_all();
  BOOST_TEST(said.starts_with("length 0, "), said);
  BOOST_TEST(watching.wait() == 0);
}

BOOST_AUTO_TEST_CASE(lines_that_are_no_jobs_or_too_large_are_refused_and_the_others_added) {
  redis_server redis({"--proto-max-bulk-len", "1mb"});
  const std::string large(1 << 20, 'x');
  const std::string said = submit(
      redis, {"a echo A", "b", "", "c echo " + large, "d echo " + large + 'x', "e  x", "f echo"},
      1);
  BOOST_TEST(said.find("line 2 is not \"KEY TYPE PAYLOAD\"\n") != said.npos, said);
  BOOST_TEST(said.find("line 3 is not") != said.npos, said);
  BOOST_TEST(said.find("line 5 is over the server's limit of 1048576 bytes\n") != said.npos, said);
  BOOST_TEST(said.find("line 6 is not") != said.npos, said);
  BOOST_TEST(said.ends_with("added 3 jobs, 0 were known, 4 lines were refused\n"), said);
  worker_process worker(redis, {});
  check_counts(redis, 3, 0);
  BOOST_TEST((result_of(redis, "c") == large));
  BOOST_TEST(result_of(redis, "f") == "");
}

BOOST_AUTO_TEST_CASE(a_server_that_cannot_serve_is_named_with_the_reason) {
  const auto check = [](std::vector<std::string> command, const std::string& reason) {
    child_process p(std::move(command), true);
    const std::string said = p.read_all();
    BOOST_TEST(said.starts_with("distributed_pool: "), said);
    BOOST_TEST(said.find(reason) != said.npos, said);
    BOOST_TEST(std::count(said.begin(), said.end(), '\n') == 1, said);
    BOOST_TEST(p.wait() == 1);
  };
  const std::uint16_t nobody = listener().port();
  for (const char* what : {"submit", "work", "watch"})
    check(arguments(what, nobody), "Connection refused");
  check(example("distributed_pool", {"work", "nowhere.invalid", "6379", "q"}),
        "cannot connect to nowhere.invalid:6379: cannot find the host: ");

  // Servers of another kind.
  const auto answering = [&](std::vector<std::string> answers, const std::string& reason) {
    listener l;
    const std::jthread serving([&] {
      connection c = l.accept();
      for (const auto& a : answers) {
        static_cast<void>(c.receive_more());
        c.send(a);
      }
      while (c.receive_more()) continue;
    });
    check(arguments("work", l.port(), {"--answer-ms", "500"}), reason);
  };
  answering({"HTTP/1.1 400 Bad Request\r\n\r\n"}, "Protocol error, got \"H\"");
  answering({}, "no answer for too long");
  answering({"-NOAUTH Authentication required.\r\n"}, "NOAUTH Authentication required.");
}

BOOST_AUTO_TEST_CASE(a_server_too_old_is_refused) {
  listener l;
  const std::jthread serving([&] {
    connection c = l.accept();
    static_cast<void>(c.receive_more());
    c.send("+PONG\r\n");
    static_cast<void>(c.receive_through("server\r\n"));
    const std::string info = "# Server\r\nredis_version:4.0.14\r\nredis_mode:standalone\r\n";
    c.send('$' + std::to_string(info.size()) + "\r\n" + info + "\r\n");
    while (c.receive_more()) continue;
  });
  child_process p(arguments("watch", l.port()), true);
  BOOST_TEST(p.read_all() ==
             "distributed_pool: the server is too old: this needs Redis 7.0 or "
             "newer, and it is 4.0.14\n");
  BOOST_TEST(p.wait() == 1);
}

BOOST_AUTO_TEST_CASE(arguments_that_make_no_sense_are_refused) {
  check_usage("distributed_pool", {});
  check_usage("distributed_pool", {"dance"});
  for (const char* what : {"submit", "work", "watch"}) {
    check_usage("distributed_pool", {what, "127.0.0.1"});
    check_usage("distributed_pool", {what, "127.0.0.1", "0", "q"});
    check_usage("distributed_pool", {what, "127.0.0.1", "6379", "q", "--unknown", "1"});
  }
  check_usage("distributed_pool", {"work", "127.0.0.1", "6379", "q", "--goroutines", "0"});
}

BOOST_AUTO_TEST_SUITE_END()
