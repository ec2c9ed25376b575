//! The content of one simulated file: what readers see, and what is on media.
//!
//! Owns blocks and lengths and decides what a loss of the cache leaves. Knows no names, processes or time.

use crate::{BLOCK_SIZE, is_zero};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

/// The bytes of a block, and their hash once it was asked for.
#[derive(Debug)]
struct Stored {
    bytes: [u8; BLOCK_SIZE],
    hash: OnceLock<u64>,
}

type Data = Arc<Stored>;

const ZEROS: &[u8; BLOCK_SIZE] = &[0; BLOCK_SIZE];

fn mix(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95)
}

impl Stored {
    /// 0 for zeros.
    fn hash(&self) -> u64 {
        let words = self.bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        *self.hash.get_or_init(|| words.fold(0, mix))
    }
}

/// What a reader gets where `data` lies.
fn bytes_of(data: Option<&Data>) -> &[u8; BLOCK_SIZE] {
    data.map_or(ZEROS, |data| &data.bytes)
}

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

    /// Whether what is on media reads otherwise than the newest data.
    fn differs(&self) -> bool {
        !self.is_durable() && bytes_of(self.seen.as_ref()) != bytes_of(self.media.as_ref())
    }
}

/// How much of some blocks a crash keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    All,
    FirstHalf,
    SecondHalf,
    /// Every other unit of so many bytes as a disk tears at least.
    EveryOther,
}

/// The smallest unit that a disk writes whole, in bytes.
const SECTOR_BYTES: usize = 512;

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
                block.seen = block.seen.as_ref().map(|data| block_of(&data.bytes[..within]));
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
            let seen = self.blocks.get(&block).and_then(|block| block.seen.as_ref());
            byte_block.copy_from_slice(&bytes_of(seen)[..byte_block.len()]);
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

    /// Blocks that would read otherwise after a loss.
    pub(super) fn dirty(&self) -> impl Iterator<Item = u64> {
        self.blocks.iter().filter(|(_, block)| block.differs()).map(|(index, _)| *index)
    }

    pub(super) fn has_new_length(&self) -> bool {
        self.len != self.durable_len
    }

    /// Makes a share of `blocks` durable, and the length that it needs.
    pub(super) fn keep(&mut self, blocks: &BTreeSet<u64>, share: Share) {
        let sectors_per_block = BLOCK_SIZE / SECTOR_BYTES;
        let sectors = blocks.len() * sectors_per_block;
        for (position, index) in blocks.iter().enumerate() {
            let Some(block) = self.blocks.get_mut(index) else { continue };
            let is_kept = |sector: usize| match share {
                Share::All => true,
                Share::FirstHalf => position * sectors_per_block + sector < sectors / 2,
                Share::SecondHalf => position * sectors_per_block + sector >= sectors / 2,
                Share::EveryOther => sector.is_multiple_of(2),
            };
            let data = if share == Share::All { block.seen.clone() } else { mixed(block, SECTOR_BYTES, is_kept) };
            block.seen = data.clone();
            block.media = data;
            let end = (index + 1) * BLOCK_SIZE as u64;
            self.durable_len = self.durable_len.max(end.min(self.len));
        }
    }

    pub(super) fn keep_length(&mut self) {
        self.durable_len = self.len;
    }

    /// What is not durable is gone.
    pub(super) fn lose_rest(&mut self) {
        self.blocks.values_mut().for_each(|block| block.seen = block.media.clone());
        self.len = self.durable_len;
        let len = self.len;
        self.blocks.retain(|index, _| index * (BLOCK_SIZE as u64) < len);
    }

    /// Equal for files that read the same.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hash = mix(0, self.len);
        for (index, block) in &self.blocks {
            let content = block.seen.as_ref().map_or(0, |data| data.hash());
            if content != 0 {
                hash = mix(mix(hash, *index), content);
            }
        }
        hash
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
    mixed(block, tear_bytes, |_| random.bool())
}

/// Units of the newest data where `is_seen` says so, else what is on media.
fn mixed(block: &Block, unit_bytes: usize, mut is_seen: impl FnMut(usize) -> bool) -> Option<Data> {
    let mut bytes = *ZEROS;
    for (unit, start) in (0..BLOCK_SIZE).step_by(unit_bytes).enumerate() {
        let source = bytes_of(if is_seen(unit) { block.seen.as_ref() } else { block.media.as_ref() });
        bytes[start..start + unit_bytes].copy_from_slice(&source[start..start + unit_bytes]);
    }
    Some(block_of(&bytes))
}

thread_local! {
    /// The one block of zeros: most of what is written are segments filled ahead, and comparing is cheaper than keeping.
    static ZERO_BLOCK: Data = Arc::new(Stored { bytes: *ZEROS, hash: OnceLock::new() });
}

fn block_of(bytes: &[u8]) -> Data {
    if is_zero(bytes) {
        return ZERO_BLOCK.with(Data::clone);
    }
    let mut block = *ZEROS;
    block[..bytes.len()].copy_from_slice(bytes);
    Arc::new(Stored { bytes: block, hash: OnceLock::new() })
}
