//! What a takeover costs against what waits in the store: every trial as a point, hot and cold standbys apart, medians joined.

use super::{Frame, caption, x_title, y_axis};
use crate::error::Result;
use crate::report::theme::{Area, Axis, BLUE, Dash, Drawn, GRID, Line, MUTED, ORANGE, VERMILION, Width};
use crate::report::theme::{anchored, draw, legend, ms_mark, stroke};
use crate::result::{Observed, RunResult, SummaryRow, TrialResult};
use crate::scenario::{Backlog, Standby, StoreSetting, size};
use crate::statistics::Spread;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// What is drawn against the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Figure {
    Failover,
    StoreRecovery,
}

impl Figure {
    pub(in crate::report) fn words(self) -> &'static str {
        match self {
            Self::Failover => "failover time",
            Self::StoreRecovery => "store recovery time",
        }
    }

    fn observed(self, trial: &TrialResult) -> Option<Observed> {
        match self {
            Self::Failover => trial.failover(),
            Self::StoreRecovery => trial.times_ms.store_recovery.map(Observed::At),
        }
    }

    fn spread(self, row: &SummaryRow) -> &Spread {
        match self {
            Self::Failover => &row.failover_ms,
            Self::StoreRecovery => &row.store_recovery_ms,
        }
    }
}

/// Trials whose values lie close together are drawn side by side, so many pixels apart.
const SIDE_STEP_PX: i32 = 5;
/// A recovery below this is drawn at it, ms: a logarithmic axis has no zero.
const FLOOR_MS: f64 = 0.05;

/// Draws one figure of one store setting; `None` when no trial with a backlog gave it.
pub(in crate::report) fn backlog(
    result: &RunResult,
    store: StoreSetting,
    figure: Figure,
    width: Width,
) -> Result<Option<String>> {
    let points: Vec<(Backlog, Observed)> = result
        .trials
        .iter()
        .filter(|trial| trial.store == store)
        .filter_map(|trial| Some((trial.backlog.as_ref()?.asked, figure.observed(trial)?)))
        .collect();
    if points.is_empty() {
        return Ok(None);
    }
    let rows = result.summary.iter().filter(|row| row.store == store);
    let medians: Vec<(Backlog, f64)> =
        rows.filter_map(|row| Some((row.backlog?, figure.spread(row).median?))).collect();
    let label = format!("{} against the size of the backlog, {store} store", figure.words());
    draw("backlog", &label, width, 360, |area| paint(area, figure, &points, &medians, width)).map(Some)
}

/// Position beside the size, and line, of each kind of standby.
fn style(standby: Standby) -> (i32, Line) {
    match standby {
        Standby::Hot => (-1, Line::solid(BLUE)),
        Standby::Cold => (1, Line::dashed(ORANGE, Dash::Long)),
    }
}

fn paint(
    area: &Area<'_>,
    figure: Figure,
    points: &[(Backlog, Observed)],
    medians: &[(Backlog, f64)],
    width: Width,
) -> Drawn {
    let left = width.pick(76, 62);
    let names = [("hot standby (filled)", style(Standby::Hot).1), ("cold standby (open)", style(Standby::Cold).1)];
    let below = legend(area, width, left, &names)?;
    let frame = Frame { left, right: width.px() as i32 - 24, top: below + 28, bottom: 306 };
    let mut sizes: Vec<u64> = points.iter().map(|(backlog, _)| backlog.size_bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let ends = (sizes.first().copied().unwrap_or(1) as f64, sizes.last().copied().unwrap_or(1) as f64);
    let x = Axis::logarithmic(ends.0 / 2.5..ends.1 * 2.5, frame.left, frame.right);
    let values = || points.iter().map(|(_, observed)| observed.ms().max(FLOOR_MS));
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let y = Axis::logarithmic(low / 1.5..high * 1.5, frame.bottom, frame.top);
    y_axis(area, width, frame, &y, ms_mark)?;
    for bytes in &sizes {
        let at = x.px(*bytes as f64);
        area.draw(&PathElement::new(vec![(at, frame.top), (at, frame.bottom)], GRID.solid()))?;
        let style = anchored(width, MUTED, HPos::Center, VPos::Top);
        area.draw(&Text::new(size(*bytes), (at, frame.bottom + 6), style))?;
    }
    caption(area, width, frame, &format!("{} (logarithmic)", figure.words()))?;
    x_title(area, width, frame, "messages that wait in the store (logarithmic)")?;
    for standby in Standby::ALL {
        let of = |backlog: &Backlog| backlog.standby == standby;
        let line: Vec<(i32, i32)> = medians
            .iter()
            .filter(|(backlog, _)| of(backlog))
            .map(|(backlog, ms)| (x.px(backlog.size_bytes as f64) + side_px(standby), y.px(ms.max(FLOOR_MS))))
            .collect();
        stroke(area, &line, style(standby).1)?;
        for bytes in &sizes {
            let same = points.iter().filter(|(backlog, _)| of(backlog) && backlog.size_bytes == *bytes);
            for (place, (_, observed)) in same.enumerate() {
                let aside = side_px(standby) + (place as i32 % 3 - 1) * SIDE_STEP_PX;
                paint_point(
                    area,
                    standby,
                    *observed,
                    (x.px(*bytes as f64) + aside, y.px(observed.ms().max(FLOOR_MS))),
                )?;
            }
        }
    }
    Ok(())
}

fn side_px(standby: Standby) -> i32 {
    style(standby).0 * 4 * SIDE_STEP_PX
}

/// Filled for hot, open for cold, and with an arrow where only a lower bound is known.
fn paint_point(area: &Area<'_>, standby: Standby, observed: Observed, (x, y): (i32, i32)) -> Drawn {
    let colour = style(standby).1.colour;
    match standby {
        Standby::Hot => area.draw(&Circle::new((x, y), 4, colour.solid().filled()))?,
        Standby::Cold => area.draw(&Circle::new((x, y), 4, colour.solid().stroke_width(2)))?,
    }
    if observed.reached().is_none() {
        area.draw(&PathElement::new(vec![(x, y - 4), (x, y - 16)], VERMILION.solid().stroke_width(2)))?;
    }
    Ok(())
}
