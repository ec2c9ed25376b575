//! What the trials of one cell give: a value of each time for each trial, and the latencies that its log holds.

use super::tail::Recorded;
use crate::error::Result;
use crate::latency::Latency;
use crate::result::{Observed, RunResult, TrialResult};
use crate::scenario::Cell;
use hdrhistogram::Histogram;
use std::path::Path;

/// A time of a trial: `None` where it does not apply, a lower bound where it was not reached.
type Time = fn(&TrialResult) -> Option<Observed>;

/// The times that are compared.
pub(super) const TIMES: [(&str, Time); 7] = [
    ("failover", TrialResult::failover),
    ("steady", TrialResult::rto),
    ("detection", |trial| trial.times_ms.detection.map(Observed::At)),
    ("claim", |trial| trial.times_ms.claim.map(Observed::At)),
    ("store-recovery", |trial| trial.times_ms.store_recovery.map(Observed::At)),
    ("reattach", |trial| trial.times_ms.reattach.map(Observed::At)),
    ("first-delivery", |trial| trial.times_ms.first_delivery.map(Observed::At)),
];
/// The latencies that are compared, each by its percentiles: outside the fault, where the name does not say otherwise.
pub(super) const LATENCIES: [&str; 3] = ["response", "response-in-fault", "service"];

/// One cell of one run.
#[derive(Debug)]
pub(super) struct Samples {
    /// In the order of [`TIMES`], ms; an inner `None` was not reached.
    pub(super) times: [Vec<Option<f64>>; TIMES.len()],
    /// In the order of [`LATENCIES`], trial by trial.
    pub(super) latencies: [Vec<Recorded>; LATENCIES.len()],
}

impl Samples {
    pub(super) fn read(folder: &Path, result: &RunResult, cell: &Cell) -> Result<Self> {
        let trials: Vec<&TrialResult> = result.trials.iter().filter(|trial| trial.cell() == *cell).collect();
        let times =
            TIMES.map(|(_, time)| trials.iter().filter_map(|trial| time(trial)).map(Observed::reached).collect());
        let mut latencies: [Vec<Recorded>; LATENCIES.len()] = Default::default();
        for trial in trials {
            let path = folder.join(format!("{}.hlog", trial.file_stem()));
            if !path.exists() {
                continue;
            }
            let mut latency = Latency::default();
            latency.add_log(&path)?;
            let service = latency.service.outside_fault();
            let all = [&latency.response.outside_fault(), &latency.response.fault, &service];
            for (list, histogram) in latencies.iter_mut().zip(all) {
                list.push(recorded(histogram));
            }
        }
        Ok(Self { times, latencies })
    }
}

fn recorded(histogram: &Histogram<u64>) -> Recorded {
    histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
}
