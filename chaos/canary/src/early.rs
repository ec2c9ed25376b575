//! Confirms before it syncs: a durable write to a segment is reported complete at once, and issued [`HELD_BACK`] later.
//!
//! So whatever ends the process takes the newest confirmed messages with it, at a killed process as at a lost host.

use crate::layer::{Below, Meddler};
use disk::{DiskOp, DiskRequest, FileId, Nanos, Outcome};
use std::collections::{HashMap, VecDeque};

/// How late the writes are. At 10 messages a second and more, the end of the process finds some.
const HELD_BACK: Nanos = 250_000_000;
/// An answer to this request would be the second one: the broker has none under this number.
const ANSWERED: u64 = 1 << 63;

/// Writes that the broker believes to be durable.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// Requests that are held back, by file: what follows a held write waits behind it.
    held: VecDeque<(Nanos, DiskRequest)>,
    waiting: HashMap<FileId, u64>,
    segments: HashMap<FileId, bool>,
}

impl Early {
    fn hold(&mut self, below: &mut Below, file: FileId, request: DiskRequest) {
        let at = below.reactor.now() + HELD_BACK;
        *self.waiting.entry(file).or_default() += 1;
        self.held.push_back((at, request));
        below.wake_at(self.held.front().map_or(at, |(at, _)| *at));
    }
}

impl Meddler for Early {
    fn disk(&mut self, below: &mut Below, request: DiskRequest) {
        if let DiskOp::Open { file, path, .. } = &request.op {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            // A spare becomes a segment by its next name.
            self.segments.insert(*file, name.starts_with("segment.") || name.starts_with("spare."));
        }
        let Some(file) = file_of(&request.op) else { return below.reactor.submit_disk(request) };
        let is_segment = self.segments.get(&file).copied().unwrap_or(false);
        match &request.op {
            DiskOp::Write { durable: true, .. } if is_segment => {
                below.answer(request.id, Outcome::Done);
                self.hold(below, file, DiskRequest { id: request.id | ANSWERED, op: request.op });
            }
            _ if self.waiting.contains_key(&file) => self.hold(below, file, request),
            _ => below.reactor.submit_disk(request),
        }
    }

    fn event(&mut self, _below: &mut Below, event: reactor::Event) -> Option<reactor::Event> {
        match &event {
            reactor::Event::Disk(done) if done.id & ANSWERED != 0 => None,
            _ => Some(event),
        }
    }

    fn timeout(&mut self, below: &mut Below) {
        let now = below.reactor.now();
        while let Some((_, request)) = self.held.pop_front_if(|(at, _)| *at <= now) {
            if let Some(file) = file_of(&request.op)
                && let Some(waiting) = self.waiting.get_mut(&file)
            {
                *waiting -= 1;
                if *waiting == 0 {
                    self.waiting.remove(&file);
                }
            }
            below.reactor.submit_disk(request);
        }
        if let Some((at, _)) = self.held.front() {
            below.wake_at(*at);
        }
    }
}

fn file_of(op: &DiskOp) -> Option<FileId> {
    match op {
        DiskOp::Open { file, .. }
        | DiskOp::Close { file }
        | DiskOp::SetLen { file, .. }
        | DiskOp::Allocate { file, .. }
        | DiskOp::Write { file, .. }
        | DiskOp::Read { file, .. }
        | DiskOp::Sync { file }
        | DiskOp::TryLock { file } => Some(*file),
        DiskOp::SyncDir { .. }
        | DiskOp::Link { .. }
        | DiskOp::Unlink { .. }
        | DiskOp::CreateDir { .. }
        | DiskOp::List { .. } => None,
    }
}
