//! Redis streams: XADD, one command for each message, pipelined; XREAD from where the last one ended.
//!
//! Owns as much of RESP as these two need.

use crate::options::Options;
use anyhow::{Result, bail};
use benches::{Peer, Progress};
use bytes::{Bytes, BytesMut};

/// Entries that one XREAD asks for.
const READ_COUNT: usize = 1000;

/// Sends.
pub(crate) struct RedisProducer {
    command: Vec<u8>,
    output: BytesMut,
    /// The beginning of an answer that is not complete.
    rest: Vec<u8>,
}

impl RedisProducer {
    /// A producer of the stream.
    pub(crate) fn new(options: &Options) -> Self {
        let body = "x".repeat(options.bytes);
        let command = command(&["XADD", &options.queue, "*", "f", &body]);
        RedisProducer { command, output: BytesMut::new(), rest: Vec::new() }
    }
}

fn command(words: &[&str]) -> Vec<u8> {
    let words_sent = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), words_sent.collect::<String>()).into_bytes()
}

impl Peer for RedisProducer {
    /// Each answer is a bulk string, the entry's id: two lines.
    fn receive(&mut self, input: &[u8]) -> Result<Progress> {
        self.rest.extend_from_slice(input);
        let (mut at, mut confirmed) = (0, 0);
        while let Some(line) = line(&self.rest[at..]) {
            if line.first() != Some(&b'$') {
                bail!("Redis says {}", String::from_utf8_lossy(line));
            }
            let bytes: usize = std::str::from_utf8(&line[1..])?.parse()?;
            let end = at + line.len() + 2 + bytes + 2;
            if end > self.rest.len() {
                break;
            }
            (at, confirmed) = (end, confirmed + 1);
        }
        self.rest.drain(..at);
        Ok(Progress { confirmed, received: 0 })
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn send(&mut self, count: usize) -> usize {
        (0..count).for_each(|_| self.output.extend_from_slice(&self.command));
        count
    }

    fn output(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }
}

/// The line at the start of `bytes`, without its end.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\r')?;
    (bytes.len() > end + 1).then(|| &bytes[..end])
}

/// Receives.
pub(crate) struct RedisConsumer {
    queue: String,
    output: BytesMut,
    rest: Vec<u8>,
}

impl RedisConsumer {
    /// A consumer of the stream, from its present end on.
    pub(crate) fn new(options: &Options) -> Self {
        let mut consumer = RedisConsumer { queue: options.queue.clone(), output: BytesMut::new(), rest: Vec::new() };
        consumer.ask("$");
        consumer
    }

    fn ask(&mut self, after: &str) {
        let count = READ_COUNT.to_string();
        let words = ["XREAD", "COUNT", &count, "BLOCK", "0", "STREAMS", &self.queue, after];
        self.output.extend_from_slice(&command(&words));
    }
}

/// Walks over one answer to XREAD: entries, and the id of the last. `None`: it is not complete.
struct Answer<'a> {
    bytes: &'a [u8],
    at: usize,
    entries: usize,
    last: &'a [u8],
}

impl<'a> Answer<'a> {
    fn count(&mut self, mark: u8) -> Option<usize> {
        let line = line(self.bytes.get(self.at..)?)?;
        self.at += line.len() + 2;
        (line.first() == Some(&mark)).then(|| std::str::from_utf8(&line[1..]).ok()?.parse().ok())?
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let count = self.count(b'$')?;
        let text = self.bytes.get(self.at..self.at + count)?;
        self.at += count + 2;
        (self.at <= self.bytes.len()).then_some(text)
    }

    /// One stream: its name and its entries, each an id and a list of fields.
    fn read(&mut self) -> Option<()> {
        self.count(b'*')?;
        self.count(b'*')?;
        self.text()?;
        for _ in 0..self.count(b'*')? {
            self.count(b'*')?;
            self.last = self.text()?;
            for _ in 0..self.count(b'*')? {
                self.text()?;
            }
            self.entries += 1;
        }
        Some(())
    }
}

impl Peer for RedisConsumer {
    fn receive(&mut self, input: &[u8]) -> Result<Progress> {
        self.rest.extend_from_slice(input);
        if self.rest.first() == Some(&b'-') {
            bail!("Redis says {}", String::from_utf8_lossy(&self.rest));
        }
        let mut answer = Answer { bytes: &self.rest, at: 0, entries: 0, last: &[] };
        if answer.read().is_none() {
            return Ok(Progress::default());
        }
        let (end, received, last) = (answer.at, answer.entries, String::from_utf8_lossy(answer.last).into_owned());
        self.rest.drain(..end);
        self.ask(&last);
        Ok(Progress { confirmed: 0, received })
    }

    fn is_ready(&self) -> bool {
        self.output.is_empty()
    }

    fn send(&mut self, _count: usize) -> usize {
        0
    }

    fn output(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }
}
