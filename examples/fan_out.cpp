// SPDX-License-Identifier: BSL-1.0
// Jobs fanned out to three workers over a buffered channel. The Go original:
//
//   type Job struct{ ID, Value int }
//   type Result struct{ Worker, Job, Input, Output int }
//
//   func worker(id int, jobs <-chan Job, results chan<- Result) {
//       for job := range jobs {
//           time.Sleep(50 * time.Millisecond)
//           results <- Result{id, job.ID, job.Value, job.Value * 2}
//       }
//   }
//
//   func main() {
//       jobs := make(chan Job, 5)
//       results := make(chan Result, 5)
//       for id := 1; id <= 3; id++ {
//           go worker(id, jobs, results)
//       }
//       for id := 1; id <= 5; id++ {
//           jobs <- Job{id, id * 10}
//       }
//       close(jobs)
//       for i := 1; i <= 5; i++ {
//           r := <-results
//           fmt.Printf("Worker %d a traité job %d : %d → %d\n", r.Worker, r.Job, r.Input, r.Output)
//       }
//   }
#include <sluice.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

struct job {
  int id, value;
};
struct result {
  int worker, job, input, output;
};

sluice::task<> worker(int id, sluice::receiver<job> jobs, sluice::sender<result> results) {
  while (auto j = co_await jobs.receive()) {
    co_await sluice::sleep_for(50ms);
    co_await results.send({id, j->id, j->value, j->value * 2});
  }
}

int main() {
  sluice::run([]() -> sluice::task<> {
    auto jobs = sluice::make_channel<job>(5);
    auto results = sluice::make_channel<result>(5);
    for (int id = 1; id <= 3; ++id) sluice::go(worker, id, jobs, results);
    for (int id = 1; id <= 5; ++id) co_await jobs.send({id, id * 10});
    jobs.close();
    for (int i = 1; i <= 5; ++i) {
      const auto r = co_await results.receive();
      std::printf("Worker %d a traité job %d : %d → %d\n", r->worker, r->job, r->input, r->output);
    }
  });
}
