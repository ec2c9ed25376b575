//! Owns [`Attach`] (core specification 2.7.3) and the modes that it negotiates.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Source, Target};
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
