//! The same workloads with Tokio. See ../main.cpp and ../measure.hpp.
//!
//! Tokio has no channels without a buffer: where the others have them (ping_pong, sieve, ring,
//! select_2_parking, select_8_parking), there is room for one value here. And its channels have one
//! receiver each, so that workloads with several are left out.

mod bursts;
mod channels;
mod echo;
mod groups;
mod locks;
mod measure;
mod select;
mod tasks;
mod timers;

use measure::{Setting, Workload};
use std::collections::BTreeMap;
use std::process::exit;

fn workloads() -> BTreeMap<&'static str, Workload> {
    [
        bursts::WORKLOADS,
        channels::WORKLOADS,
        echo::WORKLOADS,
        groups::WORKLOADS,
        locks::WORKLOADS,
        select::WORKLOADS,
        tasks::WORKLOADS,
        timers::WORKLOADS,
    ]
    .concat()
    .into_iter()
    .collect()
}

/// The number that an argument is. Ends the program if it is none.
fn positive(argument: &str) -> usize {
    match argument.parse() {
        Ok(n) if n > 0 => n,
        _ => {
            eprintln!("\"{argument}\" is not a positive number");
            exit(2)
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let workloads = workloads();
    if arguments.len() < 2 {
        for name in workloads.keys() {
            println!("{name}");
        }
        return;
    }
    let (workload, size) = match (workloads.get(arguments[1].as_str()), arguments.get(2)) {
        (Some(workload), Some(size)) => (workload, positive(size)),
        _ => {
            eprintln!("usage: {} [WORKLOAD SIZE [THREADS]]", arguments[0]);
            exit(2)
        }
    };
    let threads = arguments.get(3).map_or(1, |threads| positive(threads));
    for (name, value) in workload(&Setting { size, threads }) {
        println!("{name} {value:.3}");
    }
}
