// SPDX-License-Identifier: BSL-1.0
// A server as Asio programs have long been written: sessions with enable_shared_from_this, and
// callbacks, no coroutine. It takes three things from Sluice: a worker pool that does the work, a
// channel that carries what is to be logged to the one writer of the log, and a context that ends
// every read when the server stops. Their operations are given completion handlers, as Asio's are.
//
//   callback_server PORT [THREADS] [--connections N] [--idle-ms N]
//
// Every line is answered with the number of words in it; to a line of more than 1,000 characters
// the worker says no. It listens on 127.0.0.1 (PORT 0: the system chooses one) until SIGINT or
// SIGTERM; then it closes every connection and says what its log has counted.
//
// What is bounded: connections, of which the next one waits until another has ended; the time in
// which one says nothing or takes nothing, after which it is closed; what has been read and not
// been answered, at 64 KiB for each, and at one answer: no more is read before it has been taken;
// jobs and entries of the log, at 100 each: a session waits for room and reads nothing meanwhile.
#include "program.hpp"

#include <sluice.hpp>

#include <boost/asio.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace asio = boost::asio;
using asio::ip::tcp;
using sluice::error_code;
using std::chrono::milliseconds;

/// What a worker does. It may take as long as it likes: no session waits for it.
std::size_t count_words(const std::string& line) {
  if (line.size() > 1'000) throw std::length_error("too long");
  std::istringstream in(line);
  std::size_t n = 0;
  for (std::string word; in >> word;) ++n;
  return n;
}

using word_counters = sluice::worker_pool<std::string, std::size_t>;

/// What the sessions share.
struct services {
  services(asio::io_context& io, milliseconds idle_time)
      : workers(io, {.workers = 4, .queue_capacity = 100}, count_words),
        log(sluice::make_channel<std::size_t>(io, 100)),
        idle(idle_time) {}

  word_counters workers;
  sluice::channel<std::size_t> log;
  const milliseconds idle;
};

/// A handler that runs on `where`, of an operation that ends when `ctx` is done.
template <class Executor, class Handler>
auto until_done(const sluice::context& ctx, const Executor& where, Handler handler) {
  return sluice::bind_context(ctx, asio::bind_executor(where, std::move(handler)));
}

/// One connection, which lasts as long as its `server_connection`. Its handlers run on a strand of
/// its own, as does what ends its reads when the server stops: no lock.
class session : public std::enable_shared_from_this<session> {
 public:
  session(tcp::socket socket, sluice::server_connection connection, services& s)
      : socket_(std::move(socket)),
        strand_(asio::make_strand(socket_.get_executor())),
        connection_(std::move(connection)),
        services_(s) {}

  void start() {
    asio::dispatch(strand_, [self = shared_from_this()] { self->read_line(); });
  }

 private:
  void read_line() {
    auto have_read = [self = shared_from_this()](error_code e, std::size_t n) {
      if (!e) self->count(n);
    };
    sluice::timeout(
        asio::async_read_until(socket_, asio::dynamic_buffer(received_, 64 * 1024), '\n',
                               asio::deferred),
        services_.idle)(until_done(connection_.stopping(), strand_, std::move(have_read)));
  }

  /// If all workers are busy and their queue is full the job waits, and nothing more is read.
  void count(std::size_t length) {
    std::string line = received_.substr(0, length);
    received_.erase(0, length);
    auto have_counted = [self = shared_from_this()](std::exception_ptr failure, std::size_t words) {
      if (failure)
        self->answer("no\n");
      else
        self->log(words);
    };
    services_.workers.submit(std::move(line))(
        asio::bind_executor(strand_, std::move(have_counted)));
  }

  /// Goes on when there is room for it in the channel: a slow log slows the sessions down.
  void log(std::size_t words) {
    auto have_logged = [self = shared_from_this(), words](error_code e) {
      if (!e) self->answer(std::to_string(words) + '\n');
    };
    services_.log.async_send(words, asio::bind_executor(strand_, std::move(have_logged)));
  }

  void answer(std::string text) {
    unwritten_ = std::move(text);
    auto have_written = [self = shared_from_this()](error_code e, std::size_t) {
      if (!e) self->read_line();
    };
    sluice::timeout(
        asio::async_write(socket_, asio::buffer(unwritten_), asio::deferred),
        services_.idle)(until_done(connection_.stopping(), strand_, std::move(have_written)));
  }

  tcp::socket socket_;
  const asio::strand<tcp::socket::executor_type> strand_;
  const sluice::server_connection connection_;
  services& services_;
  std::string received_;
  std::string unwritten_;
};

/// Receives what the sessions send until the channel is closed. One handler at a time: no lock.
class log_writer {
 public:
  explicit log_writer(sluice::receiver<std::size_t> entries) : entries_(std::move(entries)) {}

  void receive() {
    entries_.async_receive([this](error_code, std::optional<std::size_t> words) {
      if (!words) return;  // closed, and all of it received
      ++lines;
      total += *words;
      receive();
    });
  }

  std::size_t lines = 0;
  std::size_t total = 0;

 private:
  const sluice::receiver<std::size_t> entries_;
};

class callback_server {
 public:
  callback_server(server_loop& loop, milliseconds idle)
      : services_(loop.io, idle), log_(services_.log) {
    log_.receive();
    const auto begin = [this](tcp::socket socket, sluice::server_connection connection) {
      std::make_shared<session>(std::move(socket), std::move(connection), services_)->start();
    };
    // One after another: the sessions, the workers, the log.
    sluice::serve(loop.acceptor, loop.options,
                  begin)([this, &loop](error_code e, sluice::serve_result result) {
      services_.workers.stop()(
          asio::bind_executor(loop.io, [this](error_code) { services_.log.close(); }));
      loop.ended()(e, result);
    });
  }

  [[nodiscard]] const log_writer& log() const { return log_; }

 private:
  services services_;
  log_writer log_;
};

int main(int argc, char* argv[]) {
  server_arguments arguments{.threads = 1};
  unsigned idle_ms = 60'000;
  command_line line("callback_server",
                    "Counts the words of every line that it gets, on 127.0.0.1.");
  line.positional("PORT", arguments.port, 0, 65535, "where to listen; 0: the system chooses");
  line.positional("THREADS", arguments.threads, 1, 256, "how many threads run it (1)", false);
  line.option("--connections", arguments.connections, 1, 1'000'000,
              "how many at a time; more wait");
  line.option("--idle-ms", idle_ms, 0, 86'400'000, "a silent connection is closed; 0: never");
  int status = 0;
  if (!line.parse(argc, argv, status)) return status;

  return run_program("callback_server", [&] {
    server_loop loop(arguments);
    callback_server server(loop, limit_of(idle_ms));
    loop.run();
    std::printf("counted %zu words in %zu lines\n", server.log().total, server.log().lines);
  });
}
