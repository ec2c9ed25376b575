//! Wake-ups by other threads as events.
//!
//! Owns the event descriptor. The poll goes through the ring; the counter itself is read on the spot, since wake-ups are few
//! and the read of a ready descriptor does not block.
#![allow(unsafe_code)]

use super::ring::{Completion, Kind, Ring, Tag};
use crate::event::Event;
use crate::slots::Key;
use crate::waker::Waker;
use io_uring::{opcode, types};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct WakeUps {
    descriptor: Arc<EventFd>,
}

impl WakeUps {
    /// Begins to watch for wake-ups.
    pub(super) fn watch(ring: &mut Ring) -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake_ups = WakeUps { descriptor: Arc::new(EventFd::from_value_and_flags(0, flags)?) };
        wake_ups.arm(ring);
        Ok(wake_ups)
    }

    pub(super) fn waker(&self) -> Waker {
        Waker::kernel(Arc::clone(&self.descriptor))
    }

    /// Reports all wake-ups since the last report as one, and watches on.
    pub(super) fn complete(&self, ring: &mut Ring, poll: Completion, events: &mut VecDeque<Event>) -> io::Result<()> {
        if poll.result().is_err_and(|error| error.raw_os_error() == Some(libc::ECANCELED)) {
            return Ok(()); // The reactor ends.
        }
        match self.descriptor.read() {
            Ok(_) => events.push_back(Event::Woken),
            Err(Errno::EAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        self.arm(ring);
        Ok(())
    }

    fn arm(&self, ring: &mut Ring) {
        let entry = opcode::PollAdd::new(types::Fd(self.descriptor.as_raw_fd()), libc::POLLIN as u32).build();
        // SAFETY: the entry names no memory; the descriptor lives as long as the ring, whose drop waits for the poll.
        unsafe { ring.push(entry, Tag::new(Kind::Wake, Key { index: 0, generation: 0 })) }
    }
}
