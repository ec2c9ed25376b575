//! Tests of the availability machine.

mod dual;
mod paths;
mod simulation;

use super::*;

const MS: Nanos = 1_000_000;
const HEARTBEAT: Nanos = 100 * MS;
const ACTIVATION: Nanos = 300 * MS;
const PEER: &str = "tcp://other:7222";

fn config(paired: bool) -> HaConfig {
    HaConfig {
        peer_url: paired.then(|| PEER.to_owned()),
        heartbeat: HEARTBEAT,
        activation: ACTIVATION,
        takeover_by_link: false,
        lock_file: "meta.db".to_owned(),
        server: "EMS-SERVER".to_owned(),
        process_id: 17,
    }
}
