//! Lets another thread end the wait of a reactor.
//!
//! Owns nothing but the way to the reactor; what the other thread has to say goes another way (see `workers`).

use nix::sys::eventfd::EventFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Wakes up one reactor, from any thread, also when that reactor is gone. See [`crate::Reactor::waker`].
#[derive(Clone, Debug)]
pub struct Waker {
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Kernel(Arc<EventFd>),
    Sim(Arc<AtomicBool>),
}

impl Waker {
    pub(crate) fn kernel(descriptor: Arc<EventFd>) -> Self {
        Waker { way: Way::Kernel(descriptor) }
    }

    pub(crate) fn sim(woken: Arc<AtomicBool>) -> Self {
        Waker { way: Way::Sim(woken) }
    }

    /// Makes the reactor report [`crate::Event::Woken`]: once for all calls since its last report.
    pub fn wake(&self) {
        match &self.way {
            Way::Kernel(descriptor) => {
                // The one error is that of a counter at its end: 2^64 wake-ups wait to be reported already.
                let _ = descriptor.write(1);
            }
            Way::Sim(woken) => woken.store(true, Ordering::Release),
        }
    }

    pub(crate) fn is_simulated(&self) -> bool {
        matches!(self.way, Way::Sim(_))
    }
}
