//! Recovery's reading: follows one lane through the segments of all epochs to its end, by the table in `decide`.
//!
//! Owns the walk, the rule that what lies above durable-through is held back, and what is said about damage. What the
//! records mean is the visitor's business. Reads only, except that `--force-start` gives a damaged segment a second
//! name, so that nothing removes it.
//!
//! Runs of older epochs end where the SEAL says: all before is durable. The last run is the tail of the newest epoch
//! that served. It ends at the first place that does not continue it; any valid batch behind that place which claims
//! it to have been durable makes that damage instead (rule 8).

mod damage;

pub(crate) use damage::set_aside;

use crate::StoreError;
use crate::decide::{BatchSeen, HeaderSeen};
use crate::format::{
    BATCH_HEADER_BYTES, BatchHeader, BlockError, End, FIRST_BATCH_OFFSET, Gap, Piece, Record, SegmentHeader,
    SegmentIdentity, read_record,
};
use crate::port::File;
use crate::reader::{Ahead, Found, Reader};
use crate::shared::{CHUNK_BYTES, Shared, while_doing};
use bytes::Bytes;
use disk::{BLOCK_SIZE, OpenMode};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;

/// Behind a place that does not continue the journal, so many bytes are searched for batches that do: what four writes in
/// flight take, unless a message of many megabytes is among them. A wider hole in what was durable is taken for the end
/// only if nothing behind it is left in the next segment either. Most of a takeover's time goes into these reads.
const LOOK_AHEAD_BYTES: u64 = 4 << 20;

/// Takes the records of a lane in order.
pub(crate) trait Visit {
    /// The records that follow lie in this segment.
    fn segment(&mut self, found: FoundSegment);
    /// One record; it starts at `offset` of the segment.
    fn record(&mut self, lsn: u64, record: Record<'_>, offset: u32);
}

/// What is to be read.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Folder name of the lane.
    pub(crate) lane: String,
    pub(crate) store_id: u128,
    /// Oldest first. Only the last may lack an end.
    pub(crate) pieces: Vec<Piece>,
    /// In the last run, all through here is known to be durable.
    pub(crate) durable_through: u64,
    /// Known to be lost.
    pub(crate) gaps: Vec<Gap>,
    /// Hold back what lies above durable-through, to be copied.
    pub(crate) holds_tail: bool,
}

/// A segment that holds records.
#[derive(Debug)]
pub(crate) struct FoundSegment {
    pub(crate) piece: Piece,
    pub(crate) sequence: u32,
    pub(crate) first_lsn: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
}

/// A batch above durable-through: seen, but perhaps not on media.
#[derive(Debug)]
pub(crate) struct Held {
    header: BatchHeader,
    bytes: Bytes,
    place: Place,
}

/// Where a batch lies.
#[derive(Clone, Debug)]
struct Place {
    piece: Piece,
    sequence: u32,
    offset: u32,
    path: PathBuf,
    file: File,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Where the durable part of the last run ends.
    pub(crate) end: Option<End>,
    /// What lies above it.
    pub(crate) held: VecDeque<Held>,
    /// The sequence number after the last record, held ones included.
    pub(crate) next_lsn: u64,
    pub(crate) bytes_read: u64,
    pub(crate) segments_read: u64,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) notes: Vec<String>,
    /// The damage that `--force-start` stepped over.
    pub(crate) damage: Option<StoreError>,
    /// All of it that was not known before: what, the first record that is lost, and where the journal goes on.
    pub(crate) damages: Vec<(StoreError, u64, Option<u64>)>,
}

impl Held {
    /// Hands its records to `visit`, which must know that they are not where they came from.
    pub(crate) fn records(&self, mut visit: impl FnMut(u64, Record<'_>)) {
        each_record(&self.bytes, &self.header, |lsn, record, _| visit(lsn, record))
            .expect("a held batch was read before");
    }

    pub(crate) fn first_lsn(&self) -> u64 {
        self.header.first_lsn
    }
}

/// Goes through the records of a whole batch; the error says what is wrong.
pub(crate) fn each_record(
    bytes: &[u8],
    header: &BatchHeader,
    mut visit: impl FnMut(u64, Record<'_>, u32),
) -> Result<(), &'static str> {
    let (mut at, end) = (BATCH_HEADER_BYTES, header.length as usize);
    for lsn in header.first_lsn..header.next_lsn() {
        let (record, length) = read_record(bytes.get(at..end).unwrap_or_default())
            .ok_or("a record of a kind that this version does not know")?;
        visit(lsn, record, at as u32);
        at += length;
    }
    if at == end { Ok(()) } else { Err("a batch with another number of records than it says") }
}

/// A segment that is being read.
struct Entered {
    reader: Reader,
    identity: SegmentIdentity,
    segment_bytes: u64,
}

/// A place that does not continue the journal, and what lies behind it here and in the next segment.
struct Stop {
    seen: BatchSeen,
    path: PathBuf,
    at: u64,
    /// The file, or the next one, is shorter than its header says.
    is_short: bool,
    here: Ahead,
    there: Ahead,
}

/// What a look at a place gave.
enum Look {
    /// The journal goes on.
    Go(Step),
    /// It does not, here; and the next segment, if there should be one.
    Stop(Stop, Option<Result<Entered, StoreError>>),
}

/// Where reading goes on.
enum Step {
    Batch(Found),
    Segment(Entered),
    /// To a valid batch behind damage: in the next segment if given, at this offset.
    Skip(Option<Entered>, u64),
    End,
}

/// How a scan ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The lane's writer can confirm nothing more: what does not continue the journal is its end, or damage.
    Final,
    /// The writer may be at work: what does not continue the journal may do so later.
    Follow,
}

/// Reads what is left of a plan in which damage is stepped over; what that means is for the caller to say.
pub(crate) async fn salvage<V: Visit>(shared: Rc<Shared>, plan: Plan, visitor: V) -> Result<(Scanned, V), StoreError> {
    let mut scanner = Scanner::new(shared, plan, visitor);
    scanner.is_lenient = true;
    scanner.advance(Mode::Final).await?;
    Ok(scanner.finish())
}

/// Reads a lane as planned, to its end.
pub(crate) async fn scan<V: Visit>(shared: Rc<Shared>, plan: Plan, visitor: V) -> Result<(Scanned, V), StoreError> {
    let mut scanner = Scanner::new(shared, plan, visitor);
    scanner.advance(Mode::Final).await?;
    Ok(scanner.finish())
}

impl<V> std::fmt::Debug for Scanner<V> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Scanner({} at {})", self.plan.lane, self.expected)
    }
}

/// A lane that is being read. It can stop at the end of what is there and go on later.
pub(crate) struct Scanner<V> {
    shared: Rc<Shared>,
    plan: Plan,
    expected: u64,
    durable_through: u64,
    result: Scanned,
    visitor: V,
    /// Runs of the plan that were read to their end.
    done: usize,
    place: Option<At>,
    /// Epoch and sequence of the segment that the visitor was told of last.
    told: Option<(u64, u32)>,
    /// Damage is no error and nothing is set aside.
    is_lenient: bool,
}

/// Where a scan stands: in this segment, at this offset.
struct At {
    entered: Entered,
    sequence: u32,
    offset: u32,
}

impl<V: Visit> Scanner<V> {
    pub(crate) fn new(shared: Rc<Shared>, plan: Plan, visitor: V) -> Self {
        let expected = plan.pieces.first().map_or(1, |piece| piece.first_lsn);
        let result = Scanned { gaps: plan.gaps.clone(), ..Scanned::default() };
        let durable_through = plan.durable_through;
        Self {
            shared,
            durable_through,
            plan,
            expected,
            result,
            visitor,
            done: 0,
            place: None,
            told: None,
            is_lenient: false,
        }
    }

    /// The sequence number of the record that comes next.
    pub(crate) fn expected(&self) -> u64 {
        self.expected
    }

    /// The sequence number of the first record that the visitor was not told of.
    pub(crate) fn first_held(&self) -> u64 {
        self.result.held.front().map_or(self.expected, Held::first_lsn)
    }

    /// The segment in which it stands; 0 before the first.
    pub(crate) fn sequence(&self) -> u32 {
        self.place.as_ref().map_or(0, |at| at.sequence)
    }

    pub(crate) fn visitor(&self) -> &V {
        &self.visitor
    }

    pub(crate) fn visitor_mut(&mut self) -> &mut V {
        &mut self.visitor
    }

    /// Bytes that were read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.result.bytes_read + self.place.as_ref().map_or(0, |at| at.entered.reader.bytes_read)
    }

    /// Goes back to the end of what was known to be durable: what was seen behind it may have been taken back by the
    /// storage. Counts bytes from here on.
    pub(crate) async fn rewind(&mut self) -> Result<(), StoreError> {
        let held = std::mem::take(&mut self.result.held);
        if let Some(first) = held.front() {
            let Place { piece, sequence, offset, .. } = first.place.clone();
            self.expected = first.header.first_lsn;
            let entered = self.enter(&piece, sequence).await??;
            self.place = Some(At { entered, sequence, offset });
        }
        (self.result.bytes_read, self.result.segments_read) = (0, 0);
        if let Some(at) = &mut self.place {
            at.entered.reader.bytes_read = 0;
        }
        Ok(())
    }

    /// What was found, and who was told.
    pub(crate) fn finish(mut self) -> (Scanned, V) {
        if let Some(at) = self.place.take() {
            self.leave(&at.entered);
        }
        self.result.next_lsn = self.expected;
        (self.result, self.visitor)
    }

    /// Reads on as far as there is something.
    pub(crate) async fn advance(&mut self, mode: Mode) -> Result<(), StoreError> {
        while let Some(piece) = self.plan.pieces.get(self.done).copied() {
            if self.place.is_none() {
                self.expected = self.expected.max(piece.first_lsn);
                let mut sequence = piece.first_sequence;
                if let Some(entered) = self.enter_first(&piece, &mut sequence).await? {
                    self.place = Some(At { entered, sequence, offset: FIRST_BATCH_OFFSET });
                    if piece.end.is_none() {
                        self.result.end = Some(End { sequence, offset: FIRST_BATCH_OFFSET, lsn: self.expected });
                    }
                }
            }
            if let Some(mut at) = self.place.take() {
                // What was read ahead at the end of a journal that grows is old.
                at.entered.reader.restart(u64::from(at.offset));
                self.read(&piece, &mut at, mode).await?;
                if piece.end.is_none() {
                    self.place = Some(at);
                    return Ok(());
                }
                self.leave(&at.entered);
            }
            self.expected = piece.end.map_or(self.expected, |end| self.expected.max(end.lsn));
            self.done += 1;
        }
        Ok(())
    }

    /// Reads a run from where it stands to its end.
    async fn read(&mut self, piece: &Piece, at: &mut At, mode: Mode) -> Result<(), StoreError> {
        loop {
            // Of the end of a segment that is read alone only the number is known.
            let is_end = |end: End| (at.sequence, at.offset) >= (end.sequence, end.offset) || self.expected >= end.lsn;
            if piece.end.is_some_and(is_end) {
                return Ok(());
            }
            match self.step(&mut at.entered, piece, at.offset, mode).await? {
                Step::Batch(found) => {
                    let padded_bytes = found.header.padded_bytes();
                    self.accept(&at.entered, piece, at.offset, found)?;
                    at.offset += padded_bytes;
                }
                Step::Segment(next) => {
                    self.leave(&at.entered);
                    *at = At { entered: next, sequence: at.sequence + 1, offset: FIRST_BATCH_OFFSET };
                }
                Step::Skip(next, to) => {
                    if let Some(next) = next {
                        self.leave(&at.entered);
                        (at.entered, at.sequence) = (next, at.sequence + 1);
                    }
                    at.offset = to as u32;
                    at.entered.reader.restart(to);
                }
                Step::End => return Ok(()),
            }
        }
    }

    fn leave(&mut self, entered: &Entered) {
        self.result.bytes_read += entered.reader.bytes_read;
        self.result.segments_read += 1;
    }

    /// The first segment of a run that can be read; without `--force-start` that is the first one or an error.
    async fn enter_first(&mut self, piece: &Piece, sequence: &mut u32) -> Result<Option<Entered>, StoreError> {
        loop {
            match self.enter(piece, *sequence).await? {
                Ok(entered) => return Ok(Some(entered)),
                Err(error) => self.step_over(error, None).await?,
            }
            *sequence += 1;
            if piece.end.is_none_or(|end| *sequence > end.sequence) {
                return Ok(None);
            }
        }
    }

    /// Opens a segment and looks at its header. The inner error is damage.
    async fn enter(&mut self, piece: &Piece, sequence: u32) -> Result<Result<Entered, StoreError>, StoreError> {
        let path = self.shared.names.segment(&self.plan.lane, piece.epoch, piece.attempt, sequence);
        let identity = SegmentIdentity {
            store_id: self.plan.store_id,
            epoch: piece.epoch,
            attempt: piece.attempt,
            lane: piece.lane,
            sequence,
        };
        let file = match self.shared.port.open(path.clone(), OpenMode::Read).await {
            Ok(file) => file,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Err(self.refused(HeaderSeen::Missing, path))),
            Err(error) => return Err(while_doing("opening a segment")(error)),
        };
        let limit = piece.end.filter(|end| end.sequence == sequence).map_or(u64::MAX, |end| u64::from(end.offset));
        let mut reader = Reader::new(file, limit);
        let block = reader.bytes(0, BLOCK_SIZE).await.map_err(while_doing("reading a segment"))?;
        let (seen, segment_bytes) = match block.map_or(Err(BlockError::Damaged), |block| SegmentHeader::decode(&block))
        {
            Ok(header) if header.identity == identity => (HeaderSeen::Expected, header.segment_bytes),
            Ok(_) => (HeaderSeen::Foreign, 0),
            Err(BlockError::Damaged) => (HeaderSeen::Damaged, 0),
            Err(BlockError::TooNew(found)) => {
                return Err(StoreError::TooNew { path, found, known: crate::format::FORMAT_VERSION });
            }
        };
        match seen {
            HeaderSeen::Expected => Ok(Ok(Entered { reader, identity, segment_bytes })),
            other => Ok(Err(self.refused(other, path))),
        }
    }

    /// Decides about the place `offset`.
    async fn step(
        &mut self,
        entered: &mut Entered,
        piece: &Piece,
        offset: u32,
        mode: Mode,
    ) -> Result<Step, StoreError> {
        if mode == Mode::Follow && piece.end.is_none() {
            let step = self.look_on(entered, piece, offset).await?;
            if matches!(step, Step::End) {
                self.still_stands(entered).await?;
            }
            return Ok(step);
        }
        let mut look = self.look(entered, piece, offset).await?;
        if let Look::Stop(stop, _) = &look
            && piece.end.is_none()
            && self.is_proved(piece, stop)
        {
            // An owner that does not know yet that it was replaced writes while we read. What a batch claims to be
            // durable is there by now, so it counts as damage only if it is still not there.
            entered.reader.restart(u64::from(offset));
            look = self.look(entered, piece, offset).await?;
        }
        match look {
            Look::Go(step) => Ok(step),
            Look::Stop(stop, next) => self.stopped(piece, stop, next).await,
        }
    }

    /// Whether anything shows that the place was durable once.
    fn is_proved(&self, piece: &Piece, stop: &Stop) -> bool {
        let claimed = self.durable_through.max(stop.here.durable_through).max(stop.there.durable_through);
        // A segment has its full length before it has its name.
        piece.end.is_some() || claimed >= self.expected || stop.is_short
    }

    /// Looks at the place `offset`, and at the next segment, of a journal that grows.
    async fn look_on(&mut self, entered: &mut Entered, piece: &Piece, offset: u32) -> Result<Step, StoreError> {
        let reading = || while_doing("reading a segment");
        let Entered { reader, identity, segment_bytes } = entered;
        if u64::from(offset) < *segment_bytes {
            let seen = reader.classify(identity, u64::from(offset), self.expected).await.map_err(reading())?;
            if let (BatchSeen::Next, Some(found)) = seen {
                return Ok(Step::Batch(found));
            }
        }
        // A batch takes half a segment at most, so before that the journal does not go on in the next one.
        if u64::from(offset) < *segment_bytes / 2 {
            return Ok(Step::End);
        }
        // Whether a next segment that does not read is damage is decided by who takes over.
        let Ok(mut next) = self.enter(piece, identity.sequence + 1).await? else { return Ok(Step::End) };
        let first = u64::from(FIRST_BATCH_OFFSET);
        match next.reader.classify(&next.identity, first, self.expected).await.map_err(reading())?.0 {
            BatchSeen::Next => Ok(next_segment(&mut next)),
            _ => Ok(Step::End),
        }
    }

    /// A segment that its owner uses again (rule 17) while it is read does not go on: it is as good as removed.
    async fn still_stands(&self, entered: &Entered) -> Result<(), StoreError> {
        let file = &entered.reader.file;
        let block = file.read(0, BLOCK_SIZE).await.map_err(while_doing("reading a segment"))?;
        match SegmentHeader::decode(&block) {
            Ok(header) if header.identity == entered.identity => Ok(()),
            _ => Err(self.refused(HeaderSeen::Missing, file.path().to_owned())),
        }
    }

    /// Looks at the place `offset`, at what lies behind it, and at the next segment.
    async fn look(&mut self, entered: &mut Entered, piece: &Piece, offset: u32) -> Result<Look, StoreError> {
        let reading = || while_doing("reading a segment");
        let Entered { reader, identity, segment_bytes } = entered;
        let at = u64::from(offset);
        let is_full = at >= *segment_bytes;
        let (seen, found) = if is_full {
            (BatchSeen::Zero, None)
        } else {
            reader.classify(identity, at, self.expected).await.map_err(reading())?
        };
        if let (BatchSeen::Next, Some(found)) = (seen, found) {
            return Ok(Look::Go(Step::Batch(found)));
        }
        let mut next = match piece.end.is_none_or(|end| identity.sequence < end.sequence) {
            true => Some(self.enter(piece, identity.sequence + 1).await?),
            false => None,
        };
        let first = u64::from(FIRST_BATCH_OFFSET);
        let mut seen_there = BatchSeen::Zero;
        if let Some(Ok(next)) = &mut next {
            let classified = next.reader.classify(&next.identity, first, self.expected).await;
            seen_there = classified.map_err(reading())?.0;
            if seen_there == BatchSeen::Next {
                return Ok(Look::Go(next_segment(next)));
            }
        }
        let behind = if seen == BatchSeen::Ahead { at } else { at + BLOCK_SIZE as u64 };
        // A batch that did not read says how long it is, if its header survived.
        let skipped = reader.peeked(identity, at).await.map_err(reading())?;
        let end = (at + skipped + LOOK_AHEAD_BYTES).min(*segment_bytes);
        let here = reader.look_ahead(identity, behind, end, self.expected + 1).await.map_err(reading())?;
        let minimum = self.expected + 1;
        let there = match &mut next {
            Some(Ok(next)) => next.reader.look_ahead(&next.identity, first, CHUNK_BYTES as u64, minimum).await,
            _ => Ok(Ahead::default()),
        };
        let there = there.map_err(reading())?;
        let is_next_short = matches!(&next, Some(Ok(next)) if next.reader.file.opened_len() < next.segment_bytes);
        let is_short = reader.file.opened_len() < *segment_bytes || is_next_short;
        // Nothing more here, and no room or something there: what does not read is the first batch of the next segment.
        let is_next = is_full || seen == BatchSeen::Zero && here.next.is_none() && seen_there == BatchSeen::Damaged;
        let (path, at) = match &next {
            Some(Ok(next)) if is_next => (next.reader.file.path(), first),
            _ => (reader.file.path(), at),
        };
        let stop = Stop { seen, path: path.to_owned(), at, is_short, here, there };
        Ok(Look::Stop(stop, next))
    }

    /// Takes a batch that continues the journal.
    fn accept(&mut self, entered: &Entered, piece: &Piece, offset: u32, found: Found) -> Result<(), StoreError> {
        let Found { header, bytes } = found;
        let file = entered.reader.file.clone();
        let place =
            Place { piece: *piece, sequence: entered.identity.sequence, offset, path: file.path().to_owned(), file };
        self.expected = header.next_lsn();
        if piece.end.is_some() || !self.plan.holds_tail {
            return self.visit(&place, &header, &bytes);
        }
        self.result.held.push_back(Held { header, bytes, place });
        self.known_durable(header.durable_through)
    }

    /// All through `lsn` is durable: what was held back of it is taken.
    pub(crate) fn known_durable(&mut self, lsn: u64) -> Result<(), StoreError> {
        self.durable_through = self.durable_through.max(lsn);
        while self.result.held.front().is_some_and(|held| held.header.next_lsn() <= self.durable_through + 1) {
            let Some(held) = self.result.held.pop_front() else { break };
            let (sequence, lsn) = (held.place.sequence, held.header.next_lsn());
            self.result.end = Some(End { sequence, offset: held.place.offset + held.header.padded_bytes(), lsn });
            self.visit(&held.place, &held.header, &held.bytes)?;
        }
        Ok(())
    }

    fn visit(&mut self, place: &Place, header: &BatchHeader, bytes: &[u8]) -> Result<(), StoreError> {
        let segment = (place.piece.epoch, place.sequence);
        if self.told.replace(segment) != Some(segment) {
            let (path, file) = (place.path.clone(), place.file.clone());
            self.visitor.segment(FoundSegment {
                piece: place.piece,
                sequence: place.sequence,
                first_lsn: header.first_lsn,
                path,
                file,
            });
        }
        let visitor = &mut self.visitor;
        let read = each_record(bytes, header, |lsn, record, at| visitor.record(lsn, record, place.offset + at));
        read.map_err(|problem| self.damaged(place.path.clone(), u64::from(place.offset), problem))
    }
}

/// Moves to the next segment, keeping its reader.
fn next_segment(next: &mut Entered) -> Step {
    let file = next.reader.file.clone();
    let reader = std::mem::replace(&mut next.reader, Reader::new(file, 0));
    Step::Segment(Entered { reader, identity: next.identity, segment_bytes: next.segment_bytes })
}
