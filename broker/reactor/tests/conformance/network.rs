//! Connections.

use crate::harness::Harness;
use bytes::Bytes;
use reactor::{Event, SocketId};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes that betray a gap, a doubling or a swap.
fn pattern(len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    for (index, chunk) in bytes.chunks_mut(509).enumerate() {
        chunk.fill(index as u8);
        chunk[0] = (index >> 8) as u8;
    }
    bytes.into()
}

/// What came in until both of `sockets` had their end of file.
fn read_to_end(harness: &mut Harness, sockets: &[SocketId]) -> HashMap<SocketId, Vec<u8>> {
    let mut read: HashMap<SocketId, Vec<u8>> = sockets.iter().map(|socket| (*socket, Vec::new())).collect();
    let mut open = sockets.len();
    while open > 0 {
        match harness.next() {
            Event::Received { socket, data } => {
                assert!(!data.is_empty());
                read.get_mut(&socket).expect("one of the sockets").extend_from_slice(&data);
            }
            Event::Closed { socket, error: None } if read.contains_key(&socket) => open -= 1,
            Event::Sent { .. } => {}
            other => panic!("{other:?} while reading"),
        }
    }
    read
}

pub(crate) fn listening_gives_the_real_port_and_takes_it(harness: &mut Harness) {
    let (listener, address) = harness.listen();
    assert_ne!(address.port(), 0);
    let again = harness.reactor.listen(address).expect_err("the address is taken");
    assert_eq!(again.kind(), ErrorKind::AddrInUse);
    harness.reactor.close_listener(listener);
}

pub(crate) fn an_echo_returns_every_byte_in_order(harness: &mut Harness) {
    let (client, server) = harness.pair();
    let sent = pattern(300_000);
    harness.reactor.send(client, vec![sent.slice(..7), sent.slice(7..)]);
    let mut echoed: Vec<u8> = Vec::new();
    let mut to_echo: Vec<Bytes> = Vec::new();
    let mut echoing = false;
    while echoed.len() < sent.len() {
        match harness.next() {
            Event::Received { socket, data } if socket == server => to_echo.push(Bytes::copy_from_slice(&data)),
            Event::Received { socket, data } if socket == client => echoed.extend_from_slice(&data),
            Event::Sent { socket } if socket == server => echoing = false,
            Event::Sent { socket } if socket == client => {}
            other => panic!("{other:?}"),
        }
        if !echoing && !to_echo.is_empty() {
            harness.reactor.send(server, std::mem::take(&mut to_echo));
            echoing = true;
        }
    }
    assert_eq!(echoed, sent);
}

pub(crate) fn many_chunks_arrive_whole_and_are_sent_once(harness: &mut Harness) {
    let (client, server) = harness.pair();
    let all = pattern(5_200_000);
    // More chunks than one message of the kernel takes, of all sizes, some of them empty.
    let mut chunks = Vec::new();
    let mut rest = all.clone();
    for index in 0..2500 {
        chunks.push(rest.split_to((index * 37 % 4001).min(rest.len())));
    }
    chunks.push(rest);
    harness.reactor.send(client, chunks);
    let mut sent = 0;
    let mut received = Vec::new();
    while received.len() < all.len() || sent == 0 {
        match harness.next() {
            Event::Received { socket, data } if socket == server => received.extend_from_slice(&data),
            Event::Sent { socket } if socket == client => sent += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(received == all, "the bytes differ");
    assert_eq!(sent, 1);
}

pub(crate) fn a_send_of_nothing_is_sent(harness: &mut Harness) {
    let (client, _) = harness.pair();
    for chunks in [vec![], vec![Bytes::new()]] {
        harness.reactor.send(client, chunks);
        harness.expect("Sent", |event| match event {
            Event::Sent { socket } if socket == client => Ok(()),
            other => Err(other),
        });
    }
}

pub(crate) fn a_finished_side_reads_on(harness: &mut Harness) {
    let (client, server) = harness.pair();
    harness.reactor.finish(client);
    harness.expect("end of file", |event| match event {
        Event::Closed { socket, error: None } if socket == server => Ok(()),
        other => Err(other),
    });
    harness.reactor.send(server, vec![pattern(100_000)]);
    harness.reactor.finish(server);
    let read = read_to_end(harness, &[client]);
    assert_eq!(read[&client], pattern(100_000));
}

pub(crate) fn finish_waits_for_the_send_in_flight(harness: &mut Harness) {
    let (client, server) = harness.pair();
    harness.reactor.send(client, vec![pattern(3_000_000)]);
    harness.reactor.finish(client);
    let read = read_to_end(harness, &[server]);
    assert!(read[&server] == pattern(3_000_000), "the bytes differ");
}

pub(crate) fn close_ends_the_peer_and_silences_the_socket(harness: &mut Harness) {
    let (client, server) = harness.pair();
    harness.reactor.send(server, vec![pattern(50_000)]);
    harness.reactor.close(client);
    // The peer sees an end of file or a reset, depending on what was unread; the closed side nothing.
    let events = harness.events_within(50_000_000);
    let mut ends = 0;
    for event in events {
        match event {
            Event::Closed { socket, .. } if socket == server => ends += 1,
            Event::Sent { socket } if socket == server => {}
            other => panic!("{other:?} after close"),
        }
    }
    assert!(ends >= 1, "the peer was not told");
}

pub(crate) fn ids_are_not_reused(harness: &mut Harness) {
    let (listener, address) = harness.listen();
    let mut seen = Vec::new();
    for _ in 0..20 {
        let client = harness.reactor.connect(address);
        let mut accepted = None;
        let mut connected = false;
        while accepted.is_none() || !connected {
            match harness.next() {
                Event::Accepted { listener: by, socket, .. } if by == listener => accepted = Some(socket),
                Event::Connected { socket } if socket == client => connected = true,
                // The end of the round before.
                Event::Closed { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        let server = accepted.expect("the loop waited for it");
        for id in [client, server] {
            assert!(!seen.contains(&id), "{id:?} was used before");
            seen.push(id);
            harness.reactor.close(id);
        }
    }
}

pub(crate) fn nobody_listening_is_refused(harness: &mut Harness) {
    let (listener, address) = harness.listen();
    harness.reactor.close_listener(listener);
    harness.events_within(1_000_000);
    let client = harness.reactor.connect(address);
    let error = harness.expect("refusal", |event| match event {
        Event::Closed { socket, error: Some(error) } if socket == client => Ok(error),
        other => Err(other),
    });
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // Without effect, and without an event.
    harness.reactor.send(client, vec![pattern(10)]);
    harness.reactor.close(client);
    assert!(harness.events_within(3_000_000).is_empty());
}

pub(crate) fn a_closed_listener_accepts_no_more(harness: &mut Harness) {
    let (listener, address) = harness.listen();
    harness.reactor.close_listener(listener);
    harness.reactor.close_listener(listener);
    let (again, taken) = harness.reactor.listen(address).expect("the address is free again");
    assert_eq!(taken, address);
    let client = harness.reactor.connect(address);
    let events = harness.events_within(20_000_000);
    assert!(events.iter().any(|event| matches!(event, Event::Connected { socket } if *socket == client)));
    assert!(
        events.iter().all(|event| !matches!(event, Event::Accepted { listener: by, .. } if *by != again)),
        "{events:?}"
    );
}

pub(crate) fn sending_to_a_peer_that_is_gone_fails_once(harness: &mut Harness) {
    let (client, server) = harness.pair();
    harness.reactor.close(server);
    harness.expect("end of file", |event| match event {
        Event::Closed { socket, error: None } if socket == client => Ok(()),
        other => Err(other),
    });
    // The first send provokes the reset, a later one meets it.
    for _ in 0..3 {
        harness.reactor.send(client, vec![pattern(1000)]);
        for event in harness.events_within(10_000_000) {
            match event {
                Event::Sent { socket } if socket == client => {}
                Event::Closed { socket, error: Some(error) } if socket == client => {
                    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
                    harness.reactor.send(client, vec![pattern(1000)]);
                    assert!(harness.events_within(3_000_000).is_empty(), "a failed socket says no more");
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("no failure");
}

pub(crate) fn a_paused_socket_holds_the_sender_back(harness: &mut Harness) {
    let (client, server) = harness.pair();
    harness.reactor.pause_receive(server);
    assert!(harness.events_within(1_000_000).is_empty());
    let all = pattern(harness.more_than_buffers_hold());
    harness.reactor.send(client, vec![all.clone()]);
    let early = harness.events_within(50_000_000);
    assert!(early.is_empty(), "{early:?} while paused");
    harness.reactor.resume_receive(server);
    let mut received = Vec::new();
    let mut sent = false;
    while received.len() < all.len() || !sent {
        match harness.next() {
            Event::Received { socket, data } if socket == server => received.extend_from_slice(&data),
            Event::Sent { socket } if socket == client => sent = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(received == all, "the bytes differ");
}

pub(crate) fn pausing_and_resuming_loses_nothing(harness: &mut Harness) {
    let (client, server) = harness.pair();
    let all = pattern(3_000_000);
    harness.reactor.send(client, vec![all.clone()]);
    harness.reactor.finish(client);
    let mut received = Vec::new();
    let mut pauses = 0_u64;
    loop {
        match harness.next() {
            Event::Received { socket, data } if socket == server => {
                received.extend_from_slice(&data);
                harness.reactor.pause_receive(server);
                pauses += 1;
                // At once, or only after the kernel has answered.
                if pauses.is_multiple_of(2) {
                    harness.reactor.set_timer(harness.reactor.now() + 20_000, 1);
                } else {
                    harness.reactor.resume_receive(server);
                }
            }
            Event::Timer(1) => harness.reactor.resume_receive(server),
            Event::Sent { socket } if socket == client => {}
            Event::Closed { socket, error: None } if socket == server => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(received == all, "the bytes differ after {pauses} pauses");
}

pub(crate) fn two_sends_at_once_panic(harness: &mut Harness) {
    let (client, server) = harness.pair();
    harness.reactor.pause_receive(server);
    harness.reactor.send(client, vec![pattern(harness.more_than_buffers_hold())]);
    let again = catch_unwind(AssertUnwindSafe(|| harness.reactor.send(client, vec![pattern(1)])));
    assert!(again.is_err());
}

pub(crate) fn what_is_done_to_a_closed_socket_has_no_effect(harness: &mut Harness) {
    let (client, server) = harness.pair();
    harness.reactor.close(client);
    harness.reactor.send(client, vec![pattern(10)]);
    harness.reactor.finish(client);
    harness.reactor.pause_receive(client);
    harness.reactor.resume_receive(client);
    harness.reactor.close(client);
    let events = harness.events_within(20_000_000);
    assert!(matches!(&events[..], [Event::Closed { socket, error: None }] if *socket == server), "{events:?}");
}
