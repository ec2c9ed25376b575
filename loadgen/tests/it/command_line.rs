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
        "--cpu-limit",
        "1000",
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
        (&["run", "--url", "amqp://a", "--address", "q.{1..}", "--count", "5"], "{0..99}"),
        (&["run", "--url", "amqp://a", "--address", "q.{1..3}", "--producers", "3"], "--consumers 3"),
        (&["run", "--url", "amqp://a", "--address", "q", "--content", "/nowhere"], "/nowhere"),
        (&["run", "--profile", "/nowhere.toml"], "/nowhere.toml"),
        (&["run", "--url", "amqp://a", "--address", "q", "--request-reply", "--settled"], "--settled"),
        (&["sweep", "--url", "amqp://a", "--address", "q", "--target", "p99<1ms", "--from", "5", "--to", "4"], "--to"),
        (&["merge", "x.txt"], ".hlog"),
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

#[test]
fn a_common_start_is_kept_and_said() {
    let broker = Broker::start(Orders::default(), 0);
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("result.json");
    let json = json.to_str().expect("UTF-8");
    let begin_ns = loadgen::clock::now_ns();
    let output = run(&broker, &["--count", "50", "--rate", "1k", "--start-at", "+1s", "--json", json]);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(err.contains("that is CLOCK_MONOTONIC") && err.contains("within"), "{err}");
    let result: serde_json::Value = serde_json::from_slice(&std::fs::read(json).expect("written")).expect("JSON");
    assert!(result["start_ns"].as_u64().is_some_and(|start_ns| start_ns >= begin_ns + 900_000_000), "{result}");
    let past = run(&broker, &["--count", "50", "--start-at", "2020-01-01T00:00:00Z"]);
    assert!(text(&past.stderr).contains("choose a later --start-at"), "{}", text(&past.stderr));
    assert_eq!(past.status.code(), Some(254));
}

#[test]
fn logs_of_two_runs_are_merged_and_compared() {
    let broker = Broker::start(Orders::default(), 0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    for name in ["a", "b"] {
        let (hlog, json) = (path(&format!("{name}.hlog")), path(&format!("{name}.json")));
        let (csv, html) = (path(&format!("{name}.csv")), path(&format!("{name}.html")));
        let files = ["--hlog", &hlog, "--json", &json, "--csv", &csv, "--html", &html];
        let output = run(&broker, &[&["--duration", "3s", "--rate", "500"], &files[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    }
    let lines = std::fs::read_to_string(path("a.csv")).expect("written");
    let confirmed: u64 = lines.lines().skip(1).filter_map(|line| line.split(',').nth(5)?.parse::<u64>().ok()).sum();
    assert_eq!(confirmed, 1_500);
    let page = std::fs::read_to_string(path("a.html")).expect("written");
    assert!(page.matches("<svg").count() == 3 && page.contains("verdict: pass"));

    let (a, b, all) = (path("a.hlog"), path("b.hlog"), path("all.json"));
    let merged =
        loadgen(&["merge", &a, &b, &path("a.json"), &path("b.json"), "--json", &all, "--hlog", &path("all.hlog")]);
    assert_eq!(merged.status.code(), Some(0), "{}", text(&merged.stderr));
    let all: serde_json::Value = serde_json::from_slice(&std::fs::read(all).expect("written")).expect("JSON");
    assert_eq!(
        (&all["latency_ns"]["response"]["count"], &all["messages"]["confirmed"]),
        (&3_000.into(), &3_000.into())
    );
    let again = loadgen(&["merge", &path("all.hlog")]);
    assert!(text(&again.stdout).contains("3000"), "{}", text(&again.stdout));

    // The same log twice differs by nothing, whatever the machine did meanwhile.
    let same = loadgen(&["compare", &a, &a, "--tolerance", "30", "--gate", "response.rate"]);
    assert_eq!(same.status.code(), Some(0), "{}", text(&same.stdout));
    assert!(
        text(&same.stdout).contains("response.p99") && text(&same.stdout).contains("+0.0 %"),
        "{}",
        text(&same.stdout)
    );
    let wrong = loadgen(&["compare", &path("a.json"), &a]);
    assert_eq!(wrong.status.code(), Some(254), "{}", text(&wrong.stderr));
}

#[test]
fn a_sweep_finds_what_the_broker_sustains() {
    // Ten in flight and 20 ms each: 500 a second, whatever the machine does.
    let broker = Broker::start(Orders { confirm_delay: Duration::from_millis(20), ..Orders::default() }, 0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let urls = broker.url_list();
    let (json, svg, csv) = (path("sweep.json"), path("sweep.svg"), path("sweep.csv"));
    let output = loadgen(&[
        "sweep",
        "--url",
        &urls,
        "--address",
        "q",
        "--window",
        "10",
        "--target",
        "p50<200ms",
        "--from",
        "250",
        "--precision",
        "60",
        "--trial",
        "1s",
        "--warmup",
        "200ms",
        "--confirm",
        "2",
        "--quiet-time",
        "50ms",
        "--lag-limit",
        "1m",
        "--cpu-limit",
        "1000",
        "--json",
        &json,
        "--svg",
        &svg,
        "--csv",
        &csv,
        "--quiet",
    ]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}{}", text(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&std::fs::read(json).expect("written")).expect("JSON");
    let (rate, missed) =
        (result["rate_per_s"].as_f64().expect("found"), result["missed_per_s"].as_f64().expect("missed"));
    assert!((120.0..=500.0).contains(&rate) && missed > rate && missed <= 1_000.0, "{out}");
    assert!(std::fs::read_to_string(svg).expect("written").starts_with("<svg"));
    assert!(std::fs::read_to_string(csv).expect("written").lines().count() > 3);
}
