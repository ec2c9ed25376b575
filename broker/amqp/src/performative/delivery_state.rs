//! Owns [`Outcome`], the states of a delivery (core specification 3.4 and 4.5).

use alloc::boxed::Box;

use bytes::{BufMut, Bytes, BytesMut};

use super::Error;
use crate::codec::{DecodeError, Fields, FormatCode, Reader, composite, descriptor};
use crate::types::Value;

/// Longest transaction-id (core specification 4.5.4).
const TRANSACTION_ID_MAX: usize = 32;

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

impl Outcome {
    /// Reads a delivery state: a described list.
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // What nearly every disposition holds.
        const ACCEPTED: [u8; 4] =
            [FormatCode::DESCRIBED, FormatCode::ULONG_SMALL, descriptor::ACCEPTED, FormatCode::LIST_0];
        if reader.rest().starts_with(&ACCEPTED) {
            reader.take(ACCEPTED.len())?;
            return Ok(Self::Accepted);
        }
        Self::read_any(reader, true)
    }

    fn read_any(reader: &mut Reader<'_>, transactional: bool) -> Result<Self, DecodeError> {
        let code = reader.descriptor()?;
        let mut fields = Fields::read(reader)?;
        let state = match code {
            descriptor::ACCEPTED => Self::Accepted,
            descriptor::RELEASED => Self::Released,
            descriptor::REJECTED => Self::Rejected(fields.composite(Error::read)?),
            descriptor::MODIFIED => Self::read_modified(&mut fields)?,
            descriptor::RECEIVED => Self::Received {
                section_number: fields.uint()?.ok_or(DecodeError::MissingField("section-number"))?,
                section_offset: fields.ulong()?.ok_or(DecodeError::MissingField("section-offset"))?,
            },
            descriptor::DECLARED => Self::Declared { transaction_id: read_transaction_id(&mut fields)? },
            descriptor::TRANSACTIONAL_STATE if transactional => Self::Transactional {
                transaction_id: read_transaction_id(&mut fields)?,
                outcome: fields.composite(|reader| Self::read_any(reader, false))?.map(Box::new),
            },
            _ => return Err(DecodeError::UnexpectedDescriptor),
        };
        fields.finish()?;
        Ok(state)
    }

    fn read_modified(fields: &mut Fields<'_>) -> Result<Self, DecodeError> {
        let delivery_failed = fields.boolean()?.unwrap_or(false);
        let undeliverable_here = fields.boolean()?.unwrap_or(false);
        let annotations = Some(fields.value()?).filter(|value| !value.is_null());
        if !matches!(annotations, None | Some(Value::Map(_))) {
            return Err(DecodeError::InvalidField("message-annotations"));
        }
        Ok(Self::Modified { delivery_failed, undeliverable_here, annotations })
    }

    /// Appends the state as a described list.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Accepted => put_empty(out, descriptor::ACCEPTED),
            Self::Released => put_empty(out, descriptor::RELEASED),
            Self::Rejected(error) => composite(out, descriptor::REJECTED, |fields| {
                fields.optional(error.as_ref(), |out, error| error.put(out));
            }),
            Self::Modified { delivery_failed, undeliverable_here, annotations } => {
                composite(out, descriptor::MODIFIED, |fields| {
                    fields.flag(*delivery_failed);
                    fields.flag(*undeliverable_here);
                    fields.value(annotations.as_ref().unwrap_or(&Value::Null));
                });
            }
            Self::Received { section_number, section_offset } => composite(out, descriptor::RECEIVED, |fields| {
                fields.uint(Some(*section_number));
                fields.ulong(Some(*section_offset));
            }),
            Self::Declared { transaction_id } => {
                composite(out, descriptor::DECLARED, |fields| fields.binary(Some(transaction_id)));
            }
            Self::Transactional { transaction_id, outcome } => {
                composite(out, descriptor::TRANSACTIONAL_STATE, |fields| {
                    fields.binary(Some(transaction_id));
                    fields.optional(outcome.as_deref(), |out, outcome| outcome.put(out));
                });
            }
        }
    }

    /// The state with what may be long cut off, for frames that it made larger than the peer accepts.
    pub(crate) fn shortened(&self) -> Self {
        match self {
            Self::Rejected(Some(error)) => Self::Rejected(Some(error.shortened())),
            Self::Modified { delivery_failed, undeliverable_here, .. } => Self::Modified {
                delivery_failed: *delivery_failed,
                undeliverable_here: *undeliverable_here,
                annotations: None,
            },
            Self::Transactional { transaction_id, outcome } => Self::Transactional {
                transaction_id: transaction_id.clone(),
                outcome: outcome.as_ref().map(|outcome| Box::new(outcome.shortened())),
            },
            short => short.clone(),
        }
    }
}

fn put_empty(out: &mut BytesMut, code: u8) {
    out.put_slice(&[FormatCode::DESCRIBED, FormatCode::ULONG_SMALL, code, FormatCode::LIST_0]);
}

fn read_transaction_id(fields: &mut Fields<'_>) -> Result<Bytes, DecodeError> {
    let id = fields.binary()?.ok_or(DecodeError::MissingField("txn-id"))?;
    if id.len() > TRANSACTION_ID_MAX {
        return Err(DecodeError::InvalidField("txn-id"));
    }
    Ok(Bytes::copy_from_slice(id))
}
