//! Takes processor time away from a process: by a quota of the kernel's, or by stopping it most of the time where there is none.
//!
//! The kernel's quota (control group, version 1 or 2) needs root and a writable hierarchy. Its evidence is cpu.stat; that of the
//! stops is their number, each seen in /proc.

use super::signal::{resume, stop};
use crate::clock;
use crate::error::{AtPath, Result};
use crate::faults::Effect;
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Length of one turn of quota or stop, microseconds: below a usual heartbeat interval.
const PERIOD_US: u64 = 50_000;
/// Where control groups with a processor controller are: version 1, version 1 with two controllers in one place, version 2.
const HIERARCHIES: [&str; 3] = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup"];

/// A process that is kept short; it runs freely again when this is dropped.
#[derive(Debug)]
pub struct Starving {
    /// When it began, and how that is known.
    pub effect: Effect,
    pid: Pid,
    means: Means,
}

#[derive(Debug)]
enum Means {
    Group(Group),
    Stops(Stops),
}

impl Starving {
    /// Leaves the process `percent` of one processor.
    pub fn start(pid: Pid, percent: u8) -> Result<Self> {
        let requested_ns = clock::now_ns();
        let percent = percent.clamp(1, 99);
        let (means, how) = match Group::around(pid, percent) {
            Some(group) => {
                let how = format!("control group {}", group.path.display());
                (Means::Group(group), how)
            }
            None => (Means::Stops(Stops::start(pid, percent)), "SIGSTOP and SIGCONT in turn".to_owned()),
        };
        let proof = format!("{pid} has {percent} % of a processor by {how}");
        Ok(Self { effect: Effect { requested_ns, effective_ns: clock::now_ns(), proof }, pid, means })
    }

    /// Lets it run freely; the evidence, or why there is none.
    pub fn end(mut self) -> Result<Result<String, String>> {
        let pid = self.pid;
        Ok(match &mut self.means {
            Means::Group(group) => {
                let (count, us) = group.throttled()?;
                match count {
                    0 => Err(format!("cpu.stat: {pid} never waited for its quota")),
                    _ => Ok(format!("cpu.stat: {pid} waited for its quota {count} times, {} ms in all", us / 1000)),
                }
            }
            Means::Stops(stops) => match stops.end() {
                0 => Err(format!("{pid} was never seen to stop")),
                count => Ok(format!("{pid} was seen to stop {count} times in /proc")),
            },
        })
    }
}

/// A control group of its own around one process.
#[derive(Debug)]
struct Group {
    path: PathBuf,
    /// Where its process goes back to.
    parent: PathBuf,
    pid: Pid,
}

impl Group {
    /// `None` where there is no processor controller or it is not ours to use.
    fn around(pid: Pid, percent: u8) -> Option<Self> {
        let parent = HIERARCHIES.iter().map(Path::new).find(|path| has_controller(path))?;
        let path = parent.join(format!("chaos-{pid}"));
        std::fs::create_dir(&path).ok()?;
        let group = Self { path, parent: parent.to_owned(), pid };
        let quota_us = PERIOD_US * u64::from(percent) / 100;
        let limit = |file: &str, text: String| std::fs::write(group.path.join(file), text);
        let limited = limit("cpu.max", format!("{quota_us} {PERIOD_US}")).or_else(|_| {
            limit("cpu.cfs_period_us", PERIOD_US.to_string())?;
            limit("cpu.cfs_quota_us", quota_us.to_string())
        });
        limited.and_then(|()| limit("cgroup.procs", pid.to_string())).ok()?;
        Some(group)
    }

    /// How often the process had to wait, and for how long in all, microseconds.
    fn throttled(&self) -> Result<(u64, u64)> {
        let path = self.path.join("cpu.stat");
        let text = std::fs::read_to_string(&path).at(&path)?;
        let number = |name: &str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
        };
        let us = number("throttled_usec").or(number("throttled_time").map(|ns| ns / 1000));
        Ok((number("nr_throttled").unwrap_or(0), us.unwrap_or(0)))
    }
}

fn has_controller(path: &Path) -> bool {
    let controllers = std::fs::read_to_string(path.join("cgroup.subtree_control")).unwrap_or_default();
    path.join("cpu.cfs_quota_us").exists() || controllers.split_whitespace().any(|name| name == "cpu")
}

impl Drop for Group {
    /// A group can be removed once its processes have left; one that has ended has left by itself.
    fn drop(&mut self) {
        let _ = std::fs::write(self.parent.join("cgroup.procs"), self.pid.to_string());
        if let Err(error) = std::fs::remove_dir(&self.path) {
            eprintln!("chaos: cannot remove {}: {error}", self.path.display());
        }
    }
}

/// A thread that stops a process and lets it run again, period after period.
#[derive(Debug)]
struct Stops {
    over: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Stops {
    fn start(pid: Pid, percent: u8) -> Self {
        let (over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (is_over, seen) = (Arc::clone(&over), Arc::clone(&count));
        let running = Duration::from_micros(PERIOD_US * u64::from(percent) / 100);
        let stopped = Duration::from_micros(PERIOD_US) - running;
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                // An error means that the process has ended.
                match stop(pid) {
                    Ok(Some(_)) => seen.fetch_add(1, Ordering::Relaxed),
                    Ok(None) => 0,
                    Err(_) => return,
                };
                std::thread::sleep(stopped);
                if resume(pid).is_err() {
                    return;
                }
                std::thread::sleep(running);
            }
        });
        Self { over, count, thread: Some(thread) }
    }

    /// The thread ends with the process running; how often it was seen to stop.
    fn end(&mut self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, the process would stay as it is, and the trial would say so.
            let _ = thread.join();
        }
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Stops {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn busy() -> (Child, Pid) {
        let child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh(1) exists");
        let pid = Pid::from_raw(child.id() as i32);
        (child, pid)
    }

    fn ended(mut child: Child) {
        child.kill().expect("it runs");
        child.wait().expect("it is our child");
    }

    #[test]
    fn a_busy_process_gets_little_by_either_means_and_leaves_nothing() {
        let (child, pid) = busy();
        let starving = Starving::start(pid, 10).expect("it runs");
        let group = match &starving.means {
            Means::Group(group) => Some(group.path.clone()),
            Means::Stops(_) => None,
        };
        std::thread::sleep(Duration::from_millis(400));
        let evidence = starving.end().expect("readable").expect("it was busy");
        assert!(evidence.contains("times"), "{evidence}");
        assert!(group.is_none_or(|path| !path.exists()));
        ended(child);
    }

    #[test]
    fn stops_are_counted_and_the_process_runs_afterwards() {
        let (child, pid) = busy();
        let mut stops = Stops::start(pid, 50);
        std::thread::sleep(Duration::from_millis(300));
        assert!(stops.end() >= 2);
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        assert!(stat.contains(" R ") || stat.contains(" S "), "{stat}");
        ended(child);
    }

    #[test]
    fn an_idle_process_shows_no_evidence_under_a_quota() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep(1) exists");
        let starving = Starving::start(Pid::from_raw(child.id() as i32), 50).expect("it runs");
        if matches!(starving.means, Means::Group(_)) {
            assert!(starving.end().expect("readable").is_err());
        }
        child.kill().expect("it runs");
        child.wait().expect("it is our child");
    }
}
