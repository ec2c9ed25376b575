//! The files that the harness writes are files that the broker understands, to the last parameter.

use broker::config;
use chaos_core::cluster::{Addresses, NodeId, Setup, write_configuration};
use chaos_core::plan::PairPlan;

#[test]
fn the_broker_takes_the_configuration_without_a_remark() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plan = PairPlan::default();
    let at = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let listen = [vec![at(7222)], vec![at(7224), at(7225)]];
    let addresses = Addresses { listen, peer: [at(9001), at(9002)], clients: [at(9003), at(9004)] };
    let stores = [folder.path().join("store"), folder.path().join("store")];
    let paths = write_configuration(folder.path(), &stores, &plan, &addresses, &Setup::default());
    let paths = paths.expect("the folder is ours");
    for (node, path) in NodeId::BOTH.into_iter().zip(&paths) {
        let (meant, remarks) = config::load(path, &[], true).expect("no errors");
        assert!(remarks.is_empty(), "{remarks:?}");
        let name = node.name();
        let ft = meant.ft.as_ref().expect("it is one of a pair");
        assert_eq!(meant.ft_heartbeat_ns, plan.ft_heartbeat_ms * 1_000_000, "{name}");
        assert_eq!(meant.ft_activation_ns, plan.ft_activation_ms * 1_000_000, "{name}");
        assert_eq!(meant.segment_bytes, plan.segment_bytes, "{name}");
        assert_eq!(meant.async_flush_interval_ns, plan.async_flush_interval_ms * 1_000_000, "{name}");
        assert_eq!(meant.async_unflushed_max, plan.async_unflushed_bytes_max, "{name}");
        assert!(ft.peer_url.contains(if node == NodeId::A { "9001" } else { "9002" }), "{}", ft.peer_url);
    }
}
