//! The load generator's workloads that need a real broker: answers on dynamic queues, and many queues at once.

mod support;

use std::ffi::OsString;

use support::{Server, Setup};

const QUEUES: &str = "sync.> store=$sys.failsafe\n>\n";

/// Runs loadgen against `server`; gives its exit code and its result. These tests are about messages, not about time.
fn load(server: &Server, more: &[&str]) -> (i32, serde_json::Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("result.json");
    let url = format!("amqp://127.0.0.1:{}", server.port);
    let common = ["loadgen", "run", "--url", &url, "--lag-limit", "1h", "--cpu-limit", "1000", "--quiet", "--json"];
    let arguments: Vec<OsString> = common.iter().map(OsString::from).collect();
    let arguments = arguments.into_iter().chain([json.clone().into_os_string()]).chain(more.iter().map(OsString::from));
    let code = loadgen::cli::run(arguments);
    (code, serde_json::from_slice(&std::fs::read(json).expect("written")).expect("JSON"))
}

#[test]
fn every_request_is_answered_once_on_a_dynamic_queue() {
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let workload =
        ["--address", "sync.ask", "--request-reply", "--producers", "3", "--consumers", "2", "--count", "600"];
    let (code, result) = load(&server, &[&workload[..], &["--window", "20", "--ack", "confirmed"]].concat());
    assert_eq!(code, 0, "{result}");
    assert_eq!((&result["replies"], &result["messages"]["confirmed"]), (&600.into(), &600.into()));
    let round_trip = &result["latency_ns"]["round_trip"];
    assert_eq!(round_trip["count"], 600);
    // A request goes to its queue, to a consumer, and comes back: it cannot be faster than getting there.
    assert!(round_trip["min_ns"].as_u64() > result["latency_ns"]["delivery"]["min_ns"].as_u64(), "{round_trip}");
    // Compact payloads have no time of their own, and consumers that think answer later.
    let slow =
        ["--address", "sync.ask", "--request-reply", "--size", "16", "--count", "20", "--consumer-think", "10ms"];
    let (code, result) = load(&server, &slow);
    assert_eq!((code, &result["replies"]), (0, &20.into()), "{result}");
    assert!(result["latency_ns"]["round_trip"]["min_ns"].as_u64() >= Some(10_000_000), "{result}");
}

#[test]
fn many_queues_settled_and_with_a_backlog_are_emptied() {
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let queues = ["--address", "sync.many.{00..19}", "--producers", "20", "--consumers", "20"];
    let (code, result) = load(&server, &[&queues[..], &["--count", "2000", "--build-backlog", "1000"]].concat());
    assert_eq!((code, &result["messages"]["delivered_distinct"]), (0, &3_000.into()), "{result}");
    assert_eq!(result["options"]["addresses"][19], "sync.many.19");
    let settled = ["--count", "2000", "--settled", "--durable", "false", "--no-ledger"];
    let (code, result) = load(&server, &[&queues[..], &settled].concat());
    assert_eq!(code, 0, "{result}");
    assert_eq!((&result["messages"]["delivered"], &result["messages"]["confirmed"]), (&2_000.into(), &0.into()));
}
