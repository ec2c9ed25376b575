//! What happened over time in one trial, in buckets: the data behind the plots, kept as CSV next to them.

use crate::clock::{NS_PER_MS, ms_between};
use crate::error::{AtPath, Error, Result};
use hdrhistogram::Histogram;
use std::path::Path;

/// Width of a bucket, ms.
pub const BUCKET_MS: u64 = 25;

/// A message that was sent at least once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When the schedule wanted it sent.
    pub intended_ns: u64,
    /// When it was confirmed, by whichever attempt came first.
    pub confirmed_ns: Option<u64>,
}

/// One bucket. Times are relative to the fault.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bucket {
    /// Begin of the bucket, ms after the fault; negative before it.
    pub begin_ms: f64,
    /// Messages that were due in it.
    pub offered: u64,
    /// Messages confirmed in it.
    pub confirmed: u64,
    /// Deliveries in it.
    pub delivered: u64,
    /// Messages due so far and not confirmed by its end.
    pub waiting: u64,
    /// Percentiles of the response time of what was confirmed in it; absent when nothing was.
    pub response_ms: Option<[f64; 4]>,
}

/// The percentiles in [`Bucket::response_ms`].
pub const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

const HEADER: &str =
    "begin_ms,offered,confirmed,delivered,waiting,response_p50_ms,response_p99_ms,response_p999_ms,response_max_ms";

/// Response times, microseconds: three digits are more than a plot can show. It grows as needed.
fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three significant digits are within the library's range")
}

/// Sorts everything into buckets that are aligned to the fault at `zero_ns`.
pub fn buckets(sent: &[Sent], deliveries_ns: &[u64], zero_ns: u64) -> Vec<Bucket> {
    let width_ns = BUCKET_MS * NS_PER_MS;
    let index = |t_ns: u64| (t_ns as i128 - zero_ns as i128).div_euclid(width_ns as i128) as i64;
    let confirmed = |one: &Sent| one.confirmed_ns;
    let all = sent
        .iter()
        .map(|one| one.intended_ns)
        .chain(sent.iter().filter_map(confirmed))
        .chain(deliveries_ns.iter().copied());
    let (first, last) =
        all.fold((i64::MAX, i64::MIN), |(low, high), t_ns| (low.min(index(t_ns)), high.max(index(t_ns))));
    if first > last {
        return Vec::new();
    }
    let mut buckets = vec![Bucket::default(); (last - first + 1) as usize];
    let mut responses: Vec<Option<Histogram<u64>>> = vec![None; buckets.len()];
    let position = |t_ns: u64| (index(t_ns) - first) as usize;
    for one in sent {
        buckets[position(one.intended_ns)].offered += 1;
        if let Some(confirmed_ns) = one.confirmed_ns {
            let place = position(confirmed_ns);
            buckets[place].confirmed += 1;
            let response_us = confirmed_ns.saturating_sub(one.intended_ns) / 1000;
            let response = responses[place].get_or_insert_with(histogram);
            response.record(response_us).expect("an auto-resizing histogram takes every value");
        }
    }
    for &t_ns in deliveries_ns {
        buckets[position(t_ns)].delivered += 1;
    }
    let (mut offered, mut done) = (0, 0);
    for (place, (bucket, response)) in buckets.iter_mut().zip(responses).enumerate() {
        bucket.begin_ms = ((first + place as i64) * BUCKET_MS as i64) as f64;
        offered += bucket.offered;
        done += bucket.confirmed;
        bucket.waiting = offered.saturating_sub(done);
        bucket.response_ms =
            response.map(|response| PERCENTILES.map(|(_, p)| response.value_at_quantile(p) as f64 / 1000.0));
    }
    buckets
}

/// Writes buckets as CSV; an absent percentile is an empty field.
pub fn write(path: &Path, buckets: &[Bucket]) -> Result<()> {
    let mut text = format!("{HEADER}\n");
    for bucket in buckets {
        let Bucket { begin_ms, offered, confirmed, delivered, waiting, response_ms } = bucket;
        let response =
            response_ms.map_or_else(|| ",,,".to_owned(), |values| values.map(|value| format!("{value:.3}")).join(","));
        text += &format!("{begin_ms},{offered},{confirmed},{delivered},{waiting},{response}\n");
    }
    std::fs::write(path, text).at(path)
}

/// Reads what [`write()`] wrote.
pub fn read(path: &Path) -> Result<Vec<Bucket>> {
    let text = std::fs::read_to_string(path).at(path)?;
    let mut lines = text.lines();
    let header = lines.next().unwrap_or("");
    if header != HEADER {
        return Err(Error::Schema { path: path.to_owned(), found: header.to_owned(), expected: HEADER });
    }
    let parsed: Option<Vec<Bucket>> = lines.map(parse_line).collect();
    parsed.ok_or_else(|| std::io::ErrorKind::InvalidData.into()).at(path)
}

fn parse_line(line: &str) -> Option<Bucket> {
    let fields: Vec<&str> = line.split(',').collect();
    let [begin_ms, offered, confirmed, delivered, waiting, response @ ..] = fields.as_slice() else { return None };
    let response: [&str; 4] = response.try_into().ok()?;
    let response_ms = match response.map(str::parse) {
        [Ok(p50), Ok(p99), Ok(p999), Ok(max)] => Some([p50, p99, p999, max]),
        _ if response.concat().is_empty() => None,
        _ => return None,
    };
    Some(Bucket {
        begin_ms: begin_ms.parse().ok()?,
        offered: offered.parse().ok()?,
        confirmed: confirmed.parse().ok()?,
        delivered: delivered.parse().ok()?,
        waiting: waiting.parse().ok()?,
        response_ms,
    })
}

/// The largest distance between two neighbours of `times_ns` that overlaps [`from_ns`, `to_ns`], ms. `times_ns` is sorted.
pub fn largest_gap_ms(times_ns: &[u64], from_ns: u64, to_ns: u64) -> Option<f64> {
    let gaps = times_ns.windows(2).filter(|pair| pair[1] > from_ns && pair[0] < to_ns);
    gaps.map(|pair| ms_between(pair[0], pair[1])).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: u64 = 10_000 * NS_PER_MS;

    fn at(ms: i64) -> u64 {
        (ZERO as i64 + ms * NS_PER_MS as i64) as u64
    }

    fn sent(intended_ms: i64, confirmed_ms: Option<i64>) -> Sent {
        Sent { intended_ns: at(intended_ms), confirmed_ns: confirmed_ms.map(at) }
    }

    #[test]
    fn a_gap_has_no_percentiles_and_what_waits_is_counted() {
        let list = [sent(-30, Some(-28)), sent(1, Some(81)), sent(26, Some(82)), sent(51, None)];
        let buckets = buckets(&list, &[at(-20), at(90)], ZERO);
        assert_eq!(buckets.iter().map(|one| one.begin_ms).collect::<Vec<_>>(), [-50.0, -25.0, 0.0, 25.0, 50.0, 75.0]);
        assert_eq!(buckets.iter().map(|one| one.waiting).collect::<Vec<_>>(), [0, 0, 1, 2, 3, 1]);
        assert_eq!(buckets.iter().map(|one| one.delivered).sum::<u64>(), 2);
        assert!(buckets[2].response_ms.is_none());
        let [p50, .., max] = buckets[5].response_ms.expect("two were confirmed in it");
        assert!((p50 - 56.0).abs() < 0.1 && (max - 80.0).abs() < 0.1, "{p50} {max}");
    }

    #[test]
    fn buckets_survive_their_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("trial.csv");
        let buckets = buckets(&[sent(0, Some(3)), sent(30, None)], &[at(5)], ZERO);
        write(&path, &buckets).expect("the folder is ours");
        assert_eq!(read(&path).expect("it was written"), buckets);
        std::fs::write(&path, "begin_ms,offered\n1,2\n").expect("the folder is ours");
        assert!(matches!(read(&path), Err(Error::Schema { .. })));
        std::fs::write(&path, format!("{HEADER}\n0,1,1,0,0,1,,,\n")).expect("the folder is ours");
        assert!(matches!(read(&path), Err(Error::File { .. })));
    }

    #[test]
    fn only_gaps_that_touch_the_fault_count() {
        let times = [at(-900), at(-100), at(-10), at(240), at(250), at(2000)];
        let gap = largest_gap_ms(&times, at(0), at(260)).expect("there is one");
        assert!((gap - 1750.0).abs() < 1e-6, "{gap}");
        assert!((largest_gap_ms(&times, at(0), at(250)).expect("there is one") - 250.0).abs() < 1e-6);
        assert_eq!(largest_gap_ms(&times[..1], at(0), at(250)), None);
    }

    #[test]
    fn nothing_gives_no_buckets() {
        assert!(buckets(&[], &[], ZERO).is_empty());
    }
}
