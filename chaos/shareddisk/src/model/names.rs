//! The names of the disk: the tree that hosts see, the tree that is durable, and the changes between them.
//!
//! Owns directories, links, attributes and which changes a sync of a directory makes durable. Attributes other than lengths
//! count as durable at once. The bytes of files are `content`'s.

use super::{HostId, HostSet, Ino, Nanos};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What makes a name durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameRule {
    /// The worst that POSIX allows: a sync of the directory, and nothing else; changes of other directories wait.
    #[default]
    PosixWorst,
    /// One journal, as ext4 has: any sync makes all earlier changes of names durable.
    Ext4Like,
}

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    File,
    /// Names.
    Directory,
    /// A path.
    Symlink(PathBuf),
}

/// An inode's attributes. Times are nanoseconds of the epoch.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the bytes.
    pub modified_ns: u64,
    /// Names in the tree that hosts see.
    pub links: u32,
    /// A name that it has or had, for messages and for patterns of paths.
    place: (Ino, OsString),
}

type Tree = BTreeMap<Ino, BTreeMap<OsString, Ino>>;

/// One entry of a directory becomes this: an inode, or nothing.
type EntryChange = (Ino, OsString, Option<Ino>);

/// Entries that change together.
#[derive(Clone, Debug)]
struct NameChange {
    host: HostId,
    made_ns: Nanos,
    entries: Vec<EntryChange>,
}

/// Both trees.
#[derive(Debug)]
pub(super) struct Names {
    rule: NameRule,
    nodes: BTreeMap<Ino, Node>,
    seen: Tree,
    durable: Tree,
    pending: VecDeque<NameChange>,
    next: u64,
    /// The time of the last [`Names::write_back`]: what is changed now is younger.
    now_ns: Nanos,
}

/// How a rename treats a name that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    /// It is replaced.
    Replace,
    /// That is an error (RENAME_NOREPLACE).
    Refuse,
    /// Both change places (RENAME_EXCHANGE).
    Exchange,
}

impl Names {
    /// An empty root.
    pub(super) fn new(rule: NameRule) -> Self {
        let root = Node {
            kind: Kind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            modified_ns: 0,
            links: 1,
            place: (Ino::ROOT, OsString::new()),
        };
        let tree = Tree::from([(Ino::ROOT, BTreeMap::new())]);
        let nodes = BTreeMap::from([(Ino::ROOT, root)]);
        Self {
            rule,
            nodes,
            seen: tree.clone(),
            durable: tree,
            pending: VecDeque::new(),
            next: Ino::ROOT.0 + 1,
            now_ns: 0,
        }
    }

    /// An inode's attributes.
    pub(super) fn node(&self, ino: Ino) -> Result<&Node, Errno> {
        self.nodes.get(&ino).ok_or(Errno::ESTALE)
    }

    /// The same, to be changed.
    pub(super) fn node_mut(&mut self, ino: Ino) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&ino).ok_or(Errno::ESTALE)
    }

    /// The inode of a name.
    pub(super) fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Ino, Errno> {
        self.directory(parent)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// The names in a directory.
    pub(super) fn list(&self, parent: Ino) -> Result<Vec<(OsString, Ino)>, Errno> {
        Ok(self.directory(parent)?.iter().map(|(name, &ino)| (name.clone(), ino)).collect())
    }

    /// A path of the inode below the mount, with a slash in front.
    pub(super) fn path(&self, ino: Ino) -> PathBuf {
        let mut parts = Vec::new();
        let mut at = ino;
        while let Some(node) = self.nodes.get(&at).filter(|_| at != Ino::ROOT) {
            parts.push(&node.place.1);
            at = node.place.0;
        }
        Path::new("/").join(parts.iter().rev().collect::<PathBuf>())
    }

    fn directory(&self, ino: Ino) -> Result<&BTreeMap<OsString, Ino>, Errno> {
        match self.seen.get(&ino) {
            Some(entries) => Ok(entries),
            None if self.nodes.contains_key(&ino) => Err(Errno::ENOTDIR),
            None => Err(Errno::ESTALE),
        }
    }

    /// Makes a new inode under a name that is free.
    pub(super) fn create(&mut self, host: HostId, parent: Ino, name: &OsStr, node: NewNode) -> Result<Ino, Errno> {
        if self.directory(parent)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let ino = Ino(self.next);
        self.next += 1;
        if node.kind == Kind::Directory {
            self.seen.insert(ino, BTreeMap::new());
        }
        let NewNode { kind, mode, uid, gid, now_ns } = node;
        let place = (parent, name.to_owned());
        self.nodes.insert(ino, Node { kind, mode, uid, gid, modified_ns: now_ns, links: 0, place });
        self.change(host, vec![(parent, name.to_owned(), Some(ino))]);
        Ok(ino)
    }

    /// A further name of a file.
    pub(super) fn link(&mut self, host: HostId, ino: Ino, parent: Ino, name: &OsStr) -> Result<(), Errno> {
        if self.node(ino)?.kind == Kind::Directory {
            return Err(Errno::EPERM);
        }
        if self.directory(parent)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.change(host, vec![(parent, name.to_owned(), Some(ino))]);
        Ok(())
    }

    /// Removes a name: of a directory (an empty one) or of anything else.
    pub(super) fn remove(&mut self, host: HostId, parent: Ino, name: &OsStr, directory: bool) -> Result<Ino, Errno> {
        let ino = self.lookup(parent, name)?;
        match (self.seen.get(&ino), directory) {
            (None, true) => return Err(Errno::ENOTDIR),
            (Some(_), false) => return Err(Errno::EISDIR),
            (Some(entries), true) if !entries.is_empty() => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        self.change(host, vec![(parent, name.to_owned(), None)]);
        Ok(ino)
    }

    /// Moves a name. Gives the inode that lost its name by it, if one did.
    pub(super) fn rename(
        &mut self,
        host: HostId,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        how: Rename,
    ) -> Result<Option<Ino>, Errno> {
        let source = self.lookup(from.0, from.1)?;
        let target = self.directory(to.0)?.get(to.1).copied();
        let entry = |(parent, name): (Ino, &OsStr), ino| (parent, name.to_owned(), ino);
        match (target, how) {
            (Some(_), Rename::Refuse) => return Err(Errno::EEXIST),
            (None, Rename::Exchange) => return Err(Errno::ENOENT),
            (Some(target), _) if target == source => return Ok(None),
            (Some(target), Rename::Exchange) => {
                self.change(host, vec![entry(from, Some(target)), entry(to, Some(source))]);
                return Ok(None);
            }
            (Some(target), Rename::Replace) => self.may_replace(source, target)?,
            (None, _) => {}
        }
        self.change(host, vec![entry(from, None), entry(to, Some(source))]);
        Ok(target)
    }

    fn may_replace(&self, source: Ino, target: Ino) -> Result<(), Errno> {
        match (self.seen.get(&source), self.seen.get(&target)) {
            (Some(_), None) => Err(Errno::ENOTDIR),
            (None, Some(_)) => Err(Errno::EISDIR),
            (Some(_), Some(entries)) if !entries.is_empty() => Err(Errno::ENOTEMPTY),
            _ => Ok(()),
        }
    }

    fn change(&mut self, host: HostId, entries: Vec<EntryChange>) {
        for entry in &entries {
            self.apply_seen(entry);
        }
        self.pending.push_back(NameChange { host, made_ns: self.now_ns, entries });
    }

    fn apply_seen(&mut self, (parent, name, ino): &EntryChange) {
        let entries = self.seen.entry(*parent).or_default();
        let before = match ino {
            Some(ino) => entries.insert(name.clone(), *ino),
            None => entries.remove(name),
        };
        if let Some(node) = before.and_then(|before| self.nodes.get_mut(&before)) {
            node.links -= 1;
        }
        if let Some(node) = ino.and_then(|ino| self.nodes.get_mut(&ino)) {
            node.links += 1;
            node.place = (*parent, name.clone());
        }
    }

    /// A sync of a directory. Gives how many changes became durable.
    pub(super) fn sync_directory(&mut self, directory: Ino) -> usize {
        match self.rule {
            NameRule::Ext4Like => self.commit(|_| true),
            NameRule::PosixWorst => {
                self.commit(|change| change.entries.iter().any(|(parent, ..)| *parent == directory))
            }
        }
    }

    /// A sync of a file, which takes names with it only where one journal holds all.
    pub(super) fn sync_file(&mut self) -> usize {
        if self.rule == NameRule::Ext4Like { self.commit(|_| true) } else { 0 }
    }

    /// What these hosts changed before `before` is written by themselves. `now` is the age of what comes next.
    pub(super) fn write_back(&mut self, now: Nanos, before: Nanos, hosts: HostSet) -> usize {
        self.now_ns = now;
        self.commit(|change| hosts.contains(change.host) && change.made_ns < before)
    }

    fn commit(&mut self, chosen: impl Fn(&NameChange) -> bool) -> usize {
        let (durable, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|change| chosen(change));
        for (parent, name, ino) in durable.iter().flat_map(|change| &change.entries) {
            apply(&mut self.durable, *parent, name, *ino);
        }
        self.pending = kept;
        durable.len()
    }

    /// How many changes of names a host has not made durable.
    pub(super) fn pending(&self, host: HostId) -> usize {
        self.pending.iter().filter(|change| change.host == host).count()
    }

    /// The host is gone: of its changes only those survive that `survives` picks, called for each in order. With one journal, none
    /// behind the first that does not. Gives how many were lost.
    pub(super) fn crash(&mut self, host: HostId, mut survives: impl FnMut() -> bool) -> usize {
        let before = self.pending(host);
        let mut lost = 0;
        let rule = self.rule;
        let (durable, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|change| change.host == host);
        self.pending = kept.into();
        for change in durable {
            if !survives() || lost > 0 && rule == NameRule::Ext4Like {
                lost += 1;
                continue;
            }
            for (parent, name, ino) in &change.entries {
                apply(&mut self.durable, *parent, name, *ino);
            }
        }
        debug_assert!(lost <= before);
        self.rebuild();
        lost
    }

    /// What hosts see becomes the durable tree with what is still pending on top.
    fn rebuild(&mut self) {
        let mut seen = self.durable.clone();
        for (parent, name, ino) in self.pending.iter().flat_map(|change| &change.entries) {
            apply(&mut seen, *parent, name, *ino);
        }
        for (ino, node) in &mut self.nodes {
            node.links = u32::from(*ino == Ino::ROOT);
            if node.kind == Kind::Directory {
                seen.entry(*ino).or_default();
            }
        }
        for (&parent, entries) in &seen {
            for (name, ino) in entries {
                let Some(node) = self.nodes.get_mut(ino) else { continue };
                node.links += 1;
                node.place = (parent, name.clone());
            }
        }
        self.seen = seen;
    }

    /// The inodes without any name, seen, durable or pending, and not among `open`. They are forgotten.
    pub(super) fn collect(&mut self, open: &BTreeSet<Ino>) -> Vec<Ino> {
        let candidates: BTreeSet<Ino> = self
            .nodes
            .iter()
            .filter(|(ino, node)| node.links == 0 && !open.contains(ino))
            .map(|(&ino, _)| ino)
            .collect();
        if candidates.is_empty() {
            return Vec::new();
        }
        let durable = self.durable.values().flat_map(|entries| entries.values().copied());
        let pending = self.pending.iter().flat_map(|change| change.entries.iter().filter_map(|(.., ino)| *ino));
        let named: BTreeSet<Ino> = durable.chain(pending).collect();
        let gone: Vec<Ino> = candidates.difference(&named).copied().collect();
        for ino in &gone {
            self.nodes.remove(ino);
            self.seen.remove(ino);
            self.durable.remove(ino);
        }
        gone
    }

    /// The paths and files of the durable tree, and its directories, parents first.
    pub(super) fn durable_tree(&self) -> (Vec<PathBuf>, Vec<(PathBuf, Ino)>) {
        let (mut directories, mut files) = (Vec::new(), Vec::new());
        let mut open = vec![(PathBuf::new(), Ino::ROOT)];
        while let Some((path, ino)) = open.pop() {
            for (name, &child) in self.durable.get(&ino).into_iter().flatten() {
                let below = path.join(name);
                match self.nodes.get(&child).map(|node| &node.kind) {
                    Some(Kind::Directory) => {
                        directories.push(below.clone());
                        open.push((below, child));
                    }
                    Some(Kind::File) => files.push((below, child)),
                    Some(Kind::Symlink(_)) | None => {}
                }
            }
        }
        directories.sort();
        files.sort();
        (directories, files)
    }
}

/// What a new inode is made of.
#[derive(Clone, Debug)]
pub struct NewNode {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Nanoseconds of the epoch.
    pub now_ns: u64,
}

fn apply(tree: &mut Tree, parent: Ino, name: &OsStr, ino: Option<Ino>) {
    let entries = tree.entry(parent).or_default();
    match ino {
        Some(ino) => entries.insert(name.to_owned(), ino),
        None => entries.remove(name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HostId = HostId(0);
    const B: HostId = HostId(1);

    fn file() -> NewNode {
        NewNode { kind: Kind::File, mode: 0o660, uid: 0, gid: 0, now_ns: 0 }
    }

    fn directory() -> NewNode {
        NewNode { kind: Kind::Directory, ..file() }
    }

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    fn seen(names: &Names) -> Vec<String> {
        let listed = names.list(Ino::ROOT).expect("the root is a directory");
        listed.into_iter().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
    }

    /// Two files, one rename of the first and one link of the second, by A; the directory was synced in between if `synced`.
    fn worked(rule: NameRule, synced: bool) -> Names {
        let mut names = Names::new(rule);
        let one = names.create(A, Ino::ROOT, name("one"), file()).expect("it is free");
        names.create(A, Ino::ROOT, name("two"), file()).expect("it is free");
        if synced {
            assert_eq!(names.sync_directory(Ino::ROOT), 2);
        }
        names.rename(A, (Ino::ROOT, name("two")), (Ino::ROOT, name("three")), Rename::Replace).expect("it is free");
        names.link(A, one, Ino::ROOT, name("four")).expect("it is free");
        assert_eq!(seen(&names), ["four", "one", "three"]);
        names
    }

    #[test]
    fn without_a_sync_of_the_directory_a_crash_takes_the_names() {
        let mut names = worked(NameRule::PosixWorst, false);
        assert_eq!(names.sync_file(), 0);
        assert_eq!(names.crash(A, || false), 4);
        assert_eq!(seen(&names), [] as [&str; 0]);
    }

    #[test]
    fn synced_names_stay_and_a_lost_rename_leaves_the_old_name() {
        let mut names = worked(NameRule::PosixWorst, true);
        assert_eq!(names.crash(A, || false), 2);
        assert_eq!(seen(&names), ["one", "two"]);
        let one = names.lookup(Ino::ROOT, name("one")).expect("it is durable");
        assert_eq!(names.node(one).expect("it is durable").links, 1);
    }

    #[test]
    fn with_one_journal_a_sync_of_any_file_takes_names_with_it_and_only_a_prefix_survives() {
        let mut names = worked(NameRule::Ext4Like, false);
        let mut survivors = [true, false, true, true].into_iter();
        assert_eq!(names.crash(A, || survivors.next().expect("four changes")), 3);
        assert_eq!(seen(&names), ["one"]);
        let mut names = worked(NameRule::Ext4Like, false);
        assert_eq!(names.sync_file(), 4);
        assert_eq!(names.crash(A, || false), 0);
        assert_eq!(seen(&names), ["four", "one", "three"]);
    }

    #[test]
    fn a_crash_takes_only_that_hosts_changes() {
        let mut names = worked(NameRule::PosixWorst, false);
        names.create(B, Ino::ROOT, name("five"), file()).expect("it is free");
        names.crash(A, || false);
        assert_eq!(seen(&names), ["five"]);
    }

    #[test]
    fn a_sync_of_one_directory_leaves_the_others() {
        let mut names = Names::new(NameRule::PosixWorst);
        let sub = names.create(A, Ino::ROOT, name("sub"), directory()).expect("it is free");
        names.create(A, sub, name("inner"), file()).expect("it is free");
        names.create(A, Ino::ROOT, name("outer"), file()).expect("it is free");
        assert_eq!(names.sync_directory(Ino::ROOT), 2);
        names.crash(A, || false);
        assert_eq!(seen(&names), ["outer", "sub"]);
        assert_eq!(names.list(sub).expect("it is durable"), []);
    }

    #[test]
    fn renames_keep_their_promises() {
        let mut names = worked(NameRule::PosixWorst, false);
        let rename =
            |names: &mut Names, from, to, how| names.rename(A, (Ino::ROOT, name(from)), (Ino::ROOT, name(to)), how);
        assert_eq!(rename(&mut names, "one", "three", Rename::Refuse), Err(Errno::EEXIST));
        assert_eq!(rename(&mut names, "one", "none", Rename::Exchange), Err(Errno::ENOENT));
        let [one, three] = ["one", "three"].map(|text| names.lookup(Ino::ROOT, name(text)).expect("it is there"));
        assert_eq!(rename(&mut names, "one", "three", Rename::Exchange), Ok(None));
        assert_eq!(names.lookup(Ino::ROOT, name("three")), Ok(one));
        assert_eq!(rename(&mut names, "one", "four", Rename::Replace), Ok(Some(one)));
        assert_eq!((names.node(one).expect("named").links, names.node(three).expect("named").links), (1, 1));
    }

    #[test]
    fn an_inode_is_forgotten_only_when_no_tree_and_no_handle_has_it() {
        let mut names = Names::new(NameRule::PosixWorst);
        let ino = names.create(A, Ino::ROOT, name("file"), file()).expect("it is free");
        names.sync_directory(Ino::ROOT);
        names.remove(A, Ino::ROOT, name("file"), false).expect("it is there");
        assert_eq!(names.collect(&BTreeSet::new()), [], "the durable tree still has it");
        names.sync_directory(Ino::ROOT);
        assert_eq!(names.collect(&BTreeSet::from([ino])), [], "it is open");
        assert_eq!(names.collect(&BTreeSet::new()), [ino]);
        assert_eq!(names.node(ino).map(|_| ()), Err(Errno::ESTALE));
    }
}
