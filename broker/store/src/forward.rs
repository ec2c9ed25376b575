//! Copies the live messages of sparse segments forward, so that a message that nobody takes does not keep a segment.
//!
//! Owns when that is due, which segment is next, and the pace. A copy is a record of the journal like a publish, and it
//! makes the record that it replaces void: one record, so no crash parts the two (`format::CopyOf`). The old segment
//! dies like any other, once the copy is confirmable; unlinking it is `space`'s business. Where the caller's messages
//! went is known by the lane.
//!
//! Reads beside the data path, a few messages at a time, and appends under the limits that hold for messages of clients.

use crate::active::Lost;
use crate::api::{Location, Refused};
use crate::backlog::Backlog;
use crate::bodies::Bodies;
use crate::format::{IndexEntry, IndexReader, PAYLOAD_CHECKSUM_BYTES, copy_bytes};
use crate::lane::Lane;
use crate::port::{self, File};
use crate::rebuild::{self, Loaded, Wanted};
use crate::segments::{IndexPlace, Segment};
use crate::shared::Shared;
use crate::task::{Task, poll_slot};
use bytes::Bytes;
use disk::{BLOCK_SIZE, DiskError, Nanos};
use std::collections::VecDeque;
use std::rc::Rc;

/// Full segments that may hold live messages beyond twice what these take: the rest of the eight that docs/decisions/0005
/// grants is the segment that is written to, those that stand ready, and dead ones that a checkpoint does not cover yet.
const SEGMENTS_SPARE: u64 = 1;

/// A turn reads and appends so many bytes and messages, unless one message has more bytes: some 50 us of the loop.
const TURN_BYTES: usize = 64 << 10;
const TURN_MESSAGES: usize = 32;

/// A turn looks at so many entries of an index, live or not: some 50 us, too. The next one comes after this time at least.
const TURN_ENTRIES: usize = 2048;
const TURN_PAUSE: Nanos = 100_000;

/// Messages that were read: with its checksum before it, each.
type Read = Task<Result<Vec<(IndexEntry, Bytes)>, DiskError>>;

/// A segment whose messages are being moved.
#[derive(Debug)]
struct Move {
    segment: u32,
    /// What its index still has; none once that is read.
    index: Option<IndexReader<Bytes>>,
    /// Messages that somebody waited for when their turn came.
    again: VecDeque<IndexEntry>,
    reading: Option<Read>,
    read: VecDeque<(IndexEntry, Bytes)>,
}

#[derive(Debug)]
enum Step {
    /// Nothing is due.
    Idle,
    /// Reads the index.
    Listing {
        segment: u32,
        task: Task<Result<Loaded, Lost>>,
    },
    Moving(Move),
}

#[derive(Debug)]
struct OfLane {
    step: Step,
    /// When the budget allows the next turn.
    next_at: Nanos,
}

/// What copying did since serving began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Copied {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Forward {
    shared: Rc<Shared>,
    /// Who writes to it has taken over.
    slot: File,
    lanes: Vec<OfLane>,
    pub(crate) copied: Copied,
    notes: Vec<String>,
}

impl Forward {
    /// For `lanes` data lanes.
    pub(crate) fn new(shared: &Rc<Shared>, slot: File, lanes: usize) -> Self {
        let lanes = (0..lanes).map(|_| OfLane { step: Step::Idle, next_at: 0 }).collect();
        Self { shared: shared.clone(), slot, lanes, copied: Copied::default(), notes: Vec::new() }
    }

    /// When to call `run` although nothing completed.
    pub(crate) fn next_timeout(&self, now: Nanos) -> Option<Nanos> {
        let waits =
            |lane: &&OfLane| matches!(&lane.step, Step::Moving(of) if of.reading.is_none() && of.read.is_empty());
        self.lanes.iter().filter(waits).map(|lane| lane.next_at).filter(|at| *at > now).min()
    }

    /// What the operator should know.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Goes on with whatever can. `lanes` and `backlogs`: of the stores; `bodies` says which messages are being read.
    pub(crate) fn run(&mut self, now: Nanos, lanes: &mut [Lane], backlogs: &[Backlog], bodies: &Bodies) {
        if self.shared.config.copy_bytes_per_s == 0 {
            return;
        }
        for (index, lane) in lanes.iter_mut().enumerate() {
            // Until then the backlog counts on finding each message in the segment where it was.
            if backlogs[index].is_complete() {
                let is_read = |location: Location| bodies.is_awaited(index + 1, location);
                self.run_lane(now, index, lane, is_read);
            }
        }
    }

    fn run_lane(&mut self, now: Nanos, index: usize, lane: &mut Lane, is_read: impl Fn(Location) -> bool) {
        loop {
            match std::mem::replace(&mut self.lanes[index].step, Step::Idle) {
                Step::Idle => match self.begin(lane) {
                    Some(step) => self.lanes[index].step = step,
                    None => return,
                },
                Step::Listing { segment, mut task } => match task.poll() {
                    Some(Ok(loaded)) => {
                        self.notes.extend(loaded.notes);
                        self.lanes[index].step = Step::Moving(Move::new(segment, loaded.body));
                    }
                    Some(Err(Lost::Poisoned(error))) => self.leave_alone(lane, segment, &error.to_string()),
                    // The owner's own check is about to say so.
                    Some(Err(Lost::Fenced)) => self.leave_alone(lane, segment, "another server has taken over"),
                    None => {
                        self.lanes[index].step = Step::Listing { segment, task };
                        return;
                    }
                },
                Step::Moving(mut of) => {
                    let goes_on = self.go_on(now, index, lane, &mut of, &is_read);
                    if !of.is_over() {
                        self.lanes[index].step = Step::Moving(of);
                    } else if lane.segments.get(of.segment).is_some_and(|segment| segment.live().count() > 0) {
                        self.leave_alone(lane, of.segment, "some of its messages cannot be copied forward");
                    }
                    if !goes_on {
                        return;
                    }
                }
            }
        }
    }

    /// Chooses the segment with the least live bytes, if copying is due. Of that at most half is live, since the average
    /// is less than half.
    fn begin(&self, lane: &Lane) -> Option<Step> {
        let is_due = |segments: usize| {
            segments as u64 * lane.segment_bytes()
                > 2 * lane.segments.live_bytes() + SEGMENTS_SPARE * lane.segment_bytes()
        };
        // Looked at in each turn of the loop.
        if !is_due(lane.segments.live_segments()) {
            return None;
        }
        let may_move = |(number, segment): &(u32, &Segment)| {
            Some(*number) != lane.current()
                && segment.live_bytes() > 0
                && !segment.is_unmovable
                && segment.next_lsn <= lane.confirmable() + 1
        };
        let candidates = || lane.segments.iter().filter(may_move);
        if !is_due(candidates().count()) {
            return None;
        }
        let (number, segment) = candidates().min_by_key(|(number, segment)| (segment.live_bytes(), *number))?;
        Some(match &segment.index {
            IndexPlace::Memory(index) => Step::Moving(Move::new(number, Bytes::copy_from_slice(index.body()))),
            IndexPlace::File { by } => {
                let wanted = Wanted::new(lane, segment, *by);
                let task = Task::new(rebuild::load(self.shared.clone(), self.slot.clone(), wanted));
                Step::Listing { segment: number, task }
            }
        })
    }

    /// Damage is an error for who reads it, and for nobody else.
    fn leave_alone(&mut self, lane: &mut Lane, number: u32, why: &str) {
        if let Some(segment) = lane.segments.get_mut(number) {
            segment.is_unmovable = true;
            self.notes.push(format!("{} stays as it is: {why}", segment.path.display()));
        }
    }

    /// A turn of a move. False: it waits.
    fn go_on(
        &mut self,
        now: Nanos,
        index: usize,
        lane: &mut Lane,
        of: &mut Move,
        is_read: impl Fn(Location) -> bool,
    ) -> bool {
        match poll_slot(&mut of.reading) {
            Some(Ok(read)) => of.read.extend(read),
            Some(Err(error)) => {
                self.notes.push(format!("reading a sparse segment: {error}"));
                of.give_up();
            }
            None if of.reading.is_some() => return false,
            None => {}
        }
        while let Some((entry, bytes)) = of.read.pop_front() {
            match self.place(lane, of, &entry, &bytes, &is_read) {
                Ok(()) => {}
                // It goes on when what waits was written.
                Err(Refused::Throttled | Refused::Full) => {
                    of.read.push_front((entry, bytes));
                    return false;
                }
                Err(Refused::TooLarge | Refused::NotServing) => {}
            }
        }
        let state = &mut self.lanes[index];
        if of.is_over() || now < state.next_at {
            return of.is_over();
        }
        let bytes = of.start(lane);
        let pause = u128::from(bytes) * 1_000_000_000 / u128::from(self.shared.config.copy_bytes_per_s);
        state.next_at = now + (pause as Nanos).max(TURN_PAUSE);
        true
    }

    /// Copies a message that was read.
    fn place(
        &mut self,
        lane: &mut Lane,
        of: &mut Move,
        entry: &IndexEntry,
        bytes: &Bytes,
        is_read: impl Fn(Location) -> bool,
    ) -> Result<(), Refused> {
        let location = Location { segment: of.segment, offset: entry.offset, len: entry.len };
        if !lane.segments.get(of.segment).is_some_and(|segment| segment.holds(entry.lsn)) {
            return Ok(());
        }
        if is_read(location) {
            // Whoever waits for it is answered from here.
            of.again.push_back(entry.clone());
            return Ok(());
        }
        let Some(payload) = lane.verified(location, bytes) else { return Ok(()) };
        lane.copy_forward(entry, location, &payload)?;
        self.copied.messages += 1;
        self.copied.bytes += u64::from(entry.len);
        Ok(())
    }
}

impl Move {
    fn new(segment: u32, index: Bytes) -> Self {
        let index = Some(IndexReader::new(index));
        Self { segment, index, again: VecDeque::new(), reading: None, read: VecDeque::new() }
    }

    fn is_over(&self) -> bool {
        self.index.is_none() && self.again.is_empty() && self.read.is_empty() && self.reading.is_none()
    }

    fn give_up(&mut self) {
        self.index = None;
        self.again.clear();
    }

    /// The next entry. Those of messages that were left for later come last.
    fn next(&mut self) -> Option<IndexEntry> {
        if let Some(reader) = &mut self.index {
            if let Ok(Some(entry)) = reader.next() {
                return Some(entry.clone());
            }
            self.index = None;
        }
        self.again.pop_front()
    }

    /// Starts to read the next messages; returns what that takes of the budget, in bytes.
    fn start(&mut self, lane: &Lane) -> u64 {
        let of = lane.segments.get(self.segment);
        let Some(file) = of.and_then(|segment| segment.file.clone()) else {
            self.give_up();
            return 0;
        };
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for _ in 0..TURN_ENTRIES {
            if entries.len() >= TURN_MESSAGES || bytes >= TURN_BYTES {
                break;
            }
            let Some(entry) = self.next() else { break };
            if of.is_some_and(|segment| segment.holds(entry.lsn)) {
                bytes += copy_bytes(entry.destinations.len(), entry.len as usize);
                entries.push(entry);
            }
        }
        if !entries.is_empty() {
            self.reading = Some(Task::new(read(file, entries)));
        }
        bytes as u64
    }
}

/// Reads messages, all at once.
async fn read(file: File, entries: Vec<IndexEntry>) -> Result<Vec<(IndexEntry, Bytes)>, DiskError> {
    let range = |entry: &IndexEntry| {
        let from = entry.offset as usize - PAYLOAD_CHECKSUM_BYTES;
        (from / BLOCK_SIZE * BLOCK_SIZE, from, entry.offset as usize + entry.len as usize)
    };
    let tickets = entries.iter().map(|entry| {
        let (start, _, to) = range(entry);
        file.start_read(start as u64, (to - start).next_multiple_of(BLOCK_SIZE))
    });
    let tickets: Vec<_> = tickets.collect();
    let mut found = Vec::new();
    for (entry, ticket) in entries.into_iter().zip(tickets) {
        let (start, from, to) = range(&entry);
        let bytes = port::data(ticket.await?)?;
        // A file that ends too early leaves nothing that could be the message.
        let message = if to - start <= bytes.len() { bytes.slice(from - start..to - start) } else { Bytes::new() };
        found.push((entry, message));
    }
    Ok(found)
}
