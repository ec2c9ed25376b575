//! The plots. Each is a function from data to SVG, drawn in pixels on axes of its own: plotters' charts clip long labels.

mod backlog;
mod failover;
mod fates;
mod forest;
mod percentiles;
mod recovery;
mod strip;
mod timeline;
mod waterfall;

pub(super) use backlog::{Figure, backlog};
pub(super) use failover::failover;
pub(super) use fates::fates;
pub(super) use forest::{Forest, forest};
pub(super) use percentiles::{Curve, percentiles};
pub(super) use recovery::recovery;
pub(super) use strip::{Row, Strip, strip};
pub(super) use timeline::timeline;
pub(super) use waterfall::{PHASES, waterfall};

use super::theme::{Area, Axis, Drawn, GRID, INK, MUTED, Width, anchored};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// The rectangle that holds the data, px.
#[derive(Clone, Copy, Debug)]
struct Frame {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

/// Lines across the frame with their marks below it.
fn x_axis(area: &Area<'_>, width: Width, frame: Frame, axis: &Axis, mark: fn(f64) -> String) -> Drawn {
    for value in axis.marks(width.pick(10, 5)) {
        let x = axis.px(value);
        area.draw(&PathElement::new(vec![(x, frame.top), (x, frame.bottom)], GRID.solid()))?;
    }
    x_marks(area, width, axis, mark, (frame.bottom + 6, VPos::Top))
}

/// The marks of an axis at a height. Those that would run into each other or over the edge are left out.
fn x_marks(area: &Area<'_>, width: Width, axis: &Axis, mark: fn(f64) -> String, (y, side): (i32, VPos)) -> Drawn {
    let mut free_from = 0;
    for value in axis.marks(width.pick(10, 5)) {
        let (x, words) = (axis.px(value), mark(value));
        let half = super::theme::text_px(width, &words) / 2;
        if x - half >= free_from && x + half <= width.px() as i32 {
            area.draw(&Text::new(words, (x, y), anchored(width, MUTED, HPos::Center, side)))?;
            free_from = x + half + 8;
        }
    }
    Ok(())
}

/// Lines along the frame with their marks left of it.
fn y_axis(area: &Area<'_>, width: Width, frame: Frame, axis: &Axis, mark: fn(f64) -> String) -> Drawn {
    for value in axis.marks(((frame.bottom - frame.top) / 28).max(3) as usize) {
        let y = axis.px(value);
        area.draw(&PathElement::new(vec![(frame.left, y), (frame.right, y)], GRID.solid()))?;
        area.draw(&Text::new(mark(value), (frame.left - 6, y), anchored(width, MUTED, HPos::Right, VPos::Center)))?;
    }
    Ok(())
}

/// What the frame shows, above its left edge.
fn caption(area: &Area<'_>, width: Width, frame: Frame, words: &str) -> Drawn {
    let style = anchored(width, INK, HPos::Left, VPos::Bottom);
    Ok(area.draw(&Text::new(words.to_owned(), (frame.left, frame.top - 5), style))?)
}

/// What the horizontal axis means, below its marks.
fn x_title(area: &Area<'_>, width: Width, frame: Frame, words: &str) -> Drawn {
    let y = frame.bottom + 10 + width.font_px() as i32;
    let style = anchored(width, MUTED, HPos::Right, VPos::Top);
    Ok(area.draw(&Text::new(words.to_owned(), (frame.right, y), style))?)
}
