//! One trial over time: response time, rates and what waits, with the fault as a band. Where nothing was confirmed, nothing is drawn.

use super::{Frame, caption, x_axis, x_title, y_axis};
use crate::error::Result;
use crate::report::theme::{
    Area, Axis, BLUE, Colour, Dash, Drawn, GREEN, INK, Line, MUTED, ORANGE, PURPLE, VERMILION, Width,
};
use crate::report::theme::{anchored, count_mark, draw, legend, ms_mark, stroke, trimmed};
use crate::result::{Observed, TrialResult};
use crate::series::{BUCKET_MS, Bucket};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

const RESPONSE: [(&str, Line, usize); 3] = [
    ("p50", Line::solid(BLUE), 0),
    ("p99", Line::dashed(PURPLE, Dash::Long), 1),
    ("max", Line::dashed(VERMILION, Dash::Short), 3),
];
/// A rate: its name, its line, and its count in a bucket.
type Rate = (&'static str, Line, fn(&Bucket) -> u64);

const RATES: [Rate; 3] = [
    ("offered", Line::dashed(MUTED, Dash::Long), |bucket| bucket.offered),
    ("confirmed", Line::solid(BLUE), |bucket| bucket.confirmed),
    ("delivered", Line::dashed(GREEN, Dash::Short), |bucket| bucket.delivered),
];

/// Draws it; `buckets` are those of the trial's CSV.
pub(in crate::report) fn timeline(trial: &TrialResult, buckets: &[Bucket], width: Width) -> Result<String> {
    let label = format!("Trial {}: response time, rates and waiting messages over time", trial.number);
    draw(&trial.file_stem(), &label, width, width.pick(672, 660), |area| paint(area, trial, buckets, width))
}

fn paint(area: &Area<'_>, trial: &TrialResult, buckets: &[Bucket], width: Width) -> Drawn {
    let (left, right) = (width.pick(76, 62), width.px() as i32 - width.pick(24, 12));
    let first = buckets.first().map_or(0.0, |bucket| bucket.begin_ms);
    let last = buckets.last().map_or(1.0, |bucket| bucket.begin_ms + BUCKET_MS as f64);
    let x = Axis::linear(first / 1000.0..last / 1000.0, left, right);
    let names: Vec<(&str, Line)> = RESPONSE.iter().map(|(name, line, _)| (*name, *line)).collect();
    let below_legend = legend(area, width, left, &names)?;
    let frame = |top: i32, bottom: i32| Frame { left, right, top, bottom };

    let response = frame(below_legend + 48, below_legend + 270);
    band(area, trial, response, &x, width, true)?;
    caption(
        area,
        width,
        Frame { top: response.top - 18, ..response },
        width.pick("response time, from the intended send to the confirm", "response time"),
    )?;
    paint_response(area, buckets, response, &x, width)?;

    let shift = response.bottom + 26;
    let strip = area.clone().shrink((0, shift), (width.px(), 40));
    let names: Vec<(&str, Line)> = RATES.iter().map(|(name, line, _)| (*name, *line)).collect();
    let below_legend = shift + legend(&strip, width, left, &names)?;
    let rates = frame(below_legend + 26, below_legend + 146);
    band(area, trial, rates, &x, width, false)?;
    caption(area, width, rates, "messages per second")?;
    paint_rates(area, buckets, rates, &x, width)?;

    let waiting = frame(rates.bottom + 44, rates.bottom + 114);
    band(area, trial, waiting, &x, width, false)?;
    caption(area, width, waiting, "messages due and not yet confirmed")?;
    let values: Vec<f64> = buckets.iter().map(|bucket| bucket.waiting as f64).collect();
    paint_values(area, buckets, &values, waiting, &x, width, Line::solid(ORANGE))?;
    x_axis(area, width, waiting, &x, |value| format!("{} s", trimmed(value)))?;
    x_title(area, width, waiting, "time after the fault")
}

/// The time in which the fault was at work: until it was taken back, or until the first confirm by the new active server.
fn band(area: &Area<'_>, trial: &TrialResult, frame: Frame, x: &Axis, width: Width, with_words: bool) -> Drawn {
    let Some(fault) = trial.fault() else { return Ok(()) };
    let t0_ns = fault.effect.as_ref().map_or(0, |effect| effect.effective_ns);
    let healed_ms = fault.healed_ns.map(|t_ns| crate::clock::ms_between(t0_ns, t_ns));
    let end_ms = healed_ms.or(trial.failover().map(Observed::ms)).unwrap_or(0.0);
    let (begin, end) = (x.px(0.0), x.px(end_ms / 1000.0).max(x.px(0.0) + 2));
    area.draw(&Rectangle::new([(begin, frame.top), (end, frame.bottom)], VERMILION.faint(0.14).filled()))?;
    area.draw(&PathElement::new(vec![(begin, frame.top), (begin, frame.bottom)], VERMILION.solid()))?;
    if with_words {
        area.draw(&Rectangle::new([(begin, frame.top - 6), (end, frame.top)], VERMILION.solid().filled()))?;
        let words = match (healed_ms, trial.times_ms.failover) {
            (_, Some(failover)) => format!("{}, confirmed again after {}", fault.name, ms_mark(failover.round())),
            (Some(healed), None) => format!("{}, healed after {}", fault.name, ms_mark(healed.round())),
            (None, None) => format!("{}, no recovery", fault.name),
        };
        let style = anchored(width, INK, HPos::Left, VPos::Bottom);
        area.draw(&Text::new(words, (begin.min(width.pick(begin, frame.left)), frame.top - 8), style))?;
    }
    Ok(())
}

fn paint_response(area: &Area<'_>, buckets: &[Bucket], frame: Frame, x: &Axis, width: Width) -> Drawn {
    let all = buckets.iter().filter_map(|bucket| bucket.response_ms);
    let (low, high) = all.fold((f64::INFINITY, 1.0_f64), |(low, high), [p50, .., max]| (low.min(p50), high.max(max)));
    let low = if low.is_finite() { low } else { 0.1 };
    let y = Axis::logarithmic(low * 0.8..high * 1.2, frame.bottom, frame.top);
    y_axis(area, width, frame, &y, ms_mark)?;
    grid_only(area, frame, x, width)?;
    for (_, line, index) in RESPONSE {
        for part in buckets.split(|bucket| bucket.response_ms.is_none()) {
            let point = |bucket: &Bucket| bucket.response_ms.map(|values| (middle_px(bucket, x), y.px(values[index])));
            let points: Vec<(i32, i32)> = part.iter().filter_map(point).collect();
            stroke(area, &points, line)?;
        }
    }
    Ok(())
}

fn paint_rates(area: &Area<'_>, buckets: &[Bucket], frame: Frame, x: &Axis, width: Width) -> Drawn {
    let per_second = 1000.0 / BUCKET_MS as f64;
    let highest =
        buckets.iter().map(|bucket| bucket.offered.max(bucket.confirmed).max(bucket.delivered)).max().unwrap_or(1);
    let y = Axis::linear(0.0..highest as f64 * per_second * 1.05, frame.bottom, frame.top);
    y_axis(area, width, frame, &y, count_mark)?;
    grid_only(area, frame, x, width)?;
    for (_, line, value) in RATES {
        let points: Vec<(i32, i32)> =
            buckets.iter().map(|bucket| (middle_px(bucket, x), y.px(value(bucket) as f64 * per_second))).collect();
        stroke(area, &points, line)?;
    }
    Ok(())
}

fn paint_values(
    area: &Area<'_>,
    buckets: &[Bucket],
    values: &[f64],
    frame: Frame,
    x: &Axis,
    width: Width,
    line: Line,
) -> Drawn {
    let highest = values.iter().copied().fold(1.0, f64::max);
    let y = Axis::linear(0.0..highest * 1.05, frame.bottom, frame.top);
    y_axis(area, width, frame, &y, count_mark)?;
    let points: Vec<(i32, i32)> =
        buckets.iter().zip(values).map(|(bucket, &value)| (middle_px(bucket, x), y.px(value))).collect();
    stroke(area, &points, line)
}

fn middle_px(bucket: &Bucket, x: &Axis) -> i32 {
    x.px((bucket.begin_ms + BUCKET_MS as f64 / 2.0) / 1000.0)
}

/// The vertical lines of the common time axis, without marks.
fn grid_only(area: &Area<'_>, frame: Frame, x: &Axis, width: Width) -> Drawn {
    const COLOUR: Colour = crate::report::theme::GRID;
    for value in x.marks(width.pick(10, 5)) {
        let px = x.px(value);
        area.draw(&PathElement::new(vec![(px, frame.top), (px, frame.bottom)], COLOUR.solid()))?;
    }
    Ok(())
}
