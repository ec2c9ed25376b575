//! What the judgement has to know of those that a trial was played on: our own pair, or a broker that is not ours.

use super::Context;
use crate::checks;
use crate::clock::NS_PER_MS;
use crate::cluster::{Foreign, NodeId, Pair};
use crate::plan::TrialPlan;
use crate::targets::{Acknowledgements, Promise, TargetQueue};
use loadgen::verdict::{AsyncBound, StorePromise};

/// Whom a trial was played on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// Our own pair.
    Pair(&'a Pair),
    /// Another broker or pair, and its queue.
    Foreign(&'a Foreign, &'a TargetQueue),
}

impl Subject<'_> {
    /// A node as the load generator names it in its records.
    pub(super) fn server(self, node: NodeId) -> String {
        match self {
            Self::Pair(pair) => pair.url(node),
            Self::Foreign(foreign, _) => foreign.url(node).to_string(),
        }
    }

    /// Who serves once this node does not.
    pub(super) fn successor(self, victim: NodeId) -> NodeId {
        match self {
            Self::Pair(_) => victim.peer(),
            Self::Foreign(foreign, _) => foreign.successor(victim),
        }
    }

    /// What a node logged, where its words are understood.
    pub(super) fn logs(self, node: NodeId) -> Option<String> {
        match self {
            Self::Pair(pair) => Some(pair.read_logs(node)),
            Self::Foreign(..) => None,
        }
    }

    /// What a fault may cost.
    pub(super) fn promise(self, context: &Context<'_>, plan: &TrialPlan) -> StorePromise {
        match self {
            Self::Pair(_) => checks::promise(plan.store, &context.plan.pair_of(plan)),
            Self::Foreign(_, TargetQueue { promise: Promise::NothingLost, .. }) => StorePromise::Sync,
            Self::Foreign(_, TargetQueue { promise: Promise::NewestLost { span }, .. }) => {
                let span_ns = span.map(|span| span.as_millis() as u64 * NS_PER_MS);
                StorePromise::Async(AsyncBound { messages: None, bytes: None, span_ns })
            }
        }
    }

    /// Whether what was acknowledged must not come back.
    pub(super) fn confirms_acknowledgements(self) -> bool {
        match self {
            Self::Pair(_) => true,
            Self::Foreign(foreign, _) => foreign.target().clients.acknowledgements == Acknowledgements::Confirmed,
        }
    }

    /// Whether clients find the same node again, which nobody stands in for.
    pub(super) fn is_lone(self) -> bool {
        matches!(self, Self::Foreign(foreign, _) if foreign.target().is_lone())
    }

    /// When a node that is not ours was started last.
    pub(super) fn started_ns(self, node: NodeId) -> Option<u64> {
        match self {
            Self::Pair(_) => None,
            Self::Foreign(foreign, _) => Some(foreign.started_ns(node)),
        }
    }
}
