//! What the log has been told lately, so that one misconfigured peer that tries again twice a second does not fill it.

use reactor::Nanos;
use std::collections::HashMap;
use std::net::IpAddr;

/// The same complaint about the same address is not repeated for so long.
const SILENCE: Nanos = 30_000_000_000;
/// Addresses that are remembered; beyond it all are forgotten, so that the log tells more rather than less.
const ADDRESSES_MAX: usize = 1024;

/// The last complaint about each address; `None` is the peer that we connect to.
#[derive(Debug, Default)]
pub(crate) struct Complaints(HashMap<Option<IpAddr>, (Nanos, String)>);

impl Complaints {
    /// Whether the log should be told.
    pub(crate) fn is_news(&mut self, now: Nanos, address: Option<IpAddr>, reason: &str) -> bool {
        if self.0.get(&address).is_some_and(|(at, said)| said == reason && now < at + SILENCE) {
            return false;
        }
        if self.0.len() >= ADDRESSES_MAX {
            self.0.clear();
        }
        self.0.insert(address, (now, reason.to_owned()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_same_is_not_said_twice_in_a_row() {
        let mut complaints = Complaints::default();
        let address = |number: u32| Some(IpAddr::V4(Ipv4Addr::from_bits(number)));
        assert!(complaints.is_news(0, None, "expired"));
        assert!(!complaints.is_news(SILENCE - 1, None, "expired"));
        assert!(complaints.is_news(5, None, "unknown"), "another reason");
        assert!(complaints.is_news(6, address(1), "unknown"), "another address");
        assert!(complaints.is_news(6 + SILENCE, address(1), "unknown"), "still so");
        for number in 0..5000 {
            complaints.is_news(7, address(number), "flood");
        }
        assert!(complaints.0.len() <= ADDRESSES_MAX);
    }
}
