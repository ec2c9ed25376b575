//! The numbers behind each plot, as CSV of the same name next to it. What has a file of its own (the series of a trial) is not repeated.

use super::plots::{Curve, PHASES};
use crate::result::{Observed, RunResult, TrialResult};
use crate::scenario::StoreSetting;

/// A field without the letter that would end it.
fn plain(text: &str) -> String {
    text.replace(',', ";")
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.3}"))
}

/// Trial, scenario and place: the first columns of what is about trials.
fn name(trial: &TrialResult) -> String {
    format!("{},{},{}", trial.number, trial.scenario, plain(&trial.cell().place()))
}

/// Failover times; `censored` says that the value is only a lower bound.
pub(super) fn failover<'a>(trials: impl IntoIterator<Item = &'a TrialResult>) -> String {
    let mut text = "trial,scenario,place,failover_ms,censored\n".to_owned();
    for (trial, observed) in trials.into_iter().filter_map(|trial| Some((trial, trial.failover()?))) {
        let is_censored = matches!(observed, Observed::Beyond(_));
        text += &format!("{},{:.3},{is_censored}\n", name(trial), observed.ms());
    }
    text
}

/// The moments that end the phases.
pub(super) fn waterfall(trials: &[&TrialResult]) -> String {
    let heads = PHASES.iter().map(|(name, ..)| format!("{}_ends_ms", name.replace(' ', "_"))).collect::<Vec<_>>();
    let mut text = format!("trial,scenario,place,{},steady_ms\n", heads.join(","));
    for trial in trials.iter().filter(|trial| trial.failover().is_some()) {
        let ends = PHASES.map(|(.., end_ms)| optional(end_ms(&trial.instants_ms))).join(",");
        text += &format!("{},{ends},{}\n", name(trial), optional(trial.instants_ms.ts));
    }
    text
}

/// Store recovery against what was recovered.
pub(super) fn recovery(result: &RunResult) -> String {
    let mut text = "trial,scenario,place,bytes,messages,segments,store_recovery_ms\n".to_owned();
    for trial in &result.trials {
        let (Some(found), Some(ms)) = (&trial.store_recovered, trial.times_ms.store_recovery) else { continue };
        text += &format!("{},{},{},{},{ms:.3}\n", name(trial), found.bytes, found.messages, found.segments);
    }
    text
}

/// What a takeover costs above backlogs.
pub(super) fn backlog(result: &RunResult, store: StoreSetting) -> String {
    let mut text = "trial,scenario,place,size_bytes,standby,failover_ms,store_recovery_ms\n".to_owned();
    for trial in result.trials.iter().filter(|trial| trial.store == store) {
        let Some(seen) = &trial.backlog else { continue };
        let (failover, recovery) = (trial.times_ms.failover, trial.times_ms.store_recovery);
        let (bytes, standby) = (seen.asked.size_bytes, seen.asked.standby);
        text += &format!("{},{bytes},{standby},{},{}\n", name(trial), optional(failover), optional(recovery));
    }
    text
}

/// Points of each curve, more of them toward the tail.
pub(super) fn percentiles(curves: &[Curve<'_>]) -> String {
    let mut text = "curve,percentile,ms,messages\n".to_owned();
    for curve in curves.iter().filter(|curve| !curve.histogram.is_empty()) {
        for step in curve.histogram.iter_quantiles(5) {
            let (percentile, ms) = (step.quantile_iterated_to() * 100.0, step.value_iterated_to() as f64 / 1e6);
            text += &format!("{},{percentile:.6},{ms:.6},{}\n", curve.name, curve.histogram.len());
        }
    }
    text
}
