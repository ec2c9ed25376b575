//! Owns the picture of a sweep: latency against load, met rates full and missed ones hollow. It measures nothing.

use plotters::prelude::*;

use super::axis::{format_count, format_latency_ms};
use super::{BLUE, GREEN, GREY, Line, ORANGE, PURPLE, PlotError, Stroke, log_range, picture};
use crate::series::Percentiles;
use crate::sweep::Point;

/// Response time against the offered rate, at four percentiles, with a mark at the highest rate that met the target.
///
/// # Errors
/// The drawing library failed.
pub fn latency_against_load(points: &[Point], answer: Option<f64>) -> Result<String, PlotError> {
    let line = |stroke: Stroke, read: fn(&Percentiles) -> u64| {
        Line::over_time(stroke, points.iter().map(|point| (point.rate, Some(milliseconds(read(&point.response))))))
    };
    let lines = [
        line(Stroke::full("maximum", GREY, 1), |points| points.max_ns),
        line(Stroke::dashed("99.9 %", PURPLE, (2, 4)), |points| points.p999_ns),
        line(Stroke::dashed("99 %", ORANGE, (6, 4)), |points| points.p99_ns),
        line(Stroke::full("median", BLUE, 2), |points| points.p50_ns),
    ];
    picture("latency against load", |area| {
        let range = log_range(lines.iter().flat_map(Line::values));
        let lowest = points.iter().map(|point| point.rate).fold(f64::MAX, f64::min).min(1e9);
        let highest = points.iter().map(|point| point.rate).fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption("Response time against load", ("sans-serif", 18))
            .margin(14)
            .x_label_area_size(46)
            .y_label_area_size(84)
            .build_cartesian_2d((lowest * 0.8..highest * 1.25).log_scale(), range.clone().log_scale())?;
        chart
            .configure_mesh()
            .x_desc("offered messages a second (logarithmic); hollow: the target was missed")
            .y_desc("latency (logarithmic)")
            .x_label_formatter(&|x| format_count(*x))
            .y_label_formatter(&|y| format_latency_ms(*y))
            .light_line_style(WHITE)
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 14))
            .draw()?;
        for line in &lines {
            draw_line!(chart, line);
        }
        chart.draw_series(points.iter().map(|point| {
            let style = if point.met { BLUE.filled() } else { ORANGE.stroke_width(2) };
            Circle::new((point.rate, milliseconds(point.response.p99_ns)), 5, style)
        }))?;
        if let Some(rate) = answer {
            let mark = [(rate, range.start), (rate, range.end)];
            chart
                .draw_series(std::iter::once(PathElement::new(mark, GREEN.stroke_width(2))))?
                .label("highest rate that meets the target")
                .legend(|(x, y)| PathElement::new([(x, y), (x + 30, y)], GREEN.stroke_width(2)));
        }
        draw_legend!(chart, UpperLeft);
        Ok(())
    })
}

fn milliseconds(value_ns: u64) -> f64 {
    (value_ns as f64 / 1e6).max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn met_and_missed_rates_look_different() {
        let response = Percentiles {
            p50_ns: 1_000_000,
            p99_ns: 2_000_000,
            p999_ns: 3_000_000,
            max_ns: 9_000_000,
            ..Percentiles::default()
        };
        let point = |rate, met| Point { rate, response, met };
        let drawn = latency_against_load(&[point(1_000.0, true), point(2_000.0, false)], Some(1_000.0)).expect("drawn");
        assert!(drawn.starts_with("<svg") && drawn.matches("<circle").count() >= 2 && drawn.contains("highest rate"));
        assert!(latency_against_load(&[], None).expect("drawn").starts_with("<svg"));
    }
}
