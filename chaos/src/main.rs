//! The chaos harness: `chaos` alone starts a broker pair, breaks it under load and reports what the failover cost.
//!
//! This binary is also the nodes of that pair, and the disk that they share: it starts itself again with a hidden first argument. It owns nothing else; what the
//! harness does is in `chaos-core`, which never links a broker.

#![forbid(unsafe_code)]

use std::ffi::OsString;

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let first = arguments.get(1).and_then(|first| first.to_str());
    let code = match first {
        Some(chaos_core::node::NODE_ARGUMENT) => chaos_core::node::run(arguments[2..].to_vec(), run_broker),
        Some(chaos_core::node::NODE_PROGRAM_ARGUMENT) => chaos_core::node::become_program(arguments[2..].to_vec()),
        Some(chaos_core::node::DISK_ARGUMENT) => chaos_core::node::run_disk(&arguments[2..]),
        _ => chaos_core::main(arguments),
    };
    std::process::exit(code);
}

fn run_broker(arguments: Vec<OsString>) -> i32 {
    broker::run(std::iter::once(OsString::from("broker")).chain(arguments))
}
