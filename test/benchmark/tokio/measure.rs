//! What the workloads share: running a task as programs do, checks and clocks.

use std::future::Future;
use std::process::exit;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

/// How much of a workload is to be done, and by how many threads.
pub struct Setting {
    pub size: usize,
    pub threads: usize,
}

/// What was measured, by name.
pub type Results = Vec<(&'static str, f64)>;

pub type Workload = fn(&Setting) -> Results;

fn make_runtime(threads: usize) -> Runtime {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap()
}

/// Runs `main` as the first task of a runtime, with a timer pending and a second thread alive.
/// Gives what it gives, and how long that took.
pub fn run<F>(s: &Setting, main: F) -> (F::Output, Duration)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    thread::spawn(|| loop {
        thread::park()
    });
    let runtime = make_runtime(s.threads);
    runtime.spawn(async { sleep(Duration::from_secs(3600)).await });
    let started = Instant::now();
    let output = runtime.block_on(runtime.spawn(main)).unwrap();
    (output, started.elapsed())
}

/// Runs a `main` that does `operations` and gives a sum.
pub fn run_sum<F>(s: &Setting, operations: usize, should_be: i64, main: F) -> Results
where
    F: Future<Output = i64> + Send + 'static,
{
    let (sum, took) = run(s, main);
    check(sum, should_be);
    vec![("ns", nanoseconds_each(took, operations))]
}

pub fn nanoseconds_each(took: Duration, n: usize) -> f64 {
    took.as_secs_f64() * 1e9 / n as f64
}

pub fn microseconds(d: Duration) -> f64 {
    d.as_secs_f64() * 1e6
}

/// What is received when 0 ... n - 1 are sent.
pub fn sum_below(n: usize) -> i64 {
    let n = n as i64;
    n * (n - 1) / 2
}

/// Ends the program if they differ: its time means nothing.
pub fn check(is: i64, should_be: i64) {
    if is != should_be {
        eprintln!("the sum is {is} instead of {should_be}");
        exit(1);
    }
}

/// The processor time that this program has used.
pub fn processor_seconds() -> f64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes only to `t`.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    assert_eq!(status, 0);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

/// How much of this program is in memory.
pub fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    // SAFETY: it only reads.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as f64
}

/// The number that so many of a thousand samples are not above.
pub fn per_mille(mut samples: Vec<f64>, share: usize) -> f64 {
    let at = samples.len() * share / 1000;
    *samples.select_nth_unstable_by(at, f64::total_cmp).1
}

/// The number that 99 % of the samples are not above.
pub fn percentile_99(samples: Vec<f64>) -> f64 {
    per_mille(samples, 990)
}
