// SPDX-License-Identifier: BSL-1.0
// Two goroutines count at the same time, and main waits for both. The Go original:
//
//   func count(name string, wg *sync.WaitGroup) {
//       defer wg.Done()
//       for i := 1; i <= 3; i++ {
//           fmt.Printf("%s: %d\n", name, i)
//           time.Sleep(500 * time.Millisecond)
//       }
//   }
//
//   func main() {
//       var wg sync.WaitGroup
//       wg.Add(2)
//       go count("A", &wg)
//       go count("B", &wg)
//       wg.Wait()
//   }
#include <sluice.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

sluice::task<> count(const char* name) {
  for (int i = 1; i <= 3; ++i) {
    std::printf("%s: %d\n", name, i);
    co_await sluice::sleep_for(500ms);
  }
}

int main() {
  sluice::run([]() -> sluice::task<> {
    sluice::wait_group wg;
    wg.go(count, "A");  // counts it until it has ended
    wg.go(count, "B");
    co_await wg.wait();
  });
}
