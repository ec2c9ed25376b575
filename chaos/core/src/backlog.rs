//! Fills a queue as fast as the broker confirms, and reads it to its end. What it means is for those who asked to judge.

use crate::clock::{NS_PER_S, now_ns};
use crate::cluster::Pair;
use crate::error::{AtPath, Doing, Error, Result};
use crate::progress::Progress;
use loadgen::ledger::{ConsumerLog, Ledger};
use loadgen::options::{Ack, Limit, Options, Url};
use loadgen::run::Handle;
use loadgen::schedule::Rate;
use nix::sys::statvfs::statvfs;
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

/// A broker takes and gives at least so many messages a second, or the harness gives up on it.
const MESSAGES_PER_S_MIN: u64 = 4000;
/// Time beyond that, for connections and the first and last messages.
const MARGIN: Duration = Duration::from_secs(30);
/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// Unconfirmed messages of each filling producer, and messages that the broker may send the draining consumer ahead: enough to keep
/// both sides busy.
const WINDOW: u32 = 4000;
/// Nothing arrives for so long when a queue is empty.
const QUIET: Duration = Duration::from_millis(300);
/// Clients connect within this time, or the work cannot be done: a large store may have to be read first.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);

/// A queue of a running pair.
#[derive(Clone, Copy, Debug)]
pub struct Queue<'a> {
    /// The pair.
    pub pair: &'a Pair,
    /// Name of the queue.
    pub address: &'a str,
    /// Body of each message, bytes.
    pub payload_bytes: usize,
    /// Told how far it has come.
    pub progress: &'a Progress,
}

/// What a drain found.
#[derive(Debug)]
pub struct Drained {
    /// What the consumer received.
    pub consumers: Vec<ConsumerLog>,
    /// Whether the queue was seen empty.
    pub complete: bool,
    /// How long it took, from the first connection attempt to the last message, s.
    pub seconds: f64,
}

impl Queue<'_> {
    /// Sends `messages` messages; gives their record and the time it took, s.
    pub async fn fill(&self, messages: u64) -> Result<(Ledger, f64)> {
        let options = Options { producers: 2, consumers: 0, limit: Limit::Count(messages), ..self.options() };
        let begin_ns = now_ns();
        let handle = loadgen::run::start(options, None)?;
        handle.started(CONNECT_LIMIT).await?;
        let done = |handle: &Handle| handle.snapshot().confirmed;
        let sent = handle.sent_all(limit_for(messages));
        if !self.shown(&handle, sent, "filling the store", messages, done).await {
            return Err(Error::Fill { messages, confirmed: done(&handle) });
        }
        let seconds = (now_ns() - begin_ns) as f64 / NS_PER_S as f64;
        Ok((handle.finish().await?.ledger, seconds))
    }

    /// Reads all of the `messages` messages that carry the mark `run`, waiting for the confirmation of each acknowledgement.
    pub async fn drain(&self, run: u64, messages: u64) -> Result<Drained> {
        let options = Options { producers: 0, run: Some(run), ..self.options() };
        let begin_ns = now_ns();
        let handle = loadgen::run::start(options, None)?;
        handle.started(CONNECT_LIMIT).await?;
        let done = |handle: &Handle| handle.snapshot().delivered;
        let drain = handle.drain(QUIET, limit_for(messages));
        let complete = self.shown(&handle, drain, "draining the queue", messages, done).await;
        let consumers = handle.finish().await?.ledger.consumers;
        let last_ns = consumers.iter().filter_map(|log| log.deliveries.iter().last()).map(|last| last.arrival_ns).max();
        let seconds = last_ns.unwrap_or(begin_ns).saturating_sub(begin_ns) as f64 / NS_PER_S as f64;
        Ok(Drained { consumers, complete, seconds })
    }

    fn options(&self) -> Options {
        Options {
            urls: urls(self.pair),
            addresses: vec![self.address.to_owned()],
            rate: Rate::Max,
            payload_bytes: self.payload_bytes,
            window: WINDOW,
            credit: WINDOW,
            ack: Ack::Confirmed,
            ..Options::default()
        }
    }

    /// Shows how far a step has come while it goes on.
    async fn shown(
        &self,
        handle: &Handle,
        step: impl Future<Output = bool>,
        words: &str,
        messages: u64,
        done: impl Fn(&Handle) -> u64,
    ) -> bool {
        tokio::pin!(step);
        loop {
            tokio::select! {
                result = &mut step => return result,
                () = sleep(SHOW_EVERY) => {
                    self.progress.phase(&format!("{words}: {} of {messages} messages", done(handle)));
                }
            }
        }
    }
}

/// The URLs of a pair, for the load generator.
pub fn urls(pair: &Pair) -> Vec<Url> {
    pair.urls().iter().map(|url| url.parse().expect("the pair's URLs are well-formed")).collect()
}

fn limit_for(messages: u64) -> Duration {
    MARGIN + Duration::from_secs(messages / MESSAGES_PER_S_MIN)
}

/// An error where the file system of `folder` has no room for messages of so many bytes, for what the journal adds to them until they
/// are drained, and for segments that stand ready.
pub fn demand_room(folder: &Path, size_bytes: u64) -> Result<()> {
    let wanted = size_bytes + size_bytes / 2 + (1 << 30);
    let found = statvfs(folder).doing("look for room on the disk")?;
    let free = found.blocks_available() * found.fragment_size();
    let path = folder.to_owned();
    if free < wanted { Err(Error::NoRoom { path, wanted, free }) } else { Ok(()) }
}

/// What the files below `folder` take on the disk. A file may go while it is looked at.
pub fn folder_bytes(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).at(folder)? {
        let Ok(entry) = entry else { continue };
        match entry.metadata() {
            Ok(found) if found.is_dir() => bytes += folder_bytes(&entry.path()).unwrap_or(0),
            Ok(found) => bytes += found.blocks() * 512,
            Err(_gone) => {}
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_measured_with_the_folders_in_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).expect("the folder is ours");
        for path in [folder.path().join("a"), inner.join("b")] {
            std::fs::write(path, vec![1; 64 << 10]).expect("the folder is ours");
        }
        let bytes = folder_bytes(folder.path()).expect("it exists");
        assert!((128 << 10..256 << 10).contains(&bytes), "{bytes}");
        assert!(folder_bytes(&folder.path().join("absent")).is_err());
    }

    #[test]
    fn a_full_disk_is_the_environments_fault() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let error = demand_room(folder.path(), 1 << 60).expect_err("no disk is so large");
        assert!(error.is_environment() && error.to_string().contains("free"), "{error}");
    }

    #[test]
    fn more_messages_have_more_time() {
        assert!(limit_for(10 << 20) > Duration::from_secs(2000) && limit_for(1) < Duration::from_secs(60));
    }
}
