//! Channels: handing over values one at a time, through a buffer, and without waiting.

use crate::measure::{
    check, nanoseconds_each, run, run_sum, sum_below, Results, Setting, Workload,
};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{channel, Receiver, Sender};

async fn echo(mut there: Receiver<i64>, back: Sender<i64>) {
    while let Some(v) = there.recv().await {
        back.send(v + 1).await.unwrap();
    }
}

fn ping_pong(s: &Setting) -> Results {
    let n = s.size;
    run_sum(s, n, sum_below(n + 1), async move {
        let (there, from_there) = channel(1);
        let (back, mut from_back) = channel(1);
        tokio::spawn(echo(from_there, back));
        let mut sum = 0;
        for i in 0..n as i64 {
            there.send(i).await.unwrap();
            sum += from_back.recv().await.unwrap();
        }
        sum
    })
}

async fn produce(out: Sender<i64>, n: usize) {
    for i in 0..n as i64 {
        out.send(i).await.unwrap();
    }
}

async fn consume(mut from: Receiver<i64>) -> i64 {
    let mut sum = 0;
    while let Some(v) = from.recv().await {
        sum += v;
    }
    sum
}

fn buffered(s: &Setting) -> Results {
    let n = s.size;
    run_sum(s, n, sum_below(n), async move {
        let (out, from) = channel(100);
        tokio::spawn(produce(out, n));
        tokio::spawn(consume(from)).await.unwrap()
    })
}

fn uncontended(s: &Setting) -> Results {
    let rounds = s.size / 100;
    let should_be = rounds as i64 * sum_below(100);
    run_sum(s, rounds * 100, should_be, async move {
        let (out, mut from) = channel(100);
        let mut sum = 0;
        for _ in 0..rounds {
            for i in 0..100 {
                out.send(i).await.unwrap();
            }
            for _ in 0..100 {
                sum += from.recv().await.unwrap();
            }
        }
        sum
    })
}

/// Receiving without waiting from a channel that has nothing.
fn try_receive(s: &Setting, closed: bool) -> Results {
    let n = s.size;
    run_sum(s, n, n as i64, async move {
        let (out, mut from) = channel::<i64>(100);
        let mut expected = TryRecvError::Empty;
        if closed {
            drop(out);
            expected = TryRecvError::Disconnected;
        }
        let mut misses = 0;
        for _ in 0..n {
            misses += i64::from(from.try_recv() == Err(expected));
        }
        misses
    })
}

async fn generate(out: Sender<i64>) {
    let mut i = 2;
    while out.send(i).await.is_ok() {
        i += 1;
    }
}

async fn filter(mut from: Receiver<i64>, out: Sender<i64>, prime: i64) {
    while let Some(v) = from.recv().await {
        if v % prime != 0 && out.send(v).await.is_err() {
            return;
        }
    }
}

fn sieve(s: &Setting) -> Results {
    let n = s.size;
    let (last, took) = run(s, async move {
        let (out, mut from) = channel(1);
        tokio::spawn(generate(out));
        let mut last = 0;
        for _ in 0..n {
            last = from.recv().await.unwrap();
            let (out, next) = channel(1);
            tokio::spawn(filter(from, out, last));
            from = next;
        }
        last
    });
    check(last, prime(n));
    vec![("ns", nanoseconds_each(took, n))]
}

/// The `n`th prime.
fn prime(n: usize) -> i64 {
    let is_prime = |p: &i64| (2..).take_while(|d| d * d <= *p).all(|d| p % d != 0);
    (2..).filter(is_prime).nth(n - 1).unwrap()
}

async fn pass_on(mut from: Receiver<i64>, out: Sender<i64>) {
    while let Some(v) = from.recv().await {
        out.send(v + 1).await.unwrap();
    }
}

fn ring(s: &Setting) -> Results {
    const MEMBERS: usize = 1000;
    let laps = s.size;
    let hops = MEMBERS * laps;
    run_sum(s, hops, hops as i64, async move {
        let (first, mut last) = channel(1);
        for _ in 1..MEMBERS {
            let (out, next) = channel(1);
            tokio::spawn(pass_on(last, out));
            last = next;
        }
        let mut count = 0;
        for _ in 0..laps {
            first.send(count + 1).await.unwrap();
            count = last.recv().await.unwrap();
        }
        count
    })
}

pub const WORKLOADS: &[(&str, Workload)] = &[
    ("ping_pong", ping_pong),
    ("buffered", buffered),
    ("uncontended", uncontended),
    ("try_empty", |s| try_receive(s, false)),
    ("try_closed", |s| try_receive(s, true)),
    ("sieve", sieve),
    ("ring", ring),
];
