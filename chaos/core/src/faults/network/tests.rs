//! Each fault of a link with real sockets at both ends.

use super::*;
use crate::error::Error;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

const LIMIT: Duration = Duration::from_secs(10);
/// Long enough for a byte to get through where nothing holds it.
const A_WHILE: Duration = Duration::from_millis(150);

/// A proxy, both ends of one connection through it, and the listener behind it.
struct Rig {
    proxy: Proxy,
    client: TcpStream,
    server: TcpStream,
    listener: TcpListener,
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.expect("it happens within ten seconds")
}

async fn rig() -> Rig {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let proxy = Proxy::start(listener.local_addr().expect("it is bound"), 7).expect("a proxy");
    let client = TcpStream::connect(proxy.address()).await.expect("the proxy accepts");
    let (server, _) = soon(listener.accept()).await.expect("the proxy connects");
    Rig { proxy, client, server, listener }
}

impl Rig {
    fn set(&self, direction: Direction, passage: Passage) {
        self.proxy.change(direction, |shape| shape.passage = passage);
    }

    async fn arrives(&mut self, text: &[u8]) -> Duration {
        arrives(&mut self.client, &mut self.server, text).await
    }

    async fn comes_back(&mut self, text: &[u8]) -> Duration {
        arrives(&mut self.server, &mut self.client, text).await
    }
}

/// Sends from one end and waits for it at the other.
async fn arrives(from: &mut TcpStream, to: &mut TcpStream, text: &[u8]) -> Duration {
    let start = Instant::now();
    from.write_all(text).await.expect("the proxy reads");
    read(to, text).await;
    start.elapsed()
}

async fn read(from: &mut TcpStream, text: &[u8]) {
    let mut answer = vec![0; text.len()];
    soon(from.read_exact(&mut answer)).await.expect("it arrives");
    assert_eq!(answer, text);
}

async fn hears_nothing(stream: &mut TcpStream) {
    let heard = timeout(A_WHILE, stream.read(&mut [0; 8])).await;
    assert!(heard.is_err(), "{heard:?}");
}

async fn is_reset(stream: &mut TcpStream) {
    let ended = soon(stream.read(&mut [0; 8])).await;
    assert_eq!(ended.expect_err("no mere end").kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn with_nothing_set_bytes_and_both_ends_go_through_undelayed() {
    let mut rig = rig().await;
    rig.arrives(b"to").await;
    rig.comes_back(b"back").await;
    rig.client.shutdown().await.expect("half-closed");
    assert_eq!(soon(rig.server.read(&mut [0; 8])).await.expect("an orderly end"), 0);
    rig.comes_back(b"the other half is open").await;
    rig.server.shutdown().await.expect("half-closed");
    assert_eq!(soon(rig.client.read(&mut [0; 8])).await.expect("an orderly end"), 0);
    let tally = rig.proxy.tally(Direction::Forward);
    assert_eq!(tally, Tally { bytes_passed: 2, ..Tally::default() });
    assert_eq!(rig.proxy.connections(), Connections { accepted: 1, ..Connections::default() });
}

#[tokio::test]
async fn each_direction_is_delayed_by_its_own_amount() {
    let mut rig = rig().await;
    rig.proxy.change(Direction::Forward, |shape| shape.delay = Duration::from_millis(60));
    assert!(rig.arrives(b"delayed").await >= Duration::from_millis(60));
    rig.proxy.change(Direction::Backward, |shape| shape.delay = Duration::from_millis(90));
    assert!(rig.comes_back(b"delayed").await >= Duration::from_millis(90));
    let [forward, backward] = Direction::BOTH.map(|direction| rig.proxy.tally(direction));
    assert!(forward.pieces_delayed >= 1 && forward.held_max >= Duration::from_millis(60), "{forward:?}");
    assert!(backward.pieces_delayed >= 1 && backward.held_max >= Duration::from_millis(90), "{backward:?}");
    rig.proxy.forget_longest(Direction::Forward);
    assert_eq!(rig.proxy.tally(Direction::Forward).since(&forward), Tally::default());
}

#[tokio::test]
async fn the_order_is_kept_under_jitter_and_what_is_held_goes_at_once_when_it_ends() {
    let mut rig = rig().await;
    rig.proxy.change(Direction::Forward, |shape| {
        (shape.delay, shape.jitter) = (Duration::from_secs(60), Duration::from_secs(60));
    });
    for letter in b'a'..=b'j' {
        rig.client.write_all(&[letter]).await.expect("the proxy reads");
        sleep(Duration::from_millis(2)).await;
    }
    hears_nothing(&mut rig.server).await;
    rig.proxy.change(Direction::Forward, |shape| *shape = Shape::default());
    rig.client.write_all(b"k").await.expect("the proxy reads");
    read(&mut rig.server, b"abcdefghijk").await;
}

#[tokio::test]
async fn the_same_seed_draws_the_same_jitter() {
    let held = async || {
        let mut rig = rig().await;
        rig.proxy.change(Direction::Forward, |shape| shape.jitter = Duration::from_millis(200));
        rig.arrives(b"x").await
    };
    let [first, second] = [held().await, held().await];
    assert!(first.abs_diff(second) < Duration::from_millis(40), "{first:?} {second:?}");
}

#[tokio::test]
async fn a_line_carries_so_many_bytes_in_a_second() {
    let mut rig = rig().await;
    rig.proxy.change(Direction::Forward, |shape| shape.bytes_per_s = NonZeroU64::new(500_000));
    let took = rig.arrives(&vec![1; 100_000]).await;
    assert!(took >= Duration::from_millis(190), "{took:?}");
    assert!(rig.comes_back(&vec![1; 100_000]).await < took);
}

#[tokio::test]
async fn a_stall_reads_nothing_and_keeps_everything_open() {
    let mut rig = rig().await;
    rig.set(Direction::Forward, Passage::Stalled);
    rig.client.write_all(b"unread").await.expect("the kernel takes it");
    hears_nothing(&mut rig.server).await;
    rig.comes_back(b"meanwhile").await;
    assert_eq!(rig.proxy.tally(Direction::Forward), Tally { connections_unread: 1, ..Tally::default() });
    rig.set(Direction::Forward, Passage::Open);
    read(&mut rig.server, b"unread").await;
}

#[tokio::test]
async fn a_stall_closes_the_senders_window() {
    let mut rig = rig().await;
    rig.set(Direction::Forward, Passage::Stalled);
    let block = vec![0; 1 << 20];
    let written = timeout(Duration::from_secs(2), async {
        for _ in 0..64 {
            rig.client.write_all(&block).await.expect("still open");
        }
    });
    assert!(written.await.is_err(), "64 MiB went nowhere");
    assert_eq!(rig.proxy.tally(Direction::Forward).bytes_passed, 0);
}

#[tokio::test]
async fn a_cut_of_one_direction_lets_nothing_pass_that_way_until_it_heals() {
    let mut rig = rig().await;
    rig.arrives(b"before").await;
    let before = rig.proxy.tally(Direction::Forward);
    rig.set(Direction::Forward, Passage::Cut);
    rig.client.write_all(b"late").await.expect("the proxy reads");
    rig.client.shutdown().await.expect("half-closed");
    hears_nothing(&mut rig.server).await;
    rig.comes_back(b"this way is open").await;
    let during = rig.proxy.tally(Direction::Forward).since(&before);
    assert_eq!((during.bytes_passed, during.bytes_withheld), (0, 4));
    rig.set(Direction::Forward, Passage::Open);
    read(&mut rig.server, b"late").await;
    assert_eq!(soon(rig.server.read(&mut [0; 8])).await.expect("the end was kept too"), 0);
}

#[tokio::test]
async fn what_a_cut_keeps_is_bounded() {
    let mut rig = rig().await;
    rig.set(Direction::Forward, Passage::Cut);
    let block = vec![0; 1 << 20];
    let written = timeout(Duration::from_secs(3), async {
        for _ in 0..64 {
            rig.client.write_all(&block).await.expect("still open");
        }
    });
    assert!(written.await.is_err(), "64 MiB went nowhere");
    let kept = rig.proxy.tally(Direction::Forward).bytes_withheld;
    assert!(kept < (held::HELD_BYTES_MAX + (1 << 20)) as u64, "{kept}");
}

#[tokio::test]
async fn new_connections_wait_out_a_cut_and_then_reach_the_target() {
    let rig = rig().await;
    rig.set(Direction::Backward, Passage::Cut);
    let mut client = TcpStream::connect(rig.proxy.address()).await.expect("the kernel answers for the proxy");
    client.write_all(b"hello").await.expect("the kernel takes it");
    assert!(timeout(A_WHILE, rig.listener.accept()).await.is_err());
    assert_eq!(rig.proxy.connections().kept_waiting, 1);
    rig.set(Direction::Backward, Passage::Open);
    let (mut server, _) = soon(rig.listener.accept()).await.expect("the proxy connects");
    read(&mut server, b"hello").await;
}

#[tokio::test]
async fn swallowed_bytes_are_gone_nobody_is_told_and_the_hole_becomes_a_reset() {
    let mut rig = rig().await;
    rig.set(Direction::Forward, Passage::Swallowing);
    rig.client.write_all(b"gone").await.expect("the proxy reads");
    hears_nothing(&mut rig.server).await;
    rig.comes_back(b"half open").await;
    let tally = rig.proxy.tally(Direction::Forward);
    assert_eq!((tally.bytes_passed, tally.bytes_swallowed), (0, 4));
    rig.set(Direction::Forward, Passage::Open);
    is_reset(&mut rig.client).await;
    is_reset(&mut rig.server).await;
}

#[tokio::test]
async fn a_swallowed_end_leaves_the_other_side_half_open() {
    let Rig { proxy, client, mut server, .. } = rig().await;
    proxy.change(Direction::Forward, |shape| shape.passage = Passage::Swallowing);
    drop(client);
    hears_nothing(&mut server).await;
    proxy.change(Direction::Forward, |shape| shape.passage = Passage::Open);
    is_reset(&mut server).await;
}

#[tokio::test]
async fn a_connection_that_lost_nothing_survives_swallowing() {
    let mut rig = rig().await;
    rig.set(Direction::Forward, Passage::Swallowing);
    sleep(A_WHILE).await;
    rig.set(Direction::Forward, Passage::Open);
    rig.arrives(b"still here").await;
}

#[tokio::test]
async fn a_reset_reaches_both_sides_and_is_counted() {
    let mut rig = rig().await;
    assert_eq!(soon(rig.proxy.reset()).await.expect("the proxy lives"), 1);
    is_reset(&mut rig.client).await;
    is_reset(&mut rig.server).await;
    assert_eq!(soon(rig.proxy.reset()).await.expect("the proxy lives"), 0);
    let mut client = TcpStream::connect(rig.proxy.address()).await.expect("it still accepts");
    let (mut server, _) = soon(rig.listener.accept()).await.expect("and connects");
    arrives(&mut client, &mut server, b"anew").await;
}

#[tokio::test]
async fn refused_connections_are_refused_by_the_kernel_and_existing_ones_stay() {
    let mut rig = rig().await;
    soon(rig.proxy.refuse(true)).await.expect("the port stays reserved");
    let refused = TcpStream::connect(rig.proxy.address()).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    rig.arrives(b"an old friend").await;
    soon(rig.proxy.refuse(false)).await.expect("the port is still ours");
    TcpStream::connect(rig.proxy.address()).await.expect("somebody listens again");
}

#[tokio::test]
async fn what_one_side_sees_of_the_other_is_what_happened() {
    // A reset of the server is a reset for the client, in its turn behind the data.
    let Rig { proxy, mut client, server, .. } = rig().await;
    proxy.change(Direction::Backward, |shape| shape.delay = Duration::from_millis(50));
    server.try_write(b"last").expect("the kernel takes it");
    sleep(Duration::from_millis(20)).await;
    server.set_zero_linger().expect("it is open");
    drop(server);
    read(&mut client, b"last").await;
    is_reset(&mut client).await;
    // A target that is not there is seen as a reset too.
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let proxy = Proxy::start(address, 7).expect("a proxy");
    // The reset may come before the handshake's end was noticed.
    match TcpStream::connect(proxy.address()).await {
        Ok(mut client) => is_reset(&mut client).await,
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[tokio::test]
async fn several_things_are_done_at_once() {
    let mut rig = rig().await;
    rig.proxy.change(Direction::Forward, |shape| {
        shape.delay = Duration::from_millis(100);
        shape.bytes_per_s = NonZeroU64::new(500_000);
    });
    assert!(rig.arrives(&vec![1; 50_000]).await >= Duration::from_millis(195));
    rig.proxy.change(Direction::Forward, |shape| shape.delay = Duration::ZERO);
    assert_eq!(rig.proxy.shape(Direction::Forward).bytes_per_s, NonZeroU64::new(500_000));
}

#[tokio::test]
async fn a_dropped_proxy_closes_its_connections() {
    let Rig { proxy, mut client, .. } = rig().await;
    drop(proxy);
    let ended = soon(client.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(0) | Err(_)));
}

#[test]
fn other_machines_are_refused() {
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 7222));
    assert!(matches!(Proxy::start(elsewhere, 0), Err(Error::NotLoopback(address)) if address == elsewhere));
}
