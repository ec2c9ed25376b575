//! Differences between two runs, a row for each cell, with the interval as a line and zero as the reference.

use super::{Frame, x_axis, x_title};
use crate::compare::{Comparison, Difference, Row};
use crate::error::Result;
use crate::report::theme::{Area, Axis, BLUE, Colour, Drawn, GREEN, GRID, INK, VERMILION, Width};
use crate::report::theme::{anchored, draw, fitted, text_px};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// Height of a row, px; of many, less.
fn row_px(rows: usize) -> i32 {
    if rows > 16 { 34 } else { 40 }
}

/// One figure of a comparison.
#[derive(Debug)]
pub(in crate::report) struct Forest<'a> {
    pub(in crate::report) figure: &'a str,
    pub(in crate::report) comparison: &'a Comparison,
}

/// Draws it; `None` when no cell has a difference as a part of BASE's value.
pub(in crate::report) fn forest(forest: &Forest<'_>, width: Width) -> Result<Option<String>> {
    let rows: Vec<(&Row, f64)> = forest
        .comparison
        .rows
        .iter()
        .filter(|row| row.figure == forest.figure)
        .filter_map(|row| Some((row, row.difference.relative?)))
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let label = format!("{}: NEW against BASE", forest.figure);
    let height = 10 + rows.len() as i32 * row_px(rows.len()) + 54;
    draw(forest.figure, &label, width, height as u32, |area| paint(area, &rows, width)).map(Some)
}

/// The ends of the interval as parts of BASE's value.
fn ends(difference: &Difference) -> Option<[f64; 2]> {
    let base = difference.value_ms[0].filter(|base| *base > 0.0)?;
    difference.interval_ms.map(|ends| ends.map(|end| end / base))
}

/// Beyond this part of BASE's value, an interval is drawn as if it ended here.
const PART_MAX: f64 = 5.0;

fn paint(area: &Area<'_>, rows: &[(&Row, f64)], width: Width) -> Drawn {
    let name = |row: &Row| format!("{} {}", row.scenario, row.place);
    let names = rows.iter().map(|(row, _)| text_px(width, &name(row))).max().unwrap_or(0);
    let row_px = row_px(rows.len());
    let frame = Frame {
        left: width.pick(names.clamp(150, 360) + 20, 132),
        right: width.px() as i32 - width.pick(40, 22),
        top: 10,
        bottom: 10 + rows.len() as i32 * row_px,
    };
    let all = || rows.iter().flat_map(|(row, part)| ends(&row.difference).into_iter().flatten().chain([*part]));
    let (low, high) = (all().fold(-0.05, f64::min), all().fold(0.05, f64::max));
    let x = Axis::linear(low.max(-1.0) * 105.0..high.min(PART_MAX) * 105.0, frame.left, frame.right);
    x_axis(area, width, frame, &x, |percent| if percent == 0.0 { "0 %".to_owned() } else { format!("{percent:+} %") })?;
    x_title(area, width, frame, width.pick("difference, as a part of BASE's value", "difference, part of BASE's"))?;
    let zero = x.px(0.0);
    area.draw(&PathElement::new(vec![(zero, frame.top), (zero, frame.bottom)], INK.solid().stroke_width(2)))?;
    for (index, (row, part)) in rows.iter().enumerate() {
        let middle = frame.top + index as i32 * row_px + row_px / 2;
        let below = middle + row_px / 2;
        area.draw(&PathElement::new(vec![(frame.left, below), (frame.right, below)], GRID.solid()))?;
        paint_name(area, row, frame, middle, width)?;
        paint_row(area, &row.difference, *part, &x, middle)?;
    }
    Ok(())
}

fn paint_name(area: &Area<'_>, row: &Row, frame: Frame, middle: i32, width: Width) -> Drawn {
    let style = |vertical| anchored(width, INK, HPos::Right, vertical);
    let room = frame.left - 10;
    if width == Width::Wide {
        let name = fitted(width, &format!("{} {}", row.scenario, row.place), room);
        return Ok(area.draw(&Text::new(name, (frame.left - 10, middle), style(VPos::Center)))?);
    }
    area.draw(&Text::new(fitted(width, &row.scenario, room), (frame.left - 6, middle - 1), style(VPos::Bottom)))?;
    Ok(area.draw(&Text::new(fitted(width, &row.place, room), (frame.left - 6, middle + 1), style(VPos::Top)))?)
}

fn paint_row(area: &Area<'_>, difference: &Difference, part: f64, x: &Axis, y: i32) -> Drawn {
    let colour: Colour = match difference {
        one if one.is_worse() => VERMILION,
        one if one.is_better() => GREEN,
        _ => BLUE,
    };
    let at = (x.px(part * 100.0), y);
    let Some([low, high]) = ends(difference) else {
        return Ok(area.draw(&Circle::new(at, 5, colour.solid().stroke_width(2)))?);
    };
    let (low, high) = (x.px(low * 100.0), x.px(high * 100.0));
    area.draw(&PathElement::new(vec![(low, y), (high, y)], colour.solid().stroke_width(2)))?;
    for end in [low, high] {
        area.draw(&PathElement::new(vec![(end, y - 6), (end, y + 6)], colour.solid().stroke_width(2)))?;
    }
    Ok(area.draw(&Circle::new(at, 5, colour.solid().filled()))?)
}
