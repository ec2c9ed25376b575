//! Owns what is shown while a run goes on: one live line on a terminal, a plain line every second elsewhere. On standard error, so
//! that standard output holds the report alone.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::{Nanos, SECOND_NS, now_ns};
use crate::report::latency;
use crate::run::Handle;
use crate::series::{Interval, Percentiles};

/// The progress of one run.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    begin_ns: Nanos,
    next_line_ns: Nanos,
    quiet: bool,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (!quiet && stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("a valid template"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let now = now_ns();
        Self { bar, begin_ns: now, next_line_ns: now + SECOND_NS, quiet }
    }

    /// Says something once.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
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
        self.next_line_ns = now + if self.bar.is_some() { SECOND_NS / 4 } else { SECOND_NS };
        let series = handle.series_tail(10);
        let line = self.line(now, handle, &series, what);
        match &self.bar {
            Some(bar) => bar.set_message(line),
            None => eprintln!("{line}"),
        }
    }

    fn line(&self, now: Nanos, handle: &Handle, last: &[Interval], what: &str) -> String {
        let state = handle.snapshot();
        let seconds: f64 = last.iter().map(Interval::seconds).sum::<f64>().max(1e-9);
        let rate = |count: fn(&Interval) -> u64| last.iter().map(count).sum::<u64>() as f64 / seconds;
        let worst = |point: fn(&Percentiles) -> u64| last.iter().filter_map(|i| i.response.as_ref()).map(point).max();
        let shown = |value: Option<Nanos>| value.map_or_else(|| "-".to_owned(), latency);
        format!(
            "{:7.1} s  {what}  confirmed {:>8.0}/s  delivered {:>8.0}/s  p99 {:>9}  max {:>9}  in flight {:>6}  \
             backlog {:>7}  connected {}+{}",
            (now - self.begin_ns) as f64 / 1e9,
            rate(|interval| interval.counters.confirmed),
            rate(|interval| interval.counters.delivered),
            shown(worst(|points| points.p99_ns)),
            shown(worst(|points| points.max_ns)),
            state.in_flight,
            state.backlog,
            state.producers_connected,
            state.consumers_connected,
        )
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
