//! Where `unsafe` may stand and what must stand beside it.

use crate::Finding;
use crate::repository::Repository;
use crate::source::{Source, has_word};

/// The one crate with `unsafe`.
const ALLOWED: &str = "broker/reactor/src/";

/// `unsafe` only in the reactor, each with its SAFETY line; every other library forbids it in so many words.
pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings: Vec<Finding> = repository.sources.iter().flat_map(check_file).collect();
    let roots = repository.sources.iter().filter(|source| is_crate_root(&source.path));
    findings.extend(roots.filter_map(without_forbid));
    findings
}

fn is_crate_root(path: &str) -> bool {
    !path.starts_with(ALLOWED) && (path.ends_with("src/lib.rs") || path.ends_with("src/main.rs"))
}

fn without_forbid(source: &Source) -> Option<Finding> {
    let forbids = source.code.iter().any(|code| code.trim() == "#![forbid(unsafe_code)]");
    (!forbids).then(|| Finding::new(&source.path, 1, "add `#![forbid(unsafe_code)]`: only the reactor has `unsafe`"))
}

fn check_file(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, code) in source.code.iter().enumerate() {
        if !has_word(code, "unsafe") {
            continue;
        }
        if !source.path.starts_with(ALLOWED) {
            findings.push(Finding::new(
                &source.path,
                index + 1,
                "`unsafe` outside the reactor: give the reactor a safe function",
            ));
        } else if !is_explained(source, index) {
            let message = "`unsafe` without a `// SAFETY:` line (or `# Safety` section) above: say why it holds";
            findings.push(Finding::new(&source.path, index + 1, message));
        }
    }
    findings
}

/// Looks at the line itself, then upwards over the lines of the same statement to the comment above it.
fn is_explained(source: &Source, index: usize) -> bool {
    let says = |line: usize| source.comments[line].contains("SAFETY:") || source.comments[line].contains("# Safety");
    if says(index) {
        return true;
    }
    for above in (0..index).rev() {
        let code = source.code[above].trim();
        if says(above) {
            return true;
        }
        let ends_another = code.ends_with([';', '}', ',']) || code.ends_with('{') && !code.contains("=");
        let blank = source.lines[above].trim().is_empty();
        if blank || ends_another {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check_file(&Source::new(path, text, false)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn unsafe_elsewhere_is_found() {
        assert_eq!(lines("broker/store/src/lane.rs", "// SAFETY: no\nunsafe { a() }"), [2]);
        assert_eq!(
            lines("broker/store/src/lane.rs", "// unsafe\nlet a = \"unsafe\"; #![forbid(unsafe_code)]"),
            [] as [usize; 0]
        );
    }

    #[test]
    fn unsafe_without_a_reason_is_found() {
        let ring = "broker/reactor/src/ring.rs";
        assert_eq!(lines(ring, "let a = 1;\nlet b = unsafe { c() };"), [2]);
        assert_eq!(lines(ring, "// SAFETY: c outlives b\nlet b = unsafe { c() };"), [] as [usize; 0]);
        assert_eq!(
            lines(ring, "// SAFETY: c outlives b,\n// for it is static.\nlet b =\n    unsafe { c() };"),
            [] as [usize; 0]
        );
        assert_eq!(lines(ring, "// SAFETY: c\nlet b = unsafe { c() };\nlet d = unsafe { c() };"), [3]);
        assert_eq!(lines(ring, "/// # Safety\n/// as a\n#[inline]\nunsafe fn a() {}"), [] as [usize; 0]);
    }

    #[test]
    fn a_crate_that_does_not_forbid_it_is_found() {
        assert!(without_forbid(&Source::new("a/src/lib.rs", "//! A.\n", false)).is_some());
        assert!(without_forbid(&Source::new("a/src/lib.rs", "//! A.\n#![forbid(unsafe_code)]\n", false)).is_none());
    }
}
