//! Faults of a server's process: signals, a clean stop, and too little processor time.
//!
//! `signal` sends signals and proves them by /proc, `starve` takes processor time away.

mod signal;
mod starve;

pub use signal::{kill, peak_memory_bytes, processor_time_s, read_bytes, resume, stop, stop_main, terminate};
pub use starve::Starving;

use super::{Bite, Effect, Held, Scene};
use crate::clock;
use crate::error::{Error, Result};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// What can be done to a server's process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProcessFault {
    /// SIGKILL; healed by a start of the server.
    Kill {},
    /// SIGSTOP; healed by SIGCONT.
    Stop {},
    /// SIGTERM, the clean end that an operator asks for; healed by a start of the server.
    Terminate {},
    /// The process gets only a part of a processor.
    Starve {
        /// The part, percent of one processor.
        percent: u8,
    },
}

impl ProcessFault {
    /// The names under which scenarios know them.
    pub const NAMES: &[&str] = &["kill", "stop", "terminate", "starve"];

    /// What it is called in reports.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Kill {} => "SIGKILL".to_owned(),
            Self::Stop {} => "SIGSTOP".to_owned(),
            Self::Terminate {} => "SIGTERM".to_owned(),
            Self::Starve { percent } => format!("{percent} % of a processor"),
        }
    }

    /// Whether its victims end.
    pub(super) fn ends_process(&self) -> bool {
        matches!(self, Self::Kill {} | Self::Terminate {})
    }

    pub(super) async fn inject(&self, scene: &mut Scene<'_>) -> Result<Bite> {
        let pids = living(scene)?;
        match self {
            Self::Kill {} => signal_all(&pids, kill),
            Self::Stop {} => signal_all(&pids, stop),
            Self::Terminate {} => signal_all(&pids, terminate),
            Self::Starve { percent } => {
                let mut bite = Bite::default();
                let mut all = Vec::new();
                for &pid in &pids {
                    all.push(Starving::start(pid, *percent)?);
                }
                bite.effect = Effect::join(all.iter().map(|one| one.effect.clone()));
                bite.held = Held::Starving(all);
                Ok(bite)
            }
        }
    }

    /// A server that has ended is started again by the trial.
    pub(super) fn heal(&self, scene: &mut Scene<'_>, bite: &mut Bite) -> Result<u64> {
        match self {
            Self::Kill {} | Self::Terminate {} => {}
            Self::Stop {} => {
                let pids: Vec<Pid> = processes(scene).map(|(_, pid)| pid).collect();
                let mut effects = Vec::new();
                for pid in pids {
                    effects.extend(resume(pid)?);
                }
                match Effect::join(effects) {
                    Some(effect) => {
                        bite.evidence.push(effect.proof);
                        return Ok(effect.effective_ns);
                    }
                    None => bite.evidence.push("SIGCONT was not seen to take effect".to_owned()),
                }
            }
            Self::Starve { .. } => {
                if let Held::Starving(all) = std::mem::take(&mut bite.held) {
                    for one in all {
                        match one.end()? {
                            Ok(evidence) => bite.evidence.push(evidence),
                            Err(reason) => bite.withdraw(reason),
                        }
                    }
                }
            }
        }
        Ok(clock::now_ns())
    }
}

fn processes<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = (crate::cluster::NodeId, Pid)> + use<'a> {
    scene.nodes.iter().filter_map(|&node| Some((node, scene.pair.process(node)?.pid())))
}

/// The processes of the victims; one that has ended by itself is an error that quotes it.
fn living(scene: &Scene<'_>) -> Result<Vec<Pid>> {
    for &node in scene.nodes {
        if let Some(process) = scene.pair.process(node)
            && let Some(exit) = process.exit()
        {
            let (status, last_words) = (exit.to_string(), process.last_words());
            return Err(Error::NodeEnded { node: node.name(), status, last_words });
        }
    }
    Ok(processes(scene).map(|(_, pid)| pid).collect())
}

/// The proof is awaited without yielding: another task could delay the reading of the clock.
fn signal_all(pids: &[Pid], send: fn(Pid) -> Result<Option<Effect>>) -> Result<Bite> {
    let mut effects = Vec::new();
    for &pid in pids {
        let Some(effect) = send(pid)? else { return Ok(Bite::default()) };
        effects.push(effect);
    }
    Ok(Bite::of(Effect::join(effects)))
}
