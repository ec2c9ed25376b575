//! Owns the message format (core specification 3.2): finding the sections of an encoded message, reading and writing them.
//! Does not own what a message means; a broker forwards the bare message as it came.

mod build;
mod header;
mod properties;
mod sections;

pub use build::{Body, encode, encode_into};
pub use header::Header;
pub use properties::Properties;
pub use sections::{BodyKind, BodyRange, Sections, Span, scan};
