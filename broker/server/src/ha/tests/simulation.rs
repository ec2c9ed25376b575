//! Two machines, a store with epochs and a lock, and a link that loses, delays and breaks: many seeds.
//!
//! The store here is the contract of the real one: a claim is for the epoch after the one whose lock was asked for last,
//! and exactly one claimant gets it. What is checked: no claim steals from an owner that is alive and heard, one
//! server is active when the faults have ended, and each epoch has one owner.

use super::*;
use std::collections::BTreeMap;

/// What is on its way.
#[derive(Clone, Debug)]
enum Flying {
    /// For the incarnation that was there when it was sent.
    Input(Input),
    /// A heartbeat on the link with this number; it dies with its link.
    Heartbeat(u32, Input),
    /// A probe that reaches the store.
    Probe,
    /// A claim of this epoch that reaches the store.
    Claim(u64),
    /// A connection attempt that reaches the peer.
    Connect,
    /// The owner writes its heartbeat.
    DiskBeat,
    Kill,
    Restart,
    Pause,
    Resume,
    Cut,
    Mend,
}

#[derive(Debug)]
struct Node {
    ha: Ha,
    /// Differs after each start; what was sent to an earlier one is lost.
    incarnation: u32,
    is_alive: bool,
    is_paused: bool,
    /// Inputs that wait until the pause ends.
    backlog: Vec<Input>,
}

struct World {
    now: Nanos,
    order: u64,
    random: fastrand::Rng,
    /// By time and order of sending: whom it concerns, in which incarnation.
    flying: BTreeMap<(Nanos, u64), (usize, u32, Flying)>,
    nodes: [Node; 2],
    is_linked: bool,
    /// Counts links.
    link: u32,
    is_cut: bool,
    /// Newest epoch, its owner and incarnation, its counter and when that was written.
    newest: u64,
    owner: Option<(usize, u32)>,
    counter: u64,
    beaten: Nanos,
    beaten_before: Nanos,
    /// A dead owner's lock is held until then.
    lock_lingers_until: Nanos,
    /// Newest epoch at each node's last probe.
    probed: [u64; 2],
    claims: u32,
    takeovers_over_a_lock: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut node = || Node {
            ha: Ha::new(config(true), random.u64(..), 0),
            incarnation: 1,
            is_alive: true,
            is_paused: false,
            backlog: Vec::new(),
        };
        let nodes = [node(), node()];
        Self {
            now: 0,
            order: 0,
            random,
            flying: BTreeMap::new(),
            nodes,
            is_linked: false,
            link: 0,
            is_cut: false,
            newest: 0,
            owner: None,
            counter: 0,
            beaten: 0,
            beaten_before: 0,
            lock_lingers_until: 0,
            probed: [0; 2],
            claims: 0,
            takeovers_over_a_lock: 0,
        }
    }

    fn send(&mut self, node: usize, delay: Nanos, what: Flying) {
        self.order += 1;
        let incarnation = self.nodes[node].incarnation;
        self.flying.insert((self.now + delay, self.order), (node, incarnation, what));
    }

    fn disk_delay(&mut self) -> Nanos {
        self.random.u64(MS / 10..3 * MS)
    }

    fn net_delay(&mut self) -> Nanos {
        self.random.u64(MS / 20..2 * MS)
    }

    fn input(&mut self, node: usize, input: Input) {
        let target = &mut self.nodes[node];
        if !target.is_alive {
            return;
        }
        if target.is_paused {
            target.backlog.push(input);
            return;
        }
        target.ha.handle(self.now, input);
        self.drain(node);
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].ha.poll() {
            self.act(node, output);
        }
    }

    fn act(&mut self, node: usize, output: Output) {
        let other = 1 - node;
        match output {
            Output::ConnectPeer => {
                let delay = self.net_delay();
                self.send(node, delay, Flying::Connect);
            }
            Output::DropLink => self.break_link(other),
            Output::SendHeartbeat { state, epoch, lot } => {
                if self.is_linked && !self.is_cut && self.random.u8(..) > 10 {
                    let delay = self.net_delay();
                    self.send(other, delay, Flying::Heartbeat(self.link, Input::PeerState { state, epoch, lot }));
                }
            }
            Output::ProbeLock => {
                let delay = self.disk_delay();
                self.send(node, delay, Flying::Probe);
            }
            Output::Claim => {
                let (delay, epoch) = (self.disk_delay(), self.probed[node] + 1);
                self.send(node, delay, Flying::Claim(epoch));
            }
            Output::StopStore | Output::Exit { .. } => {
                self.die(node);
                let delay = self.random.u64(10 * MS..500 * MS);
                self.send(node, delay, Flying::Restart);
            }
            Output::Reread | Output::Serve | Output::Refuse | Output::Log(_) | Output::Emit(_) => {}
        }
    }

    /// The link is gone; those named hear of it.
    fn break_link(&mut self, who_hears: usize) {
        if std::mem::take(&mut self.is_linked) {
            let delay = self.net_delay();
            self.send(who_hears, delay, Flying::Input(Input::LinkDown { reason: "reset".into() }));
        }
    }

    fn die(&mut self, node: usize) {
        self.break_link(1 - node);
        let dead = &mut self.nodes[node];
        dead.is_alive = false;
        if self.owner == Some((node, dead.incarnation)) {
            self.lock_lingers_until = self.now + self.random.u64(0..60 * MS);
        }
    }

    fn is_lock_held(&self) -> bool {
        let lives = |(node, incarnation): (usize, u32)| {
            self.nodes[node].is_alive && self.nodes[node].incarnation == incarnation
        };
        self.owner.is_some_and(lives) || self.now < self.lock_lingers_until
    }

    fn arrive(&mut self, node: usize, incarnation: u32, what: Flying) {
        let is_for_the_living = self.nodes[node].is_alive && self.nodes[node].incarnation == incarnation;
        match what {
            Flying::Restart if !self.nodes[node].is_alive => self.restart(node),
            Flying::Cut => {
                self.is_cut = true;
            }
            Flying::Mend => self.is_cut = false,
            _ if !is_for_the_living => {}
            Flying::Input(input) => self.input(node, input),
            Flying::Heartbeat(link, input) => {
                if self.is_linked && link == self.link {
                    self.input(node, input);
                }
            }
            Flying::Probe => {
                let free = !self.is_lock_held();
                self.probed[node] = self.newest;
                self.input(node, Input::Lock { free });
            }
            Flying::Claim(epoch) => self.claim(node, epoch),
            Flying::Connect => self.connect(node),
            Flying::DiskBeat => self.disk_beat(node),
            Flying::Kill => {
                self.die(node);
                let delay = self.random.u64(10 * MS..500 * MS);
                self.send(node, delay, Flying::Restart);
            }
            Flying::Pause => self.nodes[node].is_paused = true,
            Flying::Resume => self.resume(node),
            Flying::Restart => {}
        }
    }

    fn restart(&mut self, node: usize) {
        let seed = self.random.u64(..);
        let fresh = &mut self.nodes[node];
        fresh.ha = Ha::new(config(true), seed, self.now);
        fresh.incarnation += 1;
        (fresh.is_alive, fresh.is_paused) = (true, false);
        fresh.backlog.clear();
        self.input(node, Input::Start);
    }

    fn resume(&mut self, node: usize) {
        self.nodes[node].is_paused = false;
        for input in std::mem::take(&mut self.nodes[node].backlog) {
            self.input(node, input);
        }
        // Its check of the store tells a former owner soon.
        if self.owner != Some((node, self.nodes[node].incarnation)) && self.nodes[node].ha.epoch() != 0 {
            let by_epoch = self.newest;
            let delay = self.disk_delay();
            self.send(node, delay, Flying::Input(Input::Fenced { by_epoch }));
        }
    }

    fn connect(&mut self, node: usize) {
        let other = 1 - node;
        if self.is_cut || !self.nodes[other].is_alive || self.nodes[other].is_paused {
            // Refused at once by a dead process; patience runs out with a silent one.
            let is_refused = !self.nodes[other].is_alive && !self.is_cut;
            let delay = if is_refused { MS } else { ACTIVATION };
            self.send(node, delay, Flying::Input(Input::LinkDown { reason: "no answer".into() }));
            return;
        }
        self.is_linked = true;
        self.link += 1;
        self.input(other, Input::LinkUp);
        self.input(node, Input::LinkUp);
    }

    fn claim(&mut self, node: usize, epoch: u64) {
        if epoch != self.newest + 1 {
            return self.input(node, Input::ClaimLost);
        }
        self.claims += 1;
        if let Some((former, incarnation)) =
            self.owner.filter(|_| self.is_lock_held() && self.now >= self.lock_lingers_until)
        {
            // A heartbeat that was on its way when the claim was decided came too late to stop it.
            let heard = if self.now - self.beaten < 7 * MS { self.beaten_before } else { self.beaten };
            let silence = self.now - heard;
            assert!(silence >= ACTIVATION - 5 * MS, "node {node} robbed a live owner, heard {} ms ago", silence / MS);
            self.takeovers_over_a_lock += 1;
            assert_eq!(self.nodes[former].incarnation, incarnation);
            let (delay, by_epoch) = (self.disk_delay(), epoch);
            self.send(former, delay, Flying::Input(Input::Fenced { by_epoch }));
        }
        self.newest = epoch;
        self.owner = Some((node, self.nodes[node].incarnation));
        self.lock_lingers_until = 0;
        self.disk_beat(node);
        self.input(node, Input::Claimed { epoch });
        let recovery = self.random.u64(MS..200 * MS);
        let figures = Recovered { epoch, ..Recovered::default() };
        self.send(node, recovery, Flying::Input(Input::Recovered(figures)));
    }

    fn disk_beat(&mut self, node: usize) {
        if self.owner != Some((node, self.nodes[node].incarnation)) {
            return;
        }
        if !self.nodes[node].is_paused {
            self.counter += 1;
            self.beaten_before = std::mem::replace(&mut self.beaten, self.now);
            let beat = Input::OwnerHeartbeat { epoch: self.newest, counter: self.counter };
            let delay = self.disk_delay();
            self.send(1 - node, delay, Flying::Input(beat));
        }
        self.send(node, HEARTBEAT, Flying::DiskBeat);
    }

    /// Runs until `end`.
    fn run(&mut self, end: Nanos) {
        loop {
            let timers = self.nodes.iter().enumerate().filter(|(_, node)| node.is_alive && !node.is_paused);
            let timer = timers.filter_map(|(index, node)| Some((node.ha.poll_timeout()?.max(self.now), index))).min();
            let arrival = self.flying.first_key_value().map(|(key, _)| key.0);
            match (timer, arrival) {
                (Some((at, node)), arrival) if at <= end && arrival.is_none_or(|arrival| at < arrival) => {
                    self.now = at;
                    self.nodes[node].ha.handle_timeout(at);
                    self.drain(node);
                    // A timer that asks for the same moment again would never let time pass.
                    self.now += 1;
                }
                (_, Some(arrival)) if arrival <= end => {
                    let ((at, _), (node, incarnation, what)) = self.flying.pop_first().unwrap();
                    self.now = self.now.max(at);
                    self.arrive(node, incarnation, what);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn actives(&self) -> Vec<usize> {
        let is_active = |node: &usize| self.nodes[*node].is_alive && self.nodes[*node].ha.state() == State::Active;
        (0..2).filter(is_active).collect()
    }

    fn check_one_active(&self, seed: u64) {
        let states = self.nodes.each_ref().map(|node| node.ha.state());
        let mut sorted = states;
        sorted.sort();
        assert_eq!(sorted, [State::Standby, State::Active], "seed {seed}: {states:?}");
        let active = self.actives()[0];
        assert_eq!(
            self.owner,
            Some((active, self.nodes[active].incarnation)),
            "seed {seed}: the active owns the store"
        );
        assert_eq!(self.nodes[active].ha.epoch(), self.newest, "seed {seed}");
    }
}

const SECOND: Nanos = 1000 * MS;

#[test]
fn two_servers_started_at_the_same_instant() {
    for seed in 0..1000 {
        let mut world = World::new(seed);
        for node in 0..2 {
            world.input(node, Input::Start);
        }
        world.run(2 * SECOND);
        world.check_one_active(seed);
        assert_eq!((world.newest, world.takeovers_over_a_lock), (1, 0), "seed {seed}: nobody was robbed");
    }
}

#[test]
fn a_kill_reverses_the_roles() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        world.input(0, Input::Start);
        world.run(SECOND);
        world.input(1, Input::Start);
        world.run(2 * SECOND);
        world.check_one_active(seed);
        for round in 0..4 {
            let active = world.actives()[0];
            world.send(active, 0, Flying::Kill);
            let start = world.now;
            world.run(start + 400 * MS);
            assert_eq!(world.actives(), [1 - active], "seed {seed}: takeover is a matter of milliseconds");
            world.run(start + 2 * SECOND);
            world.check_one_active(seed);
            assert_eq!(world.newest, round + 2, "seed {seed}: the one that came back took nothing");
        }
    }
}

#[test]
fn a_paused_active_is_replaced() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        (0..2).for_each(|node| world.input(node, Input::Start));
        world.run(2 * SECOND);
        let active = world.actives()[0];
        world.send(active, 0, Flying::Pause);
        world.send(active, 4 * ACTIVATION, Flying::Resume);
        world.run(2 * SECOND + 3 * ACTIVATION);
        assert_eq!(world.nodes[1 - active].ha.state(), State::Active, "seed {seed}");
        assert_eq!(world.takeovers_over_a_lock, 1, "seed {seed}: its lock was still held");
        world.run(6 * SECOND);
        world.check_one_active(seed);
        assert_eq!(
            world.actives(),
            [1 - active],
            "seed {seed}: the one that woke up has left and come back as standby"
        );
    }
}

#[test]
fn a_cut_link_changes_nothing() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        (0..2).for_each(|node| world.input(node, Input::Start));
        world.run(2 * SECOND);
        let active = world.actives();
        world.send(0, 0, Flying::Cut);
        world.run(5 * SECOND);
        assert_eq!((world.actives(), world.newest), (active.clone(), 1), "seed {seed}");
        world.send(0, 0, Flying::Mend);
        world.run(8 * SECOND);
        world.check_one_active(seed);
        assert_eq!((world.actives(), world.newest), (active, 1), "seed {seed}");
    }
}

#[test]
fn a_paused_standby_takes_nothing() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        (0..2).for_each(|node| world.input(node, Input::Start));
        world.run(2 * SECOND);
        let standby = 1 - world.actives()[0];
        world.send(standby, 0, Flying::Pause);
        world.send(standby, 5 * ACTIVATION, Flying::Resume);
        world.run(6 * SECOND);
        world.check_one_active(seed);
        assert_eq!(world.newest, 1, "seed {seed}");
    }
}

#[test]
fn any_mixture_of_faults_ends_with_one_active() {
    let mut robberies = 0;
    for seed in 0..1000 {
        let mut world = World::new(seed);
        (0..2).for_each(|node| world.input(node, Input::Start));
        let mut at = 0;
        for _ in 0..12 {
            at += world.random.u64(MS..SECOND);
            let node = world.random.usize(..2);
            world.run(at);
            let length = world.random.u64(MS..4 * ACTIVATION);
            match world.random.u8(..4) {
                0 => world.send(node, 0, Flying::Kill),
                1 if world.nodes[node].is_alive => {
                    world.send(node, 0, Flying::Pause);
                    world.send(node, length, Flying::Resume);
                }
                2 => {
                    world.send(node, 0, Flying::Cut);
                    // For whoever lives then.
                    world.order += 1;
                    world.flying.insert((world.now + length, world.order), (node, 0, Flying::Mend));
                }
                _ => world.break_link(node),
            }
        }
        world.run(at + 10 * SECOND);
        world.check_one_active(seed);
        robberies += world.takeovers_over_a_lock;
        assert!(world.claims as u64 == world.newest, "seed {seed}: an epoch has one owner");
    }
    assert!(robberies > 100, "the faults must exercise the takeover from a silent owner: {robberies}");
}
