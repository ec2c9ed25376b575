//! The names of the simulated file system: what processes see, and what a crash is sure to keep.
//!
//! Owns directories and links to files. Knows nothing of a file's content.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct InodeId(pub(super) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Directory,
    File(InodeId),
}

/// The tree of names, as seen and as durable.
#[derive(Clone, Debug)]
pub(super) struct Names {
    seen: BTreeMap<PathBuf, Name>,
    durable: BTreeMap<PathBuf, Name>,
}

impl Names {
    pub(super) fn new() -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), Name::Directory)]);
        Self { seen: root.clone(), durable: root }
    }

    pub(super) fn get(&self, path: &Path) -> Option<Name> {
        self.seen.get(path).copied()
    }

    pub(super) fn file(&self, path: &Path) -> Option<InodeId> {
        match self.get(path) {
            Some(Name::File(inode)) => Some(inode),
            _ => None,
        }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&PathBuf, InodeId)> {
        self.seen.iter().filter_map(|(path, name)| match name {
            Name::File(inode) => Some((path, *inode)),
            Name::Directory => None,
        })
    }

    pub(super) fn durable_files(&self) -> impl Iterator<Item = InodeId> {
        self.durable.values().filter_map(|name| match name {
            Name::File(inode) => Some(*inode),
            Name::Directory => None,
        })
    }

    pub(super) fn has_directory(&self, path: &Path) -> bool {
        self.get(path) == Some(Name::Directory)
    }

    pub(super) fn insert(&mut self, path: &Path, name: Name) {
        self.seen.insert(path.to_owned(), name);
    }

    pub(super) fn remove(&mut self, path: &Path) -> Option<Name> {
        self.seen.remove(path)
    }

    /// Gives a file a name, with the folders above it, so that no crash takes it; false when the name cannot be had.
    pub(super) fn put(&mut self, path: &Path, inode: InodeId) -> bool {
        if self.get(path).is_some() || !self.create_directories(path.parent().unwrap_or(Path::new("/"))) {
            return false;
        }
        self.insert(path, Name::File(inode));
        for part in path.ancestors() {
            self.durable.extend(self.seen.get_key_value(part).map(|(path, name)| (path.clone(), *name)));
        }
        true
    }

    /// Removes a name so that no crash brings it back.
    pub(super) fn forget(&mut self, path: &Path) -> bool {
        self.durable.remove(path);
        self.seen.remove(path).is_some()
    }

    /// Makes `path` and its missing parents; false when one of them is a file.
    pub(super) fn create_directories(&mut self, path: &Path) -> bool {
        for part in path.ancestors() {
            match self.get(part) {
                Some(Name::File(_)) => return false,
                Some(Name::Directory) => {}
                None => self.insert(part, Name::Directory),
            }
        }
        true
    }

    pub(super) fn list(&self, path: &Path) -> Vec<String> {
        let children = children(&self.seen, path).filter_map(|(name, _)| name.file_name());
        children.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// The directory's entries survive a crash from now on.
    pub(super) fn sync_directory(&mut self, path: &Path) {
        let gone: Vec<PathBuf> = children(&self.durable, path)
            .filter(|(name, _)| !self.seen.contains_key(*name))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.durable.remove(&name);
        }
        let new: Vec<(PathBuf, Name)> = children(&self.seen, path)
            .filter(|(name, value)| self.durable.get(*name) != Some(*value))
            .map(|(name, value)| (name.clone(), *value))
            .collect();
        self.durable.extend(new);
    }

    /// Each change of a name that was not synced is kept or undone; what hangs on a lost directory goes with it.
    pub(super) fn lose_cache(&mut self, random: &mut fastrand::Rng) {
        self.lose(|_| random.bool());
    }

    /// Changes that were not synced.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = PathBuf> {
        let all: BTreeSet<&PathBuf> = self.seen.keys().chain(self.durable.keys()).collect();
        all.into_iter().filter(|path| self.seen.get(*path) != self.durable.get(*path)).cloned()
    }

    /// Of the changes that were not synced only `kept` stay, with the folders above them.
    pub(super) fn keep_only(&mut self, kept: &BTreeSet<PathBuf>) {
        self.lose(|path| kept.iter().any(|name| name.starts_with(path)));
    }

    fn lose(&mut self, mut is_kept: impl FnMut(&Path) -> bool) {
        let all: BTreeSet<PathBuf> = self.seen.keys().chain(self.durable.keys()).cloned().collect();
        let mut left: BTreeMap<PathBuf, Name> = BTreeMap::new();
        for path in all {
            let (seen, durable) = (self.seen.get(&path), self.durable.get(&path));
            let kept = if seen == durable || is_kept(&path) { seen } else { durable };
            let has_parent = path.parent().is_none_or(|parent| left.get(parent) == Some(&Name::Directory));
            if let (Some(name), true) = (kept, has_parent) {
                left.insert(path, *name);
            }
        }
        self.seen = left.clone();
        self.durable = left;
    }
}

/// What lies in a directory. Its names follow it in the order of paths.
fn children<'n>(names: &'n BTreeMap<PathBuf, Name>, path: &'n Path) -> impl Iterator<Item = (&'n PathBuf, &'n Name)> {
    let below = names.range::<Path, _>((Excluded(path), Unbounded)).take_while(move |(name, _)| name.starts_with(path));
    below.filter(move |(name, _)| name.parent() == Some(path))
}
