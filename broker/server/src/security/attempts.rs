//! Failed logins by address, and the pauses that they cost.
//!
//! Owns a bounded table of addresses. An address with more than a few failures may try one password after each pause, and
//! the pauses grow; what it was once granted is not taken away (see the memory of `authentication`). A connection has one
//! attempt in any case, as AMQP has it.

use reactor::Nanos;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

const MS: Nanos = 1_000_000;
/// Failures that cost no pause: people mistype.
const FREE_FAILURES: u32 = 3;
/// The first pause, which doubles with each further failure, and the longest.
const PAUSE_MIN: Nanos = 100 * MS;
const PAUSE_MAX: Nanos = 3_000 * MS;
/// An attempt that would have to wait longer is refused: it would meet the handshake's time-out.
const WAIT_MAX: Nanos = 5_000 * MS;
/// One failure is forgiven in this time.
const FORGIVENESS: Nanos = 20_000 * MS;
/// Failures remembered of an address.
const FAILURES_MAX: u32 = 30;
/// Addresses remembered. With more the one that failed longest ago is forgotten.
const ADDRESSES_MAX: usize = 4096;
/// Failures of one address are logged this often.
const LOG_PERIOD: Nanos = 10_000 * MS;

#[derive(Debug)]
struct Record {
    failures: u32,
    failed_at: Nanos,
    /// When the next attempt may begin.
    free_at: Nanos,
    logged_at: Option<Nanos>,
    unlogged: u32,
}

/// When an attempt may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Now.
    Now,
    /// At this time.
    At(Nanos),
    /// Not in a time worth waiting for.
    Never,
}

/// Failed logins by address.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    records: HashMap<IpAddr, Record>,
}

impl Attempts {
    /// An attempt from `address`; one that is given a time takes the address's turn at that time.
    pub(crate) fn ask(&mut self, now: Nanos, address: IpAddr) -> Turn {
        let Some(record) = self.records.get_mut(&site(address)) else { return Turn::Now };
        record.forgive(now);
        if record.failures <= FREE_FAILURES {
            return Turn::Now;
        }
        let at = record.free_at.max(now);
        if at - now > WAIT_MAX {
            return Turn::Never;
        }
        record.free_at = at + pause(record.failures);
        if at == now { Turn::Now } else { Turn::At(at) }
    }

    /// An attempt failed. Gives the number of failures to log, those that were not logged before among them; `None` when
    /// this address was logged a moment ago.
    pub(crate) fn failed(&mut self, now: Nanos, address: IpAddr) -> Option<u32> {
        let address = site(address);
        if self.records.len() >= ADDRESSES_MAX && !self.records.contains_key(&address) {
            self.forget_oldest();
        }
        let fresh = Record { failures: 0, failed_at: now, free_at: now, logged_at: None, unlogged: 0 };
        let record = self.records.entry(address).or_insert(fresh);
        record.forgive(now);
        record.failures = (record.failures + 1).min(FAILURES_MAX);
        record.failed_at = now;
        if record.failures > FREE_FAILURES {
            record.free_at = record.free_at.max(now + pause(record.failures));
        }
        record.unlogged += 1;
        if record.logged_at.is_some_and(|at| now < at + LOG_PERIOD) {
            return None;
        }
        record.logged_at = Some(now);
        Some(std::mem::take(&mut record.unlogged))
    }

    fn forget_oldest(&mut self) {
        let oldest = self.records.iter().min_by_key(|(_, record)| record.failed_at).map(|(address, _)| *address);
        if let Some(address) = oldest {
            self.records.remove(&address);
        }
    }
}

impl Record {
    fn forgive(&mut self, now: Nanos) {
        let forgiven = now.saturating_sub(self.failed_at) / FORGIVENESS;
        self.failures = self.failures.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        self.failed_at += forgiven * FORGIVENESS;
    }
}

fn pause(failures: u32) -> Nanos {
    let doublings = failures.saturating_sub(FREE_FAILURES + 1).min(16);
    (PAUSE_MIN << doublings).min(PAUSE_MAX)
}

/// Who has one address of an IPv6 network has 2^64 of them.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000 * MS;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn guessing_slows_down_and_is_forgiven() {
        let mut attempts = Attempts::default();
        let (mut now, mut guesses) = (0, 0);
        while now < 60 * SECOND {
            match attempts.ask(now, address(1)) {
                Turn::Now => {}
                Turn::At(at) => now = at,
                Turn::Never => panic!("one attempt at a time gets its turn"),
            }
            attempts.failed(now, address(1));
            guesses += 1;
        }
        assert!((20..30).contains(&guesses), "{guesses} guesses in a minute");
        assert_eq!(attempts.ask(now, address(2)), Turn::Now, "others do not suffer");
        assert_eq!(attempts.ask(now + u64::from(FAILURES_MAX) * FORGIVENESS, address(1)), Turn::Now);
    }

    #[test]
    fn many_attempts_at_once_take_turns() {
        let mut attempts = Attempts::default();
        (0..20).for_each(|_| _ = attempts.failed(0, address(1)));
        let turns: Vec<Turn> = (0..1000).map(|_| attempts.ask(0, address(1))).collect();
        let begun = turns.iter().filter(|turn| **turn != Turn::Never).count();
        assert_eq!(begun, 1, "{:?}", &turns[..4]);
        assert_eq!(turns[0], Turn::At(PAUSE_MAX));
    }

    #[test]
    fn a_few_mistakes_cost_nothing() {
        let mut attempts = Attempts::default();
        for _ in 0..FREE_FAILURES {
            attempts.failed(0, address(1));
            assert_eq!(attempts.ask(0, address(1)), Turn::Now);
        }
        attempts.failed(0, address(1));
        assert_eq!(attempts.ask(0, address(1)), Turn::At(PAUSE_MIN));
    }

    #[test]
    fn failures_are_logged_once_a_period_with_their_number() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.failed(0, address(1)), Some(1));
        (1..50).for_each(|_| assert_eq!(attempts.failed(SECOND, address(1)), None));
        assert_eq!(attempts.failed(1, address(2)), Some(1));
        assert_eq!(attempts.failed(LOG_PERIOD, address(1)), Some(50));
    }

    #[test]
    fn the_table_is_bounded_and_networks_are_one() {
        let mut attempts = Attempts::default();
        for index in 0..ADDRESSES_MAX as u32 + 100 {
            attempts.failed(u64::from(index), IpAddr::from(index.to_be_bytes()));
        }
        assert_eq!(attempts.records.len(), ADDRESSES_MAX);
        assert!(!attempts.records.contains_key(&IpAddr::from([0, 0, 0, 5])), "the oldest went");
        let site_of = |text: &str| site(text.parse().unwrap());
        assert_eq!(site_of("2001:db8::1"), site_of("2001:db8::ffff:1"));
        assert_ne!(site_of("2001:db8::1"), site_of("2001:db8:0:1::1"));
        assert_eq!(site_of("::ffff:10.0.0.1"), address(1));
    }
}
