//! One direction of a link, over all its connections: what is done to it now, and what came of it.
//!
//! Bytes are written while the lane is locked, so that none passes after a change has returned.

use super::shape::{Line, Shape};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What happened in one direction since the proxy began: the evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes that went on.
    pub bytes_passed: u64,
    /// Pieces that could not go on when they arrived.
    pub pieces_delayed: u64,
    /// The longest time that a piece was held back.
    pub held_max: Duration,
    /// Bytes that arrived while the direction was cut.
    pub bytes_withheld: u64,
    /// Bytes that were thrown away.
    pub bytes_swallowed: u64,
    /// How often a connection had bytes waiting that were not read because of a stall; once for each stall.
    pub connections_unread: u64,
}

impl Tally {
    /// Both together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            bytes_passed: self.bytes_passed + other.bytes_passed,
            pieces_delayed: self.pieces_delayed + other.pieces_delayed,
            held_max: self.held_max.max(other.held_max),
            bytes_withheld: self.bytes_withheld + other.bytes_withheld,
            bytes_swallowed: self.bytes_swallowed + other.bytes_swallowed,
            connections_unread: self.connections_unread + other.connections_unread,
        }
    }

    /// What was added since `before`, a tally of the same direction. The longest time is the one since it was last forgotten.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            bytes_passed: self.bytes_passed - before.bytes_passed,
            pieces_delayed: self.pieces_delayed - before.pieces_delayed,
            held_max: self.held_max,
            bytes_withheld: self.bytes_withheld - before.bytes_withheld,
            bytes_swallowed: self.bytes_swallowed - before.bytes_swallowed,
            connections_unread: self.connections_unread - before.connections_unread,
        }
    }
}

/// What is behind the lock.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) shape: Shape,
    pub(super) line: Line,
    pub(super) tally: Tally,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Lane {
    inner: Mutex<Inner>,
    changes: watch::Sender<()>,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self { inner: Mutex::default(), changes: watch::Sender::new(()) }
    }

    /// Its parts are numbers, valid after any panic.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told of each change of the shape. Mark it as seen before looking at the shape.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Shape)) {
        let mut inner = self.lock();
        let rate = inner.shape.bytes_per_s;
        change(&mut inner.shape);
        if rate != inner.shape.bytes_per_s {
            inner.line.clear();
        }
        drop(inner);
        self.changes.send_replace(());
    }
}
