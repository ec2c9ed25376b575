//! What the protocol costs per message: a client and a server connection joined in memory, 1 KiB messages.
//!
//! Each round sends a batch, decodes it, settles it and decodes the outcomes; each measurement times one of these four
//! steps. No socket, no copy by a kernel: these are the costs of the codec and of the state machines alone.

use amqp::message::{Body, Header, Properties, encode, scan};
use amqp::{Attach, Config, Connection, Delivery, Event, LinkId, Open, Outcome, Role, Target};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Messages of one round; below the credit and every limit of a connection.
const BATCH: u32 = 500;

/// Bytes of a message's body.
const BODY_BYTES: usize = 1024;

/// The four steps of a round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Send,
    Receive,
    Settle,
    Outcomes,
}

/// Two connections with one link from the client to the server.
struct Pair {
    client: Connection,
    server: Connection,
    sending: LinkId,
    receiving: LinkId,
}

impl Pair {
    fn new() -> Self {
        let config = || Config { container_id: "bench".into(), require_sasl: false, ..Config::default() };
        let mut client = Connection::client(config(), None, 0);
        let mut server = Connection::server(config(), 0);
        client.open(Open { container_id: "client".into(), ..Open::default() });
        let session = client.begin();
        let target = Some(Target::at("sync.q"));
        let sending =
            client.attach(session, Attach { name: "link".into(), role: Role::Sender, target, ..Attach::default() });
        let mut receiving = None;
        for _ in 0..10 {
            let bytes = joined(output(&mut client));
            receiving = serve(&mut server, &bytes).or(receiving);
            let bytes = joined(output(&mut server));
            let mut input = bytes.as_slice();
            while client.next_event(0, &mut input).is_some() {}
        }
        let receiving = receiving.expect("the server has the link");
        server.grant(receiving, BATCH, false);
        Pair { client, server, sending, receiving }
    }

    /// One round; gives the time of `step`.
    fn round(&mut self, payload: &Bytes, step: Step) -> Duration {
        let mut timer = Timer { step, elapsed: Duration::ZERO };
        let credit = joined(output(&mut self.server));
        drain(&mut self.client, &credit);
        let transfers = joined(timer.time(Step::Send, || self.send(payload)));
        let ids = timer.time(Step::Receive, || self.receive(&transfers));
        assert_eq!(ids.len(), BATCH as usize, "every message of the batch arrives");
        let dispositions = joined(timer.time(Step::Settle, || self.settle(&ids)));
        let outcomes = timer.time(Step::Outcomes, || drain(&mut self.client, &dispositions));
        assert_eq!(outcomes, BATCH as usize, "every message of the batch has an outcome");
        self.server.grant(self.receiving, BATCH, false);
        timer.elapsed
    }

    fn send(&mut self, payload: &Bytes) -> Vec<Bytes> {
        for token in 0..u64::from(BATCH) {
            let tag = token.to_be_bytes();
            let delivery =
                Delivery { token, tag: &tag, settled: false, format: 0, state: None, head: &[], body: payload };
            self.client.send(self.sending, delivery).expect("the link has credit for a batch");
        }
        output(&mut self.client)
    }

    fn receive(&mut self, transfers: &[u8]) -> Vec<u32> {
        let mut input = transfers;
        let mut ids = Vec::with_capacity(BATCH as usize);
        while let Some(event) = self.server.next_event(0, &mut input) {
            if let Event::Message(message) = event {
                ids.push(message.delivery_id);
                black_box(message.payload);
            }
        }
        ids
    }

    fn settle(&mut self, ids: &[u32]) -> Vec<Bytes> {
        for &id in ids {
            self.server.settle(self.receiving.session, id, Outcome::Accepted, true);
        }
        output(&mut self.server)
    }
}

struct Timer {
    step: Step,
    elapsed: Duration,
}

impl Timer {
    fn time<T>(&mut self, step: Step, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = black_box(work());
        if step == self.step {
            self.elapsed += began.elapsed();
        }
        result
    }
}

/// Answers what a server must answer while the link is made; gives the link.
fn serve(server: &mut Connection, bytes: &[u8]) -> Option<LinkId> {
    let mut input = bytes;
    let mut found = None;
    loop {
        let attached = match server.next_event(0, &mut input) {
            None => return found,
            Some(Event::Attach { link, attach }) => Some((link, attach)),
            Some(Event::Open) => {
                server.open(Open { container_id: "server".into(), ..Open::default() });
                None
            }
            Some(_) => None,
        };
        if let Some((link, attach)) = attached {
            server.accept_link(link, *attach);
            found = Some(link);
        }
    }
}

/// Feeds a connection; gives the number of outcomes.
fn drain(connection: &mut Connection, bytes: &[u8]) -> usize {
    let mut input = bytes;
    let mut outcomes = 0;
    while let Some(event) = connection.next_event(0, &mut input) {
        outcomes += usize::from(matches!(event, Event::Outcome { .. }));
    }
    outcomes
}

/// All that a connection has to send, as it would be handed to the kernel.
fn output(connection: &mut Connection) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    while let Some(output) = connection.poll_transmit(0) {
        chunks.extend(output.chunks);
    }
    chunks
}

/// The kernel's part: one run of bytes.
fn joined(chunks: Vec<Bytes>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(chunks.iter().map(Bytes::len).sum());
    chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
    bytes
}

fn message() -> Bytes {
    let header = Header { durable: true, ..Header::default() };
    encode(header, &Properties::default(), &[], Body::Data(&[7; BODY_BYTES]))
}

fn steps(criterion: &mut Criterion) {
    let payload = message();
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(u64::from(BATCH)));
    let steps =
        [("send", Step::Send), ("receive", Step::Receive), ("settle", Step::Settle), ("outcomes", Step::Outcomes)];
    for (name, step) in steps {
        let mut pair = Pair::new();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| pair.round(&payload, step)).sum());
        });
    }
    group.finish();
}

fn sections(criterion: &mut Criterion) {
    let payload = message();
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Elements(1));
    group.bench_function("scan", |bencher| bencher.iter(|| scan(black_box(&payload)).expect("a valid message")));
    group.bench_function("encode", |bencher| bencher.iter(message));
    group.finish();
}

fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3)).sample_size(30)
}

criterion_group! { name = benches; config = short(); targets = steps, sections }
criterion_main!(benches);
