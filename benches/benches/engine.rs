//! What a queue costs per message: publish, deliver, accept; with an empty queue and with a backlog, one consumer and many. And what
//! finding the queue of a name costs among few and many.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::{
    ConsumerId, ConsumerSpec, Effect, Engine, Entry, Place, QueueDefinition, QueueId, Settle, StoreId, Stores,
    Visibility,
};
use std::hint::black_box;
use std::time::Duration;

/// Messages of one iteration.
const BATCH: u64 = 1000;

/// A queue with its consumers, and the number that the next message gets.
struct Bench {
    engine: Engine,
    queue: QueueId,
    consumers: Vec<ConsumerId>,
    lsn: u64,
}

impl Bench {
    fn new(consumers: usize, backlog: u64) -> Self {
        let definition = QueueDefinition { pattern: ">".into(), store: Some(StoreId(0)), ..QueueDefinition::default() };
        let mut engine = Engine::new(vec![definition], Stores { default: StoreId(0), sync: vec![StoreId(0)] });
        let queue = engine.resolve("sync.q").expect("the pattern allows it");
        let spec = || ConsumerSpec { browse: false, window_max: u32::MAX };
        let consumers = (0..consumers).map(|_| engine.add_consumer(queue, spec())).collect();
        let mut bench = Bench { engine, queue, consumers, lsn: 0 };
        (0..backlog).for_each(|_| bench.publish());
        bench.engine.confirmed(StoreId(0), bench.lsn);
        bench
    }

    fn publish(&mut self) {
        self.lsn += 1;
        let offset = (self.lsn % 60_000) as u32 * 1024;
        let place = Place { segment: (self.lsn / 60_000) as u32, offset, len: 1024 };
        let entry = Entry { lsn: self.lsn, expires_at_ms: 0, place, priority: 4, flags: 0, delivery_count: 0 };
        self.engine.admit(0, self.queue, 1024).expect("the queue has no limit");
        self.engine.publish(self.queue, entry, Visibility::WhenConfirmed);
    }

    /// A batch comes in, is confirmed, and as many go out and are accepted.
    fn turn(&mut self) -> u64 {
        (0..BATCH).for_each(|_| self.publish());
        self.engine.confirmed(StoreId(0), self.lsn);
        let share = (BATCH as usize).div_ceil(self.consumers.len()) as u32;
        for consumer in &self.consumers {
            self.engine.credit(*consumer, share);
        }
        let mut removed = 0;
        while let Some(effect) = self.engine.poll_effect(0) {
            match black_box(effect) {
                Effect::Deliver { token, .. } => self.engine.settle(token, Settle::Accept).expect("just delivered"),
                Effect::Remove { .. } => removed += 1,
                Effect::Drained { .. } | Effect::Vacant { .. } => {}
            }
        }
        assert_eq!(removed, BATCH, "a batch goes out for each that comes in");
        removed
    }
}

fn turns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine/publish-deliver-accept");
    group.throughput(Throughput::Elements(BATCH));
    for (consumers, backlog) in [(1, 0), (8, 0), (1, 1_000_000)] {
        let mut bench = Bench::new(consumers, backlog);
        let name = format!("{consumers} consumers, backlog {backlog}");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| bencher.iter(|| bench.turn()));
    }
    group.finish();
}

/// Names of queues that exist already, found among so many others and so many patterns.
fn routing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine/route");
    group.throughput(Throughput::Elements(1));
    for (queues, patterns) in [(10, 10), (10_000, 10), (10_000, 1000)] {
        let definition = |number| QueueDefinition { pattern: format!("p{number}.>"), ..QueueDefinition::default() };
        let stores = Stores { default: StoreId(0), sync: vec![StoreId(0)] };
        let mut engine = Engine::new((0..patterns).map(definition).collect(), stores);
        let names: Vec<String> = (0..queues).map(|number| format!("p{}.q{number}", number % patterns)).collect();
        for name in &names {
            engine.resolve(name).expect("a pattern allows it");
        }
        let mut next = names.iter().cycle();
        let name = format!("{queues} queues, {patterns} patterns");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| engine.resolve(black_box(next.next().expect("there are names"))));
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3)).sample_size(30)
}

criterion_group! { name = benches; config = short(); targets = turns, routing }
criterion_main!(benches);
