//! Where the durable bytes lie: the port behind which the model keeps what would survive everything.
//!
//! Owns the trait and its form in memory. The form in a folder of real files is `crate::folder`.

use super::Ino;
use std::collections::BTreeMap;
use std::io;

/// Durable bytes by file. What was never written reads as zeros; lengths and names are the model's.
pub trait Media: Send {
    /// Fills `buffer` from `offset`.
    fn read(&mut self, ino: Ino, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Stores `data` at `offset`.
    fn write(&mut self, ino: Ino, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Forgets `len` bytes from `offset`, or all behind it without `len`: they read as zeros from now on.
    fn erase(&mut self, ino: Ino, offset: u64, len: Option<u64>) -> io::Result<()>;
    /// The file is gone.
    fn remove(&mut self, ino: Ino) -> io::Result<()>;
}

const BLOCK_BYTES: u64 = 4096;

/// Media in memory, by blocks of 4 KiB; bounded by what its user writes.
#[derive(Debug, Default)]
pub struct Memory {
    blocks: BTreeMap<(Ino, u64), Vec<u8>>,
}

impl Memory {
    /// Calls `each(block, from, to)` for every part of a block that the range touches.
    fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
        let end = offset + len as u64;
        let blocks = offset / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES);
        blocks.map(move |block| {
            let start = block * BLOCK_BYTES;
            let from = offset.max(start) - start;
            let to = end.min(start + BLOCK_BYTES) - start;
            (block, from as usize, to as usize)
        })
    }
}

impl Media for Memory {
    fn read(&mut self, ino: Ino, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut at = 0;
        for (block, from, to) in Self::parts(offset, buffer.len()) {
            let target = &mut buffer[at..at + to - from];
            match self.blocks.get(&(ino, block)) {
                Some(bytes) => target.copy_from_slice(&bytes[from..to]),
                None => target.fill(0),
            }
            at += to - from;
        }
        Ok(())
    }

    fn write(&mut self, ino: Ino, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut at = 0;
        for (block, from, to) in Self::parts(offset, data.len()) {
            let bytes = self.blocks.entry((ino, block)).or_insert_with(|| vec![0; BLOCK_BYTES as usize]);
            bytes[from..to].copy_from_slice(&data[at..at + to - from]);
            at += to - from;
        }
        Ok(())
    }

    fn erase(&mut self, ino: Ino, offset: u64, len: Option<u64>) -> io::Result<()> {
        let end = len.map_or(u64::MAX, |len| offset + len);
        let first = offset / BLOCK_BYTES;
        for (&(_, block), bytes) in self.blocks.range_mut((ino, first)..=(ino, u64::MAX)) {
            let start = block * BLOCK_BYTES;
            if start >= end {
                break;
            }
            let from = offset.max(start) - start;
            let to = end.min(start + BLOCK_BYTES) - start;
            bytes[from as usize..to as usize].fill(0);
        }
        Ok(())
    }

    fn remove(&mut self, ino: Ino) -> io::Result<()> {
        self.blocks.retain(|&(owner, _), _| owner != ino);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_sparse_file() {
        let mut media = Memory::default();
        let ino = Ino(7);
        media.write(ino, 4090, &[1; 12]).expect("memory");
        let mut read = [9; 20];
        media.read(ino, 4086, &mut read).expect("memory");
        assert_eq!(read, [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
        media.erase(ino, 4096, Some(2)).expect("memory");
        media.read(ino, 4094, &mut read[..6]).expect("memory");
        assert_eq!(read[..6], [1, 1, 0, 0, 1, 1]);
        media.erase(ino, 4092, None).expect("memory");
        media.read(ino, 4090, &mut read[..8]).expect("memory");
        assert_eq!(read[..8], [1, 1, 0, 0, 0, 0, 0, 0]);
    }
}
