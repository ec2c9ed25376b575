//! One trial over time: response time, rates and what waits, with a lane for each fault and the first one as a band. Where nothing was
//! confirmed, nothing is drawn.

use super::{Frame, caption, x_axis, x_title, y_axis};
use crate::clock::ms_between;
use crate::error::Result;
use crate::report::theme::{
    Area, Axis, BLUE, Dash, Drawn, GREEN, GRID, INK, Line, MUTED, ORANGE, PAPER, PURPLE, VERMILION, Width,
};
use crate::report::theme::{anchored, count_mark, draw, fitted, legend, legend_px, ms_mark, stroke, text_px, trimmed};
use crate::result::{FaultRecord, Observed, TrialResult};
use crate::series::{BUCKET_MS, Bucket};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

const RESPONSE: [(&str, Line, usize); 4] = [
    ("p50", Line::solid(BLUE), 0),
    ("p99", Line::dashed(PURPLE, Dash::Long), 1),
    ("p99.9", Line::dashed(ORANGE, Dash::Long), 2),
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
    let legends = legend_px(width, left_px(width), &names(&RESPONSE)) + legend_px(width, left_px(width), &rate_names());
    let axis = 16 + 2 * width.font_px() as i32;
    let height = legends + lanes(trial).len() as i32 * lane_px(width) + PANELS_PX + axis;
    draw(&trial.file_stem(), &label, width, height as u32, |area| paint(area, trial, buckets, width))
}

/// The three panels with the distances between them, px.
const PANELS_PX: i32 = 4 + 26 + 222 + 16 + 26 + 120 + 44 + 70;

/// Where the panels begin, px: the marks stand left of it.
fn left_px(width: Width) -> i32 {
    width.pick(76, 62)
}

fn names(lines: &[(&'static str, Line, usize)]) -> Vec<(&'static str, Line)> {
    lines.iter().map(|(name, line, _)| (*name, *line)).collect()
}

fn rate_names() -> Vec<(&'static str, Line)> {
    RATES.iter().map(|(name, line, _)| (*name, *line)).collect()
}

/// Height of the lane of a fault, px: on a telephone its name stands above it.
fn lane_px(width: Width) -> i32 {
    width.pick(22, 34)
}

/// Faults that have a lane of their own; of more, the last ones are in the table of trials only.
const LANES_MAX: usize = 12;

/// What was seen to take effect.
fn lanes(trial: &TrialResult) -> Vec<&FaultRecord> {
    trial.faults.iter().filter(|fault| fault.effect.is_some()).take(LANES_MAX).collect()
}

fn paint(area: &Area<'_>, trial: &TrialResult, buckets: &[Bucket], width: Width) -> Drawn {
    let (left, right) = (left_px(width), width.px() as i32 - width.pick(24, 12));
    let first = buckets.first().map_or(0.0, |bucket| bucket.begin_ms);
    let last = buckets.last().map_or(1.0, |bucket| bucket.begin_ms + BUCKET_MS as f64);
    let x = Axis::linear(first / 1000.0..last / 1000.0, left, right);
    let below_legend = legend(area, width, left, &names(&RESPONSE))?;
    let frame = |top: i32, bottom: i32| Frame { left, right, top, bottom };
    let below_lanes = paint_lanes(area, trial, frame(below_legend + 4, below_legend + 4), &x, width)?;

    let response = frame(below_lanes + 26, below_lanes + 248);
    band(area, trial, response, &x)?;
    let words =
        width.pick("response time, from the intended send to the confirm (logarithmic)", "response time (logarithmic)");
    caption(area, width, response, words)?;
    paint_response(area, buckets, response, &x, width)?;

    let shift = response.bottom + 16;
    let strip = area.clone().shrink((0, shift), (width.px(), 40));
    let below_legend = shift + legend(&strip, width, left, &rate_names())?;
    let rates = frame(below_legend + 26, below_legend + 146);
    band(area, trial, rates, &x)?;
    caption(area, width, rates, "messages per second")?;
    paint_rates(area, buckets, rates, &x, width)?;

    let waiting = frame(rates.bottom + 44, rates.bottom + 114);
    band(area, trial, waiting, &x)?;
    caption(area, width, waiting, "backlog: messages due and not yet confirmed")?;
    let values: Vec<f64> = buckets.iter().map(|bucket| bucket.waiting as f64).collect();
    paint_values(area, buckets, &values, waiting, &x, width, Line::solid(ORANGE))?;
    x_axis(area, width, waiting, &x, |value| format!("{} s", trimmed(value)))?;
    x_title(area, width, waiting, "time after the fault")
}

/// A bar for each fault, from its effect until it was taken back; what cannot be taken back ends in a point. Returns the lower end.
fn paint_lanes(
    area: &Area<'_>,
    trial: &TrialResult,
    frame: Frame,
    x: &Axis,
    width: Width,
) -> std::result::Result<i32, Box<dyn std::error::Error + Send + Sync>> {
    let zero_ns = trial.fault().and_then(|fault| fault.effect.as_ref()).map_or(0, |effect| effect.effective_ns);
    let s = |t_ns: u64| ms_between(zero_ns, t_ns) / 1000.0;
    let lanes = lanes(trial);
    for (place, fault) in lanes.iter().enumerate() {
        let Some(effect) = &fault.effect else { continue };
        let y = frame.top + place as i32 * lane_px(width) + width.pick(11, 25);
        let begin = x.px(s(effect.effective_ns));
        let end = fault.healed_ns.map(|healed_ns| x.px(s(healed_ns)).max(begin + 3));
        area.draw(&PathElement::new(vec![(frame.left, y), (frame.right, y)], GRID.solid()))?;
        match end {
            Some(end) => area.draw(&Rectangle::new([(begin, y - 4), (end, y + 4)], VERMILION.solid().filled()))?,
            None => area.draw(&Circle::new((begin, y), 5, VERMILION.solid().filled()))?,
        }
        let words = lane_words(fault, s(effect.effective_ns));
        paint_lane_name(area, &words, (begin - 8, end.unwrap_or(begin) + 8), y, frame, width)?;
    }
    Ok(frame.top + lanes.len() as i32 * lane_px(width))
}

fn lane_words(fault: &FaultRecord, begin_s: f64) -> String {
    let name = if fault.target.is_empty() || fault.name.contains(&fault.target) {
        fault.name.clone()
    } else {
        format!("{}, {}", fault.name, fault.target)
    };
    match (&fault.effect, fault.healed_ns) {
        (Some(effect), Some(healed_ns)) => {
            format!("{name}, for {}", ms_mark(ms_between(effect.effective_ns, healed_ns).round()))
        }
        _ if begin_s == 0.0 => name,
        _ => format!("{name} at {}", ms_mark((begin_s * 1000.0).round())),
    }
}

/// Right of the bar where there is room, else left of it; on a telephone above.
fn paint_lane_name(
    area: &Area<'_>,
    words: &str,
    (before, behind): (i32, i32),
    y: i32,
    frame: Frame,
    width: Width,
) -> Drawn {
    if width == Width::Narrow {
        let words = fitted(width, words, frame.right - 4);
        return Ok(area.draw(&Text::new(words, (4, y - 7), anchored(width, INK, HPos::Left, VPos::Bottom)))?);
    }
    let (room_behind, room_before) = (frame.right - behind, before - frame.left);
    let is_behind = text_px(width, words) <= room_behind || room_behind >= room_before;
    let (at, side, room) =
        if is_behind { (behind, HPos::Left, room_behind) } else { (before, HPos::Right, room_before) };
    let words = fitted(width, words, room);
    let (begin, end) =
        if is_behind { (at - 2, at + text_px(width, &words)) } else { (at - text_px(width, &words), at + 2) };
    area.draw(&Rectangle::new([(begin, y - 8), (end, y + 8)], PAPER.solid().filled()))?;
    Ok(area.draw(&Text::new(words, (at, y), anchored(width, INK, side, VPos::Center)))?)
}

/// The time in which the first fault was at work: until it was taken back, or until the first confirm by the new active server.
fn band(area: &Area<'_>, trial: &TrialResult, frame: Frame, x: &Axis) -> Drawn {
    let Some(fault) = trial.fault() else { return Ok(()) };
    let t0_ns = fault.effect.as_ref().map_or(0, |effect| effect.effective_ns);
    let healed_ms = fault.healed_ns.map(|t_ns| ms_between(t0_ns, t_ns));
    let end_ms = trial.failover().map(Observed::ms).or(healed_ms).unwrap_or(0.0);
    let (begin, end) = (x.px(0.0), x.px(end_ms / 1000.0).max(x.px(0.0) + 2));
    area.draw(&Rectangle::new([(begin, frame.top), (end, frame.bottom)], VERMILION.faint(0.14).filled()))?;
    Ok(area.draw(&PathElement::new(vec![(begin, frame.top), (begin, frame.bottom)], VERMILION.solid()))?)
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
    for value in x.marks(width.pick(10, 5)) {
        let px = x.px(value);
        area.draw(&PathElement::new(vec![(px, frame.top), (px, frame.bottom)], GRID.solid()))?;
    }
    Ok(())
}
