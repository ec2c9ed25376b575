//! Says what lies in a store folder and what of it is damaged, without a process that owns it and without a write.
//!
//! Owns the driver, of the same form as [`crate::Store`], the filter that lets nothing but reads through to the disk, and
//! the order of the checks. Each kind of file has its check in a file of its own; the reading itself is recovery's
//! (`scan`, `chain`), told to step over damage so that all of it is found.
//!
//! A running owner may change the folder meanwhile. So what looks like damage is read again, all of it, and only
//! what is found twice is reported.

mod journal;
mod owners;
mod report;
mod segments;
mod slots;
mod tables;

pub use report::{
    Damage, DestinationState, InFlight, LaneState, Lock, OwnerState, Report, Seal as SealState, SegmentRole,
    SegmentState, Slot,
};

use crate::format::{OwnerRecord, SegmentIdentity};
use crate::names::Name;
use crate::port::Port;
use crate::shared::{Shared, while_doing};
use crate::task::{Task, poll_slot};
use crate::{Config, Mode, StoreConfig, StoreError};
use bytes::BytesMut;
use disk::{DiskDone, DiskError, DiskOp, DiskRequest, OpenMode};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Looks at one store folder. To be asked like a [`crate::Store`]: requests out, completions in, until there is a report.
#[derive(Debug)]
pub struct Inspection {
    port: Port,
    task: Option<Task<Result<Report, StoreError>>>,
    result: Option<Result<Report, StoreError>>,
}

impl Inspection {
    /// Begins to look at `folder`, an absolute path. `allocate` as for [`crate::Store::new`].
    pub fn new(folder: PathBuf, allocate: fn(usize) -> BytesMut) -> Self {
        let port = Port::default();
        let task = Some(Task::new(inspect(port.clone(), folder, allocate)));
        let mut inspection = Self { port, task, result: None };
        inspection.run();
        inspection
    }

    /// The next piece of disk work: reads, and one try of the owner's lock.
    pub fn poll_disk(&mut self) -> Option<DiskRequest> {
        loop {
            let request = self.port.poll()?;
            let Some(kind) = refusal(&request.op) else { return Some(request) };
            let message = "an inspection writes nothing".to_owned();
            self.port.route(DiskDone { id: request.id, result: Err(DiskError { kind, message }) });
            self.run();
        }
    }

    /// A piece of disk work completed.
    pub fn handle_disk(&mut self, done: DiskDone) {
        self.port.route(done);
        self.run();
    }

    /// The report, once.
    ///
    /// # Errors
    /// The folder holds no store, or cannot be read at all. Damage is no error but part of the report.
    pub fn poll_report(&mut self) -> Option<Result<Report, StoreError>> {
        self.result.take()
    }

    fn run(&mut self) {
        if let Some(result) = poll_slot(&mut self.task) {
            self.result = Some(result);
        }
    }
}

/// Why an operation does not reach the disk; `None` lets it through. A lock needs a file that is open for writing.
fn refusal(op: &DiskOp) -> Option<ErrorKind> {
    match op {
        DiskOp::Open { mode: OpenMode::Read, .. } | DiskOp::Close { .. } | DiskOp::Read { .. } => None,
        DiskOp::List { .. } | DiskOp::TryLock { .. } => None,
        DiskOp::Open { mode: OpenMode::ReadWrite, path, .. } if matches!(parse(path), Name::Owner { .. }) => None,
        // Recovery gives damaged files a second name; here it has to do without.
        DiskOp::Link { .. } => Some(ErrorKind::AlreadyExists),
        _ => Some(ErrorKind::ReadOnlyFilesystem),
    }
}

fn parse(path: &Path) -> Name {
    path.file_name().map_or(Name::Foreign, |name| Name::parse(&name.to_string_lossy()))
}

async fn inspect(port: Port, folder: PathBuf, allocate: fn(usize) -> BytesMut) -> Result<Report, StoreError> {
    let shared = discover(port, folder, allocate).await?;
    let first = look(&shared).await?;
    if first.damages.is_empty() {
        return Ok(first);
    }
    let mut second = look(&shared).await?;
    second.damages.retain(|damage| first.damages.iter().any(|other| other.is_at(damage)));
    Ok(second)
}

/// Finds the folder of the metadata, and the lanes by what the newest readable owner says.
async fn discover(port: Port, folder: PathBuf, allocate: fn(usize) -> BytesMut) -> Result<Rc<Shared>, StoreError> {
    let names = port.list(&folder).await.map_err(while_doing("listing the store's folder"))?;
    let mut found = None;
    for name in &names {
        let files = match port.list(&folder.join(name)).await {
            // What is no folder is none of the store's; one may go while we look.
            Err(error) if matches!(error.kind, ErrorKind::NotADirectory | ErrorKind::NotFound) => continue,
            other => other.map_err(while_doing("listing a folder of the store"))?,
        };
        let owners = files.iter().filter_map(|file| match Name::parse(file) {
            Name::Owner { epoch } => Some(epoch),
            _ => None,
        });
        found = found.max(owners.max().map(|newest| (newest, name.clone())));
    }
    let Some((newest, meta)) = found else {
        let found = names.first().cloned().unwrap_or_else(|| "nothing".to_owned());
        return Err(StoreError::NotAStore { folder, missing: "meta.db/owner.1".to_owned(), found });
    };
    let share = |lanes: &[String]| {
        let store =
            |file: &String| StoreConfig { name: file.clone(), file: file.clone(), mode: Mode::Sync, minimum_bytes: 0 };
        let config = Config {
            meta_file: meta.clone(),
            force_start: true,
            ..Config::new(folder.clone(), lanes.iter().map(store).collect())
        };
        let mut shared = Shared::new(config, 0, allocate);
        Rc::get_mut(&mut shared).expect("nobody else has it yet").port = port.clone();
        shared
    };
    let shared = share(&[]);
    for epoch in (1..=newest).rev() {
        if let Ok(Some(owner)) = crate::chain::read_owner(&shared, epoch).await {
            return Ok(share(owner.record.lanes.get(1..).unwrap_or_default()));
        }
    }
    Ok(shared)
}

/// The files of one lane.
#[derive(Debug)]
struct Listing {
    lane: String,
    names: Vec<(String, Name)>,
}

impl Listing {
    async fn read(shared: &Rc<Shared>, lane: &str, report: &mut Report) -> Self {
        let names = match shared.port.list(&shared.names.lane(lane)).await {
            Ok(names) => names,
            Err(error) => {
                report.damages.push(Damage::of_file(
                    shared.names.lane(lane),
                    0,
                    format!("the folder cannot be listed: {error}"),
                    format!("all of {lane}"),
                ));
                Vec::new()
            }
        };
        Self {
            lane: lane.to_owned(),
            names: names.into_iter().map(|name| (name.clone(), Name::parse(&name))).collect(),
        }
    }
}

impl Listing {
    /// What a file of the lane must say that it is, by its name; `None`, with a remark, where no owner wrote it.
    fn identity(
        &self,
        records: &BTreeMap<u64, OwnerRecord>,
        (epoch, attempt, sequence): (u64, u128, u32),
        path: &Path,
        report: &mut Report,
    ) -> Option<SegmentIdentity> {
        let Some(record) = records.get(&epoch).filter(|record| record.attempt == attempt) else {
            report.remarks.push(format!("{}: of no known owner: left by a claim", path.display()));
            return None;
        };
        let lane = record.lanes.iter().position(|lane| *lane == self.lane)? as u16;
        Some(SegmentIdentity { store_id: record.store_id, epoch, attempt, lane, sequence })
    }
}

/// One look at everything.
async fn look(shared: &Rc<Shared>) -> Result<Report, StoreError> {
    let mut report = Report::new(shared.names.folder().to_owned());
    let mut listings = Vec::new();
    for lane in shared.names.lanes() {
        listings.push(Listing::read(shared, lane, &mut report).await);
    }
    let records = owners::check(shared, &listings[0], &mut report).await;
    let (metadata, sealed) = journal::check_metadata(shared, &records, &mut report).await;
    slots::check(shared, &listings[0], sealed.as_ref().map_or(0, |sealed| sealed.record.epoch), &mut report).await;
    report.lanes.push(metadata);
    for lane in &shared.names.lanes()[1..] {
        let state = journal::check_lane(shared, lane, sealed.as_ref(), &mut report).await;
        report.lanes.push(state);
    }
    for (index, listing) in listings.iter().enumerate() {
        segments::check(shared, listing, index, &records, &mut report).await;
        tables::check(shared, listing, &records, &mut report).await;
    }
    report.finish();
    Ok(report)
}
