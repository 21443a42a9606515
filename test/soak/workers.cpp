#include "lap.hpp"

#include <memory>

namespace sluice_test::soak {

namespace {

using pool = sluice::worker_pool<parcel, std::uint64_t>;

task<std::uint64_t> work(const parcel& p) {
  switch (p.number % 5) {
    case 0:
      throw std::runtime_error("a job that fails");
    case 1:
      co_await sluice::sleep_for(300us);
      break;
    case 2:
      co_await sluice::this_goroutine::yield();
  }
  co_return p.number;
}

task<> submit(lap& l, std::shared_ptr<pool> p, dice d) {
  while (l.goes_on()) {
    const auto number = d.below(1'000);
    try {
      const auto result = d.below(3) == 0
                              ? co_await sluice::timeout(p->submit(parcel(number)), d.moment())
                              : co_await p->submit(parcel(number));
      if (result != number) wrong("a job has another's result");
    } catch (...) {
      lap::check(std::current_exception());
    }
    l.done();
  }
}

task<> group(lap& l, dice d) {
  while (l.goes_on()) {
    std::atomic<int> ran = 0;
    const int all = 1 + static_cast<int>(d.below(8));
    bool failed = false;
    try {
      const auto body = [&](sluice::task_group& g) -> task<> {
        for (int i = 0; i < all; ++i)
          g.go([&ran, i, fails = d.below(20) == 0]() -> task<> {
            co_await sluice::sleep_for(std::chrono::microseconds(20 * i));
            if (fails) throw std::runtime_error("a job that fails");
            ++ran;
          });
        co_return;
      };
      co_await sluice::with_task_group(l.tree.ctx, body);
    } catch (...) {
      lap::check(std::current_exception());
      failed = true;
    }
    if (!failed && ran != all) wrong("a task group was left while somebody ran");
    l.done(static_cast<std::size_t>(all));
  }
}

task<int> leaf(int n) {
  co_await sluice::this_goroutine::yield();
  co_return n;
}

task<> fork(lap& l) {
  while (l.goes_on()) {
    const auto [a, b] = co_await sluice::when_all(leaf(1), leaf(2));
    const std::vector<int> numbers{1, 2, 3, 4, 5, 6};
    const auto doubled = co_await sluice::for_each(numbers, leaf, sluice::limit(3));
    if (a + b != 3 || doubled != numbers) wrong("children have given something else");
    l.done(8);
  }
}

/// Counts somebody while he is there.
class presence {
 public:
  explicit presence(std::atomic<int>& n) : n_(n) { ++n_; }
  presence(const presence&) = delete;
  presence& operator=(const presence&) = delete;
  ~presence() { --n_; }

 private:
  std::atomic<int>& n_;
};

/// What the locks protect.
struct shared {
  sluice::mutex mutex;
  sluice::condition changed;
  sluice::semaphore places{3};
  std::uint64_t plain = 0;
  std::atomic<int> inside = 0;
};

task<> lock(lap& l, shared& s, dice d) {
  while (l.goes_on()) {
    {
      const auto guard = co_await s.mutex.lock();
      const auto before = s.plain;
      if (d.below(4) == 0) co_await sluice::this_goroutine::yield();
      s.plain = before + 1;
      if (s.plain != before + 1) wrong("two have had one lock");
    }
    {
      const auto permit = co_await s.places.acquire();
      const presence here(s.inside);
      if (s.inside > 3) wrong("too many have had a permit");
      if (d.below(4) == 0) co_await sluice::sleep_for(d.moment());
    }
    static_cast<void>(
        co_await succeeds(sluice::timeout(s.places.acquire(1 + d.below(3)), d.moment())));
    static_cast<void>(co_await succeeds(sluice::timeout(s.mutex.lock(), d.moment() / 8)));
    if (d.below(8) == 0) static_cast<void>(co_await sluice::offload([] { return 1; }));
    l.done();
  }
}

}  // namespace

std::function<void()> start_workers(lap& l) {
  const auto p = std::make_shared<pool>(
      l.io, sluice::worker_pool_options{.workers = 3, .queue_capacity = 4, .job_timeout = 200us},
      [](const parcel& job) { return work(job); });
  const auto s = std::make_shared<shared>();
  for (int i = 0; i < 5; ++i) l.start([&l, p, d = l.some_dice()] { return submit(l, p, d); });
  for (int i = 0; i < 2; ++i) {
    l.start([&l, d = l.some_dice()] { return group(l, d); });
    l.start([&l] { return fork(l); });
  }
  for (int i = 0; i < 4; ++i) l.start([&l, s, d = l.some_dice()] { return lock(l, *s, d); });
  return [p, s] {
    if (!s->places.try_acquire(3)) wrong("a permit was not given back");
    if (!s->mutex.try_lock().owns_lock()) wrong("a lock was not given back");
    const auto stats = p->stats();
    if (stats.queued != 0) wrong("a job was left in the queue");
  };
}

}  // namespace sluice_test::soak
