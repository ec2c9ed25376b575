//! Conversations of a client's and a server's end: opening, closing, sessions and links. What links carry: `delivery.rs`.

mod harness;

use amqp::{
    Attach, ClientSasl, Config, Connection, Error, Event, LinkId, Open, Role, SaslCode, SendError, SessionId, Value,
    condition,
};
use harness::{Ends, MILLISECOND, Pair, Seen, config, count_frames, link, send, send_many};

fn find<T>(events: &[Seen], pick: impl Fn(&Event<'static>) -> Option<T>) -> Vec<T> {
    events.iter().filter_map(|seen| if let Seen::Other(event) = seen { pick(event) } else { None }).collect()
}

fn failures(events: &[Seen]) -> Vec<String> {
    find(events, |event| if let Event::Failed(error) = event { Some(error.condition.to_string()) } else { None })
}

type Detached = (LinkId, bool, Option<String>, Vec<u64>);

fn detaches(events: &[Seen]) -> Vec<Detached> {
    find(events, |event| match event {
        Event::Detach { link, closed, error, unsettled } => {
            Some((*link, *closed, error.as_ref().map(|error| error.condition.to_string()), unsettled.clone()))
        }
        _ => None,
    })
}

#[test]
fn a_client_opens_with_everything_pipelined() {
    let mut pair = Pair::new(config("client"), config("server"));
    pair.client.open(Open { desired_capabilities: vec!["one".into()], ..Open::default() });
    let session = pair.client.begin();
    let sender = pair.client.attach(session, link("queue", Role::Sender));
    let receiver = pair.client.attach(session, link("queue", Role::Receiver));
    pair.client.grant(receiver, 10, false);
    pair.run();
    assert_eq!(pair.server.peer().map(|open| open.container_id.as_str()), Some("client"));
    assert_eq!(pair.client.peer().map(|open| open.container_id.as_str()), Some("server"));
    assert!(pair.server.peer().is_some_and(|open| open.desires("one")));
    let Seen::SaslInit { mechanism, response, .. } = &pair.at_server.events[0] else { panic!("no SASL") };
    assert_eq!((mechanism.as_str(), amqp::sasl::plain(response)), ("PLAIN", Some(("guest", "secret"))));
    let attached =
        find(&pair.at_client.events, |event| if let Event::Attached { link, .. } = event { Some(*link) } else { None });
    assert_eq!(attached, [sender, receiver]);
    let flows = find(&pair.at_server.events, |event| match event {
        Event::Flow { credit, drain, .. } => Some((*credit, *drain)),
        _ => None,
    });
    assert_eq!(flows, [(10, false)]);
}

/// The same bytes without waiting for any answer, to a server whose application answers late.
#[test]
fn a_server_that_decides_late_loses_nothing_that_was_pipelined() {
    let mut client = Connection::client(config("client"), None, 0);
    client.open(Open::default());
    let session = client.begin();
    let receiver = client.attach(session, link("queue", Role::Receiver));
    client.grant(receiver, 5, false);
    let output = client.poll_transmit(0).expect("a client speaks first").chunks.concat();
    let mut server = Connection::server(config("server"), 0);
    let mut input = output.as_slice();
    assert_eq!(server.next_event(0, &mut input), Some(Event::Open));
    assert_eq!(server.next_event(0, &mut input), None);
    assert!(input.is_empty());
    server.open(Open::default());
    assert!(matches!(server.next_event(0, &mut &[][..]), Some(Event::Begin(_))));
    let Some(Event::Attach { link, attach }) = server.next_event(0, &mut &[][..]) else { panic!("no attach") };
    // The flow arrives before the application has answered the attach.
    assert_eq!(server.next_event(0, &mut &[][..]), None);
    assert_eq!(server.link_credit(link), 0);
    server.accept_link(link, *attach);
    assert_eq!(server.next_event(0, &mut &[][..]), Some(Event::Flow { link, credit: 5, drain: false }));
    assert_eq!(server.link_credit(link), 5);
}

#[test]
fn sasl_failure_ends_the_connection() {
    let mut pair = Pair::new(config("client"), config("server"));
    pair.server_accepts = false;
    pair.client.open(Open::default());
    pair.run();
    pair.server.sasl_outcome(SaslCode::Auth);
    pair.run();
    assert_eq!(pair.at_client.events, [Seen::Other(Event::SaslOutcome(SaslCode::Auth))]);
    assert!(pair.client.is_finished() && pair.server.is_finished());
    assert_eq!(pair.at_server.events.len(), 1, "no open is accepted after that");
    assert_eq!(count_frames(pair.sent_by_client(), 0x10), 0, "the open waits for the outcome");
}

#[test]
fn a_mechanism_that_is_not_offered_is_refused_by_both() {
    let only_anonymous = Config { sasl_mechanisms: vec!["ANONYMOUS".into()], ..config("server") };
    let mut pair = Pair::new(config("client"), only_anonymous);
    pair.run();
    assert_eq!(failures(&pair.at_client.events), [condition::UNAUTHORIZED_ACCESS]);
    let client = Connection::client(config("client"), Some(ClientSasl::Anonymous), 0);
    let mut pair = Pair::of(client, Connection::server(config("server"), 0));
    pair.client.open(Open::default());
    pair.run();
    assert!(pair.client.peer().is_some());
}

#[test]
fn a_plain_client_is_served_unless_sasl_is_required() {
    for require_sasl in [false, true] {
        let server = Connection::server(Config { require_sasl, ..config("server") }, 0);
        let mut pair = Pair::of(Connection::client(config("client"), None, 0), server);
        pair.client.open(Open::default());
        pair.run();
        assert_eq!(pair.client.peer().is_some(), !require_sasl);
        assert_eq!(pair.sent_by_server().starts_with(b"AMQP\x03\x01\x00\x00"), require_sasl);
        assert_eq!(pair.server.is_finished(), require_sasl);
    }
}

/// What a standby does.
#[test]
fn a_server_can_open_and_close_at_once() {
    let mut pair = Pair::new(config("client"), config("server"));
    pair.server_accepts = false;
    pair.client.open(Open::default());
    pair.run();
    pair.server.sasl_outcome(SaslCode::Ok);
    pair.run();
    let failed = (Value::symbol(condition::CONNECTION_ESTABLISHMENT_FAILED), Value::Bool(true));
    pair.server.open(Open { properties: vec![failed], ..Open::default() });
    let error = Error::new(condition::CONNECTION_FORCED, "standby").with("network-host", "elsewhere");
    assert!(!pair.server.is_finished());
    pair.server.close(Some(error.clone()));
    assert!(pair.server.is_finished(), "some clients do not answer a close with an error");
    pair.forget();
    pair.run();
    assert_eq!(pair.at_client.events, [Seen::Other(Event::Open), Seen::Other(Event::Close { error: Some(error) })]);
    let refusal = pair.client.peer().and_then(|open| open.property(condition::CONNECTION_ESTABLISHMENT_FAILED));
    assert_eq!(refusal, Some(&Value::Bool(true)));
    assert!(pair.client.peer().and_then(|open| open.idle_timeout_ms).is_some_and(|milliseconds| milliseconds < 1000));
    assert!(pair.client.is_finished() && pair.server.is_finished());
}

#[test]
fn close_is_answered_and_finishes_both() {
    let mut pair = Pair::opened();
    pair.client.close(None);
    pair.run();
    assert!(pair.client.is_finished() && pair.server.is_finished());
    assert_eq!(pair.at_client.events, [Seen::Other(Event::Close { error: None })]);
    assert_eq!(pair.at_server.events, [Seen::Other(Event::Close { error: None })]);
    assert_eq!(pair.client.poll_timeout(), None);
}

#[test]
fn heartbeats_keep_an_idle_connection_and_silence_ends_it() {
    let timed = |name: &str| Config { idle_timeout_ms: 1000, ..config(name) };
    let mut pair = Pair::opened_with(timed("client"), timed("server"));
    pair.advance(60_000 * MILLISECOND);
    assert_eq!(pair.at_client.events, []);
    assert_eq!(pair.at_server.events, []);
    // 60 s at a quarter of the time-out, less what is sent a little late because frames take time.
    let heartbeats = harness::frames(pair.sent_by_client()).iter().filter(|(_, _, body)| body.is_empty()).count();
    assert!((200..=240).contains(&heartbeats), "{heartbeats}");
    pair.delay = 3_600_000 * MILLISECOND;
    pair.client.handle_timeout(pair.now + 999 * MILLISECOND);
    assert!(!pair.client.is_finished());
    pair.client.handle_timeout(pair.now + 1000 * MILLISECOND);
    assert!(pair.client.is_finished());
    let mut nothing: &[u8] = &[];
    let Some(Event::Failed(error)) = pair.client.next_event(pair.now, &mut nothing) else { panic!("no failure") };
    assert_eq!(error.condition, condition::RESOURCE_LIMIT_EXCEEDED);
}

#[test]
fn a_client_that_does_not_open_in_time_is_dropped() {
    let mut server = Connection::server(config("server"), 0);
    assert_eq!(server.poll_timeout(), Some(10_000 * MILLISECOND));
    server.handle_timeout(10_000 * MILLISECOND);
    assert!(server.is_finished());
    assert!(matches!(server.next_event(0, &mut &[][..]), Some(Event::Failed(_))));
}

#[test]
fn sessions_and_links_have_numbers_of_their_own_on_each_side() {
    let mut pair = Pair::opened();
    // The server takes channel 0 at once; the client's sessions answer and begin beside it.
    let of_server = pair.server.begin();
    let of_client = [pair.client.begin(), pair.client.begin()];
    pair.run();
    assert_eq!((of_server.channel(), of_client.map(SessionId::channel)), (0, [0, 1]));
    let begun = find(&pair.at_client.events, |event| match event {
        Event::Begun(id) => Some((true, *id)),
        Event::Begin(id) => Some((false, *id)),
        _ => None,
    });
    assert_eq!(begun.len(), 3);
    let second = pair.attach(of_client[1], "b", Role::Sender);
    let first = pair.attach(of_client[0], "a", Role::Sender);
    assert_ne!(second.client.session, second.server.session);
    for (ends, token) in [(first, 1), (second, 2)] {
        pair.server.grant(ends.server, 1, false);
        pair.run();
        send(&mut pair.client, ends.client, token, "x").expect("there is credit");
        pair.forget();
        pair.run();
        let links: Vec<LinkId> = pair
            .at_server
            .events
            .iter()
            .filter_map(|seen| if let Seen::Message { link, .. } = seen { Some(*link) } else { None })
            .collect();
        assert_eq!(links, [ends.server]);
    }
}

#[test]
fn one_name_serves_both_roles() {
    let mut pair = Pair::opened();
    let session = pair.client.begin();
    let sender = pair.attach(session, "queue", Role::Sender);
    let receiver = pair.attach(session, "queue", Role::Receiver);
    assert_ne!(sender.client, receiver.client);
    assert_ne!(sender.server, receiver.server);
    pair.client.detach(sender.client, true, None);
    pair.run();
    assert_eq!(detaches(&pair.at_server.events), [(sender.server, true, None, vec![])]);
    pair.client.grant(receiver.client, 1, false);
    pair.run();
    assert_eq!(pair.server.link_credit(receiver.server), 1);
}

#[test]
fn a_refused_link_shows_a_null_terminus_and_goes() {
    let mut pair = Pair::opened();
    pair.server_accepts = false;
    let session = pair.client.begin();
    for role in [Role::Sender, Role::Receiver] {
        let ours = pair.client.attach(session, link("nowhere", role));
        pair.forget();
        pair.run();
        let offered =
            find(
                &pair.at_server.events,
                |event| if let Event::Attach { link, .. } = event { Some(*link) } else { None },
            );
        pair.server.refuse_link(offered[0], Error::new(condition::NOT_FOUND, "no such queue"));
        pair.forget();
        pair.run();
        let Seen::Other(Event::Attached { link, attach }) = &pair.at_client.events[0] else { panic!("no attach") };
        assert_eq!((*link, &attach.source, &attach.target), (ours, &None, &None));
        assert_eq!(detaches(&pair.at_client.events), [(ours, true, Some(condition::NOT_FOUND.into()), vec![])]);
        assert_eq!(pair.at_server.events, [], "the application has refused and hears no more");
    }
}

#[test]
fn a_link_attached_again_is_taken_away_from_its_holder() {
    let (mut pair, ends) = Pair::attached(config("client"), config("server"), Role::Receiver);
    pair.client.grant(ends.client, 10, false);
    pair.run();
    send(&mut pair.server, ends.server, 77, "x").expect("there is credit");
    pair.run();
    pair.forget();
    // Another client under the same container would do this; here it is the same one, behind its connection's back.
    let mut again = Vec::new();
    for frame in harness::frames(pair.sent_by_client()).iter().filter(|(_, _, body)| body.starts_with(&[0, 0x53, 0x12]))
    {
        let mut body = frame.2.clone();
        let handle = body.iter().position(|byte| *byte == 0x43).expect("handle 0");
        body.splice(handle..=handle, [0x52, 9]);
        body[4] += 1;
        again = [&(8 + body.len() as u32).to_be_bytes()[..], &[2, 0, 0, 0], &body].concat();
    }
    pair.inject_to_server(&again);
    pair.run();
    let stolen = Some(condition::LINK_STOLEN.to_owned());
    assert_eq!(detaches(&pair.at_server.events), [(ends.server, false, stolen, vec![77])]);
    let offered = |event: &Event<'static>| if let Event::Attach { link, .. } = event { Some(*link) } else { None };
    assert_eq!(find(&pair.at_server.events, offered).len(), 1);
}

#[test]
fn links_beyond_the_limit_are_refused_and_the_others_live() {
    let mut server = config("server");
    server.limits.links_max = 3;
    let mut pair = Pair::opened_with(config("client"), server);
    let session = pair.client.begin();
    let links: Vec<LinkId> =
        (0..5).map(|number| pair.client.attach(session, link(&format!("link {number}"), Role::Sender))).collect();
    pair.run();
    let refused: Vec<LinkId> = detaches(&pair.at_client.events).iter().map(|(link, ..)| *link).collect();
    assert_eq!(refused, links[3..]);
    pair.client.detach(links[0], true, None);
    pair.run();
    pair.attach(session, "another", Role::Sender);
}

#[test]
fn a_client_that_begins_beyond_channel_max_is_told_by_its_own_end() {
    let mut pair = Pair::opened_with(config("client"), Config { channel_max: 1, ..config("server") });
    pair.client.begin();
    pair.client.begin();
    pair.client.begin();
    pair.run();
    let ended = find(&pair.at_client.events, |event| match event {
        Event::End { session, error, .. } => {
            Some((session.channel(), error.as_ref().map(|error| error.condition.to_string())))
        }
        _ => None,
    });
    assert_eq!(ended, [(u16::MAX, Some(condition::RESOURCE_LIMIT_EXCEEDED.into()))]);
    assert!(!pair.server.is_finished());
}

#[test]
fn numbers_are_used_again_after_detach_and_end() {
    let (mut pair, first) = Pair::attached(config("client"), config("server"), Role::Sender);
    pair.client.detach(first.client, false, None);
    pair.run();
    let second = pair.attach(first.client.session, "another", Role::Receiver);
    assert_eq!(first.client.handle, second.client.handle);
    pair.client.end(first.client.session, None);
    pair.run();
    let session = pair.client.begin();
    assert_eq!(session.channel(), first.client.session.channel());
    assert_ne!(session, first.client.session);
    let third = pair.attach(session, "third", Role::Sender);
    pair.server.grant(third.server, 1, false);
    pair.run();
    assert_eq!(pair.client.link_credit(third.client), 1);
}

/// A server whose container accepts `credit` messages from this client and sends as many.
fn with_unsettled(count: u64) -> (Pair, Ends) {
    let (mut pair, ends) = Pair::attached(config("client"), config("server"), Role::Receiver);
    pair.client.grant(ends.client, 100, false);
    pair.run();
    send_many(&mut pair.server, ends.server, count, "body");
    pair.run();
    pair.forget();
    (pair, ends)
}

#[test]
fn whoever_ends_first_the_sender_learns_what_was_unsettled() {
    let (mut pair, ends) = with_unsettled(3);
    assert_eq!(pair.server.unsettled_tokens(), [(ends.server, 0), (ends.server, 1), (ends.server, 2)]);
    pair.client.detach(ends.client, true, None);
    pair.run();
    assert_eq!(detaches(&pair.at_server.events), [(ends.server, true, None, vec![0, 1, 2])]);
    assert_eq!(detaches(&pair.at_client.events), [(ends.client, true, None, vec![])]);
    assert_eq!(pair.server.unsettled_tokens(), []);

    let (mut pair, ends) = with_unsettled(2);
    pair.server.detach(ends.server, false, Some(Error::new(condition::LINK_DETACH_FORCED, "")));
    pair.run();
    assert_eq!(detaches(&pair.at_server.events), [(ends.server, false, None, vec![0, 1])]);
    let forced = Some(condition::LINK_DETACH_FORCED.to_owned());
    assert_eq!(detaches(&pair.at_client.events), [(ends.client, false, forced, vec![])]);

    for server_ends in [false, true] {
        let (mut pair, ends) = with_unsettled(2);
        if server_ends {
            pair.server.end(ends.server.session, None);
        } else {
            pair.client.end(ends.client.session, None);
        }
        pair.run();
        let ended = find(&pair.at_server.events, |event| {
            if let Event::End { unsettled, .. } = event { Some(unsettled.clone()) } else { None }
        });
        assert_eq!(ended, [vec![(ends.server, 0), (ends.server, 1)]]);
        assert!(!pair.server.is_finished());
    }

    let (mut pair, ends) = with_unsettled(2);
    pair.client.close(None);
    pair.run();
    assert_eq!(pair.server.unsettled_tokens(), [(ends.server, 0), (ends.server, 1)]);
}

#[test]
fn commands_for_what_is_gone_do_nothing() {
    let (mut pair, ends) = with_unsettled(1);
    pair.client.end(ends.client.session, None);
    pair.run();
    assert_eq!(send(&mut pair.server, ends.server, 9, "x"), Err(SendError::NotAttached));
    pair.server.detach(ends.server, true, None);
    pair.server.drained(ends.server);
    pair.server.settle_sent(ends.server.session, 0, None);
    pair.server.accept_link(ends.server, Attach::default());
    pair.client.grant(ends.client, 9, true);
    pair.client.settle(ends.client.session, 0, amqp::Outcome::Accepted, true);
    assert_eq!(pair.client.attach(ends.client.session, link("x", Role::Sender)).handle, u32::MAX);
    let (before, after) = (pair.sent_by_server().len(), pair.sent_by_client().len());
    pair.run();
    assert_eq!((pair.sent_by_server().len(), pair.sent_by_client().len()), (before, after));
    assert_eq!(pair.server.link_credit(ends.server), 0);
}
