//! The chaos harness: `chaos` alone starts a broker pair, breaks it under load and reports what the failover cost.
//!
//! This binary is also the nodes of that pair, and the disk that they share: it starts itself again with a hidden first argument. It owns nothing else; what the
//! harness does is in `chaos-core`, which never links a broker.

#![forbid(unsafe_code)]

use chaos_core::node;
use std::ffi::OsString;

fn main() {
    std::process::exit(run(std::env::args_os().collect()));
}

fn run(mut arguments: Vec<OsString>) -> i32 {
    let first = arguments.get(1).and_then(|first| first.to_str());
    match first {
        Some(node::NODE_ARGUMENT) => node::run(arguments.split_off(2), run_broker),
        Some(node::NODE_PROGRAM_ARGUMENT) => node::become_program(arguments.split_off(2)),
        Some(node::DISK_ARGUMENT) => node::run_disk(&arguments[2..]),
        Some(node::NODE_WITHIN_ARGUMENT) => match node::enter_named(arguments.split_off(2)) {
            Ok(rest) => run(arguments.into_iter().take(1).chain(rest).collect()),
            Err(code) => code,
        },
        _ => chaos_core::main(arguments),
    }
}

fn run_broker(arguments: Vec<OsString>) -> i32 {
    broker::run(std::iter::once(OsString::from("broker")).chain(arguments))
}
