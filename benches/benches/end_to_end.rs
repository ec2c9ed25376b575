//! What a message costs from a producer's socket to the consumer's, and its acknowledgement: a whole broker and its clients on the
//! simulated machine, in one thread, without a kernel. Beside real sockets and disks it is measured by `benches/peers`.

use benches::{Case, Flow};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;

/// Messages of one run. The start of the broker is measured with them.
const MESSAGES: usize = 20_000;

fn runs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("end-to-end");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for (name, producers, bytes, settled) in [
        ("durable, 16 bytes", 1, 16, false),
        ("durable, 1 KiB", 1, 1024, false),
        ("durable, 16 producers", 16, 1024, false),
        ("settled, 16 bytes", 1, 16, true),
    ] {
        let flow = Flow { queue: "bench".to_owned(), bytes, settled };
        let case = Case { name, producers, in_flight: 1000, flow };
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| benches::run(&case, MESSAGES).expect("messages flow"));
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(10)
}

criterion_group! { name = benches; config = short(); targets = runs }
criterion_main!(benches);
