//! The pair of queues that is shared with the kernel.
//!
//! Owns submission, waiting and reaping, and the count of what the kernel still works on. Knows nothing about what the
//! entries do; a [`Tag`] tells the owner of each completion.
#![allow(unsafe_code)]

use crate::slots::Key;
use disk::Nanos;
use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use std::collections::VecDeque;
use std::io;

/// Which part of the reactor a completion belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The answer to a cancellation; what was cancelled has a completion of its own.
    Cancel = 1,
    Accept = 2,
    Connect = 3,
    Receive = 4,
    Send = 5,
    Disk = 6,
    Signal = 7,
    Wake = 8,
}

/// What an entry carries through the kernel: 8 bits of kind, 24 of slot, 32 of generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) kind: Kind,
    pub(super) key: Key,
}

impl Tag {
    pub(super) fn new(kind: Kind, key: Key) -> Self {
        Tag { kind, key }
    }

    pub(super) fn to_user_data(self) -> u64 {
        (self.kind as u64) << 56 | u64::from(self.key.index) << 32 | u64::from(self.key.generation)
    }

    fn from_user_data(user_data: u64) -> Self {
        let kind = match user_data >> 56 {
            1 => Kind::Cancel,
            2 => Kind::Accept,
            3 => Kind::Connect,
            4 => Kind::Receive,
            5 => Kind::Send,
            6 => Kind::Disk,
            7 => Kind::Signal,
            8 => Kind::Wake,
            other => panic!("the kernel returned a completion of kind {other}, which was never submitted"),
        };
        Tag { kind, key: Key { index: (user_data >> 32) as u32 & 0xff_ffff, generation: user_data as u32 } }
    }
}

/// One answer of the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) tag: Tag,
    result: i32,
    flags: u32,
}

impl Completion {
    /// What the operation gave, a count or a descriptor, or the error.
    pub(super) fn result(&self) -> io::Result<u32> {
        if self.result < 0 { Err(io::Error::from_raw_os_error(-self.result)) } else { Ok(self.result as u32) }
    }

    /// Whether the same multishot entry will give further completions.
    pub(super) fn more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The provided buffer that the kernel used.
    pub(super) fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

pub(super) struct Ring {
    inner: IoUring,
    /// Entries that found the submission queue full and the kernel unwilling; older than anything pushed later.
    waiting: VecDeque<squeue::Entry>,
    /// Entries that the kernel has not given the last completion of.
    in_flight: usize,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ring").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

impl Ring {
    pub(super) fn new(inner: IoUring) -> Self {
        Ring { inner, waiting: VecDeque::new(), in_flight: 0 }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Queues an entry; it reaches the kernel with the next `enter`.
    ///
    /// # Safety
    /// All memory and descriptors that the entry names must stay valid until its last completion was reaped.
    pub(super) unsafe fn push(&mut self, entry: squeue::Entry, tag: Tag) {
        let entry = entry.user_data(tag.to_user_data());
        self.in_flight += 1;
        // SAFETY: the caller vouches for the entry.
        if self.waiting.is_empty() && unsafe { self.try_push(&entry) } {
            return;
        }
        self.waiting.push_back(entry);
    }

    /// Asks the kernel to end one operation. Its completion still comes.
    pub(super) fn cancel(&mut self, target: Tag) {
        let entry = opcode::AsyncCancel::new(target.to_user_data()).build();
        // SAFETY: the entry names no memory.
        unsafe { self.push(entry, Tag::new(Kind::Cancel, target.key)) }
    }

    /// Asks the kernel to end everything. The completions still come.
    pub(super) fn cancel_all(&mut self) {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        // SAFETY: the entry names no memory.
        unsafe { self.push(entry, Tag::new(Kind::Cancel, Key { index: 0, generation: 0 })) }
    }

    /// Hands the queued entries over and waits for one completion, at most for `timeout` nanoseconds (0: only looks).
    pub(super) fn enter(&mut self, timeout: Option<Nanos>) -> io::Result<()> {
        self.refill();
        // With entries left behind, or completions there already, the turn must not sleep.
        let ready = !self.inner.completion().is_empty();
        let want = usize::from(self.waiting.is_empty() && !ready && timeout != Some(0));
        let entered = match timeout {
            Some(nanos) if want > 0 => {
                let timespec = Timespec::new().sec(nanos / 1_000_000_000).nsec((nanos % 1_000_000_000) as u32);
                self.inner.submitter().submit_with_args(want, &SubmitArgs::new().timespec(&timespec))
            }
            _ => self.inner.submitter().submit_and_wait(want),
        };
        match entered {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Time is up; a signal came; the completion queue must be reaped first; memory is short for the moment.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Takes all completions that are there.
    pub(super) fn reap(&mut self, completions: &mut Vec<Completion>) {
        let before = completions.len();
        completions.extend(self.inner.completion().map(|entry| Completion {
            tag: Tag::from_user_data(entry.user_data()),
            result: entry.result(),
            flags: entry.flags(),
        }));
        self.in_flight -= completions[before..].iter().filter(|completion| !completion.more()).count();
    }

    fn refill(&mut self) {
        while let Some(entry) = self.waiting.front() {
            let entry = entry.clone();
            // SAFETY: the one who pushed the entry vouched for it.
            if !unsafe { self.try_push(&entry) } {
                return;
            }
            self.waiting.pop_front();
        }
    }

    /// # Safety
    /// As for `push`.
    unsafe fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the caller vouches for the entry.
        if unsafe { self.inner.submission().push(entry) }.is_ok() {
            return true;
        }
        // Full. An error of this submit shows again in the next `enter`, which can report it.
        let submitted = self.inner.submit().is_ok();
        // SAFETY: as above.
        submitted && unsafe { self.inner.submission().push(entry) }.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_survives_the_way_through_the_kernel() {
        for kind in [Kind::Cancel, Kind::Accept, Kind::Connect, Kind::Receive, Kind::Send, Kind::Disk, Kind::Signal] {
            for (index, generation) in [(0, 0), (1, u32::MAX), (0xff_ffff, 7)] {
                let tag = Tag::new(kind, Key { index, generation });
                assert_eq!(Tag::from_user_data(tag.to_user_data()), tag);
            }
        }
    }
}
