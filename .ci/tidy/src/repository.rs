//! The files of the repository, read once for all rules.
//!
//! Owns which files there are and which Rust files are tests. Judges nothing.

use crate::source::Source;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the rules look at.
#[derive(Debug)]
pub struct Repository {
    /// Where it was read from.
    pub root: PathBuf,
    /// All Rust files, sorted by path.
    pub sources: Vec<Source>,
    /// All other text files as (path, text), sorted by path; those under `results` left out, since runs are never edited.
    pub texts: Vec<(String, String)>,
    /// All paths, files and folders.
    pub paths: BTreeSet<String>,
}

/// Folders that are not ours to judge: build outputs and version control.
const SKIPPED: [&str; 5] = [".git", "target", "node_modules", "chaos-out", "corpus"];

/// Text files that the rules read beside Rust.
const TEXT_ENDINGS: [&str; 8] = [".md", ".toml", ".conf", ".sh", ".py", ".js", ".mjs", "/run"];

impl Repository {
    /// Reads the repository that this package lies in.
    pub fn own() -> io::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        Self::read(&root.canonicalize()?)
    }

    /// Reads the repository at `root`.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut paths = BTreeSet::new();
        walk(root, "", &mut paths)?;
        let rust: Vec<(&String, String)> = read_all(root, paths.iter().filter(|path| path.ends_with(".rs")))?;
        let tests = test_files(&rust);
        let sources = rust.iter().map(|(path, text)| Source::new(path, text, tests.contains(*path))).collect();
        let is_text =
            |path: &&String| !path.starts_with("results/") && TEXT_ENDINGS.iter().any(|ending| path.ends_with(ending));
        let texts = read_all(root, paths.iter().filter(is_text))?;
        let texts = texts.into_iter().map(|(path, text)| (path.clone(), text)).collect();
        Ok(Repository { root: root.to_path_buf(), sources, texts, paths })
    }

    /// The text of a file that is not Rust.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.iter().find(|(other, _)| other == path).map(|(_, text)| text.as_str())
    }

    /// The Rust files below `folder`.
    pub fn sources_in<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a Source> {
        self.sources.iter().filter(move |source| source.path.starts_with(folder))
    }
}

fn walk(root: &Path, folder: &str, paths: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if entry.file_type()?.is_dir() {
            walk(root, &path, paths)?;
        }
        paths.insert(path);
    }
    Ok(())
}

fn read_all<'a>(root: &Path, paths: impl Iterator<Item = &'a String>) -> io::Result<Vec<(&'a String, String)>> {
    let is_file = |path: &&String| root.join(path).is_file();
    paths.filter(is_file).map(|path| Ok((path, fs::read_to_string(root.join(path))?))).collect()
}

/// Test files: by place, by name, or because their parent declares them under `#[cfg(test)]`.
fn test_files(rust: &[(&String, String)]) -> BTreeSet<String> {
    let mut tests: BTreeSet<String> = BTreeSet::new();
    for (path, text) in rust {
        if is_test_by_place(path) {
            tests.insert((*path).clone());
            continue;
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let own = match path.rsplit('/').next() {
            Some("mod.rs" | "lib.rs" | "main.rs") => folder.to_string(),
            _ => path.trim_end_matches(".rs").to_string(),
        };
        for module in Source::new(path, text, false).test_modules() {
            match module.strip_suffix(".rs") {
                Some(_) => tests.extend([format!("{folder}/{module}")]),
                None => tests.extend([format!("{own}/{module}.rs"), format!("{own}/{module}/mod.rs")]),
            }
        }
    }
    let folders: Vec<String> =
        tests.iter().map(|path| path.trim_end_matches("/mod.rs").trim_end_matches(".rs").to_string() + "/").collect();
    let below = rust.iter().filter(|(path, _)| folders.iter().any(|folder| path.starts_with(folder.as_str())));
    let below: Vec<String> = below.map(|(path, _)| (*path).clone()).collect();
    tests.extend(below);
    tests
}

/// The package `benches` shares its name with the folder that cargo looks for in each package.
fn is_test_by_place(path: &str) -> bool {
    let path = path.strip_prefix("benches/").unwrap_or(path);
    let folder = |part| matches!(part, "tests" | "benches" | "examples" | "fuzz");
    path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.split('/').any(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> BTreeSet<String> {
        let owned: Vec<(String, String)> =
            list.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect();
        let rust: Vec<(&String, String)> = owned.iter().map(|(path, text)| (path, text.clone())).collect();
        test_files(&rust)
    }

    #[test]
    fn tests_are_known_by_place_and_by_declaration() {
        let found = files(&[
            ("store/src/lib.rs", "mod lane;\n#[cfg(test)]\nmod model;\n"),
            ("store/src/lane.rs", "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod bugs;\n"),
            ("store/src/lane/tests.rs", ""),
            ("store/src/lane/bugs.rs", ""),
            ("store/src/model.rs", "mod steps;"),
            ("store/src/model/steps.rs", ""),
            ("store/tests/whole.rs", ""),
            ("benches/src/lib.rs", ""),
            ("benches/benches/codec.rs", ""),
        ]);
        let found: Vec<&str> = found.iter().map(String::as_str).filter(|path| !path.ends_with("mod.rs")).collect();
        assert_eq!(
            found,
            [
                "benches/benches/codec.rs",
                "store/src/lane/bugs.rs",
                "store/src/lane/tests.rs",
                "store/src/model.rs",
                "store/src/model/steps.rs",
                "store/tests/whole.rs"
            ]
        );
    }

    #[test]
    fn reads_itself() {
        let repository = Repository::own().expect("the repository is readable");
        assert!(repository.sources.iter().any(|source| source.path == ".ci/tidy/src/repository.rs"));
        assert!(repository.text("Cargo.toml").is_some());
        assert!(!repository.paths.iter().any(|path| path.starts_with("target/")));
    }
}
