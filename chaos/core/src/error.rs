//! The one error type of this crate: a variant for each cause, worded for the person who ran the command.

use crate::result::Verdict;
use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong while a run is prepared, driven or reported. A fault that has no effect and a broker that loses messages
/// are results, not errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// What was being read or written.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A file of a result folder does not hold what it should.
    #[error("{path}: not understood: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why the parser stopped.
        source: serde_json::Error,
    },
    /// A result folder was written by another version.
    #[error("{path}: schema is {found:?}, this version reads {expected:?}")]
    Schema {
        /// The result file.
        path: PathBuf,
        /// What the file says.
        found: String,
        /// What this version writes.
        expected: &'static str,
    },
    /// A target file makes no sense.
    #[error("{path}:{line}: {reason}")]
    Target {
        /// The file.
        path: PathBuf,
        /// The line on which it is best mended, from 1.
        line: usize,
        /// The key, what is wrong with it, and the remedy.
        reason: String,
    },
    /// A command of a target file failed.
    #[error("{command}: {status}; it printed: {output}")]
    Command {
        /// The command's words.
        command: String,
        /// How it ended.
        status: String,
        /// Its standard output and standard error.
        output: String,
    },
    /// A foreign node cannot be found among the processes of this machine.
    #[error(
        "node {node} has no process here with {mark} in its environment; add pids to its [[node]], or on another machine kill, pause and resume"
    )]
    NoProcess {
        /// Which node.
        node: &'static str,
        /// Name of the mark.
        mark: &'static str,
    },
    /// A trial that makes no sense for a target.
    #[error("it makes no sense for {target}: {reason}")]
    Unsuited {
        /// Name of the target.
        target: String,
        /// Why.
        reason: String,
    },
    /// A program that a target needs is not there.
    #[error("{target} cannot be tested here: {program} is missing; {remedy}")]
    Missing {
        /// Name of the target.
        target: String,
        /// The program.
        program: String,
        /// How to get it.
        remedy: String,
    },
    /// A node's process could not be started.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// The program that was to run.
        program: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The disk that the pair shares could not be mounted, or does not answer.
    #[error(transparent)]
    Disk(#[from] shareddisk::Error),
    /// A node ended although nothing was done to it.
    #[error("node {node} ended by itself with {status}; its last words: {last_words}")]
    NodeEnded {
        /// Which node.
        node: &'static str,
        /// Exit code or signal.
        status: String,
        /// End of its standard error.
        last_words: String,
    },
    /// The pair did not reach the roles that the trial needs.
    #[error("after {limit_ms} ms the pair is not as needed: wanted {wanted}, seen {seen}")]
    Roles {
        /// What was waited for.
        wanted: &'static str,
        /// The roles that the event lines tell.
        seen: String,
        /// How long it was waited for, ms.
        limit_ms: u64,
    },
    /// The operating system refused a signal, a socket or another call.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The proxy only forwards on this machine.
    #[error("the proxy forwards to 127.0.0.1 only, not to {0}")]
    NotLoopback(std::net::SocketAddr),
    /// `ip` or `nft` did not do what it was asked for.
    #[error("{command}: {said}")]
    Tool {
        /// The program and its arguments.
        command: String,
        /// What it said, or why it did not run.
        said: String,
    },
    /// A fault needs another link than the pair has.
    #[error("a fault of the scenario needs {needed}, which the pair does not have; set link and clients of [pair]")]
    NoLink {
        /// What it needs.
        needed: &'static str,
    },
    /// Routes of this machine take all addresses that hosts could have.
    #[error(
        "no sixteen addresses of 10.192.0.0/10 are free for hosts of their own; routes of this machine take all of them"
    )]
    NoAddresses,
    /// The load generator could not start or end.
    #[error("load: {0}")]
    Load(#[from] loadgen::run::RunError),
    /// A backlog could not be built up in its time.
    #[error("of {messages} messages of the backlog, only {confirmed} were confirmed in time")]
    Fill {
        /// Messages that were wanted.
        messages: u64,
        /// Messages that the broker confirmed.
        confirmed: u64,
    },
    /// The disk is too small for a backlog.
    #[error("{path}: {free} bytes are free, {wanted} are needed; free some, or name another folder with TMPDIR")]
    NoRoom {
        /// Where the store would lie.
        path: PathBuf,
        /// Bytes that are needed.
        wanted: u64,
        /// Bytes that there are.
        free: u64,
    },
    /// A node did not answer on its administration address.
    #[error("administration: {0}")]
    Administration(#[from] loadgen::admin::AdminError),
    /// A plot could not be drawn.
    #[error("plot {name}: {reason}")]
    Plot {
        /// The plot's file name.
        name: String,
        /// The plotting library's words.
        reason: String,
    },
    /// The JUnit file could not be written.
    #[error("junit.xml: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// A saved histogram cannot be read back.
    #[error("{path}: not a histogram log: {reason}")]
    Histogram {
        /// The file.
        path: PathBuf,
        /// The decoder's words.
        reason: String,
    },
    /// A scenario or suite file does not say what it should.
    #[error("{path}:{line}: {reason}; docs/SCENARIOS.md describes every key")]
    Description {
        /// The file, or the name of a shipped one.
        path: String,
        /// Line of the key, or of the table that holds it.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Somebody asked the run to end.
    #[error("interrupted by {0}; the nodes are ended and their folders removed")]
    Interrupted(&'static str),
}

impl Error {
    /// Whether the machine, rather than the pair, stands in the way: a kernel or a container that refuses io_uring, or a small disk.
    pub fn is_environment(&self) -> bool {
        match self {
            // A panic may name it too, and is the broker's own fault.
            Self::NodeEnded { last_words, .. } => last_words.contains("io_uring") && !last_words.contains("panicked"),
            Self::NoRoom { .. }
            | Self::Missing { .. }
            | Self::Unsuited { .. }
            | Self::Disk(shareddisk::Error::Unavailable(_)) => true,
            _ => false,
        }
    }
}

impl Error {
    /// What a measurement that ended so is; `None` where the harness itself, or whoever ran it, is the cause.
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            error if error.is_environment() => Some(Verdict::Skipped),
            Self::NodeEnded { .. }
            | Self::Roles { .. }
            | Self::Command { .. }
            | Self::NoProcess { .. }
            | Self::Load(_)
            | Self::Fill { .. }
            | Self::Administration(_) => Some(Verdict::Unknown),
            _ => None,
        }
    }
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Adds the path to an error of the file system.
pub(crate) trait AtPath<T> {
    /// Names the file that the operation was about.
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::File { path: path.to_owned(), source })
    }
}

/// Adds what was being done to an error of a system call.
pub(crate) trait Doing<T> {
    /// Names the operation.
    fn doing(self, what: &'static str) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: &'static str) -> Result<T> {
        self.map_err(|source| Error::System { what, source })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, what: &'static str) -> Result<T> {
        self.map_err(|errno| Error::System { what, source: errno.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_io_uring_is_no_fault_of_the_broker_and_a_panic_is() {
        let ended = |last_words: &str| Error::NodeEnded {
            node: "A",
            status: "exit code 71".to_owned(),
            last_words: last_words.to_owned(),
        };
        assert!(ended("cannot set up io_uring: Operation not permitted").is_environment());
        assert!(!ended("thread 'main' panicked at reactor.rs:7\n   3: io_uring::submit").is_environment());
        assert!(!ended("no such parameter").is_environment());
    }
}
