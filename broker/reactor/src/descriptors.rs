//! The limit of open files of this process.
//!
//! Owns nothing. Sockets and store files share it, so that who accepts connections must leave some.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// Raises the limit of open files as far as the process may, and tells it.
///
/// # Errors
/// The operating system does not tell the limit.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => Ok(hard),
        Err(_) => Ok(soft),
    }
}
