//! Replacing a configuration file as a whole: after a crash it is the old one or the new one.
//!
//! Owns the order of steps on the file system. What is to be written is decided by the caller.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Why a file was not replaced. It is as it was then, but for [`ReplaceError::Folder`].
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// Another program or person wrote to it.
    #[error(
        "{}: was changed by someone else since this server read it, and is not overwritten; \
         put the change in by command, or restart the server to read the file",
        .0.display()
    )]
    Changed(PathBuf),
    /// It, or the new one beside it, cannot be read or written.
    #[error("{}: cannot be written: {}; let the server's user write to the file and its folder", .0.display(), .1)]
    Io(PathBuf, io::Error),
    /// The new content is there, but may be lost with the power.
    #[error("{}: was written, but its folder could not be synced: {}", .0.display(), .1)]
    Folder(PathBuf, io::Error),
}

/// Writes `new` in the place of the file at `path`, which must still hold `expected` (`None`: must not exist): a new
/// file beside it, with its mode and owner, synced, is renamed to it. A link is followed first.
///
/// # Errors
/// See [`ReplaceError`].
pub fn replace(path: &Path, expected: Option<&str>, new: &str) -> Result<(), ReplaceError> {
    let io = |error| ReplaceError::Io(path.to_owned(), error);
    let target = match std::fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(io(error)),
    };
    let found = match std::fs::read(&target) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io(error)),
    };
    if found.as_deref() != expected.map(str::as_bytes) {
        return Err(ReplaceError::Changed(path.to_owned()));
    }
    let beside = beside(&target);
    if let Err(error) = write_beside(&target, &beside, new).and_then(|()| std::fs::rename(&beside, &target)) {
        // What is left of the attempt; that it failed is told by the first error.
        let _ = std::fs::remove_file(&beside);
        return Err(io(error));
    }
    let folder = target.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| ReplaceError::Folder(path.to_owned(), error))
}

fn beside(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.new-{}", std::process::id()))
}

fn write_beside(target: &Path, beside: &Path, new: &str) -> io::Result<()> {
    let old = match std::fs::metadata(target) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // Nobody else may read a password before the mode is that of the old file.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(beside)?;
    file.write_all(new.as_bytes())?;
    if let Some(old) = old {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
            chown(beside, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(old.mode() & 0o7777))?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.conf");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, Some("old"), "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(names(folder.path()), ["users.conf"]);
    }

    #[test]
    fn what_someone_else_changed_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.conf");
        std::fs::write(&path, "theirs").unwrap();
        for expected in [Some("ours"), None] {
            let error = replace(&path, expected, "new").unwrap_err();
            assert!(matches!(error, ReplaceError::Changed(_)), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs");
        std::fs::remove_file(&path).unwrap();
        assert!(replace(&path, Some("ours"), "new").is_err(), "removed meanwhile");
        replace(&path, None, "new").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, Some("old"), "new").unwrap();
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "new");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_folder_that_is_missing_is_told() {
        let error = replace(Path::new("/nowhere/users.conf"), None, "x").unwrap_err();
        assert!(error.to_string().contains("/nowhere/users.conf"), "{error}");
    }
}
