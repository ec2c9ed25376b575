//! Owns the reading of CLOCK_MONOTONIC. It knows no schedule and no timer.
//!
//! The clock is the one that the broker stamps its event lines with, so times of several
//! processes of one host compare directly (harness rule: one clock for a whole trial).

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of CLOCK_MONOTONIC.
pub type Nanos = u64;

/// Nanoseconds in one second.
pub const SECOND_NS: Nanos = 1_000_000_000;
/// Nanoseconds in one millisecond.
pub const MILLISECOND_NS: Nanos = 1_000_000;

/// Now, in nanoseconds of CLOCK_MONOTONIC.
///
/// # Panics
/// Never on Linux: the clock always exists.
#[must_use]
pub fn now_ns() -> Nanos {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux always has CLOCK_MONOTONIC");
    (time.tv_sec() as u64) * SECOND_NS + time.tv_nsec() as u64
}
