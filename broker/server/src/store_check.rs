//! `broker store-check`: the state of a store folder and every damage in it, for people or as JSON.
//!
//! Owns the words and the exit code. What is looked at, and how, is `store::Inspection`'s.

use reactor::{Event, Reactor};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::path::Path;
use store::{Damage, Inspection, LaneState, Lock, OwnerState, Report, SealState, SegmentRole, Slot};

/// The store is sound.
const EXIT_SOUND: i32 = 0;
/// There is no store, or it cannot be read.
const EXIT_UNREADABLE: i32 = 1;
/// There is damage.
const EXIT_DAMAGED: i32 = 2;

/// Prints what is in `folder`; returns the exit code.
pub(crate) fn run(folder: &Path, is_json: bool) -> i32 {
    let report = match inspect(folder) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("broker: {error:#}");
            return EXIT_UNREADABLE;
        }
    };
    if is_json {
        println!("{}", to_json(&report));
    } else {
        print!("{}", to_text(&report).expect("a string takes what is written to it"));
    }
    if report.damages.is_empty() { EXIT_SOUND } else { EXIT_DAMAGED }
}

fn inspect(folder: &Path) -> anyhow::Result<Report> {
    let mut reactor = Reactor::uring(reactor::Config::default())?;
    let mut inspection = Inspection::new(std::path::absolute(folder)?, reactor::buffer::aligned);
    let mut events = VecDeque::new();
    loop {
        while let Some(request) = inspection.poll_disk() {
            reactor.submit_disk(request);
        }
        if let Some(report) = inspection.poll_report() {
            return Ok(report?);
        }
        reactor.wait(&mut events)?;
        for event in events.drain(..) {
            if let Event::Disk(done) = event {
                inspection.handle_disk(done);
            }
        }
    }
}

fn range(lsns: Option<(u64, u64)>) -> String {
    lsns.map_or_else(|| "-".to_owned(), |(first, last)| format!("{first}..{last}"))
}

fn seal(owner: &OwnerState) -> &'static str {
    match owner.seal {
        SealState::Sealed if owner.is_clean => "sealed, stopped cleanly",
        SealState::Sealed => "sealed",
        SealState::Never => "never served",
        SealState::Superseded => "superseded",
        SealState::Unknown => "unknown",
    }
}

fn slot(slot: Slot) -> &'static str {
    match slot {
        Slot::Unclaimed => "unclaimed",
        Slot::Claimed => "claimed",
        Slot::Garbled => "claimed (no whole mark)",
        Slot::Missing => "missing",
    }
}

fn role(role: SegmentRole) -> &'static str {
    match role {
        SegmentRole::Live => "live",
        SegmentRole::Ready => "ready",
        SegmentRole::Dead => "dead",
    }
}

fn to_text(report: &Report) -> Result<String, fmt::Error> {
    let mut out = String::new();
    writeln!(out, "store {}", report.folder.display())?;
    match &report.lock {
        Lock::Held => writeln!(out, "in use: a running process holds the owner's lock; what follows may be outdated")?,
        Lock::Free => writeln!(out, "not in use: nobody holds the owner's lock")?,
        Lock::Unknown(why) => writeln!(out, "use unknown: the owner's lock could not be tried: {why}")?,
    }
    writeln!(out, "\nepoch  process                           attempt                           state, slot")?;
    for owner in &report.owners {
        let (process, attempt) = match owner.identity {
            Some((process, attempt)) => (format!("{process:032x}"), format!("{attempt:032x}")),
            None => ("-".to_owned(), "-".to_owned()),
        };
        writeln!(out, "{:<6} {process:<33} {attempt:<33} {}, {}", owner.epoch, seal(owner), slot(owner.slot))?;
    }
    writeln!(out, "the slot of the next epoch is {}", slot(report.next_slot))?;
    for lane in &report.lanes {
        write_lane(&mut out, report, lane)?;
    }
    if !report.remarks.is_empty() {
        writeln!(out, "\nremarks, no damage:")?;
    }
    for remark in &report.remarks {
        writeln!(out, "  {remark}")?;
    }
    match report.damages.len() {
        0 => writeln!(out, "\nsound")?,
        count => writeln!(out, "\n{count} damaged:")?,
    }
    report.damages.iter().try_for_each(|damage| write_damage(&mut out, damage))?;
    Ok(out)
}

fn write_lane(out: &mut String, report: &Report, lane: &LaneState) -> fmt::Result {
    let LaneState { name, messages, bytes, next_lsn, temporary_files, .. } = lane;
    if *name == report.lanes[0].name {
        writeln!(out, "\n{name}: metadata, {temporary_files} temporary files")?;
    } else {
        writeln!(
            out,
            "\n{name}: {messages} live messages, {bytes} bytes, next number {next_lsn}, {temporary_files} temporary files"
        )?;
    }
    for segment in &lane.segments {
        let file = segment.file.file_name().unwrap_or_default().to_string_lossy();
        writeln!(
            out,
            "  {file}: {}, epoch {}, sequence {}, numbers {}, {} of {} bytes used, {} live messages",
            role(segment.role),
            segment.epoch,
            segment.sequence,
            range(segment.lsns),
            segment.used_bytes,
            segment.file_bytes,
            segment.live_messages
        )?;
    }
    for destination in &lane.destinations {
        writeln!(out, "  destination {} {}: {} messages", destination.id, destination.name, destination.messages)?;
    }
    if lane.in_flight.batches > 0 {
        let in_flight = &lane.in_flight;
        let (batches, messages) = (in_flight.batches, in_flight.messages);
        let numbers = range(in_flight.lsns);
        writeln!(out, "  above durable-through, no damage: {batches} batches, numbers {numbers}, {messages} messages")?;
    }
    for (first, last) in &lane.given_up {
        writeln!(out, "  numbers {first}..{last} were given up by an earlier --force-start")?;
    }
    Ok(())
}

fn write_damage(out: &mut String, damage: &Damage) -> fmt::Result {
    let Damage { file, offset, problem, affected, remedy, .. } = damage;
    writeln!(out, "  {}: offset {offset}: {problem}", file.display())?;
    writeln!(out, "    affected: {affected}{}", lost(damage))?;
    writeln!(out, "    remedy: {remedy}")
}

fn lost(damage: &Damage) -> String {
    match (damage.lsns, damage.messages_max()) {
        (Some((first, Some(last))), Some(most)) => format!("; numbers {first} to {last}, {most} messages at most"),
        (Some((first, _)), _) => format!("; numbers from {first} on, how many is unknown"),
        (None, _) => String::new(),
    }
}

fn to_json(report: &Report) -> Value {
    let (lock, lock_problem) = match &report.lock {
        Lock::Held => ("held", None),
        Lock::Free => ("free", None),
        Lock::Unknown(why) => ("unknown", Some(why)),
    };
    let identity = |id: Option<u128>| id.map(|id| format!("{id:032x}"));
    let owners = report.owners.iter().map(|owner| {
        json!({
            "epoch": owner.epoch,
            "process": identity(owner.identity.map(|(process, _)| process)),
            "attempt": identity(owner.identity.map(|(_, attempt)| attempt)),
            "heartbeat": owner.heartbeat,
            "state": seal(owner),
            "slot": slot(owner.slot),
        })
    });
    json!({
        "folder": report.folder.display().to_string(),
        "sound": report.damages.is_empty(),
        "store_id": identity(report.store_id),
        "lock": lock,
        "lock_problem": lock_problem,
        "owners": owners.collect::<Vec<_>>(),
        "next_slot": slot(report.next_slot),
        "lanes": report.lanes.iter().map(lane_json).collect::<Vec<_>>(),
        "damages": report.damages.iter().map(damage_json).collect::<Vec<_>>(),
        "remarks": report.remarks,
    })
}

fn lane_json(lane: &LaneState) -> Value {
    let segments = lane.segments.iter().map(|segment| {
        json!({
            "file": segment.file.display().to_string(),
            "epoch": segment.epoch,
            "sequence": segment.sequence,
            "role": role(segment.role),
            "first_lsn": segment.lsns.map(|(first, _)| first),
            "last_lsn": segment.lsns.map(|(_, last)| last),
            "used_bytes": segment.used_bytes,
            "file_bytes": segment.file_bytes,
            "live_messages": segment.live_messages,
        })
    });
    let destination = |of: &store::DestinationState| json!({"id": of.id, "name": of.name, "messages": of.messages});
    json!({
        "name": lane.name,
        "messages": lane.messages,
        "bytes": lane.bytes,
        "next_lsn": lane.next_lsn,
        "segments": segments.collect::<Vec<_>>(),
        "destinations": lane.destinations.iter().map(destination).collect::<Vec<_>>(),
        "in_flight": {
            "batches": lane.in_flight.batches,
            "first_lsn": lane.in_flight.lsns.map(|(first, _)| first),
            "last_lsn": lane.in_flight.lsns.map(|(_, last)| last),
            "messages": lane.in_flight.messages,
        },
        "given_up": lane.given_up,
        "temporary_files": lane.temporary_files,
    })
}

fn damage_json(damage: &Damage) -> Value {
    json!({
        "file": damage.file.display().to_string(),
        "offset": damage.offset,
        "problem": damage.problem,
        "affected": damage.affected,
        "first_lsn": damage.lsns.map(|(first, _)| first),
        "last_lsn": damage.lsns.and_then(|(_, last)| last),
        "messages_max": damage.messages_max(),
        "remedy": damage.remedy,
    })
}
