//! One running node: its process, its standard output as events, its standard error as a file, and its end.

use super::{EventLog, NodeId};
use crate::cleanup;
use crate::clock;
use crate::error::{AtPath, Doing, Error, Result};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use tokio::sync::watch;

/// How and when a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// When the end was seen, nanoseconds of CLOCK_MONOTONIC.
    pub t_ns: u64,
    /// Exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<Signal>,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "{signal}"),
            (None, None) => f.write_str("no status"),
        }
    }
}

/// A child process. It is reaped only when this is dropped, so its id stays its own until then.
#[derive(Debug)]
pub struct NodeProcess {
    child: Child,
    pid: Pid,
    errors: PathBuf,
    exit: watch::Receiver<Option<Exit>>,
    threads: Vec<JoinHandle<()>>,
}

impl NodeProcess {
    /// Starts `command`. Its standard output goes to `log`, its standard error to the file `errors`.
    ///
    /// Call it on the main thread: the kernel kills a node when the *thread* that started it ends.
    pub fn start(mut command: Command, node: NodeId, start: u32, log: &EventLog, errors: &Path) -> Result<Self> {
        let error_file = File::create(errors).at(errors)?;
        command.stdout(Stdio::piped()).stderr(error_file);
        let mut process = Self::spawn(command, errors)?;
        let output = BufReader::new(process.child.stdout.take().expect("standard output was asked for as a pipe"));
        let log = log.clone();
        process.threads.push(std::thread::spawn(move || log.follow(node, start, output)));
        Ok(process)
    }

    /// Starts `command`, which says nothing that is understood here: all of its output goes to the file `output`. On the main thread, too.
    pub fn start_logged(mut command: Command, output: &Path) -> Result<Self> {
        let file = File::create(output).at(output)?;
        let copy = file.try_clone().at(output)?;
        command.stdout(copy).stderr(file);
        Self::spawn(command, output)
    }

    fn spawn(mut command: Command, errors: &Path) -> Result<Self> {
        let spawned = command.stdin(Stdio::null()).spawn();
        let child = spawned.map_err(|source| Error::Spawn { program: command.get_program().into(), source })?;
        let pid = Pid::from_raw(child.id() as i32);
        cleanup::add_process(pid);
        let (sender, exit) = watch::channel(None);
        let threads = vec![std::thread::spawn(move || await_exit(pid, &sender))];
        Ok(Self { child, pid, errors: errors.to_owned(), exit, threads })
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Waits for its end.
    pub async fn ended(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await.map(|exit| *exit) {
            Ok(Some(exit)) => exit,
            // The waiting thread went away without a word: waitid failed, so nothing is known about the end.
            _ => Exit { t_ns: clock::now_ns(), code: None, signal: None },
        }
    }

    /// The end of its standard error, for messages; of a panic, its head.
    pub fn last_words(&self) -> String {
        let bytes = std::fs::read(&self.errors).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let panic = lines.iter().rposition(|line| line.contains("panicked at"));
        let from = panic.unwrap_or(lines.len().saturating_sub(3));
        lines[from..].iter().take(3).copied().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for NodeProcess {
    /// SIGKILL also ends a stopped process. The id is taken off the list before the process is reaped.
    fn drop(&mut self) {
        // It may have ended by itself; it is still ours until the wait below.
        let _ = kill(self.pid, Signal::SIGKILL);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        cleanup::remove_process(self.pid);
        if let Err(error) = self.child.wait() {
            eprintln!("chaos: cannot reap node process {}: {error}", self.pid);
        }
    }
}

/// Waits without reaping.
fn await_exit(pid: Pid, sender: &watch::Sender<Option<Exit>>) {
    let status = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).doing("wait for a node");
    let t_ns = clock::now_ns();
    let exit = match status {
        Ok(WaitStatus::Exited(_, code)) => Exit { t_ns, code: Some(code), signal: None },
        Ok(WaitStatus::Signaled(_, signal, _)) => Exit { t_ns, code: None, signal: Some(signal) },
        Ok(_) => Exit { t_ns, code: None, signal: None },
        Err(error) => {
            eprintln!("chaos: {error}");
            return;
        }
    };
    sender.send_replace(Some(exit));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn shell(script: &str, folder: &Path, log: &EventLog) -> NodeProcess {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        NodeProcess::start(command, NodeId::A, 1, log, &folder.join("errors")).expect("sh(1) exists")
    }

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(10), future).await.expect("it happens within ten seconds")
    }

    #[tokio::test]
    async fn output_is_events_errors_are_kept_and_the_exit_code_is_seen() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = EventLog::default();
        let script = "echo '{\"event\":\"ft_state\",\"t_ns\":5,\"to\":\"ACTIVE\"}'; echo 'no room' >&2; exit 75";
        let node = shell(script, folder.path(), &log);
        assert_eq!(soon(node.ended()).await.code, Some(75));
        soon(log.changed(0)).await;
        assert!(log.state(NodeId::A, 1).expect("it was printed").is_active());
        assert_eq!(node.last_words(), "no room");
    }

    #[tokio::test]
    async fn a_dropped_node_is_killed_and_reaped_even_when_stopped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let node = shell("exec sleep 60", folder.path(), &EventLog::default());
        let pid = node.pid();
        crate::faults::process::stop(pid).expect("it runs").expect("SIGSTOP has effect");
        drop(node);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[tokio::test]
    async fn a_kill_is_reported_as_the_signal() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let node = shell("exec sleep 60", folder.path(), &EventLog::default());
        assert_eq!(node.exit(), None);
        crate::faults::process::kill(node.pid()).expect("it runs").expect("SIGKILL has effect");
        let exit = soon(node.ended()).await;
        assert_eq!((exit.code, exit.signal), (None, Some(Signal::SIGKILL)));
        assert_eq!(exit.to_string(), "SIGKILL");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = EventLog::default();
        let command = Command::new("/no/such/broker");
        let error = NodeProcess::start(command, NodeId::A, 1, &log, &folder.path().join("errors")).expect_err("absent");
        assert!(error.to_string().contains("/no/such/broker"), "{error}");
    }
}
