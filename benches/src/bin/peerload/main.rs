//! Loads one message broker and says how fast it was, and which side was the bottleneck: the instrument of `benches/peers`.
//!
//! Owns the order of a measurement: connect, warm up, measure, print one line of JSON. Speaks AMQP 1.0, Redis streams, NATS and
//! JetStream, each by a client of its own without a library's batching: one message is one request and one answer.

mod bare;
mod figures;
mod jetstream;
mod load;
mod nats;
mod options;
mod redis;

use anyhow::Result;
use benches::{AmqpPeer, Peer};
use clap::Parser;
use figures::Figures;
use load::{Client, Load};
use options::{Options, Protocol};

fn main() -> Result<()> {
    let options = Options::parse();
    let mut clients = Vec::new();
    let consumers = if options.protocol == Protocol::Bare { 0 } else { options.consumers };
    for number in 0..consumers {
        clients.push(Client::new(&options, consumer(&options, number), false)?);
    }
    let mut load = Load::new(&options, clients);
    // Who receives is there before the first message is sent.
    load.run_until_ready()?;
    for number in 0..options.producers {
        load.add(Client::new(&options, producer(&options, number), true)?);
    }
    load.run_until_ready()?;
    load.run_for(options.warm_up_ns())?;
    let before = Figures::take(&options)?;
    load.begin_measuring();
    load.run_for(options.seconds_ns())?;
    let after = Figures::take(&options)?;
    println!("{}", figures::line(&options, &load, &before, &after));
    Ok(())
}

fn producer(options: &Options, number: usize) -> Box<dyn Peer> {
    match options.protocol {
        Protocol::Amqp => Box::new(AmqpPeer::producer(&options.flow(), number)),
        Protocol::Redis => Box::new(redis::RedisProducer::new(options)),
        Protocol::Nats => Box::new(nats::NatsPeer::producer(options)),
        Protocol::Jetstream => Box::new(jetstream::JetstreamPeer::producer(options, number)),
        Protocol::Bare => Box::new(bare::BareProducer::new(options)),
    }
}

fn consumer(options: &Options, number: usize) -> Box<dyn Peer> {
    match options.protocol {
        Protocol::Amqp => Box::new(AmqpPeer::consumer(&options.flow(), number)),
        Protocol::Redis => Box::new(redis::RedisConsumer::new(options)),
        Protocol::Nats => Box::new(nats::NatsPeer::consumer(options)),
        Protocol::Jetstream => Box::new(jetstream::JetstreamPeer::consumer(options)),
        Protocol::Bare => unreachable!("nothing is consumed there"),
    }
}
