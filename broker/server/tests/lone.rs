//! One real broker process: service, restart, limits, bad input.

mod support;

use amqp::message::Header;
use amqp::{Outcome, condition};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use support::{Client, Seen, Setup};

const QUEUES: &str =
    "sync.> store=$sys.failsafe\nasync.> store=$sys.nonfailsafe\nsync.small store=$sys.failsafe,maxmsgs=3\n>\n";

#[test]
fn a_confirmed_message_survives_sigkill_and_comes_back_marked() {
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("sync.q").unwrap();
    for token in 0..100 {
        client.send(sender, token, format!("message {token}").as_bytes());
    }
    for token in 0..100 {
        assert_eq!(client.outcome(token), Some(Outcome::Accepted));
    }
    server.kill();

    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    client.receiver("sync.q", 1000).unwrap();
    for number in 0..100 {
        let (delivery_id, body, header) = client.message();
        assert_eq!(body, format!("message {number}").into_bytes());
        assert!(header.durable);
        assert!(header.delivery_count > 0 || !header.first_acquirer, "a recovered message may be a repetition");
        client.accept(delivery_id, number % 2 == 0);
    }
}

#[test]
fn an_acknowledgement_that_was_confirmed_is_never_taken_back() {
    let setup = Setup::new(1, QUEUES, "");
    for queue in ["sync.acks", "async.acks"] {
        let mut server = setup.start(0);
        server.wait_active();
        let mut client = Client::connect(server.port);
        let sender = client.sender(queue).unwrap();
        client.receiver(queue, 10).unwrap();
        client.publish(sender, 1, b"first");
        client.publish(sender, 2, b"second");
        let (delivery_id, body, header) = client.message();
        assert_eq!(body, b"first");
        assert!(header.first_acquirer && header.delivery_count == 0, "nobody had it before");
        client.accept(delivery_id, true);
        server.kill();

        let mut server = setup.start(0);
        server.wait_active();
        let mut client = Client::connect(server.port);
        client.receiver(queue, 10).unwrap();
        let (delivery_id, body, _) = client.message();
        assert_eq!(body, b"second", "{queue}");
        client.accept(delivery_id, true);
        assert!(client.quiet(Duration::from_millis(200), |seen| matches!(seen, Seen::Message { .. })));
    }
}

#[test]
fn a_clean_stop_keeps_everything_async_included() {
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("async.q").unwrap();
    for token in 0..500 {
        client.send(sender, token, &[7; 300]);
    }
    for token in 0..500 {
        assert_eq!(client.outcome(token), Some(Outcome::Accepted));
    }
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(server.wait_exit(), Some(0), "{}", server.log());

    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    client.receiver("async.q", 1000).unwrap();
    for _ in 0..500 {
        assert_eq!(client.message().1, [7; 300]);
    }
}

#[test]
fn a_full_queue_refuses_with_a_clear_error_and_takes_again_when_there_is_room() {
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("sync.small").unwrap();
    for token in 0..3 {
        client.publish(sender, token, b"fits");
    }
    client.send(sender, 3, b"too many");
    let Some(Outcome::Rejected(Some(error))) = client.outcome(3) else { panic!("a full queue must reject") };
    assert_eq!(error.condition, condition::RESOURCE_LIMIT_EXCEEDED);
    assert!(error.description.contains("maxmsgs=3"), "{error}");
    client.receiver("sync.small", 1).unwrap();
    let (delivery_id, ..) = client.message();
    client.accept(delivery_id, true);
    client.publish(sender, 4, b"fits again");
}

#[test]
fn names_and_links_that_are_not_allowed_are_refused_by_name() {
    let setup = Setup::new(1, "only.this store=$sys.failsafe\n", "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let error = client.sender("another").unwrap_err();
    assert_eq!(error.condition, condition::NOT_FOUND);
    assert!(error.description.contains("another"), "{error}");
    assert!(client.receiver("$sys.admin", 1).is_err());
    client.sender("only.this").expect("the connection goes on");
}

#[test]
fn garbage_and_oversized_frames_disturb_nobody_else() {
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("sync.q").unwrap();
    client.publish(sender, 1, b"before");

    let mut garbage = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    garbage.set_read_timeout(Some(support::PATIENCE)).unwrap();
    garbage.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"AMQP"), "the header that is supported, then the end: {answer:?}");

    let mut oversized = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    oversized.write_all(b"AMQP\x00\x01\x00\x00").unwrap();
    oversized.write_all(&[0x7f, 0xff, 0xff, 0xff, 2, 0, 0, 0]).unwrap();
    oversized.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let mut answer = Vec::new();
    oversized.read_to_end(&mut answer).unwrap();
    assert!(answer.windows(29).any(|part| part == b"amqp:connection:framing-error"), "{answer:?}");

    client.publish(sender, 2, b"after");
}

#[test]
fn a_second_server_on_the_same_store_waits_for_the_lock() {
    let setup = Setup::new(1, QUEUES, "");
    let mut first = setup.start(0);
    first.wait_active();
    let port = support::free_port().to_string();
    let listen = format!("listen=tcp://127.0.0.1:{port}");
    let mut second = setup.start_with(0, &["--set", &listen]);
    std::thread::sleep(Duration::from_millis(700));
    let mut client = Client::connect(first.port);
    let sender = client.sender("sync.q").unwrap();
    client.publish(sender, 1, b"still mine");
    first.kill();
    second.wait_active();
}

#[test]
fn a_damaged_segment_is_named_and_nothing_is_served_from_it() {
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("sync.q").unwrap();
    for token in 0..50 {
        client.publish(sender, token, &[b'x'; 2000]);
    }
    server.kill();
    let mut segments: Vec<_> = std::fs::read_dir(setup.store().join("sync-msgs.db"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| std::fs::read(path).unwrap().windows(64).any(|part| part == [b'x'; 64]))
        .collect();
    segments.sort();
    let segment = &segments[0];
    let mut bytes = std::fs::read(segment).unwrap();
    let place = bytes.windows(64).position(|part| part == [b'x'; 64]).unwrap();
    bytes[place + 10] ^= 0x40;
    std::fs::write(segment, bytes).unwrap();

    let mut server = setup.start(0);
    let code = server.wait_exit();
    let log = server.log();
    assert_ne!(code, Some(0));
    assert!(log.contains(segment.file_name().unwrap().to_str().unwrap()), "{log}");
    assert!(log.contains("force-start"), "{log}");

    let mut server = setup.start_with(0, &["--force-start"]);
    server.wait_active();
}

#[test]
fn priorities_and_time_to_live_are_kept() {
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("sync.q").unwrap();
    let header = |priority, ttl_ms| Header { durable: true, priority, ttl_ms, ..Header::default() };
    client.send_as(sender, 1, b"low", header(1, None));
    client.send_as(sender, 2, b"short", header(9, Some(1)));
    client.send_as(sender, 3, b"high", header(9, Some(60_000)));
    for token in 1..=3 {
        assert_eq!(client.outcome(token), Some(Outcome::Accepted));
    }
    std::thread::sleep(Duration::from_millis(20));
    client.receiver("sync.q", 10).unwrap();
    let (_, body, high) = client.message();
    assert_eq!((body.as_slice(), high.priority), (&b"high"[..], 9));
    assert!(high.ttl_ms.is_some_and(|ttl| ttl <= 60_000));
    assert_eq!(client.message().1, b"low");
    assert!(client.quiet(Duration::from_millis(100), |seen| matches!(seen, Seen::Message { .. })));
}

#[test]
fn a_backlog_is_loaded_beside_service_and_keeps_its_order() {
    const BACKLOG: u64 = 20_000;
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("sync.q").unwrap();
    for token in 0..BACKLOG {
        client.send(sender, token, &token.to_be_bytes());
    }
    client.wait("the last outcome", |seen| {
        matches!(seen, Seen::Outcome { token, .. } if *token == BACKLOG - 1).then_some(())
    });
    server.kill();

    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    // Another queue is not held up, and what is sent to this one comes after all that was there.
    let (other, sender) = (client.sender("sync.other").unwrap(), client.sender("sync.q").unwrap());
    client.publish(other, 1, b"other");
    client.publish(sender, 2, &BACKLOG.to_be_bytes());
    let receiver = client.receiver("sync.q", 0).unwrap();
    client.grant(receiver, 2 * BACKLOG as u32, true);
    client.wait("the answer to the drain", |seen| matches!(seen, Seen::Drained).then_some(()));
    let body = |seen: &Seen| match seen {
        Seen::Message { body, .. } => Some(u64::from_be_bytes(body.as_slice().try_into().unwrap())),
        _ => None,
    };
    let bodies: Vec<u64> = client.seen.iter().filter_map(body).collect();
    assert_eq!(bodies.len() as u64, BACKLOG + 1, "a drain is answered when all there was has been sent");
    assert!(bodies.iter().copied().eq(0..=BACKLOG), "in order");
    server.wait_event(r#""event":"loaded""#);
    assert!(server.log().contains(&format!("Loaded a backlog of {BACKLOG} messages")), "{}", server.log());
}

fn refusal(client: &mut Client, token: u64) -> amqp::Error {
    match client.outcome(token) {
        Some(Outcome::Rejected(Some(error))) => error,
        other => panic!("memory is full: {other:?}"),
    }
}

#[test]
fn without_swapping_sends_are_refused_at_the_limit_and_taken_again_when_there_is_room() {
    let setup = Setup::new(1, QUEUES, "max_msg_memory = 8MB\nmsg_swapping = disabled");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let body = vec![7; 100 << 10];
    // Stored ones of two stores and non-persistent ones share the limit.
    let senders = ["sync.q", "async.q"].map(|queue| client.sender(queue).unwrap());
    let mut taken = 0;
    let error = loop {
        let header = Header { durable: taken % 3 != 2, ..Header::default() };
        client.send_as(senders[taken as usize % 2], taken, &body, header);
        match client.outcome(taken) {
            Some(Outcome::Accepted) => taken += 1,
            Some(Outcome::Rejected(Some(error))) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert!((40..=80).contains(&taken), "{taken} messages of 100 KiB in 8 MiB");
    assert_eq!(error.condition, condition::RESOURCE_LIMIT_EXCEEDED);
    assert!(error.description.contains("max_msg_memory") && error.description.contains("msg_swapping"), "{error}");
    // Deliveries go on and make room.
    client.receiver("sync.q", 10).unwrap();
    for _ in 0..10 {
        let (delivery_id, found, _) = client.message();
        assert_eq!(found, body);
        client.accept(delivery_id, true);
    }
    client.publish(senders[1], 1000, b"fits again");
}

#[test]
fn non_persistent_messages_cannot_be_swapped_out_and_persistent_ones_make_room() {
    let setup = Setup::new(1, QUEUES, "max_msg_memory = 8MB");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let body = vec![7; 100 << 10];
    let sender = client.sender("sync.q").unwrap();
    for token in 0..100 {
        client.publish(sender, token, &body);
    }
    let other = client.sender("async.q").unwrap();
    for token in 100..180 {
        client.send_as(other, token, &body, Header { durable: false, ..Header::default() });
        assert_eq!(client.outcome(token), Some(Outcome::Accepted));
    }
    for token in 180..200 {
        client.send_as(other, token, &body, Header { durable: false, ..Header::default() });
    }
    let error = refusal(&mut client, 199);
    assert!(error.description.contains("non-persistent"), "{error}");
    client.publish(sender, 200, &body);
    client.receiver("sync.q", 200).unwrap();
    for _ in 0..101 {
        let (delivery_id, found, _) = client.message();
        assert_eq!(found, body);
        client.accept(delivery_id, false);
    }
}

#[test]
fn queue_entries_alone_may_fill_memory() {
    // 8 MiB are 262,144 entries of 32 bytes.
    const FITS: u64 = 262_144;
    let setup = Setup::new(1, QUEUES, "max_msg_memory = 8MB");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("async.q").unwrap();
    for token in 0..=FITS {
        client.send(sender, token, b"x");
        if token % 10_000 == 0 {
            client.seen.clear();
        }
    }
    let error = refusal(&mut client, FITS);
    assert_eq!(error.condition, condition::RESOURCE_LIMIT_EXCEEDED);
    assert!(error.description.contains("max_msg_memory") && error.description.contains("entries"), "{error}");
    let mut admin = Client::connect_admin(server.port);
    let state = admin.request("show state");
    assert_eq!(state["queued_messages"], FITS);
    assert_eq!((&state["entry_memory"], &state["max_msg_memory"]), (&(8u64 << 20).into(), &(8u64 << 20).into()));
    assert!(state["message_memory"].as_u64().unwrap() <= 8 << 20, "{state}");
    let pauses = ["p50", "p99", "p99_9", "max"].map(|name| state[format!("loop_pause_us_{name}")].as_u64().unwrap());
    assert!(pauses.is_sorted() && pauses[3] > 0 && state["loop_turns"].as_u64().unwrap() > 100, "{state}");
    client.receiver("async.q", 1).unwrap();
    let (delivery_id, ..) = client.message();
    client.accept(delivery_id, true);
    client.publish(sender, FITS + 1, b"fits again");
}
