//! The histograms of a trial's .hlog file, as the load generator wrote them: one line for each tenth of a second, name and phase.

use crate::error::{AtPath, Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogHistogram, IntervalLogIterator, LogEntry};
use std::path::Path;

/// Latencies in nanoseconds over a whole trial, or several.
#[derive(Clone, Debug)]
pub struct Latency {
    /// Intended send time to confirm, outside the fault.
    pub response: Histogram<u64>,
    /// The same, from the fault until the flow was steady again.
    pub response_in_fault: Histogram<u64>,
    /// Last attempt to confirm.
    pub service: Histogram<u64>,
    /// Intended send time to last attempt.
    pub delay: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        let empty = || Histogram::new(3).expect("three significant digits are within the library's range");
        Self { response: empty(), response_in_fault: empty(), service: empty(), delay: empty() }
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
        for entry in IntervalLogIterator::new(&bytes) {
            let entry = entry.map_err(|error| wrong(format!("{error:?}")))?;
            if let LogEntry::Interval(interval) = entry {
                self.add_interval(&interval).map_err(wrong)?;
            }
        }
        Ok(())
    }

    fn add_interval(&mut self, interval: &IntervalLogHistogram<'_>) -> Result<(), String> {
        let tag = interval.tag().map_or("", |tag| tag.as_str());
        let (name, phase) = tag.split_once('.').unwrap_or((tag, ""));
        let sum = match name {
            "response" if phase == FAULT => &mut self.response_in_fault,
            "response" => &mut self.response,
            "service" => &mut self.service,
            "delay" => &mut self.delay,
            _ => return Ok(()),
        };
        if phase == WARM_UP {
            return Ok(());
        }
        let encoded = STANDARD.decode(interval.encoded_histogram()).map_err(|error| error.to_string())?;
        let part: Histogram<u64> =
            Deserializer::new().deserialize(&mut encoded.as_slice()).map_err(|error| error.to_string())?;
        sum.add(part).map_err(|error| error.to_string())
    }
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
        for (tag, value_ns) in intervals {
            let mut histogram = Histogram::<u64>::new(3).expect("three digits");
            histogram.record(*value_ns).expect("it grows");
            writer
                .write_histogram(&histogram, Duration::ZERO, Duration::from_millis(100), Tag::new(tag))
                .expect("a vector");
        }
        drop(writer);
        bytes
    }

    #[test]
    fn intervals_are_merged_by_name_and_the_warm_up_is_left_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("trial.hlog");
        let intervals = [
            ("response.warmup", 9_000_000),
            ("response", 1_000_000),
            ("response.fault", 700_000_000),
            ("service", 5),
            ("lag", 7),
        ];
        std::fs::write(&path, log(&intervals)).expect("the folder is ours");
        let mut latency = Latency::default();
        latency.add_log(&path).expect("it was written");
        latency.add_log(&path).expect("it was written");
        assert_eq!((latency.response.len(), latency.response_in_fault.len()), (2, 2));
        assert_eq!((latency.service.len(), latency.delay.len()), (2, 0));
        assert!(latency.response_in_fault.min() >= 699_000_000 && latency.response.max() < 1_010_000);
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
