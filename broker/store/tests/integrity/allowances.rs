//! What no reader can know: the only changes that may go unnoticed.
//!
//! Owns the division of every file into spans, each of which is covered or has a reason not to be. The reasons are the
//! rows of docs/FORMATS.md, "What cannot be detected".

use crate::Subject;
use crate::files::{batches, field, file_name, kind, number};
use disk::BLOCK_SIZE;
use std::ops::Range;
use std::path::Path;
use store::{SegmentRole, SegmentState};

/// Why a change may go unnoticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Allowance {
    Heartbeat,
    Base,
    FreeMark,
    Tail,
    Padding,
    BehindAnEnd,
    Dead,
    Gone,
    Temporary,
}

impl Allowance {
    pub(crate) const ALL: [Self; 9] = [
        Self::Heartbeat,
        Self::Base,
        Self::FreeMark,
        Self::Tail,
        Self::Padding,
        Self::BehindAnEnd,
        Self::Dead,
        Self::Gone,
        Self::Temporary,
    ];

    /// Its name in the document.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeats",
            Self::Base => "one copy of a base",
            Self::FreeMark => "marks above the deciding epoch",
            Self::Tail => "the tail",
            Self::Padding => "padding",
            Self::BehindAnEnd => "beyond an end",
            Self::Dead => "dead segments",
            Self::Gone => "names of what holds nothing",
            Self::Temporary => "temporary files",
        }
    }
}

/// A part of a file that is noticed, or not, as one.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) range: Range<usize>,
    /// `None`: any change of it must be noticed, and named by the offset at which it begins.
    pub(crate) allowance: Option<Allowance>,
}

/// The spans of a file; together they are all of it.
pub(crate) fn spans(subject: &Subject, path: &Path) -> Vec<Span> {
    let bytes = subject.disk.content(path).expect("a file");
    let spans = match kind(path).as_str() {
        "owner" => divided([
            (BLOCK_SIZE, Some(Allowance::Heartbeat)),
            (2 * BLOCK_SIZE, None),
            (3 * BLOCK_SIZE, Some(Allowance::Base)),
            (4 * BLOCK_SIZE, Some(Allowance::Base)),
        ]),
        "slot" => divided([(BLOCK_SIZE, mark(subject, path))]),
        "index" | "checkpoint" => {
            let end = BLOCK_SIZE + field(&bytes, "Table header", "body bytes") as usize;
            divided([(BLOCK_SIZE, None), (end, None), (bytes.len(), Some(Allowance::Padding))])
        }
        "segment" | "segment of metadata" => segment(subject, path, &bytes),
        "spare" | "claim" | "newslot" | "table" => divided([(bytes.len(), Some(Allowance::Temporary))]),
        other => panic!("{other}: say what of this kind of file is covered"),
    };
    assert_eq!(spans.last().map_or(0, |last| last.range.end), bytes.len(), "{}", path.display());
    spans
}

/// Spans by where they end.
fn divided(ends: impl IntoIterator<Item = (usize, Option<Allowance>)>) -> Vec<Span> {
    let mut start = 0;
    let each = ends.into_iter().map(|(end, allowance)| {
        let range = start..end;
        start = end;
        Span { range, allowance }
    });
    each.filter(|span| !span.range.is_empty()).collect()
}

/// Whether a file's name may be missing: of a segment without a live message, and of an index of such a one.
pub(crate) fn may_be_gone(subject: &Subject, path: &Path) -> bool {
    if kind(path) == "checkpoint" {
        return false;
    }
    let name = file_name(path);
    // An index has its segment's name, and behind it its writer.
    let of = match name.strip_prefix("index.").and_then(|rest| rest.rsplit_once('.')) {
        Some((rest, _)) => path.with_file_name(format!("segment.{rest}")),
        None => path.to_owned(),
    };
    let segments = subject.report.lanes.iter().flat_map(|lane| &lane.segments);
    segments.into_iter().filter(|state| state.file == of).all(|state| {
        let is_tail = state.epoch == subject.deciding() && state.role == SegmentRole::Live;
        state.live_messages == 0 && !is_tail
    })
}

/// Between the deciding epoch and the newest claim any mark is as good as none.
fn mark(subject: &Subject, path: &Path) -> Option<Allowance> {
    let newest = subject.report.owners.last().expect("an owner").epoch;
    let is_free = number(path) > subject.deciding() && number(path) <= newest;
    is_free.then_some(Allowance::FreeMark)
}

fn segment(subject: &Subject, path: &Path, bytes: &[u8]) -> Vec<Span> {
    let segments = subject.report.lanes.iter().flat_map(|lane| &lane.segments);
    let state = segments.into_iter().find(|state| state.file == *path).expect("all segments are listed");
    let proved = proved(subject, path);
    let mut ends = vec![(BLOCK_SIZE, None)];
    for (at, length) in batches(bytes) {
        let allowance = batch(subject, state, at, field(&bytes[at..], "Batch header", "first LSN") <= proved);
        ends.extend([(at, Some(Allowance::BehindAnEnd)), (at + length, allowance)]);
        let padded = at + length.next_multiple_of(BLOCK_SIZE);
        ends.push((padded, allowance.or(Some(Allowance::Padding))));
    }
    ends.push((bytes.len(), Some(Allowance::BehindAnEnd)));
    divided(ends)
}

fn batch(subject: &Subject, state: &SegmentState, at: usize, is_proved: bool) -> Option<Allowance> {
    match state.role {
        SegmentRole::Dead => Some(Allowance::Dead),
        _ if is_proved && (at as u64) < state.used_bytes => None,
        _ if state.epoch == subject.deciding() => Some(Allowance::Tail),
        _ => Some(Allowance::BehindAnEnd),
    }
}

/// Through here something shows that the segment's lane was durable: of metadata, what its own batches and its base
/// claim. Of a store's lane the inspection counts nothing else as used.
fn proved(subject: &Subject, path: &Path) -> u64 {
    if kind(path) != "segment of metadata" {
        return u64::MAX;
    }
    let name = file_name(path);
    let (run, _) = name.rsplit_once('.').expect("a sequence");
    let owner = path.with_file_name(format!("owner.{}", number(path)));
    let owner = subject.disk.content(&owner).expect("an owner");
    let base = field(&owner[2 * BLOCK_SIZE..], "Base", "durable-through LSN");
    let segments =
        subject.disk.paths().into_iter().filter(|other| file_name(other).starts_with(run) && kind(other) == kind(path));
    let claims = segments.flat_map(|other| {
        let bytes = subject.disk.content(&other).expect("a file");
        let claim = |(at, _): (usize, usize)| field(&bytes[at..], "Batch header", "durable-through LSN");
        batches(&bytes).into_iter().map(claim).collect::<Vec<_>>()
    });
    claims.max().unwrap_or(0).max(base)
}
