//! The names of the store's files, and what a name found in a folder means.
//!
//! Owns only names; whether a file is alive or may be removed is decided by `sweep` and `space`.

use crate::Config;
use std::path::{Path, PathBuf};

/// Where everything lies.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    folder: PathBuf,
    lanes: Vec<String>,
}

/// What a file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Owner {
        epoch: u64,
    },
    Slot {
        epoch: u64,
    },
    Segment {
        epoch: u64,
        attempt: u128,
        sequence: u32,
    },
    /// A segment's index.
    Index {
        epoch: u64,
        attempt: u128,
        sequence: u32,
        /// The epoch that wrote it.
        by: u64,
    },
    Checkpoint {
        epoch: u64,
        attempt: u128,
        sequence: u32,
    },
    /// A spare, a claim, a table or a slot in the making; locked by its maker for as long as that lives.
    Temporary {
        process: u128,
    },
    /// Set aside by `--force-start`.
    Quarantine,
    Foreign,
}

impl Names {
    pub(crate) fn new(config: &Config) -> Self {
        let stores = config.stores.iter().map(|store| store.file.clone());
        Self { folder: config.folder.clone(), lanes: std::iter::once(config.meta_file.clone()).chain(stores).collect() }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Folder names of our lanes; number 0 is the metadata.
    pub(crate) fn lanes(&self) -> &[String] {
        &self.lanes
    }

    pub(crate) fn meta(&self) -> PathBuf {
        self.lane(&self.lanes[0])
    }

    pub(crate) fn lane(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn owner(&self, epoch: u64) -> PathBuf {
        self.meta().join(format!("owner.{epoch}"))
    }

    pub(crate) fn slot(&self, epoch: u64) -> PathBuf {
        self.meta().join(format!("slot.{epoch}"))
    }

    pub(crate) fn claim(&self, process: u128, number: u64) -> PathBuf {
        self.meta().join(format!("claim.{process:032x}.{number}"))
    }

    pub(crate) fn new_slot(&self, process: u128, number: u64) -> PathBuf {
        self.meta().join(format!("newslot.{process:032x}.{number}"))
    }

    pub(crate) fn spare(&self, lane: &str, process: u128, number: u64) -> PathBuf {
        self.lane(lane).join(format!("spare.{process:032x}.{number}"))
    }

    /// A table in the making.
    pub(crate) fn table(&self, lane: &str, process: u128, number: u64) -> PathBuf {
        self.lane(lane).join(format!("table.{process:032x}.{number}"))
    }

    /// Each epoch writes under a name of its own.
    pub(crate) fn index(&self, lane: &str, (epoch, attempt, sequence): (u64, u128, u32), by: u64) -> PathBuf {
        self.lane(lane).join(format!("index.{epoch}.{attempt:032x}.{sequence}.{by}"))
    }

    pub(crate) fn checkpoint(&self, lane: &str, epoch: u64, attempt: u128, sequence: u32) -> PathBuf {
        self.lane(lane).join(format!("checkpoint.{epoch}.{attempt:032x}.{sequence}"))
    }

    pub(crate) fn segment(&self, lane: &str, epoch: u64, attempt: u128, sequence: u32) -> PathBuf {
        self.lane(lane).join(format!("segment.{epoch}.{attempt:032x}.{sequence}"))
    }
}

impl Name {
    pub(crate) fn parse(name: &str) -> Self {
        let mut parts = name.split('.');
        let known = match parts.next() {
            Some("owner") => number(parts.next()).map(|epoch| Self::Owner { epoch }),
            Some("slot") => number(parts.next()).map(|epoch| Self::Slot { epoch }),
            Some("segment") => {
                written(&mut parts).map(|(epoch, attempt, sequence)| Self::Segment { epoch, attempt, sequence })
            }
            Some("index") => written(&mut parts).and_then(|(epoch, attempt, sequence)| {
                Some(Self::Index { epoch, attempt, sequence, by: number(parts.next())? })
            }),
            Some("checkpoint") => {
                written(&mut parts).map(|(epoch, attempt, sequence)| Self::Checkpoint { epoch, attempt, sequence })
            }
            Some("spare" | "claim" | "newslot" | "table") => temporary(&mut parts),
            Some("quarantine") => return Self::Quarantine,
            _ => None,
        };
        match (known, parts.next()) {
            (Some(known), None) => known,
            _ => Self::Foreign,
        }
    }
}

fn number<T: std::str::FromStr>(part: Option<&str>) -> Option<T> {
    part?.parse().ok()
}

fn identity(part: Option<&str>) -> Option<u128> {
    part.filter(|text| text.len() == 32).and_then(|text| u128::from_str_radix(text, 16).ok())
}

/// Epoch, attempt and sequence.
fn written<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<(u64, u128, u32)> {
    Some((number(parts.next())?, identity(parts.next())?, number(parts.next())?))
}

fn temporary<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<Name> {
    let process = identity(parts.next())?;
    let _number: u64 = number(parts.next())?;
    Some(Name::Temporary { process })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_we_give_is_known_again() {
        let names = Names::new(&Config::new("/s".into(), Vec::new()));
        let check = |path: PathBuf, expected| {
            assert_eq!(Name::parse(&path.file_name().unwrap().to_string_lossy()), expected);
        };
        check(names.owner(7), Name::Owner { epoch: 7 });
        check(names.slot(8), Name::Slot { epoch: 8 });
        check(names.claim(5, 1), Name::Temporary { process: 5 });
        check(names.new_slot(5, 2), Name::Temporary { process: 5 });
        check(names.spare("a.db", u128::MAX, 3), Name::Temporary { process: u128::MAX });
        check(names.table("a.db", 6, 3), Name::Temporary { process: 6 });
        check(names.segment("a.db", 3, 4, 5), Name::Segment { epoch: 3, attempt: 4, sequence: 5 });
        check(names.index("a.db", (3, 4, 5), 6), Name::Index { epoch: 3, attempt: 4, sequence: 5, by: 6 });
        check(names.checkpoint("a.db", 3, 4, 5), Name::Checkpoint { epoch: 3, attempt: 4, sequence: 5 });
    }

    #[test]
    fn other_names_are_foreign() {
        for name in ["", "owner", "owner.x", "owner.1.bak", "segment.1.2.3", "spare.1.1", "lost+found", "slot.-1"] {
            assert_eq!(Name::parse(name), Name::Foreign, "{name}");
        }
    }
}
