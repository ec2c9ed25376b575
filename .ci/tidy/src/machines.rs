//! State machines: a diagram above the enum, `can_become`, and a test that walks the edges.

use crate::Finding;
use crate::repository::Repository;
use crate::source::{Source, has_word};

/// Every enum with `can_become` is drawn, and tested in its package; every enum called `State` has `can_become`.
pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in repository.sources.iter().filter(|source| !source.path.starts_with(".ci/")) {
        findings.extend(check_drawings(source));
        let machine = source.production().any(|(_, code)| code.contains("fn can_become"));
        if machine && !is_walked(repository, package_of(&source.path)) {
            findings.push(Finding::new(&source.path, 1, "no test of this package calls `can_become`: walk every edge"));
        }
    }
    findings
}

fn package_of(path: &str) -> &str {
    path.split_once("/src/").map_or(path, |(package, _)| package)
}

fn is_walked(repository: &Repository, package: &str) -> bool {
    let folder = format!("{package}/");
    repository.sources_in(&folder).any(|source| {
        let lines = source.code.iter().zip(&source.test);
        lines.into_iter().any(|(code, test)| *test && code.contains("can_become"))
    })
}

fn check_drawings(source: &Source) -> Vec<Finding> {
    let machines = machines(source);
    let mut findings = Vec::new();
    for (line, code) in source.production() {
        let Some(name) = enum_name(code) else { continue };
        let is_machine = machines.contains(&name);
        if name == "State" && !is_machine {
            findings.push(Finding::new(
                &source.path,
                line,
                "`State` without `can_become(next)`: say which changes are allowed",
            ));
        } else if is_machine && !is_drawn(source, line - 1) {
            let message =
                format!("no diagram above `{name}`: draw the states and the arrows between them in its comment");
            findings.push(Finding::new(&source.path, line, message));
        }
    }
    findings
}

fn enum_name(code: &str) -> Option<&str> {
    let (before, after) = code.split_once("enum ")?;
    let starts = before.trim().is_empty() || before.trim().starts_with("pub");
    let name = after.split(|character: char| !character.is_alphanumeric()).next()?;
    starts.then_some(name)
}

/// The types whose `impl` block holds `can_become`.
fn machines(source: &Source) -> Vec<&str> {
    let mut found = Vec::new();
    let mut current = None;
    for (_, code) in source.production() {
        if let Some(head) = code.strip_prefix("impl ") {
            current = head.split(|character: char| !character.is_alphanumeric()).next();
        }
        if has_word(code, "can_become") && code.contains("fn ") {
            found.extend(current);
        }
    }
    found
}

/// A drawing has arrows and takes at least three lines of the comment above the enum (or of the head of its file).
fn is_drawn(source: &Source, index: usize) -> bool {
    let above = (0..index).rev().take_while(|&line| {
        let attribute = source.code[line].trim().starts_with("#[");
        attribute || !source.comments[line].is_empty() && source.code[line].trim().is_empty()
    });
    let head = (0..source.lines.len()).take_while(|&line| source.lines[line].starts_with("//!"));
    let arrows = |line: &usize| {
        let comment = &source.comments[*line];
        ["->", "<-", "--", "|", "v ", "^"].iter().any(|arrow| comment.contains(arrow))
    };
    above.filter(arrows).count() >= 3 || head.filter(arrows).count() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "enum Door { Open, Shut }\nimpl Door {\n    fn can_become(self, next: Door) -> bool {}\n}\n";

    fn lines(text: &str) -> Vec<usize> {
        check_drawings(&Source::new("a/src/door.rs", text, false)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn an_undrawn_machine_is_found() {
        assert_eq!(lines(MACHINE), [1]);
        assert_eq!(lines(&format!("/// A door.\n{MACHINE}")), [2]);
    }

    #[test]
    fn a_drawn_machine_passes() {
        let drawing = "/// ```text\n/// Open --> Shut\n///   ^       |\n///   +-------+\n/// ```\n#[derive(Debug)]\n";
        assert_eq!(lines(&format!("{drawing}{MACHINE}")), [] as [usize; 0]);
    }

    #[test]
    fn a_state_without_edges_is_found() {
        assert_eq!(lines("pub enum State { Open }\n"), [1]);
        assert_eq!(lines("pub enum DeliveryState { Accepted }\n"), [] as [usize; 0]);
    }
}
