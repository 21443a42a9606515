// SPDX-License-Identifier: BSL-1.0
// A goroutine says hello beside main. The Go original:
//
//   func direBonjour() {
//       fmt.Println("Bonjour !")
//   }
//
//   func main() {
//       go direBonjour()
//       fmt.Println("Programme principal")
//       time.Sleep(1 * time.Second)
//   }
#include <sluice.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

sluice::task<> dire_bonjour() {
  std::puts("Bonjour !");
  co_return;
}

int main() {
  sluice::run([]() -> sluice::task<> {
    sluice::go(dire_bonjour);
    std::puts("Programme principal");
    co_await sluice::sleep_for(1s);
  });
}
