//! Sixteen private addresses that no route of the machine touches, and who gets which: pure but for the caller's list of routes.

use crate::cluster::NodeId;
use crate::error::{Error, Result};
use std::net::Ipv4Addr;

/// Where networks are looked for: 10.192.0.0/10, in blocks of sixteen.
const FIRST: u32 = u32::from_be_bytes([10, 192, 0, 0]);
const BLOCKS: u32 = 1 << 18;
const BLOCK_BITS: u32 = 4;

/// The block. Three links of four addresses each lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet {
    base: u32,
}

/// What a route leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    base: u32,
    bits: u32,
}

impl Subnet {
    /// The first free block at or after the one that `seed` names. `routes` is what `ip -4 -o route show table all` prints.
    pub(super) fn choose(routes: &str, seed: u32) -> Result<Self> {
        let taken: Vec<Network> = routes.lines().filter_map(Network::parse).collect();
        (0..BLOCKS)
            .map(|step| Self { base: FIRST + ((seed.wrapping_add(step) % BLOCKS) << BLOCK_BITS) })
            .find(|block| !taken.iter().any(|network| network.touches(block.base)))
            .ok_or(Error::NoAddresses)
    }

    fn address(self, host: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base + host)
    }

    /// The harness's end of its link to a node.
    pub(super) fn harness(self, node: NodeId) -> Ipv4Addr {
        self.address(1 + 4 * node.index() as u32)
    }

    /// A node's end of that link.
    pub(super) fn clients(self, node: NodeId) -> Ipv4Addr {
        self.address(2 + 4 * node.index() as u32)
    }

    /// A node's end of the link to the other node.
    pub(super) fn peer(self, node: NodeId) -> Ipv4Addr {
        self.address(9 + node.index() as u32)
    }
}

impl Network {
    /// The destination of a line; the default route leads everywhere and takes nothing.
    fn parse(line: &str) -> Option<Self> {
        let destination = line.split_whitespace().find(|word| word.contains('.'))?;
        if line.trim_start().starts_with("default") {
            return None;
        }
        let (address, bits) = destination.split_once('/').unwrap_or((destination, "32"));
        let bits = bits.parse().ok().filter(|bits| *bits <= 32)?;
        Some(Self { base: address.parse::<Ipv4Addr>().ok()?.to_bits(), bits })
    }

    fn touches(self, block: u32) -> bool {
        let bits = self.bits.min(32 - BLOCK_BITS);
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        self.base & mask == block & mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_a_route_touches_is_passed_over() {
        let free =
            Subnet::choose("default via 192.0.2.1 dev eth0\n192.0.2.0/24 dev eth0 scope link\n", 5).expect("free");
        assert_eq!(free.address(0), Ipv4Addr::new(10, 192, 0, 80));
        let check = |routes: &str, expected: [u8; 4]| {
            assert_eq!(Subnet::choose(routes, 5).expect("free").address(0), Ipv4Addr::from(expected), "{routes}");
        };
        check("local 10.192.0.85 dev lo table local", [10, 192, 0, 96]);
        check("10.192.0.80/30 dev x\n10.192.0.96/27 dev y", [10, 192, 0, 128]);
        check("10.192.0.0/16 dev x", [10, 193, 0, 0]);
        check("broadcast 10.192.0.95 dev x table local", [10, 192, 0, 96]);
    }

    #[test]
    fn where_everything_is_taken_there_is_an_error() {
        assert!(matches!(Subnet::choose("10.0.0.0/8 via 192.0.2.1 dev vpn", 0), Err(Error::NoAddresses)));
        assert!(Subnet::choose("10.0.0.0/9 via 192.0.2.1 dev vpn", u32::MAX).is_ok());
    }

    #[test]
    fn the_three_links_have_their_own_addresses() {
        let subnet = Subnet::choose("", 0).expect("free");
        let last = |address: Ipv4Addr| address.octets()[3];
        let ends = NodeId::BOTH.map(|node| [subnet.harness(node), subnet.clients(node), subnet.peer(node)].map(last));
        assert_eq!(ends, [[1, 2, 9], [5, 6, 10]]);
    }
}
