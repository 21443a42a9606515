#!/bin/bash
# The table of mistakes in README.md: none of them compiles, and the compiler, that of this tree, says
# in its first ten lines what stands beside it. What is right does compile.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")"
. ./compiler_of_tree
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/prelude.hpp" <<'END'
#include <sluice.hpp>

#include <boost/asio.hpp>

#include <future>
#include <memory>
#include <mutex>
#include <string>

namespace asio = boost::asio;
using namespace std::chrono_literals;

extern asio::io_context io;
extern sluice::receiver<int> in;
extern sluice::sender<int> out;
extern sluice::channel<std::unique_ptr<int>> pointers;
extern sluice::mutex m;
extern sluice::context ctx;
extern sluice::worker_pool<std::string, int> pool;
extern asio::ip::tcp::socket s;
extern asio::steady_timer timer;
extern asio::signal_set signals;
extern asio::mutable_buffer buffer;
sluice::task<> work();
sluice::task<> work_on(int n);
sluice::task<> work_on_socket(asio::ip::tcp::socket& s);
sluice::task<> take_socket(asio::ip::tcp::socket s);
sluice::task<int> answer();
END

# The headers are read once. g++ and clang find what was made of them each in its own way.
version=$("${compiler[@]}" --version)
gcc12=
if [[ $version == *clang* ]]; then
  "${compiler[@]}" -x c++-header "$work/prelude.hpp" -o "$work/prelude.pch"
  compiler+=(-include-pch "$work/prelude.pch")
else
  "${compiler[@]}" -x c++-header "$work/prelude.hpp" -o "$work/prelude.hpp.gch"
  compiler+=(-include "$work/prelude.hpp")
  (($("${compiler[0]}" -dumpversion | cut -d. -f1) < 13)) && gcc12=yes
fi

# compile BODY: the log is $work/log.
compile() {
  printf 'sluice::task<> mistake(std::string name, sluice::channel<int> ch) {\n  co_await work();\n  %s\n}\n' "$1" >"$work/mistake.cpp"
  local status=0
  "${compiler[@]}" -fsyntax-only "$work/mistake.cpp" >"$work/all" 2>&1 || status=$?
  grep -v "from $work/prelude.hpp:" "$work/all" >"$work/log" || true
  return "$status"
}

failed=0
complain() {
  echo "$1"
  cat "$work/log"
  failed=1
}

right='
co_await sluice::select(ch.receive(), timer.async_wait(asio::deferred));
co_await sluice::select(ch.receive(), sluice::otherwise([] {}));
co_await sluice::select(sluice::on(timer.async_wait(asio::deferred), [] {}));
co_await sluice::select(sluice::on(signals.async_wait(asio::deferred), [](int) {}, sluice::drop_lost));
co_await sluice::select(on(ch.receive(), [](std::optional<int>) {}), sluice::otherwise([] {}));
sluice::go(work); sluice::go(work()); sluice::go(work_on, 1); sluice::go(ctx, work_on, 1);
sluice::go(io, work_on, 1, asio::detached); sluice::go(io, work, asio::detached);
auto t = work(); sluice::go(std::move(t));'
compile "$right" || complain "what is right does not compile:"

rows=0
while IFS= read -r row; do
  [[ $row =~ ^\|\ \`(.*)\`\ \|\ (.*)\ \|$ ]] || continue
  body=${BASH_REMATCH[1]} says=${BASH_REMATCH[2]}
  rows=$((rows + 1))
  if [[ $says == "g++ 12: "* ]]; then
    [[ $gcc12 ]] || continue
    says=${says#g++ 12: }
  fi
  if compile "$body"; then
    complain "it compiles: $body"
  elif ! grep -qF -- "$says" <(head -n 10 "$work/log"); then
    complain "the compiler does not say \"$says\" in its first ten lines of: $body"
  fi
done < <(sed -n '/^| mistake/,$p' README.md)
echo "$rows mistakes"
((rows >= 40)) || failed=1
exit "$failed"
