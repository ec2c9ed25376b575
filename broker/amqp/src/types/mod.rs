//! Owns the AMQP type system as owned values (core specification part 1): [`Value`], [`Array`], [`Described`].
//! Does not know the wire: encoding and decoding live in [`crate::codec`].

mod value;

pub use value::{Array, Described, MixedArray, Value, lookup};
