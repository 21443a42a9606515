// SPDX-License-Identifier: BSL-1.0
// One goroutine sends another a message over a channel. The Go original:
//
//   func main() {
//       ch := make(chan string)
//       go func() {
//           ch <- "Bonjour depuis la goroutine !"
//       }()
//       msg := <-ch
//       fmt.Println(msg)
//   }
#include <sluice.hpp>

#include <cstdio>
#include <string>

int main() {
  sluice::run([]() -> sluice::task<> {
    auto ch = sluice::make_channel<std::string>();
    sluice::go([ch]() -> sluice::task<> {  // go keeps the closure, and with it its copy of ch
      co_await ch.send("Bonjour depuis la goroutine !");
    });
    auto msg = co_await ch.receive();
    std::puts(msg->c_str());
  });
}
