//! What a confirmed message costs the store: a window of 1 KiB messages is kept outstanding, and the time until a number
//! of them is confirmable is measured.
//!
//! * `instant`: a disk that answers at once and keeps no journal; what is left is the store itself. An async store
//!   confirms on admission, so there the time of admission is measured.
//! * `disk`: io_uring on a temporary folder of the build directory, plain and with `debug_sync_delay`.
//!
//! With a slow disk, group commit must keep the rate up by making the batches larger: compare the windows.
//!
//! `recovery`: from the claim to the last message of a backlog, on `disk`.

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use disk::{DiskDone, DiskError, DiskOp, DiskRequest, FileId, OpenMode, Outcome};
use reactor::Reactor;
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use store::{Backlog, Config, Event, MessageKey, Mode, Refused, Store, StoreConfig};

/// Bytes of a message.
const MESSAGE_BYTES: usize = 1024;

/// Messages outstanding, or admitted in one turn, where nothing else is said.
const WINDOW: u64 = 512;

/// The one store of these measurements, and its one destination.
const STORE: u8 = 0;
const DESTINATION: u32 = 1;

/// Messages of the backlog that is recovered, and of the parts in which it is taken over.
const BACKLOG: u64 = 100_000;
const BACKLOG_PART: usize = 2048;

/// Executes disk requests, one way or another.
trait Executor {
    fn now(&self) -> u64;
    fn submit(&mut self, request: DiskRequest);
    /// Waits for at least one completion, or until `until`.
    fn complete(&mut self, until: Option<u64>, done: &mut Vec<DiskDone>);
}

/// Answers at once. Keeps names and small files, of which the epochs are made; of larger ones only the length.
struct Instantly {
    began: Instant,
    files: BTreeMap<PathBuf, Vec<u8>>,
    open: BTreeMap<FileId, PathBuf>,
    done: Vec<DiskDone>,
}

/// Larger files are segments: what a segment holds is read only after a restart, and here is none.
const KEPT_BYTES_MAX: u64 = 1 << 20;

impl Instantly {
    fn new() -> Self {
        Instantly { began: Instant::now(), files: BTreeMap::new(), open: BTreeMap::new(), done: Vec::new() }
    }

    fn execute(&mut self, op: DiskOp) -> Result<Outcome, DiskError> {
        match op {
            DiskOp::Open { file, path, mode } => return self.open(file, path, mode),
            DiskOp::Close { file } => drop(self.open.remove(&file)),
            DiskOp::SetLen { file, len } | DiskOp::Allocate { file, len } => {
                self.content(file)?.resize(len.min(KEPT_BYTES_MAX) as usize, 0);
            }
            DiskOp::Write { file, offset, data, .. } => self.write(file, offset, &data)?,
            DiskOp::Read { file, offset, len } => return self.read(file, offset, len),
            DiskOp::Link { from, to } => self.link(&from, to)?,
            DiskOp::Unlink { path } => drop(self.files.remove(&path)),
            DiskOp::List { path } => return Ok(Outcome::Names(self.names(&path))),
            DiskOp::TryLock { .. } => return Ok(Outcome::Locked(true)),
            DiskOp::Sync { .. } | DiskOp::SyncDir { .. } | DiskOp::CreateDir { .. } => {}
        }
        Ok(Outcome::Done)
    }

    fn open(&mut self, file: FileId, path: PathBuf, mode: OpenMode) -> Result<Outcome, DiskError> {
        match (self.files.contains_key(&path), mode) {
            (true, OpenMode::CreateNew) => return Err(error(ErrorKind::AlreadyExists, &path)),
            (false, OpenMode::CreateNew) => drop(self.files.insert(path.clone(), Vec::new())),
            (false, _) => return Err(error(ErrorKind::NotFound, &path)),
            (true, _) => {}
        }
        let len = self.files[&path].len() as u64;
        self.open.insert(file, path);
        Ok(Outcome::Opened { direct: true, len })
    }

    fn content(&mut self, file: FileId) -> Result<&mut Vec<u8>, DiskError> {
        let path = self.open.get(&file).ok_or_else(|| error(ErrorKind::NotFound, Path::new("not open")))?;
        self.files.get_mut(path).ok_or_else(|| error(ErrorKind::NotFound, path))
    }

    fn write(&mut self, file: FileId, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let end = offset + data.len() as u64;
        let content = self.content(file)?;
        if end <= KEPT_BYTES_MAX {
            content.resize(content.len().max(end as usize), 0);
            content[offset as usize..end as usize].copy_from_slice(data);
        }
        Ok(())
    }

    fn read(&mut self, file: FileId, offset: u64, len: usize) -> Result<Outcome, DiskError> {
        let content = self.content(file)?;
        let start = content.len().min(offset as usize);
        let end = content.len().min(offset as usize + len);
        let mut data = reactor::buffer::aligned(len);
        data.extend_from_slice(&content[start..end]);
        Ok(Outcome::Data(data.freeze()))
    }

    fn link(&mut self, from: &Path, to: PathBuf) -> Result<(), DiskError> {
        if self.files.contains_key(&to) {
            return Err(error(ErrorKind::AlreadyExists, &to));
        }
        let content = self.files.get(from).cloned().ok_or_else(|| error(ErrorKind::NotFound, from))?;
        for path in self.open.values_mut().filter(|path| path.as_path() == from) {
            path.clone_from(&to);
        }
        self.files.insert(to, content);
        Ok(())
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        let inside = self.files.keys().filter(|path| path.parent() == Some(folder));
        inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
    }
}

fn error(kind: ErrorKind, path: &Path) -> DiskError {
    DiskError { kind, message: format!("{kind}: {}", path.display()) }
}

impl Executor for Instantly {
    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn submit(&mut self, request: DiskRequest) {
        let result = self.execute(request.op);
        self.done.push(DiskDone { id: request.id, result });
    }

    fn complete(&mut self, until: Option<u64>, done: &mut Vec<DiskDone>) {
        if self.done.is_empty() {
            let wait = until.unwrap_or(0).saturating_sub(self.now());
            std::thread::sleep(Duration::from_nanos(wait));
        }
        done.append(&mut self.done);
    }
}

/// The real thing.
struct Ring {
    reactor: Reactor,
    events: VecDeque<reactor::Event>,
}

impl Ring {
    fn new(sync_delay: Duration) -> Self {
        let mut reactor = Reactor::uring(reactor::Config::default()).expect("io_uring is available");
        reactor.set_sync_delay(sync_delay.as_nanos() as u64);
        Ring { reactor, events: VecDeque::new() }
    }
}

impl Executor for Ring {
    fn now(&self) -> u64 {
        self.reactor.now()
    }

    fn submit(&mut self, request: DiskRequest) {
        self.reactor.submit_disk(request);
    }

    fn complete(&mut self, until: Option<u64>, done: &mut Vec<DiskDone>) {
        if let Some(at) = until {
            self.reactor.set_timer(at, 0);
        }
        self.reactor.wait(&mut self.events).expect("the ring works");
        for event in self.events.drain(..) {
            if let reactor::Event::Disk(completion) = event {
                done.push(completion);
            }
        }
    }
}

/// A store that serves, on some disk.
struct Bench<E> {
    executor: E,
    store: Store,
    done: Vec<DiskDone>,
    published: u64,
    confirmable: u64,
    payload: Bytes,
}

impl<E: Executor> Bench<E> {
    fn new(executor: E, folder: &Path, mode: Mode) -> Self {
        Self::start(executor, folder, mode, 256 << 20, 0x5eed)
    }

    /// The same, with so many bytes of segments standing ready; `process` differs for each start on one folder.
    fn start(executor: E, folder: &Path, mode: Mode, minimum_bytes: u64, process: u128) -> Self {
        let stores = vec![StoreConfig { name: "bench".into(), file: "bench.db".into(), mode, minimum_bytes }];
        let config = Config { create: true, ..Config::new(folder.to_path_buf(), stores) };
        let store = Store::new(config, process, reactor::buffer::aligned);
        let payload = Bytes::from(vec![7; MESSAGE_BYTES]);
        let mut bench = Bench { executor, store, done: Vec::new(), published: 0, confirmable: 0, payload };
        bench.serve();
        bench
    }

    /// Claims the store and waits until it serves.
    fn serve(&mut self) {
        let began = Instant::now();
        self.store.claim(self.executor.now());
        let mut serving = false;
        while !serving {
            assert!(began.elapsed() < Duration::from_secs(60), "the store serves within a minute");
            self.turn(|event| match event {
                Event::Serving(_) => serving = true,
                Event::RecoveryFailed(error) | Event::Poisoned(error) => panic!("the store failed: {error}"),
                _ => {}
            });
        }
        self.store.define_destination(STORE, DESTINATION, "bench").expect("the store serves");
    }

    /// One turn of the loop: requests out, completions in, events.
    fn turn(&mut self, mut on_event: impl FnMut(Event)) {
        let now = self.executor.now();
        self.store.flush(now);
        while let Some(request) = self.store.poll_disk() {
            self.executor.submit(request);
        }
        self.executor.complete(self.store.poll_timeout(), &mut self.done);
        let now = self.executor.now();
        for completion in self.done.drain(..) {
            self.store.handle_disk(now, completion);
        }
        if self.store.poll_timeout().is_some_and(|at| at <= now) {
            self.store.handle_timeout(now);
        }
        while let Some(event) = self.store.poll_event() {
            on_event(event);
        }
    }

    /// Keeps `window` messages outstanding until `count` more are confirmable.
    fn commit(&mut self, count: u64, window: u64) -> Duration {
        let began = Instant::now();
        let first = self.published;
        let mut waiting: VecDeque<u64> = VecDeque::new();
        let mut confirmed = 0;
        while confirmed < count {
            while (waiting.len() as u64) < window && self.published - first < count {
                let Some(lsn) = self.publish() else { break };
                waiting.push_back(lsn);
            }
            let mut through = self.confirmable;
            self.turn(|event| match event {
                Event::Confirmable { through: newer, .. } => through = newer,
                Event::Poisoned(error) => panic!("the store failed: {error}"),
                _ => {}
            });
            self.confirmable = through;
            while waiting.front().is_some_and(|lsn| *lsn <= through) {
                waiting.pop_front();
                confirmed += 1;
            }
        }
        began.elapsed()
    }

    /// Takes over what was there; returns how many messages that were.
    fn load(&mut self) -> u64 {
        let mut messages = 0;
        loop {
            match self.store.backlog(STORE, BACKLOG_PART) {
                Backlog::Part { messages: part, .. } => messages += part.len() as u64,
                Backlog::Pending => self.turn(|_| {}),
                Backlog::Complete => return messages,
            }
        }
    }

    /// Admits `count` messages to an async store, which confirms on admission; waits only where it has no room.
    fn admit(&mut self, count: u64) -> Duration {
        let began = Instant::now();
        for index in 0..count {
            let mut turn = index % WINDOW == WINDOW - 1;
            while turn || self.publish().is_none() {
                turn = false;
                self.turn(|event| assert!(!matches!(event, Event::Poisoned(_)), "the store failed: {event:?}"));
            }
        }
        began.elapsed()
    }

    /// Hands one message to the store; none while it has no room.
    fn publish(&mut self) -> Option<u64> {
        let key = MessageKey { expires_at_ms: 0, priority: 4, flags: 0 };
        let now = self.executor.now();
        match self.store.publish(now, STORE, &[DESTINATION], key, &[&self.payload]) {
            Ok(appended) => {
                self.published += 1;
                Some(appended.lsn)
            }
            Err(Refused::Throttled) => None,
            Err(refused) => panic!("the store refused a message: {refused}"),
        }
    }
}

/// A folder beside the build, since the temporary directory may be memory.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build directory is writable")
}

fn instant(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit/instant");
    group.throughput(Throughput::Elements(1));
    let mut sync = Bench::new(Instantly::new(), Path::new("/store"), Mode::Sync);
    group.bench_function("sync", |bencher| bencher.iter_custom(|count| sync.commit(count, WINDOW)));
    let mut lazy = Bench::new(Instantly::new(), Path::new("/store"), Mode::Async);
    group.bench_function("async", |bencher| bencher.iter_custom(|count| lazy.admit(count)));
    group.finish();
}

fn on_disk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit/disk");
    group.throughput(Throughput::Elements(1));
    for (name, delay) in
        [("plain", Duration::ZERO), ("1ms", Duration::from_millis(1)), ("5ms", Duration::from_millis(5))]
    {
        for window in [1, 64, WINDOW] {
            let folder = folder();
            let mut bench = Bench::new(Ring::new(delay), folder.path(), Mode::Sync);
            group.bench_function(BenchmarkId::new(name, window), |bencher| {
                bencher.iter_custom(|count| bench.commit(count, window));
            });
        }
    }
    group.finish();
}

fn recovery(criterion: &mut Criterion) {
    let folder = folder();
    Bench::new(Ring::new(Duration::ZERO), folder.path(), Mode::Sync).commit(BACKLOG, WINDOW);
    let mut process = 1;
    let mut recover = || {
        process += 1;
        let executor = Ring::new(Duration::ZERO);
        let began = Instant::now();
        let mut bench = Bench::start(executor, folder.path(), Mode::Sync, 0, process);
        assert_eq!(bench.load(), BACKLOG, "what was confirmed is there");
        began.elapsed()
    };
    let mut group = criterion.benchmark_group("recovery");
    group.throughput(Throughput::Elements(BACKLOG)).sample_size(10);
    group.bench_function("100000 x 1 KiB", |bencher| bencher.iter_custom(|count| (0..count).map(|_| recover()).sum()));
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20)
}

criterion_group! { name = benches; config = short(); targets = instant, on_disk, recovery }
criterion_main!(benches);
