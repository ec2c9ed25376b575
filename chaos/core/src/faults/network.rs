//! A TCP proxy on 127.0.0.1 that delays each direction by an amount which may change while it runs, and never reorders.
//!
//! Owns one listener and the connections through it. It does not drop, cut or shape: those are other faults.

use super::{Bite, Effect, Scene};
use crate::clock;
use crate::error::{Doing, Error, Result};
use crate::plan::PairPlan;
use crate::scenario::Amount;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// What can be done to a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum NetworkFault {
    /// Each direction is held back.
    Delay {
        /// By how much.
        amount: Amount,
    },
}

impl NetworkFault {
    /// The names under which scenarios know them.
    pub const NAMES: &[&str] = &["delay"];

    /// What it is called in reports.
    pub(super) fn words(&self, settings: &PairPlan) -> String {
        let Self::Delay { amount } = self;
        format!("delay {} ms", amount.duration(settings).as_millis())
    }

    pub(super) async fn inject(&self, scene: &mut Scene<'_>) -> Result<Bite> {
        let Self::Delay { amount } = self;
        let delay = amount.duration(scene.settings);
        let proxies = scene.pair.proxies().into_iter().flatten();
        Ok(Bite::of(Effect::join(proxies.map(|proxy| proxy.delay_both(delay)))))
    }

    pub(super) async fn heal(&self, scene: &mut Scene<'_>, _bite: &mut Bite) -> Result<u64> {
        for proxy in scene.pair.proxies().into_iter().flatten() {
            proxy.delay_both(Duration::ZERO);
        }
        Ok(clock::now_ns())
    }

    pub(super) async fn examine(&self, scene: &mut Scene<'_>, bite: &mut Bite) -> Result<()> {
        let Self::Delay { amount } = self;
        let found = scene.pair.proxies().into_iter().flatten().map(Proxy::evidence);
        let (pieces, held) = found.fold((0, Duration::ZERO), |sum, one| (sum.0 + one.0, sum.1.max(one.1)));
        let words = format!("the proxies held back {pieces} pieces, one of them for {} ms", held.as_millis());
        // What is held back is looked at again when the amount changes, so the last pieces may have left sooner.
        if held < amount.duration(scene.settings) / 2 {
            bite.withdraw(words)
        } else {
            bite.evidence.push(words)
        }
        Ok(())
    }
}

/// Pieces that one direction of one connection holds back; a full queue stops reading, so the sender's window closes.
const HELD_PIECES_MAX: usize = 4096;
/// Largest piece read at once, bytes.
const PIECE_BYTES: usize = 16 << 10;

/// From the side that connected, or towards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the connecting side to the target.
    Forward,
    /// From the target back.
    Backward,
}

/// What happened in one direction, over all connections: the evidence of a delay.
#[derive(Debug, Default)]
struct Counters {
    pieces_delayed: AtomicU64,
    bytes: AtomicU64,
    held_us_max: AtomicU64,
}

/// One direction: its delay and what came of it.
#[derive(Debug)]
struct Lane {
    delay: watch::Sender<Duration>,
    counters: Counters,
}

impl Lane {
    fn new() -> Arc<Self> {
        Arc::new(Self { delay: watch::Sender::new(Duration::ZERO), counters: Counters::default() })
    }
}

/// A running proxy; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    forward: Arc<Lane>,
    backward: Arc<Lane>,
    acceptor: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards each connection to `target`, which must be on this machine.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        if !target.ip().is_loopback() {
            return Err(Error::NotLoopback(target));
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.doing("listen for the proxy")?;
        let address = listener.local_addr().doing("read the proxy's port")?;
        let (forward, backward) = (Lane::new(), Lane::new());
        let acceptor = tokio::spawn(accept(listener, target, Arc::clone(&forward), Arc::clone(&backward)));
        Ok(Self { address, forward, backward, acceptor })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the delay of one direction. A shorter one also lets go earlier what is held back already.
    pub fn set_delay(&self, direction: Direction, delay: Duration) {
        self.lane(direction).delay.send_replace(delay);
    }

    /// Sets the delay of both directions and returns the moment.
    pub fn delay_both(&self, delay: Duration) -> Effect {
        let requested_ns = clock::now_ns();
        self.set_delay(Direction::Forward, delay);
        self.set_delay(Direction::Backward, delay);
        let proof = format!("proxy {} holds back each direction by {} ms", self.address, delay.as_millis());
        Effect { requested_ns, effective_ns: clock::now_ns(), proof }
    }

    /// Pieces that were held back, and the longest time that one was, since the start, both directions together.
    pub fn evidence(&self) -> (u64, Duration) {
        let lanes = [&self.forward, &self.backward];
        let pieces = lanes.iter().map(|lane| lane.counters.pieces_delayed.load(Ordering::Relaxed)).sum();
        let held_us = lanes.iter().map(|lane| lane.counters.held_us_max.load(Ordering::Relaxed)).max().unwrap_or(0);
        (pieces, Duration::from_micros(held_us))
    }

    /// Bytes that went through in one direction.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.lane(direction).counters.bytes.load(Ordering::Relaxed)
    }

    fn lane(&self, direction: Direction) -> &Lane {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Backward => &self.backward,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// Each connection is a task of the set, so that all of them end with the acceptor.
async fn accept(listener: TcpListener, target: SocketAddr, forward: Arc<Lane>, backward: Arc<Lane>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((near, _)) => {
                    connections.spawn(join(near, target, Arc::clone(&forward), Arc::clone(&backward)));
                }
                // Out of descriptors, or a connection that went away before it was accepted: the next may succeed.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A target that refuses closes the near side too, which is what the connecting side would see without the proxy, one step later.
async fn join(near: TcpStream, target: SocketAddr, forward: Arc<Lane>, backward: Arc<Lane>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    // Without it, small heartbeats would wait for acknowledgements; a failure costs only that.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::join!(pump(near_read, far_write, forward), pump(far_read, near_write, backward));
}

/// Reads on while earlier pieces are held back. An end or an error of the source is passed on as an end, in its turn.
async fn pump(mut source: OwnedReadHalf, sink: OwnedWriteHalf, lane: Arc<Lane>) {
    let (sender, receiver) = mpsc::channel(HELD_PIECES_MAX);
    let read = async move {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = source.read(&mut buffer).await {
            if sender.send((Instant::now(), Bytes::copy_from_slice(&buffer[..count]))).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(read, release(receiver, sink, lane));
}

async fn release(mut held: mpsc::Receiver<(Instant, Bytes)>, mut sink: OwnedWriteHalf, lane: Arc<Lane>) {
    let mut delay = lane.delay.subscribe();
    while let Some((arrived, piece)) = held.recv().await {
        let was_held = hold(arrived, &mut delay).await;
        if was_held {
            let held_us = arrived.elapsed().as_micros() as u64;
            lane.counters.pieces_delayed.fetch_add(1, Ordering::Relaxed);
            lane.counters.held_us_max.fetch_max(held_us, Ordering::Relaxed);
        }
        if sink.write_all(&piece).await.is_err() {
            return;
        }
        lane.counters.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    // The other side may have closed first; then there is nobody to tell.
    let _ = sink.shutdown().await;
}

/// Waits until `arrived` plus whatever the delay is by then; says whether it had to wait.
async fn hold(arrived: Instant, delay: &mut watch::Receiver<Duration>) -> bool {
    let mut waited = false;
    loop {
        let due = arrived + *delay.borrow_and_update();
        if due <= Instant::now() {
            return waited;
        }
        waited = true;
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            changed = delay.changed() => if changed.is_err() { return waited },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    async fn echo_server() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = socket.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn proxied() -> (Proxy, TcpStream) {
        let proxy = Proxy::start(echo_server().await).await.expect("a proxy");
        let client = TcpStream::connect(proxy.address()).await.expect("the proxy accepts");
        (proxy, client)
    }

    async fn round_trip(client: &mut TcpStream, text: &[u8]) -> Duration {
        let start = Instant::now();
        client.write_all(text).await.expect("the proxy reads");
        let mut answer = vec![0; text.len()];
        client.read_exact(&mut answer).await.expect("the echo comes back");
        assert_eq!(answer, text);
        start.elapsed()
    }

    #[tokio::test]
    async fn each_direction_is_delayed_by_its_own_amount() {
        let (proxy, mut client) = proxied().await;
        round_trip(&mut client, b"undelayed").await;
        assert_eq!(proxy.evidence().0, 0);
        proxy.set_delay(Direction::Forward, Duration::from_millis(60));
        proxy.set_delay(Direction::Backward, Duration::from_millis(90));
        assert!(round_trip(&mut client, b"delayed").await >= Duration::from_millis(150));
        let (pieces, held) = proxy.evidence();
        assert!(pieces >= 2 && held >= Duration::from_millis(90), "{pieces} {held:?}");
        assert_eq!(proxy.bytes(Direction::Forward), 16);
    }

    #[tokio::test]
    async fn the_order_is_kept_when_the_delay_shrinks_and_what_is_held_goes_at_once() {
        let (proxy, mut client) = proxied().await;
        proxy.set_delay(Direction::Forward, Duration::from_secs(60));
        for letter in b'a'..=b'j' {
            client.write_all(&[letter]).await.expect("the proxy reads");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let healed = Instant::now();
        proxy.set_delay(Direction::Forward, Duration::ZERO);
        client.write_all(b"k").await.expect("the proxy reads");
        let mut answer = [0; 11];
        client.read_exact(&mut answer).await.expect("everything arrives");
        assert_eq!(&answer, b"abcdefghijk");
        assert!(healed.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn the_end_of_one_side_reaches_the_other_behind_its_data() {
        let (proxy, mut client) = proxied().await;
        proxy.set_delay(Direction::Forward, Duration::from_millis(50));
        client.write_all(b"last words").await.expect("the proxy reads");
        client.shutdown().await.expect("half-closed");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("the echo ends");
        assert_eq!(answer, b"last words");
    }

    #[tokio::test]
    async fn a_dropped_proxy_closes_its_connections() {
        let (proxy, mut client) = proxied().await;
        round_trip(&mut client, b"x").await;
        drop(proxy);
        let mut answer = [0; 1];
        let ended = tokio::time::timeout(Duration::from_secs(5), client.read(&mut answer)).await.expect("closed soon");
        assert!(matches!(ended, Ok(0) | Err(_)));
    }

    #[tokio::test]
    async fn other_machines_are_refused() {
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], 7222));
        assert!(matches!(Proxy::start(elsewhere).await, Err(Error::NotLoopback(address)) if address == elsewhere));
    }
}
