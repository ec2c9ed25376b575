//! `chaos compare BASE NEW`: whether a run differs from an earlier one, by how much, and how sure that is.
//!
//! `likeness` says what makes two runs incomparable, `samples` reads what trials gave, `difference` and `tail` are the statistics, `gate`
//! turns them into an exit code, `command` is the command line. Nothing here draws or writes a page: that is `report::comparison`.

mod command;
mod difference;
mod gate;
mod likeness;
mod samples;
mod tail;

pub use command::{CompareOptions, Format, main};
pub use difference::{Difference, RESAMPLES};
pub use gate::{Effect, Gate, GateResult, Judged};

use crate::error::{AtPath, Error, Result};
use crate::result::{RunResult, Verdict};
use crate::scenario::Cell;
use samples::Samples;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the layout of comparison.json.
pub const SCHEMA: &str = "understudy.comparison/1";
/// Its file name.
pub const FILE: &str = "comparison.json";
/// What the resampling draws from, so that a comparison can be repeated digit by digit.
const SEED: u64 = 1;

/// One of the two runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Its result folder, as named on the command line.
    pub folder: String,
    /// Its suite.
    pub suite: String,
    /// Its seed.
    pub seed: u64,
    /// When it began, UTC.
    pub started: String,
    /// What was tested.
    pub broker: String,
    /// Commit of the working directory.
    pub commit: String,
    /// What it concluded.
    pub verdict: Verdict,
}

/// One figure of one cell, in both runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was done.
    pub scenario: String,
    /// Where the queue was stored, what waited there, and the settings that vary.
    pub place: String,
    /// The figure, such as `failover` or `response-p99`.
    pub figure: String,
    /// Both values and their difference.
    #[serde(flatten)]
    pub difference: Difference,
}

/// What became of the messages of one cell, in both runs; BASE first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// What was done.
    pub scenario: String,
    /// Where the queue was stored, what waited there, and the settings that vary.
    pub place: String,
    /// The worst verdict of its trials.
    pub verdict: [Verdict; 2],
    /// Trials.
    pub trials: [usize; 2],
    /// Confirmed messages.
    pub confirmed: [u64; 2],
    /// Lost messages.
    pub lost: [u64; 2],
    /// Further deliveries.
    pub duplicated: [u64; 2],
}

/// The whole comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The earlier run.
    pub base: Side,
    /// The later one.
    pub new: Side,
    /// What differs between the runs beside what is compared, a sentence each.
    pub warnings: Vec<String>,
    /// How the intervals were made, in words.
    pub method: String,
    /// What became of the messages.
    pub counts: Vec<Counts>,
    /// The figures.
    pub rows: Vec<Row>,
    /// Cells that only one of the runs has, a sentence each.
    pub unmatched: Vec<String>,
    /// What the gate said; absent when none was asked for.
    pub gate: Option<GateResult>,
}

/// What to compare by.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What may not become worse.
    pub gates: Vec<Gate>,
    /// Compare although load, settings or machine differ.
    pub despite_differences: bool,
}

impl Comparison {
    /// Reads the comparison that a folder holds; `None` if there is none.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).at(&path)?;
        let comparison: Self =
            serde_json::from_str(&text).map_err(|source| Error::Json { path: path.clone(), source })?;
        if comparison.schema != SCHEMA {
            return Err(Error::Schema { path, found: comparison.schema, expected: SCHEMA });
        }
        Ok(Some(comparison))
    }

    /// As JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|source| Error::Json { path: FILE.into(), source })
    }

    /// Writes it into a folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        std::fs::write(&path, self.to_json()? + "\n").at(&path)
    }

    /// What a gate makes of the exit code; without one, a comparison is no verdict.
    pub fn exit_code(&self) -> i32 {
        self.gate.as_ref().map_or(0, |gate| gate.verdict.exit_code())
    }
}

/// Compares the results of two folders.
pub fn compare(base_folder: &Path, new_folder: &Path, request: &Request) -> Result<Comparison> {
    let [base, new] = [RunResult::read(base_folder)?, RunResult::read(new_folder)?];
    let likeness = likeness::examine(&base, &new);
    if let Some(refusal) = likeness.refusal().filter(|_| !request.despite_differences) {
        return Err(Error::Usage(refusal));
    }
    let cells = shared_cells(&base, &new);
    let mut rows = Vec::new();
    for cell in &cells {
        let both = [Samples::read(base_folder, &base, cell)?, Samples::read(new_folder, &new, cell)?];
        rows.extend(figures(cell, &both));
    }
    let pooled = pooled(&rows);
    rows.splice(0..0, pooled);
    let counts: Vec<Counts> = cells.iter().filter_map(|cell| counts(cell, &base, &new)).collect();
    let trusted = likeness.is_same_machine() || request.despite_differences;
    let gate = (!request.gates.is_empty()).then(|| gate::judge(&request.gates, &rows, &counts, trusted));
    Ok(Comparison {
        schema: SCHEMA.to_owned(),
        base: side(base_folder, &base),
        new: side(new_folder, &new),
        warnings: likeness.warnings(),
        method: method(),
        counts,
        rows,
        unmatched: unmatched(&base, &new),
        gate,
    })
}

fn method() -> String {
    format!(
        "Difference: NEW's median minus BASE's. Interval: 95 %, percentile bootstrap over whole trials of both runs, {RESAMPLES} resamples of \
         the medians and {} of the latency percentiles, seed {SEED}; it needs {} trials on both sides. A latency percentile is that of \
         the merged histograms of all trials; percentiles are never averaged. Of all scenarios together: the geometric mean over cells, with an \
         interval by drawing whole cells, from 6 cells on.",
        tail::RESAMPLES,
        difference::TRIALS_MIN
    )
}

fn side(folder: &Path, result: &RunResult) -> Side {
    Side {
        folder: folder.display().to_string(),
        suite: result.suite.clone(),
        seed: result.seed,
        started: result.started.clone(),
        broker: result.environment.broker.clone(),
        commit: result.environment.commit.clone(),
        verdict: result.verdict,
    }
}

fn cells(result: &RunResult) -> Vec<Cell> {
    result.summary.iter().map(crate::result::SummaryRow::cell).collect()
}

fn shared_cells(base: &RunResult, new: &RunResult) -> Vec<Cell> {
    let of_base = cells(base);
    cells(new).into_iter().filter(|cell| of_base.contains(cell)).collect()
}

fn unmatched(base: &RunResult, new: &RunResult) -> Vec<String> {
    let only = |some: &RunResult, others: &RunResult, name: &str| -> Vec<String> {
        let others = cells(others);
        let alone = cells(some).into_iter().filter(|cell| !others.contains(cell));
        alone.map(|cell| format!("{} {}: only {name} has it", cell.scenario, cell.place())).collect()
    };
    [only(base, new, "BASE"), only(new, base, "NEW")].concat()
}

fn counts(cell: &Cell, base: &RunResult, new: &RunResult) -> Option<Counts> {
    let row = |result: &RunResult| result.summary.iter().find(|row| row.cell() == *cell).cloned();
    let [base, new] = [row(base)?, row(new)?];
    Some(Counts {
        scenario: cell.scenario.clone(),
        place: cell.place(),
        verdict: [base.verdict, new.verdict],
        trials: [base.trials, new.trials],
        confirmed: [base.confirmed, new.confirmed],
        lost: [base.lost, new.lost],
        duplicated: [base.duplicated, new.duplicated],
    })
}

/// What stands for the scenario in a row about all cells.
pub const ALL_CELLS: &str = "all scenarios";

/// A row for each figure over all cells that have it in both runs.
fn pooled(rows: &[Row]) -> Vec<Row> {
    let mut figures: Vec<&str> = Vec::new();
    for row in rows {
        if !figures.contains(&row.figure.as_str()) {
            figures.push(&row.figure);
        }
    }
    let of_figure = |figure: &str| -> Vec<(f64, f64)> {
        let of = rows.iter().filter(|row| row.figure == figure);
        of.filter_map(|row| Some((row.difference.value_ms[0]?, row.difference.value_ms[1]?))).collect()
    };
    let row = |figure: &str| {
        let pairs = of_figure(figure);
        let difference = difference::of_cells(&pairs, SEED);
        let place = format!("{} cells", pairs.len());
        Row { scenario: ALL_CELLS.to_owned(), place, figure: figure.to_owned(), difference }
    };
    figures.into_iter().map(row).filter(|row| row.difference.n[0] > 1).collect()
}

/// A row for each figure that either run has.
fn figures(cell: &Cell, both: &[Samples; 2]) -> Vec<Row> {
    let row = |(figure, difference): (String, Difference)| Row {
        scenario: cell.scenario.clone(),
        place: cell.place(),
        figure,
        difference,
    };
    let times = samples::TIMES.iter().enumerate().map(|(index, (figure, _))| {
        ((*figure).to_owned(), difference::of_medians(&both[0].times[index], &both[1].times[index], SEED))
    });
    let tails = samples::LATENCIES.iter().enumerate().flat_map(|(index, name)| {
        let of_name = tail::of_merged(&both[0].latencies[index], &both[1].latencies[index], SEED);
        tail::PERCENTILES.iter().zip(of_name).map(move |((percentile, _), one)| (format!("{name}-{percentile}"), one))
    });
    times.chain(tails).filter(|(_, difference)| difference.has_values()).map(row).collect()
}
