//! The check of what the journals say: the metadata down to the newest SEAL, then each lane as that names it, with the
//! segments before the newest checkpoint, which recovery leaves unread.
//!
//! The one place of the inspection that knows recovery: it makes its plans, runs its scan and looks at what that found.

use super::report::{
    Damage, DestinationState, InFlight, LaneState, Report, Seal as SealState, SegmentRole, SegmentState,
};
use crate::bits::Bits;
use crate::chain;
use crate::claim::{self, Sealed, metadata_plan};
use crate::decide::BatchSeen;
use crate::format::{
    Checkpoint, CheckpointSegment, CopyOf, FIRST_BATCH_OFFSET, OwnerRecord, RANGE_BYTES, RECORD_HEADER_BYTES, Record,
    SegmentIdentity,
};
use crate::reader::{Found, Reader};
use crate::recover::{CHECKPOINTS_KEPT, base, load};
use crate::scan::{FoundSegment, Mode, Plan, Scanned, Scanner, Visit, each_record};
use crate::shared::Shared;
use crate::tables::MISSING;
use disk::{BLOCK_SIZE, OpenMode};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;

/// The segments that hold records, as they are met.
#[derive(Debug, Default)]
struct Spans(Vec<SegmentState>);

impl Spans {
    fn enter(&mut self, file: PathBuf, epoch: u64, sequence: u32) {
        self.0.push(SegmentState {
            file,
            epoch,
            sequence,
            role: SegmentRole::Live,
            lsns: None,
            used_bytes: 0,
            file_bytes: 0,
            live_messages: 0,
        });
    }

    fn note(&mut self, lsn: u64, record: &Record<'_>, offset: u32) {
        let bytes = match record {
            Record::Publish { payload_offset, payload, .. } => *payload_offset as usize + payload.len(),
            Record::Acknowledge(ranges) => RECORD_HEADER_BYTES + RANGE_BYTES * ranges.len(),
            Record::Destination { name, .. } => RECORD_HEADER_BYTES + 4 + name.len(),
            // Whatever else there is ends in the block in which it begins, except for the SEAL of many stores.
            _ => RECORD_HEADER_BYTES,
        };
        let Some(segment) = self.0.last_mut() else { return };
        segment.lsns = Some((segment.lsns.map_or(lsn, |(first, _)| first), lsn));
        segment.used_bytes = (u64::from(offset) + bytes as u64).next_multiple_of(BLOCK_SIZE as u64);
    }
}

/// The metadata of one epoch.
#[derive(Debug)]
struct Metadata {
    spans: Spans,
    contents: claim::Metadata,
    is_clean: bool,
}

impl Visit for Metadata {
    fn segment(&mut self, found: FoundSegment) {
        self.spans.enter(found.path, found.piece.epoch, found.sequence);
    }

    fn record(&mut self, lsn: u64, record: Record<'_>, offset: u32) {
        self.spans.note(lsn, &record, offset);
        self.is_clean |= record == Record::End;
        self.contents.record(lsn, record, offset);
    }
}

/// Reads metadata from the newest epoch downwards to the one with a SEAL, as a claimant would; that is `None` when there
/// is none, or damage hides it.
pub(super) async fn check_metadata(
    shared: &Rc<Shared>,
    records: &BTreeMap<u64, OwnerRecord>,
    report: &mut Report,
) -> (LaneState, Option<Sealed>) {
    let mut state = LaneState::new(&shared.names.lanes()[0]);
    let newest = report.owners.last().map_or(0, |owner| owner.epoch);
    for epoch in (1..=newest).rev() {
        let Some(record) = records.get(&epoch).cloned() else { return (state, None) };
        let base = match chain::read_owner(shared, epoch).await {
            Ok(Some(owner)) => owner.base().await,
            other => other.map(|_| None),
        };
        let plan = match base {
            Ok(base) => metadata_plan(&record, base.as_ref()),
            Err(error) => {
                report.damages.push(Damage::of_error(error, shared.names.owner(epoch), None));
                return (state, None);
            }
        };
        let visitor = Metadata { spans: Spans::default(), contents: claim::Metadata::of(epoch), is_clean: false };
        let (scanned, metadata) = run(shared, plan, visitor, report).await;
        state.segments.extend(metadata.spans.0);
        let Some(scanned) = scanned else { return (state, None) };
        let owner = &mut report.owners[epoch as usize - 1];
        if let Some(sealed) = metadata.contents.sealed(&record) {
            owner.seal = SealState::Sealed;
            owner.is_clean = metadata.is_clean;
            report.owners[..epoch as usize - 1].iter_mut().for_each(|owner| owner.seal = SealState::Superseded);
            state.next_lsn = scanned.next_lsn;
            return (state, Some(sealed));
        }
        if scanned.damage.is_some() {
            return (state, None);
        }
        owner.seal = SealState::Never;
    }
    (state, None)
}

/// Runs recovery's scan over damage, which goes to the report. `None`: it could not go on to the end; the visitor has
/// what was read before.
async fn run<V: Visit>(shared: &Rc<Shared>, plan: Plan, visitor: V, report: &mut Report) -> (Option<Scanned>, V) {
    let folder = shared.names.lane(&plan.lane);
    let mut scanner = Scanner::new(shared.clone(), plan, visitor);
    let advanced = scanner.advance(Mode::Final).await;
    let (scanned, visitor) = scanner.finish();
    for (error, from, to) in &scanned.damages {
        let lsns = Some((*from, to.map(|to| to - 1)));
        report.damages.push(Damage::of_error(error.clone(), folder.clone(), lsns));
    }
    let harmless = scanned.notes.iter().filter(|note| !note.starts_with("dropped: "));
    report.remarks.extend(harmless.cloned());
    match advanced {
        Ok(()) => (Some(scanned), visitor),
        Err(error) => {
            report.damages.push(Damage::of_error(error, folder, None));
            (None, visitor)
        }
    }
}

/// A message; dead once it was acknowledged.
#[derive(Clone, Copy, Debug)]
struct Message {
    lsn: u64,
    bytes: u32,
    /// Position behind its segment in the list; 0 is in none of them.
    segment: u32,
    /// Index of its set of destinations.
    set: u32,
    is_live: bool,
}

/// Counts what a lane's records leave. Sixteen million messages take half a gibibyte.
#[derive(Debug, Default)]
struct Contents {
    spans: Spans,
    messages: Vec<Message>,
    sets: BTreeMap<Vec<u32>, u32>,
    destinations: BTreeMap<u32, String>,
    /// What is live in the segments that a checkpoint names.
    before: Vec<Bits>,
    /// Damage found in them. It counts by what is live at the end of the journal.
    suspicions: Vec<Suspicion>,
}

/// Damage in a segment that a checkpoint names; records `from` up to `to` are hit.
#[derive(Debug)]
struct Suspicion {
    damage: Damage,
    from: u64,
    to: u64,
    is_missing: bool,
}

impl Contents {
    fn remove(&mut self, first: u64, last: u64) {
        for live in &mut self.before {
            live.remove_range(first, last);
        }
        let start = self.messages.partition_point(|message| message.lsn < first);
        let range = self.messages[start..].iter_mut().take_while(|message| message.lsn <= last);
        range.for_each(|message| message.is_live = false);
    }

    fn apply(&mut self, lsn: u64, record: &Record<'_>, segment: u32) {
        match record {
            Record::Publish { copy_of, destinations, payload, .. } => {
                if let Some(CopyOf { replaces, .. }) = copy_of {
                    self.remove(*replaces, *replaces);
                }
                let next = self.sets.len() as u32;
                let set = *self.sets.entry(destinations.iter().collect()).or_insert(next);
                self.messages.push(Message { lsn, bytes: payload.len() as u32, segment, set, is_live: true });
            }
            Record::Acknowledge(ranges) => {
                ranges.iter().for_each(|(first, last)| self.remove(*first, *last));
            }
            Record::Destination { id, name } => {
                self.destinations.insert(*id, (*name).to_owned());
            }
            _ => {}
        }
    }

    fn live(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(|message| message.is_live)
    }

    /// Hands over what was suspected. A segment may be gone as soon as nothing in it is live.
    fn settle(&mut self, lane: &str) -> Vec<Damage> {
        let mut damages = Vec::new();
        for Suspicion { damage, from, to, is_missing } in std::mem::take(&mut self.suspicions) {
            let count = |live: &Bits| (from..to).filter(|lsn| live.contains(*lsn)).count();
            let live: usize = self.before.iter().map(count).sum();
            if live > 0 || !is_missing {
                let affected = format!("{}{live} live messages of {lane}", damage.affected);
                damages.push(Damage { affected, ..damage });
            }
        }
        damages
    }

    fn destination_states(&self) -> Vec<DestinationState> {
        let sets: BTreeMap<u32, &Vec<u32>> = self.sets.iter().map(|(ids, set)| (*set, ids)).collect();
        let mut counts: BTreeMap<u32, u64> = self.destinations.keys().map(|id| (*id, 0)).collect();
        for id in self.live().flat_map(|message| sets[&message.set]) {
            *counts.entry(*id).or_default() += 1;
        }
        let name = |id| self.destinations.get(&id).cloned().unwrap_or_default();
        counts.into_iter().map(|(id, messages)| DestinationState { id, name: name(id), messages }).collect()
    }
}

impl Visit for Contents {
    fn segment(&mut self, found: FoundSegment) {
        self.spans.enter(found.path, found.piece.epoch, found.sequence);
    }

    fn record(&mut self, lsn: u64, record: Record<'_>, offset: u32) {
        self.spans.note(lsn, &record, offset);
        self.apply(lsn, &record, self.spans.0.len() as u32);
    }
}

/// Reads a lane as the next owner would.
pub(super) async fn check_lane(
    shared: &Rc<Shared>,
    lane: &str,
    sealed: Option<&Sealed>,
    report: &mut Report,
) -> LaneState {
    let mut state = LaneState::new(lane);
    let Some(sealed) = sealed else { return state };
    let mut contents = Contents::default();
    if let Some(checkpoint) = newest_checkpoint(shared, lane, sealed, report).await {
        contents.destinations.extend(checkpoint.destinations);
        for segment in &checkpoint.segments {
            walk(shared, lane, sealed.record.store_id, segment, &mut contents).await;
        }
    }
    let (scanned, mut contents) = match base(shared, sealed, lane).await {
        Ok(Some(base)) => {
            state.given_up = base.plan.gaps.clone();
            run(shared, base.plan, contents, report).await
        }
        Ok(None) => return state,
        Err(error) => {
            report.damages.push(Damage::of_error(error, shared.names.lane(lane), None));
            (None, contents)
        }
    };
    // Where the journal could not be read to its end, what was found before still counts.
    let scanned = scanned.unwrap_or_default();
    let mut in_flight = InFlight { batches: scanned.held.len() as u64, ..InFlight::default() };
    for held in &scanned.held {
        held.records(|lsn, record| {
            let first = in_flight.lsns.map_or(lsn, |(first, _)| first);
            in_flight.lsns = Some((first, lsn));
            in_flight.messages += u64::from(matches!(record, Record::Publish { .. }));
            contents.apply(lsn, &record, 0);
        });
    }
    report.damages.extend(contents.settle(lane));
    state.segments = std::mem::take(&mut contents.spans.0);
    for message in contents.live() {
        if let Some(segment) = (message.segment as usize).checked_sub(1).and_then(|at| state.segments.get_mut(at)) {
            segment.live_messages += 1;
        }
    }
    state.messages = contents.live().count() as u64;
    state.bytes = contents.live().map(|message| u64::from(message.bytes)).sum();
    state.destinations = contents.destination_states();
    state.next_lsn = scanned.next_lsn;
    state.in_flight = in_flight;
    state
}

/// What to say of a checkpoint that is missing. It goes when a second one after it is installed, so the cause may be that
/// the record of that one is lost, at the end of the metadata, where nothing shows it.
fn missing(metadata: &LaneState) -> String {
    let last = metadata.segments.iter().rfind(|segment| segment.role == SegmentRole::Live);
    let (path, at) = last.map_or((String::new(), 0), |last| (last.file.display().to_string(), last.used_bytes));
    format!("{MISSING}, or the record that it was replaced, behind {path}: offset {at}")
}

/// The newest checkpoint that reads, as a claimant would take it. One that does not is damage, the older one as well.
async fn newest_checkpoint(
    shared: &Rc<Shared>,
    lane: &str,
    sealed: &Sealed,
    report: &mut Report,
) -> Option<Checkpoint> {
    let mut newest = None;
    let known = sealed.checkpoints.iter().filter(|checkpoint| checkpoint.lane == lane);
    for record in known.rev().take(CHECKPOINTS_KEPT) {
        match load(shared, sealed.record.store_id, record).await {
            Ok(Ok(checkpoint)) => newest = newest.or(Some(checkpoint)),
            Ok(Err(error)) | Err(error) => {
                let mut damage = Damage::of_error(error, shared.names.lane(lane), None);
                if damage.problem == MISSING {
                    damage.problem = missing(&report.lanes[0]);
                }
                report.damages.push(damage);
            }
        }
    }
    newest
}

/// An index that is missing is made again from its segment, so that it costs time only; one that does not read is told
/// of by the check of all tables.
async fn look_for_index(shared: &Rc<Shared>, lane: &str, segment: &CheckpointSegment, contents: &mut Contents) {
    let CheckpointSegment { epoch, attempt, sequence, index_epoch, first_lsn, next_lsn, .. } = *segment;
    if segment.live.count() == 0 {
        return;
    }
    let path = shared.names.index(lane, (epoch, attempt, sequence), index_epoch);
    if let Err(error) = shared.port.open(path.clone(), OpenMode::Read).await
        && error.kind == ErrorKind::NotFound
    {
        let damage = Damage::of_file(path, 0, MISSING.to_owned(), "the places of ".to_owned());
        contents.suspicions.push(Suspicion { damage, from: first_lsn, to: next_lsn, is_missing: true });
    }
}

/// Reads a segment that a checkpoint names, which recovery does not: it trusts the checkpoint and the index, and looks
/// at a message when somebody wants it.
async fn walk(shared: &Rc<Shared>, lane: &str, store_id: u128, segment: &CheckpointSegment, contents: &mut Contents) {
    let CheckpointSegment { epoch, attempt, lane: number, sequence, next_lsn, .. } = *segment;
    let path = shared.names.segment(lane, epoch, attempt, sequence);
    contents.before.push(segment.live.clone());
    let suspicion = |offset: u64, problem: String, from: u64, to: u64| {
        let damage = Damage::of_file(path.clone(), offset, problem, String::new());
        Suspicion { damage: Damage { lsns: Some((from, Some(to - 1))), ..damage }, from, to, is_missing: false }
    };
    let file = match shared.port.open(path.clone(), OpenMode::Read).await {
        Ok(file) => file,
        Err(error) => {
            let is_missing = error.kind == ErrorKind::NotFound;
            let found = suspicion(0, format!("the segment cannot be opened: {error}"), segment.first_lsn, next_lsn);
            return contents.suspicions.push(Suspicion { is_missing, ..found });
        }
    };
    contents.spans.enter(path.clone(), epoch, sequence);
    look_for_index(shared, lane, segment, contents).await;
    let identity = SegmentIdentity { store_id, epoch, attempt, lane: number, sequence };
    let mut reader = Reader::new(file, u64::MAX);
    let (mut at, mut expected) = (u64::from(FIRST_BATCH_OFFSET), segment.first_lsn);
    while expected < next_lsn {
        let seen = match reader.classify(&identity, at, expected).await {
            Ok((BatchSeen::Next, Some(found))) => Ok(Ok(found)),
            Ok(_) => reader.look_ahead(&identity, at + BLOCK_SIZE as u64, u64::MAX, expected + 1).await.map(Err),
            Err(error) => Err(error),
        };
        match seen {
            Ok(Ok(Found { header, bytes })) => {
                let read = each_record(&bytes, &header, |lsn, record, offset| {
                    contents.spans.note(lsn, &record, at as u32 + offset);
                    let is_wanted = segment.live.contains(lsn) || !matches!(record, Record::Publish { .. });
                    if is_wanted {
                        contents.apply(lsn, &record, contents.spans.0.len() as u32);
                    }
                });
                if let Err(problem) = read {
                    contents.suspicions.push(suspicion(at, problem.to_owned(), expected, header.next_lsn()));
                }
                at += u64::from(header.padded_bytes());
                expected = header.next_lsn();
            }
            Ok(Err(ahead)) => {
                let (to, lsn) = ahead.next.unwrap_or((u64::MAX, next_lsn));
                let problem = "a batch that was durable does not read".to_owned();
                contents.suspicions.push(suspicion(at, problem, expected, lsn));
                if to == u64::MAX {
                    return;
                }
                reader.restart(to);
                (at, expected) = (to, lsn);
            }
            Err(error) => {
                let problem = format!("the segment does not read: {error}");
                return contents.suspicions.push(suspicion(at, problem, expected, next_lsn));
            }
        }
    }
}
