//! Random values of every type.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_amqp::Value as Theirs;
use serde_amqp::described::Described as TheirDescribed;
use serde_amqp::descriptor::Descriptor;
use serde_amqp::primitives as theirs;

use crate::types::{Array, Described, Value};

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u8>().prop_map(Value::Ubyte),
        any::<u16>().prop_map(Value::Ushort),
        prop_oneof![any::<u32>(), 0..300u32].prop_map(Value::Uint),
        prop_oneof![any::<u64>(), 0..300u64].prop_map(Value::Ulong),
        any::<i8>().prop_map(Value::Byte),
        any::<i16>().prop_map(Value::Short),
        prop_oneof![any::<i32>(), -200..200i32].prop_map(Value::Int),
        prop_oneof![any::<i64>(), -200..200i64].prop_map(Value::Long),
        (-1e9f32..1e9).prop_map(Value::Float),
        (-1e9f64..1e9).prop_map(Value::Double),
        any::<[u8; 4]>().prop_map(Value::Decimal32),
        any::<[u8; 8]>().prop_map(Value::Decimal64),
        any::<[u8; 16]>().prop_map(Value::Decimal128),
        any::<char>().prop_map(Value::Char),
        any::<i64>().prop_map(Value::Timestamp),
        any::<[u8; 16]>().prop_map(Value::Uuid),
        prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), 250..260)].prop_map(|v| Value::Binary(Bytes::from(v))),
        prop_oneof!["\\PC{0,20}", "[a-z]{250,260}"].prop_map(Value::String),
        prop_oneof!["[a-z:.-]{0,20}", "[a-z]{250,260}"].prop_map(Value::Symbol),
    ]
}

/// Elements of one type: the constructor of an array serves all of them.
fn array() -> impl Strategy<Value = Value> {
    let elements = prop_oneof![
        vec(any::<bool>().prop_map(Value::Bool), 1..6),
        vec(any::<u32>().prop_map(Value::Uint), 1..6),
        vec(any::<i64>().prop_map(Value::Long), 1..100),
        vec("[a-z]{0,9}".prop_map(Value::Symbol), 1..6),
        vec("[a-z]{0,300}".prop_map(Value::String), 1..6),
        vec(any::<[u8; 16]>().prop_map(Value::Uuid), 1..6),
    ];
    elements.prop_map(|elements| Value::Array(Array::new(elements).expect("elements of one type")))
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![4 => scalar(), 1 => array()].prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::List),
            vec(inner.clone(), 0..6).prop_map(keyed),
            (any::<u64>(), inner.clone()).prop_map(|(code, value)| Value::described(code, value)),
            ("[a-z:]{1,30}", inner).prop_map(|(name, value)| Value::described(Value::Symbol(name), value)),
        ]
    })
}

/// A map with distinct keys: theirs would drop a repeated one.
fn keyed(values: Vec<Value>) -> Value {
    Value::Map(values.into_iter().enumerate().map(|(key, value)| (Value::Ulong(key as u64), value)).collect())
}

pub(super) fn to_theirs(value: &Value) -> Theirs {
    match value {
        Value::Null => Theirs::Null,
        Value::Bool(v) => Theirs::Bool(*v),
        Value::Ubyte(v) => Theirs::Ubyte(*v),
        Value::Ushort(v) => Theirs::Ushort(*v),
        Value::Uint(v) => Theirs::Uint(*v),
        Value::Ulong(v) => Theirs::Ulong(*v),
        Value::Byte(v) => Theirs::Byte(*v),
        Value::Short(v) => Theirs::Short(*v),
        Value::Int(v) => Theirs::Int(*v),
        Value::Long(v) => Theirs::Long(*v),
        Value::Float(v) => Theirs::Float((*v).into()),
        Value::Double(v) => Theirs::Double((*v).into()),
        Value::Decimal32(v) => Theirs::Decimal32(theirs::Dec32::from(*v)),
        Value::Decimal64(v) => Theirs::Decimal64(theirs::Dec64::from(*v)),
        Value::Decimal128(v) => Theirs::Decimal128(theirs::Dec128::from(*v)),
        Value::Char(v) => Theirs::Char(*v),
        Value::Timestamp(v) => Theirs::Timestamp(theirs::Timestamp::from_milliseconds(*v)),
        Value::Uuid(v) => Theirs::Uuid(theirs::Uuid::from(*v)),
        Value::Binary(v) => Theirs::Binary(v.to_vec().into()),
        Value::String(v) => Theirs::String(v.clone()),
        Value::Symbol(v) => Theirs::Symbol(theirs::Symbol(v.clone())),
        Value::List(v) => Theirs::List(v.iter().map(to_theirs).collect()),
        Value::Map(v) => Theirs::Map(v.iter().map(|(key, value)| (to_theirs(key), to_theirs(value))).collect()),
        Value::Array(v) => Theirs::Array(theirs::Array(v.elements().iter().map(to_theirs).collect())),
        Value::Described(v) => {
            let Described { descriptor, value } = &**v;
            let descriptor = match descriptor {
                Value::Ulong(code) => Descriptor::Code(*code),
                Value::Symbol(name) => Descriptor::Name(theirs::Symbol(name.clone())),
                other => panic!("{other:?} is no descriptor"),
            };
            Theirs::Described(Box::new(TheirDescribed { descriptor, value: to_theirs(value) }))
        }
    }
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = BytesMut::new();
    value.encode(&mut out);
    out.to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn ours_reads_what_ours_writes(value in value()) {
        let bytes = encoded(&value);
        let (decoded, rest) = Value::decode(&bytes).expect("our own encoding");
        prop_assert_eq!(decoded, value);
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn theirs_reads_what_ours_writes(value in value()) {
        let decoded: Theirs = serde_amqp::from_slice(&encoded(&value)).expect("our encoding");
        prop_assert_eq!(decoded, to_theirs(&value));
    }

    #[test]
    fn ours_reads_what_theirs_writes(value in value()) {
        let bytes = serde_amqp::to_vec(&to_theirs(&value)).expect("their encoding");
        let (decoded, rest) = Value::decode(&bytes).expect("their encoding");
        prop_assert_eq!(decoded, value);
        prop_assert!(rest.is_empty());
    }

    /// Random bytes: what both take, they take for the same; skipping passes over exactly what decoding reads.
    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..60)) {
        if let Ok((value, rest)) = Value::decode(&bytes) {
            let mut reader = crate::codec::Reader::new(&bytes);
            prop_assert_eq!(reader.skip(), Ok(()));
            prop_assert_eq!(reader.rest(), rest);
            let again = encoded(&value);
            // Not by equality, because a float may be no number.
            prop_assert_eq!(format!("{:?}", Value::decode(&again).expect("our own encoding").0), format!("{value:?}"));
        }
    }
}
