//! Latency by percentile, with the distance to 100 % on a logarithmic axis, so that the tail can be seen.

use super::{Frame, caption, x_title, y_axis};
use crate::error::Result;
use crate::report::theme::{Area, Axis, Drawn, GRID, Line, MUTED, Width};
use crate::report::theme::{anchored, draw, legend, legend_px, ms_mark, stroke};
use hdrhistogram::Histogram;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// One curve: its name, its line, and its values in nanoseconds.
#[derive(Debug)]
pub(in crate::report) struct Curve<'a> {
    pub(in crate::report) name: &'a str,
    pub(in crate::report) line: Line,
    pub(in crate::report) histogram: &'a Histogram<u64>,
}

const MARKS: [(&str, f64); 6] =
    [("0", 1.0), ("90 %", 0.1), ("99 %", 0.01), ("99.9 %", 1e-3), ("99.99 %", 1e-4), ("99.999 %", 1e-5)];

/// Draws curves on common axes.
pub(in crate::report) fn percentiles(name: &str, label: &str, curves: &[Curve<'_>], width: Width) -> Result<String> {
    let height = legend_px(width, legend_left(width), &names(curves)) + 335;
    draw(name, label, width, height as u32, |area| paint(area, curves, width))
}

fn names<'a>(curves: &[Curve<'a>]) -> Vec<(&'a str, Line)> {
    curves.iter().map(|curve| (curve.name, curve.line)).collect()
}

/// On a telephone the names need all the width.
fn legend_left(width: Width) -> i32 {
    width.pick(76, 4)
}

fn paint(area: &Area<'_>, curves: &[Curve<'_>], width: Width) -> Drawn {
    let left = width.pick(76, 62);
    let below = legend(area, width, legend_left(width), &names(curves))?;
    let frame = Frame { left, right: width.px() as i32 - width.pick(50, 30), top: below + 28, bottom: below + 279 };
    let samples = curves.iter().map(|curve| curve.histogram.len()).max().unwrap_or(1);
    let depth = (samples.max(10) as f64).log10();
    let x = Axis::linear(0.0..depth, frame.left, frame.right);
    let ms = |value_ns: u64| value_ns as f64 / 1e6;
    let high = curves.iter().map(|curve| ms(curve.histogram.max())).fold(1.0, f64::max);
    // The fastest of all say little, and would push the rest together.
    let low = drawn(curves).map(|curve| ms(curve.histogram.value_at_quantile(0.5)) / 10.0).fold(high, f64::min);
    let y = Axis::logarithmic(low * 0.8..high * 1.2, frame.bottom, frame.top);
    y_axis(area, width, frame, &y, ms_mark)?;
    caption(area, width, frame, "latency")?;
    for (words, rest) in MARKS.into_iter().filter(|(_, rest)| -rest.log10() <= depth) {
        let px = x.px(-rest.log10());
        area.draw(&PathElement::new(vec![(px, frame.top), (px, frame.bottom)], GRID.solid()))?;
        area.draw(&Text::new(words, (px, frame.bottom + 6), anchored(width, MUTED, HPos::Center, VPos::Top)))?;
    }
    x_title(area, width, frame, "share of the messages that were faster")?;
    for curve in drawn(curves) {
        let steps = (-(1.0 / curve.histogram.len().max(1) as f64).log10() * 40.0) as i32;
        let point = |step: i32| {
            let nines = f64::from(step) / 40.0;
            (x.px(nines), y.px(ms(curve.histogram.value_at_quantile(1.0 - 10f64.powf(-nines)))))
        };
        stroke(area, &(0..=steps).map(point).collect::<Vec<_>>(), curve.line)?;
    }
    Ok(())
}

fn drawn<'a, 'c>(curves: &'a [Curve<'c>]) -> impl Iterator<Item = &'a Curve<'c>> {
    curves.iter().filter(|curve| !curve.histogram.is_empty())
}
