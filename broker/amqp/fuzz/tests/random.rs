//! The fuzz case on random programs, so that it runs with the other tests and on every toolchain.

/// Random programs; the seed of a failure is printed and replays it.
#[test]
fn random_programs() {
    let first = std::env::var("AMQP_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let count = std::env::var("AMQP_FUZZ_COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(1500);
    let mut reached = amqp_fuzz::Reached::default();
    for seed in first..first + count {
        let data = program(seed);
        match std::panic::catch_unwind(|| amqp_fuzz::fuzz_one(&data)) {
            Ok(more) => reached += more,
            Err(_) => panic!("AMQP_FUZZ_SEED={seed} AMQP_FUZZ_COUNT=1 cargo test -p amqp-fuzz replays this failure"),
        }
    }
    println!("{reached:?}");
    let amqp_fuzz::Reached { messages, sent, outcomes, returned, detaches, ends, failures, closes } = reached;
    let least = [messages, sent, outcomes, returned, detaches, ends, failures, closes].into_iter().min();
    assert!(count < 1000 || least >= Some(count / 20), "the programs do not get far: {reached:?}");
}

fn program(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let length = random.usize(1..4000);
    let mut data: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
    // Most programs get through the handshake; the others try it by themselves.
    if random.u8(..) < 220 {
        data[0] = (data[0] & 0xf0) | (1 + random.u8(0..2));
    }
    data
}

/// Conversations that once were right, with a byte changed here and there.
#[test]
fn mutated_conversations() {
    let mut client = amqp::Connection::client(amqp::Config::default(), None, 0);
    client.open(amqp::Open::default());
    let session = client.begin();
    let attach = amqp::Attach { name: "link".into(), role: amqp::Role::Receiver, ..amqp::Attach::default() };
    let link = client.attach(session, attach);
    client.grant(link, 10, true);
    client.detach(link, true, None);
    client.end(session, None);
    client.close(None);
    let conversation = client.poll_transmit(0).expect("a conversation").chunks.concat();
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..5_000 {
        let mut bytes = conversation.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..bytes.len());
            bytes[at] = random.u8(..);
        }
        amqp_fuzz::fuzz_one(&bytes);
        let mut server = amqp::Connection::server(amqp::Config::default(), 0);
        let mut input = &bytes[..];
        while let Some(event) = server.next_event(0, &mut input) {
            if event == amqp::Event::Open {
                server.open(amqp::Open::default());
            }
        }
    }
}
