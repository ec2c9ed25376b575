//! Other processes: this test program again, told by its environment to hold a lock or to wait on the mount.

use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use nix::libc;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const ROLE: &str = "SHAREDDISK_ACTOR";
const PATH: &str = "SHAREDDISK_ACTOR_PATH";

/// A running actor; killed when it is dropped.
pub(crate) struct Actor {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Actor {
    /// Starts one that plays `role` on the file, and waits until it says that it is about to.
    pub(crate) fn start(role: &str, path: &Path) -> Self {
        let program = std::env::current_exe().expect("we run");
        let mut command = Command::new(program);
        command.args(["--exact", "actor::actor", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(PATH, path);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("we can run ourselves");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut actor = Self { child, output };
        actor.await_word("begins");
        actor
    }

    /// Waits for a line of its output.
    pub(crate) fn await_word(&mut self, word: &str) {
        for line in self.output.by_ref().lines() {
            if line.expect("it writes text").ends_with(word) {
                return;
            }
        }
        panic!("the actor ended without {word}");
    }

    /// SIGKILL, without waiting for its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is ours");
    }

    /// Whether it has ended within the time.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if self.child.try_wait().expect("it is ours").is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It may have ended. The daemon's watchdog lets it go if it hangs.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn whole_file(kind: i32) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 }
}

fn say(word: &str) {
    println!("{word}");
    std::io::stdout().flush().expect("somebody reads");
}

/// Not a test of its own: what [`Actor`] runs.
#[test]
fn actor() {
    let (Ok(role), Some(path)) = (std::env::var(ROLE), std::env::var_os(PATH)) else { return };
    let file = File::options().read(true).write(true).open(path).expect("the file is there");
    say("begins");
    let lock = whole_file(libc::F_WRLCK);
    match role.as_str() {
        "hold-posix" => drop(fcntl(&file, FcntlArg::F_SETLK(&lock)).expect("it is free")),
        "hold-ofd" => drop(fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).expect("it is free")),
        "wait-posix" => drop(fcntl(&file, FcntlArg::F_SETLKW(&lock))),
        "hold-flock" => {
            let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno);
            let _held = held.expect("it is free");
            say("done");
            std::thread::sleep(Duration::from_secs(60));
            return;
        }
        "write" => drop(file.write_at(&[7; 4096], 0)),
        other => panic!("no role is called {other}"),
    }
    say("done");
    std::thread::sleep(Duration::from_secs(60));
}
