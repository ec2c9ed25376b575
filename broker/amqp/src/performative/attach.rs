//! Owns [`Attach`] (core specification 2.7.3) and the modes that it negotiates.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::BytesMut;

use super::{Source, Target};
use crate::codec::{DecodeError, Fields, composite, descriptor};
use crate::types::Value;

/// Which end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Role {
    /// Sends messages.
    #[default]
    Sender,
    /// Receives messages.
    Receiver,
}

impl Role {
    /// The role of the other end.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }
}

impl Role {
    /// As on the wire: true is the receiver.
    pub(crate) fn is_receiver(self) -> bool {
        self == Self::Receiver
    }

    /// From the wire: true is the receiver.
    pub(crate) fn from_wire(receiver: bool) -> Self {
        if receiver { Self::Receiver } else { Self::Sender }
    }
}

/// How the sender settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SenderSettleMode {
    /// Every delivery is sent unsettled.
    Unsettled,
    /// Every delivery is sent settled.
    Settled,
    /// Either.
    #[default]
    Mixed,
}

/// How the receiver settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReceiverSettleMode {
    /// The receiver settles at once.
    #[default]
    First,
    /// The receiver settles after the sender has.
    Second,
}

/// One end's half of a link.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attach {
    /// The name of the link. In answers it is filled in by the connection.
    pub name: String,
    /// The role of the sender of this frame. In answers it is filled in by the connection.
    pub role: Role,
    /// How the sender settles.
    pub snd_settle_mode: SenderSettleMode,
    /// How the receiver settles.
    pub rcv_settle_mode: ReceiverSettleMode,
    /// Where messages come from. Absent in an answer: a refusal if the answering end is the sender.
    pub source: Option<Source>,
    /// Where messages go to. Absent in an answer: a refusal if the answering end is the receiver.
    pub target: Option<Target>,
    /// The sender's first delivery-count. Filled in by the connection when we send.
    pub initial_delivery_count: Option<u32>,
    /// The largest message that the sender of this frame accepts, in bytes.
    pub max_message_size: Option<u64>,
    /// Extensions that the sender of this frame supports.
    pub offered_capabilities: Vec<String>,
    /// Extensions that the sender of this frame would like to use.
    pub desired_capabilities: Vec<String>,
    /// More about the link: a map from symbols.
    pub properties: Vec<(Value, Value)>,
}

impl SenderSettleMode {
    fn from_wire(code: u8) -> Result<Self, DecodeError> {
        match code {
            0 => Ok(Self::Unsettled),
            1 => Ok(Self::Settled),
            2 => Ok(Self::Mixed),
            _ => Err(DecodeError::InvalidField("snd-settle-mode")),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Unsettled => 0,
            Self::Settled => 1,
            Self::Mixed => 2,
        }
    }
}

impl ReceiverSettleMode {
    fn from_wire(code: u8) -> Result<Self, DecodeError> {
        match code {
            0 => Ok(Self::First),
            1 => Ok(Self::Second),
            _ => Err(DecodeError::InvalidField("rcv-settle-mode")),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }
}

impl Attach {
    /// Reads handle and fields; the descriptor was read. The unsettled map is passed over: links are not resumed.
    pub(crate) fn read(mut fields: Fields<'_>) -> Result<(u32, Self), DecodeError> {
        let name = fields.owned_string()?.ok_or(DecodeError::MissingField("name"))?;
        let handle = fields.uint()?.ok_or(DecodeError::MissingField("handle"))?;
        let role = Role::from_wire(fields.boolean()?.ok_or(DecodeError::MissingField("role"))?);
        let attach = Self {
            name,
            role,
            snd_settle_mode: fields.ubyte()?.map_or(Ok(SenderSettleMode::Mixed), SenderSettleMode::from_wire)?,
            rcv_settle_mode: fields.ubyte()?.map_or(Ok(ReceiverSettleMode::First), ReceiverSettleMode::from_wire)?,
            source: fields.composite(Source::read)?,
            target: fields.composite(Target::read)?,
            initial_delivery_count: {
                fields.skip()?; // unsettled
                fields.skip()?; // incomplete-unsettled
                fields.uint()?
            },
            max_message_size: fields.ulong()?.filter(|bytes| *bytes > 0),
            offered_capabilities: fields.symbols()?,
            desired_capabilities: fields.symbols()?,
            properties: fields.map()?,
        };
        fields.finish()?;
        if role == Role::Sender && attach.initial_delivery_count.is_none() {
            return Err(DecodeError::MissingField("initial-delivery-count"));
        }
        Ok((handle, attach))
    }

    /// Appends the performative.
    pub(crate) fn put(&self, out: &mut BytesMut, handle: u32) {
        composite(out, descriptor::ATTACH, |fields| {
            fields.string(Some(&self.name));
            fields.uint(Some(handle));
            fields.boolean(self.role.is_receiver());
            fields.ubyte(self.snd_settle_mode.code());
            fields.ubyte(self.rcv_settle_mode.code());
            fields.optional(self.source.as_ref(), |out, source| source.put(out));
            fields.optional(self.target.as_ref(), |out, target| target.put(out));
            fields.null(); // unsettled
            fields.null(); // incomplete-unsettled
            fields.uint(self.initial_delivery_count);
            fields.ulong(self.max_message_size);
            fields.symbols(&self.offered_capabilities);
            fields.symbols(&self.desired_capabilities);
            fields.map(&self.properties);
        });
    }
}
