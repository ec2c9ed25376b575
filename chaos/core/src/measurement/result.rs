//! The layout of a measurement's result.json, and how it is put together.

use super::MeasuringSuite;
use super::Request;
use crate::environment::Environment;
use crate::error::{AtPath, Error, Result};
use crate::result::{FILE, Verdict};
use crate::scenario::size;
use crate::statistics::{Spread, spread};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the layout.
pub const SCHEMA: &str = "understudy.measurement/1";

/// Below so many messages the fixed costs of a broker decide.
const JUDGED_FROM_MESSAGES: u64 = 1_000_000;

/// What a value is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Milliseconds.
    Ms,
    /// Messages per second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// As the broker reports it, with the unit in the name.
    Reported,
}

impl Unit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ms, Self::PerSecond, Self::Bytes, Self::Reported];

    /// A value with its unit.
    pub fn words(self, value: f64) -> String {
        match self {
            Self::Ms => crate::report::duration(value),
            Self::PerSecond => format!("{}/s", crate::report::count(value.round() as u64)),
            Self::Bytes => size(value as u64),
            Self::Reported => crate::report::trimmed(value),
        }
    }

    /// What an axis of it means.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ms => "time (logarithmic)",
            Self::PerSecond => "messages per second (logarithmic)",
            Self::Bytes => "bytes (logarithmic)",
            Self::Reported => "as reported by the broker (logarithmic)",
        }
    }
}

/// One sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Of what, where several things are compared.
    pub subject: String,
    /// Unit of the values.
    pub unit: Unit,
    /// Every value, in the order in which they were measured.
    pub values: Vec<f64>,
    /// Its statistics.
    pub spread: Spread,
}

/// What follows from the figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A sentence with its numbers.
    pub words: String,
    /// Whether it is as it should be; absent where nothing is demanded.
    pub met: Option<bool>,
}

/// A whole measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasurementResult {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The worst of all findings.
    pub verdict: Verdict,
    /// Which measurement.
    pub suite: MeasuringSuite,
    /// Seed.
    pub seed: u64,
    /// The command line that repeats it.
    pub command: String,
    /// When it began, UTC.
    pub started: String,
    /// How long it took, s.
    pub duration_s: f64,
    /// Where it ran.
    pub environment: Environment,
    /// What was set, by name.
    pub setting: Vec<(String, String)>,
    /// The samples.
    pub figures: Vec<Figure>,
    /// What follows from them.
    pub findings: Vec<Finding>,
    /// Why it is not a pass, a sentence each.
    pub reasons: Vec<String>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

impl MeasurementResult {
    /// Reads the result of a folder; `None` if the folder holds another kind of run.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).at(&path)?;
        let not_understood = |source| Error::Json { path: path.clone(), source };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(not_understood)?;
        if value.get("schema").and_then(serde_json::Value::as_str) != Some(SCHEMA) {
            return Ok(None);
        }
        serde_json::from_value(value).map(Some).map_err(not_understood)
    }

    /// Writes it into a folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self).map_err(|source| Error::Json { path: path.clone(), source })?;
        std::fs::write(&path, text + "\n").at(&path)
    }
}

/// A result while it is being put together.
#[derive(Debug, Default)]
pub(super) struct Draft {
    figures: Vec<Figure>,
    findings: Vec<Finding>,
    reasons: Vec<String>,
    notes: Vec<String>,
    setting: Vec<(String, String)>,
    verdict: Verdict,
}

impl Draft {
    /// Adds a value to its sample.
    pub(super) fn record(&mut self, name: &str, subject: &str, unit: Unit, value: f64) {
        let found = self.figures.iter_mut().find(|figure| figure.name == name && figure.subject == subject);
        match found {
            Some(figure) => figure.values.push(value),
            None => self.figures.push(Figure {
                name: name.to_owned(),
                subject: subject.to_owned(),
                unit,
                values: vec![value],
                spread: Spread::default(),
            }),
        }
    }

    /// The values of a sample so far.
    pub(super) fn values(&self, name: &str, subject: &str) -> &[f64] {
        let found = self.figures.iter().find(|figure| figure.name == name && figure.subject == subject);
        found.map_or(&[], |figure| &figure.values)
    }

    /// The middle of a sample so far.
    pub(super) fn median(&self, name: &str, subject: &str) -> Option<f64> {
        spread_of(self.values(name, subject)).median
    }

    /// What was set.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.setting.push((name.to_owned(), value.into()));
    }

    /// What a reader must know; said once.
    pub(super) fn note(&mut self, words: impl Into<String>) {
        let words = words.into();
        if !self.notes.contains(&words) {
            self.notes.push(words);
        }
    }

    /// Something that nothing is demanded of.
    pub(super) fn find(&mut self, words: impl Into<String>) {
        self.findings.push(Finding { words: words.into(), met: None });
    }

    /// Something that is demanded.
    pub(super) fn demand(&mut self, words: impl Into<String>, met: bool) {
        let words = words.into();
        if !met {
            self.lower(Verdict::Violated, words.clone());
        }
        self.findings.push(Finding { words, met: Some(met) });
    }

    /// Something that is demanded where many messages wait, and only shown where few do.
    pub(super) fn demand_of_many(&mut self, messages: u64, words: String, met: bool) {
        if messages >= JUDGED_FROM_MESSAGES {
            self.demand(words, met);
        } else {
            self.find(words);
            let least = crate::report::count(JUDGED_FROM_MESSAGES);
            self.note(format!(
                "with fewer than {least} messages the fixed costs decide: what is wanted is not demanded"
            ));
        }
    }

    /// Whether anything was demanded.
    pub(super) fn has_demands(&self) -> bool {
        self.findings.iter().any(|finding| finding.met.is_some())
    }

    /// Whether the broker reported anything of its own.
    pub(super) fn has_reports(&self) -> bool {
        self.figures.iter().any(|figure| figure.unit == Unit::Reported)
    }

    #[cfg(test)]
    pub(super) fn met(&self) -> Vec<Option<bool>> {
        self.findings.iter().map(|finding| finding.met).collect()
    }

    /// Lowers the verdict, for this reason.
    pub(super) fn lower(&mut self, verdict: Verdict, reason: impl Into<String>) {
        let reason = reason.into();
        self.verdict = self.verdict.max(verdict);
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    pub(super) fn finish(
        mut self,
        request: &Request,
        started: String,
        duration_s: f64,
        environment: Environment,
    ) -> MeasurementResult {
        for figure in &mut self.figures {
            figure.spread = spread_of(&figure.values);
        }
        MeasurementResult {
            schema: SCHEMA.to_owned(),
            verdict: self.verdict,
            suite: request.suite,
            seed: request.seed,
            command: request.command.clone(),
            started,
            duration_s,
            environment,
            setting: self.setting,
            figures: self.figures,
            findings: self.findings,
            reasons: self.reasons,
            notes: self.notes,
        }
    }
}

pub(super) fn spread_of(values: &[f64]) -> Spread {
    spread(&values.iter().copied().map(Some).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_gather_by_name_and_subject() {
        let mut draft = Draft::default();
        for (subject, value) in [("A", 1.0), ("B", 9.0), ("A", 3.0), ("A", 2.0)] {
            draft.record("p99", subject, Unit::Ms, value);
        }
        assert_eq!(draft.values("p99", "A"), [1.0, 3.0, 2.0]);
        assert_eq!((draft.median("p99", "A"), draft.median("p99", "C")), (Some(2.0), None));
    }

    #[test]
    fn an_unmet_demand_is_a_violation_with_its_reason_and_a_skip_does_not_hide_it() {
        let mut draft = Draft::default();
        draft.demand("fast", true);
        assert_eq!(draft.verdict, Verdict::Pass);
        draft.demand("small", false);
        draft.lower(Verdict::Skipped, "not root");
        assert_eq!((draft.verdict, draft.reasons.len()), (Verdict::Violated, 2));
        assert_eq!(draft.findings.iter().map(|one| one.met).collect::<Vec<_>>(), [Some(true), Some(false)]);
    }

    #[test]
    fn values_are_written_with_their_units() {
        let words = [
            Unit::Ms.words(12.345),
            Unit::PerSecond.words(123_456.4),
            Unit::Bytes.words(268_435_456.0),
            Unit::Reported.words(1.5),
        ];
        assert_eq!(words, ["12.3 ms", "123,456/s", "256 MiB", "1.5"]);
    }
}
