//! The failovers of a scenario, one bar for each trial, divided into its phases.

use super::{Frame, x_axis, x_title};
use crate::error::Result;
use crate::report::theme::{Area, Axis, BLUE, Colour, Drawn, GREEN, INK, MUTED, ORANGE, PURPLE, VERMILION, Width};
use crate::report::theme::{anchored, draw, fitted, ms_mark, text_px};
use crate::result::{Instants, Observed, TrialResult};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// A phase: its name, what it ends with, its colour, and its end.
pub(in crate::report) type Phase = (&'static str, &'static str, Colour, fn(&Instants) -> Option<f64>);

/// The phases in their order. The last one is over when a message that was first sent after the fault is confirmed.
pub(in crate::report) const PHASES: [Phase; 5] = [
    ("detection", "td: the standby notices", VERMILION, |at| at.td),
    ("claim", "tl: it owns the store", ORANGE, |at| at.tl),
    ("store recovery", "tr: the store is recovered", BLUE, |at| at.tr),
    ("opening", "ta: it accepts clients", PURPLE, |at| at.ta),
    ("reattach", "tf: first new message confirmed", GREEN, |at| at.tf),
];

/// Draws it; `None` when no trial of the scenario had a failover.
pub(in crate::report) fn waterfall(scenario: &str, trials: &[&TrialResult], width: Width) -> Result<Option<String>> {
    let mut rows: Vec<&TrialResult> = trials.to_vec();
    rows.retain(|trial| trial.failover().is_some());
    rows.sort_by_key(|trial| (trial.cell(), trial.number));
    if rows.is_empty() {
        return Ok(None);
    }
    let legend_rows = width.pick(1, 3);
    let height = legend_rows * 22 + 16 + rows.len() as i32 * ROW_PX + 52;
    let label = format!("Phases of each failover of {scenario}");
    draw(scenario, &label, width, height as u32, |area| paint(area, &rows, width, legend_rows)).map(Some)
}

const ROW_PX: i32 = 24;

fn name(trial: &TrialResult) -> String {
    format!("{} #{}", trial.cell().place(), trial.number)
}

/// Room for the names of the rows.
fn names_px(rows: &[&TrialResult], width: Width) -> i32 {
    let longest = rows.iter().map(|trial| text_px(width, &name(trial))).max().unwrap_or(0) + 14;
    longest.clamp(width.pick(104, 84), width.pick(400, 130))
}

fn paint(area: &Area<'_>, rows: &[&TrialResult], width: Width, legend_rows: i32) -> Drawn {
    let top = legend_rows * 22 + 16;
    let frame = Frame {
        left: names_px(rows, width),
        right: width.px() as i32 - width.pick(84, 68),
        top,
        bottom: top + rows.len() as i32 * ROW_PX,
    };
    let highest = rows.iter().filter_map(|trial| trial.failover()).map(Observed::ms).fold(1.0, f64::max);
    let x = Axis::linear(0.0..highest, frame.left, frame.right);
    paint_legend(area, width, rows.iter().all(|trial| is_observable(trial)))?;
    x_axis(area, width, frame, &x, ms_mark)?;
    x_title(area, width, frame, "time after the fault")?;
    for (index, trial) in rows.iter().enumerate() {
        let middle = frame.top + index as i32 * ROW_PX + ROW_PX / 2;
        let name = fitted(width, &name(trial), frame.left - 12);
        area.draw(&Text::new(name, (frame.left - 8, middle), anchored(width, INK, HPos::Right, VPos::Center)))?;
        paint_row(area, trial, &x, middle, width)?;
    }
    Ok(())
}

/// Whether the servers told of any phase inside of the failover.
fn is_observable(trial: &TrialResult) -> bool {
    let at = &trial.instants_ms;
    trial.failover().and_then(Observed::reached).is_none() || [at.td, at.tl, at.tr, at.ta].iter().any(Option::is_some)
}

/// A phase without an event line joins the next one that has one; without any, only the whole is known.
fn paint_row(area: &Area<'_>, trial: &TrialResult, x: &Axis, middle: i32, width: Width) -> Drawn {
    let mut begin = x.px(0.0);
    for (_, _, colour, end_ms) in PHASES {
        let Some(end_ms) = end_ms(&trial.instants_ms) else { continue };
        let colour = if is_observable(trial) { colour } else { MUTED };
        let end = x.px(end_ms);
        area.draw(&Rectangle::new([(begin, middle - 8), (end, middle + 8)], colour.solid().filled()))?;
        begin = end;
    }
    let (words, colour) = match trial.failover() {
        Some(Observed::At(failover)) => (ms_mark((failover * 10.0).round() / 10.0), INK),
        Some(Observed::Beyond(limit)) => (format!("> {}", ms_mark(limit.round())), VERMILION),
        None => return Ok(()),
    };
    Ok(area.draw(&Text::new(words, (begin + 6, middle), anchored(width, colour, HPos::Left, VPos::Center)))?)
}

fn paint_legend(area: &Area<'_>, width: Width, all_observable: bool) -> Drawn {
    let (mut x, mut y) = (4, 11);
    let whole = (!all_observable).then_some(("phases not observable", MUTED));
    for (name, colour) in PHASES.map(|(name, _, colour, _)| (name, colour)).into_iter().chain(whole) {
        let length = 20 + text_px(width, name) + 18;
        if x > 4 && x + length > width.px() as i32 {
            (x, y) = (4, y + 22);
        }
        area.draw(&Rectangle::new([(x, y - 6), (x + 14, y + 6)], colour.solid().filled()))?;
        area.draw(&Text::new(name, (x + 20, y), anchored(width, MUTED, HPos::Left, VPos::Center)))?;
        x += length;
    }
    Ok(())
}
