//! Every trial's failover time as a point, a row for each cell.

use super::{Row, Strip, strip};
use crate::error::Result;
use crate::report::theme::{BLUE, Colour, ORANGE, Width, ms_mark};
use crate::result::{RunResult, SummaryRow, TrialResult};
use crate::scenario::StoreSetting;

/// Draws it; `None` when there was no failover in the whole run.
pub(in crate::report) fn failover(result: &RunResult, width: Width) -> Result<Option<String>> {
    let rows = result.summary.iter().filter(|row| row.failover_ms.n > 0);
    let plot = Strip {
        name: "failover",
        label: "Failover time of every trial",
        title: "failover time (logarithmic)",
        mark: ms_mark,
        rows: rows.map(|row| strip_row(result, row)).collect(),
    };
    strip(&plot, width)
}

fn strip_row<'a>(result: &RunResult, row: &'a SummaryRow) -> Row<'a> {
    let place = row.cell().place();
    Row {
        name: format!("{} {place}", row.scenario),
        narrow: [row.scenario.clone(), place],
        points: result.cell(&row.cell()).filter_map(TrialResult::failover).collect(),
        colour: store_colour(row.store),
        spread: &row.failover_ms,
    }
}

/// The colour of a store setting in all plots over trials.
pub(super) fn store_colour(store: StoreSetting) -> Colour {
    match store {
        StoreSetting::Sync => BLUE,
        StoreSetting::Async => ORANGE,
    }
}
