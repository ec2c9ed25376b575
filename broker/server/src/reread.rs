//! The object files read again, when a standby is about to become active: queues, users and permissions may have changed since
//! it started. Server parameters and stores keep what they were, as in EMS.
//!
//! Owns the reading, on a thread of its own since files may lie on shared storage that is in trouble just then, and what of it
//! takes effect. A takeover waits for neither: until the files are read, and where they are bad, what was read before holds.

use crate::broker::Broker;
use crate::config::{self, Configuration, Diagnostic, Role};
use crate::security::directory::Directory;
use crate::timer::Timer;
use engine::{QueueDefinition, StoreId};
use reactor::Nanos;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// First and longest pause between two looks for the result.
const LOOK_MIN: Nanos = 1_000_000;
const LOOK_MAX: Nanos = 1_000_000_000;

/// What a configuration is made of.
#[derive(Clone, Debug)]
pub struct Source {
    /// Which server of a tibemsd.json this is.
    pub role: Role,
    /// The main file.
    pub path: PathBuf,
    /// `--set`.
    pub overrides: Vec<(String, String)>,
}

type Result = std::result::Result<(Configuration, Vec<Diagnostic>), Vec<Diagnostic>>;

/// The files of one server, and a reading of them under way.
#[derive(Debug, Default)]
pub(crate) struct Rereading {
    source: Option<Source>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    result: Receiver<Result>,
    began: Nanos,
    next_look: Nanos,
    pause: Nanos,
}

impl Rereading {
    /// Of files at `source`; without one nothing is ever read again.
    pub(crate) fn new(source: Option<Source>) -> Self {
        Rereading { source, running: None }
    }

    fn begin(&mut self, now: Nanos) -> std::io::Result<bool> {
        // One that is under way began before this moment, and would tell less.
        self.running = None;
        let Some(Source { role, path, overrides }) = self.source.clone() else { return Ok(false) };
        let (sender, result) = channel();
        std::thread::Builder::new().name("configuration".into()).spawn(move || {
            // Nobody waits for it any more when another reading has begun.
            let _ = sender.send(config::load_as(role, &path, &overrides, false));
        })?;
        self.running = Some(Running { result, began: now, next_look: now + LOOK_MIN, pause: LOOK_MIN });
        Ok(true)
    }

    /// The result, and how long it took, once it is there.
    fn poll(&mut self, now: Nanos) -> Option<(Result, Nanos)> {
        let running = self.running.as_mut().filter(|running| running.next_look <= now)?;
        match running.result.try_recv() {
            Ok(result) => {
                let time = now - running.began;
                self.running = None;
                Some((result, time))
            }
            Err(TryRecvError::Empty) => {
                running.pause = (running.pause * 2).min(LOOK_MAX);
                running.next_look = now + running.pause;
                None
            }
            Err(TryRecvError::Disconnected) => {
                self.running = None;
                None
            }
        }
    }
}

impl Broker {
    /// Begins to read the files again.
    pub(crate) fn reread(&mut self, now: Nanos) {
        match self.rereading.begin(now) {
            Ok(true) => {
                self.log.line("Server rereading configuration");
                self.look_again(now);
            }
            Ok(false) => {}
            Err(error) => {
                self.log.line(format!("The configuration is not read again, no thread can be started: {error}"))
            }
        }
    }

    /// Takes over what was read, once it is there.
    pub(crate) fn poll_reread(&mut self, now: Nanos) {
        match self.rereading.poll(now) {
            Some((Ok((fresh, remarks)), time)) => {
                remarks.iter().for_each(|remark| self.log.line(remark.to_string()));
                self.take_over_objects(&fresh, time);
            }
            Some((Err(remarks), _)) => {
                remarks.iter().for_each(|remark| self.log.line(remark.to_string()));
                self.log.line("The configuration files are bad: what this server read before still holds. Correct them and restart it");
            }
            None => self.look_again(now),
        }
    }

    fn look_again(&mut self, now: Nanos) {
        if let Some(running) = &self.rereading.running {
            self.reactor.set_timer(running.next_look.max(now), Timer::Again.to_token());
        }
    }

    fn take_over_objects(&mut self, fresh: &Configuration, time: Nanos) {
        let known = |id: StoreId| {
            let name = &fresh.stores[usize::from(id.0)].name;
            self.configuration.stores.iter().position(|store| store.name == *name).ok_or_else(|| name.clone())
        };
        let translate = |definition: &QueueDefinition| match definition.store.map(known).transpose() {
            Ok(index) => Ok(QueueDefinition { store: index.map(|index| StoreId(index as u8)), ..definition.clone() }),
            Err(name) => Err(format!(
                "queues.conf: '{}' names the store '{name}', which stores.conf did not have when this server started; restart it",
                definition.pattern
            )),
        };
        let definitions = fresh.queues.iter().map(|queue| translate(&queue.definition)).collect();
        match definitions {
            Ok(definitions) => {
                for name in self.redefine_queues(definitions) {
                    self.log.line(format!("Queue '{name}' holds messages and keeps its store until the next start"));
                }
                self.configuration.queues.clone_from(&fresh.queues);
                self.configuration.users.clone_from(&fresh.users);
                self.configuration.groups.clone_from(&fresh.groups);
                self.configuration.acl.clone_from(&fresh.acl);
                self.directory = Directory::new(&self.configuration);
                self.log.line(format!("Configuration read again in {} us", time / 1000));
            }
            Err(error) => {
                self.log.line(error);
                self.log.line("What this server read before still holds");
            }
        }
    }
}
