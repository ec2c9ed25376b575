//! The disk's process: mounts one folder for each host over one model, serves the control socket, and unmounts at every end.
//!
//! Owns mounts, signals and the order of the end. Its end aborts every request that a host waits for, so nobody hangs on a dead disk;
//! the death of its parent is one of its ends.

use crate::clock::now_ns;
use crate::control::{Answer, Request, serve};
use crate::error::{Error, Result};
use crate::folder::{Folder, backing_file};
use crate::gate::Gate;
use crate::model::{DiskModel, HostId, Settings};
use crate::mount::Mount;
use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a disk is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// What it is like.
    pub settings: Settings,
    /// An empty folder for its bytes.
    pub backing: PathBuf,
    /// Where each host finds it, in the order of the settings; made if missing.
    pub mounts: Vec<PathBuf>,
    /// Where it listens for requests.
    pub socket: PathBuf,
    /// An operation that is held for longer than this fails, whatever holds it. In milliseconds.
    pub hold_limit_ms: u64,
    /// Whether it ends with its parent.
    pub dies_with_parent: bool,
}

/// What the daemon prints on its standard output once all is mounted.
pub(crate) const READY: &str = "ready";
/// Threads that read requests of one mount: one that copies, one that reads the next.
const THREADS_PER_MOUNT: usize = 2;
/// How the source of a mount begins, followed by the number of the process and the host.
const SOURCE: &str = "shareddisk";

/// Runs the daemon that `arguments` describes, one JSON object, until it is told to stop. Returns the exit code.
pub fn run(arguments: &[std::ffi::OsString]) -> i32 {
    let text = arguments.first().map(|argument| argument.to_string_lossy().into_owned()).unwrap_or_default();
    let result = serde_json::from_str(&text).map_err(Error::Answer).and_then(|options| run_until_told(&options));
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("shared disk: {error}");
            1
        }
    }
}

fn run_until_told(options: &Options) -> Result<()> {
    // Blocked in all threads, which inherit it; waited for below.
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    let refused = |errno: Errno| Error::Unavailable(format!("cannot wait for signals: {errno}"));
    signals.thread_block().map_err(refused)?;
    if options.dies_with_parent {
        prctl::set_pdeathsig(Signal::SIGTERM).map_err(refused)?;
    }
    sweep();
    let disk = Arc::new(Disk::mount(options)?);
    let gate = Arc::clone(&disk.gate);
    let timer = std::thread::spawn(move || gate.run());
    let listener = UnixListener::bind(&options.socket).map_err(|source| at(&options.socket, source))?;
    let answering = Arc::clone(&disk);
    std::thread::spawn(move || serve(&listener, move |request| answering.answer(request)));
    println!("{READY}");
    let _ = signals.wait();
    disk.unmount_all();
    // The timer ends with the gate; a panic in it has been printed.
    let _ = timer.join();
    // Its absence is what the next start needs.
    let _ = std::fs::remove_file(&options.socket);
    Ok(())
}

fn at(path: &Path, source: std::io::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}

/// Unmounts what daemons left that were killed themselves.
pub(crate) fn sweep() {
    for (_, path) in mounted().filter(|(process, _)| !Path::new("/proc").join(process).exists()) {
        // Another sweep may have been faster.
        let _ = umount2(&path, MntFlags::MNT_DETACH);
    }
}

/// The mounts of shared disks: the number of the daemon's process, and the path.
pub(crate) fn mounted() -> impl Iterator<Item = (String, PathBuf)> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let (source, rest) = after.split(' ').nth(1)?.split_once(':')?;
        let process = rest.split(':').next()?.to_owned();
        (source == SOURCE).then_some((process, PathBuf::from(before.split(' ').nth(4)?)))
    };
    text.lines().filter_map(mount).collect::<Vec<_>>().into_iter()
}

/// Cuts a mount off: whoever waits gets ECONNABORTED, whoever comes later ENOTCONN.
fn abort(path: &Path) {
    // A mount that is in use stays, aborted, and says EBUSY.
    let _ = umount2(path, MntFlags::MNT_FORCE);
}

struct Disk {
    gate: Arc<Gate>,
    hosts: Vec<HostId>,
    mounts: Vec<PathBuf>,
    backing: PathBuf,
    sessions: Mutex<Vec<Option<BackgroundSession>>>,
}

impl Disk {
    fn mount(options: &Options) -> Result<Self> {
        let folder = Folder::new(options.backing.clone()).map_err(|source| at(&options.backing, source))?;
        let model = DiskModel::new(options.settings.clone(), Box::new(folder));
        let hosts: Vec<HostId> = model.hosts().collect();
        if hosts.len() != options.mounts.len() {
            let message = format!("{} hosts need as many mounts, not {}", hosts.len(), options.mounts.len());
            return Err(Error::Unavailable(message));
        }
        let gate = Arc::new(Gate::new(model, Duration::from_millis(options.hold_limit_ms)));
        let sessions = Mutex::new(hosts.iter().map(|_| None).collect());
        let disk = Self { gate, hosts, mounts: options.mounts.clone(), backing: options.backing.clone(), sessions };
        for index in 0..disk.hosts.len() {
            if let Err(error) = disk.mount_host(index) {
                disk.unmount_all();
                return Err(error);
            }
        }
        Ok(disk)
    }

    fn mount_host(&self, index: usize) -> Result<()> {
        let path = &self.mounts[index];
        std::fs::create_dir_all(path).map_err(|source| at(path, source))?;
        let mut config = Config::default();
        let source = format!("{SOURCE}:{}:{}", std::process::id(), self.hosts[index].0);
        config.mount_options = vec![
            MountOption::FSName(source),
            MountOption::Subtype(SOURCE.to_owned()),
            MountOption::DefaultPermissions,
            MountOption::NoAtime,
            MountOption::NoDev,
            MountOption::NoSuid,
        ];
        config.acl = SessionACL::All;
        config.n_threads = Some(THREADS_PER_MOUNT);
        let mount = Mount::new(self.hosts[index], Arc::clone(&self.gate));
        let session = Session::new(mount, path, &config).and_then(Session::spawn);
        let session =
            session.map_err(|error| Error::Unavailable(format!("cannot mount {}: {error}", path.display())))?;
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(session);
        Ok(())
    }

    /// Takes a host's mount away, whatever state it is in.
    fn unmount(&self, index: usize) {
        abort(&self.mounts[index]);
        // Not mounted any more is what is wanted.
        let _ = umount2(&self.mounts[index], MntFlags::MNT_DETACH);
        let session = self.sessions.lock().unwrap_or_else(PoisonError::into_inner)[index].take();
        // Its threads end by themselves, since the connection is aborted.
        drop(session);
    }

    fn unmount_all(&self) {
        self.gate.stop();
        for index in 0..self.mounts.len() {
            self.unmount(index);
        }
    }

    fn answer(&self, request: Request) -> Answer {
        match self.carry_out(request) {
            Ok(value) => Answer::Done(value),
            Err(why) => Answer::Refused(why),
        }
    }

    fn host(&self, name: &str) -> std::result::Result<HostId, String> {
        self.gate.with_model(|model| model.host(name)).ok_or_else(|| format!("no host is called {name}"))
    }

    fn carry_out(&self, request: Request) -> std::result::Result<Value, String> {
        let wrong_state = |errno: Errno| match errno {
            Errno::EINVAL => "the host is not in a state for that".to_owned(),
            errno => errno.to_string(),
        };
        match request {
            Request::AddFault { fault } => value(self.gate.add_fault(fault).map_err(|error| error.to_string())?),
            Request::RemoveFault { id } => value(self.gate.remove_faults(Some(id))),
            Request::RemoveFaults => value(self.gate.remove_faults(None)),
            Request::Freeze { host } => value(self.gate.freeze(self.host(&host)?).map_err(wrong_state)?),
            Request::Thaw { host } => value(self.gate.thaw(self.host(&host)?).map_err(wrong_state)?),
            Request::Crash { host, unsynced, writes } => {
                let host = self.host(&host)?;
                let path = &self.mounts[usize::from(host.0)];
                value(self.gate.crash(host, unsynced, writes, || abort(path)).map_err(wrong_state)?)
            }
            Request::MountAgain { host } => {
                let host = self.host(&host)?;
                self.gate.mounted_again(host).map_err(wrong_state)?;
                self.unmount(usize::from(host.0));
                value(self.mount_host(usize::from(host.0)).map_err(|error| error.to_string())?)
            }
            Request::ExpireLease { host } => value(self.gate.expire_lease(self.host(&host)?)),
            Request::RenewLease { host } => {
                let host = self.host(&host)?;
                value(self.gate.with_model(|model| model.renew_lease(host)))
            }
            Request::OnLoss { on_loss } => value(self.gate.with_model(|model| model.set_on_loss(on_loss))),
            Request::Report => value(self.gate.report()),
            Request::WriteLog { path } => value(self.gate.write_log(&path).map_err(|error| error.to_string())?),
            Request::Export { path } => {
                value(self.export(&path).map_err(|error| format!("{}: {error}", path.display()))?)
            }
            Request::Stop => {
                // The thread that waits for it unmounts.
                value(nix::sys::signal::kill(nix::unistd::getpid(), Signal::SIGTERM).map_err(wrong_state)?)
            }
        }
    }

    /// Links what is durable into a tree, as a host would find it that mounts the disk after all have lost power.
    fn export(&self, target: &Path) -> std::io::Result<usize> {
        let (directories, files) = self.gate.with_model(|model| model.durable_tree());
        std::fs::create_dir_all(target)?;
        for directory in &directories {
            std::fs::create_dir_all(target.join(directory))?;
        }
        for (path, ino, len) in &files {
            let source = backing_file(&self.backing, *ino);
            let file = std::fs::File::options().write(true).create(true).truncate(false).open(&source)?;
            file.set_len(*len)?;
            std::fs::hard_link(&source, target.join(path))?;
        }
        Ok(files.len())
    }
}

fn value(answer: impl Serialize) -> std::result::Result<Value, String> {
    serde_json::to_value(answer).map_err(|error| error.to_string())
}

/// Now, as the daemon's reports count it: nanoseconds of CLOCK_MONOTONIC.
pub fn monotonic_ns() -> u64 {
    now_ns()
}
