#include "lap.hpp"

#include <memory>

namespace sluice_test::soak {

namespace {

task<> sleep_and_tick(lap& l, dice d) {
  sluice::ticker ticker(100us);
  while (l.goes_on()) {
    const auto r = co_await sluice::select(ticker.receive(), sluice::sleep_for(d.moment()));
    if (r.index() == 1 && d.below(4) == 0) ticker.reset(d.moment() + 50us);
    l.done();
  }
}

/// Sets and stops a timer that others wait for.
task<> share_a_timer(lap& l, dice d) {
  const auto t = std::make_shared<sluice::timer>(1h);
  for (int i = 0; i < 2; ++i)
    l.start([&l, t]() -> task<> {
      while (l.goes_on()) {
        static_cast<void>(co_await t->receive());
        l.done();
      }
    });
  while (l.goes_on()) {
    if (d.below(3) == 0)
      t->stop();
    else
      t->reset(d.moment());
    co_await sluice::sleep_for(d.moment());
    l.done();
  }
}

task<> derive(lap& l, dice d) {
  while (l.goes_on()) {
    auto outer = sluice::with_timeout(l.tree.ctx, d.moment());
    auto inner = sluice::with_cancel(outer.ctx);
    const auto function = sluice::after_func(inner.ctx, [] {});
    sluice::go(inner.ctx, []() -> task<> { co_await sluice::sleep_for(1h); });
    if (d.below(2) == 0) inner.cancel();
    co_await inner.ctx.done();
    if (!inner.ctx.err()) wrong("a context is done and has no error");
    l.done();
  }
}

/// What loses against a limit leaves nothing behind.
task<> time_out(lap& l, dice d) {
  const auto never = sluice::make_channel<int>();
  asio::steady_timer timer(l.io);
  while (l.goes_on()) {
    static_cast<void>(co_await succeeds(sluice::timeout(never.receive(), d.moment())));
    timer.expires_after(1h);
    static_cast<void>(
        co_await succeeds(sluice::timeout(timer.async_wait(asio::deferred), d.moment())));
    co_await sluice::select(never.receive(), sluice::after(d.moment()).receive());
    l.done();
  }
}

}  // namespace

std::function<void()> start_clocks(lap& l) {
  for (int i = 0; i < 3; ++i) {
    l.start([&l, d = l.some_dice()] { return sleep_and_tick(l, d); });
    l.start([&l, d = l.some_dice()] { return share_a_timer(l, d); });
    l.start([&l, d = l.some_dice()] { return derive(l, d); });
    l.start([&l, d = l.some_dice()] { return time_out(l, d); });
  }
  return [] {};
}

}  // namespace sluice_test::soak
