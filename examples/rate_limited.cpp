// SPDX-License-Identifier: BSL-1.0
// Requests at a limited rate: first one every 50 milliseconds, then the same with a burst of three
// at once. The Go original, with golang.org/x/time/rate:
//
//   func serve(limiter *rate.Limiter) {
//       started := time.Now()
//       for i := 1; i <= 5; i++ {
//           limiter.Wait(context.Background())
//           fmt.Printf("request %d after %d ms\n", i, time.Since(started).Milliseconds())
//       }
//   }
//
//   func main() {
//       serve(rate.NewLimiter(rate.Every(50*time.Millisecond), 1))
//       fmt.Println("with bursts:")
//       serve(rate.NewLimiter(rate.Every(50*time.Millisecond), 3))
//   }
#include <sluice.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

sluice::task<> serve(sluice::rate_limiter& limiter) {
  const auto started = sluice::clock::now();
  for (int i = 1; i <= 5; ++i) {
    co_await limiter.acquire();
    const auto after = sluice::clock::now() - started;
    std::printf("request %d after %d ms\n", i, static_cast<int>(after / 1ms));
  }
}

int main() {
  sluice::run([]() -> sluice::task<> {
    sluice::rate_limiter steady(50ms);
    co_await serve(steady);
    std::puts("with bursts:");
    sluice::rate_limiter bursty(50ms, 3);
    co_await serve(bursty);
  });
}
