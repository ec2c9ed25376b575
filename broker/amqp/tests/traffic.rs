//! Random traffic over several sessions and links, in both directions, against a record of what was sent.

mod harness;

use amqp::{Config, Connection, LinkId, Outcome, Role};
use harness::{Ends, Pair, Seen, config, outcomes, payloads, send};

/// One link, and what passed over it.
struct Lane {
    ends: Ends,
    client_sends: bool,
    sent: Vec<Vec<u8>>,
    received: Vec<Vec<u8>>,
}

struct Traffic {
    pair: Pair,
    random: fastrand::Rng,
    lanes: Vec<Lane>,
    next_token: u64,
    outcomes: usize,
}

impl Traffic {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut shape = |name: &str| Config {
            max_frame_size: random.u32(512..2000),
            incoming_window: random.u32(1..40),
            ..config(name)
        };
        let (client, server) = (shape("client"), shape("server"));
        let mut pair = Pair::opened_with(client, server);
        let sessions = [pair.client.begin(), pair.client.begin()];
        let lanes = (0..6).map(|number| {
            let client_sends = number % 2 == 0;
            let role = if client_sends { Role::Sender } else { Role::Receiver };
            let ends = pair.attach(sessions[number / 3], &format!("link {number}"), role);
            Lane { ends, client_sends, sent: Vec::new(), received: Vec::new() }
        });
        let lanes = lanes.collect();
        Self { pair, random, lanes, next_token: 0, outcomes: 0 }
    }

    /// Sending and receiving end of a lane.
    fn ends(&mut self, at: usize) -> ((&mut Connection, LinkId), (&mut Connection, LinkId)) {
        let Lane { ends, client_sends, .. } = self.lanes[at];
        let client = (&mut self.pair.client, ends.client);
        let server = (&mut self.pair.server, ends.server);
        if client_sends { (client, server) } else { (server, client) }
    }

    fn step(&mut self) {
        let at = self.random.usize(0..self.lanes.len());
        match self.random.u8(..) {
            0..60 => {
                let (credit, drain) = (self.random.u32(0..30), self.random.u8(..) < 30);
                let (_, (connection, link)) = self.ends(at);
                connection.grant(link, credit, drain);
            }
            60..80 => {
                let ((connection, link), _) = self.ends(at);
                connection.drained(link);
            }
            _ => self.send(at),
        }
        if self.random.bool() {
            self.exchange();
        }
    }

    fn send(&mut self, at: usize) {
        let body = vec![self.random.u8(..); self.random.usize(0..6000)];
        let token = self.next_token;
        let ((connection, link), _) = self.ends(at);
        if send(connection, link, token, body.clone()).is_ok() {
            self.next_token += 1;
            self.lanes[at].sent.push([b"head:".as_slice(), &body].concat());
        }
    }

    /// Lets bytes flow, and settles every message that arrives.
    fn exchange(&mut self) {
        self.pair.run();
        let sides = [std::mem::take(&mut self.pair.at_client.events), std::mem::take(&mut self.pair.at_server.events)];
        for (events, at_client) in sides.into_iter().zip([true, false]) {
            self.outcomes += outcomes(&events).len();
            for seen in events {
                let Seen::Message { link, delivery_id, payload, .. } = seen else { continue };
                let receives = |lane: &&mut Lane| match at_client {
                    true => lane.ends.client == link && !lane.client_sends,
                    false => lane.ends.server == link && lane.client_sends,
                };
                self.lanes.iter_mut().find(receives).expect("a message on a receiving link").received.push(payload);
                let connection = if at_client { &mut self.pair.client } else { &mut self.pair.server };
                connection.settle(link.session, delivery_id, Outcome::Accepted, true);
            }
        }
    }

    /// Nothing is lost, doubled, reordered or mixed up, and every message has exactly one outcome.
    fn judge(mut self, seed: u64) {
        self.exchange();
        self.exchange();
        assert!(payloads(&self.pair.at_client.events).is_empty());
        for (number, lane) in self.lanes.iter().enumerate() {
            assert!(lane.sent == lane.received, "seed {seed}, link {number}: {} sent", lane.sent.len());
        }
        let sent: usize = self.lanes.iter().map(|lane| lane.sent.len()).sum();
        assert!(sent > 50, "seed {seed}: {sent} messages say little");
        assert_eq!(self.outcomes, sent, "seed {seed}");
        assert_eq!((self.pair.client.unsettled_tokens(), self.pair.server.unsettled_tokens()), (vec![], vec![]));
        assert!(!self.pair.client.is_finished() && !self.pair.server.is_finished(), "seed {seed}");
    }
}

#[test]
fn random_traffic_keeps_its_promises() {
    for seed in 0..12 {
        let mut traffic = Traffic::new(seed);
        (0..400).for_each(|_| traffic.step());
        traffic.judge(seed);
    }
}
