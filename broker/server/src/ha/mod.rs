//! Which of two servers is active: a pure state machine. Time, peer messages, lock results and store events are its
//! inputs; it opens no socket and no file.

mod message;
mod state;

pub use message::{HaConfig, Input, LogLine, Output, Recovered};
pub use state::State;

/// Nanoseconds of CLOCK_MONOTONIC, or of simulated time.
pub type Nanos = u64;

/// The machine of one server.
#[derive(Debug)]
pub struct Ha {}

#[allow(missing_docs, clippy::todo)]
impl Ha {
    pub fn new(_config: HaConfig, _random_seed: u64, _now: Nanos) -> Self {
        todo!()
    }
    pub fn handle(&mut self, _now: Nanos, _input: Input) {
        todo!()
    }
    pub fn poll(&mut self) -> Option<Output> {
        todo!()
    }
    pub fn poll_timeout(&self) -> Option<Nanos> {
        todo!()
    }
    pub fn handle_timeout(&mut self, _now: Nanos) {
        todo!()
    }
    pub fn state(&self) -> State {
        todo!()
    }
    pub fn epoch(&self) -> u64 {
        todo!()
    }
}
