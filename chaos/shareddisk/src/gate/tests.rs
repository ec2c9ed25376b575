//! The gate without mounts: operations are closures that tell a channel what became of them.

use super::*;
use crate::model::{FaultKind, Kind, Latency, Memory, NewNode, OnLoss, Operation, Settings, WriteRequest};
use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

const A: HostId = HostId(0);
const B: HostId = HostId(1);

/// A gate with its thread, over one file.
struct Site {
    gate: Arc<Gate>,
    ino: Ino,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.gate.stop();
        self.thread.take().expect("it runs").join().expect("it does not panic");
    }
}

impl Site {
    fn start(hold_limit: Duration) -> Self {
        let mut settings = Settings::new(&["hostA", "hostB"], 1);
        (settings.lease.lease_ns, settings.lease.grace_ns) = (0, 0);
        let mut model = DiskModel::new(settings, Box::new(Memory::default()));
        let node = NewNode { kind: Kind::File, mode: 0o660, uid: 0, gid: 0, now_ns: 0 };
        let ino = model.create(B, Ino::ROOT, OsStr::new("file"), node).expect("it is free");
        let gate = Arc::new(Gate::new(model, hold_limit));
        let running = Arc::clone(&gate);
        let thread = Some(std::thread::spawn(move || running.run()));
        Self { gate, ino, thread }
    }

    /// A durable write of one byte; what became of it comes out of the channel.
    fn write(&self, host: HostId, byte: u8) -> Receiver<Result<u64, Errno>> {
        let (sender, receiver) = channel();
        let (ino, data): (Ino, Arc<[u8]>) = (self.ino, Arc::new([byte]));
        let job = Job { len: 1, syncs: true, data: Some(Arc::clone(&data)), ..Job::new(Operation::Write, ino) };
        let run = move |model: &mut DiskModel, admitted: Result<&crate::model::Effects, Errno>| {
            let request = WriteRequest { host, ino, offset: 0, data: &data, durable: true };
            let result = admitted.and_then(|effects| model.write(1, request, effects));
            sender.send(result).expect("the test waits");
            result
        };
        self.gate.submit(host, job, Box::new(run));
        receiver
    }

    fn byte(&self) -> u8 {
        let read = |model: &mut DiskModel| model.read(B, self.ino, (0, 1), &crate::model::Effects::default());
        self.gate.with_model(read).expect("it is a file").first().copied().unwrap_or(0)
    }
}

const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(100);

fn hang_of_a() -> FaultSpec {
    FaultSpec { host: Some("hostA".into()), ..FaultSpec::new(FaultKind::Hang) }
}

#[test]
fn what_is_held_for_two_reasons_waits_until_both_are_gone() {
    let site = Site::start(LONG);
    for thaw_first in [false, true] {
        let hang = site.gate.add_fault(hang_of_a()).expect("a good fault");
        let write = site.write(A, 1);
        site.gate.freeze(A).expect("it is up");
        let thaw = || assert_eq!(site.gate.thaw(A).expect("it is frozen").writes_refused, 0);
        let heal = || site.gate.remove_faults(Some(hang));
        let steps: [&dyn Fn(); 2] = if thaw_first { [&thaw, &heal] } else { [&heal, &thaw] };
        steps[0]();
        assert!(write.recv_timeout(SHORT).is_err(), "thawed first: {thaw_first}");
        steps[1]();
        assert_eq!(write.recv_timeout(LONG), Ok(Ok(1)));
    }
}

#[test]
fn what_was_on_its_way_when_a_host_froze_lands_behind_what_others_wrote() {
    let site = Site::start(LONG);
    let slow = FaultKind::Latency(Latency::Fixed { us: 200_000 });
    site.gate.add_fault(FaultSpec { host: Some("hostA".into()), ..FaultSpec::new(slow) }).expect("a good fault");
    let late = site.write(A, 1);
    site.gate.freeze(A).expect("it is up");
    assert_eq!(site.write(B, 2).recv_timeout(LONG), Ok(Ok(1)));
    assert!(late.recv_timeout(Duration::from_millis(400)).is_err(), "its delay is over, and its host is frozen");
    let report = site.gate.thaw(A).expect("it is frozen");
    assert_eq!((report.writes_landed, report.bytes_landed, report.writes_refused), (1, 1, 0));
    assert_eq!((late.recv_timeout(LONG), site.byte()), (Ok(Ok(1)), 1));
}

#[test]
fn a_fence_refuses_what_comes_late() {
    let site = Site::start(LONG);
    site.gate.with_model(|model| model.set_on_loss(OnLoss::Fenced));
    site.gate.freeze(A).expect("it is up");
    let late = site.write(A, 1);
    std::thread::sleep(SHORT);
    assert_eq!(site.write(B, 2).recv_timeout(LONG), Ok(Ok(1)));
    assert_eq!(site.gate.thaw(A).expect("it is frozen").writes_refused, 1);
    assert_eq!((late.recv_timeout(LONG), site.byte()), (Ok(Err(Errno::EIO)), 2));
}

#[test]
fn a_write_in_flight_at_a_crash_is_counted_and_lands_as_the_rule_says() {
    let site = Site::start(LONG);
    site.gate.add_fault(hang_of_a()).expect("a good fault");
    let unanswered = site.write(A, 1);
    let rule = InFlightRule::Late { after_ms: 200 };
    let mut aborted = false;
    let report = site.gate.crash(A, CrashMode::Nothing, rule, || aborted = true).expect("it is up");
    assert!(aborted && report.in_flight == 1);
    assert!(unanswered.recv_timeout(SHORT).is_err() && site.byte() == 0);
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(site.byte(), 1);
    let landed = EventKind::LandedLate { bytes: 1, refused: false };
    assert!(site.gate.report().events.iter().any(|event| event.what == landed));
}

#[test]
fn the_watchdog_fails_what_is_held_for_too_long_and_stop_fails_the_rest() {
    let site = Site::start(Duration::from_millis(200));
    site.gate.add_fault(hang_of_a()).expect("a good fault");
    let held = site.write(A, 1);
    assert_eq!(held.recv_timeout(LONG), Ok(Err(Errno::EIO)));
    assert!(site.gate.report().events.iter().any(|event| event.what == EventKind::Watchdog { operations: 1 }));
    let held = site.write(A, 1);
    site.gate.stop();
    assert_eq!(held.recv_timeout(LONG), Ok(Err(Errno::EIO)));
    assert_eq!(site.write(A, 1).recv_timeout(LONG), Ok(Err(Errno::EIO)), "nothing begins any more");
}
