//! What is done to a store: each blow hits one file, or two that change places.
//!
//! Owns the choice of blows. What may come of one is said by `allowances` and judged in `main`.

use crate::files::{batches, field, is_kind_alike, is_segment, is_table, kind};
use disk::BLOCK_SIZE;
use disk::sim::SimDisk;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use store::format;

/// What is done to a store.
#[derive(Clone, Debug)]
pub(crate) enum Blow {
    Flip {
        at: usize,
        bit: u8,
    },
    Truncate {
        len: usize,
    },
    Zero {
        block: usize,
    },
    /// Blocks of one file change places.
    SwapWithin {
        one: usize,
        other: usize,
    },
    /// A block changes places with the one at the same offset of another file.
    SwapBetween {
        other: PathBuf,
        block: usize,
    },
    SwapFiles {
        other: PathBuf,
    },
    /// Of the files that a reader may have to do without; owners and slots stay for ever.
    Remove,
}

impl Blow {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Flip { .. } => "flip",
            Self::Truncate { .. } => "truncate",
            Self::Zero { .. } => "zero",
            Self::SwapWithin { .. } => "swap within",
            Self::SwapBetween { .. } => "swap between",
            Self::SwapFiles { .. } => "swap files",
            Self::Remove => "remove",
        }
    }

    pub(crate) fn strike(&self, disk: &mut SimDisk, path: &Path) {
        let block = |number: usize| number * BLOCK_SIZE..(number + 1) * BLOCK_SIZE;
        if matches!(self, Self::Remove) {
            assert!(disk.remove(path));
            return;
        }
        let (mut ours, mut theirs) = both(disk, path, self.other().map_or(path, PathBuf::as_path));
        match self {
            Self::Flip { at, bit } => ours[*at] ^= 1 << bit,
            Self::Truncate { len } => ours.truncate(*len),
            Self::Zero { block: number } => ours[block(*number)].fill(0),
            Self::SwapWithin { one, other } => {
                let saved = ours[block(*one)].to_vec();
                ours.copy_within(block(*other), one * BLOCK_SIZE);
                ours[block(*other)].copy_from_slice(&saved);
            }
            Self::SwapBetween { block: number, .. } => {
                ours[block(*number)].swap_with_slice(&mut theirs[block(*number)]);
            }
            Self::SwapFiles { .. } => std::mem::swap(&mut ours, &mut theirs),
            Self::Remove => unreachable!("it has no content to change"),
        }
        if let Some(other) = self.other() {
            assert!(disk.tamper(other, |bytes| *bytes = theirs));
        }
        assert!(disk.tamper(path, |bytes| *bytes = ours));
    }

    pub(crate) fn other(&self) -> Option<&PathBuf> {
        match self {
            Self::SwapBetween { other, .. } | Self::SwapFiles { other } => Some(other),
            _ => None,
        }
    }
}

fn both(disk: &SimDisk, one: &Path, other: &Path) -> (Vec<u8>, Vec<u8>) {
    (disk.content(one).expect("a file"), disk.content(other).expect("a file"))
}

/// A few of a list: first, second, middle, last.
fn some<T: Copy>(list: &[T]) -> Vec<T> {
    let picks = BTreeSet::from([0, 1, list.len() / 2, list.len().saturating_sub(1)]);
    picks.into_iter().filter_map(|index| list.get(index).copied()).collect()
}

/// A bit of each field of a structure that begins at `at`.
fn flips(blows: &mut Vec<Blow>, random: &mut fastrand::Rng, structure: &str, at: usize) {
    let (_, fields) = format::LAYOUT.iter().find(|(of, _)| *of == structure).expect("a structure");
    for (offset, size, _) in *fields {
        blows.push(Blow::Flip { at: at + offset + random.usize(0..*size), bit: random.u8(0..8) });
    }
}

pub(crate) fn blows(disk: &SimDisk, path: &Path, random: &mut fastrand::Rng) -> Vec<Blow> {
    let bytes = disk.content(path).expect("a file");
    let mut blows = Vec::new();
    let blocks = bytes.len() / BLOCK_SIZE;
    let used: Vec<usize> =
        (0..blocks).filter(|block| bytes[block * BLOCK_SIZE..][..BLOCK_SIZE].iter().any(|byte| *byte != 0)).collect();
    match kind(path).as_str() {
        "owner" => {
            flips(&mut blows, random, "Heartbeat", 0);
            flips(&mut blows, random, "Owner record", BLOCK_SIZE);
            flips(&mut blows, random, "Base", 2 * BLOCK_SIZE);
            flips(&mut blows, random, "Base", 3 * BLOCK_SIZE);
        }
        "slot" => flips(&mut blows, random, "Slot", 0),
        "index" | "checkpoint" => {
            flips(&mut blows, random, "Table header", 0);
            let body = field(&bytes, "Table header", "body bytes") as usize;
            for _ in 0..4.min(body) {
                blows.push(Blow::Flip { at: BLOCK_SIZE + random.usize(0..body), bit: random.u8(0..8) });
            }
        }
        "segment" | "segment of metadata" => {
            flips(&mut blows, random, "Segment header", 0);
            for (at, length) in some(&batches(&bytes)) {
                flips(&mut blows, random, "Batch header", at);
                flips(&mut blows, random, "Record header", at + format::BATCH_HEADER_BYTES);
                blows.push(Blow::Flip {
                    at: at + random.usize(format::BATCH_HEADER_BYTES..length),
                    bit: random.u8(0..8),
                });
                blows.push(Blow::Flip { at: at + length - 1, bit: 0 });
            }
        }
        _ => {}
    }
    for _ in 0..4.min(bytes.len()) {
        blows.push(Blow::Flip { at: random.usize(0..bytes.len()), bit: random.u8(0..8) });
    }
    if is_table(path) || is_segment(path) {
        blows.push(Blow::Remove);
    }
    for block in some(&(0..blocks).collect::<Vec<_>>()) {
        blows.push(Blow::Truncate { len: block * BLOCK_SIZE });
        blows.push(Blow::Truncate { len: block * BLOCK_SIZE + random.usize(1..BLOCK_SIZE) });
    }
    blows.extend(used.iter().map(|block| Blow::Zero { block: *block }));
    blows.extend(used.windows(2).map(|pair| Blow::SwapWithin { one: pair[0], other: pair[1] }));
    let others = disk.paths().into_iter().filter(|other| other > path && is_kind_alike(other, path));
    for other in others {
        let theirs = disk.content(&other).expect("a file");
        let shared: Vec<usize> =
            used.iter().copied().filter(|block| (block + 1) * BLOCK_SIZE <= theirs.len()).collect();
        let differing = shared.iter().copied().filter(|block| {
            let range = block * BLOCK_SIZE..(block + 1) * BLOCK_SIZE;
            bytes[range.clone()] != theirs[range]
        });
        let differing: Vec<usize> = differing.collect();
        blows.extend(some(&differing).into_iter().map(|block| Blow::SwapBetween { other: other.clone(), block }));
        if bytes != theirs {
            blows.push(Blow::SwapFiles { other });
        }
    }
    blows
}
