//! Which processors the loop runs on.
//!
//! Owns the binding of the calling thread. Threads that it starts afterwards inherit it: to be called last.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::io;

/// Binds the calling thread to the processors `ids`; to none in particular if there are none.
///
/// # Errors
/// This machine, or the container, does not have one of them.
pub(crate) fn bind(ids: &[usize]) -> io::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for id in ids {
        set.set(*id)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::sched_getaffinity;

    #[test]
    fn a_thread_is_bound_to_the_named_processor() {
        let bound = std::thread::spawn(|| {
            let before = sched_getaffinity(Pid::from_raw(0)).expect("a thread has processors");
            let one = (0..CpuSet::count()).rfind(|id| before.is_set(*id).unwrap_or(false)).expect("at least one");
            bind(&[one]).expect("it is one of ours");
            let after = sched_getaffinity(Pid::from_raw(0)).expect("a thread has processors");
            (0..CpuSet::count()).filter(|id| after.is_set(*id).unwrap_or(false)).collect::<Vec<_>>() == [one]
        });
        assert!(bound.join().expect("the thread ended"));
    }

    #[test]
    fn a_processor_that_is_not_there_is_an_error() {
        assert!(
            bind(&[CpuSet::count() - 1]).is_err() || std::thread::available_parallelism().is_ok_and(|n| n.get() > 1000)
        );
        assert!(bind(&[CpuSet::count()]).is_err());
    }
}
