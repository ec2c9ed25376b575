//! Owns what a report says about the machine: the clock that measures, what reading it costs, cores and kernel.

use std::fs::read_to_string;

use serde::Serialize;

use crate::clock::now_ns;

/// Readings that the cost of one is taken from.
const READINGS: u32 = 1_000;

/// Where a run was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Host {
    /// What the kernel derives CLOCK_MONOTONIC from, such as `tsc`; `unknown` where it does not say.
    pub clock_source: String,
    /// What one reading of the clock costs, in nanoseconds.
    pub clock_read_ns: f64,
    /// Cores that the process may use.
    pub cores: usize,
    /// Release of the kernel.
    pub kernel: String,
}

impl Host {
    /// Asks the system.
    #[must_use]
    pub fn read() -> Self {
        let line = |path: &str| read_to_string(path).map(|text| text.trim().to_owned());
        let unknown = |_| "unknown".to_owned();
        let begin_ns = now_ns();
        for _ in 1..READINGS {
            std::hint::black_box(now_ns());
        }
        Self {
            clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource")
                .unwrap_or_else(unknown),
            clock_read_ns: (now_ns() - begin_ns) as f64 / f64::from(READINGS),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: line("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
        }
    }

    /// What of the clock makes short latencies doubtful, in one sentence.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        (self.clock_read_ns > 1_000.0).then(|| {
            let Self { clock_source, clock_read_ns, .. } = self;
            format!("reading the clock ({clock_source}) takes {clock_read_ns:.0} ns: latencies of microseconds are not exact")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_clock_is_named() {
        let host = Host::read();
        assert!(host.clock_read_ns > 0.0 && host.cores > 0 && !host.kernel.is_empty(), "{host:?}");
        let slow = Host { clock_source: "hpet".to_owned(), clock_read_ns: 2_500.0, ..host };
        assert!(slow.doubt().is_some_and(|doubt| doubt.contains("hpet") && doubt.contains("2500 ns")));
    }
}
