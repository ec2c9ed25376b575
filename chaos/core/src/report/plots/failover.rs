//! Every trial's failover time as a point, by scenario and store setting, with the median and its interval.

use super::{Frame, x_axis, x_title};
use crate::error::Result;
use crate::report::theme::{Area, Axis, BLUE, Colour, Drawn, GRID, INK, ORANGE, VERMILION, Width};
use crate::report::theme::{anchored, draw, ms_mark};
use crate::result::{Observed, RunResult, SummaryRow, TrialResult};
use crate::scenario::StoreSetting;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

const ROW_PX: i32 = 44;

/// Draws it; `None` when there was no failover in the whole run.
pub(in crate::report) fn failover(result: &RunResult, width: Width) -> Result<Option<String>> {
    let rows: Vec<&SummaryRow> = result.summary.iter().filter(|row| row.failover_ms.n > 0).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let height = 10 + rows.len() as u32 * ROW_PX as u32 + 54;
    let label = "Failover time of every trial";
    draw("failover", label, width, height, |area| paint(area, result, &rows, width)).map(Some)
}

fn paint(area: &Area<'_>, result: &RunResult, rows: &[&SummaryRow], width: Width) -> Drawn {
    let frame = Frame {
        left: width.pick(170, 108),
        right: width.px() as i32 - width.pick(40, 22),
        top: 10,
        bottom: 10 + rows.len() as i32 * ROW_PX,
    };
    let values: Vec<f64> = result.trials.iter().filter_map(TrialResult::failover).map(Observed::ms).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(1.0, f64::max);
    let x = Axis::logarithmic(low * 0.8..high * 1.25, frame.left, frame.right);
    x_axis(area, width, frame, &x, ms_mark)?;
    x_title(area, width, frame, "failover time (logarithmic)")?;
    for (index, row) in rows.iter().enumerate() {
        let middle = frame.top + index as i32 * ROW_PX + ROW_PX / 2;
        area.draw(&PathElement::new(
            vec![(frame.left, middle + ROW_PX / 2), (frame.right, middle + ROW_PX / 2)],
            GRID.solid(),
        ))?;
        let style = |vertical| anchored(width, INK, HPos::Right, vertical);
        if width == Width::Wide {
            let name = row.backlog.map_or_else(|| format!("{} {}", row.scenario, row.store), |_| row.cell().place());
            area.draw(&Text::new(name, (frame.left - 10, middle), style(VPos::Center)))?;
        } else {
            area.draw(&Text::new(row.scenario.name(), (frame.left - 6, middle - 1), style(VPos::Bottom)))?;
            let place = row.backlog.map_or_else(|| row.store.name().to_owned(), |backlog| backlog.to_string());
            area.draw(&Text::new(place, (frame.left - 6, middle + 1), style(VPos::Top)))?;
        }
        paint_median(area, row, &x, middle)?;
        for (place, trial) in result.cell(row.cell()).enumerate() {
            // A fixed offset by order keeps equal values apart.
            let y = middle + [-6, 0, 6][place % 3];
            paint_point(area, trial, &x, y)?;
        }
    }
    Ok(())
}

fn paint_median(area: &Area<'_>, row: &SummaryRow, x: &Axis, middle: i32) -> Drawn {
    if let Some([Some(low), high]) = row.failover_ms.ci95 {
        let end = high.map_or(x.px(f64::MAX), |high| x.px(high));
        area.draw(&Rectangle::new([(x.px(low), middle - 13), (end, middle + 13)], INK.faint(0.09).filled()))?;
    }
    if let Some(median) = row.failover_ms.median {
        let at = x.px(median);
        area.draw(&PathElement::new(vec![(at, middle - 15), (at, middle + 15)], INK.solid().stroke_width(2)))?;
    }
    Ok(())
}

/// A filled circle, or an open one with an arrow where only a lower bound is known.
fn paint_point(area: &Area<'_>, trial: &TrialResult, x: &Axis, y: i32) -> Drawn {
    let colour = store_colour(trial.store);
    match trial.failover() {
        Some(Observed::At(failover)) => area.draw(&Circle::new((x.px(failover), y), 5, colour.solid().filled()))?,
        Some(Observed::Beyond(limit)) => {
            let at = x.px(limit);
            area.draw(&Circle::new((at, y), 5, VERMILION.solid().stroke_width(2)))?;
            area.draw(&PathElement::new(vec![(at + 5, y), (at + 18, y)], VERMILION.solid().stroke_width(2)))?;
        }
        None => {}
    }
    Ok(())
}

/// The colour of a store setting in all plots over trials.
pub(super) fn store_colour(store: StoreSetting) -> Colour {
    match store {
        StoreSetting::Sync => BLUE,
        StoreSetting::Async => ORANGE,
    }
}
