#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

extern char** environ;

namespace sluice_test {

/// How long a test waits for something that should come soon.
inline constexpr std::chrono::seconds patience{120};

/// A program that a test started. Its standard output is read here, its standard error is ours.
/** Killed by the destructor if it still runs. */
class child_process {
 public:
  /// @param errors_too Whether its standard error is read here as well.
  explicit child_process(std::vector<std::string> command, bool errors_too = false) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC)) throw std::system_error(errno, std::generic_category(), "pipe2");
    output_ = ends[0];

    std::vector<char*> arguments;
    for (auto& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);

    ::posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    if (errors_too) ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    const int error =
        ::posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    if (error) {
      pid_ = -1;
      ::close(output_);
      throw std::system_error(error, std::generic_category(), command[0]);
    }
  }
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;
  ~child_process() {
    stop_reading();
    if (pid_ > 0) {
      signal(SIGKILL);
      int status;
      ::waitpid(pid_, &status, 0);
    }
  }

  [[nodiscard]] ::pid_t pid() const noexcept { return pid_; }
  void signal(int number) const noexcept { ::kill(pid_, number); }

  /// The next line that it prints, without its end; empty when it prints no more.
  [[nodiscard]] std::string read_line() {
    std::size_t end;
    while ((end = unread_.find('\n')) == std::string::npos && read_more()) continue;
    if (end == std::string::npos) return std::exchange(unread_, {});
    std::string line = unread_.substr(0, end);
    unread_.erase(0, end + 1);
    return line;
  }

  /// All that it prints until it ends.
  [[nodiscard]] std::string read_all() {
    while (read_more()) continue;
    return std::exchange(unread_, {});
  }

  /// Lets nobody read what it prints from now on.
  void stop_reading() noexcept {
    if (output_ >= 0) ::close(std::exchange(output_, -1));
  }

  /// Waits until it has ended, whatever it still prints: its exit status, or 128 and the signal.
  [[nodiscard]] int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  /// Reads what there is, waiting for it; false at the end.
  bool read_more() {
    ::pollfd readable{output_, POLLIN, 0};
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(patience);
    if (::poll(&readable, 1, static_cast<int>(limit.count())) == 0)
      throw std::runtime_error("the program has printed nothing for a long time");
    char buffer[4096];
    const auto n = ::read(output_, buffer, sizeof buffer);
    if (n > 0) unread_.append(buffer, static_cast<std::size_t>(n));
    return n > 0 || (n < 0 && errno == EINTR);
  }

  ::pid_t pid_ = -1;
  int output_ = -1;
  std::string unread_;
};

}  // namespace sluice_test
