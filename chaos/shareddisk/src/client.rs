//! The harness's side: starts the disk's process, asks it, and leaves no mount behind.
//!
//! Owns the process and the connection. Every question has a limit.

use crate::control::{Answer, Request};
use crate::daemon::{Options, READY, mounted, sweep};
use crate::error::{Error, Result};
use crate::gate::{DiskReport, InFlightRule, ThawReport};
use crate::model::{CrashMode, CrashReport, FaultId, FaultSpec, OnLoss};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{geteuid, mkdtemp};
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// How long the daemon may take until all is mounted.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long an answer may take; the log of a long run takes the longest.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// How long it may take to unmount when it is told to.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// Why there is no shared disk here, if so: it needs root, /dev/fuse and the right to mount, which many containers take from root.
pub fn unavailable() -> Option<String> {
    if !geteuid().is_root() {
        return Some("mounting a shared disk needs root; run it as root".to_owned());
    }
    let device = std::fs::File::options().read(true).write(true).open("/dev/fuse");
    if let Err(error) = device {
        return Some(format!("/dev/fuse cannot be opened: {error}; in a container, pass the device in"));
    }
    // Tried once: a process neither gains that right nor loses it.
    static TRIED: OnceLock<Option<String>> = OnceLock::new();
    let refused = TRIED.get_or_init(|| try_mount().err().map(|error| error.to_string()));
    let refused = refused.as_ref()?;
    Some(format!("nothing can be mounted: {refused}; a container needs the capability SYS_ADMIN"))
}

/// Mounts something of no consequence, and removes it again.
fn try_mount() -> std::io::Result<()> {
    // As root in a folder that all may write to: its name must not be one that somebody could have taken before.
    let place = mkdtemp(&std::env::temp_dir().join("shareddisk-try-XXXXXX"))?;
    let mounted = mount(Some("none"), &place, Some("tmpfs"), MsFlags::empty(), None::<&str>);
    let unmounted = mounted.and_then(|()| umount2(&place, MntFlags::MNT_DETACH));
    std::fs::remove_dir(&place)?;
    unmounted.map_err(Into::into)
}

/// A running disk. Dropping it unmounts and ends the process.
#[derive(Debug)]
pub struct Disk {
    child: Child,
    connection: Mutex<BufReader<UnixStream>>,
    options: Options,
}

impl Disk {
    /// Starts the daemon. `command` is a program that hands its next argument to [`crate::daemon::run`].
    pub fn start(mut command: Command, options: Options) -> Result<Self> {
        if let Some(why) = unavailable() {
            return Err(Error::Unavailable(why));
        }
        let program = PathBuf::from(command.get_program());
        let argument = serde_json::to_string(&options).map_err(Error::Answer)?;
        // A group of its own: an interrupt from the terminal reaches the harness, which ends the hosts first.
        command.arg(argument).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|source| Error::Spawn { program, source })?;
        match connect(&mut child, &options) {
            Ok(connection) => Ok(Self { child, connection: Mutex::new(connection), options }),
            Err(error) => {
                end(&mut child, &options);
                Err(error)
            }
        }
    }

    /// Where a host finds the disk, by its index.
    pub fn mount(&self, index: usize) -> &Path {
        &self.options.mounts[index]
    }

    /// The name of a host, by its index.
    pub fn host(&self, index: usize) -> &str {
        &self.options.settings.hosts[index]
    }

    /// The number of the daemon's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks.
    pub fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T> {
        let mut text = serde_json::to_vec(request).map_err(Error::Answer)?;
        text.push(b'\n');
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.get_mut().write_all(&text).map_err(Error::Silent)?;
        let mut line = String::new();
        if connection.read_line(&mut line).map_err(Error::Silent)? == 0 {
            return Err(Error::Silent(std::io::ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_str(&line).map_err(Error::Answer)? {
            Answer::Done(value) => serde_json::from_value(value).map_err(Error::Answer),
            Answer::Refused(why) => Err(Error::Refused(why)),
        }
    }

    /// Sets a fault.
    pub fn add_fault(&self, fault: FaultSpec) -> Result<FaultId> {
        self.ask(&Request::AddFault { fault })
    }

    /// Ends a fault.
    pub fn remove_fault(&self, id: FaultId) -> Result<()> {
        self.ask(&Request::RemoveFault { id })
    }

    /// Ends all faults.
    pub fn remove_faults(&self) -> Result<()> {
        self.ask(&Request::RemoveFaults)
    }

    /// Nothing of the host arrives any more.
    pub fn freeze(&self, host: &str) -> Result<()> {
        self.ask(&Request::Freeze { host: host.to_owned() })
    }

    /// A frozen host is back.
    pub fn thaw(&self, host: &str) -> Result<ThawReport> {
        self.ask(&Request::Thaw { host: host.to_owned() })
    }

    /// A host loses power.
    pub fn crash(&self, host: &str, unsynced: CrashMode, writes: InFlightRule) -> Result<CrashReport> {
        self.ask(&Request::Crash { host: host.to_owned(), unsynced, writes })
    }

    /// A host that crashed mounts again.
    pub fn mount_again(&self, host: &str) -> Result<()> {
        self.ask(&Request::MountAgain { host: host.to_owned() })
    }

    /// The lock server does not hear the host any more.
    pub fn expire_lease(&self, host: &str) -> Result<()> {
        self.ask(&Request::ExpireLease { host: host.to_owned() })
    }

    /// The lock server hears the host again.
    pub fn renew_lease(&self, host: &str) -> Result<()> {
        self.ask(&Request::RenewLease { host: host.to_owned() })
    }

    /// What hosts that lose their locks are told.
    pub fn set_on_loss(&self, on_loss: OnLoss) -> Result<()> {
        self.ask(&Request::OnLoss { on_loss })
    }

    /// All that is known.
    pub fn report(&self) -> Result<DiskReport> {
        self.ask(&Request::Report)
    }

    /// Writes the last operations into a file; gives how many.
    pub fn write_log(&self, path: &Path) -> Result<u64> {
        self.ask(&Request::WriteLog { path: path.to_owned() })
    }

    /// Makes a tree of what is durable; gives how many files.
    pub fn export(&self, path: &Path) -> Result<u64> {
        self.ask(&Request::Export { path: path.to_owned() })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It may have died: the rest works without it.
        let _ = self.ask::<()>(&Request::Stop);
        end(&mut self.child, &self.options);
    }
}

/// Takes away every mount of a shared disk below a folder, whatever state its daemon is in.
pub fn unmount_below(folder: &Path) {
    for (_, path) in mounted().filter(|(_, path)| path.starts_with(folder)) {
        // It may be gone already, which is what is wanted.
        let _ = umount2(&path, MntFlags::MNT_FORCE);
        let _ = umount2(&path, MntFlags::MNT_DETACH);
    }
}

/// Waits for the daemon's end, helps after the limit, and takes away what it could not.
fn end(child: &mut Child, options: &Options) {
    let deadline = Instant::now() + STOP_LIMIT;
    while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Its end aborts what waits for it. Failing means that it is gone already.
    let _ = child.kill();
    let _ = child.wait();
    for mount in &options.mounts {
        let _ = umount2(mount, MntFlags::MNT_DETACH);
    }
    sweep();
}

fn connect(child: &mut Child, options: &Options) -> Result<BufReader<UnixStream>> {
    let stdout = child.stdout.take().expect("it is piped");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        // The receiver has given up if it is gone.
        let _ = sender.send(read.map(|_| line));
    });
    match receiver.recv_timeout(START_LIMIT) {
        Ok(Ok(line)) if line.trim() == READY => {}
        _ => return Err(Error::NotReady(last_words(child))),
    }
    let at = |source| Error::File { path: options.socket.clone(), source };
    let stream = UnixStream::connect(&options.socket).map_err(at)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).map_err(at)?;
    stream.set_write_timeout(Some(ANSWER_LIMIT)).map_err(at)?;
    Ok(BufReader::new(stream))
}

fn last_words(child: &mut Child) -> String {
    // Its end closes the pipe, so that reading it ends.
    let _ = child.kill();
    let mut text = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4096).read_to_string(&mut text);
    }
    if text.trim().is_empty() { "it said nothing".to_owned() } else { text.trim().to_owned() }
}
