#pragma once

#include "connection.hpp"

#include <boost/test/unit_test.hpp>

#include <signal.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// What the tests of the examples over Redis share: a server of their own, and questions to it.
namespace sluice_test {

/// A directory that goes with this object.
class temporary_directory {
 public:
  temporary_directory() {
    std::string path = (std::filesystem::temp_directory_path() / "sluice-XXXXXX").string();
    if (!::mkdtemp(path.data())) fail("mkdtemp");
    path_ = path;
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  ~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] std::string file(const std::string& name) const { return path_ / name; }
  [[nodiscard]] std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// What a Redis server answers.
class redis_value {
 public:
  std::string text;  ///< of numbers and errors too
  std::vector<redis_value> elements;

  /// The value behind a name in a list of both; empty if it is not there.
  [[nodiscard]] std::string operator[](const std::string& name) const {
    for (std::size_t i = 0; i + 1 < elements.size(); i += 2)
      if (elements[i].text == name) return elements[i + 1].text;
    return {};
  }
};

/// A redis-server with an append-only file, on a port of its own.
class redis_server {
 public:
  explicit redis_server(std::vector<std::string> options = {}) : options_(std::move(options)) {
    for (int attempt = 0; !process_; ++attempt) {
      port_ = listener().port();
      if (!start() && attempt == 5) throw std::runtime_error("redis-server does not start");
    }
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] const temporary_directory& directory() const { return directory_; }

  /// Ends it as a failure of the machine would, but for what the system has been given to write.
  void kill() { stop_with(SIGKILL); }
  void stop() { stop_with(SIGTERM); }
  void signal(int number) const { process_->signal(number); }
  /// Starts it again, on the same port with the same data. @return False if it ends at once.
  bool start() {
    std::vector<std::string> command{
        "/usr/bin/env",    "redis-server", "--port", std::to_string(port_), "--dir",
        directory_.path(), "--save",       "",       "--appendonly",        "yes",
        "--appendfsync",   "always"};
    command.insert(command.end(), options_.begin(), options_.end());
    process_.emplace(std::move(command), true);
    for (std::string line = "x"; !line.empty();) {
      line = process_->read_line();
      if (line.find("Ready to accept connections") == line.npos) continue;
      questions_.emplace(port_);
      return true;
    }
    process_.reset();
    return false;
  }

  /// Has a command run.
  redis_value ask(const std::vector<std::string>& words) {
    std::string command = '*' + std::to_string(words.size()) + "\r\n";
    for (const auto& w : words) command += '$' + std::to_string(w.size()) + "\r\n" + w + "\r\n";
    questions_->send(command);
    return read();
  }

 private:
  void stop_with(int number) {
    questions_.reset();
    process_->signal(number);
    static_cast<void>(process_->wait());
    process_.reset();
  }

  redis_value read() {
    redis_value value;
    const std::string line = questions_->receive_through("\r\n");
    if (line.size() < 3) throw std::runtime_error("redis-server has ended");
    value.text = line.substr(1, line.size() - 3);
    if (line[0] != '$' && line[0] != '*') return value;
    const int n = std::stoi(value.text);
    value.text.clear();
    if (line[0] == '$' && n >= 0)
      value.text = questions_->receive(static_cast<std::size_t>(n) + 2)
                       .substr(0, static_cast<std::size_t>(n));
    for (int i = 0; line[0] == '*' && i < n; ++i) value.elements.push_back(read());
    return value;
  }

  const std::vector<std::string> options_;
  const temporary_directory directory_;
  std::uint16_t port_ = 0;
  std::optional<child_process> process_;
  std::optional<connection> questions_;
};

}  // namespace sluice_test
