//! What is cut off between hosts: rules of the packet filter in the namespace of one of them, and their counters as evidence.
//!
//! A cut is a table of its own, so that several may overlap and each is removed by itself. Behind each rule that stops packets stands one
//! that counts what still passes.

use super::{CLIENTS, Hosts, PEER, tools};
use crate::cluster::NodeId;
use crate::cluster::links::{Side, Way};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};

/// What happens to the packets that are stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manner {
    /// They vanish.
    #[default]
    Drop,
    /// Their sender is answered with a TCP reset.
    Reject,
}

/// A cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// In whose namespace the rules stand.
    pub host: NodeId,
    /// From what it is cut off.
    pub side: Side,
    /// Which packets are stopped.
    pub way: Way,
    /// What happens to the packets that are stopped.
    pub manner: Manner,
}

/// What the counters of a cut say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packets {
    /// Packets that were stopped.
    pub stopped: u64,
    /// Packets that passed all the same.
    pub passed: u64,
}

/// Rules that are in force until they are removed, or the namespace is.
#[derive(Debug)]
pub struct Rules {
    namespace: String,
    table: String,
}

impl Rules {
    /// Puts a cut into force; when this returns, it is.
    pub fn enforce(hosts: &Hosts, cut: &Cut) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let table = format!("cut{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let rules = Self { namespace: hosts.namespace(cut.host).to_owned(), table };
        rules.nft(&["-f", "-"], &text(&rules.table, cut))?;
        Ok(rules)
    }

    /// What the counters say now.
    pub fn packets(&self) -> Result<Packets> {
        let listed = self.nft(&["-j", "list", "table", "inet", &self.table], "")?;
        count(&listed).ok_or_else(|| Error::Tool { command: format!("nft list table {}", self.table), said: listed })
    }

    /// Removes the rules and returns the counters' last word.
    pub fn remove(self) -> Result<Packets> {
        let packets = self.packets()?;
        self.nft(&["delete", "table", "inet", &self.table], "")?;
        Ok(packets)
    }

    /// Whether the kernel takes such rules at all.
    pub(super) fn try_out(hosts: &Hosts) -> Result<()> {
        for manner in [Manner::Drop, Manner::Reject] {
            let cut = Cut { host: NodeId::A, side: Side::Everything, way: Way::Both, manner };
            Self::enforce(hosts, &cut)?.remove()?;
        }
        Ok(())
    }

    fn nft(&self, arguments: &[&str], input: &str) -> Result<String> {
        let arguments = [&["netns", "exec", &self.namespace, "nft"], arguments].concat();
        tools::run("ip", &arguments, input)
    }
}

/// The table. The resets that answer rejected packets are let out: they are what the other side shall see.
fn text(table: &str, cut: &Cut) -> String {
    let interfaces = match cut.side {
        Side::Peer => format!("\"{PEER}\""),
        Side::Clients => format!("\"{CLIENTS}\""),
        Side::Everything => format!("{{ \"{PEER}\", \"{CLIENTS}\" }}"),
    };
    let mut text = format!("table inet {table} {{\n");
    for (hook, by, stops) in [("input", "iifname", cut.way != Way::Out), ("output", "oifname", cut.way != Way::In)] {
        if !stops {
            continue;
        }
        let resets = if cut.manner == Manner::Reject {
            format!("{by} {interfaces} tcp flags rst accept\n")
        } else {
            String::new()
        };
        let verdict = match cut.manner {
            Manner::Drop => format!("{by} {interfaces} counter drop comment \"stopped\""),
            Manner::Reject => format!(
                "{by} {interfaces} meta l4proto tcp counter reject with tcp reset comment \"stopped\"
{by} {interfaces} counter drop comment \"stopped\""
            ),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "chain {hook} {{ type filter hook {hook} priority 0;
{resets}{verdict}
}}
chain behind_{hook} {{ type filter hook {hook} priority 10;
{resets}{by} {interfaces} counter comment \"passed\"
}}
"
        );
    }
    text + "}\n"
}

/// Adds up the counters of `nft -j list table`, by the comments of their rules.
fn count(listed: &str) -> Option<Packets> {
    let listed: serde_json::Value = serde_json::from_str(listed).ok()?;
    let mut packets = Packets::default();
    for rule in listed.get("nftables")?.as_array()?.iter().filter_map(|entry| entry.get("rule")) {
        let expressions = rule.get("expr").and_then(serde_json::Value::as_array).into_iter().flatten();
        let counted: u64 = expressions.filter_map(|one| one.get("counter")?.get("packets")?.as_u64()).sum();
        match rule.get("comment").and_then(serde_json::Value::as_str) {
            Some("stopped") => packets.stopped += counted,
            Some("passed") => packets.passed += counted,
            _ => {}
        }
    }
    Some(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_names_its_interfaces_and_its_hooks() {
        let cut = |side, way, manner| text("cut1", &Cut { host: NodeId::A, side, way, manner });
        let one_way = cut(Side::Peer, Way::Out, Manner::Drop);
        assert!(one_way.contains("oifname \"peer\" counter drop") && !one_way.contains("input"), "{one_way}");
        assert!(!one_way.contains("reset") && !one_way.contains(CLIENTS), "{one_way}");
        let all = cut(Side::Everything, Way::Both, Manner::Reject);
        assert!(all.contains("hook input") && all.contains("hook output"), "{all}");
        assert!(
            all.contains("iifname { \"peer\", \"clients\" } meta l4proto tcp counter reject with tcp reset"),
            "{all}"
        );
        assert!(cut(Side::Clients, Way::In, Manner::Drop).contains("iifname \"clients\" counter drop"));
    }

    #[test]
    fn counters_are_added_by_their_comments() {
        let rule = |comment: &str, packets: u64| {
            format!(
                r#"{{"rule": {{"comment": "{comment}", "expr": [{{"match": {{}}}}, {{"counter": {{"packets": {packets}, "bytes": 9}}}}, {{"drop": null}}]}}}}"#
            )
        };
        let listed = format!(
            r#"{{"nftables": [{{"metainfo": {{}}}}, {}, {}, {}, {{"rule": {{"expr": [{{"accept": null}}]}}}}]}}"#,
            rule("stopped", 3),
            rule("passed", 1),
            rule("stopped", 4)
        );
        assert_eq!(count(&listed), Some(Packets { stopped: 7, passed: 1 }));
        assert_eq!(count("Error: no such table"), None);
    }
}
