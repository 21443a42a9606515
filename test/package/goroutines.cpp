#include <sluice.hpp>

#include <boost/asio.hpp>

// What gdb stops at, while goroutines of every kind wait.
[[gnu::noinline]] void stop_here() {
  asm volatile("");
}

sluice::task<> take(sluice::receiver<int> in) {
  static_cast<void>(co_await in.receive());
}

sluice::task<> take_later(sluice::receiver<int> in) {
  sluice::this_goroutine::set_name("taker");
  co_await take(in);
}

sluice::task<> nap() {
  co_await sluice::sleep_for(std::chrono::hours(1));
}

int main() {
  boost::asio::io_context io;
  auto values = sluice::make_channel<int>();
  sluice::go(io, take_later, values);
  sluice::go(io, nap);
  sluice::go(io, [&]() -> sluice::task<> {
    co_await sluice::this_goroutine::yield();
    stop_here();
    io.stop();
  });
  io.run();
}
