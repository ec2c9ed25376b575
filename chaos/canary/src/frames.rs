//! AMQP frames within a stream of bytes, as far as two defects read them. Owns the cutting, and the fields of transfers,
//! dispositions and flows as values; everything else passes as it came.

use amqp::Value;
use bytes::{Buf, Bytes, BytesMut};

/// Descriptor of a flow (core specification 2.7.4).
const FLOW: u64 = 0x13;
/// Descriptor of a transfer (core specification 2.7.5).
const TRANSFER: u64 = 0x14;
/// Descriptor of a disposition (core specification 2.7.6).
const DISPOSITION: u64 = 0x15;
/// Descriptor of the state accepted (core specification 3.4.2).
const ACCEPTED: u64 = 0x24;
/// A frame's header (core specification 2.3.1), and a protocol header too.
const HEADER_BYTES: usize = 8;

/// One frame, or one protocol header.
#[derive(Debug, Clone)]
pub(crate) struct Frame(Bytes);

/// What a frame says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Performative {
    /// A message, or a part of one.
    Transfer(Transfer),
    /// What became of deliveries.
    Disposition(Disposition),
    /// How many transfers and deliveries may come.
    Flow(Flow),
}

/// A flow whose counts can be changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Flow {
    channel: u16,
    fields: Vec<Value>,
}

/// A count of a flow, by its place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    /// The next transfer that the speaker expects.
    NextIncoming = 0,
    /// The next transfer that the speaker sends.
    NextOutgoing = 2,
    /// Deliveries on the link so far.
    Deliveries = 5,
}

impl Flow {
    pub(crate) fn channel(&self) -> u16 {
        self.channel
    }

    pub(crate) fn get(&self, count: Count) -> Option<u32> {
        self.fields.get(count as usize).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
    }

    /// Changes a count that the flow has.
    pub(crate) fn set(&mut self, count: Count, number: u32) {
        if self.get(count).is_some() {
            self.fields[count as usize] = Value::Uint(number);
        }
    }

    pub(crate) fn to_frame(&self) -> Frame {
        Frame::new(self.channel, FLOW, self.fields.clone(), &[])
    }
}

/// A transfer whose fields can be changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Transfer {
    channel: u16,
    fields: Vec<Value>,
    payload: Bytes,
}

/// A disposition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Disposition {
    pub(crate) channel: u16,
    /// Whether the receiver of the deliveries says it.
    pub(crate) from_receiver: bool,
    /// First delivery.
    pub(crate) first: u32,
    /// Last delivery, inclusive.
    pub(crate) last: u32,
    /// Whether the speaker forgets the deliveries now.
    pub(crate) settled: bool,
    /// What became of them.
    pub(crate) state: Value,
}

impl Transfer {
    pub(crate) fn delivery_id(&self) -> Option<u32> {
        self.fields.get(1).and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok())
    }

    pub(crate) fn set_delivery_id(&mut self, id: u32) {
        self.fields[1] = Value::Uint(id);
    }

    /// A tag that differs from the one it came with.
    pub(crate) fn change_tag(&mut self) {
        if let Some(Value::Binary(tag)) = self.fields.get_mut(2) {
            *tag = [tag, &[0xff][..]].concat().into();
        }
    }

    /// Whether it is a whole delivery that the receiver has to settle.
    pub(crate) fn is_whole_and_unsettled(&self) -> bool {
        let flag = |index: usize| self.fields.get(index).and_then(Value::as_bool).unwrap_or(false);
        self.delivery_id().is_some() && !flag(4) && !flag(5)
    }

    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload.len()
    }

    pub(crate) fn channel(&self) -> u16 {
        self.channel
    }

    pub(crate) fn to_frame(&self) -> Frame {
        Frame::new(self.channel, TRANSFER, self.fields.clone(), &self.payload)
    }
}

impl Disposition {
    /// Whether a receiver accepts, and waits for the sender to settle.
    pub(crate) fn asks_for_an_answer(&self) -> bool {
        let is_accepted = matches!(&self.state, Value::Described(state) if state.descriptor.as_u64() == Some(ACCEPTED));
        self.from_receiver && is_accepted && !self.settled
    }

    pub(crate) fn to_frame(&self) -> Frame {
        let fields = vec![
            Value::Bool(self.from_receiver),
            Value::Uint(self.first),
            Value::Uint(self.last),
            Value::Bool(self.settled),
            self.state.clone(),
        ];
        Frame::new(self.channel, DISPOSITION, fields, &[])
    }
}

impl Frame {
    fn new(channel: u16, descriptor: u64, fields: Vec<Value>, payload: &[u8]) -> Self {
        let mut frame = BytesMut::zeroed(HEADER_BYTES);
        Value::described(Value::Ulong(descriptor), Value::List(fields)).encode(&mut frame);
        frame.extend_from_slice(payload);
        let size = frame.len() as u32;
        frame[..4].copy_from_slice(&size.to_be_bytes());
        frame[4] = 2;
        frame[6..8].copy_from_slice(&channel.to_be_bytes());
        Self(frame.freeze())
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }

    /// What it says, if it is one of those.
    pub(crate) fn read(&self) -> Option<Performative> {
        let is_header = self.0.starts_with(b"AMQP");
        let body_at = usize::from(*self.0.get(4)?) * 4;
        if is_header || self.0[5] != 0 || body_at >= self.0.len() {
            return None;
        }
        let body = self.0.slice(body_at..);
        let Ok((Value::Described(described), payload)) = Value::decode(&body) else { return None };
        let channel = u16::from_be_bytes([self.0[6], self.0[7]]);
        let Value::List(fields) = described.value else { return None };
        match described.descriptor.as_u64()? {
            TRANSFER if fields.len() > 2 => {
                let payload = body.slice(body.len() - payload.len()..);
                Some(Performative::Transfer(Transfer { channel, fields, payload }))
            }
            FLOW => Some(Performative::Flow(Flow { channel, fields })),
            DISPOSITION => disposition(channel, &fields).map(Performative::Disposition),
            _ => None,
        }
    }
}

fn disposition(channel: u16, fields: &[Value]) -> Option<Disposition> {
    let number = |index: usize| fields.get(index).and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    let first = number(1)?;
    Some(Disposition {
        channel,
        from_receiver: fields.first()?.as_bool()?,
        first,
        last: number(2).unwrap_or(first),
        settled: fields.get(3).and_then(Value::as_bool).unwrap_or(false),
        state: fields.get(4).cloned().unwrap_or_default(),
    })
}

/// Bytes that are not a whole frame yet; a frame's own bound limits them.
#[derive(Debug, Default)]
pub(crate) struct Cutter(BytesMut);

impl Cutter {
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        if self.0.len() < HEADER_BYTES {
            return None;
        }
        let size = if self.0.starts_with(b"AMQP") { HEADER_BYTES } else { (&self.0[..4]).get_u32() as usize };
        // A nonsensical size is the codec's to complain of.
        let size = size.max(HEADER_BYTES);
        (self.0.len() >= size).then(|| Frame(self.0.split_to(size).freeze()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn transfer(id: u32, payload: &'static [u8]) -> Frame {
        let tag = Value::Binary(Bytes::copy_from_slice(&id.to_be_bytes()));
        Frame::new(1, TRANSFER, vec![Value::Uint(0), Value::Uint(id), tag, Value::Uint(0)], payload)
    }

    pub(crate) fn accepted(first: u32, last: u32, from_receiver: bool) -> Frame {
        let settled = !from_receiver;
        let state = Value::described(Value::Ulong(ACCEPTED), Value::List(Vec::new()));
        Disposition { channel: 1, from_receiver, first, last, settled, state }.to_frame()
    }

    #[test]
    fn frames_are_cut_wherever_the_stream_was() {
        let stream = [b"AMQP\0\x01\0\0", &transfer(7, b"body").0[..], &accepted(1, 3, true).0[..]].concat();
        for step in 1..stream.len() {
            let mut cutter = Cutter::default();
            let mut frames = Vec::new();
            for part in stream.chunks(step) {
                cutter.put(part);
                frames.extend(std::iter::from_fn(|| cutter.next()));
            }
            assert_eq!(frames.len(), 3, "{step}");
            assert_eq!(frames[0].read(), None);
            assert!(matches!(frames[1].read(), Some(Performative::Transfer(read)) if read.delivery_id() == Some(7)));
            assert!(
                matches!(frames[2].read(), Some(Performative::Disposition(read)) if (read.first, read.last) == (1, 3))
            );
            assert_eq!(frames.iter().flat_map(|frame| frame.0.to_vec()).collect::<Vec<_>>(), stream);
        }
    }

    #[test]
    fn a_changed_transfer_keeps_its_payload() {
        let Some(Performative::Transfer(mut read)) = transfer(7, b"body").read() else { panic!("it is a transfer") };
        assert!(read.is_whole_and_unsettled() && read.payload_bytes() == 4 && read.channel() == 1);
        read.set_delivery_id(4000);
        read.change_tag();
        let Some(Performative::Transfer(again)) = read.to_frame().read() else { panic!("it is a transfer") };
        assert_eq!((again.delivery_id(), &again.payload[..]), (Some(4000), &b"body"[..]));
        assert_eq!(again.fields[2], Value::Binary(Bytes::from_static(&[0, 0, 0, 7, 0xff])));
    }
}
