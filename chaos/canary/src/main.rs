//! Brokers with one deliberate defect each, and the harness that must see it: the canaries of `chaos`.
//!
//! A defect is a layer between the broker and its reactor ([`layer`]); the broker itself is the one of production, unchanged.
//! `broker-canary --defect NAME --config FILE` is such a broker, `broker-canary chaos ...` the harness with it as its nodes, which
//! take the defect from the environment variable CANARY_DEFECT. Without a defect it is the sound broker: the control.
//!
//! Map: `defect` the names; `layer` what all share; `early`, `blind`, `forgetful`, `twice` a defect each; `frames`, `numbering` the
//! AMQP that two of them read.

#![forbid(unsafe_code)]

mod blind;
mod defect;
mod early;
mod forgetful;
mod frames;
mod layer;
mod numbering;
mod twice;

use chaos_core::node;
use defect::Defect;
use std::ffi::OsString;

/// First argument that makes this the harness.
const HARNESS_ARGUMENT: &str = "chaos";
/// Option that names the defect; it has to come first.
const DEFECT_OPTION: &str = "--defect";
/// Names the defect where there is no option.
const DEFECT_VARIABLE: &str = "CANARY_DEFECT";
/// Neither a broker nor a run.
const EXIT_USAGE: i32 = 254;

fn main() {
    std::process::exit(run(std::env::args_os().skip(1).collect()));
}

/// The harness starts this program again: as its nodes, as the disk that they share, and within a host of their own.
fn run(mut arguments: Vec<OsString>) -> i32 {
    let first = arguments.first().and_then(|first| first.to_str());
    match first {
        Some(HARNESS_ARGUMENT) => chaos_core::main(arguments),
        Some(node::NODE_ARGUMENT) => node::run(arguments.split_off(1), serve),
        Some(node::NODE_PROGRAM_ARGUMENT) => node::become_program(arguments.split_off(1)),
        Some(node::DISK_ARGUMENT) => node::run_disk(&arguments[1..]),
        Some(node::NODE_WITHIN_ARGUMENT) => match node::enter_named(arguments.split_off(1)) {
            Ok(rest) => run(rest),
            Err(code) => code,
        },
        _ => serve(arguments),
    }
}

fn serve(mut arguments: Vec<OsString>) -> i32 {
    let name = if arguments.first().is_some_and(|first| first == DEFECT_OPTION) {
        arguments.drain(..arguments.len().min(2)).nth(1).unwrap_or_default()
    } else {
        std::env::var_os(DEFECT_VARIABLE).unwrap_or_else(|| Defect::None.name().into())
    };
    let Some(defect) = Defect::ALL.into_iter().find(|defect| defect.name() == name) else {
        let names = Defect::ALL.map(Defect::name).join(", ");
        eprintln!("broker-canary: {DEFECT_OPTION} or {DEFECT_VARIABLE} names {name:?}; known are {names}");
        return EXIT_USAGE;
    };
    let arguments = std::iter::once(OsString::from("broker")).chain(arguments);
    broker::run_on(arguments, || reactor::Reactor::uring(reactor::Config::default()).map(|inner| defect.over(inner)))
}
