//! The disk as hosts find it: real mounts, real system calls.
//!
//! Without root or /dev/fuse each test says that it was skipped. Whoever waits on a mount is never this process alone: the daemon is a
//! process of its own, and fails what it has held for some seconds.

mod actor;
mod crashes;
mod durability;
mod faults;
mod files;
mod locks;
mod site;
