//! A few threads for what takes long and needs no input or output, such as the hash of a password.
//!
//! Owns the threads and both queues, which are bounded. Results come in any order and are announced by [`crate::Event::Woken`].
//! On a simulated reactor there are no threads: the work is done at a later turn, when its result is taken.

use crate::waker::Waker;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// How much less than the loops of the shards these threads are worth to the scheduler: a tenth where both want a core.
const NICE: i32 = 10;

type Work<T> = Box<dyn FnOnce() -> T + Send>;

/// The queue is full; the work was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the worker threads have too much to do")]
pub struct Full;

/// Threads that turn work into results of type `T`. See [`crate::Reactor::workers`].
pub struct Workers<T> {
    way: Way<T>,
}

enum Way<T> {
    Threads(Threads<T>),
    Sim { waiting: VecDeque<Work<T>>, waiting_max: usize, waker: Waker },
}

struct Threads<T> {
    /// `None` only while they end.
    work: Option<SyncSender<Work<T>>>,
    results: Receiver<T>,
    ending: Arc<AtomicBool>,
    handles: Vec<JoinHandle<()>>,
}

impl<T: Send + 'static> Workers<T> {
    /// Starts `threads` threads, for which at most `waiting_max` pieces of work wait.
    pub(crate) fn new(waker: Waker, threads: usize, waiting_max: usize) -> io::Result<Self> {
        if waker.is_simulated() {
            return Ok(Workers { way: Way::Sim { waiting: VecDeque::new(), waiting_max, waker } });
        }
        let (work, queue) = sync_channel(waiting_max);
        let (sender, results) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let ending = Arc::new(AtomicBool::new(false));
        let mut started = Threads { work: Some(work), results, ending: Arc::clone(&ending), handles: Vec::new() };
        for _ in 0..threads {
            let (queue, sender, ending, waker) =
                (Arc::clone(&queue), sender.clone(), Arc::clone(&ending), waker.clone());
            let body = move || work_off(&queue, &sender, &ending, &waker);
            started.handles.push(std::thread::Builder::new().name("worker".into()).spawn(body)?);
        }
        Ok(Workers { way: Way::Threads(started) })
    }

    /// Hands over a piece of work, which must not panic.
    ///
    /// # Errors
    /// Too much waits already.
    pub fn submit(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Result<(), Full> {
        match &mut self.way {
            Way::Threads(threads) => {
                let sender = threads.work.as_ref().ok_or(Full)?;
                sender.try_send(Box::new(work)).map_err(|_| Full)
            }
            Way::Sim { waiting, waiting_max, waker } => {
                if waiting.len() >= *waiting_max {
                    return Err(Full);
                }
                waiting.push_back(Box::new(work));
                waker.wake();
                Ok(())
            }
        }
    }

    /// A result, if there is one.
    pub fn take(&mut self) -> Option<T> {
        match &mut self.way {
            Way::Threads(threads) => threads.results.try_recv().ok(),
            Way::Sim { waiting, .. } => waiting.pop_front().map(|work| work()),
        }
    }
}

impl<T> Drop for Threads<T> {
    /// Waits for the work that was begun; what waits is not begun any more.
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        self.work = None;
        for handle in self.handles.drain(..) {
            // One that panicked has nothing left to do.
            let _ = handle.join();
        }
    }
}

impl<T> fmt::Debug for Workers<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = match &self.way {
            Way::Threads(threads) => threads.handles.len(),
            Way::Sim { .. } => 0,
        };
        formatter.debug_struct("Workers").field("threads", &threads).finish_non_exhaustive()
    }
}

fn work_off<T>(queue: &Mutex<Receiver<Work<T>>>, results: &Sender<T>, ending: &AtomicBool, waker: &Waker) {
    make_nice();
    loop {
        // Held while this thread waits: the others wait for the lock instead of for the work.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        if ending.load(Ordering::Acquire) || results.send(work()).is_err() {
            return;
        }
        waker.wake();
    }
}

/// Lowers the priority of the calling thread. Where that is not allowed, it works on as it is.
#[allow(unsafe_code)]
fn make_nice() {
    // SAFETY: the call names no memory; on Linux 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}
