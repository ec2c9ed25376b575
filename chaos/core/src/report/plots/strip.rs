//! Small samples as points, a row for each, with the median and its interval.

use super::{Frame, x_axis, x_marks, x_title};
use crate::error::Result;
use crate::report::theme::{Area, Axis, Colour, Drawn, GRID, INK, VERMILION, Width};
use crate::report::theme::{anchored, draw, fitted, text_px};
use crate::result::Observed;
use crate::statistics::Spread;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// Height of a row, px; of many, less.
fn row_px(rows: usize) -> i32 {
    if rows > MANY_ROWS { 34 } else { 44 }
}

/// Of more rows, the axis has its marks above as well.
const MANY_ROWS: usize = 16;

fn top_px(strip: &Strip<'_>) -> i32 {
    if strip.rows.len() > MANY_ROWS { 28 } else { 10 }
}

/// Names longer than this are shortened: the points need the room.
const NAME_PX_MAX: i32 = 380;

/// One sample.
#[derive(Debug)]
pub(in crate::report) struct Row<'a> {
    /// Its name on a desk.
    pub(in crate::report) name: String,
    /// Its name on a telephone, on two lines.
    pub(in crate::report) narrow: [String; 2],
    pub(in crate::report) points: Vec<Observed>,
    pub(in crate::report) colour: Colour,
    pub(in crate::report) spread: &'a Spread,
}

/// Samples on a common logarithmic axis.
#[derive(Debug)]
pub(in crate::report) struct Strip<'a> {
    /// For messages about the plot.
    pub(in crate::report) name: &'a str,
    /// What the plot shows.
    pub(in crate::report) label: &'a str,
    /// What the axis means.
    pub(in crate::report) title: &'a str,
    /// How a value is written.
    pub(in crate::report) mark: fn(f64) -> String,
    pub(in crate::report) rows: Vec<Row<'a>>,
}

/// Draws it; `None` when there is no point.
pub(in crate::report) fn strip(strip: &Strip<'_>, width: Width) -> Result<Option<String>> {
    if strip.rows.iter().all(|row| row.points.is_empty()) {
        return Ok(None);
    }
    let height = top_px(strip) + strip.rows.len() as i32 * row_px(strip.rows.len()) + 54;
    draw(strip.name, strip.label, width, height as u32, |area| paint(area, strip, width)).map(Some)
}

fn paint(area: &Area<'_>, strip: &Strip<'_>, width: Width) -> Drawn {
    let names = strip.rows.iter().map(|row| text_px(width, &row.name)).max().unwrap_or(0);
    let row_px = row_px(strip.rows.len());
    let frame = Frame {
        left: width.pick(names.clamp(150, NAME_PX_MAX) + 20, 118),
        right: width.px() as i32 - width.pick(40, 22),
        top: top_px(strip),
        bottom: top_px(strip) + strip.rows.len() as i32 * row_px,
    };
    let values = || strip.rows.iter().flat_map(|row| &row.points).map(|point| point.ms());
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let x = Axis::logarithmic(low * 0.8..high * 1.25, frame.left, frame.right);
    x_axis(area, width, frame, &x, strip.mark)?;
    if strip.rows.len() > MANY_ROWS {
        x_marks(area, width, &x, strip.mark, (frame.top - 6, VPos::Bottom))?;
    }
    x_title(area, width, frame, strip.title)?;
    for (index, row) in strip.rows.iter().enumerate() {
        let middle = frame.top + index as i32 * row_px + row_px / 2;
        let below = middle + row_px / 2;
        area.draw(&PathElement::new(vec![(frame.left, below), (frame.right, below)], GRID.solid()))?;
        paint_name(area, row, frame, middle, width)?;
        paint_median(area, row.spread, &x, middle)?;
        for (place, point) in row.points.iter().enumerate() {
            // A fixed offset by order keeps equal values apart.
            let y = middle + [-6, 0, 6][place % 3];
            paint_point(area, *point, row.colour, &x, y)?;
        }
    }
    Ok(())
}

fn paint_name(area: &Area<'_>, row: &Row<'_>, frame: Frame, middle: i32, width: Width) -> Drawn {
    let style = |vertical| anchored(width, INK, HPos::Right, vertical);
    let room = frame.left - 12;
    if width == Width::Wide {
        let name = fitted(width, &row.name, room);
        return Ok(area.draw(&Text::new(name, (frame.left - 10, middle), style(VPos::Center)))?);
    }
    let [above, below] = row.narrow.each_ref().map(|name| fitted(width, name, room));
    area.draw(&Text::new(above, (frame.left - 6, middle - 1), style(VPos::Bottom)))?;
    Ok(area.draw(&Text::new(below, (frame.left - 6, middle + 1), style(VPos::Top)))?)
}

fn paint_median(area: &Area<'_>, spread: &Spread, x: &Axis, middle: i32) -> Drawn {
    if let Some([Some(low), high]) = spread.ci95 {
        let end = high.map_or(x.px(f64::MAX), |high| x.px(high));
        area.draw(&Rectangle::new([(x.px(low), middle - 13), (end, middle + 13)], INK.faint(0.09).filled()))?;
    }
    if let Some(median) = spread.median {
        let at = x.px(median);
        area.draw(&PathElement::new(vec![(at, middle - 15), (at, middle + 15)], INK.solid().stroke_width(2)))?;
    }
    Ok(())
}

/// A filled circle, or an open one with an arrow where only a lower bound is known.
fn paint_point(area: &Area<'_>, point: Observed, colour: Colour, x: &Axis, y: i32) -> Drawn {
    let at = x.px(point.ms());
    match point {
        Observed::At(_) => area.draw(&Circle::new((at, y), 5, colour.solid().filled()))?,
        Observed::Beyond(_) => {
            area.draw(&Circle::new((at, y), 5, VERMILION.solid().stroke_width(2)))?;
            area.draw(&PathElement::new(vec![(at + 5, y), (at + 18, y)], VERMILION.solid().stroke_width(2)))?;
        }
    }
    Ok(())
}
