//! Real namespaces, where the machine allows them: who reaches whom, and that nothing is left.

use super::rules::{Cut, Manner, Packets, Rules};
use super::*;
use crate::cluster::links::{Side, Way};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(300);

/// Hosts, or none where there cannot be any.
fn hosts() -> Option<Hosts> {
    if let Some(reason) = unavailable() {
        eprintln!("skipped: {reason}");
        return None;
    }
    Some(Hosts::create().expect("it was just tried"))
}

/// Runs on a thread of its own, since a thread stays in the namespace that it entered.
fn within<T: Send>(hosts: &Hosts, node: NodeId, work: impl FnOnce() -> T + Send) -> T {
    let namespace = hosts.namespace(node);
    let run = || {
        crate::node::enter(namespace).expect("it exists");
        work()
    };
    std::thread::scope(|scope| scope.spawn(run).join().expect("it does not panic"))
}

fn listen(hosts: &Hosts, node: NodeId, address: Ipv4Addr) -> (TcpListener, SocketAddr) {
    within(hosts, node, || {
        let listener = TcpListener::bind((address, 0)).expect("the host has this address");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    })
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&address, SHORT)
}

fn cut(hosts: &Hosts, host: NodeId, side: Side, way: Way, manner: Manner) -> Rules {
    Rules::enforce(hosts, &Cut { host, side, way, manner }).expect("the rules were tried")
}

#[test]
fn clients_reach_both_hosts_and_the_hosts_reach_each_other() {
    let Some(hosts) = hosts() else { return };
    for node in NodeId::BOTH {
        let (_clients, address) = listen(&hosts, node, hosts.client_address(node));
        connect(address).expect("clients get through");
        let (_peers, address) = listen(&hosts, node, hosts.peer_address(node));
        within(&hosts, node.peer(), || connect(address).map(drop)).expect("the peer gets through");
        connect(address).expect_err("that link is not the clients'");
    }
}

#[test]
fn a_cut_stops_what_it_names_and_nothing_else() {
    let Some(hosts) = hosts() else { return };
    let (_clients, for_clients) = listen(&hosts, NodeId::A, hosts.client_address(NodeId::A));
    let (_peers, for_peer) = listen(&hosts, NodeId::A, hosts.peer_address(NodeId::A));
    let peer_connects = || within(&hosts, NodeId::B, || connect(for_peer).map(drop));

    let rules = cut(&hosts, NodeId::A, Side::Peer, Way::Both, Manner::Drop);
    assert_eq!(peer_connects().expect_err("cut off").kind(), ErrorKind::TimedOut);
    connect(for_clients).expect("clients are not meant");
    let packets = rules.remove().expect("they are there");
    assert!(packets.stopped >= 1 && packets.passed == 0, "{packets:?}");
    peer_connects().expect("healed");

    let rules = cut(&hosts, NodeId::A, Side::Clients, Way::Out, Manner::Drop);
    assert_eq!(connect(for_clients).expect_err("its answers vanish").kind(), ErrorKind::TimedOut);
    peer_connects().expect("the peer is not meant");
    assert!(rules.packets().expect("they are there").stopped >= 1);

    // Both at once: each is removed by itself.
    let second = cut(&hosts, NodeId::A, Side::Everything, Way::In, Manner::Reject);
    assert_eq!(peer_connects().expect_err("rejected").kind(), ErrorKind::ConnectionRefused);
    rules.remove().expect("they are there");
    assert_eq!(connect(for_clients).expect_err("still rejected").kind(), ErrorKind::ConnectionRefused);
    assert_eq!(second.remove().expect("they are there").passed, 0);
    connect(for_clients).expect("healed");
}

#[test]
fn a_host_that_sends_into_a_cut_is_not_told() {
    let Some(hosts) = hosts() else { return };
    let (_peers, for_peer) = listen(&hosts, NodeId::B, hosts.peer_address(NodeId::B));
    let rules = cut(&hosts, NodeId::A, Side::Everything, Way::Out, Manner::Drop);
    let error = within(&hosts, NodeId::A, || connect(for_peer).map(drop)).expect_err("cut off");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let packets = rules.remove().expect("they are there");
    assert_eq!(packets.passed, 0);
    assert_ne!(packets, Packets::default());
}

#[test]
fn nothing_is_left_and_what_a_dead_harness_left_is_removed() {
    let Some(hosts) = hosts() else { return };
    let own = NodeId::BOTH.map(|node| hosts.namespace(node).to_owned());
    let addresses = NodeId::BOTH.map(|node| hosts.subnet.harness(node));
    let exists = |name: &str| std::path::Path::new("/run/netns").join(name).exists();
    assert!(own.iter().all(|name| exists(name)));
    let left = format!("understudy-{}-1-0-A", i32::MAX);
    tools::run("ip", &["netns", "add", &left], "").expect("root may");
    let others = Hosts::create().expect("it was tried");
    assert!(!exists(&left));
    assert!(own.iter().all(|name| exists(name)), "their owner lives");
    drop((hosts, others));
    assert!(!own.iter().any(|name| exists(name)));
    // The kernel takes interfaces down behind the namespace's removal.
    let deadline = Instant::now() + Duration::from_secs(5);
    let has = |address: &Ipv4Addr| {
        let listed = tools::run("ip", &["-4", "-o", "address", "show", "to", &address.to_string()], "");
        !listed.expect("anybody may ask").is_empty()
    };
    while addresses.iter().any(has) {
        assert!(Instant::now() < deadline, "an interface is left");
        std::thread::sleep(Duration::from_millis(50));
    }
}
