//! Documents that must agree with the tree: links, the map of the code, the set-up of each result.

use crate::Finding;
use crate::repository::Repository;
use std::collections::BTreeSet;

/// Documents whose links are followed.
const LINKED: [&str; 2] = ["README.md", "docs/"];

const MAP: &str = "docs/ARCHITECTURE.md";

/// The map is at most two pages.
const MAP_LINES_MAX: usize = 150;

/// Files that every repository of this kind has.
const EXPECTED: [&str; 8] = [
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "docs/ARCHITECTURE.md",
    "docs/FORMATS.md",
    "docs/STYLE.md",
    "results/README.md",
    ".ci/run",
];

/// Every relative link of README and docs leads to a file of the repository.
pub fn check_links(repository: &Repository) -> Vec<Finding> {
    let documents = repository.texts.iter().filter(|(path, _)| LINKED.iter().any(|start| path.starts_with(start)));
    documents
        .filter(|(path, _)| path.ends_with(".md"))
        .flat_map(|(path, text)| dead_links(path, text, &repository.paths))
        .collect()
}

fn dead_links(path: &str, text: &str, paths: &BTreeSet<String>) -> Vec<Finding> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for target in link_targets(line) {
            let file = target.split('#').next().unwrap_or("");
            let outside = target.contains("://") || target.starts_with("mailto:") || file.is_empty();
            if !outside && !paths.contains(&resolve(folder, file)) {
                findings.push(Finding::new(
                    path,
                    index + 1,
                    format!("the link `{target}` leads nowhere: mend or remove it"),
                ));
            }
        }
    }
    findings
}

/// What stands in `[text](target)` and `src="target"`.
fn link_targets(line: &str) -> Vec<&str> {
    let until = |rest: &'_ str, close: char| rest.find(close);
    let mut targets = Vec::new();
    for (open, close) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
        let starts = line.match_indices(open).map(|(at, _)| at + open.len());
        targets
            .extend(starts.filter_map(|start| until(&line[start..], close).map(|length| &line[start..start + length])));
    }
    targets
}

/// `..` and `.` taken out of `folder/file`.
fn resolve(folder: &str, file: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}

/// The map names every package's folder, and every path that it names exists.
pub fn check_map(repository: &Repository) -> Vec<Finding> {
    let Some(map) = repository.text(MAP) else {
        return vec![Finding::new(MAP, 1, "missing: it is the reader's entry")];
    };
    let manifests = repository.paths.iter().filter_map(|path| path.strip_suffix("/Cargo.toml"));
    let mut findings = missing_folders(map, manifests);
    findings.extend(dead_paths(map, &repository.paths));
    let lines = map.lines().count();
    if lines > MAP_LINES_MAX {
        findings.push(Finding::new(
            MAP,
            1,
            format!("{lines} lines, more than {MAP_LINES_MAX}: a map is two pages at most"),
        ));
    }
    findings
}

fn missing_folders<'a>(map: &str, folders: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    let named = |folder: &str| map.contains(&format!("`{folder}`")) || map.contains(&format!("`{folder}/`"));
    let missing = folders.filter(|folder| !named(folder));
    missing
        .map(|folder| Finding::new(MAP, 1, format!("does not name the package `{folder}`: add it to the code map")))
        .collect()
}

fn dead_paths(map: &str, paths: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in map.lines().enumerate() {
        let dead = line.split('`').skip(1).step_by(2).filter(|word| is_path(word));
        for word in dead.filter(|word| !exists(word, paths)) {
            findings.push(Finding::new(MAP, index + 1, format!("`{word}` does not exist: mend the map")));
        }
    }
    findings
}

/// A bare file name may stand for that file wherever it is.
fn exists(word: &str, paths: &BTreeSet<String>) -> bool {
    let bare = format!("/{word}");
    paths.contains(word.trim_end_matches('/')) || !word.contains('/') && paths.iter().any(|path| path.ends_with(&bare))
}

/// A quoted word that means a path: with a slash, or the ending of a source or document.
fn is_path(word: &str) -> bool {
    let plain = word.chars().all(|character| character.is_ascii_alphanumeric() || "._-/".contains(character));
    plain && (word.contains('/') || word.ends_with(".rs") || word.ends_with(".md"))
}

/// The files that everybody looks for exist.
pub fn check_expected(repository: &Repository) -> Vec<Finding> {
    let missing = EXPECTED.iter().filter(|path| !repository.paths.contains(**path));
    missing.map(|path| Finding::new(path, 1, "missing: everybody looks for it here")).collect()
}

/// Each folder of results is called by date, machine and subject, and has a SETUP.md that says how it was made.
pub fn check_results(paths: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let inside = paths.iter().filter_map(|path| path.strip_prefix("results/")?.split_once('/'));
    let folders: BTreeSet<&str> = inside.map(|(folder, _)| folder).collect();
    for folder in folders {
        let path = format!("results/{folder}");
        if !paths.contains(&format!("{path}/SETUP.md")) {
            findings.push(Finding::new(
                &path,
                1,
                "no SETUP.md: say on which machine, from which commit and by which command",
            ));
        }
        if !is_dated(folder) {
            findings.push(Finding::new(&path, 1, "call it YYYY-MM-DD-machine-what"));
        }
    }
    findings
}

fn is_dated(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let number = |index: usize, digits: usize| {
        parts.get(index).is_some_and(|part| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    parts.len() >= 5 && number(0, 4) && number(1, 2) && number(2, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|path| path.to_string()).collect()
    }

    #[test]
    fn dead_links_are_found() {
        let tree = paths(&["README.md", "docs/STYLE.md", "results/a/b.svg"]);
        let text = "[a](docs/STYLE.md#names) ![b](results/a/b.svg) [c](https://example.org/)\n[d](docs/GONE.md)\n";
        assert_eq!(dead_links("README.md", text, &tree).len(), 1);
        assert_eq!(dead_links("docs/STYLE.md", "[a](../README.md) [b](STYLE.md) [c](README.md)", &tree).len(), 1);
        assert_eq!(dead_links("README.md", "<img src=\"results/a/c.svg\">", &tree).len(), 1);
    }

    #[test]
    fn a_map_that_drifted_is_found() {
        let tree = paths(&["broker/amqp", "broker/amqp/src/lib.rs"]);
        assert_eq!(dead_paths("`broker/amqp/` `broker/amqp/src/lib.rs` `lib.rs` `a::b` `SIGKILL`", &tree).len(), 0);
        assert_eq!(dead_paths("`broker/gone` and `gone.rs`", &tree).len(), 2);
        assert_eq!(missing_folders("`broker/amqp/`", ["broker/amqp", "loadgen"].into_iter()).len(), 1);
    }

    #[test]
    fn a_result_without_its_setup_is_found() {
        assert_eq!(check_results(&paths(&["results/README.md"])), []);
        assert_eq!(check_results(&paths(&["results/2026-01-31-desk-pair/report.html"])).len(), 1);
        assert_eq!(check_results(&paths(&["results/2026-01-31-desk-pair/SETUP.md"])), []);
        assert_eq!(check_results(&paths(&["results/best/SETUP.md"])).len(), 1);
    }
}
