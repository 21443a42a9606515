// SPDX-License-Identifier: BSL-1.0
// What the example servers share: their command lines, where they listen, and how they end.
#pragma once

#include <sluice.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/strand.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The arguments of a program, how they are explained, and what is wrong with those given.
class command_line {
 public:
  command_line(std::string program, std::string about)
      : program_(std::move(program)), about_(std::move(about)) {}

  /// An argument without a name; `name` is what the usage calls it.
  void positional(std::string name, unsigned& value, unsigned least, unsigned most,
                  std::string help, bool required = true) {
    add(std::move(name), number(value, least, most), std::move(help), required);
  }
  void positional(std::string name, std::string& value, std::string help) {
    add(std::move(name), text(value), std::move(help), true);
  }
  /// The arguments that are left, at least one; `objection` gives what is wrong with one, or null.
  void rest(std::string name, std::vector<std::string>& values,
            const char* (*objection)(std::string_view), std::string help) {
    repeats_ = true;
    const auto read = [&values, objection](const std::string& given) -> std::string {
      values.push_back(given);
      const char* const wrong = objection(given);
      return wrong ? wrong : "";
    };
    add(std::move(name), read, std::move(help), true);
  }
  /// `--name N`; what `value` is now is the default.
  void option(std::string name, unsigned& value, unsigned least, unsigned most, std::string help) {
    help += " (" + std::to_string(value) + ")";
    options_.push_back({std::move(name), number(value, least, most), std::move(help), false});
  }

  /// @return Whether to go on; if not, `status` is what the program ends with.
  bool parse(int argc, char* argv[], int& status) {
    std::size_t given = 0;
    for (int i = 1; i < argc; ++i) {
      const std::string word = argv[i];
      if (word == "--help") {
        status = explain() ? 0 : 1;
        return false;
      }
      const argument* a = nullptr;
      for (const auto& o : options_)
        if (o.name == word) a = &o;
      if (a && i + 1 == argc) return refuse(word + " needs a value", status);
      if (!a && word.starts_with("--")) return refuse("unknown option " + quoted(word), status);
      if (!a && given == positionals_.size() && repeats_) --given;
      if (!a && given == positionals_.size())
        return refuse("one argument too many: " + quoted(word), status);
      if (!a) a = &positionals_[given++];
      const std::string value = a->name.starts_with("--") ? argv[++i] : word;
      if (const std::string wrong = a->read(value); !wrong.empty())
        return refuse(a->name + ": " + quoted(value) + " " + wrong, status);
    }
    if (given < positionals_.size() && positionals_[given].required)
      return refuse(positionals_[given].name + " is missing", status);
    return true;
  }

 private:
  struct argument {
    std::string name;
    std::function<std::string(const std::string&)> read;  ///< gives what is wrong with the value
    std::string help;
    bool required;
  };

  static std::function<std::string(const std::string&)> number(unsigned& value, unsigned least,
                                                               unsigned most) {
    return [&value, least, most](const std::string& given) -> std::string {
      unsigned n = 0;
      const char* const end = given.data() + given.size();
      const auto [rest, error] = std::from_chars(given.data(), end, n);
      if (error != std::errc() || rest != end || n < least || n > most)
        return "is not a number from " + std::to_string(least) + " to " + std::to_string(most);
      value = n;
      return {};
    };
  }
  static std::function<std::string(const std::string&)> text(std::string& value) {
    return [&value](const std::string& given) -> std::string {
      value = given;
      return given.empty() ? "is empty" : "";
    };
  }
  static std::string quoted(const std::string& s) { return '"' + s + '"'; }

  void add(std::string name, std::function<std::string(const std::string&)> read, std::string help,
           bool required) {
    positionals_.push_back({std::move(name), std::move(read), std::move(help), required});
  }

  [[nodiscard]] std::string usage() const {
    std::string line = "usage: " + program_;
    for (const auto& p : positionals_) line += p.required ? ' ' + p.name : " [" + p.name + ']';
    if (repeats_) line += "...";
    for (const auto& o : options_) line += " [" + o.name + " N]";
    return line + '\n';
  }
  /// @return False if nobody can read it, as on a full disk.
  [[nodiscard]] bool explain() const {
    std::printf("%s\n%s\n\n", usage().c_str(), about_.c_str());
    for (const auto* list : {&positionals_, &options_})
      for (const auto& a : *list) std::printf("  %-16s %s\n", a.name.c_str(), a.help.c_str());
    return std::fflush(stdout) == 0;
  }
  bool refuse(const std::string& why, int& status) const {
    std::fprintf(stderr, "%s%s: %s\n", usage().c_str(), program_.c_str(), why.c_str());
    status = 2;
    return false;
  }

  const std::string program_;
  const std::string about_;
  std::vector<argument> positionals_;
  std::vector<argument> options_;
  bool repeats_ = false;  ///< the last positional argument
};

/// A time limit in milliseconds; 0 means none.
inline std::chrono::milliseconds limit_of(unsigned ms) {
  return ms == 0 ? std::chrono::milliseconds::max() : std::chrono::milliseconds(ms);
}

/// The program is about to end: a signal is not to cut off what it says.
inline void begin_last_words(const std::vector<int>& of) {
  ::sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : of) ::sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

/// What a server is told.
struct server_arguments {
  unsigned port = 0;
  unsigned threads = 2;
  unsigned connections = connections_at_most(1);

  /// A default for servers whose connections have so many descriptors each.
  static unsigned connections_at_most(std::size_t descriptors) {
    const std::size_t n = sluice::connections_by_descriptors(descriptors);
    return n == 0 ? 10'000 : static_cast<unsigned>(std::min<std::size_t>(n, 10'000));
  }
};

/// A server's event loop, and the acceptor of its connections, on 127.0.0.1.
class server_loop {
 public:
  explicit server_loop(const server_arguments& a)
      : io(static_cast<int>(a.threads)),
        acceptor(io,
                 {boost::asio::ip::address_v4::loopback(), static_cast<unsigned short>(a.port)}),
        threads_(a.threads) {
    options.max_connections = a.connections;
    options.signals = {SIGINT, SIGTERM};
  }
  server_loop(const server_loop&) = delete;
  server_loop& operator=(const server_loop&) = delete;
  ~server_loop() { begin_last_words(options.signals); }

  boost::asio::io_context io;
  boost::asio::ip::tcp::acceptor acceptor;
  sluice::serve_options options;
  sluice::serve_result result;  ///< when the server has ended

  /// The completion handler for `serve`.
  [[nodiscard]] auto ended() {
    return [this](sluice::error_code e, sluice::serve_result r) {
      result = r;
      boost::asio::post(last_signals_.get_executor(), [this] {
        over_ = true;
        last_signals_.cancel();
      });
      if (e) throw sluice::system_error(e);
    };
  }

  /// Says which port it is, and runs until the last goroutine has ended.
  void run() {
    std::printf("listening on %d\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    for (const int signal : options.signals) last_signals_.add(signal);
    watch_signals(0);
    sluice::run_threads(io, threads_);
  }

 private:
  // `serve` gives signals back when it has ended: one that comes then is not to cut off the last
  // words of the program. The third ends it even so.
  void watch_signals(int seen) {
    last_signals_.async_wait([this, seen](sluice::error_code e, int signal) {
      if (e || over_) return;
      if (seen < 2) return watch_signals(seen + 1);
      last_signals_.clear();
      std::raise(signal);
    });
  }

  const unsigned threads_;
  boost::asio::signal_set last_signals_{boost::asio::make_strand(io)};
  bool over_ = false;  // of the strand
};

/// Runs the rest of `main`. @return What the program ends with.
template <class F>
int run_program(const char* name, F f) {
  try {
    f();
    return 0;
  } catch (...) {
    std::fprintf(stderr, "%s: %s\n", name, sluice::describe(std::current_exception()).c_str());
    return 1;
  }
}
