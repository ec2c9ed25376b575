//! What a person sees while a run goes on: a live line on a terminal, one plain line for each trial elsewhere, and no long silence.

use crate::result::{Observed, TrialResult, Verdict};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The progress of a run, on standard error.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    steps: usize,
    /// What trials gave so far, and when a line was last written.
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    passed: usize,
    others: usize,
    name: String,
    spoke: Instant,
}

/// A CI server may end what is silent for long, and a person wonders: without a terminal, a phase is told after so long without a line.
const SILENCE_MAX: Duration = Duration::from_secs(30);

impl Progress {
    /// Live if standard error is a terminal and CI does not say otherwise.
    pub fn start(steps: usize) -> Self {
        let live = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
        let bar = live.then(|| {
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len}{prefix}  {elapsed}, {eta} left  {wide_msg}");
            let bar = ProgressBar::new(steps as u64).with_style(style.expect("the template is well-formed"));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let seen = Seen { passed: 0, others: 0, name: String::new(), spoke: Instant::now() };
        Self { bar, steps, seen: Mutex::new(seen) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A trial, or another step of the run, begins.
    pub fn begin(&self, name: &str) {
        name.clone_into(&mut self.seen().name);
        if let Some(bar) = &self.bar {
            bar.set_message(name.to_owned());
        }
    }

    /// A new phase of the trial begins.
    pub fn phase(&self, words: &str) {
        let (line, silence) = {
            let seen = self.seen();
            (format!("{}: {words}", seen.name), seen.spoke.elapsed())
        };
        match &self.bar {
            Some(bar) => bar.set_message(line),
            None if silence >= SILENCE_MAX => self.note(&format!("         {line}")),
            None => {}
        }
    }

    fn count(&self, verdict: Verdict) {
        let mut seen = self.seen();
        match verdict {
            Verdict::Pass => seen.passed += 1,
            _ => seen.others += 1,
        }
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!("  {} passed, {} not", seen.passed, seen.others));
        }
    }

    /// A trial has ended.
    pub fn end(&self, trial: &TrialResult) {
        self.count(trial.verdict);
        self.end_step(&trial_line(trial, self.steps));
    }

    /// A trial has ended that is played again.
    pub fn again(&self, trial: &TrialResult) {
        self.note(&trial_line(trial, self.steps));
    }

    /// A step has ended, and this is what it gave.
    pub fn end_step(&self, line: &str) {
        self.note(line);
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// A line that stays.
    pub fn note(&self, line: &str) {
        self.seen().spoke = Instant::now();
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    /// The run has ended.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// One line that says what a trial gave.
fn trial_line(trial: &TrialResult, trials: usize) -> String {
    let failover = match trial.failover() {
        Some(Observed::At(failover)) => format!("failover {failover:7.1} ms"),
        Some(Observed::Beyond(limit)) => format!("failover > {limit:5.0} ms"),
        None if trial.takeover => "takeover           ".to_owned(),
        None => "no takeover        ".to_owned(),
    };
    let messages = &trial.messages;
    let mut line = format!(
        "{:>3}/{trials}  {:<22} {:<5}  {:<8}  {failover}  lost {:>4} of {:>6}  duplicates {:>4}  {:4.1} s",
        trial.number,
        trial.scenario,
        trial.cell().place(),
        trial.verdict,
        messages.lost,
        messages.confirmed,
        messages.duplicated,
        trial.duration_ms as f64 / 1000.0
    );
    if let Some(left_after_ms) = trial.left_after_ms {
        line += &format!("  left {left_after_ms:.1} ms after SIGCONT");
    }
    for reason in &trial.reasons {
        line += &format!("\n         {reason}");
    }
    line
}
