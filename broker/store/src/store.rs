//! The router: takes requests and completions, hands them to the part that owns them.

use crate::{Appended, Body, Config, Event, Location, MessageKey, Refused};
use bytes::BytesMut;
use disk::{DiskDone, DiskRequest, Nanos};

/// All stores of one shard and the epoch chain that guards them. Not `Send`: make it on the thread that uses it.
///
/// Inputs: `handle_*`, commands. Outputs: `poll_*`, until they return `None`.
#[derive(Debug)]
pub struct Store {}

#[allow(unused_variables, clippy::todo, reason = "replaced by the next commit")]
impl Store {
    /// `process_id` is random and fresh per process; `allocate` gives a buffer of at least that capacity at a 4096-aligned address.
    pub fn new(config: Config, process_id: u128, allocate: fn(usize) -> BytesMut) -> Self {
        todo!()
    }
    /// The next piece of disk work.
    pub fn poll_disk(&mut self) -> Option<DiskRequest> {
        todo!()
    }
    /// A piece of disk work completed.
    pub fn handle_disk(&mut self, now: Nanos, done: DiskDone) {
        todo!()
    }
    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }
    /// When `handle_timeout` is to be called next.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        todo!()
    }
    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Nanos) {
        todo!()
    }
    /// Follows the owner chain from now on, and prepares spare segments.
    pub fn watch(&mut self, now: Nanos) {
        todo!()
    }
    /// Is the newest owner's lock free? `Event::Lock` follows.
    pub fn probe_lock(&mut self, now: Nanos) {
        todo!()
    }
    /// Claims the next epoch.
    pub fn claim(&mut self, now: Nanos) {
        todo!()
    }
    /// Clean stop: `Event::Stopped` follows.
    pub fn stop(&mut self, now: Nanos) {
        todo!()
    }
    /// Names a destination of `store`; to be called before the first publish to it. The same again is no error.
    pub fn define_destination(&mut self, store: u8, id: u32, name: &str) -> Result<(), Refused> {
        todo!()
    }
    /// Admits a message.
    pub fn publish(
        &mut self,
        now: Nanos,
        store: u8,
        destinations: &[u32],
        key: MessageKey,
        payload: &[&[u8]],
    ) -> Result<Appended, Refused> {
        todo!()
    }
    /// Admits the removal of a message; returns the record's log sequence number.
    pub fn acknowledge(&mut self, now: Nanos, store: u8, publish_lsn: u64, location: Location) -> Result<u64, Refused> {
        todo!()
    }
    /// Whether a publish would be admitted now.
    pub fn has_room(&self, store: u8) -> bool {
        todo!()
    }
    /// A message's bytes.
    pub fn body(&mut self, store: u8, location: Location) -> Body {
        todo!()
    }
    /// Log sequence number through which records are durable and checked.
    pub fn confirmable(&self, store: u8) -> u64 {
        todo!()
    }
    /// Once per turn of the loop: issues what accumulated.
    pub fn flush(&mut self, now: Nanos) {
        todo!()
    }
}
