//! Where the configuration is written: in tibemsd.conf and the files that it names, or in the lists of one
//! tibemsd.json. Both give the same settings, entries and lines.

use super::entry::{self, Entry, Property};
use super::family::{BRIDGES, SideFile};
use super::findings::{Findings, Spot, Weight};
use super::json::{self, Document};
use super::model::Role;
use super::written::{Settings, lines, read};
use std::path::{Path, PathBuf};

/// A configuration as written.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// The parameters; the other files are read when they are asked for.
    Conf(Vec<Property>),
    Json(Document),
}

/// The lines of a file whose lines are not entries.
#[derive(Debug, Default)]
pub(super) struct Text {
    path: PathBuf,
    text: String,
    /// Where the lines came from, if from a JSON file.
    spots: Vec<Spot>,
}

impl Text {
    /// What `parse` makes of the path and the lines.
    pub(super) fn parse<T>(&self, findings: &mut Findings, parse: impl FnOnce(&Path, &str, &mut Findings) -> T) -> T {
        let mark = findings.mark();
        let parsed = parse(&self.path, &self.text, findings);
        findings.relocate(mark, &self.spots);
        parsed
    }
}

/// Whether that is the name of a JSON configuration.
pub(super) fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

impl Source {
    /// Reads the main file. `None`: nothing can be made of it.
    pub(super) fn open(path: &Path, role: Role, findings: &mut Findings) -> Option<Self> {
        let form = if is_json(path) {
            if !path.exists() {
                let remedy = "correct the path, mount the folder, or make one: broker-admin convert --from tibemsd.conf \
                              --to tibemsd.json; none is made by itself";
                findings.error(&Spot::new(path, 0), "", "does not exist", remedy);
                return None;
            }
            let text = read(path, "", Weight::Error, findings)?;
            Form::Json(Document::read(path, &text, role, findings)?)
        } else {
            if role == Role::Secondary {
                let remedy = "start each server of the pair with its own tibemsd.conf, or both with one tibemsd.json";
                findings.error(&Spot::new(path, 0), "--secondary", "is for a tibemsd.json", remedy);
            }
            let text = read(path, "", Weight::Error, findings)?;
            let lines = lines(path, &text, findings);
            Form::Conf(entry::assignments(lines, findings))
        };
        Some(Source { path: path.to_owned(), form })
    }

    /// The main file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The parameters, in the order in which they are written.
    pub(super) fn server(&self) -> &[Property] {
        match &self.form {
            Form::Conf(properties) => properties,
            Form::Json(document) => &document.server,
        }
    }

    /// Where the file stands that a parameter names, or its list.
    pub(super) fn spot(&self, name: &str, settings: &Settings) -> Spot {
        match &self.form {
            Form::Conf(_) => Spot::new(&self.resolve(name, settings), 0),
            Form::Json(document) => document
                .spot(name)
                .cloned()
                .unwrap_or_else(|| Spot::in_json(&self.path, 0, json::list_name(name).to_owned())),
        }
    }

    /// A path that a parameter names, relative to the folder of the main file.
    pub(super) fn resolve(&self, name: &str, settings: &Settings) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(settings.text(name))
    }

    /// The entries of a file; `None` where it is missing.
    pub(super) fn entries(&self, file: &SideFile, settings: &Settings, findings: &mut Findings) -> Option<Vec<Entry>> {
        match &self.form {
            Form::Conf(_) => {
                let (path, text) = self.side_file(file.name, settings, findings)?;
                let lines = lines(&path, &text, findings);
                Some(entry::entries(file.syntax, lines, findings))
            }
            Form::Json(document) => document.entries(file, findings),
        }
    }

    /// The sections of bridges.conf.
    pub(super) fn bridges(&self, settings: &Settings, findings: &mut Findings) -> Option<Vec<Entry>> {
        match &self.form {
            Form::Conf(_) => {
                let (path, text) = self.side_file(BRIDGES, settings, findings)?;
                let lines = lines(&path, &text, findings);
                Some(entry::entries(entry::Syntax::Sections, lines, findings))
            }
            Form::Json(document) => document.bridges(findings),
        }
    }

    /// A file whose lines are not entries: users, groups or permissions.
    pub(super) fn text(&self, name: &str, settings: &Settings, findings: &mut Findings) -> Option<Text> {
        match &self.form {
            Form::Conf(_) => {
                let (path, text) = self.side_file(name, settings, findings)?;
                Some(Text { path, text, spots: Vec::new() })
            }
            Form::Json(document) => {
                let (spots, lines): (Vec<Spot>, Vec<String>) = document.lines(name, findings)?.into_iter().unzip();
                Some(Text { path: self.path.clone(), text: lines.join("\n"), spots })
            }
        }
    }

    /// Another configuration file. One that was not named may be missing.
    fn side_file(&self, name: &str, settings: &Settings, findings: &mut Findings) -> Option<(PathBuf, String)> {
        let path = self.resolve(name, settings);
        if !settings.is_set(name) && !path.exists() {
            return None;
        }
        let text = read(&path, name, Weight::MissingFile, findings)?;
        Some((path, text))
    }
}
