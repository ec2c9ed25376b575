//! The program as a person or a script uses it: arguments, output, files, exit codes.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Broker, Orders};

fn loadgen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).output().expect("the program starts")
}

fn run(broker: &Broker, more: &[&str]) -> Output {
    let urls = broker.url_list();
    // These tests are about the broker's conduct and ours; on a busy machine the generator may be late.
    let common = [
        "run",
        "--url",
        &urls,
        "--address",
        "q",
        "--quiet-time",
        "100ms",
        "--reconnect-max",
        "40ms",
        "--lag-limit",
        "1m",
    ];
    loadgen(&[&common, more].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_sound_run_exits_with_0_and_leaves_its_files() {
    let broker = Broker::start(Orders::default(), 1);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let output = run(
        &broker,
        &[
            "--count",
            "500",
            "--rate",
            "2k",
            "--producers",
            "2",
            "--ack",
            "confirmed",
            "--size",
            "64",
            "--json",
            &path("result.json"),
            "--hlog",
            &path("run.hlog"),
            "--history",
            &path("history.jsonl"),
            "--plots",
            &path("plots"),
        ],
    );
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.contains("0 lost") && out.contains("verdict: pass") && out.contains("99.9 %"), "{out}");

    let read = |name: &str| std::fs::read_to_string(path(name)).expect("written");
    let result: serde_json::Value = serde_json::from_str(&read("result.json")).expect("JSON");
    assert_eq!(result["schema"], "understudy.loadgen/1");
    assert_eq!((&result["messages"]["confirmed"], &result["messages"]["lost"]), (&500.into(), &0.into()));
    assert!(result["latency_ns"]["response"]["p99_ns"].as_u64().is_some_and(|value| value > 0));
    let tags: Vec<String> = IntervalLogIterator::new(read("run.hlog").as_bytes())
        .filter_map(|entry| match entry.expect("a well-formed interval log") {
            LogEntry::Interval(interval) => interval.tag().map(|tag| tag.as_str().to_owned()),
            _ => None,
        })
        .collect();
    assert!(["response", "service", "delay", "delivery"].iter().all(|name| tags.iter().any(|tag| tag == name)));
    assert_eq!(read("history.jsonl").lines().filter(|line| line.contains(r#""type":"delivery""#)).count(), 500);
    for name in ["latency", "rates", "percentiles"] {
        let picture = read(&format!("plots/{name}.svg"));
        assert!(picture.starts_with("<svg") && picture.contains("polyline"), "{name}");
    }
}

#[test]
fn a_lost_message_exits_with_1() {
    let broker = Broker::start(Orders { drop_confirmed: Some(50), ..Orders::default() }, 0);
    let output = run(&broker, &["--count", "200"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("1 lost"), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("1 of 200 confirmed, 1 of them from the middle"), "{}", text(&output.stdout));
}

#[test]
fn a_condition_that_holds_exits_with_1() {
    let broker = Broker::start(Orders::default(), 0);
    let output = run(&broker, &["--count", "200", "--fail-if", "p99>1us,lost>0"]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("violated: p99>1us holds") && !out.contains("lost>0 holds"), "{out}");
    let output = run(&broker, &["--count", "200", "--fail-if", "p99>100s"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn ctrl_c_stops_sending_and_still_drains_and_judges() {
    let broker = Broker::start(Orders::default(), 0);
    let urls = broker.url_list();
    let child = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["run", "--url", &urls, "--address", "q", "--rate", "1k", "--duration", "60s", "--ack", "confirmed"])
        .args(["--lag-limit", "1m"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    while broker.shared.state().accepted < 100 {
        std::thread::sleep(Duration::from_millis(10));
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("the child runs");
    let output = child.wait_with_output().expect("the child ends");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(err.contains("interrupted while sending") && out.contains("verdict: pass"), "{out}{err}");
}

#[test]
fn a_run_without_consumers_judges_no_loss_and_says_so() {
    let broker = Broker::start(Orders::default(), 0);
    let output = run(&broker, &["--count", "200", "--consumers", "0"]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert!(out.contains("loss not judged") && out.contains("nobody consumed"), "{out}");
    let output = run(&broker, &["--drain-only"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("delivered 200"), "{}", text(&output.stdout));
}

#[test]
fn an_unreachable_server_exits_with_2_and_names_it() {
    let output = loadgen(&["run", "--url", "amqp://127.0.0.1:1", "--address", "q", "--patience", "200ms"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("amqp://127.0.0.1:1"), "{}", text(&output.stderr));
}

#[test]
fn mistakes_exit_with_254_and_name_the_argument() {
    for (arguments, word) in [
        (&["run"][..], "--url"),
        (&["run", "--url", "http://a", "--address", "q"], "amqp://"),
        (&["run", "--url", "amqp://a", "--address", "q", "--rate", "fast"], "rate"),
        (&["run", "--url", "amqp://a", "--address", "q", "--size", "8"], "--size"),
        (&["run", "--url", "amqp://a", "--address", "q", "--backlog", "shed"], "--rate"),
        (&["run", "--url", "amqp://a", "--address", "q", "--fail-if", "p99"], "--fail-if"),
        (&["run", "--url", "amqp://a", "--address", "q", "--count", "5", "--duration", "5s"], "--count"),
    ] {
        let output = loadgen(arguments);
        assert_eq!(output.status.code(), Some(254), "{arguments:?}");
        assert!(text(&output.stderr).contains(word), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn help_reads_without_an_error() {
    let output = loadgen(&["run", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("Exit codes"), "{}", text(&output.stdout));
}
