//! A broker of a few hundred lines for the generator's tests: one queue in memory, shared by two servers of which one is
//! active, with faults and bugs to order. It speaks through the `amqp` crate's server role.

mod peer;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use loadgen::options::{Limit, Options, Url};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A message in the queue: its encoding, and whether it may have been delivered before.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// The message as it was sent.
    pub(crate) payload: Vec<u8>,
    /// To be marked when it is delivered.
    pub(crate) redelivered: bool,
}

/// What the broker is to do wrong, each thing counted in messages accepted or acknowledged since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders {
    /// Login that is required (SASL PLAIN); any other is refused.
    pub(crate) login: Option<(String, String)>,
    /// Confirm the message with this number, and drop it.
    pub(crate) drop_confirmed: Option<u64>,
    /// Exchange the message with this number and its successor.
    pub(crate) swap: Option<u64>,
    /// Put the message with this number into the queue twice, unmarked.
    pub(crate) duplicate: Option<u64>,
    /// Put the message with this number back, marked, after its acknowledgement was confirmed.
    pub(crate) resurrect: Option<u64>,
    /// Flip a bit of the payload of the message with this number.
    pub(crate) corrupt: Option<u64>,
    /// Reject the message with this number as too much for the queue.
    pub(crate) reject: Option<u64>,
    /// Cut the connection that brings the message with this number, after storing it and before confirming it.
    pub(crate) cut_at: Option<u64>,
    /// Hold back every confirmation for this long.
    pub(crate) confirm_delay: Duration,
    /// Take no new message while this is set: producers get no credit beyond the first.
    pub(crate) credit: Option<u32>,
    /// Refuse links to this address as not found.
    pub(crate) unknown_address: Option<String>,
}

/// The queue, and what has been done.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) queue: VecDeque<Stored>,
    pub(crate) accepted: u64,
    pub(crate) acknowledged: u64,
    pub(crate) connections: u64,
    pub(crate) refused_as_standby: u64,
    pub(crate) largest_message: usize,
}

/// What all connections of all servers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) orders: Orders,
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the lock held")
    }
}

/// One server of a pair.
#[derive(Debug)]
struct Server {
    address: SocketAddr,
    active: Arc<AtomicBool>,
    /// Raised to cut all connections.
    kills: watch::Sender<u64>,
}

/// The pair and its queue.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) shared: Arc<Shared>,
    servers: Vec<Server>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Starts two servers, of which the one with the number `active` is active.
    pub(crate) fn start(orders: Orders, active: usize) -> Self {
        let shared = Arc::new(Shared { orders, state: Mutex::default() });
        let (stop, mut stopped) = watch::channel(false);
        let listeners: Vec<std::net::TcpListener> =
            (0..2).map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let servers: Vec<Server> = listeners
            .iter()
            .enumerate()
            .map(|(number, listener)| Server {
                address: listener.local_addr().expect("bound"),
                active: Arc::new(AtomicBool::new(number == active)),
                kills: watch::channel(0).0,
            })
            .collect();
        let parts: Vec<_> =
            servers.iter().map(|server| (Arc::clone(&server.active), server.kills.subscribe())).collect();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                for (listener, (active, kills)) in listeners.into_iter().zip(parts) {
                    tokio::spawn(accept(listener, Arc::clone(&of_thread), active, kills));
                }
                stopped.wait_for(|stop| *stop).await.expect("the broker outlives its thread");
            });
        });
        Self { shared, servers, stop, thread: Some(thread) }
    }

    /// The servers' URLs, in their order.
    pub(crate) fn urls(&self) -> Vec<Url> {
        let url = |server: &Server| format!("amqp://{}", server.address).parse().expect("a URL");
        self.servers.iter().map(url).collect()
    }

    /// The same as an argument of a command line.
    pub(crate) fn url_list(&self) -> String {
        self.urls().iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// Cuts all connections of a server; from now on it is not active.
    pub(crate) fn kill(&self, number: usize) {
        self.servers[number].active.store(false, Ordering::SeqCst);
        self.servers[number].kills.send_modify(|kills| *kills += 1);
    }

    /// Makes a server active.
    pub(crate) fn activate(&self, number: usize) {
        self.servers[number].active.store(true, Ordering::SeqCst);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the test broker panicked");
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    active: Arc<AtomicBool>,
    kills: watch::Receiver<u64>,
) {
    listener.set_nonblocking(true).expect("a socket");
    let listener = TcpListener::from_std(listener).expect("a socket");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (shared, mut kills) = (Arc::clone(&shared), kills.clone());
        kills.mark_unchanged();
        shared.state().connections += 1;
        let is_active = active.load(Ordering::SeqCst);
        tokio::spawn(async move {
            let mut peer = peer::Peer::new(stream, Arc::clone(&shared), is_active);
            tokio::select! {
                () = peer.run() => {}
                // A dropped broker is a kill, too.
                _ = kills.changed() => {}
            }
            peer.give_back();
        });
    }
}

/// A run against the broker that is over soon: open loop, two producers, one consumer that confirms.
pub(crate) fn options(broker: &Broker) -> Options {
    Options {
        urls: broker.urls(),
        addresses: vec!["q".to_owned()],
        producers: 2,
        consumers: 1,
        limit: Limit::Count(2_000),
        rate: "4000".parse().expect("a rate"),
        payload_bytes: 256,
        window: 200,
        credit: 200,
        ack: loadgen::options::Ack::Confirmed,
        connect_timeout: Duration::from_secs(2),
        reconnect_max: Duration::from_millis(40),
        ..Options::default()
    }
}
