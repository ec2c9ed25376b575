//! Byte vectors: examples of the specification, and whole conversations written out by hand from its tables.

use amqp::message::{self, Body, BodyKind, Header, Properties};
use amqp::{
    Array, Attach, ClientSasl, Config, Connection, Delivery, Error, Event, Open, Outcome, ReceiverSettleMode, Role,
    SenderSettleMode, Source, Target, Value,
};
use bytes::{Bytes, BytesMut};

/// Bytes from text: hexadecimal numbers; ASCII in quotes, with underscores for blanks; and sizes that are filled in:
/// `{ }` a frame, `( )` a size of one byte, `< >` a size of four bytes. Other vectors give their sizes in numbers.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut open = Vec::new();
    for word in text.split_whitespace() {
        match word {
            "{" | "<" | "(" => {
                open.push(bytes.len());
                bytes.resize(bytes.len() + if word == "(" { 1 } else { 4 }, 0);
            }
            "}" | ">" | ")" => {
                let start = open.pop().expect("an opening bracket");
                let size = u32::try_from(bytes.len() - start).expect("small");
                match word {
                    "}" => bytes[start..start + 4].copy_from_slice(&size.to_be_bytes()),
                    ">" => bytes[start..start + 4].copy_from_slice(&(size - 4).to_be_bytes()),
                    _ => bytes[start] = u8::try_from(size - 1).expect("a size of one byte"),
                }
            }
            _ if word.starts_with('\'') => {
                bytes.extend_from_slice(word.trim_matches('\'').replace('_', " ").as_bytes())
            }
            _ => bytes.extend(
                (0..word.len()).step_by(2).map(|at| u8::from_str_radix(&word[at..at + 2], 16).expect("hexadecimal")),
            ),
        }
    }
    assert!(open.is_empty(), "every bracket is closed");
    bytes
}

fn check(value: &Value, text: &str) {
    let expected = bytes(text);
    let mut out = BytesMut::new();
    value.encode(&mut out);
    assert_eq!(out, expected, "{value:?}");
    check_decode(value, text);
}

fn check_decode(value: &Value, text: &str) {
    let input = bytes(text);
    assert_eq!(Value::decode(&input), Ok((value.clone(), &[][..])), "{text}");
}

#[test]
fn primitives_in_their_shortest_encoding() {
    check(&Value::Null, "40");
    check(&true.into(), "41");
    check(&false.into(), "42");
    check(&0u32.into(), "43");
    check(&0u64.into(), "44");
    check(&Value::List(vec![]), "45");
    check(&7u8.into(), "50 07");
    check(&(-1i8).into(), "51 ff");
    check(&255u32.into(), "52 ff");
    check(&16u64.into(), "53 10");
    check(&(-2i32).into(), "54 fe");
    check(&(-128i64).into(), "55 80");
    check(&0x1234u16.into(), "60 1234");
    check(&(-2i16).into(), "61 fffe");
    check(&256u32.into(), "70 00000100");
    check(&(-129i32).into(), "71 ffffff7f");
    check(&1.5f32.into(), "72 3fc00000");
    check(&Value::Char('Z'), "73 0000005a");
    check(&Value::Decimal32([1, 2, 3, 4]), "74 01020304");
    check(&u64::MAX.into(), "80 ffffffffffffffff");
    check(&i64::MIN.into(), "81 8000000000000000");
    check(&(-2.0f64).into(), "82 c000000000000000");
    check(&Value::Timestamp(1_311_704_463_521), "83 0000013167adb8a1");
    check(&Value::Decimal64([9; 8]), "84 0909090909090909");
    check(&Value::Decimal128([8; 16]), "94 0808080808080808 0808080808080808");
    check(&Value::Uuid([7; 16]), "98 0707070707070707 0707070707070707");
    check(&Value::Binary(Bytes::from_static(b"abc")), "a0 03 'abc'");
    check(&"abc".into(), "a1 03 'abc'");
    check(&Value::symbol("abc"), "a3 03 'abc'");
}

#[test]
fn every_other_encoding_is_read() {
    check_decode(&true.into(), "56 01");
    check_decode(&false.into(), "56 00");
    check_decode(&5u32.into(), "70 00000005");
    check_decode(&5u64.into(), "80 0000000000000005");
    check_decode(&5i32.into(), "71 00000005");
    check_decode(&5i64.into(), "81 0000000000000005");
    check_decode(&"abc".into(), "b1 00000003 'abc'");
    check_decode(&Value::symbol("abc"), "b3 00000003 'abc'");
    check_decode(&Value::Binary(Bytes::from_static(b"abc")), "b0 00000003 'abc'");
    check_decode(&Value::List(vec![]), "c0 01 00");
    check_decode(&Value::List(vec![]), "d0 00000004 00000000");
    check_decode(&Value::List(vec![true.into()]), "d0 00000005 00000001 41");
    check_decode(&Value::Map(vec![("a".into(), Value::Null)]), "d1 00000008 00000002 a1 01 'a' 40");
    check_decode(&Value::Array(Array::symbols(&["a", "bc"])), "f0 0000000a 00000002 a3 01 'a' 02 'bc'");
}

#[test]
fn size_and_count_change_to_four_bytes_at_256() {
    let list = |count: usize| Value::List(vec![true.into(); count]);
    check(&list(254), &format!("c0 ff fe {}", "41".repeat(254)));
    check(&list(255), &format!("d0 00000103 000000ff {}", "41".repeat(255)));
    let text = "x".repeat(255);
    check(&text.as_str().into(), &format!("a1 ff '{text}'"));
    let text = "x".repeat(256);
    check(&text.as_str().into(), &format!("b1 00000100 '{text}'"));
}

/// Figures of core specification 1.2: a described URL, and the composite "book".
#[test]
fn examples_of_the_specification() {
    let url = Value::described("URL", "http://example.org/hello-world");
    check(&url, "00 a1 03 'URL' a1 1e 'http://example.org/hello-world'");
    let authors = Array::new(vec!["Rob J. Godfrey".into(), "Rafael H. Schloming".into()]).expect("strings");
    let fields = vec!["AMQP for & by Dummies".into(), Value::Array(authors), Value::Null];
    let book = Value::described(Value::symbol("example:book:list"), fields);
    check_decode(
        &book,
        "00 a3 11 'example:book:list' c0 40 03 a1 15 'AMQP_for_&_by_Dummies' e0 25 02 a1 0e 'Rob_J._Godfrey' 13 'Rafael_H._Schloming' 40",
    );
}

#[test]
fn arrays_share_one_constructor() {
    check(&Value::Array(Array::new(vec![1u32.into(), 2u32.into()]).expect("uints")), "e0 0a 02 70 00000001 00000002");
    check(&Value::Array(Array::new(vec![true.into(), false.into()]).expect("booleans")), "e0 04 02 56 01 00");
    let described = Array::new(vec![Value::described(9u64, 1u8), Value::described(9u64, 2u8)]).expect("one descriptor");
    check(&Value::Array(described), "e0 07 02 00 53 09 50 01 02");
    assert!(Array::new(vec![1u32.into(), 1u64.into()]).is_err());
    assert!(Array::new(vec![Value::described(9u64, 1u8), Value::described(8u64, 2u8)]).is_err());
}

#[test]
fn header_sections() {
    let encoded = |header: Header| {
        let mut out = BytesMut::new();
        header.encode(&mut out);
        out
    };
    assert_eq!(encoded(Header::default()), bytes("00 53 70 45"));
    assert_eq!(encoded(Header { durable: true, ..Header::default() }), bytes("00 53 70 c0 02 01 41"));
    let redelivered =
        Header { durable: true, priority: 9, ttl_ms: Some(1000), first_acquirer: false, delivery_count: 2 };
    assert_eq!(encoded(redelivered), bytes("00 53 70 c0 0c 05 41 50 09 70 000003e8 40 52 02"));
    let largest =
        Header { durable: true, priority: 255, ttl_ms: Some(u32::MAX), first_acquirer: true, delivery_count: u32::MAX };
    assert_eq!(encoded(largest).len(), 20);
}

#[test]
fn a_message_and_its_sections() {
    let properties = Properties { message_id: Some("id".into()), to: Some("q".into()), ..Properties::default() };
    let header = Header { durable: true, ..Header::default() };
    let application = [("n".to_owned(), Value::Int(5))];
    let message = message::encode(header, &properties, &application, Body::Data(b"body"));
    let expected = "00 53 70 c0 02 01 41 \
         00 53 73 c0 09 03 a1 02 'id' 40 a1 01 'q' \
         00 53 74 c1 06 02 a1 01 'n' 54 05 \
         00 53 75 a0 04 'body'";
    assert_eq!(message, bytes(expected));
    let sections = message::scan(&message).expect("a message");
    assert_eq!(sections.bare_offset, 7);
    assert_eq!(sections.properties.map(|span| span.range()), Some(7..21));
    assert_eq!(sections.body.kind, BodyKind::Data);
    assert_eq!(sections.data(&message), Some(&b"body"[..]));
    assert_eq!(sections.message_id(&message), Ok(Some("id".into())));
    // What is forwarded behind a rewritten header is what came.
    let mut again = BytesMut::new();
    Header { delivery_count: 1, ..header }.encode(&mut again);
    again.extend_from_slice(&message[sections.bare_offset..]);
    let second = message::scan(&again).expect("a message");
    assert_eq!((second.header.delivery_count, second.header.durable), (1, true));
    assert_eq!(second.data(&again), Some(&b"body"[..]));
}

#[test]
fn sections_out_of_order_are_refused() {
    let [header, annotations, properties, data] = ["00 53 70 45", "00 53 72 c1 01 00", "00 53 73 45", "00 53 75 a0 00"];
    let [sequence, value, footer] = ["00 53 76 45", "00 53 77 40", "00 53 78 c1 01 00"];
    let good: [&[&str]; 8] = [
        &[],
        &[value],
        &[header, data],
        &[header, annotations, properties, data, data, data, footer],
        &[sequence, sequence],
        &[properties, value, footer],
        &["00 80 0000000000000075 a0 00"],
        &["00 a3 10 'amqp:data:binary' a0 00"],
    ];
    for sections in good {
        assert!(message::scan(&bytes(&sections.join(" "))).is_ok(), "{sections:?}");
    }
    let bad: [&[&str]; 10] = [
        &[data, header],
        &[header, header],
        &[properties, annotations, data],
        &[value, value],
        &[data, value],
        &[data, sequence],
        &[footer, data],
        &["00 53 75 a1 00"],
        &["00 53 73 c1 01 00"],
        &["00 53 24 45"],
    ];
    for sections in bad {
        assert!(message::scan(&bytes(&sections.join(" "))).is_err(), "{sections:?}");
    }
}

fn sent(connection: &mut Connection) -> Vec<u8> {
    let mut sent = Vec::new();
    while let Some(output) = connection.poll_transmit(0) {
        sent.extend(output.chunks.concat());
    }
    sent
}

/// A client's conversation with a server, byte for byte as the specification's tables give it.
#[test]
fn a_conversation_of_a_client() {
    let config = Config {
        container_id: "c".into(),
        max_frame_size: 65_536,
        idle_timeout_ms: 0,
        incoming_window: 100,
        ..Config::default()
    };
    let sasl = ClientSasl::Plain { user: "u".into(), password: "p".into() };
    let mut client = Connection::client(config, Some(sasl), 0);
    client.open(Open::default());
    assert_eq!(sent(&mut client), bytes("'AMQP' 03 01 00 00"));

    // Mechanisms may be one symbol instead of an array.
    assert_eq!(events(&mut client, "'AMQP' 03 01 00 00 00000015 02 01 0000 00 53 40 c0 08 01 a3 05 'PLAIN'"), [""; 0]);
    assert_eq!(sent(&mut client), bytes("0000001b 02 01 0000 00 53 41 c0 0e 02 a3 05 'PLAIN' a0 04 00 'u' 00 'p'"));

    assert_eq!(
        events(&mut client, "00000010 02 01 0000 00 53 44 c0 03 01 50 00 'AMQP' 00 01 00 00"),
        ["SaslOutcome(Ok)"]
    );
    let open = "0000001a 02 00 0000 00 53 10 c0 0d 04 a1 01 'c' 40 70 00010000 60 00ff";
    assert_eq!(sent(&mut client), bytes(&format!("'AMQP' 00 01 00 00 {open}")));

    let session = client.begin();
    let attach = Attach {
        name: "l".into(),
        role: Role::Sender,
        snd_settle_mode: SenderSettleMode::Unsettled,
        rcv_settle_mode: ReceiverSettleMode::First,
        source: Some(Source::default()),
        target: Some(Target::at("q")),
        ..Attach::default()
    };
    let link = client.attach(session, attach);
    let begin = "{ 02 00 0000 00 53 11 c0 ( 05 40 70 fffffffc 52 64 70 7fffffff 70 000003ff ) }";
    let attach = "{ 02 00 0000 00 53 12 c0 ( 0a a1 01 'l' 43 42 50 00 50 00 00 53 28 45 \
         00 53 29 c0 ( 01 a1 01 'q' ) 40 40 70 fffffffb ) }";
    assert_eq!(sent(&mut client), bytes(&format!("{begin} {attach}")));

    // open, begin, attach and flow of a server whose channel is 7 and whose handle is 300.
    let server = "{ 02 00 0000 00 53 10 c0 ( 01 a1 04 'serv' ) } \
         { 02 00 0007 00 53 11 c0 ( 04 60 0000 43 52 64 70 00000064 ) } \
         { 02 00 0007 00 53 12 c0 ( 03 a1 01 'l' 70 0000012c 41 ) } \
         { 02 00 0007 00 53 13 c0 ( 07 70 fffffffc 52 64 43 52 64 70 0000012c 70 fffffffb 52 0a ) }";
    let seen = events(&mut client, server);
    let kinds: Vec<&str> = seen.iter().filter_map(|event| event.split([' ', '(']).next()).collect();
    assert_eq!(kinds, ["Open", "Begun", "Attached", "Flow"]);
    assert_eq!(client.link_credit(link), 10);

    let head = bytes("00 53 75 a0 02");
    let body = Bytes::from_static(b"hi");
    let delivery = Delivery { token: 1, tag: b"t", settled: false, format: 0, state: None, head: &head, body: &body };
    assert_eq!(client.send(link, delivery), Ok(0));
    let transfer = "00000020 02 00 0000 00 53 14 c0 0c 05 43 70 00000000 a0 01 't' 43 42 00 53 75 a0 02 'hi'";
    assert_eq!(sent(&mut client), bytes(transfer));

    let disposition = bytes("{ 02 00 0007 00 53 15 c0 ( 05 41 70 00000000 40 41 00 53 24 45 ) }");
    let outcome = Event::Outcome { link, delivery_id: 0, token: 1, outcome: Some(Outcome::Accepted), settled: true };
    assert_eq!(client.next_event(0, &mut &disposition[..]), Some(outcome));

    client.detach(link, true, None);
    client.end(session, None);
    client.close(Some(Error::new("amqp:internal-error", "x")));
    let expected = "00000010 02 00 0000 00 53 16 c0 03 02 43 41 \
         0000000c 02 00 0000 00 53 17 45 \
         { 02 00 0000 00 53 18 c0 ( 01 00 53 1d c0 ( 02 a3 13 'amqp:internal-error' a1 01 'x' ) ) }";
    assert_eq!(sent(&mut client), bytes(expected));
}

/// Everything that a connection reports for these bytes.
fn events(connection: &mut Connection, text: &str) -> Vec<String> {
    let stream = bytes(text);
    let mut input = &stream[..];
    let mut events = Vec::new();
    while let Some(event) = connection.next_event(0, &mut input) {
        events.push(format!("{event:?}"));
    }
    events
}

/// Every field of a source in some other encoding than ours, a coordinator, and symbolic descriptors.
#[test]
fn an_attach_in_long_encodings_is_read() {
    let mut server = Connection::server(Config::default(), 0);
    let open = "'AMQP' 00 01 00 00 { 02 00 0000 00 53 10 c0 ( 01 a1 01 'c' ) }";
    assert_eq!(events(&mut server, open), ["Open"]);
    server.open(Open::default());
    assert_eq!(
        events(&mut server, "{ 02 00 0000 00 53 11 c0 ( 04 40 43 43 43 ) }"),
        ["Begin(SessionId { channel: 0, serial: 1 })"]
    );
    let source = "00 80 0000000000000028 d0 < 0000000b b1 00000001 'q' 70 00000002 a3 05 'never' 43 56 01 \
         c1 01 00 a3 04 'copy' 40 00 53 26 45 e0 ( 01 a3 12 'amqp:accepted:list' ) a3 05 'queue' >";
    let target = "00 53 30 c0 ( 01 a3 17 'amqp:local-transactions' )";
    let attach = format!(
        "{{ 03 00 0000 deadbeef 00 a3 10 'amqp:attach:list' d0 < 0000000a a1 01 'l' 52 05 56 00 50 01 50 00 {source} {target} \
         c1 01 00 42 52 09 > }}"
    );
    let stream = bytes(&attach);
    let Some(Event::Attach { link, attach }) = server.next_event(0, &mut &stream[..]) else { panic!("no attach") };
    assert_eq!((link.session.channel(), link.handle), (0, 0));
    assert_eq!((attach.snd_settle_mode, attach.initial_delivery_count), (SenderSettleMode::Settled, Some(9)));
    let expected = Source {
        address: Some("q".into()),
        durable: 2,
        expiry_policy: Some("never".into()),
        dynamic: true,
        distribution_mode: Some("copy".into()),
        default_outcome: Some(Outcome::Released),
        outcomes: vec!["amqp:accepted:list".into()],
        capabilities: vec!["queue".into()],
        ..Source::default()
    };
    assert_eq!(attach.source, Some(expected));
    let coordinator =
        Target { coordinator: true, capabilities: vec!["amqp:local-transactions".into()], ..Target::default() };
    assert_eq!(attach.target, Some(coordinator));
}

/// A selector as Qpid JMS sends it: the filter is a described value under a key that the client chose.
#[test]
fn a_selector_is_read() {
    let filter = "c1 ( 02 a3 0c 'jms-selector' 00 80 0000468c00000004 a1 05 'x_>_1' )";
    let (value, _) = Value::decode(&bytes(filter)).map(|(value, rest)| (value, rest.len())).expect("a map");
    let expected = Value::described(0x0000_468c_0000_0004u64, "x > 1");
    assert_eq!(value.get("jms-selector"), Some(&expected));
}
