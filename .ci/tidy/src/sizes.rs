//! How long files and functions may be.
//!
//! Owns the limits. A long file is not wrong by itself, but every project lets its central state machine grow when
//! nobody counts.

use crate::Finding;
use crate::repository::Repository;
use crate::source::{Source, is_word};

/// Production lines of a file.
pub const FILE_LINES_MAX: usize = 1000;

/// Above this a file is listed, so that somebody asks why.
pub const FILE_LINES_NOTED: usize = 500;

/// Lines of a function, signature and closing brace included. Tests too: a test that long tests several things.
pub const FUNCTION_LINES_MAX: usize = 70;

/// Lines of a `main.rs`, which only starts what the library does.
pub const MAIN_LINES_MAX: usize = 150;

/// No file above [`FILE_LINES_MAX`], no `main.rs` above [`MAIN_LINES_MAX`].
pub fn check_files(repository: &Repository) -> Vec<Finding> {
    repository.sources.iter().filter_map(file_too_long).collect()
}

fn file_too_long(source: &Source) -> Option<Finding> {
    let main = source.path.ends_with("/main.rs");
    let limit = if main { MAIN_LINES_MAX } else { FILE_LINES_MAX };
    let lines = source.production_lines();
    let message = format!("{lines} production lines, more than {limit}: give a child its own state, file and tests");
    (lines > limit).then(|| Finding::new(&source.path, 1, message))
}

/// Files above [`FILE_LINES_NOTED`] as (lines, path), longest first. Not a breach.
pub fn noted_files(repository: &Repository) -> Vec<(usize, &str)> {
    let mut files: Vec<_> =
        repository.sources.iter().map(|source| (source.production_lines(), source.path.as_str())).collect();
    files.retain(|(lines, _)| *lines > FILE_LINES_NOTED);
    files.sort_unstable_by(|a, b| b.cmp(a));
    files
}

/// No function above [`FUNCTION_LINES_MAX`].
pub fn check_functions(repository: &Repository) -> Vec<Finding> {
    repository.sources.iter().flat_map(long_functions).collect()
}

fn long_functions(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.code.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let lines = function_end(&source.code, index) - index + 1;
        if lines > FUNCTION_LINES_MAX {
            let message =
                format!("`{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}: name its steps as functions");
            findings.push(Finding::new(&source.path, index + 1, message));
        }
    }
    findings
}

/// The name, where a line begins a function.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let qualifiers = ["pub", "const", "async", "unsafe", "extern", "\"", "default"];
    let is_qualifier = |word: &str| qualifiers.iter().any(|qualifier| word.starts_with(qualifier));
    let starts_item = before.is_empty() || before.ends_with(' ');
    let end = after.find(|character| !is_word(character))?;
    (starts_item && before.split_whitespace().all(is_qualifier) && end > 0).then(|| &after[..end])
}

/// Formatted sources close a function with a brace at the indentation of its first line.
fn function_end(code: &[String], start: usize) -> usize {
    let indentation = indentation_of(&code[start]);
    for (index, line) in code.iter().enumerate().skip(start) {
        let ended = line.trim_end();
        let same = indentation_of(line) == indentation && !ended.is_empty();
        let closes =
            same && (ended.trim_start() == "}" || ended.ends_with(';') || index > start && ended.ends_with("{}"));
        let one_line = index == start && ended.ends_with('}');
        if closes || one_line {
            return index;
        }
    }
    code.len() - 1
}

fn indentation_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(signature: &str, lines: usize) -> String {
        format!("impl A {{\n    {signature} {{\n{}    }}\n}}\n", "        work();\n".repeat(lines - 2))
    }

    fn long(text: &str) -> Vec<usize> {
        long_functions(&Source::new("a.rs", text, false)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_long_function_is_found() {
        assert_eq!(long(&function("fn a(&self)", FUNCTION_LINES_MAX)), [] as [usize; 0]);
        assert_eq!(long(&function("fn a(&self)", FUNCTION_LINES_MAX + 1)), [2]);
        assert_eq!(long(&function("pub(crate) const unsafe fn a<T>(&self)", FUNCTION_LINES_MAX + 1)), [2]);
    }

    #[test]
    fn each_function_is_counted_alone() {
        let two = function("fn a(&self)", 40) + &function("async fn b(\n        &self,\n    ) -> u8", 40);
        assert_eq!(long(&two), [] as [usize; 0]);
        let short =
            "fn a() {}\nfn b() -> u8 { 1 }\ntrait T {\n    fn c(&self);\n}\n".to_string() + &"// a\n".repeat(100);
        assert_eq!(long(&short), [] as [usize; 0]);
    }

    #[test]
    fn braces_in_literals_do_not_end_a_function() {
        let text = function("fn a(&self)", FUNCTION_LINES_MAX + 1).replacen("work();", "r#\"\n    }\n\"#;", 1);
        assert_eq!(long(&text), [2]);
    }

    #[test]
    fn a_long_file_is_found() {
        let file =
            |path: &str, lines: usize| file_too_long(&Source::new(path, &"a();\n".repeat(lines), false)).is_some();
        assert!(!file("src/a.rs", FILE_LINES_MAX));
        assert!(file("src/a.rs", FILE_LINES_MAX + 1));
        assert!(file("src/main.rs", MAIN_LINES_MAX + 1));
        let tests = "#[cfg(test)]\nmod tests {\n".to_string() + &"a();\n".repeat(2000) + "}\n";
        assert!(file_too_long(&Source::new("src/a.rs", &tests, false)).is_none());
    }
}
