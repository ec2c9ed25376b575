//! What became of messages around a loss: a lane for each producer, a stroke where each message was confirmed.

use super::{Frame, caption, x_axis, x_title};
use crate::error::Result;
use crate::fates::{Fate, Message};
use crate::report::theme::{
    Area, Axis, BLUE, Colour, Dash, Drawn, GREEN, GRID, INK, Line, MUTED, ORANGE, PURPLE, VERMILION, Width,
};
use crate::report::theme::{anchored, draw, legend, ms_mark, stroke};
use crate::result::TrialResult;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::collections::BTreeMap;

const LANE_PX: i32 = 34;

/// Colour and half height of a stroke, px: so that neither alone must tell them apart.
fn style(fate: Fate) -> (Colour, i32) {
    match fate {
        Fate::Delivered => (GREEN, 5),
        Fate::Recovered => (BLUE, 8),
        Fate::InDoubt => (ORANGE, 8),
        Fate::Duplicated => (PURPLE, 10),
        Fate::Lost => (VERMILION, 14),
    }
}

/// Draws it; `messages` are those of the trial's file of fates.
pub(in crate::report) fn fates(trial: &TrialResult, messages: &[Message], width: Width) -> Result<String> {
    let mut lanes: Vec<u32> = messages.iter().map(|one| one.producer).collect();
    lanes.sort_unstable();
    lanes.dedup();
    let label = format!("Trial {}: what became of the messages around the loss", trial.number);
    let height = width.pick(50, 74) + 20 + lanes.len() as i32 * LANE_PX + 54;
    draw("fates", &label, width, height as u32, |area| paint(area, trial, messages, &lanes, width))
}

fn paint(area: &Area<'_>, trial: &TrialResult, messages: &[Message], lanes: &[u32], width: Width) -> Drawn {
    let left = width.pick(108, 62);
    let line = |fate: Fate| Line { stroke_px: 6, ..Line::solid(style(fate).0) };
    let names = Fate::ALL.map(|fate| (fate.name(), line(fate)));
    let below = legend(area, width, width.pick(left, 4), &names)?;
    let top = below + 28;
    let frame =
        Frame { left, right: width.px() as i32 - width.pick(24, 14), top, bottom: top + lanes.len() as i32 * LANE_PX };
    let places = || messages.iter().map(Message::place_ms);
    let (low, high) = (places().fold(0.0, f64::min), places().fold(0.0, f64::max));
    let x = Axis::linear(low..high, frame.left, frame.right);
    caption(
        area,
        width,
        frame,
        width.pick("each stroke: a message, where it was confirmed (not confirmed: sent)", "confirmed at"),
    )?;
    x_axis(area, width, frame, &x, ms_mark)?;
    x_title(area, width, frame, "time after the fault")?;
    paint_moments(area, trial, &x, frame)?;
    for (place, producer) in lanes.iter().enumerate() {
        let middle = frame.top + place as i32 * LANE_PX + LANE_PX / 2;
        let below = middle + LANE_PX / 2;
        area.draw(&PathElement::new(vec![(frame.left, below), (frame.right, below)], GRID.solid()))?;
        let name = format!("{}{producer}", width.pick("producer ", "#"));
        area.draw(&Text::new(name, (frame.left - 8, middle), anchored(width, INK, HPos::Right, VPos::Center)))?;
        paint_lane(area, messages.iter().filter(|one| one.producer == *producer), &x, middle)?;
    }
    Ok(())
}

/// A column of pixels shows the worst of its messages.
fn paint_lane<'a>(area: &Area<'_>, messages: impl Iterator<Item = &'a Message>, x: &Axis, y: i32) -> Drawn {
    let mut columns: BTreeMap<i32, Fate> = BTreeMap::new();
    for message in messages {
        let column = columns.entry(x.px(message.place_ms())).or_insert(message.fate);
        *column = message.fate.max(*column);
    }
    // Neighbours of one fate are one rectangle: thousands of strokes would make a page of megabytes.
    let columns: Vec<(i32, Fate)> = columns.into_iter().collect();
    for run in columns.chunk_by(|a, b| a.1 == b.1 && b.0 - a.0 <= 1) {
        let (colour, half) = style(run[0].1);
        let ends = [(run[0].0, y - half), (run[run.len() - 1].0 + 1, y + half)];
        area.draw(&Rectangle::new(ends, colour.solid().filled()))?;
    }
    Ok(())
}

fn paint_moments(area: &Area<'_>, trial: &TrialResult, x: &Axis, frame: Frame) -> Drawn {
    let line = |at_ms: f64| [(x.px(at_ms), frame.top), (x.px(at_ms), frame.bottom)];
    stroke(area, &line(0.0), Line::solid(INK))?;
    if let Some(tf) = trial.instants_ms.tf.filter(|tf| x.holds(*tf)) {
        stroke(area, &line(tf), Line::dashed(MUTED, Dash::Long))?;
    }
    Ok(())
}
