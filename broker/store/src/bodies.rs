//! Message bytes that are not in memory: reads them back in windows, so that what follows is there when it is asked for.
//!
//! Owns the reads in flight and who waits for them. The windows themselves are kept by `cache`.

use crate::api::{Body, Event, Location};
use crate::format::PAYLOAD_CHECKSUM_BYTES;
use crate::lane::Lane;
use crate::port::{Port, Purpose};
use crate::shared::while_doing;
use crate::{StoreError, port};
use bytes::Bytes;
use disk::{BLOCK_SIZE, DiskError, DiskOp, Outcome};
use std::path::Path;

/// A read takes at least so much, most of it ahead of need.
const WINDOW_BYTES: u64 = 256 << 10;

#[derive(Debug)]
struct Read {
    request: u64,
    lane: usize,
    segment: u32,
    start: u64,
    end: u64,
    /// The first is the one that it was started for.
    waiting: Vec<Location>,
}

#[derive(Debug, Default)]
pub(crate) struct Bodies {
    reads: Vec<Read>,
}

/// The bytes that must be read for a message: its checksum stands before it.
fn range(location: Location) -> (u64, u64) {
    let start = u64::from(location.offset) - PAYLOAD_CHECKSUM_BYTES as u64;
    (start, u64::from(location.offset) + u64::from(location.len))
}

impl Bodies {
    /// A message's bytes from memory, or a read of them under way.
    pub(crate) fn get(&mut self, port: &Port, lane_index: usize, lane: &mut Lane, location: Location) -> Body {
        let found = lane.body(location);
        if found != Body::Pending {
            return found;
        }
        let (start, end) = range(location);
        if let Some((window, bytes)) = lane.cache.window(location.segment, start as u32, (end - start) as u32) {
            match lane.verified(location, &bytes) {
                Some(body) => return Body::Ready(body),
                // The window was read before this message was written: read again.
                None => lane.cache.drop_window(location.segment, window),
            }
        }
        let covers = |read: &&mut Read| {
            read.lane == lane_index && read.segment == location.segment && read.start <= start && read.end >= end
        };
        match self.reads.iter_mut().find(covers) {
            Some(read) => read.waiting.push(location),
            None => self.read(port, lane_index, lane, location),
        }
        Body::Pending
    }

    fn read(&mut self, port: &Port, lane_index: usize, lane: &Lane, location: Location) {
        let (start, end) = range(location);
        let block = BLOCK_SIZE as u64;
        let start = start / block * block;
        let end = end.max(start + WINDOW_BYTES).next_multiple_of(block);
        let segment = lane.segments.get(location.segment).expect("the segment of a live message is there");
        let file = segment.file.as_ref().expect("a segment is open before its messages are handed over");
        let op = DiskOp::Read { file: file.id(), offset: start, len: (end - start) as usize };
        let request = port.submit(Purpose::Window { lane: lane_index }, op);
        self.reads.push(Read {
            request,
            lane: lane_index,
            segment: location.segment,
            start,
            end,
            waiting: vec![location],
        });
    }

    /// A window arrived, or could not be read: tells those who wait. Messages that are gone meanwhile are not told of.
    pub(crate) fn arrived(
        &mut self,
        port: &Port,
        request: u64,
        lane: &mut Lane,
        result: Result<Outcome, DiskError>,
    ) -> Vec<Event> {
        let Some(index) = self.reads.iter().position(|read| read.request == request) else { return Vec::new() };
        let read = self.reads.swap_remove(index);
        let Some(path) = lane.segments.get(read.segment).map(|segment| segment.path.clone()) else { return Vec::new() };
        let window = result.and_then(port::data).map_err(while_doing("reading a message back"));
        let store = (read.lane - 1) as u8;
        let mut answers = Vec::new();
        for (position, location) in read.waiting.into_iter().enumerate() {
            let result = window.clone().and_then(|bytes| cut(lane, &path, &bytes, read.start, location));
            if position > 0 && matches!(result, Err(StoreError::BodyDamaged { .. })) {
                // It joined a read that was under way, perhaps from before it was written.
                self.read(port, read.lane, lane, location);
                continue;
            }
            answers.push(Event::Body { store, location, result });
        }
        if let Ok(bytes) = window {
            lane.cache.keep_window(read.segment, read.start as u32, bytes);
        }
        answers
    }
}

fn cut(lane: &Lane, path: &Path, window: &Bytes, window_start: u64, location: Location) -> Result<Bytes, StoreError> {
    let (start, end) = range(location);
    let (from, to) = ((start - window_start) as usize, (end - window_start) as usize);
    let whole = (to <= window.len()).then(|| window.slice(from..to)).and_then(|bytes| lane.verified(location, &bytes));
    whole.ok_or_else(|| StoreError::BodyDamaged { path: path.to_owned(), offset: u64::from(location.offset) })
}
