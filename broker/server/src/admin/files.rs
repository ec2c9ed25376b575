//! The configuration files that commands change: as they are on the disk, and as they are to become.
//!
//! Owns their texts between two commits. What a command changes in a text is said by the command, as of a line of a .conf
//! file; where a tibemsd.json stands for all of them, it is its element. A file that someone else changed meanwhile is not
//! overwritten.

use crate::config::{self, Configuration, Form, Text, Tree};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A file that commands change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// tibemsd.conf.
    Server,
    /// users.conf.
    Users,
    /// groups.conf.
    Groups,
    /// queues.conf.
    Queues,
    /// acl.conf.
    Acl,
}

const ALL: [Which; 5] = [Which::Server, Which::Users, Which::Groups, Which::Queues, Which::Acl];

impl Which {
    /// What a line of it is.
    pub(crate) fn form(self) -> Form {
        match self {
            Which::Server => Form::Parameter,
            Which::Users => Form::User,
            Which::Groups => Form::Group,
            Which::Queues => Form::Destination,
            Which::Acl => Form::Permission,
        }
    }
}

/// One file.
#[derive(Debug)]
struct File {
    path: PathBuf,
    /// As this server last read or wrote it; `None` = does not exist.
    disk: Option<String>,
    /// Why it could not be read.
    unreadable: Option<String>,
    /// What it is to become, where that differs.
    wanted: Option<String>,
}

impl File {
    fn read(path: PathBuf) -> File {
        let (disk, unreadable) = match std::fs::read_to_string(&path) {
            Ok(text) => (Some(text), None),
            Err(error) if error.kind() == ErrorKind::NotFound => (None, None),
            Err(error) => (None, Some(format!("{}: cannot be read: {error}", path.display()))),
        };
        File { path, disk, unreadable, wanted: None }
    }

    fn text(&self) -> &str {
        self.wanted.as_deref().or(self.disk.as_deref()).unwrap_or("")
    }

    /// Whether someone else wrote to it.
    fn is_unchanged(&self) -> bool {
        match std::fs::read(&self.path) {
            Ok(found) => Some(&found[..]) == self.disk.as_deref().map(str::as_bytes),
            Err(error) => error.kind() == ErrorKind::NotFound && self.disk.is_none(),
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Files {
    /// By [`Which`]; a tibemsd.json alone.
    files: Vec<File>,
}

/// A text that is being changed, in one of two forms.
#[derive(Debug)]
pub(crate) enum Document<'t> {
    /// Lines.
    Conf(Text<'t>),
    /// Elements.
    Json(Tree),
}

impl Document<'_> {
    /// See [`Text::set_parameter`].
    pub(crate) fn set_parameter(&mut self, name: &str, value: &str) {
        match self {
            Document::Conf(text) => text.set_parameter(name, value),
            Document::Json(tree) => tree.set_parameter(name, value),
        }
    }

    /// See [`Text::put`].
    pub(crate) fn put(&mut self, form: Form, key: &str, line: &str) {
        match self {
            Document::Conf(text) => text.put(form, key, line),
            Document::Json(tree) => tree.put(form, key, line),
        }
    }

    /// See [`Text::remove`].
    pub(crate) fn remove(&mut self, form: Form, key: &str) -> bool {
        match self {
            Document::Conf(text) => text.remove(form, key),
            Document::Json(tree) => tree.remove(form, key),
        }
    }

    /// See [`Text::add_member`].
    pub(crate) fn add_member(&mut self, group: &str, member: &str) -> bool {
        match self {
            Document::Conf(text) => text.add_member(group, member),
            Document::Json(tree) => tree.add_member(group, member),
        }
    }

    /// See [`Text::remove_member`].
    pub(crate) fn remove_member(&mut self, group: &str, member: &str) -> bool {
        match self {
            Document::Conf(text) => text.remove_member(group, member),
            Document::Json(tree) => tree.remove_member(group, member),
        }
    }
}

impl Files {
    /// Reads the files of a configuration, as a start or a takeover does.
    pub(crate) fn read(configuration: &Configuration) -> Files {
        if configuration.is_json() {
            return Files { files: vec![File::read(configuration.file.clone())] };
        }
        Files { files: ALL.map(|which| File::read(path(configuration, which).to_owned())).into() }
    }

    /// The properties of a queue's own line or element.
    pub(crate) fn properties_of(&self, name: &str) -> Vec<String> {
        match document(&self.files, Which::Queues) {
            Ok(Document::Conf(text)) => {
                text.find(Form::Destination, name).map(config::properties_of).unwrap_or_default()
            }
            Ok(Document::Json(tree)) => tree.properties(name),
            Err(_) => Vec::new(),
        }
    }

    /// The parameters that the main file sets.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        match document(&self.files, Which::Server) {
            Ok(Document::Conf(text)) => text.parameters(),
            Ok(Document::Json(tree)) => tree.parameters(),
            Err(_) => Vec::new(),
        }
    }

    /// Changes texts as `edit` says and, unless `hold`, writes them. After an error nothing has changed.
    pub(crate) fn change(
        &mut self,
        hold: bool,
        edit: impl FnOnce(&mut Draft<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let before: Vec<Option<String>> = self.files.iter().map(|file| file.wanted.clone()).collect();
        let result = edit(&mut Draft { files: &mut self.files });
        let result = result.and_then(|()| if hold { Ok(()) } else { self.commit().map(drop) });
        if result.is_err() {
            for (file, wanted) in self.files.iter_mut().zip(before) {
                file.wanted = wanted;
            }
        }
        result
    }

    /// Writes what is not written yet; returns the paths.
    pub(crate) fn commit(&mut self) -> Result<Vec<PathBuf>, String> {
        let changed = |file: &&mut File| file.wanted.is_some();
        if let Some(file) = self.files.iter().find(|file| file.wanted.is_some() && !file.is_unchanged()) {
            return Err(config::ReplaceError::Changed(file.path.clone()).to_string());
        }
        let mut written = Vec::new();
        for file in self.files.iter_mut().filter(changed) {
            let wanted = file.wanted.as_deref().unwrap_or("");
            config::replace(&file.path, file.disk.as_deref(), wanted).map_err(|error| error.to_string())?;
            file.disk = file.wanted.take();
            written.push(file.path.clone());
        }
        Ok(written)
    }

    /// The files with changes that are not written.
    pub(crate) fn unwritten(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter(|file| file.wanted.is_some()).map(|file| file.path.as_path())
    }
}

/// Texts that are being changed.
#[derive(Debug)]
pub(crate) struct Draft<'f> {
    files: &'f mut [File],
}

/// Where a file is among `files`: a tibemsd.json stands for all.
fn place(files: &[File], which: Which) -> usize {
    if files.len() == 1 { 0 } else { which as usize }
}

/// A file's text, as it is to become, taken apart.
fn document(files: &[File], which: Which) -> Result<Document<'_>, String> {
    let file = &files[place(files, which)];
    match &file.unreadable {
        Some(reason) => Err(reason.clone()),
        None if files.len() > 1 => Ok(Document::Conf(Text::new(file.text()))),
        None => Tree::new(file.text()).map(Document::Json).map_err(|error| format!("{}: {error}", file.path.display())),
    }
}

impl Draft<'_> {
    /// Changes one text.
    pub(crate) fn edit(&mut self, which: Which, edit: impl FnOnce(&mut Document<'_>)) -> Result<(), String> {
        let mut document = document(self.files, which)?;
        edit(&mut document);
        let text = match document {
            Document::Conf(text) => text.finish(),
            Document::Json(tree) => tree.finish(),
        };
        let file = &mut self.files[place(self.files, which)];
        file.wanted = (Some(&text) != file.disk.as_ref()).then_some(text);
        Ok(())
    }

    /// Puts a line in the place of that of its key, or at the end.
    pub(crate) fn put(&mut self, which: Which, key: &str, line: &str) -> Result<(), String> {
        self.edit(which, |text| text.put(which.form(), key, line))
    }

    /// Removes the lines of a key, if there are some.
    pub(crate) fn remove(&mut self, which: Which, key: &str) -> Result<(), String> {
        self.edit(which, |text| {
            text.remove(which.form(), key);
        })
    }
}

fn path(configuration: &Configuration, which: Which) -> &Path {
    match which {
        Which::Server => &configuration.file,
        Which::Users => &configuration.paths.users,
        Which::Groups => &configuration.paths.groups,
        Which::Queues => &configuration.paths.queues,
        Which::Acl => &configuration.paths.acl,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Files {
        for (name, text) in [("tibemsd.conf", "# main\n"), ("users.conf", "admin::\n"), ("queues.conf", "# all\n>\n")] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let (configuration, _) = config::load(&folder.join("tibemsd.conf"), &[], false).unwrap();
        Files::read(&configuration)
    }

    fn read(folder: &Path, name: &str) -> String {
        std::fs::read_to_string(folder.join(name)).unwrap_or_default()
    }

    #[test]
    fn a_change_is_written_at_once_or_with_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path());
        files.change(false, |draft| draft.put(Which::Queues, "a", "a maxmsgs=1")).unwrap();
        assert_eq!(read(folder.path(), "queues.conf"), "# all\n>\na maxmsgs=1\n");
        files.change(true, |draft| draft.put(Which::Users, "bob", "bob:x:")).unwrap();
        files.change(true, |draft| draft.put(Which::Groups, "g", "g:new")).unwrap();
        assert_eq!(read(folder.path(), "users.conf"), "admin::\n");
        assert_eq!(files.unwritten().count(), 2);
        assert_eq!(files.commit().unwrap().len(), 2);
        assert_eq!(read(folder.path(), "users.conf"), "admin::\nbob:x:\n");
        assert_eq!(read(folder.path(), "groups.conf"), "g:new\n", "a file that was missing is made");
        assert_eq!(files.commit(), Ok(vec![]));
    }

    #[test]
    fn a_json_stands_for_all_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tibemsd.json");
        std::fs::write(&path, "{\"queues\": [{\"name\": \">\"}], \"users\": []}").unwrap();
        let mut files = Files { files: vec![File::read(path.clone())] };
        files.change(false, |draft| draft.put(Which::Queues, "a", "a maxmsgs=1,secure")).unwrap();
        files.change(false, |draft| draft.put(Which::Users, "bob", "bob:x:")).unwrap();
        assert_eq!(files.properties_of("a"), ["maxmsgs=1", "secure"]);
        let text = read(folder.path(), "tibemsd.json");
        assert!(text.contains("\"bob\"") && !folder.path().join("users.conf").exists(), "{text}");
    }

    #[test]
    fn nothing_changes_when_a_part_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path());
        std::fs::write(folder.path().join("users.conf"), "admin:other:\n").unwrap();
        let error = files
            .change(false, |draft| {
                draft.put(Which::Queues, "a", "a")?;
                draft.put(Which::Users, "bob", "bob::")
            })
            .unwrap_err();
        assert!(error.contains("users.conf") && error.contains("someone else"), "{error}");
        assert_eq!(read(folder.path(), "queues.conf"), "# all\n>\n");
        assert_eq!(files.unwritten().count(), 0);
        files.change(false, |draft| draft.put(Which::Queues, "a", "a")).expect("other files go on");
    }
}
