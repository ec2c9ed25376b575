//! Conversations of a client's and a server's end: what each side sees, in time and order.

mod harness;

use amqp::{Config, Event, Open, Outcome, Role, SessionId, condition};
use bytes::Bytes;
use harness::{MILLISECOND, Pair, Seen, config, count_frames, delivery_ids, outcomes, payloads, send};

#[test]
fn a_client_opens_with_everything_pipelined() {
    let mut pair = Pair::new(config("client"), config("server"));
    pair.client.open(Open { desired_capabilities: vec!["one".into()], ..Open::default() });
    let session = pair.client.begin();
    let sender = pair.client.attach(session, harness::link("queue", Role::Sender));
    let receiver = pair.client.attach(session, harness::link("queue", Role::Receiver));
    pair.client.grant(receiver, 10, false);
    pair.run();
    assert_eq!(pair.server.peer().map(|open| open.container_id.as_str()), Some("client"));
    assert_eq!(pair.client.peer().map(|open| open.container_id.as_str()), Some("server"));
    assert!(pair.server.peer().unwrap().desires("one"));
    let Seen::SaslInit { mechanism, response, .. } = &pair.at_server.events[0] else { panic!("no SASL") };
    assert_eq!((mechanism.as_str(), amqp::sasl::plain(response)), ("PLAIN", Some(("guest", "secret"))));
    let attached = |link| move |seen: &Seen| matches!(seen, Seen::Other(Event::Attached { link: l, .. }) if *l == link);
    assert!(pair.at_client.events.iter().any(attached(sender)));
    assert!(pair.at_client.events.iter().any(attached(receiver)));
    let flow = |seen: &Seen| matches!(seen, Seen::Other(Event::Flow { credit: 10, drain: false, .. }));
    assert!(pair.at_server.events.iter().any(flow), "{:?}", pair.at_server.events);
}

#[test]
fn messages_travel_both_ways_and_are_settled() {
    for role in [Role::Sender, Role::Receiver] {
        let (mut pair, ends) = Pair::attached(config("client"), config("server"), role);
        let client_sends = role == Role::Sender;
        let count = 100u64;
        if client_sends {
            pair.server.grant(ends.server, 1000, false);
        } else {
            pair.client.grant(ends.client, 1000, false);
        }
        pair.run();
        for token in 0..count {
            let body = vec![token as u8; token as usize * 20];
            let sent = if client_sends {
                send(&mut pair.client, ends.client, token, body)
            } else {
                send(&mut pair.server, ends.server, token, body)
            };
            sent.expect("there is credit");
        }
        pair.forget();
        pair.run();
        let receiver = if client_sends { &pair.at_server } else { &pair.at_client };
        let received = payloads(&receiver.events);
        assert_eq!(received.len(), count as usize);
        for (token, payload) in received.iter().enumerate() {
            assert_eq!(*payload, [b"head:".as_slice(), &vec![token as u8; token * 20]].concat());
        }
        let ids = delivery_ids(&receiver.events);
        let connection = if client_sends { &mut pair.server } else { &mut pair.client };
        ids.iter().for_each(|id| connection.settle(SessionId(0), *id, Outcome::Accepted, true));
        pair.run();
        let sender = if client_sends { &pair.at_client } else { &pair.at_server };
        assert_eq!(outcomes(&sender.events), (0..count).collect::<Vec<_>>());
        let stream = if client_sends { pair.sent_by_server() } else { pair.sent_by_client() };
        assert_eq!(count_frames(stream, 0x15), 1, "one range for all");
    }
}

#[test]
fn close_is_answered_and_finishes_both() {
    let mut pair = Pair::opened();
    pair.client.close(None);
    pair.run();
    assert!(pair.client.is_finished() && pair.server.is_finished());
    assert_eq!(pair.at_client.events, [Seen::Other(Event::Close { error: None })]);
    assert_eq!(pair.at_server.events, [Seen::Other(Event::Close { error: None })]);
}
