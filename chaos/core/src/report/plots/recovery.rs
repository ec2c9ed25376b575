//! Store recovery time against what was recovered, one point for each trial.

use super::failover::store_colour;
use super::{Frame, caption, x_axis, x_title, y_axis};
use crate::error::Result;
use crate::report::theme::{Area, Axis, Drawn, Line, Width};
use crate::report::theme::{draw, legend, ms_mark, trimmed};
use crate::result::RunResult;
use crate::scenario::StoreSetting;
use plotters::prelude::*;

/// Draws it; `None` when no trial reported a recovery.
pub(in crate::report) fn recovery(result: &RunResult, width: Width) -> Result<Option<String>> {
    let points: Vec<(StoreSetting, f64, f64)> = result
        .trials
        .iter()
        .filter_map(|trial| {
            let bytes = trial.store_recovered.as_ref()?.bytes;
            Some((trial.store, bytes as f64 / f64::from(1 << 20), trial.times_ms.store_recovery?))
        })
        .collect();
    if points.is_empty() {
        return Ok(None);
    }
    let label = "Store recovery time against the size of the store";
    draw("recovery", label, width, 320, |area| paint(area, &points, width)).map(Some)
}

fn paint(area: &Area<'_>, points: &[(StoreSetting, f64, f64)], width: Width) -> Drawn {
    let left = width.pick(76, 62);
    let names =
        StoreSetting::ALL.map(|store| (store.name(), Line { stroke_px: 6, ..Line::solid(store_colour(store)) }));
    let below = legend(area, width, left, &names)?;
    let frame = Frame { left, right: width.px() as i32 - 24, top: below + 28, bottom: 266 };
    let highest = |value: fn(&(StoreSetting, f64, f64)) -> f64| points.iter().map(value).fold(0.0, f64::max) * 1.08;
    let x = Axis::linear(0.0..highest(|point| point.1), frame.left, frame.right);
    let y = Axis::linear(0.0..highest(|point| point.2), frame.bottom, frame.top);
    y_axis(area, width, frame, &y, ms_mark)?;
    x_axis(area, width, frame, &x, |mib| format!("{} MiB", trimmed(mib)))?;
    caption(area, width, frame, "store recovery time")?;
    x_title(area, width, frame, "journal read")?;
    for (store, mib, ms) in points {
        area.draw(&Circle::new((x.px(*mib), y.px(*ms)), 5, store_colour(*store).faint(0.75).filled()))?;
    }
    Ok(())
}
