//! What links carry between a client's and a server's end: messages, credit, windows, drains and settlement.

mod harness;

use amqp::{
    Config, Delivery, DeliveryState, Error, Event, Open, Outcome, Role, SendError, SenderSettleMode, Value, condition,
};
use bytes::Bytes;
use harness::{Ends, Pair, Seen, config, count_frames, delivery_ids, outcomes, payloads, send, send_many};

fn others(events: &[Seen]) -> Vec<Event<'static>> {
    events.iter().filter_map(|seen| if let Seen::Other(event) = seen { Some(event.clone()) } else { None }).collect()
}

/// The server sends to a client that has granted `credit`.
fn server_sends(client: Config, server: Config, credit: u32) -> (Pair, Ends) {
    let (mut pair, ends) = Pair::attached(client, server, Role::Receiver);
    pair.client.grant(ends.client, credit, false);
    pair.run();
    pair.forget();
    (pair, ends)
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
            let body = vec![token as u8; token as usize * 90];
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
            assert_eq!(*payload, [b"head:".as_slice(), &vec![token as u8; token * 90]].concat());
        }
        let ids = delivery_ids(&receiver.events);
        let (connection, link) =
            if client_sends { (&mut pair.server, ends.server) } else { (&mut pair.client, ends.client) };
        ids.iter().for_each(|id| connection.settle(link.session, *id, Outcome::Accepted, true));
        pair.run();
        let sender = if client_sends { &pair.at_client } else { &pair.at_server };
        assert_eq!(outcomes(&sender.events), (0..count).collect::<Vec<_>>());
        let stream = if client_sends { pair.sent_by_server() } else { pair.sent_by_client() };
        assert_eq!(count_frames(stream, 0x15), 1, "one range for all");
        assert_eq!(pair.server.unsettled_tokens(), []);
    }
}

#[test]
fn settlement_in_any_order_leaves_as_few_ranges() {
    let (mut pair, ends) = server_sends(config("client"), config("server"), 100);
    send_many(&mut pair.server, ends.server, 20, "x");
    pair.run();
    let ids = delivery_ids(&pair.at_client.events);
    let before = count_frames(pair.sent_by_client(), 0x15);
    for at in (0..20).step_by(2).chain((1..20).step_by(2)) {
        let outcome = if at == 10 { Outcome::Released } else { Outcome::Accepted };
        pair.client.settle(ends.client.session, ids[at], outcome, true);
    }
    pair.run();
    assert_eq!(count_frames(pair.sent_by_client(), 0x15) - before, 3);
    let released: Vec<u64> = others(&pair.at_server.events)
        .iter()
        .filter_map(|event| match event {
            Event::Outcome { token, outcome: Some(Outcome::Released), .. } => Some(*token),
            _ => None,
        })
        .collect();
    assert_eq!(released, [10]);
    assert_eq!(outcomes(&pair.at_server.events).len(), 20);
}

#[test]
fn every_outcome_arrives_as_it_was_sent() {
    let (mut pair, ends) = server_sends(config("client"), config("server"), 100);
    let all = [
        Outcome::Accepted,
        Outcome::Released,
        Outcome::Rejected(None),
        Outcome::Rejected(Some(Error::new(condition::DECODE_ERROR, "words").with("key", 5u32))),
        Outcome::Modified { delivery_failed: true, undeliverable_here: false, annotations: None },
        Outcome::Modified {
            delivery_failed: false,
            undeliverable_here: true,
            annotations: Some(Value::Map(vec![(Value::symbol("x-opt"), Value::Uint(1))])),
        },
        Outcome::Transactional {
            transaction_id: Bytes::from_static(b"t1"),
            outcome: Some(Box::new(Outcome::Accepted)),
        },
    ];
    send_many(&mut pair.server, ends.server, all.len() as u64, "x");
    pair.run();
    let ids = delivery_ids(&pair.at_client.events);
    pair.forget();
    for (id, outcome) in ids.iter().zip(&all) {
        pair.client.settle(ends.client.session, *id, outcome.clone(), true);
    }
    pair.run();
    let seen: Vec<Outcome> = others(&pair.at_server.events)
        .into_iter()
        .filter_map(|event| if let Event::Outcome { outcome, .. } = event { outcome } else { None })
        .collect();
    assert_eq!(seen, all);
}

#[test]
fn an_unsettled_outcome_is_answered_by_the_sender() {
    let (mut pair, ends) = server_sends(config("client"), config("server"), 10);
    send_many(&mut pair.server, ends.server, 3, "x");
    pair.run();
    let ids = delivery_ids(&pair.at_client.events);
    pair.forget();
    ids.iter().for_each(|id| pair.client.settle(ends.client.session, *id, Outcome::Accepted, false));
    pair.run();
    for (event, (token, id)) in others(&pair.at_server.events).iter().zip((0..3).zip(&ids)) {
        let outcome = Some(Outcome::Accepted);
        let expected = Event::Outcome { link: ends.server, delivery_id: *id, token, outcome, settled: false };
        assert_eq!(*event, expected);
    }
    assert_eq!(pair.server.unsettled_tokens(), [], "an answered delivery is no longer without outcome");
    pair.forget();
    ids.iter().for_each(|id| pair.server.settle_sent(ends.server.session, *id, Some(Outcome::Accepted)));
    pair.run();
    let settled = Event::SettledByPeer { session: ends.client.session, first: ids[0], last: ids[2] };
    assert_eq!(others(&pair.at_client.events), [settled]);
    // A second answer, or one that comes after the peer has settled, goes nowhere.
    pair.server.settle_sent(ends.server.session, ids[0], None);
    let length = pair.sent_by_server().len();
    pair.run();
    assert_eq!(pair.sent_by_server().len(), length);
}

#[test]
fn a_settled_message_needs_no_settlement() {
    let (mut pair, ends) = server_sends(config("client"), config("server"), 10);
    let empty = Bytes::new();
    let delivery = |settled| Delivery { token: 1, tag: b"t", settled, format: 0, state: None, head: b"", body: &empty };
    pair.server.send(ends.server, delivery(true)).expect("there is credit");
    pair.server.send(ends.server, delivery(false)).expect("there is credit");
    pair.run();
    let settled: Vec<bool> = pair
        .at_client
        .events
        .iter()
        .filter_map(|seen| if let Seen::Message { settled, .. } = seen { Some(*settled) } else { None })
        .collect();
    assert_eq!(settled, [true, false]);
    assert_eq!(pair.server.unsettled_tokens().len(), 1);
}

/// Frames of 512 bytes, windows of a few frames, large messages among small ones: all arrive whole and in order.
#[test]
fn large_messages_pass_through_small_frames_and_windows() {
    for window in [1, 2, 3, 7, 1000] {
        let small = |name: &str| Config { max_frame_size: 512, incoming_window: window, ..config(name) };
        let (mut pair, ends) = server_sends(small("client"), small("server"), 100);
        let bodies: Vec<Bytes> =
            [0, 1, 480, 490, 500, 5000, 40_000, 3].iter().map(|size| Bytes::from(vec![*size as u8; *size])).collect();
        for (token, body) in bodies.iter().enumerate() {
            send(&mut pair.server, ends.server, token as u64, body.clone()).expect("there is credit");
        }
        pair.run();
        let expected: Vec<Vec<u8>> = bodies.iter().map(|body| [b"head:", body.as_ref()].concat()).collect();
        assert!(payloads(&pair.at_client.events) == expected, "window {window}");
        assert!(harness::frames(pair.sent_by_server()).iter().all(|(_, _, body)| body.len() <= 504));
        assert_eq!(pair.server.output_bytes(), 0);
    }
}

#[test]
fn a_closed_window_is_reported_when_it_opens() {
    let narrow = Config { incoming_window: 4, ..config("client") };
    let (mut pair, ends) = server_sends(narrow, config("server"), 100);
    assert_eq!(pair.server.link_credit(ends.server), 4, "no more than the window takes");
    let mut token = 0;
    while pair.server.link_credit(ends.server) > 0 {
        send(&mut pair.server, ends.server, token, "x").expect("there is credit");
        token += 1;
    }
    assert_eq!(token, 4);
    // Beyond the window a message is queued, and nothing is offered until it has left.
    send(&mut pair.server, ends.server, token, "queued").expect("there is credit");
    assert_eq!(pair.server.link_credit(ends.server), 0);
    assert!(pair.server.output_bytes() > 0);
    pair.run();
    assert_eq!(payloads(&pair.at_client.events).len(), 5);
    let reopened = others(&pair.at_server.events);
    assert!(
        reopened
            .iter()
            .any(|event| matches!(event, Event::Flow { link, credit: 1..=4, drain: false } if *link == ends.server)),
        "{reopened:?}"
    );
}

/// A session whose links have nothing to say is refreshed all the same.
#[test]
fn a_session_window_is_refreshed_without_any_link_flow() {
    let narrow = Config { incoming_window: 8, ..config("client") };
    let (mut pair, ends) = server_sends(narrow, config("server"), 1_000_000);
    for token in 0..1000 {
        send(&mut pair.server, ends.server, token, "x").expect("there is credit");
        pair.run();
    }
    assert_eq!(payloads(&pair.at_client.events).len(), 1000);
    let flows = count_frames(pair.sent_by_client(), 0x13);
    assert!((250..=252).contains(&flows), "{flows} flows for 1000 transfers through a window of 8");
}

#[test]
fn a_drain_gives_back_what_is_not_used() {
    let (mut pair, ends) = server_sends(config("client"), config("server"), 0);
    // With messages: they come first.
    pair.client.grant(ends.client, 5, true);
    pair.run();
    assert_eq!(others(&pair.at_server.events), [Event::Flow { link: ends.server, credit: 5, drain: true }]);
    send(&mut pair.server, ends.server, 1, "x").expect("there is credit");
    pair.server.drained(ends.server);
    assert_eq!(pair.server.link_credit(ends.server), 0);
    pair.run();
    assert!(matches!(pair.at_client.events[..], [Seen::Message { .. }, Seen::Other(Event::Drained { .. })]));
    // All credit used: no further flow is needed.
    pair.forget();
    pair.client.grant(ends.client, 1, true);
    pair.run();
    send(&mut pair.server, ends.server, 2, "x").expect("there is credit");
    pair.run();
    assert!(matches!(pair.at_client.events[..], [Seen::Message { .. }, Seen::Other(Event::Drained { .. })]));
    // Without credit: the sender is asked.
    pair.forget();
    pair.client.grant(ends.client, 0, true);
    pair.run();
    pair.server.drained(ends.server);
    pair.run();
    assert_eq!(others(&pair.at_client.events), [Event::Drained { link: ends.client }]);
    // Credit afterwards is counted from where the drain has led.
    pair.client.grant(ends.client, 2, false);
    pair.run();
    assert_eq!(pair.server.link_credit(ends.server), 2);
    pair.server.drained(ends.server);
    pair.run();
    assert_eq!(pair.server.link_credit(ends.server), 2, "nobody asked for a drain");
}

/// The answer to a drain must not overtake messages that wait for the session's window.
#[test]
fn a_drain_waits_behind_what_is_queued() {
    let narrow = Config { incoming_window: 1, ..config("client") };
    let (mut pair, ends) = server_sends(narrow, config("server"), 10);
    pair.client.grant(ends.client, 10, true);
    pair.run();
    pair.forget();
    send_many(&mut pair.server, ends.server, 5, vec![0; 300_000]);
    pair.server.drained(ends.server);
    pair.run();
    assert_eq!(payloads(&pair.at_client.events).len(), 5);
    assert!(matches!(pair.at_client.events.last(), Some(Seen::Other(Event::Drained { .. }))));
    let drains = pair.at_client.events.iter().filter(|seen| matches!(seen, Seen::Other(Event::Drained { .. })));
    assert_eq!(drains.count(), 1);
}

/// A drain that arrives while the window is closed is reported when it opens, so that no message is held back by it.
#[test]
fn a_drain_under_a_closed_window_is_reported_later() {
    let narrow = Config { incoming_window: 2, ..config("client") };
    let (mut pair, ends) = server_sends(narrow, config("server"), 10);
    send_many(&mut pair.server, ends.server, 2, "x");
    pair.client.grant(ends.client, 10, true);
    let flow = pair.client.poll_transmit(pair.now).expect("a flow").chunks.concat();
    let mut input = flow.as_slice();
    assert_eq!(pair.server.next_event(pair.now, &mut input), None);
    pair.run();
    assert!(
        others(&pair.at_server.events)
            .iter()
            .any(|event| matches!(event, Event::Flow { credit: 1.., drain: true, .. })),
        "{:?}",
        pair.at_server.events
    );
}

/// The credit reported is no more than the window takes, so it is reported again when that widens, not only when it was shut.
#[test]
fn credit_beyond_the_window_is_reported_when_that_widens() {
    let narrow = Config { incoming_window: 4, ..config("client") };
    let (mut pair, ends) = server_sends(narrow, config("server"), 10);
    let told = |pair: &Pair| -> Vec<u32> {
        let credit = |event: &Event<'_>| match event {
            Event::Flow { credit, .. } => Some(*credit),
            _ => None,
        };
        others(&pair.at_server.events).iter().filter_map(credit).collect()
    };
    assert_eq!(pair.server.link_credit(ends.server), 4);
    // Two of four: the client opens its window anew at half.
    send_many(&mut pair.server, ends.server, 2, "x");
    pair.run();
    assert_eq!(told(&pair), [4]);
    assert_eq!(pair.server.credit_granted(ends.server), 8);
}

#[test]
fn a_sender_is_refused_what_it_may_not_send() {
    let mut server = config("server");
    server.limits.unsettled_max = 2;
    server.limits.output_bytes_max = 10_000;
    let (mut pair, ends) = server_sends(config("client"), server, 5);
    assert_eq!(send(&mut pair.client, ends.client, 0, "x"), Err(SendError::NotSender));
    let long =
        Delivery { token: 0, tag: &[0; 33], settled: true, format: 0, state: None, head: b"", body: &Bytes::new() };
    assert_eq!(pair.server.send(ends.server, long), Err(SendError::TagTooLong));
    // A message beyond the limit by itself goes out when nothing else waits.
    send(&mut pair.server, ends.server, 0, vec![0; 20_000]).expect("nothing waits");
    assert_eq!(send(&mut pair.server, ends.server, 1, "x"), Err(SendError::OutputFull));
    pair.run();
    send(&mut pair.server, ends.server, 1, "x").expect("the output is gone");
    assert_eq!(send(&mut pair.server, ends.server, 2, "x"), Err(SendError::TooManyUnsettled));
    let settled =
        Delivery { token: 0, tag: b"", settled: true, format: 0, state: None, head: b"", body: &Bytes::new() };
    for _ in 0..3 {
        pair.server.send(ends.server, settled.clone()).expect("settled messages need no place");
    }
    assert_eq!(pair.server.send(ends.server, settled), Err(SendError::NoCredit));
}

#[test]
fn a_message_larger_than_the_peer_accepts_is_refused_before_it_is_sent() {
    let mut client = config("client");
    client.limits.message_size_max = 1000;
    let (mut pair, ends) = server_sends(client, config("server"), 5);
    assert_eq!(send(&mut pair.server, ends.server, 0, vec![0; 996]), Err(SendError::MessageTooLarge));
    send(&mut pair.server, ends.server, 0, vec![0; 995]).expect("head and body make 1000 bytes");
}

/// All acknowledgements that arrived in the same read before a close or an end are reported first.
#[test]
fn outcomes_are_reported_before_what_ends_them() {
    type Finish = fn(&mut Pair, Ends);
    let finishes: [Finish; 3] = [
        |pair, ends| pair.client.detach(ends.client, true, None),
        |pair, ends| pair.client.end(ends.client.session, None),
        |pair, _| pair.client.close(None),
    ];
    for finish in finishes {
        let (mut pair, ends) = server_sends(config("client"), config("server"), 100);
        send_many(&mut pair.server, ends.server, 50, "x");
        pair.run();
        let ids = delivery_ids(&pair.at_client.events);
        pair.forget();
        ids[..40].iter().for_each(|id| pair.client.settle(ends.client.session, *id, Outcome::Accepted, true));
        finish(&mut pair, ends);
        pair.run();
        assert_eq!(outcomes(&pair.at_server.events), (0..40).collect::<Vec<_>>());
        let last = pair.at_server.events.last();
        let rest: Vec<u64> = match last {
            Some(Seen::Other(Event::Detach { unsettled, .. })) => unsettled.clone(),
            Some(Seen::Other(Event::End { unsettled, .. })) => unsettled.iter().map(|(_, token)| *token).collect(),
            Some(Seen::Other(Event::Close { .. })) => {
                pair.server.unsettled_tokens().iter().map(|(_, token)| *token).collect()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(rest, (40..50).collect::<Vec<_>>());
    }
}

#[test]
fn a_detach_takes_back_what_is_still_queued() {
    let narrow = Config { incoming_window: 1, ..config("client") };
    let (mut pair, ends) = server_sends(narrow, config("server"), 100);
    send_many(&mut pair.server, ends.server, 10, "x");
    pair.server.detach(ends.server, true, None);
    assert!(pair.server.output_bytes() < 200);
    pair.run();
    let unsettled = others(&pair.at_server.events)
        .into_iter()
        .find_map(|event| if let Event::Detach { unsettled, .. } = event { Some(unsettled) } else { None });
    assert_eq!(unsettled, Some((0..10).collect::<Vec<_>>()));
    assert_eq!(payloads(&pair.at_client.events).len(), 1);
}

#[test]
fn frames_of_different_links_may_interleave() {
    let small = |name: &str| Config { max_frame_size: 512, incoming_window: 3, ..config(name) };
    let (mut pair, first) = server_sends(small("client"), small("server"), 100);
    let second = pair.attach(first.client.session, "second", Role::Receiver);
    pair.client.grant(second.client, 10, false);
    pair.run();
    for token in 0..10 {
        let ends = if token % 2 == 0 { first } else { second };
        send(&mut pair.server, ends.server, token, vec![token as u8; 2000]).expect("there is credit");
    }
    pair.run();
    let received = payloads(&pair.at_client.events);
    assert_eq!(received.len(), 10);
    assert!(received.iter().enumerate().all(|(token, payload)| payload[5..] == vec![token as u8; 2000]));
}

#[test]
fn a_transactional_state_travels_with_a_message() {
    let (mut pair, ends) = Pair::attached(config("client"), config("server"), Role::Sender);
    pair.server.grant(ends.server, 1, false);
    pair.run();
    let state = DeliveryState::Transactional { transaction_id: Bytes::from_static(b"id"), outcome: None };
    let delivery = Delivery {
        token: 1,
        tag: b"tag",
        settled: false,
        format: 7,
        state: Some(state.clone()),
        head: b"",
        body: &Bytes::from_static(b"body"),
    };
    pair.client.send(ends.client, delivery).expect("there is credit");
    let output = pair.client.poll_transmit(pair.now).expect("a transfer").chunks.concat();
    let mut input = output.as_slice();
    let Some(Event::Message(message)) = pair.server.next_event(pair.now, &mut input) else { panic!("no message") };
    assert_eq!(
        (message.state, message.format, message.tag, message.payload),
        (Some(Box::new(state)), 7, &b"tag"[..], &b"body"[..])
    );
    // In place: the payload is a slice of the input.
    assert_eq!(message.payload.as_ptr(), output[output.len() - 4..].as_ptr());
}

#[test]
fn a_link_negotiated_settled_takes_settled_messages_only() {
    let mut pair = Pair::opened();
    let session = pair.client.begin();
    let attach = amqp::Attach { snd_settle_mode: SenderSettleMode::Settled, ..harness::link("link", Role::Sender) };
    let client = pair.client.attach(session, attach);
    pair.run();
    let offered = others(&pair.at_server.events)
        .into_iter()
        .find_map(|event| if let Event::Attach { link, .. } = event { Some(link) } else { None });
    pair.server.grant(offered.expect("the server has seen the attach"), 5, false);
    pair.run();
    pair.forget();
    send(&mut pair.client, client, 1, "unsettled").expect("there is credit");
    pair.run();
    let error = others(&pair.at_client.events)
        .into_iter()
        .find_map(|event| if let Event::Detach { error, .. } = event { error } else { None });
    assert_eq!(error.map(|error| error.condition.to_string()), Some(condition::NOT_ALLOWED.to_owned()));
    assert!(!pair.server.is_finished());
}

#[test]
fn an_open_larger_than_a_frame_of_512_bytes_still_arrives() {
    let mut pair = Pair::new(config("client"), config("server"));
    let properties =
        (0..60).map(|n| (Value::symbol(format!("property-{n}")), Value::from("words"))).collect::<Vec<_>>();
    pair.client.open(Open { properties: properties.clone(), ..Open::default() });
    pair.run();
    assert_eq!(pair.server.peer().map(|open| &open.properties), Some(&properties));
}

/// A settlement that comes late, when its session has ended and another has the same channel and the same delivery-ids.
#[test]
fn a_late_settlement_does_not_reach_the_next_session() {
    let (mut pair, first) = server_sends(config("client"), config("server"), 10);
    send_many(&mut pair.server, first.server, 1, "x");
    pair.run();
    let old = delivery_ids(&pair.at_client.events)[0];
    pair.client.settle(first.client.session, old, Outcome::Accepted, false);
    pair.client.end(first.client.session, None);
    pair.run();
    let session = pair.client.begin();
    let second = pair.attach(session, "link", Role::Receiver);
    pair.client.grant(second.client, 10, false);
    pair.run();
    pair.forget();
    send_many(&mut pair.server, second.server, 1, "y");
    pair.run();
    assert_eq!(delivery_ids(&pair.at_client.events), [old]);
    assert_eq!((session.channel(), second.client.handle), (first.client.session.channel(), first.client.handle));
    pair.server.settle_sent(first.server.session, old, Some(Outcome::Accepted));
    pair.client.settle(first.client.session, old, Outcome::Accepted, true);
    pair.client.grant(first.client, 99, false);
    assert_eq!(send(&mut pair.server, first.server, 9, "z"), Err(SendError::NotAttached));
    pair.forget();
    pair.run();
    assert_eq!((&pair.at_client.events, &pair.at_server.events), (&vec![], &vec![]));
    assert_eq!(pair.server.unsettled_tokens(), [(second.server, 0)]);
}
