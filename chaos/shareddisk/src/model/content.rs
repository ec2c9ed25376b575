//! The bytes of one file: what is durable, and on top of it what hosts wrote and did not sync.
//!
//! Owns the order of pending changes, what each host sees, and what a sync, a later sync and a crash make of them. Names, locks
//! and space are elsewhere.

use super::media::Media;
use super::{HostId, HostSet, Ino, Nanos};
use std::io;

/// One change that is not durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Bytes at an offset.
    Write {
        /// In bytes.
        offset: u64,
        /// What was written.
        data: Vec<u8>,
    },
    /// A new length; what is behind it is gone.
    SetLen(u64),
    /// A range that reads as zeros; the length stays.
    Erase {
        /// In bytes.
        offset: u64,
        /// In bytes.
        len: u64,
    },
}

impl Change {
    /// How many bytes it holds in memory.
    pub(super) fn bytes(&self) -> u64 {
        if let Self::Write { data, .. } = self { data.len() as u64 } else { 0 }
    }

    /// The bytes that it changes; a length counts as none.
    fn range(&self) -> Option<(u64, u64)> {
        match self {
            Self::Write { offset, data } => Some((*offset, offset + data.len() as u64)),
            Self::Erase { offset, len } => Some((*offset, offset + len)),
            Self::SetLen(_) => None,
        }
    }

    fn len_after(&self, len: u64) -> u64 {
        match self {
            Self::Write { offset, data } => len.max(offset + data.len() as u64),
            Self::SetLen(len) => *len,
            Self::Erase { .. } => len,
        }
    }

    /// Changes `buffer`, which shows the file from `start` on.
    fn apply(&self, start: u64, buffer: &mut [u8]) {
        let end = start + buffer.len() as u64;
        let part = |from: u64, to: u64| {
            let from = from.clamp(start, end);
            (from - start) as usize..(to.clamp(from, end) - start) as usize
        };
        match self {
            Self::Write { offset, data } => {
                let range = part(*offset, offset + data.len() as u64);
                if !range.is_empty() {
                    let from = (start + range.start as u64 - offset) as usize;
                    buffer[range.clone()].copy_from_slice(&data[from..from + range.len()]);
                }
            }
            Self::SetLen(len) => buffer[part(*len, end)].fill(0),
            Self::Erase { offset, len } => buffer[part(*offset, offset + len)].fill(0),
        }
    }
}

/// A change with what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Whose cache holds it.
    pub host: HostId,
    /// When it was made.
    pub made_ns: Nanos,
    /// What it is.
    pub change: Change,
    /// A failed sync has marked it clean: it is seen, and never written.
    pub abandoned: bool,
    /// A sync has said that it is durable, and lied.
    pub claimed: bool,
}

/// One file's bytes. Pending changes are in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Bytes that are durable.
    pub durable_len: u64,
    pending: Vec<Pending>,
}

impl Content {
    /// The length as `seen` shows it.
    pub(super) fn len(&self, seen: HostSet) -> u64 {
        let visible = self.pending.iter().filter(|pending| seen.contains(pending.host));
        visible.fold(self.durable_len, |len, pending| pending.change.len_after(len))
    }

    /// All that is not durable, oldest first.
    pub(super) fn pending(&self) -> &[Pending] {
        &self.pending
    }

    /// Up to `len` bytes at `offset`, as `seen` shows them; fewer at the end of the file.
    pub(super) fn read(
        &self,
        media: &mut dyn Media,
        ino: Ino,
        range: (u64, usize),
        seen: HostSet,
    ) -> io::Result<Vec<u8>> {
        let (offset, len) = range;
        let len = self.len(seen).saturating_sub(offset).min(len as u64) as usize;
        let mut buffer = vec![0; len];
        let durable = self.durable_len.saturating_sub(offset).min(len as u64) as usize;
        media.read(ino, offset, &mut buffer[..durable])?;
        for pending in self.pending.iter().filter(|pending| seen.contains(pending.host)) {
            pending.change.apply(offset, &mut buffer);
        }
        Ok(buffer)
    }

    /// Keeps a change that nobody has synced. A new length also shortens older changes, so that they cannot come back.
    pub(super) fn push(&mut self, pending: Pending) {
        if let Change::SetLen(len) = pending.change {
            for older in &mut self.pending {
                shorten(&mut older.change, len);
            }
            self.pending.retain(|older| !matches!(&older.change, Change::Write { data, .. } if data.is_empty()));
        }
        self.pending.push(pending);
    }

    /// A write that is durable when it returns: older changes of `seen` that lie below it, and new lengths, go first.
    pub(super) fn write_through(
        &mut self,
        media: &mut dyn Media,
        ino: Ino,
        offset: u64,
        data: &[u8],
        seen: HostSet,
    ) -> io::Result<()> {
        let end = offset + data.len() as u64;
        let mut below = self.below((offset, end), seen).into_iter();
        self.commit(media, ino, |_| below.next().unwrap_or(false))?;
        store(media, ino, offset, data)?;
        self.durable_len = self.durable_len.max(end);
        Ok(())
    }

    /// Which changes must be durable before a range is written past them: those that overlap it, those that overlap these and are
    /// older, and all lengths.
    fn below(&self, (mut from, mut to): (u64, u64), seen: HostSet) -> Vec<bool> {
        let mut chosen = vec![false; self.pending.len()];
        for (pending, chosen) in self.pending.iter().zip(&mut chosen).rev() {
            if !seen.contains(pending.host) {
                continue;
            }
            *chosen = match pending.change.range() {
                None => true,
                Some((start, end)) if start < to && end > from => {
                    (from, to) = (from.min(start), to.max(end));
                    true
                }
                Some(_) => false,
            };
        }
        chosen
    }

    /// Makes the chosen changes durable, oldest first; `chosen` is asked for each in order. Abandoned ones never are. Gives how many bytes were written.
    pub(super) fn commit(
        &mut self,
        media: &mut dyn Media,
        ino: Ino,
        mut chosen: impl FnMut(&Pending) -> bool,
    ) -> io::Result<u64> {
        let mut written = 0;
        let mut kept = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            if !chosen(&pending) || pending.abandoned {
                kept.push(pending);
                continue;
            }
            written += pending.change.bytes();
            self.make_durable(media, ino, &pending.change)?;
        }
        self.pending = kept;
        Ok(written)
    }

    fn make_durable(&mut self, media: &mut dyn Media, ino: Ino, change: &Change) -> io::Result<()> {
        match change {
            Change::Write { offset, data } => store(media, ino, *offset, data)?,
            Change::SetLen(len) => media.erase(ino, *len, None)?,
            Change::Erase { offset, len } => media.erase(ino, *offset, Some(*len))?,
        }
        self.durable_len = change.len_after(self.durable_len);
        Ok(())
    }

    /// A failed sync: what `host` has pending counts as clean from now on and is never written.
    pub(super) fn abandon(&mut self, host: HostId) {
        for pending in self.pending.iter_mut().filter(|pending| pending.host == host) {
            pending.abandoned = true;
        }
    }

    /// A sync that lies: what `host` has pending is said to be durable.
    pub(super) fn claim(&mut self, host: HostId) {
        for pending in self.pending.iter_mut().filter(|pending| pending.host == host) {
            pending.claimed = true;
        }
    }

    /// Takes out what `host` has pending.
    pub(super) fn take(&mut self, host: HostId) -> Vec<Pending> {
        let (taken, kept) = std::mem::take(&mut self.pending).into_iter().partition(|pending| pending.host == host);
        self.pending = kept;
        taken
    }

    /// Writes a change past all others, as a host does that comes back late.
    pub(super) fn land(&mut self, media: &mut dyn Media, ino: Ino, change: &Change) -> io::Result<()> {
        self.make_durable(media, ino, change)
    }
}

/// Zeros are not written but forgotten: stores fill files with them, and that must not keep the disk busy for everybody else.
fn store(media: &mut dyn Media, ino: Ino, offset: u64, data: &[u8]) -> io::Result<()> {
    const ZEROS: [u8; 4096] = [0; 4096];
    if data.chunks(ZEROS.len()).all(|part| *part == ZEROS[..part.len()]) {
        return media.erase(ino, offset, Some(data.len() as u64));
    }
    media.write(ino, offset, data)
}

fn shorten(change: &mut Change, len: u64) {
    match change {
        Change::Write { offset, data } => data.truncate(len.saturating_sub(*offset) as usize),
        Change::SetLen(older) => *older = len.min(*older),
        Change::Erase { offset, len: erased } => *erased = (*erased).min(len.saturating_sub(*offset)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::media::Memory;
    use super::*;
    use proptest::prelude::*;

    const A: HostId = HostId(0);
    const B: HostId = HostId(1);
    const INO: Ino = Ino(1);

    fn pending(host: HostId, change: Change) -> Pending {
        Pending { host, made_ns: 0, change, abandoned: false, claimed: false }
    }

    fn write(offset: u64, byte: u8, len: usize) -> Change {
        Change::Write { offset, data: vec![byte; len] }
    }

    fn all() -> HostSet {
        HostSet::of([A, B])
    }

    fn read(content: &Content, media: &mut Memory, seen: HostSet) -> Vec<u8> {
        content.read(media, INO, (0, 100), seen).expect("memory")
    }

    #[test]
    fn a_durable_write_is_not_hidden_by_an_older_pending_one() {
        let (mut content, mut media) = (Content::default(), Memory::default());
        content.push(pending(A, write(0, 1, 8)));
        content.write_through(&mut media, INO, 4, &[2; 8], all()).expect("memory");
        assert_eq!(read(&content, &mut media, all()), [1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn an_older_write_does_not_come_back_behind_a_new_length() {
        let (mut content, mut media) = (Content::default(), Memory::default());
        content.push(pending(A, write(0, 1, 8)));
        content.push(pending(A, Change::SetLen(4)));
        content.write_through(&mut media, INO, 6, &[2; 2], all()).expect("memory");
        assert_eq!(read(&content, &mut media, all()), [1, 1, 1, 1, 0, 0, 2, 2]);
        content.commit(&mut media, INO, |_| true).expect("memory");
        assert_eq!(read(&content, &mut media, all()), [1, 1, 1, 1, 0, 0, 2, 2]);
    }

    #[test]
    fn what_was_abandoned_is_seen_and_never_written() {
        let (mut content, mut media) = (Content::default(), Memory::default());
        content.push(pending(A, write(0, 1, 4)));
        content.abandon(A);
        assert_eq!(content.commit(&mut media, INO, |_| true).expect("memory"), 0);
        assert_eq!(read(&content, &mut media, all()), [1; 4]);
        content.take(A);
        assert_eq!(read(&content, &mut media, all()), [] as [u8; 0]);
    }

    #[test]
    fn a_host_that_is_not_seen_hides_its_changes_and_their_length() {
        let (mut content, mut media) = (Content::default(), Memory::default());
        content.push(pending(A, write(0, 1, 4)));
        content.push(pending(B, write(2, 2, 1)));
        assert_eq!(read(&content, &mut media, HostSet::of([B])), [0, 0, 2]);
        assert_eq!(read(&content, &mut media, all()), [1, 1, 2, 1]);
    }

    fn changes() -> impl Strategy<Value = Change> {
        prop_oneof![
            4 => (0_u64..60, 1_usize..30, 0_u8..4).prop_map(|(offset, len, byte)| write(offset, byte, len)),
            1 => (0_u64..70).prop_map(Change::SetLen),
            1 => (0_u64..60, 1_u64..20).prop_map(|(offset, len)| Change::Erase { offset, len }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

        /// A plain vector is the measure. Fails when what is seen depends on which changes happen to be durable.
        #[test]
        fn what_is_seen_does_not_depend_on_what_is_durable(
            steps in proptest::collection::vec((changes(), 0_u8..4), 1..30),
        ) {
            let (mut content, mut media) = (Content::default(), Memory::default());
            let mut plain: Vec<u8> = Vec::new();
            for (change, how) in steps {
                let len = change.len_after(plain.len() as u64) as usize;
                plain.resize(len, 0);
                change.apply(0, &mut plain);
                match (&change, how) {
                    (Change::Write { offset, data }, 0) =>
                        content.write_through(&mut media, INO, *offset, data, all()).expect("memory"),
                    (_, 1) => {
                        content.push(pending(A, change));
                        content.commit(&mut media, INO, |_| true).expect("memory");
                    }
                    (_, other) => content.push(pending(if other == 2 { A } else { B }, change)),
                }
                prop_assert_eq!(&read(&content, &mut media, all()), &plain);
            }
            content.commit(&mut media, INO, |_| true).expect("memory");
            prop_assert_eq!(read(&content, &mut media, HostSet::default()), plain);
        }
    }
}
