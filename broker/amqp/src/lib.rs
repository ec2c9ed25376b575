//! AMQP 1.0 (OASIS standard, parts 1 to 3 and 5): codec and the state machines of connection, session and link, both roles.
//!
//! Pure: no socket, no clock, no randomness. A caller drives a [`Connection`] in this order:
//!
//! 1. bytes arrive: [`Connection::next_event`] until it gives `None`, acting on each [`Event`] before the next call;
//! 2. commands (`open`, `attach`, `grant`, `settle`, `send` and so on), at any time;
//! 3. once per turn, when the socket can take more: [`Connection::poll_transmit`], and write what it gives;
//! 4. [`Connection::poll_timeout`] says when to call [`Connection::handle_timeout`], after which 1 and 3 follow with no input;
//! 5. when [`Connection::is_finished`] is true and the output is flushed, close the socket;
//! 6. when the socket is lost, [`Connection::unsettled_tokens`] says which deliveries got no outcome.
//!
//! A client calls `open`, `begin`, `attach` right after [`Connection::client`]; everything is sent as early as the protocol
//! permits. A server answers [`Event::SaslInit`], [`Event::Open`] and [`Event::Attach`].

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod codec;
pub mod condition;
mod connection;
#[cfg(test)]
mod differential;
mod limits;
pub mod message;
mod performative;
pub mod sasl;
mod types;

pub use connection::{Connection, Delivery, Event, LinkId, Message, Nanos, Output, SendError, SessionId};
pub use limits::{Config, Limits};
pub use performative::{
    Attach, DeliveryState, Error, ErrorParts, Open, Outcome, ReceiverSettleMode, Role, SenderSettleMode, Source, Target,
};
pub use sasl::{ClientSasl, SaslCode};
pub use types::{Array, Described, MixedArray, Value, lookup};
