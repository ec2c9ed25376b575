//! The words in which the harness and the daemon speak: one JSON object on each line of a Unix socket.
//!
//! Owns requests, answers and the server's side of the socket. What they do is the gate's.

use crate::gate::InFlightRule;
use crate::model::{CrashMode, FaultId, FaultSpec, OnLoss};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;

/// A request. Hosts are named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
#[allow(missing_docs, reason = "the line of each variant speaks of its fields")]
pub enum Request {
    /// Sets a fault. Answer: its [`FaultId`].
    AddFault { fault: FaultSpec },
    /// Ends a fault; what it held goes on.
    RemoveFault { id: FaultId },
    /// Ends all faults.
    RemoveFaults,
    /// Nothing of the host arrives any more.
    Freeze { host: String },
    /// It is back. Answer: a [`crate::gate::ThawReport`].
    Thaw { host: String },
    /// It loses power, and its mount is cut off. Answer: a [`crate::model::CrashReport`].
    Crash {
        host: String,
        #[serde(default)]
        unsynced: CrashMode,
        #[serde(default)]
        writes: InFlightRule,
    },
    /// A host that crashed mounts again.
    MountAgain { host: String },
    /// The lock server does not hear the host any more.
    ExpireLease { host: String },
    /// The lock server hears it again.
    RenewLease { host: String },
    /// What hosts that lose their locks are told.
    OnLoss { on_loss: OnLoss },
    /// All that is known. Answer: a [`crate::gate::DiskReport`].
    Report,
    /// Writes the last operations into a file. Answer: how many.
    WriteLog { path: PathBuf },
    /// Makes a tree of what is durable in an empty folder on the file system of the backing folder. Answer: how many files.
    Export { path: PathBuf },
    /// Unmounts and ends.
    Stop,
}

/// An answer: one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// What the request's line says, or null.
    Done(Value),
    /// Why not.
    Refused(String),
}

/// A request is no longer than this, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// Answers requests, each connection on a thread of its own, until the process ends. The harness has one or two.
pub(crate) fn serve(listener: &UnixListener, answer: impl Fn(Request) -> Answer + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    for stream in listener.incoming().flatten() {
        let answer = Arc::clone(&answer);
        std::thread::spawn(move || {
            // A connection that breaks is the harness's end of it; its next one is served.
            let _ = talk(&stream, &*answer);
        });
    }
}

fn talk(stream: &UnixStream, answer: &dyn Fn(Request) -> Answer) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if std::io::Read::take(&mut reader, LINE_BYTES_MAX).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let answer = match serde_json::from_str(&line) {
            Ok(request) => answer(request),
            Err(error) => Answer::Refused(format!("not understood: {error}")),
        };
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        let mut stream = stream;
        stream.write_all(&text)?;
    }
}
