//! What may not become worse: a figure fails the gate when its interval excludes "no worse" and the effect is large enough to matter.

use super::{Counts, Row};
use crate::result::Verdict;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The smallest increase that matters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// As a part of BASE's value.
    Relative(f64),
    /// Milliseconds.
    Ms(f64),
}

/// A figure and the effect that matters, such as `failover=10%` or `response-p99=5ms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// The figure's name; `response` stands for all of its percentiles.
    pub figure: String,
    /// What matters.
    pub effect: Effect,
}

impl Gate {
    fn is_for(&self, row: &Row) -> bool {
        let figure = row.figure.as_str();
        figure == self.figure || figure.strip_prefix(&self.figure).is_some_and(|rest| rest.starts_with("-p"))
    }

    fn is_exceeded(&self, row: &Row) -> bool {
        let matters = match self.effect {
            Effect::Relative(part) => row.difference.relative.is_some_and(|relative| relative >= part),
            Effect::Ms(ms) => row.difference.difference_ms.is_some_and(|difference| difference >= ms),
        };
        row.difference.ends_less_often() || (row.difference.is_worse() && matters)
    }
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || {
            format!(
                "{text:?} is no gate: write a figure and the increase that matters, as failover=10% or response-p99=5ms"
            )
        };
        let (figure, effect) = text.split_once('=').ok_or_else(usage)?;
        let names = super::samples::TIMES.iter().map(|(name, _)| (*name).to_owned());
        let latencies = super::samples::LATENCIES.iter().flat_map(|name| {
            let each = super::tail::PERCENTILES.iter().map(move |(percentile, _)| format!("{name}-{percentile}"));
            std::iter::once((*name).to_owned()).chain(each)
        });
        let known: Vec<String> = names.chain(latencies).collect();
        if !known.iter().any(|name| name == figure) {
            return Err(format!("{figure:?} is no figure; there are: {}", known.join(", ")));
        }
        let number = |digits: &str| digits.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
        let effect = match (effect.strip_suffix('%'), effect.strip_suffix("ms")) {
            (Some(digits), _) => number(digits).map(|percent| Effect::Relative(percent / 100.0)),
            (_, Some(digits)) => number(digits).map(Effect::Ms),
            _ => None,
        };
        Ok(Self { figure: figure.to_owned(), effect: effect.ok_or_else(usage)? })
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.effect {
            Effect::Relative(part) => write!(f, "{}={}%", self.figure, crate::report::trimmed(part * 100.0)),
            Effect::Ms(ms) => write!(f, "{}={}ms", self.figure, crate::report::trimmed(ms)),
        }
    }
}

/// What one gate found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The gate.
    pub gate: Gate,
    /// Figures that could be judged.
    pub judged: usize,
    /// Figures that could not: too few trials, or trials without an end.
    pub not_judged: usize,
    /// Those that became worse by more than matters, a sentence each.
    pub worse: Vec<String>,
}

/// What all gates found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// Pass, violated, or unknown.
    pub verdict: Verdict,
    /// Why it is not a pass, a sentence each.
    pub reasons: Vec<String>,
    /// Gate by gate.
    pub gates: Vec<Judged>,
}

/// Judges all gates. `trusted` says that both runs are of the same machine, or that this does not matter.
pub(super) fn judge(gates: &[Gate], rows: &[Row], counts: &[Counts], trusted: bool) -> GateResult {
    let gates: Vec<Judged> = gates.iter().map(|gate| one(gate, rows)).collect();
    let broken = counts.iter().filter(|cell| cell.verdict[1] > cell.verdict[0] && cell.verdict[1] == Verdict::Violated);
    let broken: Vec<String> = broken
        .map(|cell| {
            format!("{} {}: {} in BASE, {} in NEW", cell.scenario, cell.place, cell.verdict[0], cell.verdict[1])
        })
        .collect();
    let worse: Vec<String> = gates.iter().flat_map(|judged| judged.worse.clone()).collect();
    let unjudged: Vec<String> = gates
        .iter()
        .filter(|judged| judged.judged == 0)
        .map(|judged| format!("{}: no figure could be judged", judged.gate))
        .collect();
    let machine = "the runs are of different machines, so times say nothing about the broker (--despite-differences compares them anyway)";
    let (verdict, reasons) = if !broken.is_empty() || (trusted && !worse.is_empty()) {
        (Verdict::Violated, [broken, worse].concat())
    } else if !trusted {
        (Verdict::Unknown, vec![machine.to_owned()])
    } else if !unjudged.is_empty() {
        (Verdict::Unknown, unjudged)
    } else {
        (Verdict::Pass, Vec::new())
    };
    GateResult { verdict, reasons, gates }
}

fn one(gate: &Gate, rows: &[Row]) -> Judged {
    let of_gate: Vec<&Row> = rows.iter().filter(|row| gate.is_for(row)).collect();
    let can_be_judged = |row: &&&Row| row.difference.interval_ms.is_some() || row.difference.ends_less_often();
    let judged = of_gate.iter().filter(can_be_judged).count();
    let worse = of_gate.iter().filter(|row| gate.is_exceeded(row)).map(|row| sentence(gate, row)).collect();
    Judged { gate: gate.clone(), judged, not_judged: of_gate.len() - judged, worse }
}

fn sentence(gate: &Gate, row: &Row) -> String {
    let Row { scenario, place, figure, difference } = row;
    let [base, new] =
        difference.value_ms.map(|value| value.map_or_else(|| "beyond the limit".to_owned(), crate::report::duration));
    let interval = difference.interval_ms.map_or_else(String::new, |[low, high]| {
        format!(
            ", 95 % interval of the difference {} to {}",
            crate::report::duration(low),
            crate::report::duration(high)
        )
    });
    format!("{scenario} {place}, {figure}: {base} in BASE, {new} in NEW{interval}; the gate is {gate}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::difference::of_medians;

    fn row(figure: &str, base: f64, new: f64, n: usize) -> Row {
        let sample = |from: f64| (0..n).map(|index| Some(from + index as f64 / 10.0)).collect::<Vec<_>>();
        let difference = of_medians(&sample(base), &sample(new), 1);
        Row { scenario: "kill-active".to_owned(), place: "sync".to_owned(), figure: figure.to_owned(), difference }
    }

    fn verdict(gate: &str, rows: &[Row]) -> Verdict {
        judge(&[gate.parse().expect("it is a gate")], rows, &[], true).verdict
    }

    #[test]
    fn both_the_interval_and_the_effect_must_say_so() {
        let rows = [row("failover", 100.0, 105.0, 6)];
        assert_eq!(verdict("failover=3%", &rows), Verdict::Violated);
        assert_eq!(verdict("failover=10%", &rows), Verdict::Pass, "sure, and too small to matter");
        assert_eq!(verdict("failover=4ms", &rows), Verdict::Violated);
        assert_eq!(verdict("failover=3%", &[row("failover", 105.0, 100.0, 6)]), Verdict::Pass, "better");
        let noisy = Row {
            difference: super::super::Difference { interval_ms: Some([-5.0, 30.0]), ..rows[0].difference.clone() },
            ..rows[0].clone()
        };
        assert_eq!(verdict("failover=3%", &[noisy]), Verdict::Pass, "large enough, and not sure");
    }

    #[test]
    fn what_cannot_be_judged_is_no_pass() {
        assert_eq!(verdict("failover=3%", &[row("failover", 100.0, 200.0, 5)]), Verdict::Unknown);
        assert_eq!(verdict("failover=3%", &[]), Verdict::Unknown);
        let other = judge(&["failover=3%".parse().expect("a gate")], &[row("failover", 1.0, 9.0, 6)], &[], false);
        assert_eq!(other.verdict, Verdict::Unknown, "{other:?}");
    }

    #[test]
    fn a_promise_that_broke_fails_every_gate() {
        let counts = Counts {
            scenario: "kill-active".to_owned(),
            place: "sync".to_owned(),
            verdict: [Verdict::Pass, Verdict::Violated],
            trials: [6, 6],
            confirmed: [10, 10],
            lost: [0, 1],
            duplicated: [0, 0],
        };
        let gate: Gate = "failover=3%".parse().expect("a gate");
        let found = judge(&[gate], &[row("failover", 9.0, 9.0, 6)], &[counts], false);
        assert_eq!(found.verdict, Verdict::Violated);
        assert!(found.reasons[0].contains("violated in NEW"), "{found:?}");
    }

    #[test]
    fn a_latency_stands_for_its_percentiles() {
        let rows = [row("response-p99", 1.0, 9.0, 6), row("response-in-fault-p99", 1.0, 9.0, 6)];
        let judged = |gate: &str| one(&gate.parse().expect("a gate"), &rows).judged;
        assert_eq!([judged("response=1%"), judged("response-p99=1%"), judged("response-in-fault=1%")], [1, 1, 1]);
        assert_eq!(judged("response-p50=1%"), 0);
    }

    #[test]
    fn mistakes_name_the_remedy() {
        for (text, words) in [
            ("failover", "failover=10%"),
            ("failover=ten%", "failover=10%"),
            ("failover=10", "failover=10%"),
            ("failover=-1%", "failover=10%"),
            ("speed=10%", "there are: failover, steady"),
        ] {
            let error = text.parse::<Gate>().expect_err(text);
            assert!(error.contains(words), "{error}");
        }
        for text in ["failover=10%", "response-p99.9=2.5ms"] {
            assert_eq!(text.parse::<Gate>().expect("a gate").to_string(), text);
        }
    }
}
