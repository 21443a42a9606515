// SPDX-License-Identifier: BSL-1.0
#include "watch.hpp"

#include "../program.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>

#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

namespace asio = boost::asio;

namespace {

/// The counts in one line.
std::string line_of(const job_queue_counts& c, const std::optional<double>& rate) {
  char text[256];
  std::snprintf(text, sizeof text,
                "length %lld, pending %lld at %lld workers, done %lld, %.0f/s, taken over %lld, "
                "dead %lld",
                c.length, c.pending, c.workers, c.stored, rate.value_or(0), c.taken_over, c.dead);
  return c.last_death.empty() ? text : text + (", the last: " + c.last_death);
}

/// A line as a terminal shows it in one row: cut, and without what would move the cursor.
std::string in_one_row(std::string line) {
  winsize size{};
  std::size_t columns = 80;
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) columns = size.ws_col;
  for (char& c : line)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  if (line.size() < columns) return line;
  const auto begins_no_character = [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
  };
  std::size_t end = columns - 1;
  while (end > 0 && begins_no_character(line[end])) --end;
  return line.substr(0, end);
}

/// Shows a line every period, until it is cancelled.
sluice::task<> show(job_queue& queue, watch_options options) {
  const bool on_terminal = ::isatty(STDOUT_FILENO) == 1;
  const char* const before = on_terminal ? "\r\033[K" : "";
  const char* const behind = on_terminal ? "" : "\n";
  const sluice::ticker ticker(options.period);
  std::optional<job_queue_counts> last;
  auto last_time = sluice::clock::now();
  for (unsigned i = 1;; ++i) {
    std::string line;
    try {
      const auto now = sluice::clock::now();
      const auto counts = co_await queue.counts();
      const std::chrono::duration<double> passed = now - last_time;
      std::optional<double> rate;
      if (last) rate = static_cast<double>(counts.stored - last->stored) / passed.count();
      line = line_of(counts, rate);
      last = counts;
      last_time = now;
    } catch (const sluice::system_error& e) {
      if (e.code() == asio::error::operation_aborted) throw;
      line = "no connection";
    } catch (const redis_error& e) {
      line = e.what();  // the queue has been deleted, for example
    }
    if (on_terminal) line = in_one_row(std::move(line));
    std::printf("%s%s%s", before, line.c_str(), behind);
    if (std::fflush(stdout) != 0) co_return;  // nobody reads it any more
    if (i == options.times) break;
    co_await ticker.receive();
  }
}

}  // namespace

sluice::task<> watch(job_queue& queue, watch_options options) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGINT, SIGTERM);
  const auto stop = sluice::with_cancel(sluice::context::background());
  signals.async_wait([&](sluice::error_code e, int) {
    if (!e) stop.cancel();
  });
  const auto shows = [&](sluice::task_group& group) -> sluice::task<> {
    group.go(show(queue, options));
    co_return;
  };
  try {
    co_await sluice::with_task_group(stop.ctx, shows);
  } catch (const sluice::system_error&) {
    if (!stop.ctx.err()) throw;
  }
  begin_last_words({SIGINT, SIGTERM});
  if (::isatty(STDOUT_FILENO) == 1) std::puts("");
}
