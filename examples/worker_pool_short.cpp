// SPDX-License-Identifier: BSL-1.0
// What worker_pool.cpp does, with the library's pool: three workers, room for five jobs, a second
// at most for each job.
#include <sluice.hpp>

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>

using namespace std::chrono_literals;

struct result {
  std::size_t worker = 0;
  int job = 0, input = 0, output = 0;
};

sluice::task<result> work(int job, std::size_t worker) {
  co_await sluice::sleep_for(50ms);
  const result r{worker, job, job, job * 2};
  co_return r;
}

void print(std::exception_ptr failure, result r) {
  if (failure)
    std::puts("Timeout");
  else
    std::printf("Worker %zu a traité job %d : %d → %d\n", r.worker, r.job, r.input, r.output);
}

int main() {
  boost::asio::io_context io;
  sluice::worker_pool<int, result> pool(io, {.workers = 3, .queue_capacity = 5, .job_timeout = 1s},
                                        work);
  for (int job = 1; job <= 5; ++job) pool.submit(job)(print);
  io.run();  // ends with the last job
}
