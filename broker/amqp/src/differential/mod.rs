//! Holds our codec against an independent one, serde_amqp and fe2o3-amqp-types: what either writes the other must read alike.
//! Client and server of this project share our codec, so that an error in it would otherwise cancel itself out.

mod performatives;
mod values;
