//! The configuration files that commands change: as they are on the disk, and as they are to become.
//!
//! Owns their texts between two commits. What a command changes in a text is said by the command, as of a line of a .conf
//! file; where a tibemsd.json stands for all of them, it is its element. Reading and writing takes a worker thread, the
//! loop waits for no disk: [`Files::begin`] gives the work, [`Files::finished`] takes what became of it.

use crate::config::{self, Configuration, Form, ReplaceError, Text, Tree};
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
}

/// What files are to become.
pub(crate) type Wanted = Vec<Option<String>>;

/// Files to be written, one after the other.
#[derive(Debug)]
pub(crate) struct Writes(Vec<Write>);

#[derive(Debug)]
struct Write {
    /// Among all files.
    index: usize,
    path: PathBuf,
    expected: Option<String>,
    new: String,
}

/// What became of [`Writes`].
#[derive(Debug)]
pub(crate) struct Written {
    /// Files that hold the new text.
    done: Vec<usize>,
    /// Why not all do.
    error: Option<ReplaceError>,
}

impl Writes {
    /// Writes; all or none where someone else changed one of them. For a thread that may wait.
    pub(crate) fn run(self) -> Written {
        let mut done = Vec::new();
        if let Some(changed) = self.0.iter().find(|write| !write.is_unchanged()) {
            return Written { done, error: Some(ReplaceError::Changed(changed.path.clone())) };
        }
        for write in self.0 {
            let result = config::replace(&write.path, write.expected.as_deref(), &write.new);
            if matches!(result, Ok(()) | Err(ReplaceError::Folder(..))) {
                done.push(write.index);
            }
            if let Err(error) = result {
                return Written { done, error: Some(error) };
            }
        }
        Written { done, error: None }
    }
}

impl Write {
    /// Whether nobody else wrote to it.
    fn is_unchanged(&self) -> bool {
        match std::fs::read(&self.path) {
            Ok(found) => Some(&found[..]) == self.expected.as_deref().map(str::as_bytes),
            Err(error) => error.kind() == ErrorKind::NotFound && self.expected.is_none(),
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
    /// Where the files of a configuration are.
    pub(crate) fn paths(configuration: &Configuration) -> Vec<PathBuf> {
        if configuration.is_json() {
            return vec![configuration.file.clone()];
        }
        ALL.map(|which| path(configuration, which).to_owned()).into()
    }

    /// Reads the files at [`Files::paths`], as a start or a takeover does. Waits for the disk.
    pub(crate) fn read(paths: Vec<PathBuf>) -> Files {
        Files { files: paths.into_iter().map(File::read).collect() }
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

    /// What the files are to become, to go back to where a write fails.
    pub(crate) fn wanted(&self) -> Wanted {
        self.files.iter().map(|file| file.wanted.clone()).collect()
    }

    /// Changes texts as `edit` says. After an error nothing has changed.
    pub(crate) fn edit(&mut self, edit: impl FnOnce(&mut Draft<'_>) -> Result<(), String>) -> Result<(), String> {
        let before = self.wanted();
        let result = edit(&mut Draft { files: &mut self.files });
        if result.is_err() {
            self.restore(before);
        }
        result
    }

    /// Goes back to what the files were to become before.
    fn restore(&mut self, before: Wanted) {
        for (file, wanted) in self.files.iter_mut().zip(before) {
            file.wanted = wanted;
        }
    }

    /// The work that writes what is not written yet; `None` where there is nothing. No text may change until it is done.
    pub(crate) fn begin(&self) -> Option<Writes> {
        let write = |(index, file): (usize, &File)| {
            let new = file.wanted.clone()?;
            Some(Write { index, path: file.path.clone(), expected: file.disk.clone(), new })
        };
        let writes: Vec<Write> = self.files.iter().enumerate().filter_map(write).collect();
        (!writes.is_empty()).then_some(Writes(writes))
    }

    /// Takes what became of the work; `before` holds again for files that were not written. Returns the paths.
    ///
    /// # Errors
    /// Not all was written: why, and which files hold the change all the same.
    pub(crate) fn finished(&mut self, written: Written, before: Wanted) -> Result<Vec<PathBuf>, String> {
        let mut paths = Vec::new();
        for index in &written.done {
            let file = &mut self.files[*index];
            file.disk = file.wanted.take();
            paths.push(file.path.clone());
        }
        let Some(error) = written.error else { return Ok(paths) };
        for (index, wanted) in before.into_iter().enumerate().filter(|(index, _)| !written.done.contains(index)) {
            self.files[index].wanted = wanted;
        }
        if paths.is_empty() {
            return Err(error.to_string());
        }
        let paths = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        Err(format!(
            "{error}. {paths}: the new text is in the file, but the running server differs from it; give the command \
             again once that is mended"
        ))
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
        Files::read(Files::paths(&configuration))
    }

    fn commit(files: &mut Files, before: Wanted) -> Result<Vec<PathBuf>, String> {
        files.begin().map_or(Ok(vec![]), |writes| files.finished(writes.run(), before))
    }

    /// As a command does, with `autocommit` on or off.
    fn change(
        files: &mut Files,
        hold: bool,
        edit: impl FnOnce(&mut Draft<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let before = files.wanted();
        files.edit(edit)?;
        if hold { Ok(()) } else { commit(files, before).map(drop) }
    }

    fn read(folder: &Path, name: &str) -> String {
        std::fs::read_to_string(folder.join(name)).unwrap_or_default()
    }

    #[test]
    fn a_change_is_written_at_once_or_with_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path());
        change(&mut files, false, |draft| draft.put(Which::Queues, "a", "a maxmsgs=1")).unwrap();
        assert_eq!(read(folder.path(), "queues.conf"), "# all\n>\na maxmsgs=1\n");
        change(&mut files, true, |draft| draft.put(Which::Users, "bob", "bob:x:")).unwrap();
        change(&mut files, true, |draft| draft.put(Which::Groups, "g", "g:new")).unwrap();
        assert_eq!(read(folder.path(), "users.conf"), "admin::\n");
        assert_eq!(files.unwritten().count(), 2);
        let before = files.wanted();
        assert_eq!(commit(&mut files, before).unwrap().len(), 2);
        assert_eq!(read(folder.path(), "users.conf"), "admin::\nbob:x:\n");
        assert_eq!(read(folder.path(), "groups.conf"), "g:new\n", "a file that was missing is made");
        assert!(files.begin().is_none(), "nothing is left to write");
    }

    #[test]
    fn a_json_stands_for_all_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tibemsd.json");
        std::fs::write(&path, "{\"queues\": [{\"name\": \">\"}], \"users\": []}").unwrap();
        let mut files = Files::read(vec![path.clone()]);
        change(&mut files, false, |draft| draft.put(Which::Queues, "a", "a maxmsgs=1,secure")).unwrap();
        change(&mut files, false, |draft| draft.put(Which::Users, "bob", "bob:x:")).unwrap();
        assert_eq!(files.properties_of("a"), ["maxmsgs=1", "secure"]);
        let text = read(folder.path(), "tibemsd.json");
        assert!(text.contains("\"bob\"") && !folder.path().join("users.conf").exists(), "{text}");
    }

    #[test]
    fn nothing_changes_when_a_part_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path());
        std::fs::write(folder.path().join("users.conf"), "admin:other:\n").unwrap();
        let error = change(&mut files, false, |draft| {
            draft.put(Which::Queues, "a", "a")?;
            draft.put(Which::Users, "bob", "bob::")
        })
        .unwrap_err();
        assert!(error.contains("users.conf") && error.contains("someone else"), "{error}");
        assert_eq!(read(folder.path(), "queues.conf"), "# all\n>\n");
        assert_eq!(files.unwritten().count(), 0);
        change(&mut files, false, |draft| draft.put(Which::Queues, "a", "a")).expect("other files go on");
    }

    #[test]
    fn a_write_that_fails_midway_tells_which_file_differs_from_what_runs() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path());
        let before = files.wanted();
        let both = |draft: &mut Draft<'_>| {
            draft.put(Which::Users, "bob", "bob::")?;
            draft.put(Which::Queues, "a", "a")
        };
        files.edit(both).unwrap();
        let writes = files.begin().unwrap();
        // Found unchanged, and then not to be written: as on a full disk.
        let blocked = folder.path().join(format!(".queues.conf.new-{}", std::process::id()));
        std::fs::create_dir(&blocked).unwrap();
        let error = files.finished(writes.run(), before).unwrap_err();
        assert!(
            error.contains("queues.conf: cannot be written") && error.contains("users.conf: the new text"),
            "{error}"
        );
        assert_eq!(files.unwritten().count(), 0, "what failed is not tried again by the next commit");
        assert_eq!(read(folder.path(), "users.conf"), "admin::\nbob::\n");
        std::fs::remove_dir(&blocked).unwrap();
        change(&mut files, false, both).expect("the same again mends it");
        assert_eq!(read(folder.path(), "queues.conf"), "# all\n>\na\n");
    }
}
