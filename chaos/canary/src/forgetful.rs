//! Forgets acknowledgements: every so many-th of them is confirmed to the consumer, and never told to the broker.
//!
//! For the broker the message stays with its consumer, and goes back to the queue when that one is gone.

use crate::frames::{Cutter, Disposition, Performative};
use crate::layer::{Below, Meddler};
use bytes::{Bytes, BytesMut};
use reactor::{Event, SocketId};
use std::collections::HashMap;

/// One in so many frames of acknowledgements is forgotten.
const ONE_IN: u64 = 50;
/// The first of them: early, since a frame acknowledges many messages where the machine is busy, and a server may not live long.
const FIRST: u64 = 5;

/// What is known of each connection.
#[derive(Debug, Default)]
pub(crate) struct Forgetful {
    connections: HashMap<SocketId, Conversation>,
    seen: u64,
}

#[derive(Debug, Default)]
struct Conversation {
    received: Cutter,
    /// Confirmations that go out with what the broker sends next.
    owed: Vec<Bytes>,
}

impl Forgetful {
    /// The frames that the broker shall see of what was received.
    fn pass(&mut self, socket: SocketId, data: &[u8]) -> Bytes {
        let conversation = self.connections.entry(socket).or_default();
        conversation.received.put(data);
        let mut passed = BytesMut::new();
        while let Some(frame) = conversation.received.next() {
            match frame.read() {
                Some(Performative::Disposition(said)) if said.asks_for_an_answer() => {
                    self.seen += 1;
                    if self.seen % ONE_IN == FIRST {
                        let answer = Disposition { from_receiver: false, settled: true, ..said };
                        conversation.owed.push(answer.to_frame().into_bytes());
                        continue;
                    }
                }
                _ => {}
            }
            passed.extend_from_slice(&frame.into_bytes());
        }
        passed.freeze()
    }
}

impl Meddler for Forgetful {
    fn send(&mut self, below: &mut Below, socket: SocketId, mut chunks: Vec<Bytes>) {
        if let Some(conversation) = self.connections.get_mut(&socket) {
            chunks.append(&mut conversation.owed);
        }
        below.reactor.send(socket, chunks);
    }

    fn close(&mut self, below: &mut Below, socket: SocketId) {
        self.connections.remove(&socket);
        below.reactor.close(socket);
    }

    fn event(&mut self, _below: &mut Below, event: Event) -> Option<Event> {
        match event {
            Event::Received { socket, data } => {
                let passed = self.pass(socket, &data);
                (!passed.is_empty()).then(|| Event::Received { socket, data: passed.into() })
            }
            event => Some(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::tests::accepted;

    #[test]
    fn one_acknowledgement_in_fifty_is_answered_and_kept_from_the_broker() {
        let world = reactor::sim::World::new(1, reactor::sim::WorldConfig::default());
        let socket = world.host().connect(([127, 0, 0, 1], 1).into());
        let mut forgetful = Forgetful::default();
        let stream: Vec<Bytes> = (0..100).map(|id| accepted(id, id, true).into_bytes()).collect();
        let passed = forgetful.pass(socket, &stream.concat());
        let kept = [&stream[..4], &stream[5..54], &stream[55..]].concat().concat();
        assert_eq!(passed, kept);
        let owed = &forgetful.connections[&socket].owed;
        assert_eq!(*owed, [4, 54].map(|id| accepted(id, id, false).into_bytes()));
        // What is settled already, or says something else, passes.
        let settled = accepted(7, 7, false).into_bytes();
        assert_eq!(forgetful.pass(socket, &settled), settled);
    }
}
