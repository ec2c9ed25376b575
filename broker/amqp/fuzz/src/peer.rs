//! Owns [`Peer`]: the other end. It mostly keeps to the protocol, so that cases get far, and now and then it does not.

use amqp::Value;
use bytes::{Bytes, BytesMut};

use crate::program::Program;

pub(crate) const HEADER: &[u8] = b"AMQP\x00\x01\x00\x00";
pub(crate) const HEADER_SASL: &[u8] = b"AMQP\x03\x01\x00\x00";

const OPEN: u8 = 0x10;
const BEGIN: u8 = 0x11;
const ATTACH: u8 = 0x12;
const FLOW: u8 = 0x13;
const TRANSFER: u8 = 0x14;
const DISPOSITION: u8 = 0x15;
const DETACH: u8 = 0x16;
const END: u8 = 0x17;
const CLOSE: u8 = 0x18;

/// A frame with this performative and payload.
pub(crate) fn frame(kind: u8, channel: u16, code: u8, fields: Vec<Value>, payload: &[u8]) -> Vec<u8> {
    let mut body = BytesMut::new();
    Value::described(u64::from(code), fields).encode(&mut body);
    let size = u32::try_from(8 + body.len() + payload.len()).unwrap_or(u32::MAX);
    [&size.to_be_bytes()[..], &[2, kind], &channel.to_be_bytes(), &body, payload].concat()
}

/// The peer's open.
pub(crate) fn open(max_frame_size: u32) -> Vec<u8> {
    frame(0, 0, OPEN, vec!["peer".into(), Value::Null, max_frame_size.into()], b"")
}

#[derive(Debug)]
struct Link {
    name: String,
    /// The peer receives.
    receives: bool,
    handle: u32,
    /// The handle of the connection under test.
    remote: Option<u32>,
    /// Frames of a delivery were sent, and its last was not.
    unfinished: bool,
}

#[derive(Debug)]
struct Session {
    channel: u16,
    /// The channel of the connection under test.
    remote: Option<u16>,
    links: Vec<Link>,
    next_delivery_id: u32,
}

/// The other end's view of the connection.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    sessions: Vec<Session>,
    names: u32,
}

/// The number that belongs there, or sometimes another.
fn about(right: u32, program: &mut Program<'_>) -> Value {
    if program.byte() < 2 { program.number().into() } else { right.into() }
}

fn state(program: &mut Program<'_>) -> Value {
    let list = |code: u64, fields: Vec<Value>| Value::described(code, fields);
    match program.byte() % 16 {
        0..10 => list(0x24, vec![]),
        10..13 => list(0x26, vec![]),
        13 => list(0x25, vec![list(0x1d, vec![Value::symbol("amqp:not-found")])]),
        14 => list(0x23, vec![1u32.into(), 2u64.into()]),
        _ => Value::Null,
    }
}

impl Peer {
    /// The next frame of the peer.
    pub(crate) fn next_frame(&mut self, instruction: u8, program: &mut Program<'_>) -> Vec<u8> {
        let count = self.sessions.len();
        let at = usize::from(program.byte()) % count.max(1);
        match instruction % 32 {
            0 if count < 4 => self.begin(None, program),
            1..4 if count > 0 => self.attach(at, program),
            4..12 if count > 0 => self.flow(at, program),
            12..20 if count > 0 => self.transfer(at, program),
            20..27 if count > 0 => self.disposition(at, program),
            27 if count > 0 => self.detach(at, program),
            28 if count > 0 && program.byte() < 60 => {
                let session = self.sessions.remove(at);
                frame(0, session.channel, END, vec![], b"")
            }
            29 if program.byte() < 8 => frame(0, 0, CLOSE, vec![], b""),
            30 if program.byte() < 16 => sasl(program),
            _ => vec![0, 0, 0, 8, 2, 0, 0, 0],
        }
    }

    fn begin(&mut self, remote: Option<u16>, program: &mut Program<'_>) -> Vec<u8> {
        let channel = (0..=u16::MAX).find(|channel| self.sessions.iter().all(|session| session.channel != *channel));
        let channel = channel.unwrap_or(0);
        self.sessions.push(Session { channel, remote, links: Vec::new(), next_delivery_id: 0 });
        let window = 1 + u32::from(program.byte() % 20);
        let fields = vec![remote.into(), about(0, program), about(window, program), about(100, program)];
        frame(0, channel, BEGIN, fields, b"")
    }

    fn attach(&mut self, at: usize, program: &mut Program<'_>) -> Vec<u8> {
        self.names += 1;
        // Now and then a name that is taken.
        let name = format!("peer-{}", if program.byte() < 20 { self.names / 2 } else { self.names });
        let receives = program.flag();
        self.attach_as(at, name, receives, None, program)
    }

    fn attach_as(
        &mut self,
        at: usize,
        name: String,
        receives: bool,
        remote: Option<u32>,
        program: &mut Program<'_>,
    ) -> Vec<u8> {
        let session = &mut self.sessions[at];
        let handle = (0..).find(|handle| session.links.iter().all(|link| link.handle != *handle)).unwrap_or(0);
        session.links.push(Link { name: name.clone(), receives, handle, remote, unfinished: false });
        let terminus = |code: u64| Value::described(code, vec![Value::from("q")]);
        let mut fields = vec![name.into(), about(handle, program), receives.into(), Value::Null, Value::Null];
        fields.extend([terminus(0x28), terminus(0x29), Value::Null, Value::Null]);
        fields.extend([about(7, program), Value::Ulong(500 + u64::from(program.byte()) * 20)]);
        frame(0, session.channel, ATTACH, fields, b"")
    }

    fn flow(&mut self, at: usize, program: &mut Program<'_>) -> Vec<u8> {
        let session = &self.sessions[at];
        let window = 50 + u32::from(program.byte());
        let mut fields = vec![Value::Null, about(window, program), about(0, program), about(100, program)];
        if program.byte() > 30
            && let Some(link) = session.links.get(usize::from(program.byte()) % session.links.len().max(1))
        {
            let credit = u32::from(program.byte() % 64);
            fields.extend([about(link.handle, program), Value::Null, about(credit, program), Value::Null]);
            fields.extend([(program.byte() < 40).into(), (program.byte() < 40).into()]);
        }
        frame(0, session.channel, FLOW, fields, b"")
    }

    fn transfer(&mut self, at: usize, program: &mut Program<'_>) -> Vec<u8> {
        let session = &mut self.sessions[at];
        let count = session.links.len().max(1);
        let Some(link) = session.links.get_mut(usize::from(program.byte()) % count).filter(|link| !link.receives)
        else {
            return Vec::new();
        };
        let (first, more) = (!link.unfinished, program.byte() < 60);
        let aborted = program.byte() < 10;
        link.unfinished = more && !aborted;
        let mut fields = vec![about(link.handle, program)];
        if first {
            let tag = Value::Binary(Bytes::copy_from_slice(&session.next_delivery_id.to_be_bytes()));
            fields.extend([about(session.next_delivery_id, program), tag, 0u32.into(), (program.byte() < 60).into()]);
            session.next_delivery_id = session.next_delivery_id.wrapping_add(1);
        } else {
            fields.extend([Value::Null, Value::Null, Value::Null, Value::Null]);
        }
        fields.push(more.into());
        if aborted || program.byte() < 10 {
            fields.extend([Value::Null, state(program), Value::Null, aborted.into()]);
        }
        frame(0, session.channel, TRANSFER, fields, program.raw())
    }

    fn disposition(&mut self, at: usize, program: &mut Program<'_>) -> Vec<u8> {
        let receiver = program.byte() > 40;
        let first = u32::from(program.byte() % 12);
        let last = first.wrapping_add(u32::from(program.byte() % 8));
        let fields =
            vec![receiver.into(), about(first, program), about(last, program), program.flag().into(), state(program)];
        frame(0, self.sessions[at].channel, DISPOSITION, fields, b"")
    }

    fn detach(&mut self, at: usize, program: &mut Program<'_>) -> Vec<u8> {
        let session = &mut self.sessions[at];
        if session.links.is_empty() {
            return Vec::new();
        }
        let link = session.links.remove(usize::from(program.byte()) % session.links.len());
        frame(0, session.channel, DETACH, vec![about(link.handle, program), program.flag().into()], b"")
    }

    /// What the peer answers to a frame of the connection under test, which mostly it does.
    pub(crate) fn answer(&mut self, channel: u16, performative: &Value, program: &mut Program<'_>) -> Vec<u8> {
        let Value::Described(described) = performative else { return Vec::new() };
        let (Some(code), Value::List(fields)) = (described.descriptor.as_u64(), &described.value) else {
            return Vec::new();
        };
        if program.byte() < 4 {
            return Vec::new();
        }
        let number = |at: usize| fields.get(at).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        let at = self.sessions.iter().position(|session| session.remote == Some(channel));
        match (u8::try_from(code).unwrap_or(0), at) {
            (BEGIN, _) => match number(0) {
                Some(ours) => {
                    let ours = self.sessions.iter_mut().find(|session| u32::from(session.channel) == ours);
                    ours.into_iter().for_each(|session| session.remote = Some(channel));
                    Vec::new()
                }
                None => self.begin(Some(channel), program),
            },
            (ATTACH, Some(at)) => self.answer_attach(at, fields, number(1), program),
            (DETACH, Some(at)) => {
                let links = &mut self.sessions[at].links;
                let Some(link) = links.iter().position(|link| link.remote == number(0)) else { return Vec::new() };
                let handle = links.remove(link).handle;
                frame(0, self.sessions[at].channel, DETACH, vec![handle.into(), true.into()], b"")
            }
            (END, Some(at)) => {
                let session = self.sessions.remove(at);
                frame(0, session.channel, END, vec![], b"")
            }
            _ => Vec::new(),
        }
    }

    fn answer_attach(
        &mut self,
        at: usize,
        fields: &[Value],
        handle: Option<u32>,
        program: &mut Program<'_>,
    ) -> Vec<u8> {
        let (Some(name), Some(they_receive)) = (fields[0].as_str(), fields[2].as_bool()) else { return Vec::new() };
        let known = self.sessions[at].links.iter_mut().find(|link| link.name == name && link.receives != they_receive);
        match known {
            Some(link) => {
                link.remote = handle;
                Vec::new()
            }
            None => self.attach_as(at, name.to_owned(), !they_receive, handle, program),
        }
    }
}

fn sasl(program: &mut Program<'_>) -> Vec<u8> {
    match program.byte() % 3 {
        0 => frame(1, 0, 0x40, vec![Value::symbol("PLAIN")], b""),
        1 => frame(1, 0, 0x41, vec![Value::symbol("PLAIN"), Value::Binary(Bytes::from_static(b"\0u\0p"))], b""),
        _ => frame(1, 0, 0x44, vec![Value::Ubyte(program.byte() % 2)], b""),
    }
}
