// A server as Asio programs have been written for long, sessions with enable_shared_from_this and
// callbacks, which takes from Sluice, and without a coroutine, a worker pool that does the work, a
// channel that carries what is to be logged to the one that writes it, and a context that ends
// every read when the server stops: operations that are given a completion handler, as Asio's are.
//
//   callback_server PORT [THREADS]     PORT 0: the system chooses a free one
//
// Every line is answered with the number of words in it; to a line of more than 1,000 characters
// the worker says no. It listens on 127.0.0.1 until SIGINT or SIGTERM; then it closes every
// connection and says what its log has counted.
#include <sluice.hpp>

#include <boost/asio.hpp>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;
using sluice::error_code;
using namespace std::chrono_literals;

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
  explicit services(asio::io_context& io)
      : workers(io, {.workers = 4, .queue_capacity = 100}, count_words),
        log(sluice::make_channel<std::size_t>(io, 100)),
        stopping(sluice::with_cancel(sluice::context::background())) {}

  word_counters workers;
  sluice::channel<std::size_t> log;
  sluice::cancellable_context stopping;
  sluice::wait_group sessions;
};

/// One connection. All its handlers run on the strand of its socket.
class session : public std::enable_shared_from_this<session> {
 public:
  session(tcp::socket socket, services& s) : socket_(std::move(socket)), services_(s) {
    services_.sessions.add();
  }
  ~session() { services_.sessions.done(); }

  void start() { read_line(); }

 private:
  void read_line() {
    auto have_read = [self = shared_from_this()](error_code e, std::size_t n) {
      if (!e) self->count(n);
    };
    asio::async_read_until(socket_, asio::dynamic_buffer(received_, 64 * 1024), '\n',
                           sluice::bind_context(services_.stopping.ctx, std::move(have_read)));
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
        asio::bind_executor(socket_.get_executor(), std::move(have_counted)));
  }

  /// Goes on when there is room for it in the channel: a slow log slows the sessions down.
  void log(std::size_t words) {
    auto have_logged = [self = shared_from_this(), words](error_code e) {
      if (!e) self->answer(std::to_string(words) + '\n');
    };
    services_.log.async_send(words,
                             asio::bind_executor(socket_.get_executor(), std::move(have_logged)));
  }

  void answer(std::string text) {
    unwritten_ = std::move(text);
    auto have_written = [self = shared_from_this()](error_code e, std::size_t) {
      if (!e) self->read_line();
    };
    asio::async_write(socket_, asio::buffer(unwritten_),
                      sluice::bind_context(services_.stopping.ctx, std::move(have_written)));
  }

  tcp::socket socket_;
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
  callback_server(asio::io_context& io, unsigned short port)
      : io_(io),
        acceptor_(asio::make_strand(io), {asio::ip::address_v4::loopback(), port}),
        signals_(acceptor_.get_executor(), SIGINT, SIGTERM),
        services_(io),
        log_(services_.log) {
    log_.receive();
    accept();
    signals_.async_wait([this](error_code, int) { stop(); });
  }

  [[nodiscard]] unsigned short port() const { return acceptor_.local_endpoint().port(); }
  [[nodiscard]] const log_writer& log() const { return log_; }

 private:
  void accept() {
    acceptor_.async_accept(asio::make_strand(io_), [this](error_code e, tcp::socket socket) {
      if (!acceptor_.is_open()) return;
      if (!e) std::make_shared<session>(std::move(socket), services_)->start();
      if (!e || e == asio::error::connection_aborted) return accept();
      // Out of descriptors or memory, most likely. Connections that end give them back.
      std::fprintf(stderr, "accept: %s\n", e.message().c_str());
      sluice::sleep_for(100ms)(
          asio::bind_executor(acceptor_.get_executor(), [this](error_code) { accept(); }));
    });
  }

  /// One after another: the sessions, the workers, the log.
  void stop() {
    acceptor_.close();
    services_.stopping.cancel();
    services_.sessions.wait()(asio::bind_executor(io_, [this](error_code) {
      services_.workers.stop()(
          asio::bind_executor(io_, [this](error_code) { services_.log.close(); }));
    }));
  }

  asio::io_context& io_;
  tcp::acceptor acceptor_;
  asio::signal_set signals_;
  services services_;
  log_writer log_;
};

/// Reads a decimal number of at most `limit`.
bool parse(const char* text, unsigned limit, unsigned& number) {
  const char* const end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, number);
  return error == std::errc() && rest == end && number <= limit;
}

int main(int argc, char* argv[]) {
  unsigned port = 0;
  unsigned threads = 1;
  if (argc < 2 || argc > 3 || !parse(argv[1], 65535, port) ||
      (argc == 3 && !parse(argv[2], 256, threads)) || threads == 0) {
    std::fputs("usage: callback_server PORT [THREADS]\n", stderr);
    return 2;
  }
  try {
    asio::io_context io(static_cast<int>(threads));
    callback_server server(io, static_cast<unsigned short>(port));
    std::printf("listening on %d\n", server.port());
    std::fflush(stdout);

    std::vector<std::jthread> others;
    for (unsigned i = 1; i < threads; ++i) others.emplace_back([&] { io.run(); });
    io.run();
    others.clear();

    std::printf("counted %zu words in %zu lines\n", server.log().total, server.log().lines);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "callback_server: %s\n", e.what());
    return 1;
  }
}
