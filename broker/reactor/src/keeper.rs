//! Lets the kernel close what a killed process had open before it frees the process's memory.
//!
//! Owns the one helper process of a server. Without it the kernel frees the memory first, about 50 us for each MiB, and
//! only then closes sockets and releases locks: the clients and the standby of a server with gigabytes of queues would
//! learn of its death that much later. The helper shares the memory and nothing else, and ends shortly after the server.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::io;

/// The keeper outlives the process by so much, nanoseconds: a worker of the kernel closes what was in a ring, and freeing
/// memory must not keep it from a processor.
static LINGER: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 250_000_000 };

/// A few system calls need no more.
const STACK_BYTES: usize = 16 << 10;

/// How the list of mappings names the memory of a ring.
const RING: &str = "anon_inode:[io_uring]";

/// The keeper of this process's memory, for logs and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// Its process id.
    pub process_id: u32,
}

/// What the keeper knows.
struct Task {
    parent: u32,
    /// Address and length of the rings: mapped, they would keep alive what is in flight, and with it sockets.
    rings: Vec<(usize, usize)>,
}

/// Starts the keeper, which lives as long as the calling thread. To be called once, when the rings are set up, by the
/// thread that lives as long as the process.
///
/// # Errors
/// The operating system allows no further process, or does not tell what is mapped. Nothing has changed then.
pub fn keep_memory() -> io::Result<Keeper> {
    let rings = rings(&std::fs::read_to_string("/proc/self/maps")?);
    // Neither is ever freed: the keeper uses them to its end.
    let task = Box::leak(Box::new(Task { parent: std::process::id(), rings }));
    let stack = Box::leak(vec![0u8; STACK_BYTES].into_boxed_slice());
    let top = stack.as_mut_ptr_range().end;
    // With all signals blocked nothing interrupts the keeper, so that it never writes to `errno`, which lies in memory that
    // it shares with the caller.
    // SAFETY: both sets are initialised by the calls that fill them, and the mask of this thread is restored below.
    let before = unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        before
    };
    // SAFETY: the stack is large enough, aligned by the C library, and never used by anything else; `keep` writes to no
    // memory but that stack while this process lives, so it cannot disturb it.
    let process_id = unsafe { libc::clone(keep, top.cast(), libc::CLONE_VM, (&raw mut *task).cast()) };
    let error = io::Error::last_os_error();
    // SAFETY: `before` was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    u32::try_from(process_id).map(|process_id| Keeper { process_id }).map_err(|_| error)
}

/// The rings among the lines of `maps`.
fn rings(maps: &str) -> Vec<(usize, usize)> {
    let of_rings = maps.lines().filter(|line| line.ends_with(RING));
    let addresses = of_rings.filter_map(|line| line.split_once(' ')?.0.split_once('-'));
    let number = |digits| usize::from_str_radix(digits, 16).ok();
    addresses.filter_map(|(begin, end)| Some((number(begin)?, number(end)? - number(begin)?))).collect()
}

/// The keeper itself.
extern "C" fn keep(task: *mut c_void) -> c_int {
    // SAFETY: it is the `Task` of `keep_memory`, which is never freed and never written to. The system calls before the
    // death of the parent succeed on every kernel with io_uring, so that none writes to `errno`; behind it nobody else uses
    // the memory, of which the rings are the mappings that `keep_memory` found.
    unsafe {
        let task: &Task = &*task.cast();
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGHUP);
        libc::prctl(libc::PR_SET_NAME, c"memory-keeper".as_ptr());
        // What it held open would outlive the server.
        libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0);
        let (mut death, mut signal) = (std::mem::zeroed(), 0);
        libc::sigemptyset(&raw mut death);
        libc::sigaddset(&raw mut death, libc::SIGHUP);
        // A parent that died before the first call sends no signal; the end of a terminal session is told by the same one.
        while libc::getppid() == task.parent as libc::pid_t {
            libc::sigwait(&raw const death, &raw mut signal);
        }
        for &(address, length) in &task.rings {
            libc::munmap(address as *mut c_void, length);
        }
        libc::nanosleep(&raw const LINGER, std::ptr::null_mut());
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_found_by_their_name() {
        let maps = "7f10-7f20 rw-p 00000000 00:00 0\n7f20-7f60 rw-s 08000000 00:0f 3 anon_inode:[io_uring]\n";
        assert_eq!(rings(maps), [(0x7f20, 0x40)]);
        let ring = crate::Reactor::uring(crate::Config::default());
        let maps = std::fs::read_to_string("/proc/self/maps").expect("proc is there");
        assert_eq!(rings(&maps).is_empty(), ring.is_err(), "{maps}");
    }
}
