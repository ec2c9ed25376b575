//! How spares are made: filled with zeros while nobody waits for them, only given their place on the disk while a claim does,
//! unless the store is new.

mod harness;

use disk::sim::{Fault, OpKind, SimConfig, SimDisk};
use disk::{DiskOp, OpenMode};
use harness::config;
use std::collections::HashSet;
use std::io::ErrorKind;
use store::{Event, Store};

/// What was asked of the disk.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    allocations: usize,
    fills: usize,
}

/// Runs a store alone until `is_awaited`, from a claim at once or after a while as the standby of nobody.
fn run(store: &mut Store, disk: &mut SimDisk, now: &mut u64, is_awaited: impl Fn(&Event) -> bool) -> Asked {
    let session = disk.attach();
    let (mut asked, mut spares) = (Asked::default(), HashSet::new());
    for _ in 0..100_000 {
        store.flush(*now);
        while let Some(request) = store.poll_disk() {
            match &request.op {
                DiskOp::Open { file, path, mode: OpenMode::CreateNew } if path.to_string_lossy().contains("spare") => {
                    spares.insert(*file);
                }
                DiskOp::Allocate { .. } => asked.allocations += 1,
                DiskOp::Write { durable: false, data, file, .. } if disk::is_zero(data) => {
                    asked.fills += usize::from(spares.contains(file));
                }
                _ => {}
            }
            disk.submit(*now, session, request);
        }
        let next = disk.poll_timeout().into_iter().chain(store.poll_timeout()).min();
        *now = next.expect("something goes on").max(*now + 1);
        while let Some((_, done)) = disk.poll(*now) {
            store.handle_disk(*now, done);
        }
        if store.poll_timeout().is_some_and(|at| at <= *now) {
            store.handle_timeout(*now);
        }
        while let Some(event) = store.poll_event() {
            assert!(!matches!(event, Event::RecoveryFailed(_) | Event::Poisoned(_)), "{event:?}");
            if is_awaited(&event) {
                return asked;
            }
        }
    }
    panic!("what was awaited does not come")
}

/// A process named `process` claims the store.
fn claim(disk: &mut SimDisk, process: u128) -> Asked {
    let (mut store, mut now) = (Store::new(config(), process << 96 | 0x5eed, disk::sim::aligned), 0);
    store.claim(now);
    run(&mut store, disk, &mut now, |event| matches!(event, Event::Claimed { .. }))
}

#[test]
fn a_claim_that_waits_does_not_fill_its_first_segments() {
    let mut disk = SimDisk::new(1, SimConfig::default());
    let asked = claim(&mut disk, 1);
    assert_eq!(asked.allocations, 0, "nobody waits for messages in a new store: {asked:?}");
    assert!(asked.fills >= 2 * config().stores.len(), "{asked:?}");
    let asked = claim(&mut disk, 2);
    assert!(asked.allocations >= 2 * config().stores.len(), "{asked:?}");
    assert_eq!(asked.fills, 0);
}

#[test]
fn where_space_cannot_be_given_in_advance_zeros_are_written() {
    let mut disk = SimDisk::new(1, SimConfig::default());
    claim(&mut disk, 1);
    let kind = ErrorKind::Unsupported;
    disk.fail_next(Fault {
        session: None,
        operation: OpKind::Allocate,
        path_contains: "spare".to_owned(),
        kind,
        count: u32::MAX,
    });
    let asked = claim(&mut disk, 2);
    assert!(asked.fills >= 2 * config().stores.len(), "{asked:?}");
}
