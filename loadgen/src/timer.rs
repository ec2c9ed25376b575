//! Owns waiting until a point of CLOCK_MONOTONIC, to within microseconds: tokio's own timer works in whole milliseconds, which
//! would be the largest part of the latency that a fast broker shows.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::net::unix::pipe::Receiver;

use crate::clock::{Nanos, SECOND_NS, now_ns};

/// One timer of the operating system, registered with the runtime of the thread that made it.
#[derive(Debug)]
pub(crate) struct Timer {
    timer: TimerFd,
    /// The same timer as something to read from: it gives eight bytes when it expires.
    expiry: Receiver,
    /// When it is set to expire.
    armed_ns: AtomicU64,
}

impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let twin: OwnedFd = timer.as_fd().try_clone_to_owned()?;
        Ok(Self { timer, expiry: Receiver::from_owned_fd_unchecked(twin)?, armed_ns: AtomicU64::new(0) })
    }

    /// Waits until `at_ns`. Dropping the future is harmless.
    ///
    /// Deadlines mostly move away while a connection is busy. A timer that is set to an earlier time is left alone then, and
    /// set again only if it expires: that saves a system call each turn.
    pub(crate) async fn until(&self, at_ns: Nanos) -> io::Result<()> {
        loop {
            let now = now_ns();
            if now >= at_ns {
                return Ok(());
            }
            let armed_ns = self.armed_ns.load(Ordering::Relaxed);
            if armed_ns <= now || armed_ns > at_ns {
                let time = TimeSpec::new((at_ns / SECOND_NS) as i64, (at_ns % SECOND_NS) as i64);
                self.timer.set(Expiration::OneShot(time), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
                self.armed_ns.store(at_ns, Ordering::Relaxed);
            }
            self.expiry.readable().await?;
            // Readiness may be left over from an earlier setting; then there is nothing to read, and the wait goes on.
            match self.expiry.try_read(&mut [0; 8]) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_to_within_a_fraction_of_a_millisecond_more_often_than_not() {
        let timer = Timer::new().expect("timer");
        let mut late: Vec<Nanos> = Vec::new();
        for _ in 0..50 {
            let at_ns = now_ns() + 300_000;
            timer.until(at_ns).await.expect("wait");
            late.push(now_ns() - at_ns);
        }
        late.sort_unstable();
        assert!(late[10] < 500_000, "{late:?}");
    }

    #[tokio::test]
    async fn an_abandoned_wait_does_not_shorten_the_next() {
        let timer = Timer::new().expect("timer");
        let soon = tokio::time::timeout(std::time::Duration::from_millis(5), timer.until(now_ns() + 1_000_000)).await;
        assert!(soon.is_ok());
        let abandoned =
            tokio::time::timeout(std::time::Duration::from_millis(2), timer.until(now_ns() + SECOND_NS)).await;
        assert!(abandoned.is_err());
        let at_ns = now_ns() + 20_000_000;
        timer.until(at_ns).await.expect("wait");
        assert!(now_ns() >= at_ns);
        timer.until(1).await.expect("the past is over at once");
    }
}
