// SPDX-License-Identifier: BSL-1.0
// A pipeline: one goroutine makes numbers, three square them (fan-out), main adds up what all three
// give (fan-in). Each stage ends when the one before it has closed its channel. The Go original,
// after "Go Concurrency Patterns: Pipelines and cancellation" in the Go blog:
//
//   func generate(n int, out chan<- int) {
//       for i := 1; i <= n; i++ {
//           out <- i
//       }
//       close(out)
//   }
//
//   func square(in <-chan int, out chan<- int) {
//       for i := range in {
//           out <- i * i
//       }
//   }
//
//   func squareAll(in <-chan int, out chan<- int) {
//       var wg sync.WaitGroup
//       for i := 0; i < 3; i++ {
//           wg.Go(func() { square(in, out) })
//       }
//       wg.Wait()
//       close(out)
//   }
//
//   func main() {
//       numbers, squares := make(chan int), make(chan int)
//       go generate(1000, numbers)
//       go squareAll(numbers, squares)
//       sum := 0
//       for s := range squares {
//           sum += s
//       }
//       fmt.Println("the squares of 1 to 1000 add up to", sum)
//   }
#include <sluice.hpp>

#include <cstdio>

sluice::task<> generate(int n, sluice::sender<int> out) {
  for (int i = 1; i <= n; ++i) co_await out.send(i);
  out.close();
}

sluice::task<> square(sluice::receiver<int> in, sluice::sender<int> out) {
  while (const auto i = co_await in.receive()) co_await out.send(*i * *i);
}

sluice::task<> square_all(sluice::receiver<int> in, sluice::sender<int> out) {
  sluice::wait_group wg;
  for (int i = 0; i < 3; ++i) wg.go(square, in, out);
  co_await wg.wait();
  out.close();  // by the one who knows that nobody sends any more
}

int main() {
  sluice::run([]() -> sluice::task<> {
    auto numbers = sluice::make_channel<int>();
    auto squares = sluice::make_channel<int>();
    sluice::go(generate, 1000, numbers);
    sluice::go(square_all, numbers, squares);
    int sum = 0;
    while (const auto s = co_await squares.receive()) sum += *s;
    std::printf("the squares of 1 to 1000 add up to %d\n", sum);
  });
}
