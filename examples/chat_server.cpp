// SPDX-License-Identifier: BSL-1.0
// A TCP chat server: what one guest writes, line by line, all others read. `sluice::serve` gives
// every guest a goroutine, which reads what it says; a second one writes what it is told. The room
// that they share is a class with a lock, and never waits for anybody.
//
//   chat_server PORT [--threads N] [--guests N] [--idle-ms N] [--slow-ms N]
//
// It listens on 127.0.0.1 (PORT 0: the system chooses one) until SIGINT or SIGTERM; then every
// guest has to go, and it ends. A guest that says nothing for the idle time has to go as well, and
// so has one that does not take what it is written for the slow time.
//
// What is bounded: guests, one too many is told so; lines at 16 KiB, whose author has to go; what a
// guest has said and not all others have taken, at 128 KiB: beyond that it is read from more
// slowly, 4 KiB in 10 ms, until they have, so that who does not listen silences nobody; what waits
// for a guest, at 1 MiB: it loses the lines beyond, and is told how many. Half of that is for those
// of whom no more than 16 KiB waits, so that who talks without end silences nobody. Lines that come
// together are passed on together: the room has one turn for each read. Comings and goings are told
// in a room of at most 100. Of a line only printable UTF-8 and tabs pass.
#include "program.hpp"

#include <sluice.hpp>

#include <boost/asio.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;
using sluice::error_code;
using std::chrono::milliseconds;

constexpr auto as_result = asio::as_tuple(asio::deferred);

constexpr std::size_t longest_line = 16'384;
constexpr std::size_t most_said = 128 * 1024;   // by one guest, and not taken by all others
constexpr std::size_t little_said = 16 * 1024;  // likewise: it is heard before those who say more
constexpr auto patience = std::chrono::milliseconds(10);  // with those who have not taken it
constexpr std::size_t most_waiting = 1024 * 1024;         // for one guest
constexpr int most_in_system = 256 * 1024;   // for one guest, who would hear late what comes behind
constexpr std::size_t most_announced = 100;  // guests in a room that is told who comes

/// One or more lines that everybody in the room is told. Destroyed when the last has taken it.
struct message {
  explicit message(std::string t, std::size_t n = 1, sluice::semaphore::permit s = {},
                   bool much = false)
      : text(std::move(t)), lines(n), said(std::move(s)), of_many(much) {}
  /// The memory that it takes, with its places in queues.
  static std::size_t size_of(const std::string& text) { return text.size() + 256; }
  [[nodiscard]] std::size_t size() const { return size_of(text); }

  const std::string text;
  const std::size_t lines;
  const sluice::semaphore::permit said;  // its author's, which it may say again
  const bool of_many;                    // of somebody who talks a lot
};
using message_ptr = std::shared_ptr<const message>;

/// What waits to be written to a guest. The lock is the room's.
struct outbox {
  std::deque<message_ptr> waiting;
  std::size_t size = 0;
  std::size_t lost = 0;  ///< lines, of which it has not been told
  const sluice::channel<void> filled = sluice::make_channel<void>(1);
};

class room {
 public:
  /// Lets somebody in. @return Its number.
  int enter(const std::shared_ptr<outbox>& o) {
    const std::lock_guard guard(mutex_);
    const int guest = ++guests_so_far_;
    announce("* " + name_of(guest) + " has come\n");
    guests_.emplace(guest, o);
    put(*o, std::make_shared<message>("* you are " + name_of(guest) + '\n'));
    return guest;
  }

  void leave(int guest) {
    const std::lock_guard guard(mutex_);
    guests_.erase(guest);
    announce("* " + name_of(guest) + " has gone\n");
  }

  /// Tells all but its author.
  void tell(int author, const message_ptr& m) {
    const std::lock_guard guard(mutex_);
    for (const auto& [guest, o] : guests_)
      if (guest != author) put(*o, m);
  }
  /// Tells one guest.
  void tell_only(outbox& o, std::string text) {
    const std::lock_guard guard(mutex_);
    put(o, std::make_shared<message>(std::move(text)));
  }

  /// Takes some of what waits for a guest.
  std::vector<message_ptr> take(outbox& o) {
    const std::lock_guard guard(mutex_);
    std::vector<message_ptr> taken;
    for (std::size_t size = 0; !o.waiting.empty() && size < 64 * 1024;) {
      size += o.waiting.front()->size();
      taken.push_back(std::move(o.waiting.front()));
      o.waiting.pop_front();
    }
    for (const auto& m : taken) o.size -= m->size();
    if (o.lost != 0)
      taken.push_back(std::make_shared<message>(
          "* you have missed " + std::to_string(std::exchange(o.lost, 0)) + " lines\n"));
    return taken;
  }

  static std::string name_of(int guest) { return "guest " + std::to_string(guest); }

 private:
  void announce(std::string text) {
    if (guests_.size() > most_announced) return;  // everybody telling everybody is quadratic
    const auto m = std::make_shared<message>(std::move(text));
    for (const auto& [guest, o] : guests_) put(*o, m);
  }

  static void put(outbox& o, const message_ptr& m) {
    if (o.size + m->size() > (m->of_many ? most_waiting / 2 : most_waiting)) {
      o.lost += m->lines;
    } else {
      o.size += m->size();
      o.waiting.push_back(m);
    }
    error_code full_already;
    o.filled.try_send(full_already);
  }

  std::mutex mutex_;
  std::map<int, std::shared_ptr<outbox>> guests_;
  int guests_so_far_ = 0;
};

/// The character with which a text begins, and its length, 0 if that is not UTF-8: cut short,
/// longer than need be, a surrogate, or beyond the last character.
std::pair<char32_t, std::size_t> first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const char32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t n = first < 0xC0   ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF8 ? 4
                                       : 0;
  if (n == 0 || n > text.size()) return {0, 0};
  char32_t c = first & (0x7Fu >> n);
  for (std::size_t i = 1; i < n; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {0, 0};
    c = c << 6 | (byte(i) & 0x3Fu);
  }
  constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = c >= 0xD800 && c < 0xE000;
  if (c < least[n] || surrogate || c > 0x10FFFF) return {0, 0};
  return {c, n};
}

/// Whether a terminal obeys this character instead of showing it: control characters (a carriage
/// return would let one guest pose as another), line ends, and what changes the direction of text.
bool is_obeyed(char32_t c) {
  return (c < 0x20 && c != '\t') || (c >= 0x7F && c < 0xA0) || c == 0x061C || c == 0x200E ||
         c == 0x200F || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/// What of a line may be shown on the terminals of others.
std::string printable(std::string_view line) {
  std::string clean;
  while (!line.empty()) {
    const auto [c, n] = first_character(line);
    if (n != 0 && !is_obeyed(c)) clean.append(line, 0, n);
    line.remove_prefix(n == 0 ? 1 : n);
  }
  return clean;
}

class chat_server {
 public:
  chat_server(milliseconds idle, milliseconds slow) : idle_(idle), slow_(slow) {}

  /// Serves a guest until it has to go.
  sluice::task<> serve(tcp::socket socket, sluice::context ctx) {
    const auto strand = co_await asio::this_coro::executor;  // the guest's two goroutines share it
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    socket.set_option(tcp::socket::send_buffer_size(most_in_system), ignored);
    auto waiting = std::make_shared<outbox>();
    const int id = room_.enter(waiting);
    sluice::wait_group writing;
    // Refers to socket and *waiting, which stay until it has been waited for, below.
    writing.go(strand, write(socket, *waiting));
    try {
      co_await listen(socket, id, *waiting);
    } catch (...) {
      // The server is being stopped, or memory is out: the guest goes either way.
    }
    room_.leave(id);
    waiting->filled.close();
    try {
      if (!ctx.err()) co_await writing.wait();  // until the guest has the rest, or was too slow
    } catch (...) {
      // The server is being stopped: the writer is ended below.
    }
    socket.close(ignored);
    // Being stopped ends every wait; this one has to last until the writer has ended.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await writing.wait();
  }

 private:
  /// Tells the room what the guest says.
  sluice::task<> listen(tcp::socket& socket, int id, outbox& waiting) {
    const std::string name = room::name_of(id);
    sluice::semaphore credit(most_said), little(little_said);
    std::string received;  // and not yet told the room
    char data[4096];
    for (;;) {
      std::string text;
      std::size_t lines = 0, begin = 0;
      for (auto end = received.find('\n'); end != received.npos; end = received.find('\n', begin)) {
        if (end - begin > longest_line) break;
        text +=
            name + ": " + printable(std::string_view(received).substr(begin, end - begin)) + '\n';
        begin = end + 1;
        ++lines;
      }
      received.erase(0, begin);
      if (lines != 0) {
        const std::size_t size = message::size_of(text);
        auto said = little.try_acquire(size);
        const bool much = !said;
        if (much)
          co_await sluice::select(
              sluice::on(credit.acquire(size),
                         [&](sluice::semaphore::permit p) { said = std::move(p); }),
              sluice::on(sluice::sleep_for(patience), [] {}));
        room_.tell(id, std::make_shared<message>(std::move(text), lines, std::move(said), much));
      }
      if (received.size() > longest_line) co_return;
      const auto [e, n] =
          co_await sluice::timeout(socket.async_read_some(asio::buffer(data), as_result), idle_);
      if (e == asio::error::timed_out)
        room_.tell_only(waiting, "* you have been silent for too long\n");
      if (e) co_return;
      received.append(data, n);
    }
  }

  /// Writes what the guest is told.
  sluice::task<> write(tcp::socket& socket, outbox& waiting) {
    for (bool more = true; more;) {
      more = co_await waiting.filled.receive();
      for (auto taken = room_.take(waiting); !taken.empty(); taken = room_.take(waiting)) {
        std::vector<asio::const_buffer> texts;
        for (const auto& m : taken) texts.push_back(asio::buffer(m->text));
        const auto [e, n] =
            co_await sluice::timeout(asio::async_write(socket, texts, as_result), slow_);
        if (!e) continue;
        error_code ignored;
        socket.close(ignored);  // it has not taken it, or has gone: the reader learns of it
        co_return;
      }
    }
  }

  const milliseconds idle_;
  const milliseconds slow_;
  room room_;
};

/// Tells one that is too many, without waiting for it to listen.
void refuse(tcp::socket socket) {
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(std::string_view("* the room is full\n")), ignored);
}

int main(int argc, char* argv[]) {
  constexpr unsigned day = 86'400'000;
  server_arguments server;
  unsigned idle_ms = 600'000, slow_ms = 5'000;
  command_line line("chat_server", "Lets guests talk to each other, on 127.0.0.1.");
  line.positional("PORT", server.port, 0, 65535, "where to listen; 0: the system chooses");
  line.option("--threads", server.threads, 1, 256, "how many threads run it");
  line.option("--guests", server.connections, 1, 1'000'000,
              "how many at a time; more are told to go");
  line.option("--idle-ms", idle_ms, 0, day, "who says nothing for so long has to go; 0: nobody");
  line.option("--slow-ms", slow_ms, 0, day, "who reads nothing for so long has to go; 0: nobody");
  int status = 0;
  if (!line.parse(argc, argv, status)) return status;

  return run_program("chat_server", [&] {
    server_loop loop(server);
    loop.options.grace = {};
    chat_server chat(limit_of(idle_ms), limit_of(slow_ms));
    sluice::serve(
        loop.acceptor, loop.options,
        [&](tcp::socket socket, sluice::context ctx) {
          return chat.serve(std::move(socket), std::move(ctx));
        },
        refuse)(loop.ended());
    loop.run();
    std::printf("served %zu guests\n", loop.result.served);
  });
}
