// The hash_tree of the examples beside the system's sha256sum, with trees of every shape, and when
// it is interrupted.
#include "../child_process.hpp"
#include "../support.hpp"

#include <boost/test/unit_test.hpp>

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

namespace fs = std::filesystem;

const std::string program = SLUICE_EXAMPLES_DIR "/hash_tree";

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// A directory of its own, gone in the end.
class temporary_tree {
 public:
  temporary_tree() {
    BOOST_REQUIRE_MESSAGE(
        fs::exists(program),
        program << " was not built: it needs OpenSSL (apt-get install libssl-dev)");
    std::string name = (fs::temp_directory_path() / "hash_tree_XXXXXX").string();
    if (!::mkdtemp(name.data())) fail("mkdtemp");
    root = fs::canonical(name);
  }
  temporary_tree(const temporary_tree&) = delete;
  temporary_tree& operator=(const temporary_tree&) = delete;
  ~temporary_tree() {
    std::error_code ignored;
    fs::remove_all(root, ignored);
  }

  /// Makes a file, and the directories that lead to it.
  void add(const fs::path& name, const std::string& content) const {
    fs::create_directories((root / name).parent_path());
    std::ofstream file(root / name, std::ios::binary);
    file << content;
    file.close();
    BOOST_REQUIRE_MESSAGE(file, name << " could not be written");
  }

  /// Makes a file of nothing but a hole, which takes minutes to hash.
  [[nodiscard]] fs::path add_huge() const {
    add("huge", "");
    fs::resize_file(root / "huge", std::uintmax_t{1} << 40);
    return root / "huge";
  }

  fs::path root;
};

/// What a program has printed, on its standard error too, and how it ended.
struct end {
  std::string output;
  int status = 0;
};

end run_to_end(std::vector<std::string> command) {
  child_process child(std::move(command), true);
  end result{child.read_all(), 0};
  result.status = child.wait();
  return result;
}

/// Runs a shell script with the program as `$0` and a directory as `$1`.
end run_script(const std::string& script, const fs::path& directory) {
  return run_to_end({"/bin/sh", "-c", script, program, directory.string()});
}

const std::string sha256sums =
    "find \"$1\" -type f -exec sha256sum {} + | LC_ALL=C sort -k2 || echo failed";

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * i >> 7);
  return text;
}

/// A terminal whose other side is read here.
class terminal {
 public:
  terminal() : reader_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (reader_ < 0 || ::grantpt(reader_) || ::unlockpt(reader_)) fail("posix_openpt");
    char buffer[64];
    if (::ptsname_r(reader_, buffer, sizeof buffer)) fail("ptsname");
    name = buffer;
    keep_open_ = ::open(buffer, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (keep_open_ < 0) fail("open");
  }
  terminal(const terminal&) = delete;
  terminal& operator=(const terminal&) = delete;
  ~terminal() {
    ::close(keep_open_);
    ::close(reader_);
  }

  /// Reads until `text` has been written to it; gives all that came since the last time.
  std::string read_until(const std::string& text) {
    std::string got;
    std::size_t end;
    while ((end = unread_.find(text)) == std::string::npos) {
      char buffer[4096];
      const auto n = ::read(reader_, buffer, sizeof buffer);
      if (n <= 0) fail("read");
      unread_.append(buffer, static_cast<std::size_t>(n));
    }
    got = unread_.substr(0, end + text.size());
    unread_.erase(0, got.size());
    return got;
  }

  std::string name;

 private:
  int reader_;
  int keep_open_ = -1;
  std::string unread_;
};

/// Waits until a process has opened a file.
void wait_until_open(::pid_t process, const fs::path& file) {
  const fs::path descriptors = "/proc/" + std::to_string(process) + "/fd";
  for (;;) {
    std::error_code gone;
    for (const auto& entry : fs::directory_iterator(descriptors, gone)) {
      std::error_code closed;
      if (fs::read_symlink(entry.path(), closed) == file) return;
    }
    if (gone) throw std::runtime_error("the program has ended early");
    std::this_thread::yield();
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hash_tree_of_the_examples)

BOOST_AUTO_TEST_CASE(prints_what_sha256sum_prints) {
  const watchdog dog;
  const temporary_tree tree;
  tree.add("empty", "");
  tree.add("big", pattern(5'000'000));
  for (const std::size_t size : {1u, 55u, 56u, 63u, 64u, 65u, 131071u, 131072u, 131073u})
    tree.add("sizes/" + std::to_string(size), pattern(size));
  tree.add("name with  spaces ", "spaces");
  tree.add(" leading", "space");
  tree.add("-dash", "dash");
  tree.add("été/日本語/😀", "UTF-8");
  tree.add("not \xff\xfe UTF-8", "bytes");
  tree.add(".hidden/.file", "hidden");
  tree.add("a/b/c/d/e/f/g/h/i/j/deep", "deep");
  tree.add("sorted/a.b", "1");
  tree.add("sorted/ab", "2");
  tree.add("sorted/a/c" + std::string(200, 'x'), "3");
  tree.add("odd/back\\slash", "4");
  tree.add("odd/new\nline", "5");
  tree.add("odd/carriage\rreturn", "6");
  for (int i = 0; i < 500; ++i) tree.add("many/" + std::to_string(i), std::to_string(i));

  const end expected = run_script(sha256sums, tree.root);
  const end got = run_to_end({program, tree.root.string()});
  BOOST_TEST(got.output == expected.output);
  BOOST_TEST(got.status == 0);

  // Without an argument it is the working directory.
  const end expected_here = run_script("cd \"$1\" && set -- . && " + sha256sums, tree.root);
  const end got_here = run_script("cd \"$1\" && exec \"$0\"", tree.root);
  BOOST_TEST(got_here.output == expected_here.output);
  BOOST_TEST(got_here.status == 0);
}

BOOST_AUTO_TEST_CASE(passes_over_what_is_no_regular_file) {
  const watchdog dog;
  const temporary_tree tree;
  const temporary_tree other;
  other.add("elsewhere", "not below the directory");
  tree.add("directory/file", "content");
  fs::create_symlink(tree.root / "directory/file", tree.root / "link to file");
  fs::create_directory_symlink(other.root, tree.root / "link to directory");
  fs::create_directory_symlink(tree.root, tree.root / "directory/loop");
  fs::create_symlink("nowhere", tree.root / "dangling");
  if (::mkfifo((tree.root / "pipe").c_str(), 0600)) fail("mkfifo");

  const end expected = run_script(sha256sums, tree.root);
  const end got = run_to_end({program, tree.root.string()});
  BOOST_TEST(got.output == expected.output);
  BOOST_TEST(got.status == 0);

  const temporary_tree empty;
  const end nothing = run_to_end({program, empty.root.string()});
  BOOST_TEST(nothing.output == "");
  BOOST_TEST(nothing.status == 0);
}

BOOST_AUTO_TEST_CASE(has_few_files_open_at_a_time) {
  const watchdog dog;
  const temporary_tree tree;
  std::string directory;
  for (int i = 0; i < 200; ++i) {
    for (const std::string file : {"/a", "/b"}) tree.add(directory + file, directory);
    directory += "/d";
  }
  const auto limit = 20 + std::thread::hardware_concurrency();
  const end expected = run_script(sha256sums, tree.root);
  const end got =
      run_script("ulimit -n " + std::to_string(limit) + " && exec \"$0\" \"$1\"", tree.root);
  BOOST_TEST(got.output == expected.output);
  BOOST_TEST(got.status == 0);
}

BOOST_AUTO_TEST_CASE(reports_what_cannot_be_read_and_hashes_the_rest) {
  const watchdog dog;
  const temporary_tree tree;
  tree.add("a", "content");
  tree.add("closed/file", "never seen");
  tree.add("secret", "never read");
  tree.add("z/b", "more content");
  fs::permissions(tree.root / "closed", fs::perms::none);
  fs::permissions(tree.root / "secret", fs::perms::none);

  const end expected = run_script("cd \"$1\" && sha256sum ./a ./z/b", tree.root);
  end got;
  std::thread([&] {
    // What lets root read everything; a program that this thread starts does without.
    for (const int capability : {CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH})
      ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    got = run_script("cd \"$1\" && exec \"$0\" .", tree.root);
  }).join();
  fs::permissions(tree.root / "closed", fs::perms::owner_all);
  BOOST_TEST(got.status == 1);
  BOOST_TEST(has_line(got.output, "hash_tree: ./closed: Permission denied"), got.output);
  BOOST_TEST(has_line(got.output, "hash_tree: ./secret: Permission denied"), got.output);
  BOOST_TEST(got.output.ends_with(expected.output), got.output);
}

BOOST_AUTO_TEST_CASE(what_it_cannot_do_it_says_and_fails) {
  const watchdog dog;
  const temporary_tree tree;
  tree.add("file", "content");
  const auto check = [](const end& got, const std::string& output, int status) {
    BOOST_TEST(got.output == output);
    BOOST_TEST(got.status == status);
  };
  const std::string missing = (tree.root / "missing").string();
  const std::string file = (tree.root / "file").string();
  check(run_to_end({program, missing}), "hash_tree: " + missing + ": No such file or directory\n",
        1);
  check(run_to_end({program, file}), "hash_tree: " + file + ": Not a directory\n", 1);
  check(run_to_end({program, ""}), "hash_tree: : No such file or directory\n", 1);
  check(run_to_end({program, file, file}), "usage: hash_tree [DIRECTORY]\n", 2);
  check(run_script("exec \"$0\" \"$1\" >/dev/full", tree.root),
        "hash_tree: standard output: No space left on device\n", 1);
}

BOOST_AUTO_TEST_CASE(an_interrupt_while_it_hashes_ends_it) {
  // Small files go on being collected meanwhile: the signal may come just when one is.
  const watchdog dog;
  const temporary_tree tree;
  for (int i = 0; i < 1000; ++i) tree.add(std::to_string(i), std::to_string(i));
  const fs::path huge = tree.add_huge();
  for (std::size_t round = 0; round < rounds(30); ++round) {
    child_process child({program, tree.root.string()}, true);
    wait_until_open(child.pid(), huge);
    child.signal(SIGINT);
    const std::string said = child.read_all();
    BOOST_TEST(said.starts_with("hash_tree: interrupted when "), said);
    BOOST_TEST(said.find('\n') == said.size() - 1, said);
    BOOST_TEST(child.wait() == 130);
  }
}

BOOST_AUTO_TEST_CASE(a_terminal_sees_how_far_it_has_come) {
  const watchdog dog;
  const temporary_tree tree;
  tree.add("a", "content");
  tree.add("b", "content");
  static_cast<void>(tree.add_huge());
  terminal screen;
  child_process child(
      {"/bin/sh", "-c", "exec \"$0\" \"$1\" 2>\"$2\"", program, tree.root.string(), screen.name});
  screen.read_until("2 files, ");
  const std::string erase_line = "\r\033[K";
  const auto megabytes = [&] { return std::stod(screen.read_until(" MB" + erase_line)); };
  const double before = megabytes();
  do screen.read_until("2 files, ");
  while (megabytes() <= before);

  child.signal(SIGINT);
  const std::string last = screen.read_until("hash_tree: interrupted when 2 files were done");
  BOOST_TEST(last.ends_with(erase_line + "hash_tree: interrupted when 2 files were done"));
  BOOST_TEST(child.read_all() == "");
  BOOST_TEST(child.wait() == 130);
}

BOOST_AUTO_TEST_SUITE_END()
