// SPDX-License-Identifier: BSL-1.0
// A channel with room for two values: both are sent before anybody receives. The Go original:
//
//   func main() {
//       ch := make(chan int, 2)
//       ch <- 1
//       ch <- 2
//       fmt.Println(<-ch)
//       fmt.Println(<-ch)
//   }
#include <sluice.hpp>

#include <cstdio>

int main() {
  sluice::run([]() -> sluice::task<> {
    auto ch = sluice::make_channel<int>(2);
    co_await ch.send(1);
    co_await ch.send(2);
    std::printf("%d\n", *co_await ch.receive());
    std::printf("%d\n", *co_await ch.receive());
  });
}
