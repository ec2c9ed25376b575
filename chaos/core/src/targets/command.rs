//! A command of a target file: its words, the variables in them, and a run of it that is bounded in time and whose output is kept.

use crate::error::{Doing, Error, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a running command is looked at.
const POLL: Duration = Duration::from_millis(5);
/// Of a command's output, so much is kept for messages.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;

/// A command as the file gives it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a command: a list of words such as [\"program\", \"argument\"], or a string for sh -c"
)]
pub enum CommandLine {
    /// For `sh -c`.
    Shell(String),
    /// A program and its arguments.
    Words(Vec<String>),
}

impl CommandLine {
    /// The words with all variables replaced, program first.
    pub fn words(&self, variables: &Variables) -> Vec<String> {
        match self {
            Self::Shell(text) => vec!["sh".to_owned(), "-c".to_owned(), variables.replace(text)],
            Self::Words(words) => words.iter().map(|word| variables.replace(word)).collect(),
        }
    }

    /// Whether there is no program.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Shell(text) => text.trim().is_empty(),
            Self::Words(words) => words.first().is_none_or(String::is_empty),
        }
    }
}

/// Names and values of `${NAME}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(pub BTreeMap<String, String>);

impl Variables {
    /// The text with every known variable replaced.
    pub fn replace(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    }
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it printed on standard output and standard error, together.
    pub output: String,
}

/// A command under way, in a process group of its own.
#[derive(Debug)]
pub struct Running {
    child: Child,
    words: Vec<String>,
    /// A file and not a pipe: a daemon that the command leaves behind keeps it open and must neither block it nor be blocked.
    output: std::fs::File,
    deadline: Instant,
    limit: Duration,
}

impl Running {
    /// Starts a command that may take `limit`.
    pub fn start(words: Vec<String>, environment: &BTreeMap<String, String>, limit: Duration) -> Result<Self> {
        let output = tempfile::tempfile().doing("make a file for the output of a command")?;
        let copy = || output.try_clone().doing("share the file for the output of a command");
        let spawned = Command::new(&words[0])
            .args(&words[1..])
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(copy()?)
            .stderr(copy()?)
            .process_group(0)
            .spawn();
        let child = spawned.map_err(|source| Error::Spawn { program: words[0].clone().into(), source })?;
        Ok(Self { child, words, output, deadline: Instant::now() + limit, limit })
    }

    /// How it ended, once it has; an error when it took too long.
    pub fn poll(&mut self) -> Result<Option<Finished>> {
        if let Some(status) = self.child.try_wait().doing("wait for a command")? {
            return Ok(Some(Finished { status, output: self.text() }));
        }
        if Instant::now() < self.deadline {
            return Ok(None);
        }
        let status = format!("did not end within {:?}", self.limit);
        Err(Error::Command { command: self.words.join(" "), status, output: self.text() })
    }

    /// Waits for the end while other tasks go on.
    pub async fn finished(mut self) -> Result<Finished> {
        loop {
            match self.poll()? {
                Some(finished) => return Ok(finished),
                None => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Waits for the end, where nothing else can go on.
    pub fn finished_blocking(mut self) -> Result<Finished> {
        loop {
            match self.poll()? {
                Some(finished) => return Ok(finished),
                None => std::thread::sleep(POLL),
            }
        }
    }

    /// Waits for the end; another exit code than 0 is an error that quotes the output.
    pub async fn succeeded(self) -> Result<String> {
        let command = self.words.join(" ");
        let Finished { status, output } = self.finished().await?;
        if status.success() { Ok(output) } else { Err(Error::Command { command, status: status.to_string(), output }) }
    }

    fn text(&mut self) -> String {
        let mut bytes = Vec::new();
        let read =
            self.output.rewind().and_then(|()| (&mut self.output).take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
            Err(error) => format!("its output cannot be read: {error}"),
        }
    }
}

impl Drop for Running {
    /// A command that has not ended is killed with its process group; what it launched on purpose has ended its group by then.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It may end between the two calls; it is not reaped, so the group's id is still its own.
            let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
            if let Err(error) = self.child.wait() {
                eprintln!("chaos: cannot reap a command: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, limit_ms: u64) -> Result<Finished> {
        let words = CommandLine::Shell(text.to_owned()).words(&Variables::default());
        let environment = BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]);
        Running::start(words, &environment, Duration::from_millis(limit_ms))?.finished_blocking()
    }

    #[test]
    fn variables_are_replaced_in_every_word() {
        let variables = Variables(BTreeMap::from([
            ("dir".to_owned(), "/tmp/x".to_owned()),
            ("port.amqp".to_owned(), "7222".to_owned()),
        ]));
        let words = CommandLine::Words(vec!["run".to_owned(), "${dir}/a:${port.amqp}:$HOME".to_owned()]);
        assert_eq!(words.words(&variables), ["run", "/tmp/x/a:7222:$HOME"]);
        let shell = CommandLine::Shell("ls ${dir}".to_owned());
        assert_eq!(shell.words(&variables), ["sh", "-c", "ls /tmp/x"]);
    }

    #[test]
    fn output_and_status_are_kept() {
        let finished = run("echo $GREETING; echo no >&2; exit 3", 10_000).expect("it ends");
        assert_eq!((finished.status.code(), finished.output.as_str()), (Some(3), "hello\nno"));
    }

    #[tokio::test]
    async fn a_failed_command_is_quoted_with_its_output() {
        let words = vec!["sh".to_owned(), "-c".to_owned(), "echo the disk is gone; exit 1".to_owned()];
        let running = Running::start(words, &BTreeMap::new(), Duration::from_secs(10)).expect("sh(1) exists");
        let text = running.succeeded().await.expect_err("exit code 1").to_string();
        assert!(text.contains("exit status: 1") && text.contains("the disk is gone"), "{text}");
    }

    #[test]
    fn a_command_that_takes_too_long_is_ended_with_its_children() {
        let begin = Instant::now();
        let error = run("echo begun; sleep 60; echo never", 200).expect_err("it takes too long");
        assert!(error.to_string().contains("within 200ms") && error.to_string().contains("begun"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_daemon_that_keeps_the_output_open_does_not_hold_the_command_up() {
        let begin = Instant::now();
        let finished = run("sleep 5 & echo launched", 4_000).expect("the shell ends at once");
        assert_eq!(finished.output, "launched");
        assert!(begin.elapsed() < Duration::from_secs(3));
    }
}
