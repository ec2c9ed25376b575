//! Commands that change configuration files, one after the other.
//!
//! Owns the order of a change: its texts are drafted, a worker thread writes them, then it takes effect and is answered. Until
//! then the next change waits, so that each is drafted from what holds. Without `autocommit` a change takes effect at once, and
//! `commit` writes. What a change does is in `queues`, `people` and `settings`.

use super::command::Command;
use super::files::Files;
use super::people::NewUser;
use super::queues::QueueLine;
use super::{Finished, Progress, Results, Step};
use crate::broker::Broker;
use serde_json::json;
use std::path::PathBuf;

/// A change that is wanted.
#[derive(Debug)]
pub(super) enum Change {
    /// A command.
    Command(Command),
    /// A command whose password has become a hash.
    User(NewUser),
}

/// A change whose texts are drafted.
#[derive(Debug)]
pub(super) enum Effect {
    /// A line of queues.conf.
    Queue(QueueLine),
    /// A queue that goes.
    DeleteQueue(String),
    /// Parameters.
    Server(Vec<(String, String)>),
    /// A user or a password.
    User(NewUser),
    /// Users, groups or permissions.
    Directory(Command),
    /// None: changes that hold already are written.
    Commit,
}

impl Broker {
    /// Begins a change; with `hold` it is not written.
    pub(super) fn change(&mut self, hold: bool, change: Change) -> Result<Step, String> {
        if self.admin.at_files.is_some() {
            return Ok(Step::Later(Progress::Queued(change)));
        }
        let before = self.admin.files.wanted();
        let effect = self.draft(change)?;
        if hold && !matches!(effect, Effect::Commit) {
            return self.take_effect(effect, &[]);
        }
        let Some(writes) = self.admin.files.begin() else { return self.take_effect(effect, &[]) };
        self.admin.at_files = Some(before);
        self.at_files(move || Finished::Written(writes.run()));
        Ok(Step::Later(Progress::Writing(effect)))
    }

    fn at_files(&mut self, work: impl FnOnce() -> Finished + Send + 'static) {
        self.admin.workers.submit(work).expect("there is room for one piece of work at the files");
    }

    /// Changes texts. After an error nothing has changed.
    fn draft(&mut self, change: Change) -> Result<Effect, String> {
        let command = match change {
            Change::User(user) => return self.draft_user(&user).map(|()| Effect::User(user)),
            Change::Command(command) => command,
        };
        match command {
            Command::CreateQueue(name, properties) => self.draft_queue(&name, &properties).map(Effect::Queue),
            Command::Properties(change, name, properties) => {
                self.draft_properties(change, &name, &properties).map(Effect::Queue)
            }
            Command::DeleteQueue(name) => self.draft_deletion(&name).map(|()| Effect::DeleteQueue(name)),
            Command::SetServer(values) => self.draft_server(&values).map(|()| Effect::Server(values)),
            Command::Commit => Ok(Effect::Commit),
            other => self.draft_directory(&other).map(|()| Effect::Directory(other)),
        }
    }

    /// What was drafted holds from now on; `written` are the files that say so.
    pub(super) fn take_effect(&mut self, effect: Effect, written: &[PathBuf]) -> Result<Step, String> {
        self.go_on_at_once();
        let reply = match effect {
            Effect::Queue(line) => self.define_queue(line),
            Effect::DeleteQueue(name) => return Ok(self.delete_queue_command(name)),
            Effect::Server(values) => self.set_server(&values)?,
            Effect::User(user) => self.put_user(&user)?,
            Effect::Directory(command) => self.change_directory(&command)?,
            Effect::Commit => {
                json!({ "written": written.iter().map(|path| path.display().to_string()).collect::<Vec<_>>() })
            }
        };
        Ok(Step::Done(reply))
    }

    /// The files may have changed, as this server becomes active: they are read again by the worker thread.
    pub(crate) fn read_files_again(&mut self) {
        self.admin.is_stale = true;
        self.begin_reading();
    }

    fn begin_reading(&mut self) {
        if !self.admin.is_stale || self.admin.at_files.is_some() {
            return;
        }
        self.admin.is_stale = false;
        self.admin.at_files = Some(Vec::new());
        let paths = Files::paths(&self.configuration);
        self.at_files(move || Finished::Read(Files::read(paths)));
    }

    /// Takes what the worker thread has finished.
    pub(super) fn take_results(&mut self) -> Results {
        let mut results = Results::default();
        while let Some(finished) = self.admin.workers.take() {
            match finished {
                Finished::Hash { number, hash } => drop(results.hashes.insert(number, hash)),
                Finished::Written(written) => {
                    let before = self.admin.at_files.take().unwrap_or_default();
                    results.written = Some(self.admin.files.finished(written, before));
                }
                Finished::Read(files) => {
                    self.admin.at_files = None;
                    for path in self.admin.files.unwritten() {
                        self.log.line(format!(
                            "{}: what was not committed is dropped, the file is read again",
                            path.display()
                        ));
                    }
                    self.admin.files = files;
                }
            }
        }
        self.begin_reading();
        results
    }
}
