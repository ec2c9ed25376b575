//! One fuzz case: bytes are read as a program that drives one end of a connection, as its peer and as its application.
//!
//! The peer mostly keeps to the protocol, because random bytes alone do not get past the first header. Whatever happens, the connection must not panic, must answer in frames that the peer accepts, and must account for every delivery:
//! each token comes back exactly once, with its outcome, with what ended its link, or in the list for a lost socket.

#![forbid(unsafe_code)]

mod application;
mod peer;
mod program;

use application::Application;
pub use application::Reached;
use program::Program;

/// Runs one case and tells how far it got, so that a test can show that cases get far.
///
/// # Panics
/// If the connection breaks one of its promises.
pub fn fuzz_one(data: &[u8]) -> Reached {
    decode_everything(data);
    let mut program = Program::new(data);
    let mut application = Application::new(program.byte());
    while let Some(instruction) = program.next_instruction() {
        application.step(instruction, &mut program);
    }
    application.finish()
}

/// The decoders that take bytes without a connection.
fn decode_everything(data: &[u8]) {
    if let Ok((value, rest)) = amqp::Value::decode(data) {
        let mut out = bytes::BytesMut::new();
        value.encode(&mut out);
        let again = amqp::Value::decode(&out).map(|(value, rest)| (format!("{value:?}"), rest.len()));
        assert_eq!(again, Ok((format!("{value:?}"), 0)), "what was decoded can be encoded");
        assert!(rest.len() < data.len());
    }
    if let Ok(sections) = amqp::message::scan(data) {
        // Their results do not matter; that they return does.
        let _ = sections.properties(data);
        let _ = sections.application_properties(data);
        let _ = sections.message_annotations(data);
        let _ = sections.value(data);
        assert!(sections.bare_offset <= data.len());
        assert!(sections.data(data).is_none_or(|body| body.len() <= data.len()));
    }
}
