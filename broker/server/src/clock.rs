//! Wall-clock time from the reactor's monotonic time. Owns the offset between the two; reads the system clock once, at start.

use reactor::Nanos;
use std::time::{SystemTime, UNIX_EPOCH};

/// Turns monotonic into wall-clock time.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    /// Wall clock at monotonic zero, milliseconds since 1970.
    zero_ms: u64,
}

impl WallClock {
    /// From the system's clock, `now` being the monotonic present.
    pub fn from_system(now: Nanos) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallClock { zero_ms: (wall.as_millis() as u64).saturating_sub(now / 1_000_000) }
    }

    /// A clock whose monotonic zero is `zero_ms`, for simulations.
    pub fn starting_at(zero_ms: u64) -> Self {
        WallClock { zero_ms }
    }

    /// Milliseconds since 1970.
    pub fn wall_ms(&self, now: Nanos) -> u64 {
        self.zero_ms + now / 1_000_000
    }
}
