// SPDX-License-Identifier: BSL-1.0
#include "submit.hpp"

#include "../program.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>

namespace asio = boost::asio;
using sluice::on;
using namespace std::chrono_literals;

namespace {

/// A line of the input.
class numbered_line {
 public:
  numbered_line(std::size_t number, std::string text) : number_(number), text_(std::move(text)) {}

  [[nodiscard]] std::size_t number() const { return number_; }
  /// The job that it says; nothing if it has no key or no type.
  [[nodiscard]] std::optional<job> parse() const {
    const auto key_end = text_.find(' ');
    if (key_end == 0 || key_end == text_.npos) return std::nullopt;
    const auto type_end = std::min(text_.find(' ', key_end + 1), text_.size());
    if (type_end == key_end + 1) return std::nullopt;
    job j;
    j.key = text_.substr(0, key_end);
    j.type = text_.substr(key_end + 1, type_end - key_end - 1);
    if (type_end < text_.size()) j.payload = text_.substr(type_end + 1);
    return j;
  }

 private:
  std::size_t number_;
  std::string text_;
};

/// The standard input, whose readers do not block; others who have it open find it as it was.
class standard_input {
 public:
  explicit standard_input(const asio::any_io_executor& where)
      : flags_(::fcntl(STDIN_FILENO, F_GETFL)), stream_(where, ::dup(STDIN_FILENO)) {}
  standard_input(const standard_input&) = delete;
  standard_input& operator=(const standard_input&) = delete;
  ~standard_input() { ::fcntl(STDIN_FILENO, F_SETFL, flags_); }

  [[nodiscard]] asio::posix::stream_descriptor& stream() { return stream_; }

 private:
  const int flags_;
  asio::posix::stream_descriptor stream_;
};

/// Sends the lines of the standard input until its end, or until `stop` is done.
sluice::task<> read_lines(sluice::context stop, sluice::sender<numbered_line> lines) {
  standard_input input(co_await asio::this_coro::executor);
  std::string text;
  std::size_t number = 0;
  bool more = true;
  while (more) {
    std::size_t length = 0;
    const auto take = [&](sluice::error_code e, std::size_t n) {
      if (e && e != asio::error::eof) throw sluice::system_error(e, "the standard input");
      more = !e;
      length = e ? text.size() : n;
    };
    const auto end = [&] { more = false; };
    co_await sluice::select(
        on(asio::async_read_until(input.stream(), asio::dynamic_buffer(text), '\n', asio::deferred),
           take, sluice::drop_lost),
        on(stop.done(), end));
    if (length == 0) continue;
    std::string line = text.substr(0, length);
    text.erase(0, length);
    if (line.back() == '\n') line.pop_back();
    co_await lines.send(numbered_line(++number, std::move(line)));
  }
  lines.close();
}

/// Submits lines of which others submit the rest.
class submitter {
 public:
  submitter(job_queue& queue, unsigned limit) : queue_(queue), limit_(limit) {}

  [[nodiscard]] sluice::task<> submit_all(sluice::receiver<numbered_line> lines) {
    while (auto line = co_await lines.receive()) {
      auto j = line->parse();
      if (!j)
        refuse(*line, "is not \"KEY TYPE PAYLOAD\"");
      else if (std::max({j->key.size(), j->type.size(), j->payload.size()}) > queue_.most_bytes())
        refuse(*line,
               "is over the server's limit of " + std::to_string(queue_.most_bytes()) + " bytes");
      else
        co_await add(*std::move(j));
    }
  }

  submit_counts counts;

 private:
  void refuse(const numbered_line& line, const std::string& why) {
    ++counts.refused;
    std::fprintf(stderr, "distributed_pool: line %zu %s\n", line.number(), why.c_str());
  }

  /// While the queue is full, the time between attempts grows to a fifth of a second.
  sluice::task<> add(job j) {
    for (auto pause = 2ms;; pause = std::min(2 * pause, 200ms)) {
      const auto outcome = co_await queue_.add(j, limit_);
      if (outcome == job_queue::outcome::added) ++counts.added;
      if (outcome == job_queue::outcome::known) ++counts.known;
      if (outcome != job_queue::outcome::full) co_return;
      std::uniform_int_distribution<long> part(pause.count() / 2, pause.count());
      co_await sluice::sleep_for(std::chrono::milliseconds(part(random_)));
    }
  }

  job_queue& queue_;
  const unsigned limit_;
  std::minstd_rand random_{std::random_device()()};
};

}  // namespace

sluice::task<submit_counts> submit(job_queue& queue, submit_options options) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGINT, SIGTERM);
  const auto stop = sluice::with_cancel(sluice::context::background());
  submitter s(queue, options.limit);
  const auto again = [&](sluice::error_code e, int signal) {
    if (e) return;
    signals.clear();
    std::raise(signal);
  };
  const auto told = [&](sluice::error_code e, int) {
    if (e) return;
    s.counts.interrupted = true;
    stop.cancel();
    signals.async_wait(again);
  };
  signals.async_wait(told);
  const auto lines = sluice::make_channel<numbered_line>(options.at_a_time);
  const auto all = [&](sluice::task_group& group) -> sluice::task<> {
    group.go(read_lines(stop.ctx, lines));
    for (std::size_t i = 0; i < options.at_a_time; ++i) group.go(s.submit_all(lines));
    co_return;
  };
  std::string problem;
  try {
    co_await sluice::with_task_group(sluice::context::background(), all);
  } catch (const std::exception&) {
    problem = sluice::describe(std::current_exception());
  }
  begin_last_words({SIGINT, SIGTERM});
  if (!problem.empty())
    throw std::runtime_error(problem + "; at least " + std::to_string(s.counts.added) +
                             " jobs were added. To submit all of them again does not double them");
  co_return s.counts;
}
