//! The operator's log and the event lines.
//!
//! Owns the one thread that writes to standard error, standard output and `logfile`, so that a blocked pipe or a slow disk
//! never stops the loop of a shard. Decides nothing about what is worth logging.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::SystemTime;

/// Lines that may wait for the writer before further ones are counted and dropped: bounds memory when a pipe is full.
const LINES_WAITING_MAX: usize = 16_384;

/// A longer line is cut: most lines repeat something that a peer chose, and many may wait.
const LINE_BYTES_MAX: usize = 4096;

/// Old log files that rotation leaves.
const ROTATED_MAX: u32 = 10_000;

#[derive(Debug)]
enum Line {
    Operator {
        at: SystemTime,
        text: String,
    },
    Event(String),
    /// The file is put aside and a new one begun.
    Rotate,
}

/// A handle on the log; dropping it writes out what waits.
#[derive(Debug)]
pub struct Log {
    sender: Option<SyncSender<Line>>,
    writer: Option<JoinHandle<()>>,
    /// Takes the lines in the writer's place.
    observer: Option<Sender<String>>,
    dropped: u64,
}

impl Log {
    /// Starts the writer; `logfile` is appended to.
    pub fn start(logfile: Option<&Path>) -> std::io::Result<Log> {
        let file = match logfile {
            Some(path) => Some(LogFile { path: path.to_owned(), file: append_to(path)? }),
            None => None,
        };
        let (sender, receiver) = sync_channel(LINES_WAITING_MAX);
        let writer = std::thread::Builder::new().name("log".into()).spawn(move || write_lines(&receiver, file))?;
        Ok(Log { sender: Some(sender), writer: Some(writer), observer: None, dropped: 0 })
    }

    /// For simulations: all lines go to the caller, without the time.
    pub fn observed() -> (Log, Receiver<String>) {
        let (observer, lines) = channel();
        (Log { sender: None, writer: None, observer: Some(observer), dropped: 0 }, lines)
    }

    /// One line for the operator, whatever the text holds.
    pub fn line(&mut self, text: impl Into<String>) {
        self.push(Line::Operator { at: SystemTime::now(), text: one_line(text.into()) });
    }

    /// One event line: a JSON object without line breaks.
    pub fn event(&mut self, json: String) {
        self.push(Line::Event(json));
    }

    /// Puts the log file aside, as `name.1` and so on, and begins a new one.
    pub fn rotate(&mut self) {
        self.push(Line::Rotate);
    }

    fn push(&mut self, line: Line) {
        if let Some(observer) = &self.observer {
            let (Line::Operator { text, .. } | Line::Event(text)) = line else { return };
            // Who does not look any more misses nothing.
            let _ = observer.send(text);
            return;
        }
        let Some(sender) = &self.sender else { return };
        if self.dropped > 0 {
            let text =
                format!("{} log lines were dropped because the log could not be written fast enough", self.dropped);
            if sender.try_send(Line::Operator { at: SystemTime::now(), text }).is_ok() {
                self.dropped = 0;
            }
        }
        if let Err(TrySendError::Full(_)) = sender.try_send(line) {
            self.dropped += 1;
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to say.
            let _ = writer.join();
        }
    }
}

/// The log file, and where it is.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
}

/// Names that peers choose must neither begin lines of their own nor move a terminal's cursor: control characters are
/// written as their escapes.
fn one_line(mut text: String) -> String {
    if text.len() > LINE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(LINE_BYTES_MAX));
        text.push_str("...");
    }
    if !text.contains(char::is_control) {
        return text;
    }
    let escaped = |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.into() };
    text.chars().map(escaped).collect()
}

fn append_to(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl LogFile {
    /// Renames the file to the first of `path.1`, `path.2` that is free; what cannot be done leaves it as it is.
    fn rotate(&mut self) -> std::io::Result<()> {
        let numbered = |number: u32| PathBuf::from(format!("{}.{number}", self.path.display()));
        let aside = (1..ROTATED_MAX).map(numbered).find(|path| !path.exists());
        let full = || std::io::Error::other(format!("there are {ROTATED_MAX} old log files: remove some"));
        std::fs::rename(&self.path, aside.ok_or_else(full)?)?;
        self.file = append_to(&self.path)?;
        Ok(())
    }
}

fn write_lines(receiver: &Receiver<Line>, mut file: Option<LogFile>) {
    // There is nowhere to report that the log itself cannot be written: a closed terminal must not stop the broker.
    while let Ok(line) = receiver.recv() {
        match line {
            Line::Operator { at, text } => {
                let line = format!("{} {text}\n", humantime::format_rfc3339_millis(at));
                let _ = std::io::stderr().write_all(line.as_bytes());
                if let Some(log) = &mut file {
                    let _ = log.file.write_all(line.as_bytes());
                }
            }
            Line::Rotate => {
                if let Some(log) = &mut file
                    && let Err(error) = log.rotate()
                {
                    let line = format!("The log file {} was not rotated: {error}\n", log.path.display());
                    let _ = std::io::stderr().write_all(line.as_bytes());
                    let _ = log.file.write_all(line.as_bytes());
                }
            }
            Line::Event(json) => {
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(json.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_write_lines_of_its_own_into_the_log() {
        let (mut log, lines) = Log::observed();
        log.line("user 'x\r\n2026-01-01 The server is fine\u{1b}[2J\u{9b}' is unknown, '\u{e4}' too");
        let expected = "user 'x\\r\\n2026-01-01 The server is fine\\u{1b}[2J\\u{9b}' is unknown, '\u{e4}' too";
        assert_eq!(lines.recv().unwrap(), expected);
        log.line("\u{e4}".repeat(LINE_BYTES_MAX));
        assert_eq!(lines.recv().unwrap().len(), LINE_BYTES_MAX + 3);
    }
}
