//! Select: receiving from whichever of several channels has a value.

use crate::measure::{run_sum, sum_below, Results, Setting, Workload};
use tokio::select;
use tokio::sync::mpsc::{channel, Receiver, Sender};

fn make_channels(k: usize) -> (Vec<Sender<i64>>, Vec<Receiver<i64>>) {
    (0..k).map(|_| channel(1)).unzip()
}

/// The macro looks at its branches in random order.
async fn receive_from_any(from: &mut [Receiver<i64>]) -> i64 {
    let received = match from {
        [a, b] => select! {
            v = a.recv() => v,
            v = b.recv() => v,
        },
        [a, b, c, d, e, f, g, h] => select! {
            v = a.recv() => v,
            v = b.recv() => v,
            v = c.recv() => v,
            v = d.recv() => v,
            v = e.recv() => v,
            v = f.recv() => v,
            v = g.recv() => v,
            v = h.recv() => v,
        },
        _ => panic!("there is no select of {} channels", from.len()),
    };
    received.unwrap()
}

/// Of all channels one has a value in its buffer when the select begins.
fn ready(s: &Setting, k: usize) -> Results {
    let n = s.size;
    run_sum(s, n, sum_below(n), async move {
        let (out, mut from) = make_channels(k);
        let mut sum = 0;
        for i in 0..n {
            out[i % k].send(i as i64).await.unwrap();
            sum += receive_from_any(&mut from).await;
        }
        sum
    })
}

async fn send_in_turn(out: Vec<Sender<i64>>, mut acknowledged: Receiver<()>, n: usize) {
    for i in 0..n {
        out[i % out.len()].send(i as i64).await.unwrap();
        acknowledged.recv().await.unwrap();
    }
}

/// None has when it begins: the sender waits for an acknowledgement of each value.
fn parking(s: &Setting, k: usize) -> Results {
    let n = s.size;
    run_sum(s, n, sum_below(n), async move {
        let (out, mut from) = make_channels(k);
        let (acknowledge, acknowledged) = channel(1);
        let sender = tokio::spawn(send_in_turn(out, acknowledged, n));
        let mut sum = 0;
        for _ in 0..n {
            sum += receive_from_any(&mut from).await;
            acknowledge.send(()).await.unwrap();
        }
        sender.await.unwrap();
        sum
    })
}

pub const WORKLOADS: &[(&str, Workload)] = &[
    ("select_2_ready", |s| ready(s, 2)),
    ("select_8_ready", |s| ready(s, 8)),
    ("select_2_parking", |s| parking(s, 2)),
    ("select_8_parking", |s| parking(s, 8)),
];
