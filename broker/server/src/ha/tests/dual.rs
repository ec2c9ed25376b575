//! Two machines that are set up as a pair but have a store each: both become active, and one has to leave.

use super::*;

/// One server with a store of its own, which is free and whose newest epoch is `epoch`.
fn active(epoch: u64, lot: u64) -> Ha {
    let mut ha = Ha::new(config(true), lot, 0);
    for input in [
        Input::Start,
        Input::LinkDown { reason: "cut".into() },
        Input::Lock { free: true },
        Input::Claimed { epoch },
        Input::Recovered(Recovered { epoch, ..Recovered::default() }),
    ] {
        ha.handle(0, input);
    }
    while ha.poll().is_some() {}
    assert_eq!(ha.state(), State::Active);
    ha
}

/// Joins two active servers by a link with delays, and lets them talk; how many times each named the other as active, and the exit codes.
fn meet(seed: u64, epochs: [u64; 2], lots: [u64; 2]) -> ([usize; 2], [Option<i32>; 2]) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut servers = [0, 1].map(|index| active(epochs[index], lots[index]));
    let mut flying: Vec<(Nanos, usize, Input)> = Vec::new();
    let (mut named, mut exits) = ([0; 2], [None; 2]);
    let mut now = MS;
    servers.iter_mut().for_each(|server| server.handle(now, Input::LinkUp));
    while now < 5 * ACTIVATION {
        for (index, server) in servers.iter_mut().enumerate() {
            server.handle_timeout(now);
            while let Some(output) = server.poll() {
                match output {
                    Output::SendHeartbeat { state, epoch, lot } => {
                        // A link keeps the order.
                        let last = flying.iter().filter(|(_, to, _)| *to != index).map(|(at, ..)| *at).max();
                        let at = (now + random.u64(MS / 10..20 * MS)).max(last.unwrap_or(0));
                        flying.push((at, 1 - index, Input::PeerState { state, epoch, lot }));
                    }
                    Output::Log(line) => named[index] += usize::from(line.text.contains("Dual-Active server detected")),
                    Output::Exit { code, .. } => exits[index] = Some(code),
                    _ => {}
                }
            }
        }
        now += MS / 2;
        let (due, later): (Vec<_>, Vec<_>) = flying.into_iter().partition(|(at, ..)| *at <= now);
        flying = later;
        for (_, to, input) in due {
            servers[to].handle(now, input);
        }
    }
    (named, exits)
}

#[test]
fn exactly_one_of_two_actives_leaves_and_both_say_why() {
    for seed in 0..500 {
        for (epochs, older) in [([1, 2], 0), ([7, 3], 1), ([1, 1], 0), ([4, 4], 0)] {
            let (named, exits) = meet(seed, epochs, [10, 20]);
            assert_eq!(exits[older], Some(75), "seed {seed}: the older of {epochs:?} leaves");
            assert_eq!(exits[1 - older], None, "seed {seed}: the other of {epochs:?} stays");
            assert_eq!(named[older], 1, "seed {seed}: {epochs:?}");
            assert!(named[1 - older] <= 1, "seed {seed}: it is said once, not at every heartbeat");
        }
    }
}
