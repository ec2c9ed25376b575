//! What lies between the two servers, and between them and the clients: nothing, a proxy on each way, or a network of their own.
//!
//! Owns proxies and hosts, and says who is reached where. What is done to them is [`crate::faults::network`].

use super::NodeId;
use super::configuration::Addresses;
use super::namespaces::Hosts;
use crate::error::{Error, Result};
use crate::faults::network::{Direction, Proxy};
use crate::scenario::Wiring;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// On hosts of their own every port is free; this is the one that the protocol's other users know.
const PORT: u16 = 7222;

/// Which links of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The fault-tolerance link.
    Peer,
    /// Those to clients.
    Clients,
    /// All of them.
    #[default]
    Everything,
}

/// Which direction of a link, as its server sees it; of the fault-tolerance link where no server is named, as the active one does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// What it sends.
    Out,
    /// What is sent to it.
    In,
    /// Both.
    #[default]
    Both,
}

impl fmt::Display for Way {
    /// To be appended to what is done.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Out => " outwards",
            Self::In => " inwards",
            Self::Both => "",
        })
    }
}

/// One of the proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyName {
    /// Through which this node connects to its peer.
    Peer(NodeId),
    /// Through which clients connect to this node.
    Clients(NodeId),
}

/// The links of a pair; they end when this is dropped.
#[derive(Debug, Default)]
pub struct Links {
    peer: Option<[Proxy; 2]>,
    clients: Option<[Proxy; 2]>,
    hosts: Option<Hosts>,
}

impl Links {
    /// Sets them up: `peer` is what lies between the servers, `clients` what lies between them and clients. Returns who is reached where,
    /// too. `seed` decides the jitter of proxies.
    pub fn start(peer: Wiring, clients: Wiring, seed: u64) -> Result<(Self, Addresses)> {
        if peer == Wiring::Namespaces || clients == Wiring::Namespaces {
            let hosts = Hosts::create()?;
            let addresses = on_hosts(&hosts);
            return Ok((Self { hosts: Some(hosts), ..Self::default() }, addresses));
        }
        // Kept until the proxies listen: one of them could get a server's port.
        let (mut addresses, _kept) = Addresses::free()?;
        let mut links = Self::default();
        let proxies = |targets: [SocketAddr; 2], seed: u64| -> Result<[Proxy; 2]> {
            Ok([Proxy::start(targets[0], seed)?, Proxy::start(targets[1], !seed)?])
        };
        if peer == Wiring::Proxied {
            let proxies = links.peer.insert(proxies(addresses.peer, seed)?);
            addresses.peer = proxies.each_ref().map(Proxy::address);
        }
        if clients == Wiring::Proxied {
            let proxies = links.clients.insert(proxies(addresses.clients, seed.rotate_left(32))?);
            addresses.clients = proxies.each_ref().map(Proxy::address);
        }
        Ok((links, addresses))
    }

    /// The servers' own hosts, if they have any.
    pub fn hosts(&self) -> Option<&Hosts> {
        self.hosts.as_ref()
    }

    /// A proxy that must be there.
    pub fn proxy(&self, name: ProxyName) -> Result<&Proxy> {
        let (proxies, node) = match name {
            ProxyName::Peer(node) => (&self.peer, node),
            ProxyName::Clients(node) => (&self.clients, node),
        };
        let proxies = proxies.as_ref().ok_or(Error::NoLink { needed: "a proxied link" })?;
        Ok(&proxies[node.index()])
    }

    /// The directions of proxies through which a server sends (`Out`) and is sent to (`In`), as far as links are proxied. The two servers
    /// have a proxy each on the link between them, since either may connect.
    pub fn lanes(&self, node: NodeId, side: Side, way: Way) -> Vec<(ProxyName, Direction)> {
        let mut lanes = Vec::new();
        if self.peer.is_some() && side != Side::Clients {
            lanes.extend([(ProxyName::Peer(node), Way::Out), (ProxyName::Peer(node.peer()), Way::In)]);
        }
        if self.clients.is_some() && side != Side::Peer {
            lanes.push((ProxyName::Clients(node), Way::In));
        }
        let directed = lanes.into_iter().flat_map(|(name, forward)| {
            let backward = if forward == Way::Out { Way::In } else { Way::Out };
            [(forward, (name, Direction::Forward)), (backward, (name, Direction::Backward))]
        });
        directed.filter(|(towards, _)| way == Way::Both || way == *towards).map(|(_, lane)| lane).collect()
    }
}

fn on_hosts(hosts: &Hosts) -> Addresses {
    let clients = NodeId::BOTH.map(|node| SocketAddr::from((hosts.client_address(node), PORT)));
    let peer = NodeId::BOTH.map(|node| SocketAddr::from((hosts.peer_address(node), PORT)));
    let listen = NodeId::BOTH.map(|node| vec![clients[node.index()], peer[node.index()]]);
    Addresses { listen, peer: [peer[1], peer[0]], clients }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_sends_through_the_directions_that_lead_away_from_it() {
        let (links, _) = Links::start(Wiring::Proxied, Wiring::Proxied, 7).expect("free ports");
        let (a, b) = (NodeId::A, NodeId::B);
        let (forward, backward) = (Direction::Forward, Direction::Backward);
        assert_eq!(
            links.lanes(a, Side::Everything, Way::Out),
            [(ProxyName::Peer(a), forward), (ProxyName::Peer(b), backward), (ProxyName::Clients(a), backward)]
        );
        assert_eq!(
            links.lanes(a, Side::Peer, Way::In),
            [(ProxyName::Peer(a), backward), (ProxyName::Peer(b), forward)]
        );
        assert_eq!(links.lanes(a, Side::Peer, Way::In), {
            let mut others = links.lanes(b, Side::Peer, Way::Out);
            others.reverse();
            others
        });
        assert_eq!(links.lanes(b, Side::Clients, Way::Both).len(), 2);
    }

    #[test]
    fn whoever_is_proxied_is_reached_through_the_proxy() {
        let (links, addresses) = Links::start(Wiring::Proxied, Wiring::Direct, 7).expect("free ports");
        assert_eq!(addresses.peer[0], links.proxy(ProxyName::Peer(NodeId::A)).expect("it is proxied").address());
        assert_eq!(addresses.clients[1], addresses.listen[1][0]);
        assert!(links.proxy(ProxyName::Clients(NodeId::A)).is_err() && links.hosts().is_none());
        let (links, addresses) = Links::start(Wiring::Direct, Wiring::Proxied, 7).expect("free ports");
        assert_eq!(addresses.clients[1], links.proxy(ProxyName::Clients(NodeId::B)).expect("it is proxied").address());
        assert_eq!([addresses.peer[1], addresses.peer[0]], addresses.listen.each_ref().map(|listen| listen[0]));
        assert!(links.lanes(NodeId::A, Side::Peer, Way::Both).is_empty());
    }
}
