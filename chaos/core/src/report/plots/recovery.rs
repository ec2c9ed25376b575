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

/// Sizes further apart than this are on a logarithmic axis, and their times too.
const LINEAR_RATIO_MAX: f64 = 20.0;

/// The axis of values from the smallest to the largest.
fn axis(values: impl Iterator<Item = f64> + Clone, is_logarithmic: bool, from_px: i32, to_px: i32) -> Axis {
    let (low, high) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(0.0, f64::max));
    if is_logarithmic {
        Axis::logarithmic(low / 1.5..high * 1.5, from_px, to_px)
    } else {
        Axis::linear(0.0..high * 1.08, from_px, to_px)
    }
}

fn paint(area: &Area<'_>, points: &[(StoreSetting, f64, f64)], width: Width) -> Drawn {
    let left = width.pick(76, 62);
    let names =
        StoreSetting::ALL.map(|store| (store.name(), Line { stroke_px: 6, ..Line::solid(store_colour(store)) }));
    let below = legend(area, width, left, &names)?;
    let frame = Frame { left, right: width.px() as i32 - 24, top: below + 28, bottom: 266 };
    let (sizes, times) = (points.iter().map(|point| point.1), points.iter().map(|point| point.2));
    let smallest = sizes.clone().fold(f64::INFINITY, f64::min);
    let is_logarithmic = smallest > 0.0 && sizes.clone().fold(0.0, f64::max) > smallest * LINEAR_RATIO_MAX;
    let x = axis(sizes, is_logarithmic, frame.left, frame.right);
    let y = axis(times, is_logarithmic, frame.bottom, frame.top);
    y_axis(area, width, frame, &y, ms_mark)?;
    x_axis(area, width, frame, &x, |mib| format!("{} MiB", trimmed(mib)))?;
    caption(
        area,
        width,
        frame,
        if is_logarithmic { "store recovery time (logarithmic)" } else { "store recovery time" },
    )?;
    x_title(area, width, frame, if is_logarithmic { "journal read (logarithmic)" } else { "journal read" })?;
    for (store, mib, ms) in points {
        area.draw(&Circle::new((x.px(*mib), y.px(*ms)), 5, store_colour(*store).faint(0.75).filled()))?;
    }
    Ok(())
}
