// Chat servers whose composed operations rely on the executor of their handler for what their
// branches share: one of goroutines, one of callbacks. For the thread sanitizer.
#include <sluice/channel.hpp>
#include <sluice/executor.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/task.hpp>

#include "support.hpp"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// What the branches of a composed operation share, unguarded. The last one to end completes it.
template <class Handler>
struct branches {
  template <class Executor>
  branches(Handler h, const Executor& ex, int count)
      : handler(std::move(h)), deadline(ex, 1h), left(count) {}

  static void end(const std::shared_ptr<branches>& self) {
    if (--self->left != 0) return;
    auto last = std::move(self->handler);
    std::move(last)(self->failure, self->length);
  }

  Handler handler;
  asio::steady_timer deadline;
  int left;
  error_code failure;
  std::size_t length = 0;
};

/// Calls `begin` with a handler for the one transfer of a composed operation, beside which there
/// are a deadline and steps that are posted to the executor of the operation's handler.
template <class Begin, class Token>
auto async_transfer(tcp::socket& socket, Begin begin, Token&& token) {
  return asio::async_initiate<Token, void(error_code, std::size_t)>(
      [&socket](auto handler, Begin begin_now) {
        constexpr int steps = 3;
        const auto ex = asio::get_associated_executor(handler, socket.get_executor());
        using state = branches<decltype(handler)>;
        const auto all = std::make_shared<state>(std::move(handler), ex, steps + 3);
        for (int i = 0; i < steps; ++i) asio::post(ex, [all] { state::end(all); });
        all->deadline.async_wait(
            asio::bind_executor(ex, [all](const error_code&) { state::end(all); }));
        begin_now(asio::bind_executor(ex, [all, ex](const error_code& e, std::size_t length) {
          all->failure = e;
          all->length = length;
          asio::post(ex, [all] {
            all->deadline.cancel();
            state::end(all);
          });
          state::end(all);
        }));
      },
      token, std::move(begin));
}

template <class Token>
auto async_read_line(tcp::socket& socket, std::string& unread, Token&& token) {
  const auto begin = [&](auto handler) {
    asio::async_read_until(socket, asio::dynamic_buffer(unread), '\n', std::move(handler));
  };
  return async_transfer(socket, begin, std::forward<Token>(token));
}

template <class Token>
auto async_write_line(tcp::socket& socket, const std::string& line, Token&& token) {
  const auto begin = [&](auto handler) {
    asio::async_write(socket, asio::buffer(line), std::move(handler));
  };
  return async_transfer(socket, begin, std::forward<Token>(token));
}

std::string take_line(std::string& unread, std::size_t length) {
  std::string line = unread.substr(0, length);
  unread.erase(0, length);
  return line;
}

/// Who is there, each with a function that has a line written.
class room {
 public:
  void join(std::function<void(const std::string&)> tell) {
    const std::lock_guard guard(mutex_);
    guests_.push_back(std::move(tell));
  }
  void say(const std::string& line) {
    const std::lock_guard guard(mutex_);
    for (const auto& tell : guests_) tell(line);
  }
  void close() {
    const std::lock_guard guard(mutex_);
    guests_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<std::function<void(const std::string&)>> guests_;
};

// ------------------------------------------------------------------- goroutines

task<> write_lines(std::shared_ptr<tcp::socket> socket, sluice::channel<std::string> lines) {
  while (const auto line = co_await lines.receive())
    co_await async_write_line(*socket, *line, asio::deferred);
}

// Reader and writer share the reader's strand, because they share the socket.
task<> guest(tcp::socket accepted, room& all) {
  const auto socket = std::make_shared<tcp::socket>(std::move(accepted));
  const auto strand = co_await asio::this_coro::executor;
  const auto lines = sluice::make_channel<std::string>(strand, 10'000);
  sluice::go(strand, write_lines(socket, lines));
  all.join([lines](const std::string& line) { lines.try_send(line); });
  lines.try_send("welcome\n");
  std::string unread;
  try {
    for (;;) {
      const auto length = co_await async_read_line(*socket, unread, asio::deferred);
      all.say(take_line(unread, length));
    }
  } catch (const sluice::system_error&) {
    lines.close();
  }
}

task<> serve_with_goroutines(tcp::acceptor& acceptor, room& all, int guests) {
  const auto io = acceptor.get_executor();
  for (int i = 0; i < guests; ++i) {
    tcp::socket socket = co_await acceptor.async_accept(asio::deferred);
    sluice::go(io, guest(std::move(socket), all));
  }
}

// -------------------------------------------------------------------- callbacks

class session : public std::enable_shared_from_this<session> {
 public:
  session(tcp::socket socket, room& all)
      : socket_(std::move(socket)),
        strand_(sluice::get_executor(socket_.get_executor())),
        all_(all) {}

  void start() {
    asio::post(strand_, [self = shared_from_this()] {
      self->all_.join([self](const std::string& line) {
        asio::post(self->strand_, [self, line] { self->tell(line); });
      });
      self->tell("welcome\n");
      self->read();
    });
  }

 private:
  void read() {
    async_read_line(socket_, unread_,
                    asio::bind_executor(strand_, [self = shared_from_this()](const error_code& e,
                                                                             std::size_t length) {
                      if (e) return;
                      self->all_.say(take_line(self->unread_, length));
                      self->read();
                    }));
  }

  void tell(const std::string& line) {
    unwritten_.push_back(line);
    if (unwritten_.size() == 1) write();
  }

  void write() {
    async_write_line(
        socket_, unwritten_.front(),
        asio::bind_executor(strand_, [self = shared_from_this()](const error_code& e, std::size_t) {
          self->unwritten_.pop_front();
          if (!e && !self->unwritten_.empty()) self->write();
        }));
  }

  tcp::socket socket_;
  asio::strand<sluice::executor> strand_;
  room& all_;
  std::string unread_;
  std::deque<std::string> unwritten_;
};

void serve_with_callbacks(tcp::acceptor& acceptor, room& all, int guests) {
  if (guests == 0) return;
  acceptor.async_accept([&acceptor, &all, guests](const error_code& e, tcp::socket socket) {
    if (e) return;
    std::make_shared<session>(std::move(socket), all)->start();
    serve_with_callbacks(acceptor, all, guests - 1);
  });
}

// ---------------------------------------------------------------------- clients

/// Talks and counts what it hears.
std::size_t talk(const tcp::endpoint& server, std::latch& all_there, std::size_t lines,
                 std::size_t lines_of_all) {
  asio::io_context io;
  tcp::socket socket(io);
  socket.connect(server);
  std::string unread;
  const auto hear = [&] {
    return take_line(unread, asio::read_until(socket, asio::dynamic_buffer(unread), '\n'));
  };
  const bool welcome = hear() == "welcome\n";
  all_there.arrive_and_wait();
  for (std::size_t i = 0; i < lines; ++i)
    asio::write(socket, asio::buffer("line " + std::to_string(i) + '\n'));
  std::size_t heard = 0;
  while (welcome && heard < lines_of_all) heard += hear().starts_with("line ");
  return heard;
}

/// Lets clients talk with a server that `serve` starts.
template <class Serve>
void chat(Serve serve) {
  constexpr int guests = 6;
  const watchdog dog;
  const std::size_t lines = rounds(200);
  asio::io_context io;
  tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  room all;
  serve(acceptor, all, guests);
  // Nobody talks before all have been told "welcome", and so have joined.
  std::latch all_there(guests);
  findings wrong;
  std::thread clients([&, server = acceptor.local_endpoint()] {
    on_threads(guests, [&](int) {
      const auto heard = talk(server, all_there, lines, guests * lines);
      wrong.expect(heard == guests * lines, "not every line was heard");
    });
    all.close();
  });
  on_threads(4, [&](int) { io.run(); });
  clients.join();
  BOOST_TEST(wrong.text() == "");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_chat_server)

BOOST_AUTO_TEST_CASE(of_goroutines_has_its_composed_operations_on_their_strands) {
  chat([](tcp::acceptor& acceptor, room& all, int guests) {
    sluice::go(acceptor.get_executor(), serve_with_goroutines(acceptor, all, guests));
  });
}

BOOST_AUTO_TEST_CASE(of_callbacks_has_them_on_strands_of_our_executor) {
  chat([](tcp::acceptor& acceptor, room& all, int guests) {
    serve_with_callbacks(acceptor, all, guests);
  });
}

BOOST_AUTO_TEST_SUITE_END()
