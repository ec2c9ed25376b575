//! The least that a durable confirm can cost here: for each message one write that is on the disk when it returns, and an answer over
//! TCP. `benches/peers` measures it beside the brokers, so that their latency can be told from the disk's and the network's.
//!
//! Owns no queue, no batch and no recovery. One connection at a time, one message at a time: a length of four bytes, big-endian,
//! and as many bytes; the answer is one byte.

use anyhow::{Context, Result};
use clap::Parser;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What direct writes are aligned to.
const BLOCK_BYTES: usize = 4096;
/// Blocks of the file, written before the first message: a block that was never written costs the file system more.
const BLOCKS: usize = 16 << 10;
/// Messages beyond this are an error of the client.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Writes each message durably, and answers.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// What to write to.
    #[arg(long)]
    file: PathBuf,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut journal =
        Journal::new(&options.file).with_context(|| format!("cannot write {}", options.file.display()))?;
    let listener = TcpListener::bind(options.listen).with_context(|| format!("cannot listen on {}", options.listen))?;
    for stream in listener.incoming() {
        serve(stream?, &mut journal)?;
    }
    Ok(())
}

/// A file that is written round and round.
struct Journal {
    file: File,
    /// Holds a message at a multiple of the block's size.
    buffer: Vec<u8>,
    aligned_at: usize,
    next_block: usize,
}

impl Journal {
    fn new(path: &Path) -> Result<Self> {
        let flags = (OFlag::O_DIRECT | OFlag::O_DSYNC).bits();
        let file = OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)?;
        let buffer = vec![0; MESSAGE_BYTES_MAX + 2 * BLOCK_BYTES];
        let aligned_at = buffer.as_ptr().align_offset(BLOCK_BYTES);
        let journal = Journal { file, buffer, aligned_at, next_block: 0 };
        let zeroes = &journal.buffer[aligned_at..aligned_at + MESSAGE_BYTES_MAX];
        for at in (0..BLOCKS * BLOCK_BYTES).step_by(MESSAGE_BYTES_MAX) {
            journal.file.write_all_at(zeroes, at as u64)?;
        }
        Ok(journal)
    }

    /// Returns when the message is on the disk.
    fn append(&mut self, message: &[u8]) -> Result<()> {
        let blocks = message.len().div_ceil(BLOCK_BYTES);
        if self.next_block + blocks > BLOCKS {
            self.next_block = 0;
        }
        self.buffer[self.aligned_at..self.aligned_at + message.len()].copy_from_slice(message);
        let data = &self.buffer[self.aligned_at..self.aligned_at + blocks * BLOCK_BYTES];
        self.file.write_all_at(data, (self.next_block * BLOCK_BYTES) as u64)?;
        self.next_block += blocks;
        Ok(())
    }
}

/// Until the client leaves.
fn serve(mut stream: TcpStream, journal: &mut Journal) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut message = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let mut length = [0; 4];
        match stream.read_exact(&mut length) {
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                return Ok(());
            }
            result => result?,
        }
        let length = u32::from_be_bytes(length) as usize;
        let message = message.get_mut(..length).context("the message is too long")?;
        stream.read_exact(message)?;
        journal.append(message)?;
        stream.write_all(&[1])?;
    }
}
