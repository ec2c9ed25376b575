//! Owns the pictures of a run as SVG text: latency over time, rates over time, and the percentile curve. It measures nothing.
//!
//! Where there is no data the lines have gaps; faults are bands; colours are safe for colour-blind readers, and lines differ in
//! their strokes, too.

mod axis;

use hdrhistogram::Histogram;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::clock::Nanos;
use crate::series::{Interval, Percentiles, Series};
use axis::{format_count, format_latency_ms, format_seconds};

/// Size of a picture in pixels.
const SIZE: (u32, u32) = (1100, 420);
/// Points along the time axis: more than this would draw several on one pixel.
const POINTS_MAX: usize = 900;

const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const PURPLE: RGBColor = RGBColor(150, 90, 140);
const GREY: RGBColor = RGBColor(90, 90, 90);
const FAULT: RGBColor = RGBColor(230, 159, 0);

/// A picture that could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("drawing {picture}: {reason}")]
pub struct PlotError {
    /// Which one.
    pub picture: &'static str,
    /// Why not, in the words of the drawing library.
    pub reason: String,
}

/// How a line looks.
#[derive(Debug, Clone, Copy)]
struct Stroke {
    name: &'static str,
    color: RGBColor,
    width: u32,
    /// Lengths of dash and space in pixels; `None` is a full line.
    dash: Option<(u32, u32)>,
}

impl Stroke {
    const fn full(name: &'static str, color: RGBColor, width: u32) -> Self {
        Self { name, color, width, dash: None }
    }

    const fn dashed(name: &'static str, color: RGBColor, dash: (u32, u32)) -> Self {
        Self { name, color, width: 2, dash: Some(dash) }
    }

    /// How long each of the three pieces of its sample in the legend is, in pixels; 10 leaves no space between them.
    fn sample(&self) -> i32 {
        self.dash.map_or(10, |(dash, _)| dash as i32)
    }

    fn style(&self) -> ShapeStyle {
        self.color.stroke_width(self.width)
    }
}

/// A line with gaps: consecutive points without a gap form one piece.
struct Line {
    stroke: Stroke,
    pieces: Vec<Vec<(f64, f64)>>,
}

impl Line {
    /// One point per step of the time axis; `None` is a gap.
    fn over_time(stroke: Stroke, points: impl Iterator<Item = (f64, Option<f64>)>) -> Self {
        let mut pieces = vec![Vec::new()];
        for (x, y) in points {
            match (y, pieces.last_mut()) {
                (Some(y), Some(piece)) => piece.push((x, y)),
                (None, Some(piece)) if !piece.is_empty() => pieces.push(Vec::new()),
                _ => {}
            }
        }
        pieces.retain(|piece| !piece.is_empty());
        Self { stroke, pieces }
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.pieces.iter().flatten().map(|(_, y)| *y)
    }
}

/// Draws a line piece by piece, with one entry in the legend. A macro, since the types of the axes differ.
macro_rules! draw_line {
    ($chart:expr, $line:expr) => {{
        let (stroke, mut named) = ($line.stroke, false);
        for piece in &$line.pieces {
            let points = piece.iter().copied();
            let drawn = match (stroke.dash, piece.len()) {
                (_, 1) => $chart.draw_series(points.map(|point| Circle::new(point, 2, stroke.color.filled())))?,
                (None, _) => $chart.draw_series(LineSeries::new(points, stroke.style()))?,
                (Some((dash, space)), _) => {
                    $chart.draw_series(DashedLineSeries::new(points, dash, space, stroke.style()))?
                }
            };
            if !std::mem::replace(&mut named, true) {
                let (style, dash) = (stroke.style(), stroke.sample());
                drawn.label(stroke.name).legend(move |(x, y)| {
                    let piece = |from: i32| PathElement::new([(x + from, y), (x + from + dash, y)], style);
                    EmptyElement::at((0, 0)) + piece(0) + piece(10) + piece(20)
                });
            }
        }
    }};
}

macro_rules! draw_legend {
    ($chart:expr, $position:ident) => {
        $chart
            .configure_series_labels()
            .position(SeriesLabelPosition::$position)
            .legend_area_size(36)
            .background_style(WHITE.mix(0.85))
            .border_style(GREY.mix(0.4))
            .label_font(("sans-serif", 13))
            .draw()?
    };
}

// After the macros, which it uses.
mod load;
pub use load::latency_against_load;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawResult = Result<(), Box<dyn std::error::Error>>;

fn picture(name: &'static str, draw: impl FnOnce(&Area<'_>) -> DrawResult) -> Result<String, PlotError> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
    let drawn = area.fill(&WHITE).map_err(Into::into).and_then(|()| draw(&area));
    let drawn = drawn.and_then(|()| area.present().map_err(Into::into));
    drop(area);
    match drawn {
        Ok(()) => Ok(text),
        Err(error) => Err(PlotError { picture: name, reason: error.to_string() }),
    }
}

/// Seconds since the schedule's start.
fn since_start(series: &Series, at_ns: Nanos) -> f64 {
    let start_ns = if series.start_ns == 0 { first_ns(series) } else { series.start_ns };
    (at_ns as f64 - start_ns as f64) / 1e9
}

fn first_ns(series: &Series) -> Nanos {
    series.intervals.first().map_or(0, |interval| interval.begin_ns)
}

/// The intervals since the start, in groups small enough that each has a pixel.
fn groups(series: &Series) -> Vec<&[Interval]> {
    let begin = series.intervals.partition_point(|interval| interval.end_ns <= series.start_ns);
    let intervals = &series.intervals[begin..];
    intervals.chunks(intervals.len().div_ceil(POINTS_MAX).max(1)).collect()
}

fn time_range(series: &Series) -> std::ops::Range<f64> {
    let last_ns = series.intervals.last().map_or(0, |interval| interval.end_ns);
    0.0..since_start(series, last_ns).max(0.1)
}

fn middle(series: &Series, group: &[Interval]) -> f64 {
    let (begin_ns, end_ns) = (group.first().map_or(0, |i| i.begin_ns), group.last().map_or(0, |i| i.end_ns));
    since_start(series, begin_ns + (end_ns - begin_ns) / 2)
}

/// Response time (intended send time to confirmation) over time: median, 99th percentile and maximum on a logarithmic axis.
///
/// # Errors
/// The drawing library failed.
pub fn latency_over_time(series: &Series) -> Result<String, PlotError> {
    // Several intervals on one pixel show their worst: percentiles cannot be averaged.
    let line = |stroke: Stroke, point: fn(&Percentiles) -> u64| {
        Line::over_time(
            stroke,
            groups(series).into_iter().map(|group| {
                let worst = group.iter().filter_map(|interval| interval.response.as_ref()).map(point).max();
                (middle(series, group), worst.map(|ns| (ns as f64 / 1e6).max(0.001)))
            }),
        )
    };
    let lines = [
        line(Stroke::full("maximum", GREY, 1), |points| points.max_ns),
        line(Stroke::dashed("99 %", ORANGE, (6, 4)), |points| points.p99_ns),
        line(Stroke::full("median", BLUE, 2), |points| points.p50_ns),
    ];
    picture("latency over time", |area| {
        let range = log_range(lines.iter().flat_map(Line::values));
        let mut chart = ChartBuilder::on(area)
            .caption("Response time: intended send to confirmation", ("sans-serif", 18))
            .margin(14)
            .x_label_area_size(46)
            .y_label_area_size(84)
            .build_cartesian_2d(time_range(series), range.clone().log_scale())?;
        chart
            .configure_mesh()
            .x_desc("time since the start, s")
            .y_desc("latency (logarithmic)")
            .x_label_formatter(&|x| format_seconds(*x))
            .y_label_formatter(&|y| format_latency_ms(*y))
            .light_line_style(WHITE)
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 14))
            .draw()?;
        chart.draw_series(bands(series, &range))?;
        for line in &lines {
            draw_line!(chart, line);
        }
        draw_legend!(chart, UpperLeft);
        Ok(())
    })
}

/// Offered, confirmed and delivered messages a second over time, and the backlog.
///
/// # Errors
/// The drawing library failed.
pub fn rates_over_time(series: &Series) -> Result<String, PlotError> {
    let rate = |stroke: Stroke, count: fn(&Interval) -> u64| {
        Line::over_time(
            stroke,
            groups(series).into_iter().map(|group| {
                let seconds: f64 = group.iter().map(Interval::seconds).sum();
                (middle(series, group), Some(group.iter().map(count).sum::<u64>() as f64 / seconds))
            }),
        )
    };
    let backlog = Line::over_time(
        Stroke::dashed("backlog, messages", GREY, (2, 4)),
        groups(series).into_iter().map(|group| {
            (middle(series, group), group.iter().map(|interval| interval.backlog as f64).reduce(f64::max))
        }),
    );
    let mut lines = vec![
        rate(Stroke::full("confirmed/s", BLUE, 2), |interval| interval.counters.confirmed),
        rate(Stroke::dashed("delivered/s", ORANGE, (6, 4)), |interval| interval.counters.delivered),
        backlog,
    ];
    if series.intervals.iter().any(|interval| interval.offered > 0) {
        lines.insert(0, rate(Stroke::full("offered/s", GREEN, 1), |interval| interval.offered));
    }
    picture("rates over time", |area| {
        let highest = lines.iter().flat_map(Line::values).fold(1.0, f64::max);
        let range = 0.0..highest * 1.4;
        let mut chart = ChartBuilder::on(area)
            .caption("Rates", ("sans-serif", 18))
            .margin(14)
            .x_label_area_size(46)
            .y_label_area_size(84)
            .build_cartesian_2d(time_range(series), range.clone())?;
        chart
            .configure_mesh()
            .x_desc("time since the start, s")
            .y_desc("messages a second; backlog in messages")
            .x_label_formatter(&|x| format_seconds(*x))
            .y_label_formatter(&|y| format_count(*y))
            .light_line_style(WHITE)
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 14))
            .draw()?;
        chart.draw_series(bands(series, &range))?;
        for line in &lines {
            draw_line!(chart, line);
        }
        draw_legend!(chart, UpperRight);
        Ok(())
    })
}

/// The percentile curve: latency against the number of nines, for response and service time and for delivery.
///
/// # Errors
/// The drawing library failed.
pub fn percentile_curve(series: &Series) -> Result<String, PlotError> {
    let histograms = &series.histograms;
    let lines = [
        curve(Stroke::full("response: intended to confirmed", BLUE, 2), &histograms.response),
        curve(Stroke::dashed("service: sent to confirmed", ORANGE, (6, 4)), &histograms.service),
        curve(Stroke::dashed("delivery: intended to received", PURPLE, (2, 4)), &histograms.delivery),
    ];
    picture("percentile curve", |area| {
        let range = log_range(lines.iter().flat_map(Line::values));
        let nines = lines.iter().flat_map(|line| line.pieces.iter().flatten()).map(|(x, _)| *x).fold(2.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption("Latency by percentile", ("sans-serif", 18))
            .margin(14)
            .x_label_area_size(46)
            .y_label_area_size(84)
            .build_cartesian_2d(0.0..nines * 1.02, range.log_scale())?;
        chart
            .configure_mesh()
            .x_desc("percentile (each step to the right leaves a tenth)")
            .y_desc("latency (logarithmic)")
            .x_labels(nines.ceil() as usize + 1)
            .x_label_formatter(&|x| axis::format_nines(*x))
            .y_label_formatter(&|y| format_latency_ms(*y))
            .light_line_style(WHITE)
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 14))
            .draw()?;
        for line in &lines {
            draw_line!(chart, line);
        }
        draw_legend!(chart, LowerRight);
        Ok(())
    })
}

/// Latency in milliseconds at x nines; the last point is where one sample is left.
fn curve(stroke: Stroke, histogram: &Histogram<u64>) -> Line {
    let nines_max = (histogram.len().max(1) as f64).log10();
    let steps = 200;
    let point = |step: usize| {
        let nines = nines_max * step as f64 / steps as f64;
        let value_ns = histogram.value_at_quantile(1.0 - 10_f64.powf(-nines));
        (nines, (!histogram.is_empty()).then(|| (value_ns as f64 / 1e6).max(0.001)))
    };
    Line::over_time(stroke, (0..=steps).map(point))
}

fn log_range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low > high { 0.1..10.0 } else { low * 0.7..high * 2.5 }
}

/// One band per fault, over the whole height.
fn bands(series: &Series, range: &std::ops::Range<f64>) -> Vec<Rectangle<(f64, f64)>> {
    let end = time_range(series).end;
    let band = |fault: &crate::series::FaultWindow| {
        let right = fault.end_ns.map_or(end, |end_ns| since_start(series, end_ns)).clamp(0.0, end);
        let left = since_start(series, fault.begin_ns).clamp(0.0, right);
        // A band narrower than a pixel or two would not be seen.
        let right = right.max(left + end / 500.0);
        Rectangle::new([(left, range.start), (right, range.end)], FAULT.mix(0.25).filled())
    };
    series.faults.iter().map(band).collect()
}
