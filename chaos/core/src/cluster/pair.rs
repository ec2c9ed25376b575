//! A pair of nodes over one store folder: starts them, knows who is active, restarts a victim.

use super::configuration::{Addresses, Settings, Setup, change_configuration, has_settings, write_configuration};
use super::events::{Event, EventLog};
use super::links::Links;
use super::process::{Exit, NodeProcess};
use super::shared_disk::SharedDisk;
use crate::cleanup::TemporaryFolder;
use crate::error::{Error, Result};
use crate::node;
use crate::plan::PairPlan;
use crate::scenario::StoreOn;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// One of the two nodes. Which one is active changes; these names do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NodeId {
    /// The node that is started first.
    A,
    /// The other one.
    B,
}

impl NodeId {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// Its name in file names and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }

    /// The other node.
    pub fn peer(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// How a node's process is started: always through this harness's own binary, so that the node dies with the harness.
#[derive(Clone, Debug)]
pub struct Launcher {
    harness: PathBuf,
    broker: Option<PathBuf>,
}

impl Launcher {
    /// `harness` is this program; `broker` is another broker's program, to be used instead of the one linked in.
    pub fn new(harness: PathBuf, broker: Option<PathBuf>) -> Self {
        Self { harness, broker }
    }

    /// Another program with its arguments, which then dies with the harness, too.
    pub(super) fn program(&self, words: &[String]) -> Command {
        let mut command = self.harness();
        command.arg(node::NODE_PROGRAM_ARGUMENT).args(words);
        command
    }

    fn harness(&self) -> Command {
        let mut command = Command::new(&self.harness);
        command.env(node::HARNESS_VARIABLE, std::process::id().to_string());
        command
    }

    fn command(&self, configuration: &Path, namespace: Option<&str>) -> Command {
        let mut command = self.harness();
        if let Some(namespace) = namespace {
            command.args([node::NODE_WITHIN_ARGUMENT, namespace]);
        }
        match &self.broker {
            None => command.arg(node::NODE_ARGUMENT),
            Some(program) => command.arg(node::NODE_PROGRAM_ARGUMENT).arg(program),
        };
        command.args([OsString::from("--config"), configuration.into()]);
        command
    }
}

/// What exists of one node.
#[derive(Debug)]
struct Slot {
    process: Option<NodeProcess>,
    starts: u32,
}

/// A running pair. Dropping it ends the nodes before their folder goes.
#[derive(Debug)]
pub struct Pair {
    slots: [Slot; 2],
    links: Links,
    addresses: Addresses,
    configurations: [PathBuf; 2],
    launcher: Launcher,
    events: EventLog,
    /// Before the folder: nothing is mounted when that is removed.
    disk: Option<SharedDisk>,
    folder: TemporaryFolder,
    lone: bool,
}

impl Pair {
    /// Starts both nodes at once and waits until one is active and the other is standby; or a lone one, and waits until it is active.
    pub async fn start(launcher: Launcher, plan: &PairPlan, setup: &Setup, folder: TemporaryFolder) -> Result<Self> {
        let (links, addresses) = Links::start(setup.spec.link, setup.spec.clients, setup.seed)?;
        let disk = match setup.spec.store_on {
            StoreOn::SharedDisk => Some(SharedDisk::start(&launcher.harness, folder.path())?),
            StoreOn::Folder => None,
        };
        let store = |node| disk.as_ref().map_or_else(|| folder.path().join("store"), |disk| disk.store(node));
        let stores = NodeId::BOTH.map(store);
        let configurations = write_configuration(folder.path(), &stores, plan, &addresses, setup)?;
        let slots = [Slot { process: None, starts: 0 }, Slot { process: None, starts: 0 }];
        let events = EventLog::default();
        let lone = setup.lone;
        let mut pair = Self { slots, links, addresses, configurations, launcher, events, disk, folder, lone };
        for &node in pair.members() {
            pair.start_node(node)?;
        }
        pair.await_roles(START_LIMIT).await?;
        Ok(pair)
    }

    /// The nodes that this pair consists of.
    fn members(&self) -> &'static [NodeId] {
        if self.lone { &[NodeId::A] } else { &NodeId::BOTH }
    }

    /// Ends a node as SIGKILL does, if it runs.
    pub fn end_node(&mut self, node: NodeId) {
        if let Some(disk) = &self.disk {
            disk.let_go();
        }
        self.slots[node.index()].process = None;
    }

    /// Changes parameters of a node, for its next start.
    pub fn change_settings(&self, node: NodeId, settings: &Settings) -> Result<()> {
        change_configuration(&self.configurations[node.index()], settings)
    }

    /// Starts a node; what was left of its former process is reaped.
    pub fn start_node(&mut self, node: NodeId) -> Result<()> {
        if let Some(disk) = &self.disk {
            disk.boot(node)?;
        }
        let slot = &mut self.slots[node.index()];
        slot.process = None;
        slot.starts += 1;
        let errors = self.folder.path().join(node.name()).join(format!("stderr-{}.log", slot.starts));
        let namespace = self.links.hosts().map(|hosts| hosts.namespace(node));
        let command = self.launcher.command(&self.configurations[node.index()], namespace);
        slot.process = Some(NodeProcess::start(command, node, slot.starts, &self.events, &errors)?);
        Ok(())
    }

    /// Whether a node's next start has these parameters.
    pub fn has_settings(&self, node: NodeId, settings: &Settings) -> Result<bool> {
        has_settings(&self.configurations[node.index()], settings)
    }

    /// All that a node wrote to its log and to standard error, over all its starts.
    pub fn read_logs(&self, node: NodeId) -> String {
        let entries = std::fs::read_dir(self.folder.path().join(node.name())).into_iter().flatten().flatten();
        let texts = entries.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "log"));
        texts
            .filter_map(|entry| std::fs::read(entry.path()).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect()
    }

    /// The URL of a node for clients.
    pub fn url(&self, node: NodeId) -> String {
        self.addresses.url(node)
    }

    /// The URLs of both nodes, for clients that fail over.
    pub fn urls(&self) -> Vec<String> {
        self.members().iter().map(|&node| self.url(node)).collect()
    }

    /// Where node A finds the store.
    pub fn store(&self) -> PathBuf {
        self.disk.as_ref().map_or_else(|| self.folder.path().join("store"), |disk| disk.store(NodeId::A))
    }

    /// Where the pair keeps its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the nodes said.
    pub fn events(&self) -> &EventLog {
        &self.events
    }

    /// What lies between the nodes, and between them and clients.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// The disk that the nodes share, if it is one of its own.
    pub fn disk(&self) -> Option<&SharedDisk> {
        self.disk.as_ref()
    }

    /// The process of a node.
    pub fn process(&self, node: NodeId) -> Option<&NodeProcess> {
        self.slots[node.index()].process.as_ref()
    }

    /// How a node's process ended, if it has.
    pub fn exit(&self, node: NodeId) -> Option<Exit> {
        self.process(node).and_then(NodeProcess::exit)
    }

    /// The node that says of itself that it is active, and lives. A stopped node still says what it said last.
    pub fn active(&self) -> Option<NodeId> {
        NodeId::BOTH.into_iter().find(|&node| self.is_active(node))
    }

    /// Whether a node says of itself that it is active, and lives.
    pub fn is_active(&self, node: NodeId) -> bool {
        self.is(node, |state| state.is_active())
    }

    /// Whether one node is active and the other standby, if there is another.
    pub fn has_roles(&self) -> bool {
        self.active().is_some_and(|active| self.lone || self.is(active.peer(), |state| state.is_standby()))
    }

    fn is(&self, node: NodeId, check: impl Fn(&super::NodeState) -> bool) -> bool {
        let slot = &self.slots[node.index()];
        let lives = slot.process.as_ref().is_some_and(|process| process.exit().is_none());
        lives && self.events.state(node, slot.starts).is_some_and(|state| check(&state))
    }

    /// Waits until [`Self::has_roles`]; a node that ends with an error is an error at once.
    pub async fn await_roles(&self, limit: Duration) -> Result<()> {
        let wanted = if self.lone { "an active server" } else { "one active and one standby server" };
        self.await_that(wanted, limit, |pair| pair.has_roles() || pair.ended_node().is_some()).await?;
        self.ended_node().map_or(Ok(()), Err)
    }

    /// Waits until `condition` holds. It is looked at after each event, and every 20 ms, since an end of a process is no event.
    pub async fn await_that(
        &self,
        wanted: &'static str,
        limit: Duration,
        condition: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let seen = self.events.len();
            if condition(self) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let limit_ms = limit.as_millis() as u64;
                return Err(Error::Roles { wanted, seen: self.roles(), limit_ms });
            }
            // Elapsed or woken, the condition is looked at again.
            let _ = tokio::time::timeout(Duration::from_millis(20), self.events.changed(seen)).await;
        }
    }

    /// An error that quotes the last words of a node which has ended; one that was killed has been started again before it is asked for.
    fn ended_node(&self) -> Option<Error> {
        NodeId::BOTH.into_iter().find_map(|node| {
            let process = self.process(node)?;
            let exit = process.exit()?;
            Some(Error::NodeEnded { node: node.name(), status: exit.to_string(), last_words: process.last_words() })
        })
    }

    /// The roles in words, for messages.
    pub fn roles(&self) -> String {
        let role = |node: NodeId| {
            let slot = &self.slots[node.index()];
            match (self.exit(node), self.events.state(node, slot.starts)) {
                (Some(exit), _) => format!("{}: ended with {exit}", node.name()),
                (None, Some(state)) => format!("{}: {}", node.name(), state.0),
                (None, None) => format!("{}: said nothing yet", node.name()),
            }
        };
        NodeId::BOTH.map(role).join(", ")
    }

    /// Ends both nodes and returns all that they said, once the pipes are read to their end.
    pub fn finish(&mut self) -> Vec<Event> {
        for node in NodeId::BOTH {
            self.end_node(node);
        }
        self.events.snapshot()
    }

    /// Copies what the nodes logged into `target`, for a trial that needs a closer look.
    pub fn copy_logs(&self, target: &Path) -> Result<()> {
        copy_logs(self.folder.path(), target)?;
        self.disk.as_ref().map_or(Ok(()), |disk| disk.write_report(target))
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if let Some(disk) = &self.disk {
            disk.let_go();
        }
    }
}

/// Both nodes make their first segments when they start, which takes a moment on a slow disk.
const START_LIMIT: Duration = Duration::from_secs(20);

fn copy_logs(folder: &Path, target: &Path) -> Result<()> {
    use crate::error::AtPath;
    for node in NodeId::BOTH {
        let source = folder.join(node.name());
        let target = target.join(node.name());
        std::fs::create_dir_all(&target).at(&target)?;
        for entry in std::fs::read_dir(&source).at(&source)? {
            let path = entry.at(&source)?.path();
            if let Some(name) = path.file_name().filter(|_| path.is_file()) {
                std::fs::copy(&path, target.join(name)).at(&path)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that plays a node: it understands `node --config PATH`, says its role, and lives.
    fn actor(folder: &Path, script: &str) -> Launcher {
        let path = folder.join("actor");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("the folder is ours");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("the file is ours");
        Launcher::new(path, None)
    }

    const PLAYS_BOTH_ROLES: &str = "case $3 in */A/*) role=ACTIVE;; *) role=STANDBY;; esac
echo \"{\\\"event\\\":\\\"ft_state\\\",\\\"t_ns\\\":1,\\\"to\\\":\\\"$role\\\"}\"
exec sleep 60";

    async fn started(folder: &Path, script: &str) -> Result<Pair> {
        let work = TemporaryFolder::new(folder, "pair-", false)?;
        Pair::start(actor(folder, script), &PairPlan::default(), &Setup::default(), work).await
    }

    #[tokio::test]
    async fn roles_are_known_from_the_event_lines_and_an_ended_node_has_none() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut pair = started(folder.path(), PLAYS_BOTH_ROLES).await.expect("both roles are played");
        assert_eq!(pair.active(), Some(NodeId::A));
        let pid = pair.process(NodeId::A).expect("it runs").pid();
        crate::faults::process::kill(pid).expect("it runs").expect("SIGKILL has effect");
        pair.await_that("no active", Duration::from_secs(5), |pair| pair.active().is_none()).await.expect("A is dead");
        pair.start_node(NodeId::A).expect("it starts again");
        pair.await_roles(Duration::from_secs(5)).await.expect("roles are back");
        let events = pair.finish();
        assert_eq!(events.iter().filter(|event| event.node == NodeId::A).map(|event| event.start).max(), Some(2));
    }

    #[tokio::test]
    async fn a_lone_node_needs_no_standby() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let work = TemporaryFolder::new(folder.path(), "pair-", false).expect("a folder");
        let setup = Setup { lone: true, ..Setup::default() };
        let launcher = actor(folder.path(), PLAYS_BOTH_ROLES);
        let mut pair = Pair::start(launcher, &PairPlan::default(), &setup, work).await.expect("A is played");
        assert!(pair.has_roles() && pair.process(NodeId::B).is_none());
        assert_eq!(pair.urls(), [pair.url(NodeId::A)]);
        pair.end_node(NodeId::A);
        assert!(!pair.has_roles());
    }

    #[tokio::test]
    async fn folder_and_processes_go_with_the_pair() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pair = started(folder.path(), PLAYS_BOTH_ROLES).await.expect("both roles are played");
        let path = pair.folder().to_owned();
        let pids = NodeId::BOTH.map(|node| pair.process(node).expect("it runs").pid());
        drop(pair);
        assert!(!path.exists());
        assert!(pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
    }

    #[tokio::test]
    async fn a_node_that_cannot_start_is_quoted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let error = started(folder.path(), "echo 'line 3: no such parameter' >&2; exit 1").await.expect_err("it ended");
        assert!(matches!(error, Error::NodeEnded { .. }) && error.to_string().contains("no such parameter"), "{error}");
    }
}
