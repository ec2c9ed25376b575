//! Consumers that are held back: by outcomes that they owe, and by credit that they take back.
//!
//! What holds a connection back must hold up nobody else, and must end when its cause does.

mod support;

use amqp::message::Header;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use support::{Client, Seen, Setup};

const QUEUES: &str = "> failsafe\n";
/// How long a client waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Deliveries of one session that may wait for their outcomes (`amqp::Limits::unsettled_max`).
const SESSION_MAX: usize = 65_536;

/// Puts `count` messages of `bytes` bytes, the first of them their number, into a queue.
fn fill(port: u16, queue: &str, count: usize, bytes: usize) {
    let mut client = Client::connect(port);
    let sender = client.sender(queue).expect("the queue is allowed");
    for token in 0..count as u64 {
        let mut body = vec![0; bytes];
        body[..8].copy_from_slice(&token.to_be_bytes());
        client.send_as(sender, token, &body, Header::default());
        if token % 100 == 99 || token == count as u64 - 1 {
            client.outcome(token);
            client.seen.clear();
        }
    }
    client.close();
}

/// Takes delivery-ids and bodies of what has come out of what was seen.
fn taken(client: &mut Client) -> Vec<(u32, Vec<u8>)> {
    let message = |seen| match seen {
        Seen::Message { delivery_id, body, .. } => Some((delivery_id, body)),
        _ => None,
    };
    std::mem::take(&mut client.seen).into_iter().filter_map(message).collect()
}

fn take_until(client: &mut Client, all: &mut Vec<(u32, Vec<u8>)>, count: usize) {
    let until = Instant::now() + PATIENCE;
    while all.len() < count {
        assert!(Instant::now() < until, "only {} of {count} messages came", all.len());
        client.turn();
        all.extend(taken(client));
    }
}

/// The server's output is in flight all the time that the session fills up, since the client reads less than there is.
#[test]
fn a_session_full_of_open_outcomes_is_served_again_as_they_come() {
    // More than all the buffers between the two hold.
    const LARGE_BYTES: usize = 16 << 10;
    const ROOM: usize = 800;
    const LARGE: usize = 1800;
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    fill(server.port, "small", SESSION_MAX - ROOM, 8);
    fill(server.port, "large", LARGE, LARGE_BYTES);
    let mut client = Client::connect(server.port);
    client.receiver("small", SESSION_MAX as u32).expect("the queue is there");
    let mut small = Vec::new();
    take_until(&mut client, &mut small, SESSION_MAX - ROOM);
    client.receiver("large", LARGE as u32).expect("the queue is there");
    // Fewer outcomes than messages, so that the session is full after a while.
    let mut owed = small.iter().map(|(delivery_id, _)| *delivery_id);
    let mut large = Vec::new();
    let until = Instant::now() + PATIENCE;
    while large.len() < LARGE {
        assert!(Instant::now() < until, "only {} of {LARGE} messages came", large.len());
        for delivery_id in owed.by_ref().take(2) {
            client.accept(delivery_id, false);
        }
        large.extend(taken(&mut client));
    }
    let bodies: HashSet<&Vec<u8>> = large.iter().map(|(_, body)| body).collect();
    assert_eq!((large.len(), bodies.len()), (LARGE, LARGE), "each once");
    let mut other = Client::connect(server.port);
    let sender = other.sender("other").expect("the queue is allowed");
    other.publish(sender, 1, b"others are served");
}

#[test]
fn what_waits_for_a_consumer_that_takes_its_credit_back_goes_to_another() {
    const EACH: usize = 40_000;
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let queues = ["one", "two"];
    queues.iter().for_each(|queue| fill(server.port, queue, EACH, 8));
    let mut client = Client::connect(server.port);
    let receivers = queues.map(|queue| client.receiver(queue, EACH as u32).expect("the queue is there"));
    take_until(&mut client, &mut Vec::new(), SESSION_MAX);
    receivers.iter().for_each(|receiver| client.grant(*receiver, 0, false));
    let mut other = Client::connect(server.port);
    for queue in queues {
        other.receiver(queue, EACH as u32).expect("the queue is there");
    }
    take_until(&mut other, &mut Vec::new(), 2 * EACH - SESSION_MAX);
}
