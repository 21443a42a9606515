// A TCP chat server: what one guest writes, line by line, all others read. The program brings its
// own io_context and threads; every guest is one goroutine, which waits with one select for its
// socket, for what the others say, for the end of its patience and for the end of the server.
//
//   chat_server PORT [--threads N] [--idle-ms N] [--slow-ms N]     PORT 0: the system chooses one
//
// It listens on 127.0.0.1 until SIGINT or SIGTERM; then every guest has to go, and it ends. A guest
// that says nothing for the idle time has to go as well, and so has one that does not read what
// the others say for the slow time.
#include <sluice.hpp>

#include <boost/asio.hpp>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;
using sluice::error_code;
using sluice::on;
using namespace std::chrono_literals;

struct options {
  unsigned port = 0;
  unsigned threads = 2;
  unsigned idle_ms = 600'000;
  unsigned slow_ms = 2'000;
};

/// What a guest tells the room.
class event {
 public:
  enum class kind { arrival, line, departure };

  event(kind k, int id, std::string text, sluice::channel<std::string> to_guest)
      : what(k), guest(id), line(std::move(text)), outgoing(std::move(to_guest)) {}

  kind what;
  int guest;
  std::string line;
  sluice::channel<std::string> outgoing;  ///< where an arriving guest listens
};

class chat_server {
 public:
  chat_server(asio::io_context& io, const options& o)
      : options_(o),
        acceptor_(io, {asio::ip::address_v4::loopback(), static_cast<unsigned short>(o.port)}),
        signals_(io, SIGINT, SIGTERM) {
    sluice::go(io, run_room());
    sluice::go(io, accept_guests());
  }

  [[nodiscard]] unsigned short port() const { return acceptor_.local_endpoint().port(); }
  [[nodiscard]] int served() const { return guests_so_far_; }

 private:
  // --- the room: one goroutine knows who is there and passes on what is said, to all in one order

  sluice::task<> run_room() {
    while (auto e = co_await events_.receive()) {
      const std::string name = "guest " + std::to_string(e->guest);
      switch (e->what) {
        case event::kind::arrival:
          co_await tell_all("* " + name + " has come\n", e->guest);
          listeners_.emplace(e->guest, e->outgoing);
          co_await tell(e->guest, "* you are " + name + "\n");
          break;
        case event::kind::line:
          co_await tell_all(name + ": " + e->line + "\n", e->guest);
          break;
        case event::kind::departure:
          listeners_.erase(e->guest);
          co_await tell_all("* " + name + " has gone\n", e->guest);
          break;
      }
    }
  }

  sluice::task<> tell_all(std::string text, int but) {
    for (auto next = listeners_.begin(); next != listeners_.end();) {
      const int guest = next++->first;  // it may have to go
      if (guest != but) co_await tell(guest, text);
    }
  }

  /// Gives a guest something to read. If it has not read the rest for too long, it has to go.
  sluice::task<> tell(int guest, std::string text) {
    const auto outgoing = listeners_.at(guest);
    bool too_slow = false;
    co_await sluice::select(outgoing.send(std::move(text)),
                            on(sluice::sleep_for(slow()), [&] { too_slow = true; }));
    if (!too_slow) co_return;
    outgoing.close();
    listeners_.erase(guest);
  }

  // --- a guest

  sluice::task<> serve(tcp::socket socket, int id) {
    auto outgoing = sluice::make_channel<std::string>(16);
    std::string received;   // and not yet told the room
    std::string unwritten;  // and to be read by this guest
    co_await tell_room({event::kind::arrival, id, {}, outgoing}, outgoing, unwritten);

    bool welcome = true;
    bool more_to_come = true;
    auto last_heard = sluice::clock::now();
    char data[1024];
    // A read that lost against another case may have read something all the same.
    const auto take_bytes = [&](error_code e, std::size_t n) {
      received.append(data, n);
      if (n != 0) last_heard = sluice::clock::now();
      if (e && e != asio::error::operation_aborted) more_to_come = false;
    };
    while (welcome) {
      if (!unwritten.empty()) {
        welcome = co_await write(socket, std::exchange(unwritten, {}));
      } else if (const auto end = received.find('\n'); end != std::string::npos) {
        std::string line = received.substr(0, end);
        received.erase(0, end + 1);
        if (line.ends_with('\r')) line.pop_back();
        co_await tell_room({event::kind::line, id, std::move(line), {}}, outgoing, unwritten);
      } else if (!more_to_come || received.size() > longest_line) {
        break;
      } else {
        co_await sluice::select(
            on(socket.async_read_some(asio::buffer(data), asio::deferred), take_bytes, take_bytes),
            on(outgoing.receive(),
               [&](std::optional<std::string> text) { welcome = take(text, outgoing, unwritten); }),
            on(sluice::sleep_until(last_heard + idle()),
               [&] {
                 if (sluice::clock::now() < last_heard + idle())
                   return;  // heard at the last moment
                 unwritten = "* you have been silent for too long\n";
                 more_to_come = false;
               }),
            on(stopping_.receive(), [&] { welcome = false; }));
      }
    }
    co_await tell_room({event::kind::departure, id, {}, {}}, outgoing, unwritten);
  }

  /// Takes what another guest has said. @return False if this guest has to go.
  static bool take(const std::optional<std::string>& text, sluice::channel<std::string>& outgoing,
                   std::string& unwritten) {
    if (text)
      unwritten += *text;
    else
      outgoing = {};  // a nil channel: never ready again
    return text.has_value();
  }

  /// Tells the room, and goes on listening meanwhile: the room may be waiting for this guest.
  sluice::task<> tell_room(event e, sluice::channel<std::string>& outgoing,
                           std::string& unwritten) {
    auto telling = events_.send(std::move(e));
    for (bool told = false; !told;)
      co_await sluice::select(on(telling, [&] { told = true; }),
                              on(outgoing.receive(), [&](std::optional<std::string> text) {
                                take(text, outgoing, unwritten);
                              }));
  }

  /// @return Whether all of it could be written.
  sluice::task<bool> write(tcp::socket& socket, std::string text) {
    bool written = false;
    co_await sluice::select(
        on(
            asio::async_write(socket, asio::buffer(text), asio::deferred),
            [&](error_code e, std::size_t) { written = !e; }, sluice::drop_lost),
        on(sluice::sleep_for(slow()), [] {}), on(stopping_.receive(), [] {}));
    co_return written;
  }

  // --- the door

  sluice::task<> accept_guests() {
    bool open = true;
    bool out_of_descriptors = false;
    // Also of the operation that lost: it may have accepted somebody, or seen the signal.
    const auto let_in = [&](error_code e, tcp::socket socket) {
      if (!e)
        guests_.go(serve(std::move(socket), ++guests_so_far_));
      else
        out_of_descriptors =
            e != asio::error::operation_aborted && e != asio::error::connection_aborted;
    };
    const auto stop = [&](error_code e, int) { open = open && e; };
    while (open) {
      co_await sluice::select(on(acceptor_.async_accept(asio::deferred), let_in, let_in),
                              on(signals_.async_wait(asio::deferred), stop, stop));
      if (std::exchange(out_of_descriptors, false))
        co_await sluice::sleep_for(100ms);  // guests that go give some back
    }
    acceptor_.close();
    stopping_.close();
    co_await guests_.wait();
    events_.close();
  }

  [[nodiscard]] std::chrono::milliseconds idle() const {
    return std::chrono::milliseconds(options_.idle_ms);
  }
  [[nodiscard]] std::chrono::milliseconds slow() const {
    return std::chrono::milliseconds(options_.slow_ms);
  }

  static constexpr std::size_t longest_line = 16'384;

  const options options_;
  tcp::acceptor acceptor_;
  asio::signal_set signals_;
  sluice::wait_group guests_;
  int guests_so_far_ = 0;
  const sluice::channel<event> events_ = sluice::make_channel<event>();
  const sluice::channel<void> stopping_ = sluice::make_channel<void>();  // closed, in the end
  std::map<int, sluice::channel<std::string>> listeners_;                // the room's own
};

/// Reads a decimal number of at most `limit`.
bool parse(std::string_view text, unsigned limit, unsigned& number) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && rest == text.data() + text.size() && number <= limit;
}

std::optional<options> parse(int argc, char* argv[]) {
  options o;
  if (argc % 2 != 0 || !parse(argv[1], 65535, o.port)) return std::nullopt;
  for (int i = 2; i < argc; i += 2) {
    const std::string_view name = argv[i];
    const bool known = (name == "--threads" && parse(argv[i + 1], 256, o.threads)) ||
                       (name == "--idle-ms" && parse(argv[i + 1], 86'400'000, o.idle_ms)) ||
                       (name == "--slow-ms" && parse(argv[i + 1], 86'400'000, o.slow_ms));
    if (!known || o.threads == 0) return std::nullopt;
  }
  return o;
}

int main(int argc, char* argv[]) {
  const auto o = parse(argc, argv);
  if (!o) {
    std::fputs("usage: chat_server PORT [--threads N] [--idle-ms N] [--slow-ms N]\n", stderr);
    return 2;
  }
  try {
    asio::io_context io(static_cast<int>(o->threads));
    chat_server chat(io, *o);
    std::printf("listening on %d\n", chat.port());
    std::fflush(stdout);

    std::vector<std::jthread> others;
    for (unsigned i = 1; i < o->threads; ++i) others.emplace_back([&] { io.run(); });
    io.run();  // ends with the last goroutine
    others.clear();

    std::printf("served %d guests\n", chat.served());
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "chat_server: %s\n", e.what());
    return 1;
  }
}
