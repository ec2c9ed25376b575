//! Time, the hosts and what happens to them.

use crate::Reactor;
use disk::Nanos;
use std::ops::Range;

/// One process of the simulated world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub u32);

/// The ranges from which the world draws.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// The first moment, in nanoseconds.
    pub start: Nanos,
    /// Delay of one segment between two hosts, or within one, in nanoseconds.
    pub latency: Range<Nanos>,
    /// Sizes into which sent bytes are cut.
    pub segment_bytes: Range<usize>,
    /// What the kernel takes of a connection before the peer has read it, in bytes.
    pub send_buffer_bytes: usize,
}

impl Default for WorldConfig {
    fn default() -> Self {
        WorldConfig {
            start: 1_000_000_000,
            latency: 20_000..400_000,
            segment_bytes: 1..65_536,
            send_buffer_bytes: 256 * 1024,
        }
    }
}

/// A world: hosts, the network between them and one shared disk, all driven by one seed.
///
/// A test makes hosts, gives each reactor to a server, lets each take its first turn, and then:
///
/// ```text
/// while let Some(host) = world.step() {
///     servers[host].turn();          // calls Reactor::wait, which returns what is due without blocking
/// }
/// ```
#[derive(Clone, Debug)]
pub struct World {}

impl World {
    /// A world at time `config.start` without hosts.
    pub fn new(_seed: u64, _config: WorldConfig) -> World {
        todo!()
    }
    /// Starts a process: a reactor with its own session on the shared disk.
    pub fn host(&self) -> Reactor {
        todo!()
    }
    /// The host that a simulated reactor belongs to.
    pub fn id(&self, _reactor: &Reactor) -> HostId {
        todo!()
    }
    /// The present.
    pub fn now(&self) -> Nanos {
        todo!()
    }
    /// Advances to the next due event and carries it out, again and again until a running host has something to
    /// reap; tells which. `None`: nothing will ever happen again by itself.
    pub fn step(&self) -> Option<HostId> {
        todo!()
    }
    /// `step` for as long as time is not past `until`, with `turn` for each host that has something to reap; then it
    /// is `until`.
    pub fn run_until(&self, _until: Nanos, _turn: impl FnMut(HostId)) {
        todo!()
    }
    /// SIGKILL: locks go free, connections end, what the disk has in flight may still land.
    pub fn kill(&self, _host: HostId) {
        todo!()
    }
    /// SIGSTOP: the host takes no turn; its kernel goes on.
    pub fn pause(&self, _host: HostId) {
        todo!()
    }
    /// SIGCONT.
    pub fn resume(&self, _host: HostId) {
        todo!()
    }
    /// Holds everything that travels from `source` to `target` until `heal`.
    pub fn cut(&self, _source: HostId, _target: HostId) {
        todo!()
    }
    /// Undoes `cut`; what was held arrives.
    pub fn heal(&self, _source: HostId, _target: HostId) {
        todo!()
    }
    /// Resets every connection between the two.
    pub fn reset(&self, _left: HostId, _right: HostId) {
        todo!()
    }
}
