//! From the start of a lone broker's process to the first message in a consumer's hands, against the time in which the store's files
//! could be read from one end to the other, both with a clean page cache.

use super::result::{Draft, Unit};
use super::site::{LONE, Site, payload_bytes};
use crate::backlog::{demand_room, folder_bytes, urls};
use crate::clock::{ms_between, now_ns};
use crate::cluster::Pair;
use crate::error::{AtPath, Error, Result};
use crate::report::count;
use crate::result::Verdict;
use crate::scenario::size;
use loadgen::options::{Ack, Options};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const START: &str = "process start to first delivery";
const ACCEPTING: &str = "process start to accepting clients (event line)";
const READ: &str = "reading the store's files once";

/// Start-up takes at most this share of the time in which the store can be read.
const SHARE_MAX: f64 = 0.2;
/// And at most this time, ms.
const START_MS_MAX: f64 = 100.0;
/// A consumer without a server tries again after this time.
const RETRY: Duration = Duration::from_millis(1);
/// How often it is looked whether the first message is there; its time is the consumer's own.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// The slowest start that is waited for, bytes of the store a second.
const START_BYTES_PER_S_MIN: u64 = 32 << 20;
/// Size of one read.
const BLOCK_BYTES: usize = 4 << 20;
/// What O_DIRECT wants buffers aligned to.
const ALIGNMENT_BYTES: usize = 4096;

pub(super) async fn run(site: &Site<'_>, draft: &mut Draft) -> Result<()> {
    let request = site.request;
    let mut pair = site.start(&request.broker, Vec::new()).await?;
    site.progress.begin("startup");
    demand_room(pair.folder(), request.messages * payload_bytes() as u64)?;
    let (ledger, fill_s) = site.queue(&pair).fill(request.messages).await?;
    let (store, store_bytes) = largest_folder(&pair.folder().join("store"))?;
    site.progress.note(&format!(
        "     {} messages filled in {fill_s:.1} s, {} of files",
        request.messages,
        size(store_bytes)
    ));
    draft.set("messages", count(request.messages));
    draft.set("body of each", size(payload_bytes() as u64));
    draft.set("files of the store that holds them", size(store_bytes));
    draft.set("end of the process before each start", "SIGKILL");
    pair.end_node(LONE);
    for round in 1..=request.rounds {
        drop_page_cache(draft);
        site.progress.phase("reading the store's files");
        let read_ms = read_files(&store)?;
        drop_page_cache(draft);
        site.progress.phase("starting the broker");
        let start = start(&mut pair, site, ledger.run, store_bytes).await?;
        draft.record(START, "", Unit::Ms, start.first_delivery_ms);
        if let Some(ms) = start.accepting_ms {
            draft.record(ACCEPTING, "", Unit::Ms, ms);
        }
        draft.record(READ, "", Unit::Ms, read_ms);
        site.progress.end_step(&format!(
            "  {round}/{}  first delivery after {:.1} ms, files read in {read_ms:.1} ms",
            request.rounds, start.first_delivery_ms
        ));
        if round < request.rounds {
            pair.end_node(LONE);
        }
    }
    let drained = site.queue(&pair).drain(ledger.run, request.messages).await?;
    site.judge(draft, ledger, drained);
    conclude(draft, request.messages);
    Ok(())
}

fn conclude(draft: &mut Draft, messages: u64) {
    let (Some(start_ms), Some(read_ms)) = (draft.median(START, ""), draft.median(READ, "")) else { return };
    let share = start_ms / read_ms;
    let sentences = [
        (format!("{START}: median {start_ms:.1} ms, at most {START_MS_MAX} ms are wanted"), start_ms <= START_MS_MAX),
        (
            format!(
                "that is {share:.3} of the {read_ms:.1} ms in which the files can be read, at most {SHARE_MAX} is wanted"
            ),
            share <= SHARE_MAX,
        ),
    ];
    for (words, met) in sentences {
        draft.demand_of_many(messages, words, met);
    }
}

/// What one start gave.
struct Start {
    first_delivery_ms: f64,
    accepting_ms: Option<f64>,
}

/// Starts the broker under a consumer that is already trying to connect. It takes one message and acknowledges nothing.
async fn start(pair: &mut Pair, site: &Site<'_>, run: u64, store_bytes: u64) -> Result<Start> {
    let limit = Duration::from_secs(30 + store_bytes / START_BYTES_PER_S_MIN);
    let options = Options {
        urls: urls(pair),
        addresses: vec![site.request.store.address().to_owned()],
        payload_bytes: payload_bytes(),
        producers: 0,
        credit: 1,
        ack: Ack::None,
        run: Some(run),
        connect_timeout: limit,
        reconnect_min: RETRY,
        reconnect_max: RETRY,
        ..Options::default()
    };
    let consumer = loadgen::run::start(options, None)?;
    sleep(LOOK_EVERY * 10).await;
    let (events_before, start_ns, deadline) = (pair.events().len(), now_ns(), Instant::now() + limit);
    pair.start_node(LONE)?;
    let first_ns = loop {
        let ledger = consumer.ledger();
        let first = ledger.consumers.iter().find_map(|log| log.deliveries.iter().next());
        if let Some(delivery) = first {
            break delivery.arrival_ns;
        }
        if Instant::now() >= deadline || pair.exit(LONE).is_some() {
            let limit_ms = limit.as_millis() as u64;
            return Err(Error::Roles { wanted: "a broker that delivers", seen: pair.roles(), limit_ms });
        }
        sleep(LOOK_EVERY).await;
    };
    consumer.finish().await?;
    let events = pair.events().snapshot();
    let accepting = events[events_before..].iter().find(|event| event.event == "accepting");
    Ok(Start {
        first_delivery_ms: ms_between(start_ns, first_ns),
        accepting_ms: accepting.map(|event| ms_between(start_ns, event.t_ns)),
    })
}

/// The store that holds the messages; the others hold only what they keep ready.
fn largest_folder(folder: &Path) -> Result<(PathBuf, u64)> {
    let mut largest = (folder.to_owned(), 0);
    for entry in std::fs::read_dir(folder).at(folder)? {
        let path = entry.at(folder)?.path();
        let bytes = if path.is_dir() { folder_bytes(&path)? } else { 0 };
        if bytes > largest.1 {
            largest = (path, bytes);
        }
    }
    Ok(largest)
}

/// Writes back and forgets what the kernel keeps of files. Without the right to, the result is marked.
fn drop_page_cache(draft: &mut Draft) {
    nix::unistd::sync();
    if let Err(error) = std::fs::write("/proc/sys/vm/drop_caches", "3\n") {
        draft.lower(
            Verdict::Skipped,
            format!("the page cache was not dropped (/proc/sys/vm/drop_caches: {error}): run it as root; these times are with a warm cache"),
        );
    }
}

/// Reads every file below `folder` once, one after the other, and gives the time, ms.
fn read_files(folder: &Path) -> Result<f64> {
    let mut files = Vec::new();
    list(folder, &mut files)?;
    files.sort();
    let mut memory = vec![0; BLOCK_BYTES + ALIGNMENT_BYTES];
    let offset = memory.as_ptr().align_offset(ALIGNMENT_BYTES);
    let block = &mut memory[offset..offset + BLOCK_BYTES];
    let begin_ns = now_ns();
    for path in &files {
        let mut file = open_direct(path)?;
        while file.read(block).at(path)? > 0 {}
    }
    Ok(ms_between(begin_ns, now_ns()))
}

/// Past the page cache where the file system allows it; the cache was dropped before in any case.
fn open_direct(path: &Path) -> Result<File> {
    match OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path) {
        Err(error) if error.kind() == ErrorKind::InvalidInput => File::open(path).at(path),
        opened => opened.at(path),
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).at(folder)? {
        let path = entry.at(folder)?.path();
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::result::Draft;

    fn concluded(start_ms: f64, read_ms: f64, messages: u64) -> Vec<Option<bool>> {
        let mut draft = Draft::default();
        draft.record(START, "", Unit::Ms, start_ms);
        draft.record(READ, "", Unit::Ms, read_ms);
        conclude(&mut draft, messages);
        draft.met()
    }

    #[test]
    fn both_demands_are_made_of_large_stores_only() {
        assert_eq!(concluded(90.0, 1000.0, 2_000_000), [Some(true), Some(true)]);
        assert_eq!(concluded(90.0, 400.0, 2_000_000), [Some(true), Some(false)]);
        assert_eq!(concluded(110.0, 1000.0, 2_000_000), [Some(false), Some(true)]);
        assert_eq!(concluded(110.0, 100.0, 2_000), [None, None]);
    }

    #[test]
    fn files_are_read_to_their_end_whatever_their_size() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("inner")).expect("the folder is ours");
        std::fs::write(folder.path().join("inner/odd"), vec![7; 5001]).expect("the folder is ours");
        std::fs::write(folder.path().join("large"), vec![7; BLOCK_BYTES + 1]).expect("the folder is ours");
        assert!(read_files(folder.path()).expect("it can be read") > 0.0);
        let (largest, bytes) = largest_folder(folder.path()).expect("it can be read");
        assert!(largest.ends_with("inner") && bytes >= 5001, "{largest:?} {bytes}");
        assert!(read_files(&folder.path().join("absent")).is_err());
    }
}
