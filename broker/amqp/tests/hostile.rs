//! Bytes that no honest peer sends: each gets the right error, costs little memory, and does not disturb what it need not.

use amqp::{
    Attach, Config, Connection, Delivery, Error, Event, LinkId, Open, Outcome, SessionId, Source, Target, Value,
    condition,
};
use bytes::{Bytes, BytesMut};

const HEADER: &[u8] = b"AMQP\x00\x01\x00\x00";
const OPEN: u8 = 0x10;
const BEGIN: u8 = 0x11;
const ATTACH: u8 = 0x12;
const FLOW: u8 = 0x13;
const TRANSFER: u8 = 0x14;
const DISPOSITION: u8 = 0x15;
const DETACH: u8 = 0x16;
const END: u8 = 0x17;

fn raw_frame(offset: u8, kind: u8, channel: u16, body: &[u8]) -> Vec<u8> {
    let size = 8 + u32::try_from(body.len()).expect("a small frame");
    [&size.to_be_bytes()[..], &[offset, kind], &channel.to_be_bytes(), body].concat()
}

fn performative(code: u8, fields: Vec<Value>) -> Vec<u8> {
    let mut out = BytesMut::new();
    Value::described(u64::from(code), fields).encode(&mut out);
    out.to_vec()
}

fn frame(code: u8, channel: u16, fields: Vec<Value>) -> Vec<u8> {
    raw_frame(2, 0, channel, &performative(code, fields))
}

fn transfer(fields: Vec<Value>, payload: &[u8]) -> Vec<u8> {
    raw_frame(2, 0, 0, &[&performative(TRANSFER, fields), payload].concat())
}

fn uint(number: u32) -> Value {
    Value::Uint(number)
}

fn open() -> Vec<u8> {
    frame(OPEN, 0, vec!["attacker".into()])
}

fn begin(channel: u16) -> Vec<u8> {
    frame(BEGIN, channel, vec![Value::Null, uint(0), uint(100), uint(100)])
}

fn attach_sender(name: &str, handle: u32) -> Vec<u8> {
    let mut fields = vec![name.into(), uint(handle), false.into()];
    fields.extend([Value::Null, Value::Null, Value::Null, Value::Null, Value::Null, Value::Null, uint(0)]);
    frame(ATTACH, 0, fields)
}

fn attach_receiver(name: &str, handle: u32) -> Vec<u8> {
    frame(ATTACH, 0, vec![name.into(), uint(handle), true.into()])
}

fn tag(text: &'static str) -> Value {
    Value::Binary(Bytes::from_static(text.as_bytes()))
}

/// A server that accepts everything and grants every sender 5 messages.
struct Victim {
    connection: Connection,
    events: Vec<String>,
    messages: usize,
    sessions: Vec<SessionId>,
    links: Vec<LinkId>,
    /// What the server has sent, taken apart: performative code and fields.
    replies: Vec<(u8, Value)>,
    fed: usize,
}

impl Victim {
    fn new(config: Config) -> Self {
        let connection = Connection::server(config, 0);
        Self {
            connection,
            events: Vec::new(),
            messages: 0,
            sessions: Vec::new(),
            links: Vec::new(),
            replies: Vec::new(),
            fed: 0,
        }
    }

    /// A victim whose connection is open, with a session on channel 0, a link that receives and one that sends.
    fn attached() -> Self {
        Self::attached_with(Config::default())
    }

    fn attached_with(config: Config) -> Self {
        let mut victim = Self::new(config);
        victim.feed(HEADER);
        for bytes in [open(), begin(0), attach_sender("in", 0), attach_receiver("out", 1)] {
            victim.feed(&bytes);
        }
        victim.replies.clear();
        victim.events.clear();
        victim
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.fed += bytes.len();
        let mut input = bytes;
        loop {
            let Some(event) = self.connection.next_event(0, &mut input) else { break };
            match event {
                Event::Message(_) => self.messages += 1,
                Event::Open => self.connection.open(Open::default()),
                Event::Begin(session) => self.sessions.push(session),
                Event::Attach { link, attach } => {
                    self.links.push(link);
                    let answer = Attach { source: Some(Source::default()), target: Some(Target::default()), ..*attach };
                    self.connection.accept_link(link, answer);
                    self.connection.grant(link, 5, false);
                }
                other => self.events.push(format!("{other:?}")),
            }
        }
        self.read_replies();
    }

    fn read_replies(&mut self) {
        while let Some(output) = self.connection.poll_transmit(0) {
            let bytes = output.chunks.concat();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                if rest.starts_with(b"AMQP") {
                    rest = &rest[8..];
                    continue;
                }
                let size = u32::from_be_bytes(rest[..4].try_into().expect("four bytes")) as usize;
                let (value, _) = Value::decode(&rest[8..size]).expect("the server sends what can be decoded");
                let Value::Described(described) = value else { panic!("not a performative") };
                let code = described.descriptor.as_u64().expect("a code");
                self.replies.push((code as u8, described.value));
                rest = &rest[size..];
            }
        }
    }

    /// Condition of the error in the last reply of this kind.
    fn error_in(&self, code: u8) -> Option<String> {
        let at = if code == DETACH { 2 } else { 0 };
        let (_, fields) = self.replies.iter().rev().find(|(reply, _)| *reply == code)?;
        let Value::List(fields) = fields else { return None };
        let Some(Value::Described(error)) = fields.get(at) else { return Some(String::new()) };
        let Value::List(error) = &error.value else { return None };
        error.first()?.as_str().map(str::to_owned)
    }

    /// The connection is closed with this condition.
    fn expect_close(&self, condition: &str) {
        assert_eq!(self.error_in(0x18).as_deref(), Some(condition), "{:?}", self.replies);
        assert!(self.connection.is_finished());
        assert!(self.events.iter().any(|event| event.starts_with("Failed")), "{:?}", self.events);
    }

    /// The session is ended with this condition, and the connection lives.
    fn expect_end(&mut self, condition: &str) {
        assert_eq!(self.error_in(END).as_deref(), Some(condition), "{:?}", self.replies);
        assert_eq!(self.events.iter().filter(|event| event.starts_with("End")).count(), 1, "{:?}", self.events);
        self.expect_alive();
    }

    /// The link is detached with this condition, and the connection lives.
    fn expect_detach(&mut self, condition: &str) {
        assert_eq!(self.error_in(DETACH).as_deref(), Some(condition), "{:?}", self.replies);
        assert_eq!(self.events.iter().filter(|event| event.starts_with("Detach")).count(), 1, "{:?}", self.events);
        self.expect_alive();
    }

    fn expect_alive(&mut self) {
        assert!(!self.connection.is_finished());
        self.replies.clear();
        self.feed(&begin(200));
        assert!(self.replies.iter().any(|(code, _)| *code == BEGIN), "another session can be begun");
    }
}

#[test]
fn headers_that_are_not_ours_get_one_that_is() {
    for header in
        [b"GET / HT", b"AMQP\x00\x00\x09\x01", b"AMQP\x02\x01\x00\x00", b"\0\0\0\0\0\0\0\0", b"AMQP\x03\x01\x00\x01"]
    {
        let mut server = Connection::server(Config::default(), 0);
        let mut input = header.as_slice();
        assert!(matches!(server.next_event(0, &mut input), Some(Event::Failed(_))), "{header:?}");
        let output = server.poll_transmit(0).expect("an answer").chunks.concat();
        assert_eq!(output, b"AMQP\x03\x01\x00\x00");
        assert!(server.is_finished());
        // Nothing that follows is looked at.
        let mut more: &[u8] = &[1; 1000];
        assert_eq!(server.next_event(0, &mut more), None);
        assert!(more.is_empty());
    }
}

#[test]
fn frames_of_impossible_shape_are_framing_errors() {
    let mut cases = vec![
        raw_frame(1, 0, 0, b""),                                     // data offset within the header
        raw_frame(9, 0, 0, b"abcd"),                                 // data offset behind the end
        raw_frame(2, 7, 0, b"abcd"),                                 // unknown type
        raw_frame(2, 1, 0, b"abcd"),                                 // SASL after SASL
        vec![0, 0, 0, 7, 2, 0, 0, 0],                                // smaller than its header
        vec![0xff, 0xff, 0xff, 0xff],                                // larger than we take
        begin(300),                                                  // channel-max is 255
        frame(ATTACH, 0, vec!["x".into(), uint(5000), true.into()]), // handle-max is 1023
    ];
    cases.push((Config::default().max_frame_size + 1).to_be_bytes().to_vec());
    for bytes in cases {
        let mut victim = Victim::attached();
        victim.feed(&bytes);
        victim.expect_close(condition::CONNECTION_FRAMING_ERROR);
    }
}

#[test]
fn bodies_that_cannot_be_decoded_are_decode_errors() {
    let cases: Vec<Vec<u8>> = vec![
        vec![0x40],                               // no performative
        vec![0, 0x53, 0x99, 0x45],                // unknown performative
        vec![0, 0xa3, 3, b'f', b'o', b'o', 0x45], // unknown symbol
        vec![0, 0x53, FLOW, 0xc0, 2, 9, 0x40],    // more fields than bytes
        vec![0, 0x53, FLOW, 0xc0, 200, 1, 0x40],  // size beyond the frame
        vec![0, 0x53, FLOW, 0xd0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0x40],
        vec![0, 0x53, DISPOSITION, 0xc0, 5, 2, 0x41, 0xa1, 1, b'x'], // a string for a number
        vec![0, 0x53, OPEN, 0xc0, 4, 1, 0xa1, 1, 0xff],              // not UTF-8
        [performative(FLOW, vec![Value::Null, uint(1), uint(1), uint(1)]), vec![0]].concat(), // bytes behind a flow
        vec![0; 40],                                                 // descriptors of descriptors
    ];
    for body in cases {
        let mut victim = Victim::attached();
        victim.feed(&raw_frame(2, 0, 0, &body));
        victim.expect_close(condition::DECODE_ERROR);
    }
}

#[test]
fn absent_mandatory_fields_are_invalid() {
    for body in [
        performative(FLOW, vec![]),
        performative(BEGIN, vec![Value::Null, uint(0)]),
        performative(ATTACH, vec!["name".into()]),
        performative(DISPOSITION, vec![true.into()]),
        performative(ATTACH, vec!["no count".into(), uint(7), false.into()]),
        performative(ATTACH, vec!["mode".into(), uint(7), true.into(), Value::Ubyte(9)]),
        performative(TRANSFER, vec![uint(0), uint(0), Value::Binary(Bytes::from(vec![0; 33]))]),
    ] {
        let mut victim = Victim::attached();
        victim.feed(&raw_frame(2, 0, 0, &body));
        victim.expect_close(condition::INVALID_FIELD);
    }
}

#[test]
fn frames_in_the_wrong_state_are_refused() {
    let mut victim = Victim::new(Config::default());
    victim.feed(HEADER);
    victim.feed(&begin(0));
    victim.expect_close(condition::ILLEGAL_STATE);
    assert_eq!(victim.replies[0].0, OPEN, "an open precedes every close");

    let mut victim = Victim::attached();
    victim.feed(&open());
    victim.expect_close(condition::ILLEGAL_STATE);

    for (bytes, condition) in [
        (begin(0), condition::NOT_ALLOWED), // the channel has a session
        (frame(FLOW, 9, vec![Value::Null, uint(1), uint(1), uint(1)]), condition::NOT_ALLOWED), // this one has none
        (frame(END, 9, vec![]), condition::NOT_ALLOWED),
        (frame(BEGIN, 9, vec![Value::Ushort(0), uint(0), uint(1), uint(1)]), condition::NOT_ALLOWED), // answers nothing
    ] {
        let mut victim = Victim::attached();
        victim.feed(&bytes);
        victim.expect_close(condition);
    }
}

#[test]
fn a_tiny_max_frame_size_is_refused() {
    let mut victim = Victim::new(Config::default());
    victim.feed(HEADER);
    victim.feed(&frame(OPEN, 0, vec!["attacker".into(), Value::Null, uint(511)]));
    victim.expect_close(condition::FRAME_SIZE_TOO_SMALL);
}

#[test]
fn session_rules_end_the_session_only() {
    let next = || vec![uint(7), uint(0), tag("t")];
    for (bytes, condition) in [
        (transfer(next(), b"x"), condition::SESSION_UNATTACHED_HANDLE),
        (frame(DETACH, 0, vec![uint(7)]), condition::SESSION_UNATTACHED_HANDLE),
        (frame(FLOW, 0, vec![Value::Null, uint(1), uint(1), uint(1), uint(7)]), condition::SESSION_UNATTACHED_HANDLE),
        (attach_sender("other", 0), condition::SESSION_HANDLE_IN_USE),
        (frame(DISPOSITION, 0, vec![true.into(), uint(9), uint(8)]), condition::INVALID_FIELD),
        (frame(DISPOSITION, 0, vec![true.into(), uint(0), uint(u32::MAX)]), condition::INVALID_FIELD),
        (attach_sender(&"n".repeat(5000), 9), condition::INVALID_FIELD),
    ] {
        let mut victim = Victim::attached();
        victim.feed(&bytes);
        victim.expect_end(condition);
    }
}

#[test]
fn more_transfers_than_the_window_end_the_session() {
    let mut victim = Victim::attached_with(Config { incoming_window: 4, ..Config::default() });
    let more = |id: u32| transfer(vec![uint(0), uint(id), tag("t"), uint(0), false.into(), true.into()], b"x");
    // All in one read, so that no refresh can have reached the sender.
    victim.feed(&[more(0), more(0), more(0), more(0), more(0)].concat());
    victim.expect_end(condition::SESSION_WINDOW_VIOLATION);
}

#[test]
fn link_rules_detach_the_link_only() {
    let whole = |id: u32| transfer(vec![uint(0), uint(id), tag("t")], b"x");
    let part = |id: u32| transfer(vec![uint(0), uint(id), tag("t"), uint(0), false.into(), true.into()], b"x");
    for (bytes, condition) in [
        ((0..6).map(whole).collect::<Vec<_>>(), condition::LINK_TRANSFER_LIMIT_EXCEEDED),
        (vec![transfer(vec![uint(0)], b"x")], condition::INVALID_FIELD),
        (vec![transfer(vec![uint(1), uint(0), tag("t")], b"x")], condition::NOT_ALLOWED),
        (vec![part(0), part(1)], condition::NOT_ALLOWED),
        (vec![whole(5), whole(5)], condition::INVALID_FIELD),
        (vec![whole(5), whole(4)], condition::INVALID_FIELD),
    ] {
        let mut victim = Victim::attached();
        victim.feed(&bytes.concat());
        victim.expect_detach(condition);
    }
}

#[test]
fn messages_beyond_the_limits_cost_their_link() {
    let part = || transfer(vec![uint(0), uint(0), tag("t"), uint(0), false.into(), true.into()], &[0; 1000]);
    let mut config = Config::default();
    config.limits.message_size_max = 4500;
    let mut victim = Victim::attached_with(config.clone());
    (0..5).for_each(|_| victim.feed(&part()));
    victim.expect_detach(condition::LINK_MESSAGE_SIZE_EXCEEDED);

    let mut victim = Victim::attached_with(config.clone());
    victim.feed(&transfer(vec![uint(0), uint(0), tag("t")], &[0; 4501]));
    victim.expect_detach(condition::LINK_MESSAGE_SIZE_EXCEEDED);

    config.limits.assembly_bytes_max = 2500;
    let mut victim = Victim::attached_with(config.clone());
    (0..3).for_each(|_| victim.feed(&part()));
    victim.expect_detach(condition::RESOURCE_LIMIT_EXCEEDED);

    // An aborted delivery gives its budget back, and so does one whose link goes.
    let mut victim = Victim::attached_with(config);
    let aborted = || {
        let mut fields = vec![uint(0), Value::Null, Value::Null, Value::Null, Value::Null, Value::Null];
        fields.extend([Value::Null, Value::Null, Value::Null, true.into()]);
        transfer(fields, b"")
    };
    victim.feed(&[part(), part(), aborted()].concat());
    let again = |id: u32| transfer(vec![uint(0), uint(id), tag("t"), uint(0), false.into(), true.into()], &[0; 1000]);
    victim.feed(&[again(1), again(1), frame(DETACH, 0, vec![uint(0), true.into()]), attach_sender("in", 0)].concat());
    victim.feed(&[again(2), again(2)].concat());
    assert_eq!(victim.messages, 0);
    victim.feed(&transfer(vec![uint(0)], b"end"));
    assert_eq!(victim.messages, 1);
}

#[test]
fn what_follows_an_ended_session_or_a_detached_link_is_passed_over() {
    let whole = |id: u32| transfer(vec![uint(0), uint(id), tag("t")], b"x");
    let mut victim = Victim::attached();
    victim.connection.detach(victim.links[0], true, None);
    victim.feed(&[whole(0), whole(1), frame(DETACH, 0, vec![uint(0), true.into()])].concat());
    assert_eq!(victim.messages, 0);
    assert_eq!(victim.events.len(), 1);
    victim.connection.end(victim.sessions[0], Some(Error::new(condition::INTERNAL_ERROR, "")));
    victim.feed(&[whole(2), attach_sender("late", 5), frame(END, 0, vec![])].concat());
    assert_eq!(victim.messages, 0);
    assert_eq!(victim.events.len(), 2);
    victim.expect_alive();
}

/// A disposition over half of all delivery-ids costs what is unsettled, not what it names.
#[test]
fn a_disposition_over_a_huge_range_is_cheap() {
    let mut victim = Victim::attached();
    victim.feed(&frame(FLOW, 0, vec![Value::Null, uint(100), uint(0), uint(100), uint(1), Value::Null, uint(50)]));
    let link = victim.links[1];
    let mut first = 0;
    for token in 0..3 {
        let body = Bytes::new();
        let delivery = Delivery { token, tag: b"t", settled: false, format: 0, state: None, head: b"", body: &body };
        let id = victim.connection.send(link, delivery).expect("there is credit");
        first = if token == 0 { id } else { first };
    }
    victim.events.clear();
    let accepted = || Value::described(0x24u64, Vec::<Value>::new());
    for _ in 0..1000 {
        let last = first.wrapping_add((1 << 31) - 1);
        victim.feed(&frame(DISPOSITION, 0, vec![true.into(), uint(first), uint(last), true.into(), accepted()]));
        let before = first.wrapping_sub(1 << 30);
        victim.feed(&frame(
            DISPOSITION,
            0,
            vec![false.into(), uint(before), uint(last.wrapping_sub(1 << 30)), true.into()],
        ));
    }
    assert_eq!(victim.events.iter().filter(|event| event.starts_with("Outcome")).count(), 3);
    assert_eq!(victim.events.len(), 3, "nothing was received that the peer could settle");
}

/// A few bytes that claim many elements, or nest deeply, in every place where a value is decoded.
#[test]
fn values_that_claim_more_than_they_are_cost_little() {
    let bombs: Vec<Vec<u8>> = vec![
        vec![0xf0, 0, 0, 0, 5, 0x7f, 0xff, 0xff, 0xff, 0x40], // an array of two thousand million nulls
        vec![0xf0, 0, 0, 0, 5, 0, 1, 0, 0, 0x45],             // of 65536 empty lists
        vec![0xd0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff],       // a list of as many elements
        vec![0xd1, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xfe],       // a map
        vec![0xc1, 2, 1, 0x40],                               // a key without a value
        [[0xc0, 250, 1].repeat(60), vec![0x40; 500]].concat(), // a list in a list in a list
        vec![0xb1, 0xff, 0xff, 0xff, 0xff],                   // a string of 4 GiB
    ];
    for bomb in bombs {
        assert!(Value::decode(&bomb).is_err(), "{bomb:02x?}");
        // As the properties of an open: fields 0 to 8 are given, 9 is the bomb.
        let mut body = vec![0xa1, 1, b'x'];
        body.extend([0x40; 8]);
        body.extend(&bomb);
        let size = u32::try_from(body.len() + 4).expect("small");
        let list = [&[0, 0x53, OPEN, 0xd0][..], &size.to_be_bytes(), &[0, 0, 0, 10], &body].concat();
        let mut victim = Victim::new(Config::default());
        victim.feed(HEADER);
        victim.feed(&raw_frame(2, 0, 0, &list));
        victim.expect_close(condition::DECODE_ERROR);
    }
}

/// Sessions and links begun and ended over and over by a peer that reads nothing.
#[test]
fn answers_that_nobody_reads_are_bounded() {
    let mut server = Connection::server(Config::default(), 0);
    let mut input = [HEADER.to_vec(), open()].concat();
    let mut finished = false;
    for round in 0..2_000_000 {
        let mut bytes = input.as_slice();
        loop {
            match server.next_event(0, &mut bytes) {
                Some(Event::Open) => server.open(Open::default()),
                Some(Event::Failed(error)) => {
                    assert_eq!(error.condition, condition::RESOURCE_LIMIT_EXCEEDED);
                    finished = true;
                }
                Some(_) => {}
                None => break,
            }
        }
        if finished {
            break;
        }
        assert!(server.output_bytes() < 8 << 20, "round {round}");
        input = [begin(0), frame(END, 0, vec![])].concat();
    }
    assert!(finished, "the server has had enough at some time");
}

#[test]
fn input_before_the_application_has_decided_is_bounded() {
    let mut server = Connection::server(Config::default(), 0);
    let mut input = [HEADER.to_vec(), open()].concat();
    input.extend((0..10_000).flat_map(|_| frame(FLOW, 0, vec![Value::Null, uint(1), uint(1), uint(1)])));
    let mut bytes = input.as_slice();
    assert_eq!(server.next_event(0, &mut bytes), Some(Event::Open));
    assert!(matches!(server.next_event(0, &mut bytes), Some(Event::Failed(_))));
}

#[test]
fn frames_before_the_open_are_small() {
    for size in [8193u32, u32::MAX] {
        let mut victim = Victim::new(Config::default());
        victim.feed(HEADER);
        victim.feed(&size.to_be_bytes());
        victim.expect_close(condition::CONNECTION_FRAMING_ERROR);
    }
}

#[test]
fn an_error_too_long_for_the_peers_frames_is_shortened() {
    let mut victim = Victim::new(Config::default());
    victim.feed(HEADER);
    victim.feed(&frame(OPEN, 0, vec!["small".into(), Value::Null, uint(512)]));
    victim.feed(&[begin(0), attach_sender("in", 0)].concat());
    victim.feed(&transfer(vec![uint(0), uint(0), tag("t")], b"x"));
    victim.replies.clear();
    let long = || Error::new(condition::NOT_FOUND, "words ".repeat(200)).with("key", "value ".repeat(200));
    victim.connection.settle(victim.sessions[0], 0, Outcome::Rejected(Some(long())), true);
    victim.connection.detach(victim.links[0], true, Some(long()));
    victim.connection.end(victim.sessions[0], Some(long()));
    victim.connection.close(Some(long()));
    let mut sizes = Vec::new();
    while let Some(output) = victim.connection.poll_transmit(0) {
        let bytes = output.chunks.concat();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let size = u32::from_be_bytes(rest[..4].try_into().expect("four bytes")) as usize;
            sizes.push(size);
            let (value, _) = Value::decode(&rest[8..size]).expect("whole frames");
            assert!(format!("{value:?}").contains(condition::NOT_FOUND));
            rest = &rest[size..];
        }
    }
    assert_eq!(sizes.len(), 4);
    assert!(sizes.iter().all(|size| *size <= 512), "{sizes:?}");
}
