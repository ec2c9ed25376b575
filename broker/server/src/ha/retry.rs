//! When to try again: often at first, then ever more slowly.

use super::Nanos;

const MS: Nanos = 1_000_000;
/// Tries while hope is fresh. A killed process frees its lock within milliseconds, but the kernel may hold it until
/// input and output in flight have ended.
const FAST: Nanos = 10 * MS;
/// How long hope is fresh.
const FRESH: Nanos = 1_000 * MS;
/// First and longest pause afterwards.
const SLOW_MIN: Nanos = 50 * MS;
const SLOW_MAX: Nanos = 500 * MS;

/// A series of tries.
#[derive(Debug)]
pub(super) struct Retry {
    /// When the next one is due; none while one is under way, or nothing is sought.
    pub(super) at: Option<Nanos>,
    fresh_until: Nanos,
    pause: Nanos,
}

impl Retry {
    pub(super) fn new() -> Self {
        Self { at: None, fresh_until: 0, pause: SLOW_MIN }
    }

    /// Begins a series with a first try after `delay`.
    pub(super) fn begin(&mut self, now: Nanos, delay: Nanos) {
        *self = Self { at: Some(now + delay), fresh_until: now + delay + FRESH, pause: SLOW_MIN };
    }

    /// The try failed: the next one, somewhat later by `jitter` (0 to 255 parts of a whole pause).
    pub(super) fn again(&mut self, now: Nanos, jitter: u8) {
        let pause = if now < self.fresh_until { FAST } else { self.pause };
        if now >= self.fresh_until {
            self.pause = (self.pause * 2).min(SLOW_MAX);
        }
        self.at = Some(now + pause + pause * Nanos::from(jitter) / 256);
    }

    pub(super) fn stop(&mut self) {
        self.at = None;
    }

    /// Whether a try is due; it counts as under way then.
    pub(super) fn take(&mut self, now: Nanos) -> bool {
        let due = self.at.is_some_and(|at| at <= now);
        if due {
            self.at = None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_slow_down() {
        let mut retry = Retry::new();
        retry.begin(0, 5 * MS);
        let mut tries = Vec::new();
        while let Some(at) = retry.at.filter(|at| *at < 5_000 * MS) {
            assert!(!retry.take(at - 1) && retry.take(at));
            tries.push(at / MS);
            retry.again(at, 0);
        }
        assert_eq!(tries[..3], [5, 15, 25]);
        assert_eq!(tries.iter().filter(|at| **at <= 1_005).count(), 101);
        assert_eq!(tries[101..106], [1_055, 1_155, 1_355, 1_755, 2_255]);
    }
}
