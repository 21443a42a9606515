//! Bursts of tasks, one after another: they are started together and waited for.

use crate::measure::{check, run, Results, Setting, Workload};
use crate::tasks::Countdown;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

fn turn(rounds: u64) {
    let mut state = rounds;
    for _ in 0..rounds {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        state = black_box(state);
    }
}

/// How many rounds keep a processor busy so long, by the clock.
fn rounds_of(each: Duration) -> u64 {
    const CALIBRATED: u64 = 100_000;
    let least = (0..20)
        .map(|_| {
            let started = Instant::now();
            turn(CALIBRATED);
            started.elapsed().as_secs_f64() / CALIBRATED as f64
        })
        .fold(f64::MAX, f64::min);
    (each.as_secs_f64() / least) as u64
}

async fn burst(pieces: usize, rounds: u64) {
    let all = Arc::new(Countdown::new(pieces));
    for _ in 0..pieces {
        let all = all.clone();
        tokio::spawn(async move {
            turn(rounds);
            all.done();
        });
    }
    all.wait().await;
}

/// The median time of many bursts, each after a pause.
fn bursts(s: &Setting, pieces: usize, each_us: u64, pause_ms: u64) -> Results {
    let rounds = rounds_of(Duration::from_micros(each_us));
    let n = s.size;
    let (mut took, _) = run(s, async move {
        let mut took = Vec::with_capacity(n);
        for _ in 0..n {
            if pause_ms != 0 {
                sleep(Duration::from_millis(pause_ms)).await;
            }
            let started = Instant::now();
            burst(pieces, rounds).await;
            took.push(started.elapsed().as_secs_f64() * 1e9);
        }
        took
    });
    check(took.len() as i64, n as i64);
    took.sort_by(f64::total_cmp);
    vec![("ns", took[n / 2])]
}

pub const WORKLOADS: &[(&str, Workload)] = &[
    ("burst_4096_2", |s| bursts(s, 4096, 2, 0)),
    ("burst_500_2", |s| bursts(s, 500, 2, 0)),
    ("burst_100_20", |s| bursts(s, 100, 20, 0)),
    ("burst_4_200", |s| bursts(s, 4, 200, 0)),
    ("after_pause_4096_2", |s| bursts(s, 4096, 2, 20)),
    ("after_pause_500_2", |s| bursts(s, 500, 2, 20)),
    ("after_pause_100_20", |s| bursts(s, 100, 20, 20)),
    ("after_pause_4_200", |s| bursts(s, 4, 200, 20)),
];
