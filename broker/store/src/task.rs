//! Sequences of disk operations written as plain functions: claim, recovery, making a segment.
//!
//! Owns a small executor: a task is polled after each completion that it may wait for. Nothing here runs by itself,
//! there is no waker and no thread; the only thing that a task can wait for is the disk.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A sequence in progress.
pub(crate) struct Task<T>(Pin<Box<dyn Future<Output = T>>>);

impl<T> Task<T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'static) -> Self {
        Self(Box::pin(future))
    }

    /// Goes on as far as the disk has answered. Not to be called again after it returned `Some`.
    pub(crate) fn poll(&mut self) -> Option<T> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Task")
    }
}

/// Polls the task in `slot`, if any; takes it out once it is done.
pub(crate) fn poll_slot<T>(slot: &mut Option<Task<T>>) -> Option<T> {
    let value = slot.as_mut()?.poll()?;
    *slot = None;
    Some(value)
}

/// Runs all at once; their results in the same order.
pub(crate) async fn all<T>(tasks: Vec<Task<T>>) -> Vec<T> {
    let mut slots: Vec<(Option<Task<T>>, Option<T>)> = tasks.into_iter().map(|task| (Some(task), None)).collect();
    std::future::poll_fn(move |_| {
        for (task, value) in &mut slots {
            if let Some(done) = poll_slot(task) {
                *value = Some(done);
            }
        }
        if slots.iter().any(|(_, value)| value.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(slots.iter_mut().filter_map(|(_, value)| value.take()).collect())
    })
    .await
}
