//! Delivers twice, unmarked: every so many-th message to a consumer goes out again at once, as if for the first time.
//!
//! The broker does not know: the numbers of later deliveries are shifted on the way out, and back on the way in.

use crate::frames::{Count, Cutter, Disposition, Performative, Transfer};
use crate::layer::{Below, Meddler};
use crate::numbering::Numbering;
use bytes::{Bytes, BytesMut};
use reactor::{Event, SocketId};
use std::collections::HashMap;

/// One in so many deliveries comes twice.
const ONE_IN: u64 = 100;
/// Smaller messages are answers of the administration and heartbeats.
const PAYLOAD_BYTES_MIN: usize = 512;

/// What is known of each connection.
#[derive(Debug, Default)]
pub(crate) struct Twice {
    connections: HashMap<SocketId, Conversation>,
}

#[derive(Debug, Default)]
struct Conversation {
    sent: Cutter,
    received: Cutter,
    /// By channel: the two directions of a session of ours have the same number.
    sessions: HashMap<u16, Numbering>,
    deliveries: u64,
}

impl Conversation {
    /// What goes out in place of what the broker sends.
    fn outbound(&mut self, chunks: &[Bytes]) -> Bytes {
        chunks.iter().for_each(|chunk| self.sent.put(chunk));
        let mut out = BytesMut::new();
        while let Some(frame) = self.sent.next() {
            match frame.read() {
                Some(Performative::Transfer(transfer)) => self.deliver(transfer, &mut out),
                Some(Performative::Disposition(said)) if !said.from_receiver => {
                    let numbering = self.sessions.entry(said.channel).or_default();
                    let (first, last) = (numbering.to_wire(said.first), numbering.last_on_wire(said.last));
                    out.extend_from_slice(&Disposition { first, last, ..said }.to_frame().into_bytes());
                }
                Some(Performative::Flow(mut flow)) => {
                    let numbering = self.sessions.entry(flow.channel()).or_default();
                    for count in [Count::NextOutgoing, Count::Deliveries] {
                        if let Some(number) = flow.get(count) {
                            flow.set(count, number + numbering.seconds());
                        }
                    }
                    out.extend_from_slice(&flow.to_frame().into_bytes());
                }
                _ => out.extend_from_slice(&frame.into_bytes()),
            }
        }
        out.freeze()
    }

    fn deliver(&mut self, mut transfer: Transfer, out: &mut BytesMut) {
        let numbering = self.sessions.entry(transfer.channel()).or_default();
        let Some(id) = transfer.delivery_id() else {
            return out.extend_from_slice(&transfer.to_frame().into_bytes());
        };
        transfer.set_delivery_id(numbering.to_wire(id));
        out.extend_from_slice(&transfer.to_frame().into_bytes());
        if transfer.is_whole_and_unsettled() && transfer.payload_bytes() >= PAYLOAD_BYTES_MIN {
            self.deliveries += 1;
            if self.deliveries.is_multiple_of(ONE_IN)
                && let Some(second) = numbering.again(id)
            {
                transfer.set_delivery_id(second);
                transfer.change_tag();
                out.extend_from_slice(&transfer.to_frame().into_bytes());
            }
        }
    }

    /// What the broker sees in place of what was received.
    fn inbound(&mut self, data: &[u8]) -> Bytes {
        self.received.put(data);
        let mut passed = BytesMut::new();
        while let Some(frame) = self.received.next() {
            match frame.read() {
                Some(Performative::Disposition(said)) if said.from_receiver => {
                    let numbering = self.sessions.entry(said.channel).or_default();
                    let (first, last) = (numbering.to_broker(said.first), numbering.to_broker(said.last));
                    passed.extend_from_slice(&Disposition { first, last, ..said }.to_frame().into_bytes());
                }
                Some(Performative::Flow(mut flow)) => {
                    let numbering = self.sessions.entry(flow.channel()).or_default();
                    // What the client had seen when it said this: a transfer of ours is a delivery.
                    if let Some(next) = flow.get(Count::NextIncoming) {
                        let seconds = next - numbering.to_broker(next);
                        flow.set(Count::NextIncoming, next - seconds);
                        let deliveries = flow.get(Count::Deliveries).map(|count| count.saturating_sub(seconds));
                        deliveries.into_iter().for_each(|count| flow.set(Count::Deliveries, count));
                    }
                    passed.extend_from_slice(&flow.to_frame().into_bytes());
                }
                _ => passed.extend_from_slice(&frame.into_bytes()),
            }
        }
        passed.freeze()
    }
}

impl Meddler for Twice {
    fn send(&mut self, below: &mut Below, socket: SocketId, chunks: Vec<Bytes>) {
        let out = self.connections.entry(socket).or_default().outbound(&chunks);
        below.reactor.send(socket, vec![out]);
    }

    fn close(&mut self, below: &mut Below, socket: SocketId) {
        self.connections.remove(&socket);
        below.reactor.close(socket);
    }

    fn event(&mut self, _below: &mut Below, event: Event) -> Option<Event> {
        match event {
            Event::Received { socket, data } => {
                let passed = self.connections.entry(socket).or_default().inbound(&data);
                (!passed.is_empty()).then(|| Event::Received { socket, data: passed.into() })
            }
            event => Some(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::tests::{accepted, transfer};

    static PAYLOAD: [u8; PAYLOAD_BYTES_MIN] = [7; PAYLOAD_BYTES_MIN];

    fn ids(stream: &[u8]) -> Vec<u32> {
        let mut cutter = Cutter::default();
        cutter.put(stream);
        let read = std::iter::from_fn(|| cutter.next()).filter_map(|frame| frame.read());
        read.flat_map(|read| match read {
            Performative::Transfer(transfer) => transfer.delivery_id().into_iter().collect(),
            Performative::Disposition(said) => vec![said.first, said.last],
            Performative::Flow(flow) => flow.get(Count::Deliveries).into_iter().collect(),
        })
        .collect()
    }

    #[test]
    fn the_hundredth_delivery_comes_twice_and_later_ones_are_renumbered_both_ways() {
        let mut conversation = Conversation::default();
        let frames: Vec<Bytes> = (0..102).map(|id| transfer(id, &PAYLOAD).into_bytes()).collect();
        let wire = ids(&conversation.outbound(&frames));
        assert_eq!(wire, (0..103).collect::<Vec<u32>>());
        let said = accepted(99, 102, true).into_bytes();
        assert_eq!(ids(&conversation.inbound(&said)), [99, 101]);
        let answer = accepted(99, 99, false).into_bytes();
        assert_eq!(ids(&conversation.outbound(&[answer])), [99, 100]);
    }

    #[test]
    fn small_messages_come_once() {
        let mut conversation = Conversation::default();
        let frames: Vec<Bytes> = (0..300).map(|id| transfer(id, b"beat").into_bytes()).collect();
        assert_eq!(ids(&conversation.outbound(&frames)).len(), 300);
    }
}
