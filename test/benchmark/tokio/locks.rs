//! Locks: mutex and semaphore.

use crate::measure::{run_sum, sum_below, Results, Setting, Workload};
use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::yield_now;

static MUTEX: Mutex<()> = Mutex::const_new(());
static SEMAPHORE: Semaphore = Semaphore::const_new(1);

/// `acquire` gives what holds the lock.
fn uncontended<F>(s: &Setting, acquire: impl Fn() -> F + Send + Sync + 'static) -> Results
where
    F: Future + Send + 'static,
{
    let n = s.size;
    run_sum(s, n, sum_below(n), async move {
        let mut sum = 0;
        for i in 0..n as i64 {
            let _held = acquire().await;
            sum += i;
        }
        sum
    })
}

/// Yields while it holds the lock, so that the others have to wait for it.
fn contended<F>(s: &Setting, acquire: impl Fn() -> F + Copy + Send + Sync + 'static) -> Results
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    const MEMBERS: usize = 4;
    let each = s.size / MEMBERS;
    run_sum(s, s.size, (each * MEMBERS) as i64, async move {
        let sum = Arc::new(AtomicI64::new(0));
        let hold_and_yield = || {
            let sum = sum.clone();
            async move {
                for _ in 0..each {
                    let _held = acquire().await;
                    let before = sum.load(Ordering::Relaxed);
                    yield_now().await;
                    sum.store(before + 1, Ordering::Relaxed);
                }
            }
        };
        let members: Vec<_> = (0..MEMBERS)
            .map(|_| tokio::spawn(hold_and_yield()))
            .collect();
        for member in members {
            member.await.unwrap();
        }
        sum.load(Ordering::Relaxed)
    })
}

pub const WORKLOADS: &[(&str, Workload)] = &[
    ("mutex_uncontended", |s| uncontended(s, || MUTEX.lock())),
    ("mutex_contended", |s| contended(s, || MUTEX.lock())),
    ("semaphore_uncontended", |s| {
        uncontended(s, || SEMAPHORE.acquire())
    }),
    ("semaphore_contended", |s| {
        contended(s, || SEMAPHORE.acquire())
    }),
];
