//! The histograms of a trial's .hlog file, as the load generator wrote them: one line for each tenth of a second, name and phase.
//!
//! The log marks the warm-up and the fault; what is not marked lies before the first fault or after it, which its time tells.

use crate::error::{AtPath, Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogHistogram, IntervalLogIterator, LogEntry};
use std::path::Path;

/// One latency before the fault, from the fault until the flow was steady again, and after that, ns.
#[derive(Clone, Debug)]
pub struct Phases {
    /// After the warm-up, before the fault.
    pub baseline: Histogram<u64>,
    /// From the fault until the flow was steady again.
    pub fault: Histogram<u64>,
    /// In steady flow after it.
    pub recovered: Histogram<u64>,
}

impl Default for Phases {
    fn default() -> Self {
        Self { baseline: empty(), fault: empty(), recovered: empty() }
    }
}

impl Phases {
    /// Everything that was not under a fault.
    pub fn outside_fault(&self) -> Histogram<u64> {
        let mut sum = self.baseline.clone();
        sum.add(&self.recovered).expect("it grows as needed");
        sum
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new(3).expect("three significant digits are within the library's range")
}

/// Latencies over a whole trial, or several.
#[derive(Clone, Debug)]
pub struct Latency {
    /// Intended send time to confirm.
    pub response: Phases,
    /// Last attempt to confirm.
    pub service: Phases,
    /// Intended send time to last attempt, ns.
    pub delay: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        Self { response: Phases::default(), service: Phases::default(), delay: empty() }
    }
}

/// The phase that the load generator gives to intervals of the warm-up; they are left out.
const WARM_UP: &str = "warmup";
/// The phase of intervals in which a fault was at work.
const FAULT: &str = "fault";

impl Latency {
    /// Adds what a log holds.
    pub fn add_log(&mut self, path: &Path) -> Result<()> {
        let bytes = std::fs::read(path).at(path)?;
        let wrong = |reason: String| Error::Histogram { path: path.to_owned(), reason };
        let mut intervals = Vec::new();
        for entry in IntervalLogIterator::new(&bytes) {
            if let LogEntry::Interval(interval) = entry.map_err(|error| wrong(format!("{error:?}")))? {
                intervals.push(interval);
            }
        }
        let faults = intervals.iter().filter(|one| name_and_phase(one).1 == FAULT);
        let first_fault = faults.map(IntervalLogHistogram::start_timestamp).min();
        for interval in &intervals {
            let is_before = first_fault.is_none_or(|fault| interval.start_timestamp() < fault);
            self.add_interval(interval, is_before).map_err(wrong)?;
        }
        Ok(())
    }

    fn add_interval(&mut self, interval: &IntervalLogHistogram<'_>, is_before: bool) -> Result<(), String> {
        let (name, phase) = name_and_phase(interval);
        if phase == WARM_UP {
            return Ok(());
        }
        let sum = match name {
            "response" => of_phase(&mut self.response, phase, is_before),
            "service" => of_phase(&mut self.service, phase, is_before),
            "delay" => &mut self.delay,
            _ => return Ok(()),
        };
        let encoded = STANDARD.decode(interval.encoded_histogram()).map_err(|error| error.to_string())?;
        let part: Histogram<u64> =
            Deserializer::new().deserialize(&mut encoded.as_slice()).map_err(|error| error.to_string())?;
        sum.add(part).map_err(|error| error.to_string())
    }
}

fn of_phase<'a>(phases: &'a mut Phases, phase: &str, is_before: bool) -> &'a mut Histogram<u64> {
    match (phase, is_before) {
        (FAULT, _) => &mut phases.fault,
        (_, true) => &mut phases.baseline,
        (_, false) => &mut phases.recovered,
    }
}

/// The parts of a tag such as `response.fault`.
fn name_and_phase<'a>(interval: &IntervalLogHistogram<'a>) -> (&'a str, &'a str) {
    let tag = interval.tag().map_or("", |tag| tag.as_str());
    tag.split_once('.').unwrap_or((tag, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::V2DeflateSerializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
    use std::time::Duration;

    fn log(intervals: &[(&str, u64)]) -> Vec<u8> {
        let (mut bytes, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
        let mut writer = IntervalLogWriterBuilder::new().begin_log_with(&mut bytes, &mut serializer).expect("a vector");
        for (place, (tag, value_ns)) in intervals.iter().enumerate() {
            let mut histogram = Histogram::<u64>::new(3).expect("three digits");
            histogram.record(*value_ns).expect("it grows");
            let start = Duration::from_millis(100 * place as u64);
            writer.write_histogram(&histogram, start, Duration::from_millis(100), Tag::new(tag)).expect("a vector");
        }
        drop(writer);
        bytes
    }

    #[test]
    fn intervals_are_merged_by_name_and_phase_and_the_warm_up_is_left_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("trial.hlog");
        let intervals = [
            ("response.warmup", 9_000_000),
            ("response", 1_000_000),
            ("response.fault", 700_000_000),
            ("response", 2_000_000),
            ("service", 5),
            ("lag", 7),
        ];
        std::fs::write(&path, log(&intervals)).expect("the folder is ours");
        let mut latency = Latency::default();
        latency.add_log(&path).expect("it was written");
        latency.add_log(&path).expect("it was written");
        let Phases { baseline, fault, recovered } = &latency.response;
        assert_eq!((baseline.len(), fault.len(), recovered.len()), (2, 2, 2));
        assert_eq!((latency.service.baseline.len(), latency.service.recovered.len(), latency.delay.len()), (0, 2, 0));
        assert!(fault.min() >= 699_000_000 && baseline.max() < 1_010_000 && recovered.min() > 1_990_000);
        assert_eq!(latency.response.outside_fault().len(), 4);
    }

    #[test]
    fn a_damaged_log_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("trial.hlog");
        std::fs::write(&path, "Tag=response,0.000,0.100,1.0,!!!!\n").expect("the folder is ours");
        let error = Latency::default().add_log(&path).expect_err("it is damaged");
        assert!(error.to_string().contains("trial.hlog"), "{error}");
    }
}
