// SPDX-License-Identifier: BSL-1.0
// The SHA-256 of every regular file below a directory, sorted by name, as sha256sum prints it.
//
//   hash_tree [DIRECTORY]     by default the working directory
//
// One goroutine walks the tree, some hash files, and main collects. All of them run on one thread,
// which never blocks: directories and files are read on the threads of sluice::offload. Channels
// without much room hold up the walk when the hashing does not keep pace, so that a few files are
// in memory at a time, however large the tree is.
//
// What cannot be read is named on the standard error, and the exit status is 1. If that is a
// terminal, it also shows how far the work has come. Ctrl-C ends it with status 130 and no output;
// a second one does not wait for reads that hang. Symbolic links below the directory are not
// followed.
//
// After "Go Concurrency Patterns: Pipelines and cancellation" in the Go blog.
#include <sluice.hpp>

#include <boost/asio.hpp>

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace asio = boost::asio;
namespace fs = std::filesystem;
using sluice::on;
using namespace std::chrono_literals;

using byte_count = std::atomic<std::uint64_t>;

/// What has come of a file or a directory.
struct outcome {
  std::string path;
  std::string digest;       ///< in hexadecimal
  std::error_code problem;  ///< why there is no digest
};

// --- what blocks

/// A file that is open for reading.
class input_file {
 public:
  // If something else has taken the file's place: a link is not followed, a pipe not waited for.
  explicit input_file(const std::string& path)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)) {
    if (descriptor_ < 0) fail();
  }
  input_file(const input_file&) = delete;
  input_file& operator=(const input_file&) = delete;
  ~input_file() { ::close(descriptor_); }

  /// @return How many bytes there were; 0 at the end.
  std::size_t read(std::vector<unsigned char>& buffer) const {
    ::ssize_t n;
    while ((n = ::read(descriptor_, buffer.data(), buffer.size())) < 0)
      if (errno != EINTR) fail();
    return static_cast<std::size_t>(n);
  }

 private:
  [[noreturn]] static void fail() { throw std::system_error(errno, std::generic_category()); }

  const int descriptor_;
};

class sha256 {
 public:
  sha256() { check(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr)); }

  void add(const unsigned char* data, std::size_t size) {
    check(EVP_DigestUpdate(context_.get(), data, size));
  }

  [[nodiscard]] std::string in_hexadecimal() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    check(EVP_DigestFinal_ex(context_.get(), digest, &size));
    std::string text;
    for (unsigned i = 0; i < size; ++i)
      for (const unsigned digit : {digest[i] / 16u, digest[i] % 16u})
        text += "0123456789abcdef"[digit];
    return text;
  }

 private:
  static void check(bool success) {
    if (!success) throw std::runtime_error("OpenSSL cannot compute SHA-256");
  }

  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(),
                                                                         EVP_MD_CTX_free};
};

outcome hash_file(const std::string& path, const std::stop_token& stop, byte_count& bytes) {
  outcome result{path, {}, {}};
  try {
    const input_file file(path);
    sha256 hash;
    std::vector<unsigned char> buffer(1 << 17);
    while (const std::size_t n = file.read(buffer)) {
      if (stop.stop_requested()) throw sluice::system_error(asio::error::operation_aborted);
      hash.add(buffer.data(), n);
      bytes += n;
    }
    result.digest = hash.in_hexadecimal();
  } catch (const std::system_error& e) {
    result.problem = e.code();
  }
  return result;
}

/// Reads a directory a few names at a time.
class directory_reader {
 public:
  explicit directory_reader(std::string path) : path_(std::move(path)) {}

  void read_some() {
    files.clear();
    directories.clear();
    problems.clear();
    std::error_code e;
    if (!std::exchange(open_, true)) next_ = fs::directory_iterator(path_, e);
    for (int i = 0; i < 100 && next_ != fs::directory_iterator() && !e; ++i, next_.increment(e))
      classify(*next_);
    if (e) problems.push_back({path_, {}, e});
    at_end = e || next_ == fs::directory_iterator();
  }

  std::vector<std::string> files;
  std::vector<std::string> directories;
  std::vector<outcome> problems;
  bool at_end = false;

 private:
  void classify(const fs::directory_entry& entry) {
    const std::string path = entry.path().string();
    std::error_code e;
    const auto status = entry.symlink_status(e);
    if (fs::is_regular_file(status))
      files.push_back(path);
    else if (fs::is_directory(status))
      directories.push_back(path);
    else if (e)
      problems.push_back({path, {}, e});
  }

  const std::string path_;
  bool open_ = false;
  fs::directory_iterator next_;
};

// --- goroutines

sluice::task<> walk(std::string root, sluice::sender<std::string> files,
                    sluice::sender<outcome> outcomes) {
  std::vector<std::string> to_read{std::move(root)};
  while (!to_read.empty()) {
    directory_reader directory(std::move(to_read.back()));
    to_read.pop_back();
    while (!directory.at_end) {
      co_await sluice::offload([&] { directory.read_some(); });
      for (auto& path : directory.files) co_await files.send(std::move(path));
      for (auto& problem : directory.problems) co_await outcomes.send(std::move(problem));
      std::ranges::move(directory.directories, std::back_inserter(to_read));
    }
  }
  files.close();
}

sluice::task<> hash_files(sluice::receiver<std::string> files, sluice::sender<outcome> outcomes,
                          byte_count& bytes) {
  while (const auto path = co_await files.receive()) {
    auto result = co_await sluice::offload(
        [&](const std::stop_token& stop) { return hash_file(*path, stop, bytes); });
    co_await outcomes.send(std::move(result));
  }
}

/// Sends what has come of every file, and closes `outcomes` when all is done or `ctx` is.
sluice::task<> hash_tree(sluice::context ctx, std::string root, sluice::sender<outcome> outcomes,
                         byte_count& bytes) {
  try {
    co_await sluice::with_task_group(ctx, [&](sluice::task_group& group) -> sluice::task<> {
      const auto hashers = std::max(1u, std::thread::hardware_concurrency());
      const auto files = sluice::make_channel<std::string>(hashers);
      group.go(walk, std::move(root), files, outcomes);
      for (unsigned i = 0; i < hashers; ++i) group.go(hash_files(files, outcomes, bytes));
      co_return;
    });
  } catch (const sluice::system_error&) {
    if (!ctx.err()) throw;
  }
  outcomes.close();
}

// --- main

/// A name as sha256sum prints it: in one line.
std::string escaped(const std::string& name) {
  std::string result;
  for (const char c : name) {
    switch (c) {
      case '\n':
        result += "\\n";
        break;
      case '\r':
        result += "\\r";
        break;
      case '\\':
        result += "\\\\";
        break;
      default:
        result += c;
    }
  }
  return result;
}

/// What main has collected.
struct report {
  std::vector<outcome> digests;
  std::size_t problems = 0;
  bool interrupted = false;
};

sluice::task<report> collect(std::string root) {
  report all;
  byte_count bytes = 0;
  asio::signal_set signals(co_await asio::this_coro::executor, SIGINT);
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  const auto outcomes = sluice::make_channel<outcome>();
  sluice::go(hash_tree(ctx, std::move(root), outcomes, bytes));

  const bool on_terminal = ::isatty(STDERR_FILENO) == 1;
  const char* const erase_line = on_terminal ? "\r\033[K" : "";
  std::optional<sluice::ticker> ticker;
  sluice::receiver<sluice::clock::time_point> ticks;  // nil: nothing comes when nobody watches
  if (on_terminal) ticks = ticker.emplace(100ms).channel();

  bool more = true;
  const auto take = [&](std::optional<outcome> o) {
    more = o.has_value();
    if (!more) return;
    o->path = escaped(o->path);
    if (o->problem) {
      ++all.problems;
      std::fprintf(stderr, "%shash_tree: %s: %s\n", erase_line, o->path.c_str(),
                   o->problem.message().c_str());
    } else {
      all.digests.push_back(*std::move(o));
    }
  };
  const auto show_progress = [&] {
    std::fprintf(stderr, "%s%zu files, %.1f MB", erase_line, all.digests.size(),
                 static_cast<double>(bytes.load()) / 1e6);
  };
  // Called for a wait that has lost, too: it may have taken the signal all the same.
  const auto stop = [&](sluice::error_code e, int) {
    if (e) return;
    all.interrupted = true;
    cancel();
    signals.clear();
  };
  while (more)
    co_await sluice::select(on(outcomes.receive(), take), on(ticks.receive(), show_progress),
                            on(signals.async_wait(asio::deferred), stop, stop));
  std::fputs(erase_line, stderr);
  co_return all;
}

int main(int argc, char* argv[]) {
  if (argc > 2) {
    std::fputs("usage: hash_tree [DIRECTORY]\n", stderr);
    return 2;
  }
  try {
    auto all = sluice::run([&] { return collect(argc == 2 ? argv[1] : "."); }, 1);
    if (all.interrupted) {
      std::fprintf(stderr, "hash_tree: interrupted when %zu files were done\n", all.digests.size());
      return 130;
    }
    std::ranges::sort(all.digests, {}, &outcome::path);
    for (const auto& [path, digest, problem] : all.digests)
      std::printf("%s%s  %s\n", path.find('\\') == path.npos ? "" : "\\", digest.c_str(),
                  path.c_str());
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
      throw std::system_error(errno, std::generic_category(), "standard output");
    return all.problems == 0 ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "hash_tree: %s\n", e.what());
    return 1;
  }
}
