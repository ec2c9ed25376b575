//! The HTTP monitor of real broker processes: alone, as a pair, saturated, and under clients that stall.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::{Client, PATIENCE, Setup, free_port};

const QUEUES: &str = "sync.> store=$sys.failsafe\n>\n";

/// A request, and the status and body of its answer. Waits for a port that is not listened on yet.
fn get(port: u16, path: &str) -> (u16, String) {
    let answer = send(port, &format!("GET {path} HTTP/1.1\r\nHost: monitor\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {path}: {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_string())
}

fn connect(port: u16) -> TcpStream {
    let until = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                return stream;
            }
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(port: u16, request: &str) -> String {
    let mut stream = connect(port);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // A server that closes on us has said what it had to say.
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// The value of a sample; 0 where there is none.
fn sample(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// Waits until `check` holds for /metrics.
fn wait_metrics(port: u16, what: &str, check: impl Fn(&str) -> bool) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let (status, page) = get(port, "/metrics");
        if status == 200 && check(&page) {
            return page;
        }
        assert!(Instant::now() < until, "{what} did not come:\n{page}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_lone_server_tells_health_and_figures() {
    let port = free_port();
    let setup = Setup::new(1, QUEUES, &format!("monitor_listen = http://127.0.0.1:{port}"));
    let mut server = setup.start(0);
    server.wait_active();
    assert_eq!(get(port, "/isLive"), (200, "live\n".to_string()));
    wait_metrics(port, "the state", |page| sample(page, "understudy_ft_state{state=\"ACTIVE\"}") == 1.0);
    assert_eq!(get(port, "/isReady"), (200, "ACTIVE\n".to_string()));
    assert_eq!(get(port, "/elsewhere").0, 404);
    let refused = send(port, "POST /metrics HTTP/1.1\r\nHost: monitor\r\nContent-Length: 0\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 405") && refused.to_lowercase().contains("allow: get, head"), "{refused}");
    let head = send(port, "HEAD /isLive HTTP/1.1\r\nHost: monitor\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");

    let mut client = Client::connect(server.port);
    let sender = client.sender("sync.q").unwrap();
    for token in 0..10 {
        client.publish(sender, token, &[7; 100]);
    }
    client.receiver("sync.q", 4).unwrap();
    let (delivery_id, ..) = client.message();
    client.accept(delivery_id, true);
    let labels = "{queue=\"sync.q\",store=\"$sys.failsafe\"}";
    let of = |page: &str, name: &str| sample(page, &format!("understudy_queue_{name}{labels}"));
    let page = wait_metrics(port, "the acknowledgement", |page| of(page, "acknowledged_messages_total") == 1.0);
    assert_eq!(of(&page, "received_messages_total"), 10.0);
    assert_eq!(of(&page, "delivered_messages_total"), 4.0);
    assert_eq!((of(&page, "messages"), of(&page, "unsettled_messages"), of(&page, "consumers")), (9.0, 3.0, 1.0));
    assert!(of(&page, "received_bytes_total") >= 1000.0);
    let commits = sample(&page, "understudy_store_commit_seconds_count{store=\"$sys.failsafe\"}");
    let records = sample(&page, "understudy_store_records_total{store=\"$sys.failsafe\"}");
    assert!((11.0..=13.0).contains(&records) && commits > 0.0, "10 messages, 1 acknowledgement, 1 name: {page}");
    assert_eq!(sample(&page, "understudy_connections"), 1.0);
    assert_eq!(sample(&page, "understudy_ft_epoch"), 1.0);

    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(server.wait_exit(), Some(0), "{}", server.log());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the monitor ends with the server");
}

#[test]
fn of_a_pair_only_the_active_is_ready_and_a_successor_takes_the_same_port() {
    let ports = [free_port(), free_port()];
    let setup = Setup::new(2, QUEUES, "");
    let start = |index: usize| {
        setup.start_with(index, &["--set", &format!("health_check_listen=http://127.0.0.1:{}", ports[index])])
    };
    let mut first = start(0);
    first.wait_active();
    let mut second = start(1);
    second.wait_standby();
    // The journal may be followed before the link stands; there are two where both servers dialled at once.
    let follows =
        |page: &str| sample(page, "understudy_standby_epoch") == 1.0 && sample(page, "understudy_ft_links") >= 1.0;
    let page = wait_metrics(ports[1], "the standby", follows);
    assert_eq!(sample(&page, "understudy_ft_state{state=\"STANDBY\"}"), 1.0);
    assert_eq!(get(ports[1], "/isReady"), (503, "STANDBY\n".to_string()));
    assert_eq!(get(ports[1], "/isLive").0, 200);
    assert_eq!(get(ports[0], "/isReady").0, 200);
    wait_metrics(ports[0], "heartbeats", |page| {
        ["link", "store"]
            .iter()
            .all(|path| sample(page, &format!("understudy_ft_heartbeat_delay_seconds_count{{path=\"{path}\"}}")) >= 3.0)
            && sample(page, "understudy_ft_heartbeat_gap_seconds_count") >= 3.0
    });

    first.kill();
    second.wait_active();
    let page = wait_metrics(ports[1], "the takeover", |page| sample(page, "understudy_ft_epoch") == 2.0);
    assert!(sample(&page, "understudy_recovery_seconds") > 0.0);
    assert!(!page.contains("\nunderstudy_standby_epoch "), "it follows nobody any more");
    assert_eq!(get(ports[1], "/isReady").0, 200);
    // Nobody, not the keeper of the dead server's memory either, holds its port.
    let mut first = start(0);
    first.wait_standby();
    assert_eq!(get(ports[0], "/isReady"), (503, "STANDBY\n".to_string()));
}

#[test]
fn figures_are_told_under_load_and_add_up() {
    let port = free_port();
    let setup = Setup::new(1, QUEUES, &format!("monitor_listen = http://127.0.0.1:{port}"));
    let mut server = setup.start(0);
    server.wait_active();
    let folder = tempfile::tempdir().unwrap();
    let result = folder.path().join("result.json");
    let url = format!("amqp://127.0.0.1:{}", server.port);
    let arguments = ["loadgen", "run", "--url", &url, "--address", "sync.load", "--rate", "max", "--duration", "3s"]
        .into_iter()
        .chain(["--producers", "4", "--consumers", "2", "--lag-limit", "1h", "--quiet", "--json"]);
    let mut arguments: Vec<std::ffi::OsString> = arguments.map(Into::into).collect();
    arguments.push(result.clone().into());
    let load = std::thread::spawn(move || loadgen::cli::run(arguments.into_iter()));
    let labels = "{queue=\"sync.load\",store=\"$sys.failsafe\"}";
    let received = |page: &str| sample(page, &format!("understudy_queue_received_messages_total{labels}"));
    let mut answers = Vec::new();
    while !load.is_finished() {
        let (status, page) = get(port, "/metrics");
        assert_eq!((status, get(port, "/isReady").0, get(port, "/isLive").0), (200, 200, 200));
        answers.push(received(&page));
    }
    assert_eq!(load.join().unwrap(), 0, "the load was in order");
    let moved = answers.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!(answers.is_sorted() && moved >= 3, "counters grew while they were read: {answers:?}");
    let result: serde_json::Value = serde_json::from_slice(&std::fs::read(result).unwrap()).unwrap();
    let count = |name: &str| result["messages"][name].as_f64().unwrap_or_else(|| panic!("no {name} in {result}"));
    let sent = count("confirmed");
    let page = wait_metrics(port, "the end", |page| {
        sample(page, &format!("understudy_queue_acknowledged_messages_total{labels}")) == sent
    });
    assert_eq!(received(&page), sent);
    assert_eq!(sample(&page, &format!("understudy_queue_delivered_messages_total{labels}")), sent);
    assert_eq!(sample(&page, &format!("understudy_queue_messages{labels}")), 0.0);
    assert!(sample(&page, "understudy_loop_turn_seconds_count") > 0.0);
}

#[test]
fn clients_that_stall_or_say_too_much_keep_nobody_out() {
    let port = free_port();
    let setup = Setup::new(1, QUEUES, &format!("monitor_listen = http://127.0.0.1:{port}"));
    let mut server = setup.start(0);
    server.wait_active();
    let mut silent: Vec<TcpStream> = (0..300).map(|_| connect(port)).collect();
    for stream in &mut silent {
        // Those before the newest ones are closed by now.
        let _ = stream.write_all(b"GET /met");
    }
    assert_eq!(get(port, "/isReady").0, 200);
    let mut oldest = silent.remove(0);
    assert!(matches!(oldest.read(&mut [0; 1]), Ok(0) | Err(_)), "the oldest had to go");
    let long = send(port, &format!("GET /{} HTTP/1.1\r\nHost: monitor\r\n\r\n", "x".repeat(1 << 20)));
    assert!(!long.contains("200 OK"), "{long}");
    let many: String = (0..5000).map(|number| format!("X-{number}: 1\r\n")).collect();
    let many = send(port, &format!("GET /isLive HTTP/1.1\r\n{many}\r\n"));
    assert!(!many.contains("200 OK"), "{many}");
    assert_eq!(get(port, "/isLive").0, 200);
}
