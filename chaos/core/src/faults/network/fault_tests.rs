//! Faults by their names on real links, from the table of a scenario to the evidence.

use super::fault::{Healed, NetworkFault, Target};
use crate::cluster::NodeId;
use crate::cluster::links::Links;
use crate::error::{Error, Result};
use crate::faults::{Bite, Held};
use crate::plan::PairPlan;
use crate::scenario::{Role, Wiring};
use serde::Deserialize;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

const A_WHILE: Duration = Duration::from_millis(150);

fn fault(table: &str) -> NetworkFault {
    let table: toml::Table = table.parse().expect("well-formed");
    NetworkFault::deserialize(table).expect("it is a fault")
}

/// Links through proxies, with a server behind each node's address that sends back what it gets.
struct Rig {
    links: Links,
    clients: [SocketAddr; 2],
    peer: [SocketAddr; 2],
}

async fn rig() -> Rig {
    let (links, addresses) = Links::start(Wiring::Proxied, Wiring::Proxied, 7).expect("free ports");
    for listen in &addresses.listen {
        let listener = TcpListener::bind(listen[0]).await.expect("it was free just now");
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = socket.split();
                    // The other side may end it in any way.
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
    }
    Rig { links, clients: addresses.clients, peer: addresses.peer }
}

impl Rig {
    /// Node A is active.
    async fn inflict(&self, table: &str, role: Role) -> Result<Bite> {
        let nodes = match role {
            Role::Active => &[NodeId::A][..],
            Role::Standby => &[NodeId::B],
            Role::Both | Role::Link | Role::Clients => &NodeId::BOTH,
        };
        fault(table).inflict(&Target { links: &self.links, role, nodes, settings: &PairPlan::default() }).await
    }

    async fn heal(&self, bite: Bite) -> Healed {
        let Held::Network(inflicted) = bite.held else { panic!("nothing is in force") };
        inflicted.heal(&self.links).await.expect("the proxies live")
    }
}

fn words(healed: &Healed) -> &str {
    healed.evidence.as_deref().unwrap_or_default()
}

/// Whether a server answers within a moment.
async fn answers(stream: &mut TcpStream) -> bool {
    let exchange = async {
        stream.write_all(b"x").await?;
        stream.read_exact(&mut [0; 1]).await
    };
    timeout(A_WHILE, exchange).await.is_ok_and(|answer| answer.is_ok())
}

async fn connected(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the proxy accepts");
    assert!(answers(&mut stream).await);
    stream
}

#[tokio::test]
async fn a_cut_of_the_link_leaves_clients_alone_and_proves_that_nothing_passed() {
    let rig = rig().await;
    let (mut client, mut peer) = (connected(rig.clients[0]).await, connected(rig.peer[1]).await);
    let cut = rig.inflict("do = 'cut'", Role::Link).await.expect("the link is proxied");
    assert!(!answers(&mut peer).await);
    assert!(answers(&mut client).await);
    let healed = rig.heal(cut).await;
    assert!(healed.has_bitten, "{healed:?}");
    assert!(words(&healed).contains(" 0 bytes passed, 1 were withheld"), "{healed:?}");
    sleep(A_WHILE).await;
    assert_eq!(peer.try_read(&mut [0; 1]).expect("what was withheld came through"), 1);
}

#[tokio::test]
async fn one_way_is_the_servers_way_on_whichever_connection() {
    let rig = rig().await;
    // Node A, which is active, connects through its own proxy; node B through the other.
    for (address, arrives) in [(rig.peer[0], false), (rig.peer[1], true)] {
        let mut stream = connected(address).await;
        let cut = rig.inflict("do = 'cut'\nway = 'out'", Role::Link).await.expect("the link is proxied");
        assert!(!answers(&mut stream).await);
        let healed = rig.heal(cut).await;
        // Either the question or the answer was cut; what A receives got through.
        assert!(healed.has_bitten, "{healed:?} {arrives}");
        assert!(words(&healed).contains(" 1 were withheld"), "{healed:?} {arrives}");
    }
}

#[tokio::test]
async fn a_fault_of_one_servers_clients_is_not_that_of_the_other() {
    let rig = rig().await;
    let (mut first, mut second) = (connected(rig.clients[0]).await, connected(rig.clients[1]).await);
    let drop = rig.inflict("do = 'drop'\nside = 'clients'", Role::Standby).await.expect("clients are proxied");
    assert!(answers(&mut first).await);
    assert!(!answers(&mut second).await);
    assert!(rig.heal(drop).await.has_bitten);
    assert!(!answers(&mut second).await, "the hole became a reset");
    assert!(answers(&mut first).await);
}

#[tokio::test]
async fn a_delay_of_heartbeats_is_for_the_link_whatever_the_role() {
    let rig = rig().await;
    let (mut client, mut peer) = (connected(rig.clients[0]).await, connected(rig.peer[0]).await);
    let table = "do = 'delay-heartbeats'\namount = '0.1 x ft_activation'";
    let delay = rig.inflict(table, Role::Active).await.expect("the link is proxied");
    assert!(answers(&mut client).await);
    assert!(answers(&mut peer).await);
    let healed = rig.heal(delay).await;
    assert!(healed.has_bitten && words(&healed).contains("held back 2 pieces"), "{healed:?}");
    assert_eq!(fault(table).words(&PairPlan::default()), "delay heartbeats 50 ms");
}

#[tokio::test]
async fn a_fault_that_nobody_met_has_not_bitten() {
    let rig = rig().await;
    for table in
        ["do = 'cut'", "do = 'stall'", "do = 'drop'", "do = 'jitter'\namount = '1ms'", "do = 'bandwidth'\nrate = '1kB'"]
    {
        let inflicted = rig.inflict(table, Role::Link).await.expect("the link is proxied");
        assert!(!rig.heal(inflicted).await.has_bitten, "{table}");
    }
    let reset = rig.inflict("do = 'reset'", Role::Both).await.expect("all is proxied");
    assert_eq!(reset.effect, None);
}

#[tokio::test]
async fn resets_and_refusals_are_proved_at_once() {
    let rig = rig().await;
    let mut client = connected(rig.clients[0]).await;
    let refuse = rig.inflict("do = 'refuse'", Role::Clients).await.expect("clients are proxied");
    assert!(refuse.effect.as_ref().is_some_and(|effect| effect.proof.contains("2 of 2")), "{refuse:?}");
    assert!(answers(&mut client).await);
    let reset = rig.inflict("do = 'reset'", Role::Clients).await.expect("clients are proxied");
    assert!(reset.effect.as_ref().is_some_and(|effect| effect.proof.contains("1 connections")), "{reset:?}");
    assert!(!answers(&mut client).await);
    TcpStream::connect(rig.clients[0]).await.expect_err("refused");
    rig.heal(refuse).await;
    connected(rig.clients[0]).await;
}

#[tokio::test]
async fn a_dead_host_is_silent_to_everybody_as_far_as_links_can_be_cut() {
    let rig = rig().await;
    let (mut client, mut peer) = (connected(rig.clients[0]).await, connected(rig.peer[1]).await);
    let mut others_client = connected(rig.clients[1]).await;
    let silence = NetworkFault::of_a_dead_host(&rig.links).expect("all is proxied");
    let settings = &PairPlan::default();
    let target = Target { links: &rig.links, role: Role::Active, nodes: &[NodeId::A], settings };
    let bite = silence.inflict(&target).await.expect("all is proxied");
    for stream in [&mut client, &mut peer] {
        assert!(!answers(stream).await);
        let silent = stream.try_read(&mut [0; 1]).expect_err("neither bytes nor an end");
        assert_eq!(silent.kind(), ErrorKind::WouldBlock);
    }
    assert!(answers(&mut others_client).await);
    assert!(rig.heal(bite).await.has_bitten);
    let (direct, _) = Links::start(Wiring::Direct, Wiring::Direct, 7).expect("free ports");
    assert_eq!(NetworkFault::of_a_dead_host(&direct), None);
}

#[tokio::test]
async fn a_link_that_is_not_there_is_an_error() {
    let (links, _) = Links::start(Wiring::Direct, Wiring::Proxied, 7).expect("free ports");
    let settings = &PairPlan::default();
    let target = Target { links: &links, role: Role::Link, nodes: &NodeId::BOTH, settings };
    assert!(matches!(fault("do = 'cut'").inflict(&target).await, Err(Error::NoLink { .. })));
}

#[test]
fn every_name_is_read_and_mistakes_are_not() {
    for name in NetworkFault::NAMES {
        let amount = if name.contains("delay") || *name == "jitter" { "amount = '10ms'" } else { "" };
        let rate = if *name == "bandwidth" { "rate = '1MB'" } else { "" };
        let read = fault(&format!("do = '{name}'\n{amount}\n{rate}"));
        assert!(!read.words(&PairPlan::default()).is_empty());
        let text = serde_json::to_string(&read).expect("plain data");
        assert_eq!(serde_json::from_str::<NetworkFault>(&text).expect("what was written is read"), read);
    }
    for wrong in
        ["do = 'cut'\nway = 'sideways'", "do = 'reset'\nway = 'out'", "do = 'delay'", "do = 'bandwidth'\nrate = '0'"]
    {
        let table: toml::Table = wrong.parse().expect("well-formed");
        assert!(NetworkFault::deserialize(table).is_err(), "{wrong}");
    }
}
