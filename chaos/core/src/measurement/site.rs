//! Where measurements take place: brokers on fresh stores, a queue that is filled and drained, and its judgement.

use super::result::Draft;
use super::{Broker, Request};
use crate::backlog::{Drained, Queue};
use crate::checks;
use crate::cleanup::TemporaryFolder;
use crate::cluster::{NodeId, Pair, Settings, Setup};
use crate::error::{Error, Result};
use crate::plan::{LoadPlan, PairPlan};
use crate::progress::Progress;
use loadgen::ledger::Ledger;
use loadgen::verdict::{Rules, judge};
use nix::unistd::Pid;
use std::path::Path;

/// What all steps of a measurement share.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) request: &'a Request,
    pub(super) store_parent: &'a Path,
    pub(super) progress: &'a Progress,
}

/// Body of each message, bytes: that of the trials' load.
pub(super) fn payload_bytes() -> usize {
    LoadPlan::default().size_bytes
}

impl Site<'_> {
    /// Starts a broker on a fresh store, alone or with a standby, as the request says.
    pub(super) async fn start(&self, broker: &Broker, mut settings: Settings) -> Result<Pair> {
        let standby = self.request.standby;
        settings.extend(standby.map(|standby| ("standby_tailing".to_owned(), standby.tailing().to_owned())));
        let setup = Setup { lone: standby.is_none(), settings, ..Setup::default() };
        let folder = TemporaryFolder::new(self.store_parent, "pair-", self.request.keep)?;
        Pair::start(broker.launcher.clone(), &pair_plan(), &setup, folder).await
    }

    /// The queue under test.
    pub(super) fn queue<'a>(&'a self, pair: &'a Pair) -> Queue<'a> {
        let address = self.request.store.address();
        Queue { pair, address, payload_bytes: payload_bytes(), progress: self.progress }
    }

    /// Judges what was drained against what was confirmed before.
    pub(super) fn judge(&self, draft: &mut Draft, mut ledger: Ledger, drained: Drained) {
        ledger.consumers = drained.consumers;
        self.judge_run(draft, &ledger, drained.complete, None);
    }

    /// Judges a record; a violation or a doubt becomes that of the measurement.
    pub(super) fn judge_run(&self, draft: &mut Draft, ledger: &Ledger, drained: bool, lag_p99_ns: Option<u64>) {
        let store = checks::promise(self.request.store, &pair_plan());
        let rules = Rules {
            store,
            drained,
            acks_confirmed: true,
            one_active: true,
            generator_lag_p99_ns: lag_p99_ns,
            ..Rules::default()
        };
        let verdict = judge(ledger, &rules);
        for reason in &verdict.reasons {
            draft.lower(checks::verdict(&verdict), reason.clone());
        }
    }

    /// The process of the active server.
    pub(super) fn active_pid(&self, pair: &Pair) -> Result<Pid> {
        let process = pair.active().and_then(|node| pair.process(node));
        process.map(crate::cluster::NodeProcess::pid).ok_or_else(|| Error::Roles {
            wanted: "an active server",
            seen: pair.roles(),
            limit_ms: 0,
        })
    }
}

/// Without a fault, small segments would only be in the way.
fn pair_plan() -> PairPlan {
    PairPlan { segment_bytes: 64 << 20, ..PairPlan::default() }
}

/// The node of a lone broker.
pub(super) const LONE: NodeId = NodeId::A;
