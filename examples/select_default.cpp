// SPDX-License-Identifier: BSL-1.0
// A look at a channel that does not wait: nothing is there. The Go original:
//
//   func main() {
//       ch := make(chan string)
//       select {
//       case msg := <-ch:
//           fmt.Println("Reçu :", msg)
//       default:
//           fmt.Println("Aucun message, on continue")
//       }
//   }
#include <sluice.hpp>

#include <cstdio>
#include <optional>
#include <string>

void print(const std::optional<std::string>& message) {
  std::printf("Reçu : %s\n", message->c_str());
}

int main() {
  sluice::run([]() -> sluice::task<> {
    auto ch = sluice::make_channel<std::string>();
    co_await sluice::select(sluice::on(ch.receive(), print),
                            sluice::otherwise([] { std::puts("Aucun message, on continue"); }));
  });
}
