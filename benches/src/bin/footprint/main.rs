//! What a broker's memory holds for each idle connection, each queue and each queued message; and that so many of them work.
//!
//! Owns the three measurements. Each gets a broker of its own (`server`), so that what one leaves behind does not help the next. Prints one JSON
//! object; fails if anything does not work.

mod client;
mod server;

use anyhow::{Context, Result, ensure};
use benches::{AmqpPeer, Flow};
use clap::Parser;
use client::{Client, Idle};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use server::Server;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of a small message's body.
const BODY_BYTES: usize = 16;
/// Messages that the sender has in flight.
const WINDOW: usize = 1000;
/// After the last answer, for what the broker does behind it.
const PAUSE: Duration = Duration::from_millis(500);

/// Measures a broker's memory.
#[derive(Debug, Parser)]
struct Options {
    /// The broker.
    #[arg(long, default_value = "target/release/broker")]
    broker: PathBuf,
    /// Where it keeps its data: below this folder, for the time of the measurement.
    #[arg(long, default_value = "target")]
    store: PathBuf,
    /// Idle connections: opened, with a session.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Queues, with one message each.
    #[arg(long, default_value_t = 10_000)]
    queues: usize,
    /// Persistent messages in one queue, without a consumer.
    #[arg(long, default_value_t = 1_000_000)]
    messages: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("cannot open as many files as the system allows")?;
    let result = json!({
        "connections": options.connections,
        "connection_bytes": connections(&options)?,
        "queues": options.queues,
        "queue_bytes": queues(&options)?,
        "messages": options.messages,
        "body_bytes": BODY_BYTES,
        "message_bytes_besides_body": messages(&options)?,
    });
    println!("{result}");
    Ok(())
}

fn flow(queue: String) -> Flow {
    Flow { queue, bytes: BODY_BYTES, settled: false }
}

/// Bytes of the broker's memory per idle connection.
fn connections(options: &Options) -> Result<Value> {
    let server = Server::start(&options.broker, &options.store)?;
    let open = |number: usize| Client::connect(server.address, Idle::new(number));
    let first = open(0)?;
    let before = server.memory_bytes()?;
    let idle = (1..=options.connections).map(open).collect::<Result<Vec<_>>>()?;
    std::thread::sleep(PAUSE);
    let each = per(before, server.memory_bytes()?, options.connections);
    // With all of them open a message still comes through.
    pass_one(&server, "beside")?;
    drop((first, idle));
    Ok(each)
}

/// Bytes of the broker's memory per queue with one message in it.
fn queues(options: &Options) -> Result<Value> {
    let server = Server::start(&options.broker, &options.store)?;
    pass_one(&server, "first")?;
    let before = server.memory_bytes()?;
    for number in 0..options.queues {
        send(&server, &format!("queue.{number}"), 1)?;
    }
    std::thread::sleep(PAUSE);
    let each = per(before, server.memory_bytes()?, options.queues);
    for number in 0..options.queues {
        receive_one(&server, &format!("queue.{number}"))?;
    }
    Ok(each)
}

/// Bytes of the broker's memory per queued message, besides its body.
fn messages(options: &Options) -> Result<Value> {
    let server = Server::start(&options.broker, &options.store)?;
    send(&server, "queue", WINDOW)?;
    let before = server.memory_bytes()?;
    send(&server, "queue", options.messages)?;
    std::thread::sleep(PAUSE);
    let each = per(before, server.memory_bytes()?, options.messages);
    Ok(json!(each.as_f64().context("a quotient")? - BODY_BYTES as f64))
}

fn per(before: u64, after: u64, count: usize) -> Value {
    json!((after.saturating_sub(before) as f64 / count as f64 * 10.0).round() / 10.0)
}

fn pass_one(server: &Server, queue: &str) -> Result<()> {
    send(server, queue, 1)?;
    receive_one(server, queue)
}

/// Sends messages and waits until all are confirmed.
fn send(server: &Server, queue: &str, count: usize) -> Result<()> {
    let mut client = Client::connect(server.address, AmqpPeer::producer(&flow(queue.to_owned()), 0))?;
    let mut sent = 0;
    while client.total.confirmed < count {
        sent += client.send((count - sent).min(WINDOW + client.total.confirmed - sent));
        client.turn()?;
    }
    Ok(())
}

fn receive_one(server: &Server, queue: &str) -> Result<()> {
    let mut client = Client::connect(server.address, AmqpPeer::consumer(&flow(queue.to_owned()), 0))?;
    while client.total.received == 0 {
        client.turn()?;
    }
    let received = client.total.received;
    ensure!(received == 1, "{queue}: {received} messages came, one was sent");
    client.flush()
}
