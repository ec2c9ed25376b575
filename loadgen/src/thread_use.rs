//! Owns how much of a core each thread of clients uses, and how long it waits for one: a generator without a core to itself measures itself.

use std::sync::Mutex;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use crate::clock::{Nanos, SECOND_NS, now_ns};
use crate::control::{Command, Phase};
use crate::meter::lock;

/// How often a thread notes what it has used: twice in an interval of the recorder.
const PERIOD: Duration = Duration::from_millis(50);

/// What a thread had used at some time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    at_ns: Nanos,
    cpu_ns: Nanos,
    /// Time in which it could have run and had no core, where the system tells.
    wait_ns: Option<Nanos>,
}

/// The newest sample of one thread.
#[derive(Debug, Default)]
pub(crate) struct ThreadUse {
    sample: Mutex<Sample>,
}

impl ThreadUse {
    /// Notes what the calling thread uses until the run quits.
    pub(crate) async fn watch(&self, mut control: watch::Receiver<Command>) {
        loop {
            *lock(&self.sample) = sample();
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                // An error means that the run was dropped, which is its end, too.
                _ = control.wait_for(|command| command.phase == Phase::Quit) => return,
            }
        }
    }
}

fn sample() -> Sample {
    let cpu_ns = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map_or(0, |time| time.tv_sec() as Nanos * SECOND_NS + time.tv_nsec() as Nanos);
    // Three numbers: time on a core, time waiting for one, and how often.
    let wait_ns = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
    Sample { at_ns: now_ns(), cpu_ns, wait_ns }
}

/// The shares of a core used and waited for since the `last` samples by the thread with most of each. The samples are renewed.
pub(crate) fn busiest(threads: &[std::sync::Arc<ThreadUse>], last: &mut Vec<Sample>) -> (Option<f64>, Option<f64>) {
    let samples: Vec<Sample> = threads.iter().map(|thread| *lock(&thread.sample)).collect();
    last.resize(samples.len(), Sample::default());
    let (mut cpu, mut wait) = (None, None);
    for (before, after) in last.iter_mut().zip(&samples) {
        if before.at_ns != 0 && after.at_ns > before.at_ns {
            let share =
                |before: Nanos, after: Nanos, from: Nanos, to: Nanos| (after - before) as f64 / (to - from) as f64;
            let used = share(before.cpu_ns, after.cpu_ns, before.at_ns, after.at_ns);
            let waited = before.wait_ns.zip(after.wait_ns);
            let waited = waited.map(|(from, to)| share(from, to, before.at_ns, after.at_ns));
            cpu = Some(cpu.map_or(used, |most: f64| most.max(used)));
            wait = waited.map(|waited| wait.map_or(waited, |most: f64| most.max(waited))).or(wait);
        }
        // A thread too busy to note anything keeps its old sample until it does.
        if after.at_ns > before.at_ns {
            *before = *after;
        }
    }
    (cpu, wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_uses_a_core_and_an_idle_one_does_not() {
        let thread = std::sync::Arc::new(ThreadUse::default());
        let threads = [std::sync::Arc::clone(&thread)];
        let mut last = Vec::new();
        *lock(&thread.sample) = sample();
        assert_eq!(busiest(&threads, &mut last), (None, None));
        std::thread::sleep(Duration::from_millis(60));
        *lock(&thread.sample) = sample();
        let (idle, _) = busiest(&threads, &mut last);
        assert!(idle.is_some_and(|share| share < 0.5), "{idle:?}");
        let begin = now_ns();
        let mut sum = 0_u64;
        while now_ns() < begin + 60_000_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        *lock(&thread.sample) = sample();
        // On a busy machine what it did not use it waited for.
        let (cpu, wait) = busiest(&threads, &mut last);
        assert!(cpu.unwrap_or(0.0) + wait.unwrap_or(0.0) > 0.8, "{cpu:?} {wait:?}");
    }
}
