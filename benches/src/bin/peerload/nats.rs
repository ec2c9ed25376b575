//! NATS core: PUB and SUB.
//!
//! Owns as much of the text protocol as these need, for `jetstream` too.

use crate::options::Options;
use anyhow::{Result, bail};
use benches::{Peer, Progress};
use bytes::{Bytes, BytesMut};

/// A message as it arrived.
pub(crate) struct Delivered<'a> {
    /// The subject that it was published to.
    pub(crate) subject: &'a str,
    /// Where an answer goes.
    pub(crate) reply: Option<&'a str>,
    /// Its bytes.
    pub(crate) payload: &'a [u8],
}

/// Cuts the input into messages and answers pings.
#[derive(Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    /// PONGs that came.
    pub(crate) pongs: usize,
}

impl Lines {
    /// Gives each whole message of the input to `deliver`.
    ///
    /// # Errors
    /// The server complains.
    pub(crate) fn take(
        &mut self,
        input: &[u8],
        output: &mut BytesMut,
        mut deliver: impl FnMut(Delivered<'_>, &mut BytesMut),
    ) -> Result<()> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(input);
        let mut at = 0;
        while let Some(length) = rest[at..].iter().position(|byte| *byte == b'\r') {
            let line = &rest[at..at + length];
            let mut next = at + length + 2;
            if next > rest.len() {
                break;
            }
            if line.starts_with(b"MSG ") {
                let words: Vec<&str> = std::str::from_utf8(line)?.split(' ').collect();
                let count: usize = words[words.len() - 1].parse()?;
                if next + count + 2 > rest.len() {
                    break;
                }
                let reply = (words.len() == 5).then(|| words[3]);
                deliver(Delivered { subject: words[1], reply, payload: &rest[next..next + count] }, output);
                next += count + 2;
            } else if line.starts_with(b"PING") {
                output.extend_from_slice(b"PONG\r\n");
            } else if line.starts_with(b"PONG") {
                self.pongs += 1;
            } else if line.starts_with(b"-ERR") {
                bail!("NATS says {}", String::from_utf8_lossy(line));
            }
            at = next;
        }
        rest.drain(..at);
        self.rest = rest;
        Ok(())
    }
}

/// What every connection says first; the PONG tells that all before it was taken in.
pub(crate) fn greeting(then: &str) -> BytesMut {
    let text = format!("CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":false}}\r\n{then}PING\r\n");
    BytesMut::from(text.as_bytes())
}

/// One end.
pub(crate) struct NatsPeer {
    lines: Lines,
    publish: Vec<u8>,
    output: BytesMut,
}

impl NatsPeer {
    /// Publishes to the subject.
    pub(crate) fn producer(options: &Options) -> Self {
        let body = "x".repeat(options.bytes);
        let publish = format!("PUB {} {}\r\n{body}\r\n", options.queue, options.bytes).into_bytes();
        NatsPeer { lines: Lines::default(), publish, output: greeting("") }
    }

    /// Subscribes to the subject.
    pub(crate) fn consumer(options: &Options) -> Self {
        let subscribe = format!("SUB {} 1\r\n", options.queue);
        NatsPeer { lines: Lines::default(), publish: Vec::new(), output: greeting(&subscribe) }
    }
}

impl Peer for NatsPeer {
    fn receive(&mut self, input: &[u8]) -> Result<Progress> {
        let mut progress = Progress::default();
        self.lines.take(input, &mut self.output, |_, _| progress.received += 1)?;
        Ok(progress)
    }

    fn is_ready(&self) -> bool {
        self.lines.pongs > 0
    }

    fn send(&mut self, count: usize) -> usize {
        (0..count).for_each(|_| self.output.extend_from_slice(&self.publish));
        count
    }

    fn output(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }
}
