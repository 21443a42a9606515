// SPDX-License-Identifier: BSL-1.0
// The prime sieve: a chain of goroutines, one for each prime found so far, through which all
// numbers go; what comes out at the end is the next prime, and gets a goroutine of its own.
//
//   prime_sieve [N]     prints the first N primes, 10 by default
//
// The Go original, after the example of the same name at go.dev:
//
//   func generate(out chan<- int) {
//       for i := 2; ; i++ {
//           out <- i
//       }
//   }
//
//   func filter(in <-chan int, out chan<- int, prime int) {
//       for {
//           if i := <-in; i%prime != 0 {
//               out <- i
//           }
//       }
//   }
//
//   func main() {
//       ch := make(chan int)
//       go generate(ch)
//       for i := 0; i < 10; i++ {
//           prime := <-ch
//           fmt.Println(prime)
//           next := make(chan int)
//           go filter(ch, next, prime)
//           ch = next
//       }
//   }
#include <sluice.hpp>

#include <cstdio>
#include <cstdlib>

sluice::task<> generate(sluice::sender<int> out) {
  for (int i = 2;; ++i) co_await out.send(i);
}

sluice::task<> filter(sluice::receiver<int> in, sluice::sender<int> out, int prime) {
  for (;;) {
    const int i = *co_await in.receive();
    if (i % prime != 0) co_await out.send(i);
  }
}

int main(int argc, char* argv[]) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 10;
  sluice::run([count]() -> sluice::task<> {
    auto ch = sluice::make_channel<int>();
    sluice::go(generate, ch);
    for (int i = 0; i < count; ++i) {
      const int prime = *co_await ch.receive();
      std::printf("%d\n", prime);
      auto next = sluice::make_channel<int>();
      sluice::go(filter, ch, next, prime);
      ch = next;
    }
  });  // main has returned: all of the chain is destroyed
}
