//! TCP: requests and their echoes over one and over a hundred connections.

use crate::measure::{
    check, microseconds, nanoseconds_each, percentile_99, run, Results, Setting, Workload,
};
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

type Message = [u8; 64];

async fn serve(mut socket: TcpStream) {
    let mut data: Message = [0; 64];
    loop {
        match socket.read(&mut data).await.unwrap() {
            0 => return,
            n => socket.write_all(&data[..n]).await.unwrap(),
        }
    }
}

async fn serve_with_limits(mut socket: TcpStream) {
    let mut data: Message = [0; 64];
    loop {
        let read = timeout(Duration::from_secs(30), socket.read(&mut data));
        match read.await.unwrap().unwrap() {
            0 => return,
            n => timeout(Duration::from_secs(5), socket.write_all(&data[..n]))
                .await
                .unwrap()
                .unwrap(),
        }
    }
}

/// The server until it is told to stop.
async fn stopped(mut stop: watch::Receiver<bool>, serve: impl Future<Output = ()>) {
    tokio::select! {
        _ = stop.changed() => {}
        _ = serve => {}
    }
}

/// Gives the microseconds that each request took.
async fn request(mut socket: TcpStream, n: usize) -> Vec<f64> {
    let mut data: Message = [0; 64];
    let mut latencies = Vec::with_capacity(n);
    for i in 0..n {
        let started = Instant::now();
        data[0] = i as u8;
        socket.write_all(&data).await.unwrap();
        socket.read_exact(&mut data).await.unwrap();
        check(i64::from(data[0]), i64::from(i as u8));
        latencies.push(microseconds(started.elapsed()));
    }
    latencies
}

/// Both ends of a new connection.
async fn connect(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

/// Gives the latencies of all requests, and how long they took together.
async fn converse<S>(
    connections: usize,
    each: usize,
    serve: fn(TcpStream) -> S,
    stops: bool,
) -> (Vec<f64>, Duration)
where
    S: Future<Output = ()> + Send + 'static,
{
    let (_stop, told) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..connections {
        let (client, server) = connect(&listener).await;
        if stops {
            tokio::spawn(stopped(told.clone(), serve(server)));
        } else {
            tokio::spawn(serve(server));
        }
        clients.push(client);
    }
    let started = Instant::now();
    let all: Vec<_> = clients
        .into_iter()
        .map(|c| tokio::spawn(request(c, each)))
        .collect();
    let mut latencies = Vec::with_capacity(connections * each);
    for client in all {
        latencies.extend(client.await.unwrap());
    }
    (latencies, started.elapsed())
}

fn echo<S>(s: &Setting, connections: usize, serve: fn(TcpStream) -> S, stops: bool) -> Results
where
    S: Future<Output = ()> + Send + 'static,
{
    let each = s.size / connections;
    let ((latencies, took), _) = run(s, converse(connections, each, serve, stops));
    let requests = connections * each;
    check(latencies.len() as i64, requests as i64);
    vec![
        ("ns", nanoseconds_each(took, requests)),
        ("p99_us", percentile_99(latencies)),
    ]
}

pub const WORKLOADS: &[(&str, Workload)] = &[
    ("echo_1", |s| echo(s, 1, serve, false)),
    ("echo_100", |s| echo(s, 100, serve, false)),
    ("server_timeouts", |s| {
        echo(s, 100, serve_with_limits, false)
    }),
    ("server_stop", |s| echo(s, 100, serve, true)),
    ("server_both", |s| echo(s, 100, serve_with_limits, true)),
];
