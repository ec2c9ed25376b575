//! The content of one simulated file: what readers see, and what is on media.
//!
//! Owns blocks and lengths and decides what a loss of the cache leaves. Knows no names, processes or time.

use crate::BLOCK_SIZE;
use std::collections::BTreeMap;
use std::sync::Arc;

type Data = Arc<[u8]>;

/// One block: the newest data, and the data that is on media (`None`: zeros).
#[derive(Clone, Debug)]
struct Block {
    seen: Option<Data>,
    media: Option<Data>,
}

impl Block {
    fn is_durable(&self) -> bool {
        match (&self.seen, &self.media) {
            (Some(seen), Some(media)) => Arc::ptr_eq(seen, media),
            (None, None) => true,
            _ => false,
        }
    }
}

/// One file, reached by any number of names.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    len: u64,
    durable_len: u64,
    blocks: BTreeMap<u64, Block>,
}

/// What a sync or a durable write makes durable when it completes: blocks as they were at that moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Captured {
    len: u64,
    blocks: Vec<(u64, Option<Data>)>,
}

impl Inode {
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut blocks = BTreeMap::new();
        for (index, chunk) in bytes.chunks(BLOCK_SIZE).enumerate() {
            let data = Some(block_of(chunk));
            blocks.insert(index as u64, Block { seen: data.clone(), media: data });
        }
        Self { len: bytes.len() as u64, durable_len: bytes.len() as u64, blocks }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// How many blocks are allocated.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    pub(super) fn has_block(&self, index: u64) -> bool {
        self.blocks.contains_key(&index)
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let keep = len.div_ceil(BLOCK_SIZE as u64);
            self.blocks.retain(|index, _| *index < keep);
            if let Some(block) = self.blocks.get_mut(&(len / BLOCK_SIZE as u64)) {
                let within = (len % BLOCK_SIZE as u64) as usize;
                block.seen = block.seen.as_ref().map(|data| block_of(&data[..within]));
            }
        }
        self.len = len;
    }

    /// Stores one block where readers see it; not durable yet.
    pub(super) fn write_block(&mut self, index: u64, data: &[u8]) {
        assert_eq!(data.len(), BLOCK_SIZE);
        let block = self.blocks.entry(index).or_insert(Block { seen: None, media: None });
        block.seen = Some(block_of(data));
        self.len = self.len.max((index + 1) * BLOCK_SIZE as u64);
    }

    /// Copies what readers see into `out`, which starts at `offset`; stops at the end of the file.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) {
        for (index, byte_block) in out.chunks_mut(BLOCK_SIZE).enumerate() {
            let block = offset / BLOCK_SIZE as u64 + index as u64;
            match self.blocks.get(&block).and_then(|block| block.seen.as_ref()) {
                Some(data) => byte_block.copy_from_slice(&data[..byte_block.len()]),
                None => byte_block.fill(0),
            }
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(0, &mut bytes);
        bytes
    }

    /// What is in the cache now, of the blocks `range` (`None`: of all that are not durable).
    pub(super) fn capture(&self, range: Option<std::ops::Range<u64>>) -> Captured {
        let (len, blocks) = match range {
            Some(range) => {
                let end = (range.end * BLOCK_SIZE as u64).min(self.len);
                (end, self.blocks.range(range).map(|(index, block)| (*index, block.seen.clone())).collect())
            }
            None => {
                let dirty = self.blocks.iter().filter(|(_, block)| !block.is_durable());
                (self.len, dirty.map(|(index, block)| (*index, block.seen.clone())).collect())
            }
        };
        Captured { len, blocks }
    }

    /// `is_restored`: the cache was lost since the capture, and the storage writes the data again.
    pub(super) fn make_durable(&mut self, captured: Captured, is_restored: bool) {
        for (index, data) in captured.blocks {
            if let Some(block) = self.blocks.get_mut(&index) {
                if is_restored {
                    block.seen = data.clone();
                }
                block.media = data;
            }
        }
        self.durable_len = self.durable_len.max(captured.len).min(self.len);
    }

    /// A change of length that is not durable is kept or lost.
    pub(super) fn lose_length(&mut self, random: &mut fastrand::Rng) {
        if random.bool() {
            self.len = self.durable_len;
        }
        self.durable_len = self.len;
        let len = self.len;
        self.blocks.retain(|index, _| index * (BLOCK_SIZE as u64) < len);
    }

    /// Each unit of `tear_bytes` that is not durable is kept or lost.
    pub(super) fn lose_data(&mut self, random: &mut fastrand::Rng, tear_bytes: usize) {
        for block in self.blocks.values_mut().filter(|block| !block.is_durable()) {
            let data = match random.u8(0..4) {
                0 => torn(block, random, tear_bytes),
                1 => block.seen.clone(),
                _ => block.media.clone(),
            };
            block.seen = data.clone();
            block.media = data;
        }
    }
}

fn torn(block: &Block, random: &mut fastrand::Rng, tear_bytes: usize) -> Option<Data> {
    let zeros = [0; BLOCK_SIZE];
    let mut bytes = zeros;
    for start in (0..BLOCK_SIZE).step_by(tear_bytes) {
        let source = if random.bool() { &block.seen } else { &block.media };
        let source: &[u8] = source.as_deref().unwrap_or(&zeros);
        bytes[start..start + tear_bytes].copy_from_slice(&source[start..start + tear_bytes]);
    }
    Some(block_of(&bytes))
}

fn block_of(bytes: &[u8]) -> Data {
    let mut block = [0; BLOCK_SIZE];
    block[..bytes.len()].copy_from_slice(bytes);
    Arc::from(&block[..])
}
