//! The durable bytes as real files of a backing folder, one for each inode.
//!
//! Owns these files. They are written through the page cache and never synced: the daemon itself does not crash, and what a host loses
//! is the model's business.

use crate::model::{Ino, Media};
use nix::fcntl::{FallocateFlags, fallocate};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Files that are kept open. Beyond it all are closed and opened again as they are needed.
const OPEN_FILES_MAX: usize = 256;

/// Media below a folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    open: HashMap<Ino, File>,
}

impl Folder {
    /// In this folder, which must exist and be empty.
    pub(crate) fn new(path: PathBuf) -> io::Result<Self> {
        if std::fs::read_dir(&path)?.next().is_some() {
            let message = format!("{}: a shared disk begins in an empty folder", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        Ok(Self { path, open: HashMap::new() })
    }

    fn file(&mut self, ino: Ino) -> io::Result<&File> {
        if self.open.len() >= OPEN_FILES_MAX && !self.open.contains_key(&ino) {
            self.open.clear();
        }
        let entry = self.open.entry(ino);
        match entry {
            std::collections::hash_map::Entry::Occupied(file) => Ok(file.into_mut()),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                let path = backing_file(&self.path, ino);
                let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
                Ok(vacant.insert(file))
            }
        }
    }
}

/// The file that holds an inode's durable bytes.
pub(crate) fn backing_file(folder: &Path, ino: Ino) -> PathBuf {
    folder.join(format!("inode-{}", ino.0))
}

impl Media for Folder {
    fn read(&mut self, ino: Ino, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let file = self.file(ino)?;
        let mut done = 0;
        while done < buffer.len() {
            match file.read_at(&mut buffer[done..], offset + done as u64)? {
                0 => break,
                count => done += count,
            }
        }
        buffer[done..].fill(0);
        Ok(())
    }

    fn write(&mut self, ino: Ino, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file(ino)?.write_all_at(data, offset)
    }

    fn erase(&mut self, ino: Ino, offset: u64, len: Option<u64>) -> io::Result<()> {
        let file = self.file(ino)?;
        let end = file.metadata()?.len();
        if offset >= end {
            return Ok(());
        }
        match len.filter(|&len| offset + len < end) {
            None => file.set_len(offset),
            Some(0) => Ok(()),
            Some(len) => {
                let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
                fallocate(file, flags, offset as i64, len as i64).map_err(io::Error::from)
            }
        }
    }

    fn remove(&mut self, ino: Ino) -> io::Result<()> {
        self.open.remove(&ino);
        match std::fs::remove_file(backing_file(&self.path, ino)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Memory;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

        /// Memory is the measure.
        #[test]
        fn a_folder_holds_what_memory_holds(
            steps in proptest::collection::vec((0_u8..4, 0_u64..20_000, 1_u64..9_000, any::<u8>()), 1..25),
        ) {
            let backing = tempfile::tempdir().expect("a temporary folder");
            let mut folder = Folder::new(backing.path().to_owned()).expect("it is empty");
            let mut memory = Memory::default();
            let ino = Ino(3);
            for (what, offset, len, byte) in steps {
                for media in [&mut folder as &mut dyn Media, &mut memory] {
                    match what {
                        0 => media.erase(ino, offset, Some(len)).expect("the folder is ours"),
                        1 => media.erase(ino, offset, None).expect("the folder is ours"),
                        _ => media.write(ino, offset, &vec![byte; len as usize]).expect("the folder is ours"),
                    }
                }
                let (mut left, mut right) = (vec![1; 30_000], vec![2; 30_000]);
                folder.read(ino, 0, &mut left).expect("the folder is ours");
                memory.read(ino, 0, &mut right).expect("memory");
                prop_assert!(left == right);
            }
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_refused() {
        let backing = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(backing.path().join("precious"), "data").expect("the folder is ours");
        let error = Folder::new(backing.path().to_owned()).expect_err("it is not empty");
        assert!(error.to_string().contains("empty folder"), "{error}");
    }
}
