//! Owns the performatives (core specification 2.7) and what they are made of.
//! The rare ones are owned structs; transfer, flow and disposition are read in place and written from templates.

mod attach;
mod begin;
mod closing;
mod delivery_state;
mod disposition;
mod error;
mod flow;
mod open;
mod sasl;
mod terminus;
mod transfer;

pub use attach::{Attach, ReceiverSettleMode, Role, SenderSettleMode};
pub use delivery_state::{DeliveryState, Outcome};
pub use error::{Error, ErrorParts};
pub use open::Open;
pub use terminus::{Source, Target};

pub(crate) use begin::Begin;
pub(crate) use closing::{Detach, put_close, put_end, read_error_field};
pub(crate) use disposition::Disposition;
pub(crate) use flow::Flow;
pub(crate) use sasl::{SaslInit, SaslOutcome, put_mechanisms, read_mechanisms};
pub(crate) use transfer::{TAG_MAX, Transfer};
