//! Groups of tasks, and what they hand to each other and to a plain thread. No pipeline: LLVM makes one
//! step of several of its work's.

use crate::measure::{
    check, microseconds, per_mille, run, run_sum, sum_below, Results, Setting, Workload,
};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::Instant;
use tokio::sync::{mpsc, OnceCell, RwLock};
use tokio::task::{yield_now, JoinSet};

/// Requests that start 100 tasks and wait for all.
fn group_100(s: &Setting) -> Results {
    const MEMBERS: usize = 100;
    let n = s.size;
    run_sum(s, n, n as i64 * sum_below(MEMBERS), async move {
        let sum = Arc::new(AtomicI64::new(0));
        for _ in 0..n {
            let mut group = JoinSet::new();
            for i in 0..MEMBERS as i64 {
                let sum = sum.clone();
                group.spawn(async move {
                    sum.fetch_add(i, Ordering::Relaxed);
                });
            }
            while let Some(member) = group.join_next().await {
                member.unwrap();
            }
        }
        sum.load(Ordering::Relaxed)
    })
}

/// A value to each of 1,000 tasks over a channel each.
fn fan_out(s: &Setting) -> Results {
    const RECEIVERS: usize = 1000;
    let values = s.size / RECEIVERS * RECEIVERS;
    run_sum(s, values, sum_below(values), async move {
        let mut all = Vec::with_capacity(RECEIVERS);
        let mut consumers = Vec::with_capacity(RECEIVERS);
        for _ in 0..RECEIVERS {
            let (to, mut from) = mpsc::channel(1);
            all.push(to);
            consumers.push(tokio::spawn(async move {
                let mut sum = 0;
                while let Some(value) = from.recv().await {
                    sum += value;
                }
                sum
            }));
        }
        for value in 0..values {
            all[value % RECEIVERS].send(value as i64).await.unwrap();
        }
        drop(all);
        let mut sum = 0;
        for consumer in consumers {
            sum += consumer.await.unwrap();
        }
        sum
    })
}

/// A thread that runs no tasks, and a task that answers it.
fn from_thread(s: &Setting) -> Results {
    let n = s.size;
    let ((sum, latencies), _) = run(s, async move {
        let (there, mut asked) = mpsc::channel(1);
        let (answers, mut back) = mpsc::channel(1);
        let asking = thread::spawn(move || {
            let mut sum = 0;
            let mut latencies = Vec::with_capacity(n);
            for i in 0..n as i64 {
                let started = Instant::now();
                there.blocking_send(i).unwrap();
                sum += back.blocking_recv().unwrap();
                latencies.push(microseconds(started.elapsed()));
            }
            (sum, latencies)
        });
        while let Some(value) = asked.recv().await {
            answers.send(value + 1).await.unwrap();
        }
        asking.join().unwrap()
    });
    check(sum, sum_below(n + 1));
    vec![
        ("p50_us", per_mille(latencies.clone(), 500)),
        ("p999_us", per_mille(latencies, 999)),
    ]
}

fn once(s: &Setting) -> Results {
    let n = s.size;
    run_sum(s, n, 1, async move {
        let cell = OnceCell::new();
        let mut calls = 0;
        for _ in 0..n {
            cell.get_or_init(|| async { calls += 1 }).await;
        }
        calls
    })
}

/// One lock of ten is a writer's. Each yields while it holds the lock.
fn shared_mutex(s: &Setting) -> Results {
    const MEMBERS: usize = 10;
    let each = s.size / MEMBERS / 10 * 10;
    let total = each * MEMBERS;
    run_sum(s, total, (total / 10) as i64, async move {
        let written = Arc::new(RwLock::new(0i64));
        let members: Vec<_> = (0..MEMBERS)
            .map(|_| {
                let written = written.clone();
                tokio::spawn(async move {
                    for i in 0..each {
                        if i % 10 == 0 {
                            let mut value = written.write().await;
                            let before = *value;
                            yield_now().await;
                            *value = before + 1;
                        } else {
                            let value = written.read().await;
                            let before = *value;
                            yield_now().await;
                            check(*value, before);
                        }
                    }
                })
            })
            .collect();
        for member in members {
            member.await.unwrap();
        }
        let sum = *written.read().await;
        sum
    })
}

pub const WORKLOADS: &[(&str, Workload)] = &[
    ("group_100", group_100),
    ("fan_out_1000", fan_out),
    ("from_thread", from_thread),
    ("once", once),
    ("shared_mutex", shared_mutex),
];
