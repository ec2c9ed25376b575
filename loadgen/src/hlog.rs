//! Owns the reading and writing of HDR interval logs. What they mean is up to who reads them.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriter, IntervalLogWriterBuilder, IntervalLogWriterError, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

/// A log that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HlogError {
    /// The file is not readable.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is not one of an interval log.
    #[error("line {line} is not one of an HDR interval log: give a file that --hlog has written")]
    Line {
        /// Which one, from 1.
        line: usize,
    },
    /// The histogram of an interval is damaged.
    #[error("the histogram at {at:?} is damaged: give a file that --hlog has written")]
    Histogram {
        /// The interval's beginning since the log's.
        at: Duration,
    },
    /// There is no interval in it.
    #[error("the log holds no interval: nothing was measured, or the run was cut off")]
    Empty,
}

/// One histogram of one interval.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Histogram and phase, such as `response` or `delivery.warmup`; empty if the log has no tags.
    pub tag: String,
    /// Its beginning since 1970.
    pub begin: Duration,
    /// How long it was.
    pub length: Duration,
    /// The samples.
    pub histogram: Histogram<u64>,
}

/// All histograms of a log, in its order.
///
/// # Errors
/// The file cannot be read, or is no interval log.
pub fn read(path: &Path) -> Result<Vec<Entry>, HlogError> {
    parse(&std::fs::read(path)?)
}

fn parse(text: &[u8]) -> Result<Vec<Entry>, HlogError> {
    let (mut base, mut start) = (None, Duration::ZERO);
    let mut deserializer = Deserializer::new();
    let mut entries = Vec::new();
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        // A title is no part of the format that the library reads.
        if line.starts_with(b"\"StartTimestamp\"") {
            continue;
        }
        for entry in IntervalLogIterator::new(line) {
            match entry.map_err(|_| HlogError::Line { line: index + 1 })? {
                LogEntry::StartTime(time) => start = time,
                LogEntry::BaseTime(time) => base = Some(time),
                LogEntry::Interval(interval) => {
                    let at = interval.start_timestamp();
                    let damaged = || HlogError::Histogram { at };
                    let bytes = decode_base64(interval.encoded_histogram()).ok_or_else(damaged)?;
                    let histogram = deserializer.deserialize(&mut bytes.as_slice()).map_err(|_| damaged())?;
                    let tag = interval.tag().map_or_else(String::new, |tag| tag.as_str().to_owned());
                    entries.push(Entry {
                        tag,
                        begin: base.unwrap_or(start) + at,
                        length: interval.duration(),
                        histogram,
                    });
                }
            }
        }
    }
    if entries.is_empty() { Err(HlogError::Empty) } else { Ok(entries) }
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// Begins a log at `wall`, hands its writer to `body`, and ends it.
///
/// # Errors
/// The log cannot be written.
pub fn write<W: Write>(
    mut out: W,
    wall: SystemTime,
    comments: &[String],
    body: impl FnOnce(&mut LogWriter<'_, '_, W>) -> io::Result<()>,
) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    comments.iter().for_each(|comment| {
        builder.add_comment(comment);
    });
    builder.with_start_time(wall).with_base_time(wall).with_max_value_divisor(1.0);
    let writer = builder.begin_log_with(&mut out, &mut serializer)?;
    body(&mut LogWriter { writer })?;
    out.flush()
}

/// Where histograms of a log go.
pub struct LogWriter<'a, 'b, W: Write> {
    writer: IntervalLogWriter<'a, 'b, W, V2DeflateSerializer>,
}

impl<W: Write> LogWriter<'_, '_, W> {
    /// Appends a histogram; `begin` counts from the log's beginning.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn write(
        &mut self,
        tag: &str,
        begin: Duration,
        length: Duration,
        histogram: &Histogram<u64>,
    ) -> io::Result<()> {
        self.writer.write_histogram(histogram, begin, length, Tag::new(tag)).map_err(|error| match error {
            IntervalLogWriterError::IoError(error) => error,
            IntervalLogWriterError::SerializeError(error) => io::Error::other(error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn histogram(values: &[u64]) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).expect("three digits");
        values.iter().for_each(|value| histogram.record(*value).expect("in range"));
        histogram
    }

    #[test]
    fn what_is_written_is_read() {
        let mut text = Vec::new();
        let wall = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        write(&mut text, wall, &["[a comment]".to_owned()], |log| {
            log.write("response", Duration::from_millis(100), Duration::from_millis(100), &histogram(&[5, 7]))?;
            log.write("lag.warmup", Duration::from_millis(200), Duration::from_millis(50), &histogram(&[9]))
        })
        .expect("a vector takes everything");
        let entries = parse(&text).expect("a log");
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].tag.as_str(), entries[0].histogram.len()), ("response", 2));
        assert_eq!(entries[0].begin, Duration::from_millis(1_700_000_000_350));
        assert_eq!((entries[1].tag.as_str(), entries[1].histogram.max()), ("lag.warmup", 9));
        assert_eq!(entries[1].length, Duration::from_millis(50));
    }

    #[test]
    fn what_is_no_log_is_refused_with_its_line() {
        assert!(matches!(parse(b"#[StartTime: 5]\nhello\n"), Err(HlogError::Line { line: 2 })));
        assert!(matches!(parse(b"#[nothing in it]\n"), Err(HlogError::Empty)));
        assert!(matches!(parse(b"Tag=a,0.1,0.1,5.0,HISTnothing\n"), Err(HlogError::Histogram { .. })));
    }
}
