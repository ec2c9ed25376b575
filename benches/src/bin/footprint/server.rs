//! A broker process with a store of its own, for one measurement. Owns its folder and its end.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long it may take to listen.
const START_WITHIN: Duration = Duration::from_secs(20);

/// A running broker; it is killed when this goes.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts the program below `parent`; every name is a queue in the store that confirms only what is durable.
    ///
    /// # Errors
    /// It does not start, or does not listen in time; the error has its log.
    pub(crate) fn start(program: &Path, parent: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(parent).with_context(|| format!("cannot write to {}", parent.display()))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let path = folder.path();
        std::fs::write(path.join("queues.conf"), "> failsafe\n")?;
        let lines = format!(
            "server = FOOTPRINT\nlisten = tcp://{address}\nstore = {}\nqueues = queues.conf\n",
            path.join("store").display()
        );
        std::fs::write(path.join("server.conf"), lines)?;
        let log = File::create(path.join("log"))?;
        let child = Command::new(program)
            .arg("-config")
            .arg(path.join("server.conf"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}: build it with cargo build --release", program.display()))?;
        let mut server = Server { child, folder, address };
        server.await_listening()?;
        Ok(server)
    }

    fn await_listening(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_WITHIN;
        while TcpStream::connect(self.address).is_err() {
            if Instant::now() > deadline || self.child.try_wait()?.is_some() {
                let log = std::fs::read_to_string(self.folder.path().join("log"))?;
                bail!("the broker does not listen on {}: {log}", self.address);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// What the process has in memory now, in bytes (Rss of /proc/PID/smaps_rollup).
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn memory_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).context("no Rss in smaps_rollup")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the measurement has noticed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
