//! Random performatives and message sections, field by field.

use bytes::{Bytes, BytesMut};
use fe2o3_amqp_types::definitions as defined;
use fe2o3_amqp_types::messaging as messages;
use fe2o3_amqp_types::performatives as theirs;
use fe2o3_amqp_types::sasl as their_sasl;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use serde_amqp::primitives::{Array, Binary, OrderedMap, Symbol, Timestamp};
use serde_amqp::serde::{Serialize, de::DeserializeOwned};

use super::values::to_theirs;
use crate::codec::{DecodeError, Fields, Reader};
use crate::message::{self, Body, Header, Properties};
use crate::performative::{
    Attach, Begin, Detach, Disposition, Error, ErrorParts, Flow, Open, Outcome, ReceiverSettleMode, Role, SaslInit,
    SaslOutcome, SenderSettleMode, Source, Target, Transfer, put_close, put_end, put_mechanisms, read_error_field,
    read_mechanisms,
};
use crate::sasl::SaslCode;
use crate::types::Value;

fn written(put: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    put(&mut out);
    out.to_vec()
}

fn fields(bytes: &[u8]) -> Fields<'_> {
    let mut reader = Reader::new(bytes);
    reader.descriptor().expect("a described list");
    let fields = Fields::read(&mut reader).expect("a list");
    assert!(reader.is_empty());
    fields
}

/// What ours writes theirs reads as `expected`, and what theirs writes for it ours reads as `value`.
fn check<T, O>(value: &O, ours: &[u8], expected: &T, read: impl for<'f> Fn(Fields<'f>) -> Result<O, DecodeError>)
where
    T: Serialize + DeserializeOwned + std::fmt::Debug,
    O: PartialEq + std::fmt::Debug,
{
    let decoded: T = serde_amqp::from_slice(ours).expect("theirs reads ours");
    // By their text, because not all of theirs can be compared.
    assert_eq!(format!("{decoded:?}"), format!("{expected:?}"));
    let bytes = serde_amqp::to_vec(expected).expect("theirs writes");
    assert_eq!(&read(fields(&bytes)).expect("ours reads theirs"), value);
    assert_eq!(&read(fields(ours)).expect("ours reads ours"), value);
}

fn symbols() -> impl Strategy<Value = Vec<String>> {
    vec("[a-z:_-]{1,20}", 0..4)
}

fn map() -> impl Strategy<Value = Vec<(Value, Value)>> {
    proptest::collection::btree_map("[a-z-]{1,12}", prop_oneof![Just(Value::Uint(7)), Just(Value::from("words"))], 0..4)
        .prop_map(|map| map.into_iter().map(|(key, value)| (Value::Symbol(key), value)).collect())
}

fn their_symbols(names: &[String]) -> Option<Array<Symbol>> {
    (!names.is_empty()).then(|| Array(names.iter().map(|name| Symbol(name.clone())).collect()))
}

fn their_map(entries: &[(Value, Value)]) -> Option<OrderedMap<Symbol, serde_amqp::Value>> {
    let entry = |(key, value): &(Value, Value)| (Symbol(key.as_str().unwrap_or_default().to_owned()), to_theirs(value));
    (!entries.is_empty()).then(|| entries.iter().map(entry).collect())
}

fn error() -> impl Strategy<Value = Error> {
    (prop_oneof![Just("amqp:not-found"), Just("amqp:link:stolen"), Just("some:thing")], "[a-z ]{0,30}", map())
        .prop_map(|(condition, description, info)| ErrorParts { condition: condition.into(), description, info }.into())
}

fn their_error(error: &Error) -> defined::Error {
    let condition: defined::ErrorCondition =
        serde_amqp::from_value(serde_amqp::Value::Symbol(Symbol(error.condition.to_string()))).expect("a condition");
    let description = (!error.description.is_empty()).then(|| error.description.clone());
    defined::Error { condition, description, info: their_map(&error.info).map(Box::new) }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Accepted),
        Just(Outcome::Released),
        of(error()).prop_map(Outcome::Rejected),
        (any::<bool>(), any::<bool>(), map()).prop_map(|(delivery_failed, undeliverable_here, map)| {
            let annotations = (!map.is_empty()).then_some(Value::Map(map));
            Outcome::Modified { delivery_failed, undeliverable_here, annotations }
        }),
    ]
}

fn state() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => outcome(),
        1 => (any::<u32>(), any::<u64>())
            .prop_map(|(section_number, section_offset)| Outcome::Received { section_number, section_offset }),
    ]
}

fn their_outcome(outcome: &Outcome) -> messages::Outcome {
    match outcome {
        Outcome::Accepted => messages::Outcome::Accepted(messages::Accepted {}),
        Outcome::Released => messages::Outcome::Released(messages::Released {}),
        Outcome::Rejected(error) => {
            messages::Outcome::Rejected(messages::Rejected { error: error.as_ref().map(their_error) })
        }
        Outcome::Modified { delivery_failed, undeliverable_here, annotations } => {
            let entries = if let Some(Value::Map(entries)) = annotations { entries.as_slice() } else { &[] };
            messages::Outcome::Modified(messages::Modified {
                delivery_failed: (*delivery_failed).then_some(true),
                undeliverable_here: (*undeliverable_here).then_some(true),
                message_annotations: their_map(entries),
            })
        }
        other => panic!("{other:?} is no outcome of theirs"),
    }
}

fn their_state(state: &Outcome) -> messages::DeliveryState {
    match state {
        Outcome::Received { section_number, section_offset } => messages::DeliveryState::Received(messages::Received {
            section_number: *section_number,
            section_offset: *section_offset,
        }),
        other => match their_outcome(other) {
            messages::Outcome::Accepted(state) => messages::DeliveryState::Accepted(state),
            messages::Outcome::Released(state) => messages::DeliveryState::Released(state),
            messages::Outcome::Rejected(state) => messages::DeliveryState::Rejected(state),
            messages::Outcome::Modified(state) => messages::DeliveryState::Modified(state),
            #[allow(unreachable_patterns, reason = "theirs has more with its transaction feature")]
            other => panic!("{other:?}"),
        },
    }
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Sender), Just(Role::Receiver)]
}

fn their_role(role: Role) -> defined::Role {
    if role == Role::Receiver { defined::Role::Receiver } else { defined::Role::Sender }
}

fn durable() -> impl Strategy<Value = u32> {
    0..3u32
}

fn their_durable(durable: u32) -> messages::TerminusDurability {
    match durable {
        0 => messages::TerminusDurability::None,
        1 => messages::TerminusDurability::Configuration,
        _ => messages::TerminusDurability::UnsettledState,
    }
}

/// All but the default, session-end, which theirs leaves out.
fn expiry() -> impl Strategy<Value = String> {
    prop_oneof![Just("link-detach"), Just("connection-close"), Just("never")].prop_map(str::to_owned)
}

fn their_expiry(policy: &str) -> messages::TerminusExpiryPolicy {
    match policy {
        "link-detach" => messages::TerminusExpiryPolicy::LinkDetach,
        "connection-close" => messages::TerminusExpiryPolicy::ConnectionClose,
        _ => messages::TerminusExpiryPolicy::Never,
    }
}

fn source() -> impl Strategy<Value = Source> {
    let mode = of(prop_oneof![Just("move".to_owned()), Just("copy".to_owned())]);
    let first = (of("[a-z.]{0,20}"), durable(), expiry(), any::<u32>(), any::<bool>(), map());
    (first, mode, map(), of(outcome()), symbols(), symbols()).prop_map(
        |(
            (address, durable, expiry, timeout_s, dynamic, nodes),
            mode,
            filter,
            default_outcome,
            outcomes,
            capabilities,
        )| Source {
            address,
            durable,
            expiry_policy: Some(expiry),
            timeout_s,
            dynamic,
            dynamic_node_properties: nodes,
            distribution_mode: mode,
            filter,
            default_outcome,
            outcomes,
            capabilities,
        },
    )
}

fn their_source(source: &Source) -> messages::Source {
    messages::Source {
        address: source.address.clone(),
        durable: their_durable(source.durable),
        expiry_policy: their_expiry(source.expiry_policy.as_deref().unwrap_or_default()),
        timeout: source.timeout_s,
        dynamic: source.dynamic,
        dynamic_node_properties: their_map(&source.dynamic_node_properties),
        distribution_mode: source.distribution_mode.as_deref().map(|mode| match mode {
            "move" => messages::DistributionMode::Move,
            _ => messages::DistributionMode::Copy,
        }),
        filter: their_map(&source.filter),
        default_outcome: source.default_outcome.as_ref().map(their_outcome),
        outcomes: their_symbols(&source.outcomes),
        capabilities: their_symbols(&source.capabilities),
    }
}

fn target() -> impl Strategy<Value = Target> {
    (of("[a-z.]{0,20}"), durable(), expiry(), any::<u32>(), any::<bool>(), map(), symbols()).prop_map(
        |(address, durable, expiry, timeout_s, dynamic, dynamic_node_properties, capabilities)| Target {
            coordinator: false,
            address,
            durable,
            expiry_policy: Some(expiry),
            timeout_s,
            dynamic,
            dynamic_node_properties,
            capabilities,
        },
    )
}

fn their_target(target: &Target) -> messages::TargetArchetype {
    messages::TargetArchetype::Target(messages::Target {
        address: target.address.clone(),
        durable: their_durable(target.durable),
        expiry_policy: their_expiry(target.expiry_policy.as_deref().unwrap_or_default()),
        timeout: target.timeout_s,
        dynamic: target.dynamic,
        dynamic_node_properties: their_map(&target.dynamic_node_properties),
        capabilities: their_symbols(&target.capabilities),
    })
}

fn attach() -> impl Strategy<Value = Attach> {
    let modes = (
        prop_oneof![Just(SenderSettleMode::Unsettled), Just(SenderSettleMode::Settled), Just(SenderSettleMode::Mixed)],
        prop_oneof![Just(ReceiverSettleMode::First), Just(ReceiverSettleMode::Second)],
    );
    let sizes = (any::<u32>(), of(1..u64::MAX));
    ("[a-z]{0,30}", role(), modes, of(source()), of(target()), sizes, symbols(), symbols(), map()).prop_map(
        |(name, role, (snd, rcv), source, target, (count, size), offered, desired, properties)| Attach {
            name,
            role,
            snd_settle_mode: snd,
            rcv_settle_mode: rcv,
            source,
            target,
            initial_delivery_count: (role == Role::Sender).then_some(count),
            max_message_size: size,
            offered_capabilities: offered,
            desired_capabilities: desired,
            properties,
        },
    )
}

fn their_attach(handle: u32, attach: &Attach) -> theirs::Attach {
    theirs::Attach {
        name: attach.name.clone(),
        handle: handle.into(),
        role: their_role(attach.role),
        snd_settle_mode: match attach.snd_settle_mode {
            SenderSettleMode::Unsettled => defined::SenderSettleMode::Unsettled,
            SenderSettleMode::Settled => defined::SenderSettleMode::Settled,
            SenderSettleMode::Mixed => defined::SenderSettleMode::Mixed,
        },
        rcv_settle_mode: match attach.rcv_settle_mode {
            ReceiverSettleMode::First => defined::ReceiverSettleMode::First,
            ReceiverSettleMode::Second => defined::ReceiverSettleMode::Second,
        },
        source: attach.source.as_ref().map(|source| Box::new(their_source(source))),
        target: attach.target.as_ref().map(|target| Box::new(their_target(target))),
        unsettled: None,
        incomplete_unsettled: false,
        initial_delivery_count: attach.initial_delivery_count,
        max_message_size: attach.max_message_size,
        offered_capabilities: their_symbols(&attach.offered_capabilities),
        desired_capabilities: their_symbols(&attach.desired_capabilities),
        properties: their_map(&attach.properties),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn open(
        names in ("[a-z]{0,20}", of("[a-z.]{0,300}")),
        numbers in (any::<u32>(), any::<u16>(), of(1..u32::MAX)),
        offered in symbols(), desired in symbols(), properties in map(),
    ) {
        let open = Open {
            container_id: names.0.clone(), hostname: names.1.clone(), max_frame_size: numbers.0, channel_max: numbers.1,
            idle_timeout_ms: numbers.2, offered_capabilities: offered.clone(), desired_capabilities: desired.clone(),
            properties: properties.clone(),
        };
        let expected = theirs::Open {
            container_id: names.0, hostname: names.1, max_frame_size: numbers.0.into(), channel_max: numbers.1.into(),
            idle_time_out: numbers.2, outgoing_locales: None, incoming_locales: None,
            offered_capabilities: their_symbols(&offered), desired_capabilities: their_symbols(&desired),
            properties: their_map(&properties),
        };
        check(&open, &written(|out| open.put(out)), &expected, Open::read);
    }

    #[test]
    fn begin(remote_channel in of(any::<u16>()), numbers in any::<[u32; 4]>()) {
        let [next_outgoing_id, incoming_window, outgoing_window, handle_max] = numbers;
        let begin = Begin { remote_channel, next_outgoing_id, incoming_window, outgoing_window, handle_max };
        let expected = theirs::Begin {
            remote_channel, next_outgoing_id, incoming_window, outgoing_window, handle_max: handle_max.into(),
            offered_capabilities: None, desired_capabilities: None, properties: None,
        };
        check(&begin, &written(|out| begin.put(out)), &expected, Begin::read);
    }

    #[test]
    fn attach_performative(handle in any::<u32>(), attach in attach()) {
        let expected = their_attach(handle, &attach);
        check(&(handle, attach.clone()), &written(|out| attach.put(out, handle)), &expected, Attach::read);
    }

    #[test]
    fn flow(
        session in any::<[u32; 3]>(), next_incoming_id in of(any::<u32>()),
        link in any::<[Option<u32>; 4]>(), drain in any::<bool>(), echo in any::<bool>(),
    ) {
        let [incoming_window, next_outgoing_id, outgoing_window] = session;
        let [handle, delivery_count, link_credit, available] = link;
        let flow = Flow {
            next_incoming_id, incoming_window, next_outgoing_id, outgoing_window, handle, delivery_count, link_credit,
            available, drain, echo,
        };
        let expected = theirs::Flow {
            next_incoming_id, incoming_window, next_outgoing_id, outgoing_window, handle: handle.map(Into::into),
            delivery_count, link_credit, available, drain, echo, properties: None,
        };
        check(&flow, &written(|out| flow.put(out)), &expected, Flow::read);
    }

    #[test]
    fn transfer(
        handle in prop_oneof![any::<u32>(), 0..3u32], numbers in any::<[Option<u32>; 2]>(), tag in of(vec(any::<u8>(), 0..33)),
        settled in of(any::<bool>()), flags in any::<[bool; 2]>(), state in of(state()),
    ) {
        let [more, aborted] = flags;
        let transfer = Transfer {
            handle, delivery_id: numbers[0], tag: tag.as_deref(), format: numbers[1], settled, more, state: state.clone().map(Box::new), aborted,
        };
        let expected = theirs::Transfer {
            handle: handle.into(), delivery_id: numbers[0], delivery_tag: tag.clone().map(Into::into), message_format: numbers[1],
            settled, more, rcv_settle_mode: None, state: state.as_ref().map(their_state), resume: false, aborted, batchable: false,
        };
        let ours = written(|out| transfer.put(out));
        let decoded: theirs::Transfer = serde_amqp::from_slice(&ours).expect("theirs reads ours");
        // The template of the common case writes the defaults of format and settled in full.
        let plain = state.is_none() && !aborted && numbers[0].is_some() && tag.is_some();
        let filled = |expected: theirs::Transfer| theirs::Transfer {
            message_format: expected.message_format.or(plain.then_some(0)),
            settled: expected.settled.or(plain.then_some(false)),
            ..expected
        };
        prop_assert_eq!(decoded, filled(expected.clone()));
        let bytes = serde_amqp::to_vec(&expected).expect("theirs writes");
        let mut again = Transfer::default();
        again.read(fields(&bytes)).expect("ours reads theirs");
        prop_assert_eq!(again, transfer);
    }

    #[test]
    fn disposition(role in role(), first in any::<u32>(), more in 0..1000u32, settled in any::<bool>(), state in of(state())) {
        let last = first.wrapping_add(more);
        let disposition = Disposition { role, first, last, settled, state: state.clone() };
        let expected = theirs::Disposition {
            role: their_role(role), first, last: (last != first).then_some(last), settled,
            state: state.as_ref().map(their_state), batchable: false,
        };
        check(&disposition, &written(|out| disposition.put(out)), &expected, Disposition::read);
    }

    #[test]
    fn endings(handle in any::<u32>(), closed in any::<bool>(), error in of(error())) {
        let their_error = error.as_ref().map(their_error);
        let detach = Detach { handle, closed, error: error.clone() };
        let expected = theirs::Detach { handle: handle.into(), closed, error: their_error.clone() };
        check(&detach, &written(|out| detach.put(out)), &expected, Detach::read);
        let expected = theirs::End { error: their_error.clone() };
        check(&error, &written(|out| put_end(out, error.as_ref())), &expected, read_error_field);
        let expected = theirs::Close { error: their_error };
        check(&error, &written(|out| put_close(out, error.as_ref())), &expected, read_error_field);
    }

    #[test]
    fn sasl(mechanism in "[A-Z-]{1,20}", response in of(vec(any::<u8>(), 0..300)), hostname in of("[a-z.]{0,30}"), more in symbols()) {
        let init = SaslInit { mechanism: &mechanism, response: response.as_deref(), hostname: hostname.as_deref() };
        let expected = their_sasl::SaslInit {
            mechanism: Symbol(mechanism.clone()), initial_response: response.clone().map(Binary::from), hostname: hostname.clone(),
        };
        let ours = written(|out| init.put(out));
        let decoded: their_sasl::SaslInit = serde_amqp::from_slice(&ours).expect("theirs reads ours");
        prop_assert_eq!(
            (decoded.mechanism, decoded.initial_response, decoded.hostname),
            (expected.mechanism.clone(), expected.initial_response.clone(), expected.hostname.clone())
        );
        let bytes = serde_amqp::to_vec(&expected).expect("theirs writes");
        prop_assert_eq!(SaslInit::read(fields(&bytes)).expect("ours reads theirs"), init);

        let mechanisms = [vec![mechanism], more].concat();
        let expected = their_sasl::SaslMechanisms {
            sasl_server_mechanisms: Array(mechanisms.iter().map(|name| Symbol(name.clone())).collect()),
        };
        check(&mechanisms, &written(|out| put_mechanisms(out, &mechanisms)), &expected, read_mechanisms);
    }

    #[test]
    fn header_section(flags in any::<[bool; 2]>(), priority in any::<u8>(), ttl_ms in of(any::<u32>()), delivery_count in any::<u32>()) {
        let [durable, first_acquirer] = flags;
        let header = Header { durable, priority, ttl_ms, first_acquirer, delivery_count };
        let expected = messages::Header {
            durable, priority: messages::Priority(priority), ttl: ttl_ms, first_acquirer, delivery_count,
        };
        let ours = written(|out| header.encode(out));
        prop_assert!(ours.len() <= 25);
        prop_assert_eq!(&serde_amqp::from_slice::<messages::Header>(&ours).expect("theirs reads ours"), &expected);
        let bytes = serde_amqp::to_vec(&expected).expect("theirs writes");
        let sections = message::scan(&bytes).expect("a header alone");
        prop_assert_eq!((sections.header, sections.bare_offset), (header, bytes.len()));
    }

    #[test]
    fn a_whole_message(
        ids in (0..4usize, any::<u64>(), any::<[u8; 16]>(), "[a-z]{0,20}"),
        texts in any::<[bool; 8]>(), times in any::<[Option<i64>; 2]>(), sequence in of(any::<u32>()),
        body in vec(any::<u8>(), 0..300),
    ) {
        let (kind, number, uuid, text) = ids;
        let (id, their_id) = match kind {
            0 => (Value::Ulong(number), messages::MessageId::Ulong(number)),
            1 => (Value::Uuid(uuid), messages::MessageId::Uuid(uuid.into())),
            2 => (Value::Binary(Bytes::from(text.clone())), messages::MessageId::Binary(Binary::from(text.clone().into_bytes()))),
            _ => (Value::String(text.clone()), messages::MessageId::String(text.clone())),
        };
        let some = |at: usize, words: &str| texts[at].then(|| words.to_owned());
        let properties = Properties {
            message_id: Some(id.clone()), user_id: some(0, "user").map(Bytes::from), to: some(1, "to"),
            subject: some(2, "subject"), reply_to: some(3, "reply"), correlation_id: texts[4].then_some(id),
            content_type: some(5, "text/plain"), content_encoding: some(6, "gzip"), absolute_expiry_time_ms: times[0],
            creation_time_ms: times[1], group_id: some(7, "group"), group_sequence: sequence, reply_to_group_id: some(0, "other"),
        };
        let expected = messages::Properties {
            message_id: Some(their_id.clone()), user_id: some(0, "user").map(|user| Binary::from(user.into_bytes())), to: some(1, "to"),
            subject: some(2, "subject"), reply_to: some(3, "reply"), correlation_id: texts[4].then_some(their_id),
            content_type: some(5, "text/plain").map(Symbol), content_encoding: some(6, "gzip").map(Symbol),
            absolute_expiry_time: times[0].map(Timestamp::from_milliseconds), creation_time: times[1].map(Timestamp::from_milliseconds),
            group_id: some(7, "group"), group_sequence: sequence, reply_to_group_id: some(0, "other"),
        };
        let application = [("key".to_owned(), Value::Int(-5)), ("other".to_owned(), Value::from("words"))];
        let header = Header { durable: true, ..Header::default() };
        let ours = message::encode(header, &properties, &application, Body::Data(&body));

        let decoded: messages::message::__private::Deserializable<messages::Message<messages::Body<serde_amqp::Value>>> =
            serde_amqp::from_slice(&ours).expect("theirs reads ours");
        let decoded = decoded.0;
        prop_assert_eq!(decoded.properties.as_ref(), Some(&expected));
        prop_assert!(decoded.header.as_ref().is_some_and(|header| header.durable));
        prop_assert_eq!(decoded.application_properties.as_ref().map(|properties| properties.0.len()), Some(2));

        let bytes = serde_amqp::to_vec(&messages::message::__private::Serializable(decoded)).expect("theirs writes");
        for payload in [&ours[..], &bytes] {
            let sections = message::scan(payload).expect("a message");
            prop_assert_eq!(sections.header, header);
            prop_assert_eq!(&sections.properties(payload).expect("properties"), &properties);
            prop_assert_eq!(&sections.message_id(payload).expect("an id"), &properties.message_id);
            prop_assert_eq!(&sections.application_properties(payload).expect("application properties")[..], &application[..]);
            prop_assert_eq!(sections.data(payload), Some(&body[..]));
        }
    }
}

#[test]
fn sasl_outcomes() {
    for (ours, theirs) in [
        (SaslCode::Ok, their_sasl::SaslCode::Ok),
        (SaslCode::Auth, their_sasl::SaslCode::Auth),
        (SaslCode::Sys, their_sasl::SaslCode::Sys),
        (SaslCode::SysPerm, their_sasl::SaslCode::SysPerm),
        (SaslCode::SysTemp, their_sasl::SaslCode::SysTemp),
    ] {
        let outcome = SaslOutcome { code: ours };
        let expected = their_sasl::SaslOutcome { code: theirs, additional_data: None };
        check(&outcome, &written(|out| outcome.put(out)), &expected, SaslOutcome::read);
    }
}
