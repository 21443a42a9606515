#!/bin/bash
# The check for what g++ 12 compiles wrongly, and for what is not meant so, finds the lines that say so, and no others.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v clang-query-19 >/dev/null; then
  echo "there is no clang-query-19"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/shapes.cpp" <<'END'
#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/sleep.hpp>
#include <sluice/task.hpp>
#include <sluice/task_group.hpp>
#include <sluice/use_task.hpp>
#include <sluice/wait_group.hpp>

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

using sluice::task;
namespace asio = boost::asio;

struct message {
  std::string text;
  int number;
};
struct constructed {
  constructed(std::string t, int n) : text(std::move(t)), number(n) {}
  std::string text;
  int number;
};
struct trivial {
  int a, b;
};

task<int> take(message m) { co_return m.number; }
task<int> take_constructed(constructed m) { co_return m.number; }
task<int> take_trivial(trivial t) { co_return t.a; }
task<int> call(std::function<int()> f) { co_return f(); }

task<> objects(sluice::channel<message> ch, sluice::channel<constructed> cc, std::string s) {
  co_await take(message{s, 1});  // wrong
  co_await take({s, 2});         // wrong
  co_await ch.send(message{s, 3});  // wrong
  co_await ch.send({s, 3});
  co_await call([s] { return 4; });  // wrong
  const message named{s, 5};
  co_await take(named);
  co_await take(message(named));
  co_await ch.send(named);
  co_await cc.send({s, 6});
  co_await take_constructed(constructed(s, 7));
  co_await take_trivial({8, 9});
  co_await call([&s] { return static_cast<int>(s.size()); });
  const auto closure = [s] { return 10; };
  co_await call(closure);
}

task<std::string> conditional(bool yes, sluice::channel<std::string> ch) {
  std::string a;
  a = yes ? *co_await ch.receive() : std::string();  // wrong
  const int n = yes ? co_await take_trivial({1, 2}) : 0;
  if (n > 0) a = *co_await ch.receive();
  co_return a;
}

task<> loop(sluice::channel<void> ch) {
  while (co_await ch.receive()) ch.close();  // wrong
  co_return;
}
task<> loop_until(sluice::channel<void> ch) {
  do ch.close(); while (co_await ch.receive());  // wrong
  co_return;
}
task<> branch(sluice::channel<void> ch) {
  if (co_await ch.receive()) ch.close();  // wrong
  co_return;
}
task<> loop_after_a_variable(sluice::channel<void> ch) {
  int n = 0;
  while (co_await ch.receive()) ++n;
}
task<> loop_with_a_variable(sluice::channel<void> ch) {
  while (const auto v = co_await ch.receive()) {
  }
}

task<> closures(std::string name) {
  sluice::go([name]() -> task<> { co_await take_constructed(constructed(name, 1)); }());  // wrong
  sluice::go([](std::string n) -> task<> { co_await take_constructed(constructed(n, 1)); }(name));
  const auto kept = [name]() -> task<> { co_return; };
  sluice::go(kept());
  sluice::wait_group wg;
  wg.go([&]() -> task<> { name.clear(); co_return; }());  // wrong
  co_await [&]() -> task<> { name.clear(); co_return; }();
  co_await wg.wait();
}

struct worker {
  int id;
  task<> work(int) { co_return; }
};
task<std::string> next() { co_return "next"; }

task<> turns(std::vector<worker>& all, std::vector<std::string> names) {
  sluice::wait_group wg;
  for (int i = 0; i < 3; ++i) {
    worker w{i};
    wg.go(w.work(1));  // wrong
    wg.go(&worker::work, w, 1);
  }
  for (worker w : all) sluice::go(w.work(1));  // wrong
  for (worker& w : all) wg.go(w.work(1));
  for (int i = 0; i < 3; ++i) wg.go([&]() -> task<> { co_await take_trivial({i, 0}); });  // wrong
  for (int i = 0; i < 3; ++i) wg.go([&, i]() -> task<> { names[i].clear(); co_return; });
  for (auto name : names) wg.go([&]() -> task<> { name.clear(); co_return; });  // wrong
  for (auto name : names) wg.go([name]() mutable -> task<> { name.clear(); co_return; });
  for (auto& name : names) wg.go([&]() -> task<> { name.clear(); co_return; });
  co_await wg.wait();
}

task<> accepting(sluice::channel<std::string> ch) {
  while (auto v = co_await ch.receive()) sluice::go([&]() -> task<> { v->clear(); co_return; });  // wrong
  for (;;) {
    auto v = co_await ch.receive();
    sluice::go([&]() -> task<> { co_await ch.send(*v); });  // wrong
    sluice::go([&ch]() -> task<> { co_await ch.send("v"); });
  }
  for (;;) {
    sluice::wait_group wg;
    auto n = co_await next();
    wg.go([&]() -> task<> { n.clear(); co_return; });
    co_await wg.wait();
  }
}

task<> blocks(asio::io_context& io, bool yes, std::vector<worker*> pointers, sluice::channel<int> ch) {
  sluice::wait_group wg;
  if (yes) {
    worker w{1};
    wg.go(w.work(1));  // wrong
  }
  for (int i = 0; i < 3; ++i) {
    {
      worker w{i};
      wg.go(w.work(1));  // wrong
    }
    const auto owned = std::make_unique<worker>(i);
    wg.go(owned->work(1));  // wrong
    wg.go((*owned).work(1));  // wrong
    worker w{i};
    wg.go([p = &w]() -> task<> { co_await p->work(1); });  // wrong
    const auto shared = std::make_shared<worker>(i);
    wg.go([shared]() -> task<> { co_await shared->work(1); });
  }
  for (worker* w : pointers) wg.go(w->work(1));
  for (worker* w : pointers) wg.go([&]() -> task<> { co_await w->work(1); });  // wrong
  for (int i = 0; i < 3; ++i) {
    co_await wg.wait();
    worker w{i};
    wg.go(w.work(1));  // wrong
    co_await sluice::sleep_for(std::chrono::seconds(1));
  }
  for (int i = 0; i < 3; ++i) {
    worker w{i};
    co_await sluice::with_task_group(sluice::context::background(),
                                     [&](sluice::task_group& g) -> task<> {
                                       g.go(w.work(1));
                                       co_return;
                                     });
  }
  for (int i = 0; i < 3; ++i) {
    worker w{i};
    co_await sluice::go(io, w.work(1), sluice::use_task);
    auto ended = sluice::go(io, w.work(1), sluice::use_task);
    co_await std::move(ended);
  }
  for (int i = 0; i < 3; ++i) {
    worker w{i};
    sluice::go([&]() -> task<> { co_await ch.send(w.id); });
    const auto r = co_await ch.receive();
    sluice::go([&]() -> task<> { co_await ch.send(w.id + *r); });
    static_cast<void>(co_await ch.receive());
  }
  co_await wg.wait();
}

task<> whole_functions(sluice::channel<int> ch) {
  worker w{1};
  sluice::go(w.work(1));
  const auto body = [&]() -> task<> {
    worker inner{2};
    sluice::go([&]() -> task<> { co_await inner.work(1); });
    co_return;
  };
  co_await body();
  co_await ch.send(1);
}

task<std::string> text() { co_return "text"; }
task<int> number() { co_return 1; }

task<> lists(std::string s, sluice::channel<message> ch) {
  message whole{co_await text(), 1};  // wrong
  message part{s, co_await number()};  // wrong
  message named{.text = s, .number = co_await number()};  // wrong
  std::string array[] = {co_await text(), s};  // wrong
  const auto captured = [t = co_await text()] { return t.size(); };  // wrong
  const auto t = co_await text();
  message right{t, 1};
  const trivial bytes{co_await number(), 2};
  const int numbers[] = {co_await number(), 2};
  co_await ch.send({s, co_await number()});
  co_await take_constructed(constructed(co_await text(), 1));
}

task<> inside(std::string a) {
  co_await take_constructed(constructed(a.size() > 3 ? a + "x" : a + "y", 1));  // wrong
  co_await take_trivial({a.size() > 3 ? 1 : 2, 0});
}

task<> guards(sluice::mutex& m, sluice::semaphore& s) {
  co_await m.lock();  // wrong
  co_await s.acquire(2);  // wrong
  const auto guard = co_await m.lock();
  static_cast<void>(co_await s.acquire());
}

int main() {}
END

status=0
./gcc12_check "$work/shapes.cpp" >"$work/found" || status=$?
cat "$work/found"
((status == 1))
diff <(grep -n '// wrong' "$work/shapes.cpp" | cut -d: -f1) \
     <(sed -E 's/^.*shapes\.cpp:([0-9]+):.*/\1/' "$work/found" | sort -nu)

grep -v '// wrong' "$work/shapes.cpp" >"$work/right.cpp"
./gcc12_check "$work/right.cpp"
