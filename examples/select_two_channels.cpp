// SPDX-License-Identifier: BSL-1.0
// Whichever of two channels has a message first is served first. The Go original:
//
//   func main() {
//       ch1 := make(chan string)
//       ch2 := make(chan string)
//       go func() {
//           time.Sleep(1 * time.Second)
//           ch1 <- "Message de ch1"
//       }()
//       go func() {
//           time.Sleep(2 * time.Second)
//           ch2 <- "Message de ch2"
//       }()
//       for i := 0; i < 2; i++ {
//           select {
//           case msg := <-ch1:
//               fmt.Println("Reçu :", msg)
//           case msg := <-ch2:
//               fmt.Println("Reçu :", msg)
//           }
//       }
//   }
#include <sluice.hpp>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

using namespace std::chrono_literals;

sluice::task<> send_later(std::chrono::seconds delay, std::string message,
                          sluice::sender<std::string> out) {
  co_await sluice::sleep_for(delay);
  co_await out.send(message);
}

void print(const std::optional<std::string>& message) {
  std::printf("Reçu : %s\n", message->c_str());
}

int main() {
  sluice::run([]() -> sluice::task<> {
    auto ch1 = sluice::make_channel<std::string>();
    auto ch2 = sluice::make_channel<std::string>();
    sluice::go(send_later, 1s, "Message de ch1", ch1);
    sluice::go(send_later, 2s, "Message de ch2", ch2);
    for (int i = 0; i < 2; ++i)
      co_await sluice::select(sluice::on(ch1.receive(), print), sluice::on(ch2.receive(), print));
  });
}
