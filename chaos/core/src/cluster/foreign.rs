//! A broker, or a pair, that is not ours: started, ended and asked by the commands of its target file.
//!
//! What it says of itself is not understood here. Who is active is told by its role command, or by who lets a client attach to the queue under
//! test. Its processes are found by a mark in their environment ([`crate::faults::tree`]); on another machine, its own commands do and prove.

use super::pair::{Launcher, NodeId};
use super::process::{Exit, NodeProcess};
use super::supervisor::Supervisor;
use crate::cleanup::{self, TemporaryFolder};
use crate::clock;
use crate::error::{AtPath, Doing, Error, Result};
use crate::faults::{Effect, tree};
use crate::scenario::StoreSetting;
use crate::targets::{CommandLine, Running, Target, TargetNode, Variables};
use loadgen::options::{Limit, Options, Url};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Pause between two questions to a node.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// A node that serves lets a client attach within this time.
const ATTACH_LIMIT: Duration = Duration::from_secs(2);

/// Distinguishes the clusters of one run.
static CLUSTERS: AtomicU32 = AtomicU32::new(0);

/// A running target. Dropping it ends its nodes before its folder goes.
#[derive(Debug)]
pub struct Foreign {
    target: Arc<Target>,
    nodes: Vec<SharedNode>,
    supervisors: Vec<Supervisor>,
    /// Where clients are let in, for the question who is active.
    address: String,
    active: Option<NodeId>,
    folder: TemporaryFolder,
}

/// A node that its supervisor may start again at any time.
pub(super) type SharedNode = Arc<Mutex<ForeignNode>>;

/// What exists of one node.
#[derive(Debug)]
pub(super) struct ForeignNode {
    id: NodeId,
    target: Arc<Target>,
    variables: Variables,
    environment: BTreeMap<String, String>,
    mark: tree::Mark,
    launcher: Launcher,
    folder: PathBuf,
    process: Option<NodeProcess>,
    starts: u32,
    started_ns: u64,
    /// A command of the target has ended it: on another machine nothing else would tell.
    is_down: bool,
}

/// A list of plain values is valid after any panic of another task.
pub(super) fn lock(node: &SharedNode) -> MutexGuard<'_, ForeignNode> {
    node.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Foreign {
    /// Gives the target a fresh store, starts its nodes, and waits until one of them lets clients attach to the queue of `store` and the other is ready.
    pub async fn start(
        launcher: &Launcher,
        target: Arc<Target>,
        store: StoreSetting,
        folder: TemporaryFolder,
    ) -> Result<Self> {
        if let Some(program) = target.missing() {
            let (target, program, remedy) = (target.name.clone(), program.to_owned(), target.remedy.clone());
            return Err(Error::Missing { target, program, remedy });
        }
        let ports = free_ports(&target.ports)?;
        let cluster = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        let mut nodes = Vec::new();
        for id in NodeId::BOTH.into_iter().take(target.nodes.len()) {
            let mark = tree::Mark::new(format!("{}-{cluster}-{}", std::process::id(), id.name()));
            let node = ForeignNode::new(id, &target, launcher.clone(), folder.path(), mark, &ports);
            std::fs::create_dir_all(node.own_folder()).at(&node.own_folder())?;
            nodes.push(Arc::new(Mutex::new(node)));
        }
        let address = target.queue(store).map(|queue| queue.address.clone()).unwrap_or_default();
        let mut foreign = Self { target, nodes, supervisors: Vec::new(), address, active: None, folder };
        foreign.bring_up().await?;
        Ok(foreign)
    }

    async fn bring_up(&mut self) -> Result<()> {
        let target = Arc::clone(&self.target);
        self.run_for_all(target.clean.as_ref()).await?;
        for node in &self.nodes {
            start(node).await?;
        }
        self.run_for_all(target.prepare.as_ref()).await?;
        self.await_roles(target.limits.start).await?;
        if let Some(delay) = target.restart_after {
            self.supervisors = self.nodes.iter().map(|node| Supervisor::watch(node, delay)).collect();
        }
        Ok(())
    }

    async fn run_for_all(&self, command: Option<&CommandLine>) -> Result<()> {
        let Some(command) = command else { return Ok(()) };
        let running = lock(&self.nodes[0]).run(command, self.target.limits.start)?;
        running.succeeded().await.map(drop)
    }

    /// What was read from its file.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Its nodes.
    pub fn members(&self) -> &'static [NodeId] {
        &NodeId::BOTH[..self.nodes.len()]
    }

    fn node(&self, node: NodeId) -> MutexGuard<'_, ForeignNode> {
        lock(&self.nodes[node.index()])
    }

    /// The URL of a node, with the login, for clients.
    pub fn url(&self, node: NodeId) -> Url {
        self.node(node).url()
    }

    /// Where it keeps its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The node that was active when it was last asked.
    pub fn active(&self) -> Option<NodeId> {
        self.active
    }

    /// The node that serves once this one does not: the other one, or the same one again.
    pub fn successor(&self, victim: NodeId) -> NodeId {
        if self.target.is_lone() { victim } else { victim.peer() }
    }

    /// How often a node was started.
    pub fn starts(&self, node: NodeId) -> u32 {
        self.node(node).starts
    }

    /// When a node was started last, nanoseconds of CLOCK_MONOTONIC.
    pub fn started_ns(&self, node: NodeId) -> u64 {
        self.node(node).started_ns
    }

    /// The processes of a node on this machine.
    pub fn processes(&self, node: NodeId) -> Vec<Pid> {
        self.node(node).mark.processes(&[])
    }

    /// How a node's own process ended, if it has; of a node whose start command returns nothing is known.
    pub fn exit(&self, node: NodeId) -> Option<Exit> {
        self.node(node).process.as_ref().and_then(NodeProcess::exit)
    }

    /// Whether a node runs, as far as that can be told from here.
    pub fn is_running(&self, node: NodeId) -> bool {
        self.node(node).is_running()
    }

    /// Ends a node at once, as SIGKILL does.
    pub async fn kill(&self, node: NodeId) -> Result<Option<Effect>> {
        let effect = self.fault(node, |node| (node.kill.as_ref(), node.kill_proof.as_ref()), tree::kill).await?;
        self.node(node).is_down = effect.is_some();
        Ok(effect)
    }

    /// Stops a node, as SIGSTOP does.
    pub async fn pause(&self, node: NodeId) -> Result<Option<Effect>> {
        self.fault(node, |node| (node.pause.as_ref(), node.pause_proof.as_ref()), tree::stop).await
    }

    /// Lets a stopped node run on.
    pub async fn resume(&self, node: NodeId) -> Result<Option<Effect>> {
        self.fault(node, |node| (node.resume.as_ref(), node.resume_proof.as_ref()), tree::resume).await
    }

    /// The target's own command and proof, if it has them; else signals to the processes that are found here.
    async fn fault(
        &self,
        id: NodeId,
        commands: fn(&TargetNode) -> (Option<&CommandLine>, Option<&CommandLine>),
        signal: fn(&tree::Mark, &[Pid]) -> Result<Option<Effect>>,
    ) -> Result<Option<Effect>> {
        let words = &self.target.nodes[id.index()];
        if let (Some(command), Some(proof)) = commands(words) {
            return self.fault_by_command(id, command, proof).await;
        }
        let more = match &words.pids {
            Some(command) => numbers(&self.ask(id, command).await?.1),
            None => Vec::new(),
        };
        let mark = self.node(id).mark.clone();
        if mark.processes(&more).is_empty() {
            return Err(Error::NoProcess { node: id.name(), mark: tree::MARK_NAME });
        }
        signal(&mark, &more)
    }

    async fn fault_by_command(&self, id: NodeId, command: &CommandLine, proof: &CommandLine) -> Result<Option<Effect>> {
        let requested_ns = clock::now_ns();
        let running = self.node(id).run(command, self.target.limits.command)?;
        running.succeeded().await?;
        let deadline = Instant::now() + self.target.limits.command;
        while Instant::now() < deadline {
            let (proved, output) = self.ask(id, proof).await?;
            if proved {
                let words = self.node(id).words(proof).join(" ");
                let proof = format!("`{words}` exited with 0 {output}").trim_end().to_owned();
                return Ok(Some(Effect { requested_ns, effective_ns: clock::now_ns(), proof }));
            }
            sleep(ASK_AGAIN).await;
        }
        Ok(None)
    }

    /// Whether a command exits with 0, and what it printed.
    async fn ask(&self, node: NodeId, command: &CommandLine) -> Result<(bool, String)> {
        let running = self.node(node).run(command, self.target.limits.command)?;
        let finished = running.finished().await?;
        Ok((finished.status.success(), finished.output))
    }

    /// Starts a node unless its supervisor has done so or will.
    pub async fn start_again(&self, node: NodeId) -> Result<()> {
        if self.supervisors.is_empty() && !self.is_running(node) {
            start(&self.nodes[node.index()]).await?;
        }
        Ok(())
    }

    /// Whether a node serves clients now.
    pub async fn is_active(&self, node: NodeId) -> Result<bool> {
        match &self.target.nodes[node.index()].role {
            Some(command) => Ok(self.ask(node, command).await?.1.split_whitespace().next() == Some("active")),
            None => Ok(self.is_running(node) && self.lets_attach(node).await.is_ok()),
        }
    }

    /// Attaches a sender to the queue under test and leaves.
    async fn lets_attach(&self, node: NodeId) -> Result<()> {
        let options = Options {
            urls: vec![self.url(node)],
            addresses: vec![self.address.clone()],
            producers: 1,
            consumers: 0,
            limit: Limit::Count(0),
            connect_timeout: ATTACH_LIMIT,
            ..Options::default()
        };
        let handle = loadgen::run::start(options, None)?;
        handle.started(ATTACH_LIMIT).await?;
        handle.finish().await?;
        Ok(())
    }

    /// Asks who is active.
    pub async fn look(&mut self) -> Result<Option<NodeId>> {
        let mut found = None;
        for &node in self.members() {
            if found.is_none() && self.is_active(node).await? {
                found = Some(node);
            }
        }
        self.active = found;
        Ok(found)
    }

    /// Waits until a node serves that was not active before, or the same one again after `starts` starts of it.
    pub async fn await_takeover(&mut self, victim: NodeId, starts: u32, limit: Duration) -> Result<()> {
        let successor = self.successor(victim);
        let deadline = Instant::now() + limit;
        loop {
            let is_new = successor != victim || self.starts(successor) > starts;
            if is_new && self.is_active(successor).await? {
                self.active = Some(successor);
                return Ok(());
            }
            self.give_up_at(deadline, "a node that takes over and accepts clients", limit).await?;
        }
    }

    /// Waits until one node serves clients and the other is ready to take over.
    pub async fn await_roles(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(active) = self.look().await?
                && self.is_ready(active.peer()).await?
            {
                return Ok(());
            }
            if self.supervisors.is_empty() {
                self.check_ended()?;
            }
            self.give_up_at(deadline, "a node that accepts clients, and another that is ready if there is one", limit)
                .await?;
        }
    }

    async fn is_ready(&self, node: NodeId) -> Result<bool> {
        match self.target.nodes.get(node.index()) {
            None => Ok(true),
            Some(_) if !self.is_running(node) => Ok(false),
            Some(TargetNode { ready: Some(command), .. }) => Ok(self.ask(node, command).await?.0),
            Some(_) => Ok(true),
        }
    }

    /// A node that nobody starts again and that has ended is an error that quotes it.
    fn check_ended(&self) -> Result<()> {
        for &id in self.members() {
            let node = self.node(id);
            if let Some((process, exit)) = node.process.as_ref().and_then(|process| Some((process, process.exit()?))) {
                let (status, last_words) = (exit.to_string(), process.last_words());
                return Err(Error::NodeEnded { node: id.name(), status, last_words });
            }
        }
        Ok(())
    }

    async fn give_up_at(&self, deadline: Instant, wanted: &'static str, limit: Duration) -> Result<()> {
        if Instant::now() >= deadline {
            let limit_ms = limit.as_millis() as u64;
            return Err(Error::Roles { wanted, seen: self.roles(), limit_ms });
        }
        sleep(ASK_AGAIN).await;
        Ok(())
    }

    /// What is known of the nodes, in words.
    pub fn roles(&self) -> String {
        let role = |&id: &NodeId| {
            let node = self.node(id);
            let state = if node.is_running() { "runs" } else { "does not run" };
            let words = node.process.as_ref().map(NodeProcess::last_words).filter(|words| !words.is_empty());
            let words = words.map_or_else(String::new, |words| format!(" (its last words: {words})"));
            format!("{} {state}, started {} times{words}", id.name(), node.starts)
        };
        self.members().iter().map(role).collect::<Vec<_>>().join(", ")
    }

    /// Ends all nodes: in good order where the target says how, and at once what is left.
    pub fn finish(&mut self) {
        self.supervisors.clear();
        for node in &self.nodes {
            lock(node).end();
        }
    }

    /// Copies what the nodes logged into `target`, for a trial that needs a closer look.
    pub fn copy_logs(&self, target: &Path) -> Result<()> {
        for &id in self.members() {
            let node = self.node(id);
            let target = target.join(id.name());
            copy(&node.own_folder(), &target)?;
            for path in &node.words_of_node().logs {
                let path = PathBuf::from(node.variables.replace(path));
                if let Some(name) = path.file_name().filter(|_| path.exists()) {
                    copy(&path, &target.join(name))?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.finish();
        for node in &self.nodes {
            cleanup::remove_mark(&lock(node).mark);
        }
    }
}

/// Starts a node, and waits for a start command that returns.
pub(super) async fn start(node: &SharedNode) -> Result<()> {
    let launched = lock(node).launch()?;
    match launched {
        Some(running) => running.succeeded().await.map(drop),
        None => Ok(()),
    }
}

impl ForeignNode {
    fn new(
        id: NodeId,
        target: &Arc<Target>,
        launcher: Launcher,
        folder: &Path,
        mark: tree::Mark,
        ports: &BTreeMap<String, u16>,
    ) -> Self {
        let mut variables: BTreeMap<String, String> =
            ports.iter().map(|(name, port)| (format!("port.{name}"), port.to_string())).collect();
        let own = [
            ("dir", folder.display().to_string()),
            ("target", target.folder.display().to_string()),
            ("node", id.name().to_owned()),
            ("mark", mark.value().to_owned()),
        ];
        variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let variables = Variables(variables);
        let replaced = |(name, value): (&String, &String)| (name.clone(), variables.replace(value));
        let mut environment: BTreeMap<String, String> = target.environment.iter().map(replaced).collect();
        environment.insert(tree::MARK_NAME.to_owned(), mark.value().to_owned());
        cleanup::add_mark(&mark);
        let (target, folder) = (Arc::clone(target), folder.to_owned());
        Self {
            id,
            target,
            variables,
            environment,
            mark,
            launcher,
            folder,
            process: None,
            starts: 0,
            started_ns: 0,
            is_down: true,
        }
    }

    fn words_of_node(&self) -> &TargetNode {
        &self.target.nodes[self.id.index()]
    }

    fn own_folder(&self) -> PathBuf {
        self.folder.join(format!("node-{}", self.id.name()))
    }

    fn url(&self) -> Url {
        let mut url: Url =
            self.variables.replace(&self.words_of_node().url).parse().expect("it was checked when the file was read");
        if let Some(login) = &self.target.login {
            url.credentials = Some((login.user.clone(), login.password.clone()));
        }
        url
    }

    fn words(&self, command: &CommandLine) -> Vec<String> {
        command.words(&self.variables)
    }

    /// A command that only asks or does something is not part of the node: it carries no mark.
    fn run(&self, command: &CommandLine, limit: Duration) -> Result<Running> {
        let mut environment = self.environment.clone();
        environment.remove(tree::MARK_NAME);
        Running::start(self.words(command), &environment, limit)
    }

    /// Starts it, once nothing is left of it from before: two machines over one store would be another fault.
    fn launch(&mut self) -> Result<Option<Running>> {
        tree::kill(&self.mark, &[])?;
        self.process = None;
        self.starts += 1;
        self.started_ns = clock::now_ns();
        self.is_down = false;
        let words = self.words(&self.words_of_node().start);
        if self.words_of_node().start_returns {
            return Running::start(words, &self.environment, self.target.limits.start).map(Some);
        }
        let mut command: Command = self.launcher.program(&words);
        command.envs(&self.environment).current_dir(&self.folder);
        let output = self.own_folder().join(format!("output-{}.log", self.starts));
        self.process = Some(NodeProcess::start_logged(command, &output)?);
        Ok(None)
    }

    pub(super) fn is_child(&self) -> bool {
        self.process.is_some()
    }

    pub(super) fn is_running(&self) -> bool {
        if self.is_down {
            return false;
        }
        match &self.process {
            Some(process) => process.exit().is_none(),
            // On another machine nothing tells that it has ended by itself.
            None => self.starts > 0 && (self.words_of_node().kill.is_some() || !self.mark.processes(&[]).is_empty()),
        }
    }

    /// Nothing can be done about what cannot be ended, but to say it.
    fn end(&mut self) {
        let stop = self.words_of_node().stop.clone().filter(|_| self.starts > 0);
        if let Some(stop) = stop {
            let stopped = self.run(&stop, self.target.limits.command).and_then(Running::finished_blocking);
            if let Err(error) = stopped {
                eprintln!("chaos: node {} was not stopped: {error}", self.id.name());
            }
        }
        if let Err(error) = tree::kill(&self.mark, &[]) {
            eprintln!("chaos: node {} was not ended: {error}", self.id.name());
        }
        self.process = None;
        self.is_down = true;
    }
}

/// Process ids, one a word.
fn numbers(text: &str) -> Vec<Pid> {
    text.split_whitespace().filter_map(|word| word.parse().ok().filter(|&pid| pid > 1).map(Pid::from_raw)).collect()
}

/// A port for each name. Another process could take one before the node listens; the node then refuses to start and says so.
fn free_ports(names: &[String]) -> Result<BTreeMap<String, u16>> {
    let mut sockets = Vec::new();
    for name in names {
        sockets.push((name.clone(), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("look for a free port")?));
    }
    let port =
        |(name, socket): (String, TcpListener)| Ok((name, socket.local_addr().doing("read a free port")?.port()));
    sockets.into_iter().map(port).collect()
}

/// A file, or a folder with all that is in it.
fn copy(source: &Path, target: &Path) -> Result<()> {
    if source.is_dir() {
        std::fs::create_dir_all(target).at(target)?;
        for entry in std::fs::read_dir(source).at(source)? {
            let entry = entry.at(source)?;
            copy(&entry.path(), &target.join(entry.file_name()))?;
        }
    } else if source.is_file() {
        std::fs::copy(source, target).at(source)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
