//! One connection through the proxy: the far side's handshake, both directions, and its end, which both sides see as it was.

use super::lane::Lane;
use super::pump::{Outcome, Pump};
use super::shape::Passage;
use nix::sys::socket::{Shutdown, shutdown};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// The target is on this machine: the kernel answers for it at once, or its backlog is full.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What all connections of a proxy share.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) target: SocketAddr,
    pub(super) forward: Lane,
    pub(super) backward: Lane,
    /// Each change resets all connections.
    pub(super) resets: watch::Sender<()>,
    pub(super) connections: watch::Sender<Connections>,
    pub(super) seed: u64,
}

/// What became of connections since the proxy began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// They were accepted.
    pub accepted: u64,
    /// They waited because one direction was cut or swallowed when they were accepted.
    pub kept_waiting: u64,
    /// They were reset on request.
    pub reset: u64,
}

impl Link {
    fn count(&self, count: impl FnOnce(&mut Connections)) {
        self.connections.send_modify(count);
    }

    /// Serves one connection to its end. `resets` is as old as the connection.
    pub(super) async fn serve(&self, near: TcpStream, mut resets: watch::Receiver<()>, number: u64) {
        self.count(|connections| connections.accepted += 1);
        let may_connect = tokio::select! {
            may_connect = self.await_passage() => may_connect,
            _ = resets.changed() => {
                self.count(|connections| connections.reset += 1);
                false
            }
        };
        // Not given up for a reset: a connection that the target has accepted already would end orderly.
        let connecting = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(self.target));
        let far = if may_connect { connecting.await.ok().and_then(Result::ok) } else { None };
        // Nobody there: the near side would have been refused, and now sees it one step later.
        let Some(far) = far else { return reset(&near) };
        // Small heartbeats must not wait for acknowledgements; a failure costs only that.
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let ended = tokio::select! {
            ended = self.carry(&near, &far, number) => ended,
            _ = resets.changed() => {
                self.count(|connections| connections.reset += 1);
                Outcome::Reset
            }
        };
        if ended != Outcome::Closed {
            reset(&near);
            reset(&far);
        }
    }

    /// Waits until both directions let a handshake through; false if one swallowed it.
    async fn await_passage(&self) -> bool {
        let (mut forward, mut backward) = (self.forward.changes(), self.backward.changes());
        let mut waited_for = None;
        loop {
            forward.borrow_and_update();
            backward.borrow_and_update();
            let passages = [&self.forward, &self.backward].map(|lane| lane.lock().shape.passage);
            let Some(passage) = passages.into_iter().find(|passage| !passage.lets_connect()) else { break };
            if waited_for.replace(passage).is_none() {
                self.count(|connections| connections.kept_waiting += 1);
            }
            tokio::select! {
                _ = forward.changed() => {}
                _ = backward.changed() => {}
            }
        }
        waited_for != Some(Passage::Swallowing)
    }

    async fn carry(&self, near: &TcpStream, far: &TcpStream, number: u64) -> Outcome {
        let seed = self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let forward = async {
            let ended = Pump::new(near, far, &self.forward, seed).run().await;
            pass_on(ended, far)
        };
        let backward = async {
            let ended = Pump::new(far, near, &self.backward, !seed).run().await;
            pass_on(ended, near)
        };
        tokio::pin!(forward, backward);
        let (first, other) = tokio::select! {
            first = &mut forward => (first, if first == Outcome::Reset { first } else { backward.await }),
            first = &mut backward => (first, if first == Outcome::Reset { first } else { forward.await }),
        };
        if (first, other) == (Outcome::Closed, Outcome::Closed) { Outcome::Closed } else { Outcome::Reset }
    }
}

/// Tells the sink of the end, where it is one that leaves the other direction open.
fn pass_on(ended: Outcome, sink: &TcpStream) -> Outcome {
    if ended == Outcome::Closed && shutdown(sink.as_raw_fd(), Shutdown::Write).is_err() {
        return Outcome::Failed;
    }
    ended
}

/// Makes the close that follows a reset. It only fails on a socket that is gone already.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
