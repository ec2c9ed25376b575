//! What can be done to a pair. Each fault returns evidence that it bit, taken from the operating system and not from the broker.

pub mod network;
pub mod process;
pub mod tree;

use serde::{Deserialize, Serialize};

/// When a fault was asked for, when it was seen to have effect, and how that is known. Times are nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Just before the request.
    pub requested_ns: u64,
    /// The first moment at which the effect was seen; the true moment lies between the two.
    pub effective_ns: u64,
    /// What was seen.
    pub proof: String,
}
