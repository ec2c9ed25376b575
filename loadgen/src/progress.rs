//! Owns what is shown while a run goes on: a few live lines on a terminal, a plain line every second elsewhere. On standard error, so
//! that standard output holds the report alone.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::clock::{Nanos, SECOND_NS, now_ns};
use crate::report::latency;
use crate::run::{Handle, Snapshot};
use crate::series::{Interval, Percentiles};

/// Lines of the terminal's picture.
const LINES: usize = 5;

/// The progress of one run.
pub(crate) struct Progress {
    terminal: Option<Terminal>,
    begin_ns: Nanos,
    next_line_ns: Nanos,
    quiet: bool,
}

/// A few lines that are drawn again and again.
struct Terminal {
    all: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Terminal {
    fn new() -> Self {
        let all = MultiProgress::new();
        let line = |index| {
            let bar = all.add(ProgressBar::new_spinner());
            let template = if index == 0 { "{spinner} {wide_msg}" } else { "  {wide_msg}" };
            bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
            bar
        };
        let lines: Vec<_> = (0..LINES).map(line).collect();
        lines[0].enable_steady_tick(Duration::from_millis(120));
        Self { all, lines }
    }

    fn show(&self, texts: [String; LINES]) {
        self.lines.iter().zip(texts).for_each(|(line, text)| line.set_message(text));
    }
}

/// What is shown of the last second.
struct View<'a> {
    seconds: f64,
    what: &'a str,
    state: Snapshot,
    last: Vec<Interval>,
}

impl View<'_> {
    fn rate(&self, count: fn(&Interval) -> u64) -> f64 {
        let seconds: f64 = self.last.iter().map(Interval::seconds).sum::<f64>().max(1e-9);
        self.last.iter().map(count).sum::<u64>() as f64 / seconds
    }

    /// The worst of a few intervals: percentiles cannot be averaged.
    fn worst(&self, of: fn(&Interval) -> Option<Percentiles>, point: fn(&Percentiles) -> u64) -> String {
        let worst = self.last.iter().filter_map(of).map(|points| point(&points)).max();
        worst.map_or_else(|| "-".to_owned(), latency)
    }

    fn latencies(&self, name: &str, of: fn(&Interval) -> Option<Percentiles>) -> String {
        format!(
            "{name:<9} p50 {:>9}  p99 {:>9}  p99.9 {:>9}  max {:>9}",
            self.worst(of, |points| points.p50_ns),
            self.worst(of, |points| points.p99_ns),
            self.worst(of, |points| points.p999_ns),
            self.worst(of, |points| points.max_ns),
        )
    }

    fn cpu(&self) -> String {
        let busiest = self.last.iter().filter_map(|interval| interval.generator_cpu).reduce(f64::max);
        busiest.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0))
    }

    /// Eighty columns are enough.
    fn lines(&self) -> [String; LINES] {
        let Snapshot { in_flight, backlog, producers_connected, consumers_connected, .. } = &self.state;
        let Snapshot { producers, consumers, disconnected, .. } = &self.state;
        [
            format!("{:7.1} s  {}", self.seconds, self.what),
            format!(
                "offered {:>8.0}  sent {:>8.0}  confirmed {:>8.0}  delivered {:>8.0} /s",
                self.rate(|interval| interval.offered),
                self.rate(|interval| interval.counters.sent),
                self.rate(|interval| interval.counters.confirmed),
                self.rate(|interval| interval.counters.delivered),
            ),
            self.latencies("response", |interval| interval.response),
            self.latencies("delivery", |interval| interval.delivery),
            format!(
                "backlog {backlog}  in flight {in_flight}  connected {producers_connected}/{producers}+{consumers_connected}/{consumers}, \
                 {disconnected} lost  generator {}",
                self.cpu()
            ),
        ]
    }

    fn line(&self) -> String {
        let Snapshot { in_flight, backlog, producers_connected, consumers_connected, .. } = &self.state;
        format!(
            "{:7.1} s  {}  confirmed {:>8.0}/s  delivered {:>8.0}/s  p99 {:>9}  max {:>9}  in flight {in_flight:>6}  \
             backlog {backlog:>7}  connected {producers_connected}+{consumers_connected}",
            self.seconds,
            self.what,
            self.rate(|interval| interval.counters.confirmed),
            self.rate(|interval| interval.counters.delivered),
            self.worst(|interval| interval.response, |points| points.p99_ns),
            self.worst(|interval| interval.response, |points| points.max_ns),
        )
    }
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let terminal = (!quiet && stderr().is_terminal()).then(Terminal::new);
        let now = now_ns();
        Self { terminal, begin_ns: now, next_line_ns: now + SECOND_NS, quiet }
    }

    /// Says something once.
    pub(crate) fn say(&self, text: &str) {
        match &self.terminal {
            // A terminal that is gone has nobody to tell.
            Some(terminal) => terminal.all.println(text).unwrap_or_default(),
            None if self.quiet => {}
            None => eprintln!("{text}"),
        }
    }

    /// Shows the present state, if it is time to.
    pub(crate) fn show(&mut self, handle: &Handle, what: &str) {
        let now = now_ns();
        if self.quiet || now < self.next_line_ns {
            return;
        }
        // A terminal is refreshed more often; a log gets one line a second.
        self.next_line_ns = now + if self.terminal.is_some() { SECOND_NS / 4 } else { SECOND_NS };
        let seconds = (now - self.begin_ns) as f64 / 1e9;
        let view = View { seconds, what, state: handle.snapshot(), last: handle.series_tail(10) };
        match &self.terminal {
            Some(terminal) => terminal.show(view.lines()),
            None => eprintln!("{}", view.line()),
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.lines.iter().for_each(ProgressBar::finish_and_clear);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Counters;

    #[test]
    fn the_picture_shows_rates_latencies_backlog_and_connections() {
        let response = Some(Percentiles { p99_ns: 1_500_000, ..Percentiles::default() });
        let counters = Counters { confirmed: 100, ..Counters::default() };
        let interval =
            Interval { end_ns: 100_000_000, counters, response, generator_cpu: Some(0.42), ..Interval::default() };
        let state =
            Snapshot { backlog: 7, producers: 3, producers_connected: 2, disconnected: 5, ..Snapshot::default() };
        let view = View { seconds: 1.0, what: "sending", state, last: vec![interval.clone(), interval] };
        let lines = view.lines().join("\n");
        for part in
            ["sending", "confirmed     1000", "p99   1.50 ms", "backlog 7", "2/3+0/0", "5 lost", "generator 42 %"]
        {
            assert!(lines.contains(part), "no `{part}` in {lines}");
        }
        assert!(view.line().contains("backlog       7"), "{}", view.line());
    }
}
