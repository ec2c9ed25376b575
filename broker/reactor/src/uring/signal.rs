//! Signals as events.
//!
//! Owns the signal descriptor. The poll goes through the ring; the signal itself is read on the spot, since signals
//! are rare and the read of a ready descriptor does not block.
#![allow(unsafe_code)]

use super::ring::{Completion, Kind, Ring, Tag};
use crate::event::Event;
use crate::slots::Key;
use io_uring::{opcode, types};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;

const WATCHED: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

#[derive(Debug)]
pub(super) struct Signals {
    descriptor: SignalFd,
}

impl Signals {
    /// Blocks the signals for this thread and the threads that it starts later, and begins to watch for them.
    pub(super) fn watch(ring: &mut Ring) -> io::Result<Self> {
        let mask: SigSet = WATCHED.into_iter().collect();
        mask.thread_block()?;
        let descriptor = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let signals = Signals { descriptor };
        signals.arm(ring);
        Ok(signals)
    }

    /// Reports all signals that are pending and watches on.
    pub(super) fn complete(&self, ring: &mut Ring, poll: Completion, events: &mut VecDeque<Event>) -> io::Result<()> {
        if poll.result().is_err_and(|error| error.raw_os_error() == Some(libc::ECANCELED)) {
            return Ok(()); // The reactor ends.
        }
        while let Some(info) = self.descriptor.read_signal()? {
            events.push_back(Event::Signal(info.ssi_signo as i32));
        }
        self.arm(ring);
        Ok(())
    }

    fn arm(&self, ring: &mut Ring) {
        let entry = opcode::PollAdd::new(types::Fd(self.descriptor.as_raw_fd()), libc::POLLIN as u32).build();
        // SAFETY: the entry names no memory; the descriptor lives as long as the ring, whose drop waits for the poll.
        unsafe { ring.push(entry, Tag::new(Kind::Signal, Key { index: 0, generation: 0 })) }
    }
}
