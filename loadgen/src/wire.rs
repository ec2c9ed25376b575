//! Owns one AMQP connection over one socket: bytes in, events out, output to the socket. It knows no link and no workload.
//!
//! One task owns the whole of it; nothing is sent between tasks, and no message costs an allocation here.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, BufRead, IoSlice, Write};

use amqp::{Connection, Event};
use bytes::Bytes;
use rustls::ClientConnection;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::clock::{Nanos, now_ns};
use crate::timer::Timer;

/// Bytes read at once: what a fast broker sends between two turns, and no more than a cache holds.
const INPUT_BYTES: usize = 256 * 1024;
thread_local! {
    /// What one read brings, for all connections of a thread: it stays in the cache, and ten thousand idle ones need one only.
    static INPUT: RefCell<Box<[u8]>> = RefCell::new(vec![0; INPUT_BYTES].into_boxed_slice());
}

/// Reads of one turn: then the other clients of the thread have theirs.
const READS_PER_TURN: usize = 4;
/// Pieces that one system call takes.
const SLICES_MAX: usize = 64;

/// A connection that can no longer be used, and why.
#[derive(Debug)]
pub(crate) struct Lost(pub(crate) String);

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// A connection and its socket.
pub(crate) struct Wire {
    stream: TcpStream,
    /// Between the two, for `amqps://`.
    tls: Option<Box<ClientConnection>>,
    pub(crate) connection: Connection,
    output: VecDeque<Bytes>,
    queued_bytes: u64,
    written_bytes: u64,
}

impl Wire {
    pub(crate) fn new((stream, tls): (TcpStream, Option<ClientConnection>), connection: Connection) -> Self {
        let tls = tls.map(Box::new);
        Self { stream, tls, connection, output: VecDeque::new(), queued_bytes: 0, written_bytes: 0 }
    }

    /// Reads what has arrived and gives every event to `on_event`, those of an expired timer too.
    pub(crate) fn receive(&mut self, now: Nanos, on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), Lost> {
        if self.connection.poll_timeout().is_some_and(|at| at <= now) {
            self.connection.handle_timeout(now);
        }
        INPUT.with_borrow_mut(|input| self.read(now, input, on_event))
    }

    fn read(&mut self, now: Nanos, input: &mut [u8], on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), Lost> {
        for _ in 0..READS_PER_TURN {
            let count = match self.stream.try_read(input) {
                Ok(0) => {
                    self.report(now, &[], on_event)?;
                    return Err(Lost("the server closed the socket".to_owned()));
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error.into()),
            };
            self.report(now, &input[..count], on_event)?;
            if count < input.len() {
                break;
            }
        }
        Ok(())
    }

    fn report(&mut self, now: Nanos, input: &[u8], on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), Lost> {
        let Self { tls, connection, .. } = self;
        let mut report = |mut bytes: &[u8]| {
            while let Some(event) = connection.next_event(now, &mut bytes) {
                on_event(event);
            }
        };
        let Some(tls) = tls.as_mut().filter(|_| !input.is_empty()) else {
            report(input);
            return Ok(());
        };
        let mut records = input;
        // After the server's close_notify nothing is read.
        while !records.is_empty() && tls.read_tls(&mut records)? > 0 {
            tls.process_new_packets().map_err(|error| Lost(format!("TLS failed: {error}")))?;
            let mut reader = tls.reader();
            while let Ok(bytes) = reader.fill_buf()
                && !bytes.is_empty()
            {
                report(bytes);
                let length = bytes.len();
                reader.consume(length);
            }
        }
        Ok(())
    }

    /// Writes as much of the output as the socket takes.
    pub(crate) fn transmit(&mut self, now: Nanos) -> Result<(), Lost> {
        loop {
            if self.output.is_empty() {
                let Some(output) = self.connection.poll_transmit(now) else { return Ok(()) };
                self.queued_bytes += output.bytes as u64;
                match &mut self.tls {
                    None => self.output.extend(output.chunks),
                    Some(tls) => self.output.push_back(records(tls, &output.chunks)?),
                }
            }
            while !self.output.is_empty() {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = self.output.len().min(SLICES_MAX);
                for (slice, chunk) in slices.iter_mut().zip(&self.output) {
                    *slice = IoSlice::new(chunk);
                }
                match self.stream.try_write_vectored(&slices[..count]) {
                    Ok(written) => self.advance(written),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    fn advance(&mut self, mut written: usize) {
        // Where the bytes of a message lie within records is not known: none of it counts as kept back once some of it left.
        self.written_bytes = if self.tls.is_some() { self.queued_bytes } else { self.written_bytes + written as u64 };
        while let Some(first) = self.output.front_mut() {
            if written < first.len() {
                let _sent = first.split_to(written);
                return;
            }
            written -= first.len();
            self.output.pop_front();
        }
    }

    /// Whether the socket still has to take output: sending more would only fill memory.
    pub(crate) fn is_congested(&self) -> bool {
        !self.output.is_empty()
    }

    /// Where in the stream of bytes the next frame begins at the earliest.
    pub(crate) fn output_offset(&self) -> u64 {
        self.queued_bytes + self.connection.output_bytes() as u64
    }

    /// How much of the stream of bytes the operating system has taken.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Waits for input, for room in the socket if it is congested, for the connection's own timer, or for `deadline_ns`.
    pub(crate) async fn wait(&self, timer: &Timer, deadline_ns: Option<Nanos>) -> Result<(), Lost> {
        let deadline_ns = [deadline_ns, self.connection.poll_timeout()].into_iter().flatten().min();
        if deadline_ns.is_some_and(|at| at <= now_ns()) {
            tokio::task::yield_now().await;
            return Ok(());
        }
        let interest = if self.is_congested() { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        tokio::select! {
            ready = self.stream.ready(interest) => { ready?; }
            waited = timer.until(deadline_ns.unwrap_or(0)), if deadline_ns.is_some() => waited?,
        }
        Ok(())
    }
}

/// Chunks of the protocol as records, in one piece.
fn records(tls: &mut ClientConnection, chunks: &[Bytes]) -> io::Result<Bytes> {
    let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut rest = &mut slices[..];
    let mut records = Vec::new();
    while !rest.is_empty() {
        let taken = tls.writer().write_vectored(rest)?;
        IoSlice::advance_slices(&mut rest, taken);
        while tls.wants_write() {
            tls.write_tls(&mut records)?;
        }
    }
    Ok(records.into())
}
