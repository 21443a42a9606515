//! Time: many who sleep, and waits that do not take long enough for their timeout.

use crate::measure::{
    check, microseconds, percentile_99, processor_seconds, run, run_sum, sum_below, Results,
    Setting, Workload,
};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::channel;

/// How long sleeper `i` sleeps: 1 to 100 ms, in no order.
fn sleep_of(i: usize) -> Duration {
    Duration::from_micros((1000 + i * 7919 % 99001) as u64)
}

/// Sleeps, and gives the microseconds that it woke too late.
async fn sleep(d: Duration) -> f64 {
    let started = Instant::now();
    tokio::time::sleep(d).await;
    microseconds(started.elapsed()) - microseconds(d)
}

fn sleepers(s: &Setting) -> Results {
    let n = s.size;
    let before = processor_seconds();
    let (late, _) = run(s, async move {
        let all: Vec<_> = (0..n).map(|i| tokio::spawn(sleep(sleep_of(i)))).collect();
        let mut late = Vec::with_capacity(n);
        for sleeper in all {
            late.push(sleeper.await.unwrap());
        }
        late
    });
    let cpu = processor_seconds() - before;
    for &l in &late {
        check(i64::from(l >= 0.0), 1);
    }
    vec![
        ("cpu_ns", cpu * 1e9 / n as f64),
        ("p99_us", percentile_99(late)),
    ]
}

fn timeout(s: &Setting) -> Results {
    let n = s.size;
    run_sum(s, n, sum_below(n), async move {
        let (out, mut from) = channel(1);
        let mut sum = 0;
        for i in 0..n as i64 {
            out.send(i).await.unwrap();
            let received = tokio::time::timeout(Duration::from_secs(1), from.recv()).await;
            sum += received.unwrap().unwrap();
        }
        sum
    })
}

pub const WORKLOADS: &[(&str, Workload)] = &[("sleepers", sleepers), ("timeout", timeout)];
