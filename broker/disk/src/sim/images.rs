//! What a power loss at this moment could leave, one image after the other instead of by chance.
//!
//! Owns the enumeration. Everything that was submitted counts as possibly begun: what is not sure to be on media is cut
//! into parts (the blocks of a write, other blocks of a file, a length, a name), and the images are: none of them, all,
//! each alone, each torn and alone, all but one. Combinations beyond that are left to [`SimDisk::crash`].

use super::content::{Inode, Share};
use super::names::InodeId;
use super::{SimDisk, Step};
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;

/// One image that a crash could leave.
#[derive(Debug)]
pub struct CrashImage {
    /// What of the work in flight it holds, for people.
    pub what: String,
    /// The disk after the crash: no process runs, all of it is durable.
    pub disk: SimDisk,
}

/// Something that a crash keeps or loses.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Blocks that one write in flight, or several that completed without being durable, gave new content.
    Blocks {
        inode: InodeId,
        blocks: BTreeSet<u64>,
    },
    Length {
        inode: InodeId,
    },
    Name {
        path: PathBuf,
    },
}

impl SimDisk {
    /// What a power loss now could leave, without the chance of [`SimDisk::crash`]. The number of images grows with what
    /// is in flight, about seven for each write and two for each name or length.
    pub fn crash_images(&self) -> Vec<CrashImage> {
        let mut begun = self.clone();
        for step in std::mem::take(&mut begun.steps).into_values() {
            if matches!(step, Step::Effect { .. }) {
                begun.run(step);
            }
        }
        let parts = begun.parts();
        let mut images = vec![begun.image("nothing", &[])];
        if parts.is_empty() {
            return images;
        }
        let all: Vec<(&Part, Share)> = parts.iter().map(|part| (part, Share::All)).collect();
        images.push(begun.image("everything", &all));
        for part in &parts {
            let name = begun.describe(part);
            images.push(begun.image(&format!("only {name}"), &[(part, Share::All)]));
            if matches!(part, Part::Blocks { .. }) {
                for share in [Share::FirstHalf, Share::SecondHalf, Share::EveryOther] {
                    images.push(begun.image(&format!("only {share:?} of {name}"), &[(part, share)]));
                }
            }
            let others: Vec<(&Part, Share)> = all.iter().filter(|(other, _)| *other != part).copied().collect();
            images.push(begun.image(&format!("all but {name}"), &others));
        }
        images
    }

    /// Equal for disks on which readers see the same names and bytes.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        for (path, inode) in self.names.files() {
            path.hash(&mut hasher);
            self.inodes[&inode].fingerprint().hash(&mut hasher);
        }
        hasher.finish()
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut claimed: BTreeSet<(InodeId, u64)> = BTreeSet::new();
        for (inode, range) in self.operations.values().filter_map(|operation| operation.writes()) {
            let dirty = self.inodes[&inode].dirty();
            let blocks: BTreeSet<u64> = dirty.filter(|block| range.contains(block)).collect();
            claimed.extend(blocks.iter().map(|block| (inode, *block)));
            parts.push(Part::Blocks { inode, blocks });
        }
        for (id, inode) in &self.inodes {
            let blocks = inode.dirty().filter(|block| !claimed.contains(&(*id, *block))).collect();
            parts.push(Part::Blocks { inode: *id, blocks });
            if inode.has_new_length() {
                parts.push(Part::Length { inode: *id });
            }
        }
        parts.extend(self.names.unsynced().map(|path| Part::Name { path }));
        parts.retain(|part| !matches!(part, Part::Blocks { blocks, .. } if blocks.is_empty()));
        parts
    }

    fn describe(&self, part: &Part) -> String {
        let file = |inode: &InodeId| {
            let path = self.names.files().find(|(_, of)| of == inode);
            path.map_or_else(|| "a file without a name".to_owned(), |(path, _)| path.display().to_string())
        };
        match part {
            Part::Blocks { inode, blocks } => {
                let (first, last) = (blocks.first().unwrap_or(&0), blocks.last().unwrap_or(&0));
                format!("blocks {first} to {last} of {}", file(inode))
            }
            Part::Length { inode } => format!("the length of {}", file(inode)),
            Part::Name { path } => format!("the name {}", path.display()),
        }
    }

    fn image(&self, what: &str, kept: &[(&Part, Share)]) -> CrashImage {
        let mut disk = self.clone();
        disk.operations.clear();
        disk.done.clear();
        disk.locks.clear();
        for process in &mut disk.processes {
            process.alive = false;
            process.open.clear();
        }
        let mut names = BTreeSet::new();
        for (part, share) in kept {
            match part {
                Part::Blocks { inode, blocks } => {
                    disk.inodes.get_mut(inode).expect("a part's file is there").keep(blocks, *share);
                }
                Part::Length { inode } => {
                    disk.inodes.get_mut(inode).expect("a part's file is there").keep_length();
                }
                Part::Name { path } => {
                    names.insert(path.clone());
                }
            }
        }
        disk.inodes.values_mut().for_each(Inode::lose_rest);
        disk.names.keep_only(&names);
        disk.losses += 1;
        disk.collect();
        CrashImage { what: what.to_owned(), disk }
    }
}
