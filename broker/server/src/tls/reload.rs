//! Certificates that are read again while the server runs.
//!
//! Owns the thread that reads: files may be slow, and a key's password is slow on purpose. New connections use what it brings;
//! files that cannot be used change nothing.

use super::{Problem, Tls};
use crate::broker::Broker;
use crate::config::Configuration;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::SystemTime;

/// What the thread brings.
type Read = Result<Tls, Vec<Problem>>;

/// A reading that is under way.
#[derive(Debug, Default)]
pub(crate) struct Reload {
    under_way: Option<Receiver<Read>>,
    /// Asked for meanwhile: the files may have changed since.
    again: bool,
}

/// Reads the files that a configuration needs.
pub(crate) fn read(configuration: &Configuration) -> Read {
    let listens = configuration.listens.iter().any(|listen| listen.tls);
    Tls::load(&configuration.tls, listens, configuration.tls_peer(), SystemTime::now())
}

/// Problems as one text.
pub(crate) fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Broker {
    /// Begins to read the certificates, keys and authorities again; the log tells the result within a second or two.
    pub fn reload_certificates(&mut self) {
        if self.reload.under_way.is_some() {
            self.reload.again = true;
            return;
        }
        let (sender, receiver) = channel();
        let configuration = self.configuration.clone();
        let thread = std::thread::Builder::new().name("certificates".into());
        let started = thread.spawn(move || {
            // A server that has ended meanwhile needs no certificates.
            let _ = sender.send(read(&configuration));
        });
        match started {
            Ok(_) => self.reload.under_way = Some(receiver),
            Err(error) => {
                self.log.line(format!("The certificates stay as they are: no thread can be started: {error}"))
            }
        }
    }

    /// Takes over what was read, if it is there.
    pub(crate) fn take_certificates(&mut self) {
        let Some(receiver) = &self.reload.under_way else { return };
        let read = match receiver.try_recv() {
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {
                self.log.line("The certificates stay as they are: reading them failed unexpectedly");
                None
            }
            Ok(read) => Some(read),
        };
        self.reload.under_way = None;
        match read {
            Some(Ok(tls)) => {
                self.log.line("The certificates were read again; new connections use them");
                for remark in &tls.remarks {
                    self.log.line(remark.clone());
                }
                self.tls = tls;
            }
            Some(Err(problems)) => {
                self.log.line(format!("The certificates stay as they are: {}", list(&problems)));
            }
            None => {}
        }
        if std::mem::take(&mut self.reload.again) {
            self.reload_certificates();
        }
    }
}
