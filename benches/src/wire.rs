//! One socket and what is still to be written to it. Owns no protocol.

use crate::{Peer, Progress};
use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Bytes read at once: what a fast broker sends between two looks, and no more than a cache holds.
const INPUT_BYTES: usize = 256 << 10;
/// Pieces that one system call writes.
const SLICES_MAX: usize = 64;

/// A socket that never blocks.
#[derive(Debug)]
pub struct Wire {
    /// The socket, to wait for.
    pub stream: TcpStream,
    output: VecDeque<Bytes>,
    input: Box<[u8]>,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Wire { stream, output: VecDeque::new(), input: vec![0; INPUT_BYTES].into_boxed_slice() })
    }

    /// Reads once, and gives what arrived to the peer.
    ///
    /// # Errors
    /// The connection is lost, or the peer says why it cannot go on.
    pub fn read(&mut self, peer: &mut dyn Peer) -> Result<Progress> {
        match self.stream.read(&mut self.input) {
            Ok(0) => bail!("the broker closed the connection"),
            Ok(count) => peer.receive(&self.input[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Progress::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what the socket takes. True: something is left.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn write(&mut self, peer: &mut dyn Peer) -> io::Result<bool> {
        loop {
            while self.output.len() < SLICES_MAX
                && let Some(chunk) = peer.output()
            {
                self.output.push_back(chunk);
            }
            if self.output.is_empty() {
                return Ok(false);
            }
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.output.len().min(SLICES_MAX);
            slices.iter_mut().zip(&self.output).for_each(|(slice, chunk)| *slice = IoSlice::new(chunk));
            match self.stream.write_vectored(&slices[..count]) {
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.output.front_mut() {
            if written < first.len() {
                return first.advance(written);
            }
            written -= first.len();
            self.output.pop_front();
        }
    }
}
