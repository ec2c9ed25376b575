//! Owns the performatives (core specification 2.7) and what they are made of.
//! The rare ones are owned structs; transfer, flow and disposition are read in place and written from templates.

mod attach;
mod delivery_state;
mod error;
mod open;
mod terminus;

pub use attach::{Attach, ReceiverSettleMode, Role, SenderSettleMode};
pub use delivery_state::{DeliveryState, Outcome};
pub use error::Error;
pub use open::Open;
pub use terminus::{Source, Target};
