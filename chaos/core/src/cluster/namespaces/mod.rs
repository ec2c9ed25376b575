//! Two hosts as network namespaces: node A's, node B's, and the harness's own as the clients' host, each joined to the two others by a veth pair.
//!
//! Owns the namespaces and their addresses, and removes them. What is cut between them is [`rules`]; a node enters its namespace itself
//! ([`crate::node`]). Delays are not made here: there the links are proxied.
//!
//! ```text
//!        clients (the harness)
//!        .1 /            \ .5
//!   "clients"          "clients"
//!      .2 /                \ .6
//!   host A  .9 "peer" .10  host B
//! ```

mod names;
pub mod rules;
mod subnet;
mod tools;

use super::NodeId;
use crate::cleanup;
use crate::error::Result;
use std::net::Ipv4Addr;
use subnet::Subnet;

/// The interface of a host that leads to the clients.
const CLIENTS: &str = "clients";
/// The interface of a host that leads to the other host.
const PEER: &str = "peer";

/// Two hosts. Dropping them removes their namespaces; the nodes in them must have ended.
#[derive(Debug)]
pub struct Hosts {
    namespaces: [String; 2],
    subnet: Subnet,
}

impl Hosts {
    /// Makes both hosts, with addresses that no route of this machine leads to. What a run left behind that was killed is removed first.
    pub fn create() -> Result<Self> {
        remove_leftovers()?;
        let owner = names::Owner::this();
        let number = names::next_number();
        let subnet =
            Subnet::choose(&tools::run("ip", &["-4", "-o", "route", "show", "table", "all"], "")?, owner.seed(number))?;
        let namespaces = NodeId::BOTH.map(|node| owner.namespace(number, node));
        // Registered before they exist: half of them is to be removed as well.
        namespaces.iter().for_each(|name| cleanup::add_namespace(name));
        let hosts = Self { namespaces, subnet };
        hosts.wire(&NodeId::BOTH.map(|node| owner.interface(number, node)))?;
        Ok(hosts)
    }

    fn wire(&self, outside: &[String; 2]) -> Result<()> {
        let [a, b] = &self.namespaces;
        let mut own =
            format!("netns add {a}\nnetns add {b}\nlink add {PEER} netns {a} type veth peer name {PEER} netns {b}\n");
        for node in NodeId::BOTH {
            let (inside, outside) = (&self.namespaces[node.index()], &outside[node.index()]);
            own += &format!(
                "link add {outside} type veth peer name {CLIENTS} netns {inside}
address add {}/30 dev {outside}
link set {outside} up
",
                self.subnet.harness(node)
            );
        }
        tools::run("ip", &["-batch", "-"], &own)?;
        for node in NodeId::BOTH {
            let inside = format!(
                "link set lo up
address add {}/30 dev {CLIENTS}
link set {CLIENTS} up
address add {}/30 dev {PEER}
link set {PEER} up
",
                self.subnet.clients(node),
                self.subnet.peer(node)
            );
            tools::run("ip", &["-n", self.namespace(node), "-batch", "-"], &inside)?;
        }
        Ok(())
    }

    /// The name of a node's namespace.
    pub fn namespace(&self, node: NodeId) -> &str {
        &self.namespaces[node.index()]
    }

    /// Where clients and the harness reach a node.
    pub fn client_address(&self, node: NodeId) -> Ipv4Addr {
        self.subnet.clients(node)
    }

    /// Where its peer reaches a node.
    pub fn peer_address(&self, node: NodeId) -> Ipv4Addr {
        self.subnet.peer(node)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.namespaces {
            if cleanup::remove_namespace(name) {
                remove(name);
            }
        }
    }
}

/// Removes a namespace; its interfaces go with it, and so do their other ends.
pub(crate) fn remove(name: &str) {
    if let Err(error) = tools::run("ip", &["netns", "delete", name], "") {
        eprintln!("chaos: {error}");
    }
}

/// Why this machine cannot have hosts of its own, if it cannot. Tries it.
pub fn unavailable() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    for (program, package) in [("ip", "iproute2"), ("nft", "nftables")] {
        if !tools::exists(program) {
            return Some(format!("there is no {program}; install the package {package}"));
        }
    }
    let tried = Hosts::create().and_then(|hosts| rules::Rules::try_out(&hosts));
    tried.err().map(|error| format!("this machine allows no network namespaces with rules: {error}"))
}

/// Removes the namespaces of harnesses that are gone.
fn remove_leftovers() -> Result<()> {
    let listed = tools::run("ip", &["netns", "list"], "")?;
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        if names::Owner::of(name).is_some_and(|owner| !owner.lives()) {
            remove(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
