//! What a lane holds after its records through some number: built up by reading them in order.
//!
//! Owns the meaning of records for recovery and for the standby. The table of segments that it fills becomes the
//! lane's own when the process takes over.

use crate::format::{CopyOf, Record};
use crate::scan::{FoundSegment, Visit};
use crate::segments::{Segment, Segments};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct Image {
    pub(crate) segments: Segments,
    pub(crate) destinations: BTreeMap<u32, String>,
    /// Number of the segment whose records are being read.
    current: Option<u32>,
}

impl Image {
    /// The image that a checkpoint describes.
    pub(crate) fn new(segments: Segments, destinations: impl IntoIterator<Item = (u32, String)>) -> Self {
        Self { segments, destinations: destinations.into_iter().collect(), current: None }
    }

    /// Ids that live messages go to although damage took their names.
    pub(crate) fn nameless(&self) -> BTreeSet<u32> {
        let live = self.segments.iter().filter(|(_, segment)| segment.live_count() > 0);
        let ids = live.flat_map(|(_, segment)| segment.destinations().collect::<Vec<_>>());
        ids.filter(|id| !self.destinations.contains_key(id)).collect()
    }
}

impl Visit for Image {
    fn segment(&mut self, found: FoundSegment) {
        let FoundSegment { piece, sequence, first_lsn, path, file } = found;
        let written = (piece.epoch, piece.attempt, piece.lane, sequence);
        self.current = Some(self.segments.push(Segment::new(written, first_lsn, path, file)));
    }

    fn record(&mut self, lsn: u64, record: Record<'_>, offset: u32) {
        match record {
            Record::Publish { copy_of, key, destinations, payload_offset, payload }
                if destinations.iter().len() > 0 =>
            {
                let order = CopyOf::order(copy_of, lsn);
                let number = self.current.expect("a record lies in a segment");
                let place = (offset + payload_offset, payload.len() as u32);
                self.segments.published(number, (lsn, order), place, key, destinations.iter());
                if let Some(CopyOf { replaces, .. }) = copy_of {
                    self.segments.removed(replaces, replaces);
                }
            }
            // Nobody gets it.
            Record::Publish { .. } => {}
            Record::Acknowledge(ranges) => ranges.iter().for_each(|(from, to)| self.segments.removed(*from, *to)),
            Record::Destination { id, name } => {
                self.destinations.insert(id, name.to_owned());
            }
            // Metadata is read by its own visitor; a clean end leaves nothing to do.
            Record::Seal(_) | Record::Serving(_) | Record::Unlink(_) | Record::Checkpoint(_) | Record::End => {}
        }
    }
}
