//! The way to the disk: numbers requests and files, keeps who waits for what.
//!
//! Owns the queue of requests and the answers that tasks wait for. Decides nothing about their content.

use disk::{DiskDone, DiskError, DiskOp, DiskRequest, FileId, OpenMode, Outcome};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// What a request outside any task was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A batch of a lane.
    Batch { lane: usize },
    /// The ownership check.
    Check,
    /// The owner's sign of life.
    Heartbeat,
    /// Message bytes that are not in memory.
    Window { lane: usize },
}

#[derive(Debug)]
enum Waiting {
    Purpose(Purpose),
    Task(Option<Result<Outcome, DiskError>>),
}

#[derive(Debug, Default)]
struct Inner {
    next_request: u64,
    next_file: u32,
    queue: VecDeque<DiskRequest>,
    waiting: BTreeMap<u64, Waiting>,
    closed: bool,
}

/// A handle on the one queue of requests; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Port(Rc<RefCell<Inner>>);

/// What became of a completion.
#[derive(Debug)]
pub(crate) enum Routed {
    /// To be handled by the store itself.
    Purpose(Purpose, Result<Outcome, DiskError>),
    /// A task can go on.
    Task,
    /// Nobody waits for it.
    Nobody,
}

impl Port {
    pub(crate) fn poll(&self) -> Option<DiskRequest> {
        self.0.borrow_mut().queue.pop_front()
    }

    /// From now on nothing is asked of the disk and no answer is heard.
    pub(crate) fn close(&self) {
        let mut inner = self.0.borrow_mut();
        inner.closed = true;
        inner.queue.clear();
        inner.waiting.clear();
    }

    pub(crate) fn route(&self, done: DiskDone) -> Routed {
        let mut inner = self.0.borrow_mut();
        match inner.waiting.get_mut(&done.id) {
            Some(Waiting::Purpose(purpose)) => {
                let purpose = *purpose;
                inner.waiting.remove(&done.id);
                Routed::Purpose(purpose, done.result)
            }
            Some(Waiting::Task(answer)) => {
                *answer = Some(done.result);
                Routed::Task
            }
            None => Routed::Nobody,
        }
    }

    /// Asks for work whose completion the store handles itself; returns the request's number.
    pub(crate) fn submit(&self, purpose: Purpose, op: DiskOp) -> u64 {
        self.push(op, Some(Waiting::Purpose(purpose)))
    }

    /// Asks for work; the answer is the future's value.
    pub(crate) fn start(&self, op: DiskOp) -> Ticket {
        let id = self.push(op, Some(Waiting::Task(None)));
        Ticket { port: self.clone(), id }
    }

    fn push(&self, op: DiskOp, waiting: Option<Waiting>) -> u64 {
        let mut inner = self.0.borrow_mut();
        inner.next_request += 1;
        let id = inner.next_request;
        if !inner.closed {
            inner.queue.push_back(DiskRequest { id, op });
            if let Some(waiting) = waiting {
                inner.waiting.insert(id, waiting);
            }
        }
        id
    }

    pub(crate) async fn open(&self, path: PathBuf, mode: OpenMode) -> Result<File, DiskError> {
        let id = {
            let mut inner = self.0.borrow_mut();
            inner.next_file += 1;
            FileId(inner.next_file)
        };
        let answer = self.start(DiskOp::Open { file: id, path: path.clone(), mode }).await?;
        let Outcome::Opened { direct, len } = answer else { unreachable!("an open answers with Opened") };
        Ok(File(Rc::new(Open { port: self.clone(), id, path, direct, len })))
    }

    pub(crate) async fn list(&self, path: &Path) -> Result<Vec<String>, DiskError> {
        match self.start(DiskOp::List { path: path.to_owned() }).await? {
            Outcome::Names(names) => Ok(names),
            _ => unreachable!("a listing answers with names"),
        }
    }

    pub(crate) async fn link(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.start(DiskOp::Link { from: from.to_owned(), to: to.to_owned() }).await.map(drop)
    }

    pub(crate) async fn unlink(&self, path: &Path) -> Result<(), DiskError> {
        match self.start(DiskOp::Unlink { path: path.to_owned() }).await {
            Err(error) if error.kind == std::io::ErrorKind::NotFound => Ok(()),
            other => other.map(drop),
        }
    }

    pub(crate) async fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.start(DiskOp::CreateDir { path: path.to_owned() }).await.map(drop)
    }

    pub(crate) async fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.start(DiskOp::SyncDir { path: path.to_owned() }).await.map(drop)
    }
}

/// A request that a task waits for. Dropping it forgets the answer, not the request.
#[derive(Debug)]
pub(crate) struct Ticket {
    port: Port,
    id: u64,
}

impl Future for Ticket {
    type Output = Result<Outcome, DiskError>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut inner = self.port.0.borrow_mut();
        match inner.waiting.get_mut(&self.id) {
            Some(Waiting::Task(answer)) => match answer.take() {
                Some(result) => Poll::Ready(result),
                None => Poll::Pending,
            },
            _ => Poll::Pending,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.port.0.borrow_mut().waiting.remove(&self.id);
    }
}

/// An open file; the last clone that goes away closes it, which frees its lock.
#[derive(Clone, Debug)]
pub(crate) struct File(Rc<Open>);

#[derive(Debug)]
struct Open {
    port: Port,
    id: FileId,
    path: PathBuf,
    direct: bool,
    len: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.port.push(DiskOp::Close { file: self.id }, None);
    }
}

impl File {
    pub(crate) fn id(&self) -> FileId {
        self.0.id
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// False where the file system refused direct I/O.
    pub(crate) fn is_direct(&self) -> bool {
        self.0.direct
    }

    /// Length in bytes when it was opened.
    pub(crate) fn opened_len(&self) -> u64 {
        self.0.len
    }

    pub(crate) fn start_read(&self, offset: u64, len: usize) -> Ticket {
        self.0.port.start(DiskOp::Read { file: self.0.id, offset, len })
    }

    pub(crate) async fn read(&self, offset: u64, len: usize) -> Result<bytes::Bytes, DiskError> {
        data(self.start_read(offset, len).await?)
    }

    pub(crate) fn start_write(&self, offset: u64, data: bytes::Bytes, durable: bool) -> Ticket {
        self.0.port.start(DiskOp::Write { file: self.0.id, offset, data, durable })
    }

    pub(crate) async fn write(&self, offset: u64, data: bytes::Bytes) -> Result<(), DiskError> {
        self.start_write(offset, data, true).await.map(drop)
    }

    pub(crate) async fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.0.port.start(DiskOp::SetLen { file: self.0.id, len }).await.map(drop)
    }

    pub(crate) async fn allocate(&self, len: u64) -> Result<(), DiskError> {
        self.0.port.start(DiskOp::Allocate { file: self.0.id, len }).await.map(drop)
    }

    pub(crate) async fn sync(&self) -> Result<(), DiskError> {
        self.0.port.start(DiskOp::Sync { file: self.0.id }).await.map(drop)
    }

    pub(crate) async fn try_lock(&self) -> Result<bool, DiskError> {
        match self.0.port.start(DiskOp::TryLock { file: self.0.id }).await? {
            Outcome::Locked(ours) => Ok(ours),
            _ => unreachable!("a lock answers with Locked"),
        }
    }
}

/// The bytes that a read answered with.
pub(crate) fn data(outcome: Outcome) -> Result<bytes::Bytes, DiskError> {
    match outcome {
        Outcome::Data(bytes) => Ok(bytes),
        _ => unreachable!("a read answers with data"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::task::Task;

    /// An open file, for tests of what uses one.
    pub(crate) fn opened(port: &Port, path: &str) -> File {
        let port_of_task = port.clone();
        let path = PathBuf::from(path);
        let mut task = Task::new(async move { port_of_task.open(path, OpenMode::Read).await });
        assert!(task.poll().is_none());
        let request = port.poll().expect("an open is asked for");
        port.route(DiskDone { id: request.id, result: Ok(Outcome::Opened { direct: true, len: 1 << 20 }) });
        task.poll().expect("the answer is there").expect("it is good")
    }

    #[test]
    fn the_last_clone_of_a_file_closes_it() {
        let port = Port::default();
        let file = opened(&port, "/a");
        let clone = file.clone();
        drop(file);
        assert!(port.poll().is_none());
        let id = clone.id();
        drop(clone);
        assert!(matches!(port.poll().map(|request| request.op), Some(DiskOp::Close { file }) if file == id));
    }

    #[test]
    fn answers_go_to_who_waits_and_nothing_is_asked_after_the_end() {
        let port = Port::default();
        let id = port.submit(Purpose::Check, DiskOp::List { path: "/a".into() });
        assert!(matches!(
            port.route(DiskDone { id, result: Ok(Outcome::Done) }),
            Routed::Purpose(Purpose::Check, Ok(_))
        ));
        assert!(matches!(port.route(DiskDone { id, result: Ok(Outcome::Done) }), Routed::Nobody));
        let ticket = port.start(DiskOp::List { path: "/b".into() });
        drop(ticket);
        port.poll();
        let forgotten = port.poll().map(|request| request.id).expect("the request itself is not forgotten");
        assert!(matches!(port.route(DiskDone { id: forgotten, result: Ok(Outcome::Done) }), Routed::Nobody));
        port.close();
        port.submit(Purpose::Check, DiskOp::List { path: "/a".into() });
        assert!(port.poll().is_none());
    }
}
