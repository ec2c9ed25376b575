//! Each edge of the drawing, each phrase of the log, each rule of the takeover: one story a test.

use super::*;

/// A machine, and what it said since it was last asked.
struct Rig {
    ha: Ha,
    now: Nanos,
    outputs: Vec<Output>,
}

impl Rig {
    fn new(config: HaConfig) -> Self {
        Self { ha: Ha::new(config, 7, 0), now: 0, outputs: Vec::new() }
    }

    fn tell(&mut self, input: Input) -> &mut Self {
        self.ha.handle(self.now, input);
        self.collect()
    }

    fn collect(&mut self) -> &mut Self {
        self.outputs.extend(std::iter::from_fn(|| self.ha.poll()));
        self
    }

    /// Lets time pass, running every timer, and answering nothing.
    fn pass(&mut self, span: Nanos) -> &mut Self {
        let end = self.now + span;
        while let Some(at) = self.ha.poll_timeout().filter(|at| *at <= end) {
            assert!(at >= self.now || self.ha.is_seeking(), "timers do not lie in the past for long");
            self.now = self.now.max(at);
            self.ha.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
        self
    }

    fn peer(&mut self, state: State, epoch: u64) -> &mut Self {
        self.tell(Input::PeerState { state, epoch, lot: 5 })
    }

    fn lock(&mut self, free: bool) -> &mut Self {
        assert!(self.take(&Output::ProbeLock), "nobody asked for the lock");
        self.tell(Input::Lock { free })
    }

    /// Whether `output` was said; forgets it.
    fn take(&mut self, output: &Output) -> bool {
        let found = self.outputs.iter().position(|said| said == output);
        found.map(|index| self.outputs.remove(index)).is_some()
    }

    fn logged(&self, text: &str) -> bool {
        self.outputs.iter().any(|output| matches!(output, Output::Log(line) if line.text.contains(text)))
    }

    fn events(&self) -> Vec<serde_json::Value> {
        let json = |output: &Output| match output {
            Output::Emit(json) => Some(serde_json::from_str(json).expect("an event line is JSON")),
            _ => None,
        };
        self.outputs.iter().filter_map(json).collect()
    }

    fn event_names(&self) -> Vec<String> {
        self.events().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    }

    fn exit(&self) -> Option<i32> {
        self.outputs.iter().find_map(|output| match output {
            Output::Exit { code, .. } => Some(*code),
            _ => None,
        })
    }

    fn forget(&mut self) -> &mut Self {
        self.outputs.clear();
        self
    }
}

/// A server that stands by for an active peer of epoch 1.
fn standby() -> Rig {
    let mut rig = Rig::new(config(true));
    rig.tell(Input::Start).tell(Input::LinkUp).peer(State::Active, 1);
    rig.tell(Input::OwnerHeartbeat { epoch: 1, counter: 1 });
    assert_eq!(rig.ha.state(), State::Standby);
    rig.forget();
    rig
}

/// A server that is active in epoch 2.
fn active() -> Rig {
    let mut rig = Rig::new(config(true));
    rig.tell(Input::Start).tell(Input::LinkDown { reason: "refused".into() }).lock(true);
    rig.tell(Input::Claimed { epoch: 2 }).tell(Input::Recovered(Recovered { epoch: 2, ..Recovered::default() }));
    assert_eq!(rig.ha.state(), State::Active);
    rig.forget();
    rig
}

#[test]
fn the_first_server_becomes_active() {
    let mut rig = Rig::new(config(true));
    rig.tell(Input::Start);
    assert_eq!(rig.ha.state(), State::ConnectingPeer);
    assert!(rig.take(&Output::ConnectPeer) && !rig.outputs.contains(&Output::ProbeLock), "the peer is asked first");
    rig.tell(Input::LinkDown { reason: "refused".into() });
    rig.lock(true);
    assert_eq!(rig.ha.state(), State::Claiming);
    assert!(rig.take(&Output::Claim));
    rig.tell(Input::Claimed { epoch: 5 });
    assert_eq!(rig.ha.state(), State::Recovering);
    assert!(rig.logged("Recovering state, please wait") && !rig.outputs.contains(&Output::Serve));
    rig.tell(Input::Recovered(Recovered { epoch: 5, bytes: 10, messages: 2, segments: 1, hot: false }));
    assert_eq!((rig.ha.state(), rig.ha.epoch()), (State::Active, 5));
    assert!(rig.take(&Output::Serve));
    let names = rig.event_names();
    assert_eq!(names, ["ft_state", "ft_state", "claimed", "ft_state", "recovered", "ft_state", "accepting"]);
}

#[test]
fn event_lines_have_their_fields() {
    let mut rig = Rig::new(config(true));
    rig.now = 5;
    rig.tell(Input::Start).tell(Input::LinkDown { reason: "refused".into() }).lock(true);
    rig.now = 9;
    rig.tell(Input::Claimed { epoch: 3 });
    rig.tell(Input::Recovered(Recovered { epoch: 3, bytes: 10, messages: 2, segments: 1, hot: false }));
    let events = rig.events();
    let first = serde_json::json!({
        "event": "ft_state", "t_ns": 5, "from": "STARTING", "to": "CONNECTING_PEER",
        "reason": "start of one server of a pair", "epoch": 0, "server": "EMS-SERVER", "pid": 17
    });
    assert_eq!(events[0], first);
    let recovered = serde_json::json!({
        "event": "recovered", "t_ns": 9, "reason": "the store is read", "epoch": 3, "server": "EMS-SERVER", "pid": 17,
        "bytes": 10, "messages": 2, "segments": 1, "hot": false
    });
    assert_eq!(events[4], recovered);
    rig.now = 12;
    rig.tell(Input::Loaded { messages: 2, ms: 3 });
    let loaded = serde_json::json!({
        "event": "loaded", "t_ns": 12, "reason": "the queues hold the backlog", "epoch": 3, "server": "EMS-SERVER",
        "pid": 17, "messages": 2, "ms": 3
    });
    assert_eq!(rig.events().last(), Some(&loaded));
    let raw = rig.outputs.iter().find_map(|output| if let Output::Emit(json) = output { Some(json) } else { None });
    assert!(raw.unwrap().starts_with(r#"{"event":"ft_state","t_ns":5,"#), "the name comes first");
}

#[test]
fn the_second_server_stands_by() {
    for owner in [State::Claiming, State::Recovering, State::Active] {
        let mut rig = Rig::new(config(true));
        rig.tell(Input::Start).tell(Input::LinkUp);
        assert!(rig.take(&Output::SendHeartbeat { state: State::ConnectingPeer, epoch: 0, lot: 7 }));
        rig.pass(ACTIVATION / 2);
        assert!(!rig.outputs.contains(&Output::ProbeLock), "the peer is heard first");
        rig.peer(owner, 1);
        assert_eq!(rig.ha.state(), State::Standby);
        assert!(rig.take(&Output::Refuse) && rig.logged("Server is in standby mode"));
        assert!(!rig.outputs.contains(&Output::ProbeLock));
    }
}

#[test]
fn a_peer_that_never_speaks_does_not_hold_up_the_start() {
    let mut rig = Rig::new(config(true));
    rig.tell(Input::Start).tell(Input::LinkUp).pass(ACTIVATION);
    rig.lock(true);
    assert_eq!(rig.ha.state(), State::Claiming);
}

#[test]
fn a_held_lock_makes_a_standby() {
    let mut rig = Rig::new(config(true));
    rig.tell(Input::Start).tell(Input::LinkDown { reason: "refused".into() }).lock(false);
    assert_eq!(rig.ha.state(), State::Standby);
    assert!(rig.logged("Unable to open store file 'meta.db', file may be locked"));
    rig.forget().pass(500 * MS);
    assert!(rig.take(&Output::ProbeLock), "it asks again");
    assert!(rig.take(&Output::ConnectPeer), "and looks for the peer again");
    assert!(!rig.outputs.contains(&Output::ProbeLock), "but one question at a time");
}

#[test]
fn a_broken_connection_is_noticed_at_once() {
    let mut rig = standby();
    rig.tell(Input::LinkDown { reason: "reset".into() });
    assert_eq!(rig.event_names(), ["standby-notices"]);
    rig.lock(true);
    assert!(rig.logged("Server activating on failure of 'tcp://other:7222'"));
    assert_eq!(rig.ha.state(), State::Claiming);
    assert_eq!(rig.now, 0, "no time had to pass");
}

#[test]
fn a_lock_that_is_freed_late_is_taken_soon() {
    let mut rig = standby();
    rig.tell(Input::LinkDown { reason: "reset".into() });
    for _ in 0..5 {
        rig.lock(false).pass(25 * MS);
    }
    rig.lock(true);
    assert_eq!(rig.ha.state(), State::Claiming);
    assert!(rig.logged("Server is re-entering standby mode"));
    let reports =
        rig.outputs.iter().filter(|said| matches!(said, Output::Log(line) if line.text.contains("may be locked")));
    assert_eq!(reports.count(), 1, "the lock is reported once");
}

#[test]
fn silence_of_the_link_alone_is_only_logged() {
    let mut rig = standby();
    for step in 0..40 {
        rig.tell(Input::OwnerHeartbeat { epoch: 1, counter: step + 2 }).pass(50 * MS);
        if rig.outputs.contains(&Output::ProbeLock) {
            rig.lock(false);
        }
    }
    assert!(rig.logged("Missing heartbeats from primary server 'tcp://other:7222'"));
    assert!(rig.take(&Output::DropLink) && rig.take(&Output::ConnectPeer));
    assert_eq!((rig.ha.state(), rig.take(&Output::Claim)), (State::Standby, false));
}

#[test]
fn silence_of_the_store_alone_is_nothing() {
    let mut rig = standby();
    for _ in 0..40 {
        rig.peer(State::Active, 1).pass(50 * MS);
    }
    assert_eq!(rig.ha.state(), State::Standby);
    assert!(!rig.outputs.contains(&Output::ProbeLock));
}

#[test]
fn silence_of_both_outweighs_the_lock() {
    let mut rig = standby();
    for step in 0..10 {
        rig.tell(Input::OwnerHeartbeat { epoch: 1, counter: step + 2 }).pass(50 * MS);
        if rig.outputs.contains(&Output::ProbeLock) {
            rig.lock(false);
        }
    }
    let silent_since = rig.now - 50 * MS;
    while rig.ha.state() == State::Standby {
        assert!(rig.now < silent_since + 2 * ACTIVATION, "takeover comes soon after the silence is long enough");
        rig.pass(5 * MS);
        if rig.outputs.contains(&Output::ProbeLock) {
            rig.lock(false);
        }
    }
    assert!(rig.now >= silent_since + ACTIVATION);
    assert_eq!(rig.ha.state(), State::Claiming);
}

/// A server whose link is refused has only the disk to hear the owner by, and the disk may be slow on this side.
#[test]
fn a_slow_answer_of_the_disk_is_no_silence_of_the_owner() {
    let mut rig = Rig::new(config(true));
    rig.tell(Input::Start).tell(Input::LinkRefused { reason: "another name".into() });
    rig.tell(Input::OwnerHeartbeat { epoch: 1, counter: 1 }).lock(false);
    assert_eq!(rig.ha.state(), State::Standby);
    let mut counter = 1;
    for _ in 0..10 {
        rig.take(&Output::ProbeLock);
        rig.forget();
        while !rig.outputs.contains(&Output::ProbeLock) {
            counter += 1;
            rig.tell(Input::OwnerHeartbeat { epoch: 1, counter }).pass(20 * MS);
        }
        // Asked in time, answered late.
        rig.pass(2 * ACTIVATION).lock(false);
        assert_eq!(rig.ha.state(), State::Standby, "the question came before the silence was long enough");
    }
    let asks = |rig: &mut Rig| rig.pass(2 * ACTIVATION + 1_000 * MS).take(&Output::ProbeLock);
    while rig.ha.state() == State::Standby && asks(&mut rig) {
        rig.tell(Input::Lock { free: false });
    }
    assert_eq!(rig.ha.state(), State::Claiming, "an owner that is silent still loses the store");
}

#[test]
fn takeover_by_link_needs_no_silent_store() {
    let mut rig = Rig::new(HaConfig { takeover_by_link: true, ..config(true) });
    rig.tell(Input::Start).tell(Input::LinkUp).peer(State::Active, 1);
    let mut counter = 0;
    while rig.ha.state() == State::Standby && rig.now < 5 * ACTIVATION {
        counter += 1;
        rig.tell(Input::OwnerHeartbeat { epoch: 1, counter }).pass(20 * MS);
        if rig.outputs.contains(&Output::ProbeLock) {
            rig.lock(false);
        }
    }
    assert_eq!(rig.ha.state(), State::Claiming);
    assert!(rig.now >= ACTIVATION && rig.now < 2 * ACTIVATION);
}

#[test]
fn our_own_pause_is_not_the_peers_silence() {
    let mut rig = standby();
    rig.now += 20 * ACTIVATION;
    rig.ha.handle_timeout(rig.now);
    rig.collect();
    assert!(rig.logged("This server did not run for 6000 ms"));
    assert!(!rig.logged("Missing heartbeats") && !rig.outputs.contains(&Output::ProbeLock));
    rig.peer(State::Active, 1).pass(HEARTBEAT);
    assert_eq!(rig.ha.state(), State::Standby);
    assert!(!rig.outputs.contains(&Output::ProbeLock));
}

#[test]
fn two_idle_servers_wait_a_random_time() {
    let waits = |seed: u64| {
        let mut ha = Ha::new(config(true), seed, 0);
        ha.handle(0, Input::Start);
        ha.handle(0, Input::LinkUp);
        ha.handle(0, Input::PeerState { state: State::ConnectingPeer, epoch: 0, lot: 5 });
        ha.poll_timeout().unwrap()
    };
    let all: std::collections::BTreeSet<Nanos> =
        (1..50u64).map(|seed| waits(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    // A wait of nothing has its probe behind it, and the next timeout is the heartbeat's.
    assert!(all.range(..20 * MS).count() > 20, "{all:?}");
    assert_eq!(all.range(20 * MS..).copied().filter(|wait| *wait != HEARTBEAT).count(), 0, "{all:?}");
}

#[test]
fn a_server_that_just_started_leaves_the_first_try_to_the_standby() {
    let mut rig = Rig::new(config(true));
    rig.tell(Input::Start).tell(Input::LinkUp).peer(State::Standby, 0).pass(150 * MS);
    assert!(!rig.outputs.contains(&Output::ProbeLock));
    rig.pass(150 * MS).lock(true);
    assert_eq!(rig.ha.state(), State::Claiming, "but does not wait for ever");
}

#[test]
fn a_lost_claim_leads_back() {
    let mut rig = standby();
    rig.tell(Input::LinkDown { reason: "reset".into() }).lock(true).forget();
    rig.tell(Input::ClaimLost);
    assert_eq!(rig.ha.state(), State::Standby);
    assert!(rig.logged("Server failed to recover state") && rig.logged("Server is re-entering standby mode"));
    assert!(rig.take(&Output::Refuse));
    rig.pass(15 * MS);
    assert!(!rig.outputs.contains(&Output::ProbeLock), "it waits a little");
    rig.pass(100 * MS);
    rig.lock(false);
    assert_eq!(rig.ha.state(), State::Standby);
}

#[test]
fn the_winner_of_a_claim_is_not_robbed() {
    let mut rig = Rig::new(HaConfig { takeover_by_link: true, ..config(true) });
    rig.tell(Input::Start).tell(Input::LinkDown { reason: "refused".into() }).pass(2 * ACTIVATION).lock(true);
    rig.tell(Input::ClaimLost).pass(110 * MS).lock(false);
    assert_eq!(rig.ha.state(), State::Standby, "the winner has as long as any other owner to be heard");
}

#[test]
fn the_peers_claim_stops_ours() {
    let mut rig = Rig::new(config(true));
    rig.tell(Input::Start).tell(Input::LinkUp).peer(State::ConnectingPeer, 0).pass(20 * MS);
    rig.peer(State::Claiming, 0);
    assert_eq!(rig.ha.state(), State::Standby);
    rig.lock(true);
    assert_eq!(rig.ha.state(), State::Standby, "an answer that is older than the news");
}

#[test]
fn a_peer_that_hangs_in_its_claim_is_not_waited_for() {
    let mut rig = standby();
    for _ in 0..8 {
        rig.peer(State::Claiming, 0).pass(50 * MS);
    }
    rig.lock(true);
    assert_eq!(rig.ha.state(), State::Claiming);
}

#[test]
fn a_peer_that_stands_by_too_is_no_owner() {
    let mut rig = standby();
    rig.peer(State::Standby, 0).pass(20 * MS).lock(true);
    assert_eq!(rig.ha.state(), State::Claiming);
}

#[test]
fn a_store_that_cannot_be_recovered_ends_the_server() {
    let mut rig = standby();
    rig.tell(Input::LinkDown { reason: "reset".into() }).lock(true).tell(Input::Claimed { epoch: 2 });
    rig.tell(Input::RecoveryFailed { reason: "sync-msgs.db/3: block 7".into() });
    assert_eq!((rig.ha.state(), rig.exit()), (State::Fenced, Some(1)));
    assert!(rig.logged("Server failed to recover state: sync-msgs.db/3: block 7"));
}

#[test]
fn a_fenced_or_poisoned_server_leaves() {
    for (input, words) in [
        (Input::Fenced { by_epoch: 9 }, "epoch 9"),
        (Input::Fenced { by_epoch: 0 }, "not this server's any more"),
        (Input::Poisoned { reason: "no space".into() }, "no space"),
    ] {
        let mut rig = active();
        rig.tell(input);
        assert_eq!((rig.ha.state(), rig.exit()), (State::Fenced, Some(75)));
        assert!(rig.logged(words), "{words}");
        rig.forget().tell(Input::Fenced { by_epoch: 9 }).pass(10 * ACTIVATION);
        assert_eq!(rig.outputs, [], "it leaves once");
    }
}

#[test]
fn of_two_actives_the_older_leaves() {
    let mut rig = active();
    rig.tell(Input::LinkUp).peer(State::Active, 1);
    assert!(rig.logged("Fault-tolerance error: Dual-Active server detected at tcp://other:7222"));
    assert!(rig.take(&Output::SendHeartbeat { state: State::Active, epoch: 2, lot: 7 }), "the other must hear it");
    assert_eq!((rig.ha.state(), rig.exit()), (State::Active, None));
    assert!(rig.event_names().contains(&"dual-active".to_owned()));
    rig.forget().peer(State::Active, 1).peer(State::Active, 1);
    assert!(!rig.logged("Dual-Active"), "once on each link");
    rig.forget().peer(State::Active, 3);
    assert_eq!((rig.ha.state(), rig.exit()), (State::Fenced, Some(75)));
}

#[test]
fn an_active_server_sends_heartbeats_and_looks_for_its_peer() {
    let mut rig = active();
    rig.pass(2 * HEARTBEAT);
    assert!(rig.take(&Output::ConnectPeer));
    rig.tell(Input::LinkUp).forget().pass(10 * HEARTBEAT);
    let beat = Output::SendHeartbeat { state: State::Active, epoch: 2, lot: 7 };
    assert_eq!(rig.outputs.iter().filter(|said| **said == beat).count(), 10);
    rig.tell(Input::LinkDown { reason: "reset".into() });
    assert_eq!(rig.ha.state(), State::Active);
    assert!(rig.logged("Connection to the other server 'tcp://other:7222' is lost: reset"));
}

#[test]
fn a_heartbeat_is_sent_in_time_once_and_nothing_else_happens() {
    let mut rig = active();
    rig.tell(Input::LinkUp).peer(State::Standby, 0).forget();
    let due = rig.ha.next_heartbeat;
    assert_eq!(rig.ha.beat_in_time(due - 1), None);
    rig.now = due + 7 * MS;
    assert_eq!(rig.ha.beat_in_time(rig.now), Some(due));
    assert_eq!(rig.ha.beat_in_time(rig.now), None);
    rig.ha.handle_timeout(rig.now);
    rig.collect();
    let beats = rig.outputs.iter().filter(|output| matches!(output, Output::SendHeartbeat { .. })).count();
    assert_eq!((beats, rig.outputs.len()), (1, 1), "{:?}", rig.outputs);
}

#[test]
fn the_former_active_comes_back_as_standby() {
    let mut first = active();
    first.tell(Input::Fenced { by_epoch: 3 });
    let mut again = Rig::new(config(true));
    again.tell(Input::Start).tell(Input::LinkUp).peer(State::Active, 3);
    assert_eq!(again.ha.state(), State::Standby);
}

#[test]
fn a_lone_server_claims_a_free_store() {
    let mut rig = Rig::new(config(false));
    rig.tell(Input::Start).lock(true);
    assert_eq!(rig.ha.state(), State::Claiming);
    assert!(!rig.outputs.contains(&Output::ConnectPeer));
}

#[test]
fn a_lone_server_waits_for_the_lock_or_for_silence() {
    let mut rig = Rig::new(config(false));
    rig.tell(Input::Start).lock(false);
    assert_eq!(rig.ha.state(), State::Standby);
    assert!(rig.logged("waiting until its owner is gone") && rig.take(&Output::Refuse));
    for step in 0..20 {
        rig.tell(Input::OwnerHeartbeat { epoch: 1, counter: step }).pass(50 * MS);
        if rig.outputs.contains(&Output::ProbeLock) {
            rig.lock(false);
        }
    }
    assert_eq!(rig.ha.state(), State::Standby);
    for _ in 0..20 {
        rig.pass(50 * MS);
        if rig.outputs.contains(&Output::ProbeLock) {
            rig.lock(false);
        }
    }
    assert_eq!(rig.ha.state(), State::Claiming);
}

#[test]
fn a_stop_is_clean() {
    let mut rig = active();
    rig.tell(Input::LinkUp).forget().tell(Input::Stopping);
    assert_eq!((rig.ha.state(), rig.exit()), (State::Fenced, None));
    assert!(rig.take(&Output::Refuse) && rig.take(&Output::StopStore));
    assert!(rig.take(&Output::SendHeartbeat { state: State::Fenced, epoch: 2, lot: 7 }), "the peer need not wait");
    let mut rig = standby();
    rig.tell(Input::Stopping);
    assert_eq!((rig.exit(), rig.take(&Output::StopStore)), (Some(0), false));
}

#[test]
fn a_peer_that_gives_up_is_followed_at_once() {
    let mut rig = standby();
    rig.peer(State::Fenced, 1);
    rig.pass(20 * MS).lock(true);
    assert_eq!(rig.ha.state(), State::Claiming);
}

#[test]
fn of_two_actives_with_equal_epochs_the_lot_decides_and_the_cause_is_named() {
    let mut rig = active();
    // Its lot is 5, ours 7.
    rig.tell(Input::LinkUp).peer(State::Active, 2);
    assert!(rig.logged("the parameter store must name the same folder"));
    assert_eq!(rig.exit(), None);
    rig.tell(Input::PeerState { state: State::Active, epoch: 2, lot: 9 });
    assert_eq!(rig.exit(), Some(75));
}

#[test]
fn refusals_are_told_once_for_each_cause_and_tried_again_slowly() {
    let mut rig = active();
    rig.tell(Input::LinkRefused { reason: "this server is 'B', not 'A'".into() });
    assert!(rig.logged("The other server 'tcp://other:7222' refuses this one: this server is 'B', not 'A'"));
    assert_eq!(rig.event_names(), ["peer-refuses"]);
    rig.forget().pass(REFUSED_WAIT - MS);
    assert!(!rig.outputs.contains(&Output::ConnectPeer), "only an operator can change it");
    rig.pass(2 * MS);
    assert!(rig.take(&Output::ConnectPeer));
    rig.tell(Input::LinkRefused { reason: "this server is 'B', not 'A'".into() });
    assert!(!rig.logged("refuses"), "not at every attempt");
    rig.tell(Input::LinkRefused { reason: "it does not accept the password".into() });
    assert!(rig.logged("it does not accept the password"), "another cause");
    for times in [1, 0] {
        rig.forget().tell(Input::PeerRefused { reason: "at 127.0.0.1: wrong name".into() });
        assert_eq!(rig.event_names().len(), times);
    }
    rig.tell(Input::LinkUp).forget().tell(Input::PeerRefused { reason: "at 127.0.0.1: wrong name".into() });
    assert!(rig.logged("wrong name"), "after a link that stood it is news again");
}

#[test]
fn a_standby_reads_its_files_again_before_it_claims_and_a_fresh_server_does_not() {
    let mut rig = standby();
    rig.tell(Input::LinkDown { reason: "reset".into() }).lock(true);
    let place = |output: &Output| rig.outputs.iter().position(|said| said == output);
    assert!(place(&Output::Reread).expect("it reads again") < place(&Output::Claim).expect("it claims"));
    let mut rig = Rig::new(config(true));
    rig.tell(Input::Start).tell(Input::LinkDown { reason: "refused".into() }).lock(true);
    assert!(rig.take(&Output::Claim) && !rig.outputs.contains(&Output::Reread), "it has read them a moment ago");
}

/// As EMS documents them: ft_heartbeat 3 s, ft_activation 10 s.
fn standby_with_defaults() -> Rig {
    let mut rig = Rig::new(HaConfig { heartbeat: 3 * SECOND, activation: 10 * SECOND, ..config(true) });
    rig.tell(Input::Start).tell(Input::LinkUp).peer(State::Active, 1);
    rig.tell(Input::OwnerHeartbeat { epoch: 1, counter: 1 });
    rig.forget();
    rig
}

const SECOND: Nanos = 1000 * MS;

#[test]
fn with_the_defaults_of_ems_silence_counts_after_ten_seconds() {
    let mut rig = standby_with_defaults();
    let beats = |rig: &Rig| rig.outputs.iter().filter(|said| matches!(said, Output::SendHeartbeat { .. })).count();
    rig.pass(9 * SECOND);
    assert_eq!(beats(&rig), 3, "one in three seconds");
    rig.pass(990 * MS);
    assert_eq!(rig.ha.state(), State::Standby);
    assert!(!rig.logged("Missing heartbeats") && !rig.outputs.contains(&Output::ProbeLock));
    rig.pass(10 * MS).lock(false);
    assert!(rig.logged("Missing heartbeats from primary server 'tcp://other:7222'"));
    assert_eq!(rig.ha.state(), State::Claiming, "both are silent: a lock that is still held does not matter");
}

#[test]
fn with_the_defaults_of_ems_two_late_heartbeats_are_borne_and_a_broken_link_is_followed_at_once() {
    let mut rig = standby_with_defaults();
    for counter in 2..5 {
        rig.pass(9500 * MS).peer(State::Active, 1).tell(Input::OwnerHeartbeat { epoch: 1, counter });
        assert_eq!(rig.ha.state(), State::Standby);
    }
    assert!(!rig.logged("Missing heartbeats"));
    rig.tell(Input::LinkDown { reason: "reset".into() }).lock(true);
    assert_eq!(rig.ha.state(), State::Claiming, "a killed server is replaced without waiting");
}
