//! Owns the figures of a run as comma-separated values: one line per interval, for spreadsheets. It measures nothing.

use std::fmt::Write;

use crate::series::{Interval, Percentiles, Series};

/// The columns, in their order; documented in docs/LOADGEN.md.
pub const COLUMNS: [&str; 27] = [
    "begin_s",
    "seconds",
    "offered",
    "sent",
    "resent",
    "confirmed",
    "failed",
    "in_doubt",
    "shed",
    "delivered",
    "acknowledged",
    "replies",
    "connected",
    "disconnected",
    "backlog",
    "in_flight",
    "producers_connected",
    "consumers_connected",
    "generator_cpu",
    "response_p50_us",
    "response_p99_us",
    "response_p999_us",
    "response_max_us",
    "delivery_p50_us",
    "delivery_p99_us",
    "delivery_p999_us",
    "delivery_max_us",
];

/// A line of names and a line for each interval; what was not measured is empty.
#[must_use]
pub fn intervals(series: &Series) -> String {
    let mut text = COLUMNS.join(",");
    text.push('\n');
    for interval in &series.intervals {
        text.push_str(&line(series, interval));
        text.push('\n');
    }
    text
}

fn line(series: &Series, interval: &Interval) -> String {
    let counters = &interval.counters;
    let begin_s = (interval.begin_ns as f64 - series.start_ns as f64) / 1e9;
    let mut line = format!("{begin_s:.6},{:.6}", interval.seconds());
    let counts = [
        interval.offered,
        counters.sent,
        counters.resent,
        counters.confirmed,
        counters.failed,
        counters.in_doubt,
        counters.shed,
        counters.delivered,
        counters.acknowledged,
        counters.replies,
        counters.connected,
        counters.disconnected,
        interval.backlog,
        interval.in_flight,
        interval.producers_connected,
        interval.consumers_connected,
    ];
    for count in counts {
        // Writing into a string cannot fail.
        write!(line, ",{count}").expect("a string takes everything");
    }
    line.push(',');
    line.push_str(&interval.generator_cpu.map_or_else(String::new, |share| format!("{share:.3}")));
    for points in [&interval.response, &interval.delivery] {
        let shown = |read: fn(&Percentiles) -> u64| {
            points.as_ref().map_or_else(String::new, |points| format!("{:.3}", read(points) as f64 / 1e3))
        };
        let values = [shown(|p| p.p50_ns), shown(|p| p.p99_ns), shown(|p| p.p999_ns), shown(|p| p.max_ns)];
        line.push(',');
        line.push_str(&values.join(","));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_every_column() {
        let response = Some(Percentiles { p50_ns: 1_500, ..Percentiles::default() });
        let interval = Interval { begin_ns: 2_000_000_000, end_ns: 2_100_000_000, response, ..Interval::default() };
        let silent = Interval { response: None, ..interval.clone() };
        let series = Series { start_ns: 1_000_000_000, intervals: vec![interval, silent], ..Series::default() };
        let text = intervals(&series);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert!(lines.len() == 3 && lines.iter().all(|line| line.len() == COLUMNS.len()), "{text}");
        let column = |name| COLUMNS.iter().position(|column| *column == name).expect(name);
        assert_eq!((lines[1][0], lines[1][1]), ("1.000000", "0.100000"));
        assert_eq!(lines[1][column("response_p50_us")], "1.500");
        assert_eq!(lines[2][column("response_p50_us")], "");
    }
}
