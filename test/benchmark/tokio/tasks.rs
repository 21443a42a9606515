//! Tasks: starting, ending, parking and waking them.

use crate::measure::{
    check, nanoseconds_each, resident_bytes, run, run_sum, sum_below, Results, Setting, Workload,
};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{oneshot, Notify, Semaphore};

/// Waits for what many tasks count down. It costs less than their join handles, or a JoinSet.
pub struct Countdown {
    left: AtomicUsize,
    over: Notify,
}

impl Countdown {
    pub fn new(n: usize) -> Self {
        Self {
            left: AtomicUsize::new(n),
            over: Notify::new(),
        }
    }

    pub fn done(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.over.notify_one();
        }
    }

    pub async fn wait(&self) {
        self.over.notified().await;
    }
}

fn spawn(s: &Setting) -> Results {
    let n = s.size;
    run_sum(s, n, sum_below(n), async move {
        let shared = Arc::new((AtomicI64::new(0), Countdown::new(n)));
        for i in 0..n as i64 {
            let shared = shared.clone();
            tokio::spawn(async move {
                shared.0.fetch_add(i, Ordering::Relaxed);
                shared.1.done();
            });
        }
        shared.1.wait().await;
        shared.0.load(Ordering::Relaxed)
    })
}

fn chain(left: usize, sum: i64, end: oneshot::Sender<i64>) {
    let sum = sum + left as i64;
    if left > 0 {
        tokio::spawn(async move { chain(left - 1, sum, end) });
    } else {
        end.send(sum).unwrap();
    }
}

fn spawn_chain(s: &Setting) -> Results {
    let n = s.size;
    run_sum(s, n, sum_below(n), async move {
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move { chain(n - 1, 0, end) });
        ended.await.unwrap()
    })
}

/// A semaphore without permits stays closed once it is, as a channel does, and of what does that it
/// takes the least memory for each who waits.
struct Waiters {
    until: Semaphore,
    waiting: Countdown,
    all: Countdown,
    sum: AtomicI64,
}

async fn wait(waiters: Arc<Waiters>, i: i64) {
    waiters.waiting.done();
    assert!(waiters.until.acquire().await.is_err());
    waiters.sum.fetch_add(i, Ordering::Relaxed);
    waiters.all.done();
}

fn parked(s: &Setting) -> Results {
    let n = s.size;
    let ((sum, results), _) = run(s, async move {
        let waiters = Arc::new(Waiters {
            until: Semaphore::new(0),
            waiting: Countdown::new(n),
            all: Countdown::new(n),
            sum: AtomicI64::new(0),
        });
        let before = resident_bytes();
        for i in 0..n as i64 {
            tokio::spawn(wait(waiters.clone(), i));
        }
        waiters.waiting.wait().await;
        let bytes = (resident_bytes() - before) / n as f64;

        let started = Instant::now();
        waiters.until.close();
        waiters.all.wait().await;
        let ns = nanoseconds_each(started.elapsed(), n);
        let sum = waiters.sum.load(Ordering::Relaxed);
        (sum, vec![("bytes", bytes), ("ns", ns)])
    });
    check(sum, sum_below(n));
    results
}

pub const WORKLOADS: &[(&str, Workload)] = &[
    ("spawn", spawn),
    ("spawn_chain", spawn_chain),
    ("parked", parked),
];
