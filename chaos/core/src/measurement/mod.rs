//! Measurements without a fault: how fast a broker starts, how much memory it needs, how it compares with another one.
//!
//! Each is a sample of a few repetitions, interleaved where things are compared, with every value kept. `site` starts brokers and
//! judges their queues; `startup`, `memory` and `steady` are the measurements.

mod memory;
mod processors;
mod result;
mod site;
mod startup;
mod steady;
mod suite;

pub use result::{Figure, Finding, MeasurementResult, SCHEMA, Unit};
pub use suite::MeasuringSuite;

use crate::clock;
use crate::cluster::Launcher;
use crate::environment;
use crate::error::Result;
use crate::options::StandbyChoice;
use crate::progress::Progress;
use crate::scenario::{Standby, StoreSetting};
use result::Draft;
use site::Site;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A broker to be measured.
#[derive(Clone, Debug)]
pub struct Broker {
    /// How it is started.
    pub launcher: Launcher,
    /// What it is, in words.
    pub words: String,
}

/// What is to be measured, checked.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which measurement.
    pub suite: MeasuringSuite,
    /// For the load's random choices.
    pub seed: u64,
    /// Repetitions.
    pub rounds: usize,
    /// The broker under test.
    pub broker: Broker,
    /// The one that it is compared with.
    pub against: Option<Broker>,
    /// Messages that wait.
    pub messages: u64,
    /// Offered load, messages per second.
    pub rate_per_s: u64,
    /// Where the queue is stored.
    pub store: StoreSetting,
    /// The standby beside the active server; without one, the broker is alone.
    pub standby: Option<Standby>,
    /// Whether the nodes' folders stay.
    pub keep: bool,
    /// Result folder.
    pub out: PathBuf,
    /// The command line that repeats it.
    pub command: String,
}

impl Request {
    /// The standby that a choice means here; `None` where both are meant, which is no setting.
    pub fn standby_of(choice: Option<StandbyChoice>) -> Option<Option<Standby>> {
        match choice.map(StandbyChoice::kinds) {
            None => Some(None),
            Some([one]) => Some(Some(*one)),
            Some(_) => None,
        }
    }
}

/// Measures. An error means that it could not be carried out.
pub async fn run(request: &Request, store_parent: &Path) -> Result<MeasurementResult> {
    let (started, begin) = (clock::utc_now(), Instant::now());
    let progress = Progress::start(steps(request));
    let site = Site { request, store_parent, progress: &progress };
    let mut draft = Draft::default();
    match request.suite {
        MeasuringSuite::Startup => startup::run(&site, &mut draft).await?,
        MeasuringSuite::Memory => memory::run(&site, &mut draft).await?,
        _ => steady::run(&site, &mut draft).await?,
    }
    progress.finish();
    Ok(draft.finish(
        request,
        started,
        begin.elapsed().as_secs_f64(),
        environment::look(&request.broker.words, store_parent),
    ))
}

/// Steps that the progress shows.
fn steps(request: &Request) -> usize {
    request.rounds * if request.suite == MeasuringSuite::Startup { 1 } else { 2 }
}
