//! NATS JetStream: a file stream, publishes that are answered one by one, and a push consumer that acknowledges all it has
//! read with one answer.
//!
//! The server decides by its `sync_interval` whether an answer means that the message is on disk.

use crate::nats::{Lines, greeting};
use crate::options::Options;
use anyhow::{Result, bail};
use benches::{Peer, Progress};
use bytes::{Bytes, BytesMut};

/// One end.
pub(crate) struct JetstreamPeer {
    lines: Lines,
    publish: Vec<u8>,
    output: BytesMut,
    /// Answers of the server that are still to come before messages can flow.
    awaited: usize,
    /// Where publishes are answered.
    inbox: String,
    receives: bool,
}

impl JetstreamPeer {
    /// Publishes to the stream, which the consumer has made.
    pub(crate) fn producer(options: &Options, number: usize) -> Self {
        let inbox = format!("_INBOX.p{number}");
        let body = "x".repeat(options.bytes);
        let publish = format!("PUB {} {inbox} {}\r\n{body}\r\n", options.queue, options.bytes).into_bytes();
        let output = greeting(&format!("SUB {inbox} 1\r\n"));
        JetstreamPeer { lines: Lines::default(), publish, output, awaited: 0, inbox, receives: false }
    }

    /// Makes the stream and receives from it.
    pub(crate) fn consumer(options: &Options) -> Self {
        let (name, inbox) = (&options.queue, "_INBOX.api".to_owned());
        let stream = format!(
            r#"{{"name":"{name}","subjects":["{name}"],"storage":"file","retention":"limits","num_replicas":1}}"#
        );
        let consumer = format!(
            r#"{{"stream_name":"{name}","config":{{"durable_name":"c","deliver_subject":"deliver","deliver_policy":"new","ack_policy":"all","max_ack_pending":65536}}}}"#
        );
        let text = format!(
            "SUB {inbox} 1\r\nSUB deliver 2\r\nPUB $JS.API.STREAM.CREATE.{name} {inbox} {}\r\n{stream}\r\n\
             PUB $JS.API.CONSUMER.DURABLE.CREATE.{name}.c {inbox} {}\r\n{consumer}\r\n",
            stream.len(),
            consumer.len(),
        );
        let output = greeting(&text);
        JetstreamPeer { lines: Lines::default(), publish: Vec::new(), output, awaited: 2, inbox, receives: true }
    }
}

impl Peer for JetstreamPeer {
    fn receive(&mut self, input: &[u8]) -> Result<Progress> {
        let (mut progress, mut complaint, mut acknowledge) = (Progress::default(), None, None);
        let (inbox, receives, awaited) = (&self.inbox, self.receives, &mut self.awaited);
        self.lines.take(input, &mut self.output, |delivered, _| {
            if delivered.subject != inbox {
                progress.received += 1;
                acknowledge = delivered.reply.map(str::to_owned);
                return;
            }
            if delivered.payload.windows(7).any(|word| word == b"\"error\"") {
                complaint = Some(String::from_utf8_lossy(delivered.payload).into_owned());
            }
            match receives {
                true => *awaited = awaited.saturating_sub(1),
                false => progress.confirmed += 1,
            }
        })?;
        if let Some(complaint) = complaint {
            bail!("JetStream says {complaint}");
        }
        if let Some(reply) = acknowledge {
            self.output.extend_from_slice(format!("PUB {reply} 4\r\n+ACK\r\n").as_bytes());
        }
        Ok(progress)
    }

    fn is_ready(&self) -> bool {
        self.lines.pongs > 0 && self.awaited == 0
    }

    fn send(&mut self, count: usize) -> usize {
        (0..count).for_each(|_| self.output.extend_from_slice(&self.publish));
        count
    }

    fn output(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }
}
