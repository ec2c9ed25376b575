//! Owns [`Outcome`], the states of a delivery (core specification 3.4 and 4.5).

use alloc::boxed::Box;

use bytes::Bytes;

use super::Error;
use crate::types::Value;

/// What a transfer or a disposition says about a delivery; the same type as [`Outcome`].
pub type DeliveryState = Outcome;

/// The state of a delivery. Cheap to copy for `Accepted` and `Released`.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The receiver has processed the message.
    Accepted,
    /// The message is invalid; terminal.
    Rejected(Option<Error>),
    /// The receiver did not and will not process the message; it may go elsewhere unchanged.
    Released,
    /// As released, but the message's state changes.
    Modified {
        /// Count this as a failed delivery.
        delivery_failed: bool,
        /// Do not send it on this link again.
        undeliverable_here: bool,
        /// Message annotations to merge, a map.
        annotations: Option<Value>,
    },
    /// Not terminal: how far the receiver has got.
    Received {
        /// Section of the message.
        section_number: u32,
        /// Bytes within that section.
        section_offset: u64,
    },
    /// The coordinator's answer to a declare.
    Declared {
        /// Names the new transaction.
        transaction_id: Bytes,
    },
    /// The delivery belongs to a transaction.
    Transactional {
        /// Names the transaction.
        transaction_id: Bytes,
        /// The outcome that takes effect when the transaction is committed.
        outcome: Option<Box<Self>>,
    },
}

impl Outcome {
    /// True if no other state can follow before settlement.
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Self::Received { .. })
    }
}
