//! Instructions per message by layer, and what counts as a change.
//!
//! Owns the tolerance. Where an instruction belongs is decided in `callgrind`.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Instructions per message, by layer.
pub(crate) type Counts = BTreeMap<String, f64>;

/// A layer may grow by this share and so many instructions before it is a regression: hash maps are seeded anew in each process,
/// and a compiler's next version inlines otherwise.
const TOLERANCE_SHARE: f64 = 0.05;
const TOLERANCE_FIXED: f64 = 30.0;
/// The sum of all layers, whose parts have moved to and fro.
const TOLERANCE_SUM_SHARE: f64 = 0.03;
/// What the simulated machine takes, which no real broker runs.
pub(crate) const SIMULATOR: &str = "simulator";
/// What is nobody's own: the C library chooses how it copies by the processor that it finds, so another machine counts otherwise.
pub(crate) const LIBRARIES: &str = "libraries";
/// Wide, since only one kind of processor was counted so far.
const TOLERANCE_LIBRARIES_SHARE: f64 = 0.2;

fn sum(counts: &Counts) -> f64 {
    counts.iter().filter(|(layer, _)| *layer != SIMULATOR).map(|(_, count)| count).sum()
}

/// The sum of what this project writes, which is the same on every machine.
fn sum_of_ours(counts: &Counts) -> f64 {
    sum(counts) - counts.get(LIBRARIES).copied().unwrap_or(0.0)
}

/// What is worse than before, or not known from before.
pub(crate) fn compare(before: &BTreeMap<String, Counts>, now: &BTreeMap<String, Counts>) -> Vec<String> {
    let mut remarks = Vec::new();
    for (case, counts) in now {
        let Some(earlier) = before.get(case) else {
            remarks.push(format!("{case} is not in the file: record it"));
            continue;
        };
        let layers = counts.iter().filter(|(layer, _)| *layer != SIMULATOR);
        for (layer, count) in layers {
            let was = earlier.get(layer).copied().unwrap_or(0.0);
            let share = if layer == LIBRARIES { TOLERANCE_LIBRARIES_SHARE } else { TOLERANCE_SHARE };
            if *count > was * (1.0 + share) + TOLERANCE_FIXED {
                remarks.push(format!("{case}, {layer}: {count} instructions per message, {was} before"));
            }
        }
        let (now, was) = (sum_of_ours(counts), sum_of_ours(earlier));
        if now > was * (1.0 + TOLERANCE_SUM_SHARE) + TOLERANCE_FIXED {
            remarks.push(format!("{case}, all layers of ours: {now} instructions per message, {was} before"));
        }
    }
    remarks
}

/// All counts for people.
pub(crate) fn table(counts: &BTreeMap<String, Counts>) -> String {
    let mut text = String::new();
    for (case, counts) in counts {
        let layers: Vec<String> = counts.iter().map(|(layer, count)| format!("{layer} {count}")).collect();
        writeln!(text, "{case}: {} instructions per message ({})", sum(counts), layers.join(", "))
            .expect("text takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(amqp: f64, store: f64) -> BTreeMap<String, Counts> {
        let layers = [("amqp", amqp), ("store", store), (SIMULATOR, 9e9)];
        let layers = layers.into_iter().map(|(layer, count)| (layer.to_owned(), count)).collect();
        BTreeMap::from([("case".to_owned(), layers)])
    }

    #[test]
    fn a_layer_that_grows_is_named() {
        let before = counts(1000.0, 1000.0);
        assert!(compare(&before, &counts(1079.0, 900.0)).is_empty());
        let remarks = compare(&before, &counts(1081.0, 900.0));
        assert_eq!(remarks, ["case, amqp: 1081 instructions per message, 1000 before"]);
    }

    #[test]
    fn libraries_may_differ_more_for_they_differ_with_the_processor() {
        let with = |count: f64| {
            let mut counts = counts(1000.0, 1000.0);
            counts.entry("case".to_owned()).or_default().insert(LIBRARIES.to_owned(), count);
            counts
        };
        assert!(compare(&with(1000.0), &with(1200.0)).is_empty());
        assert_eq!(
            compare(&with(1000.0), &with(1231.0)),
            ["case, libraries: 1231 instructions per message, 1000 before"]
        );
    }

    #[test]
    fn many_small_steps_count_together() {
        let remarks = compare(&counts(1000.0, 1000.0), &counts(1060.0, 1060.0));
        assert_eq!(remarks, ["case, all layers of ours: 2120 instructions per message, 2000 before"]);
    }

    #[test]
    fn a_case_without_earlier_counts_is_named() {
        assert_eq!(compare(&BTreeMap::new(), &counts(1.0, 1.0)), ["case is not in the file: record it"]);
    }
}
