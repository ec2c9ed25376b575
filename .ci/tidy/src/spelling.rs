//! What each file must or must not contain: a head that says what it owns, no leftovers, ASCII only.

use crate::Finding;
use crate::repository::Repository;
use crate::source::Source;

/// Leftovers, split here so that this file does not contain them.
const LEFTOVERS: [(&str, &str, &str); 6] = [
    ("to", "do!(", "write it"),
    ("unimple", "mented!(", "write it"),
    ("db", "g!(", "remove it"),
    ("FIX", "ME", "mend it, or say what is not done and why"),
    ("XX", "X", "mend it, or say what is not done and why"),
    ("TO", "DO", "do it, or say what is not done and why"),
];

/// Each Rust file opens with `//!`.
pub fn check_heads(repository: &Repository) -> Vec<Finding> {
    repository.sources.iter().filter_map(without_head).collect()
}

fn without_head(source: &Source) -> Option<Finding> {
    let has_head = source.lines.first().is_some_and(|line| line.starts_with("//! "));
    (!has_head)
        .then(|| Finding::new(&source.path, 1, "open with `//!` lines: what this file owns and what it does not do"))
}

/// No leftovers in code or comments.
pub fn check_leftovers(repository: &Repository) -> Vec<Finding> {
    repository.sources.iter().flat_map(leftovers).collect()
}

fn leftovers(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, (code, comment)) in source.code.iter().zip(&source.comments).enumerate() {
        for (first, second, remedy) in LEFTOVERS {
            let word = format!("{first}{second}");
            if [code, comment].into_iter().any(|text| contains_word_start(text, &word)) {
                findings.push(Finding::new(&source.path, index + 1, format!("`{word}`: {remedy}")));
            }
        }
    }
    findings
}

fn contains_word_start(text: &str, word: &str) -> bool {
    let inside = |at: usize| text[..at].chars().next_back().is_some_and(crate::source::is_word);
    let goes_on = |at: usize| text[at + word.len()..].chars().next().is_some_and(|next| next.is_alphanumeric());
    text.match_indices(word).any(|(at, _)| !inside(at) && (word.ends_with('(') || !goes_on(at)))
}

/// ASCII only, in sources and in what people edit.
pub fn check_ascii(repository: &Repository) -> Vec<Finding> {
    let sources = repository
        .sources
        .iter()
        .flat_map(|source| beyond_ascii(&source.path, source.lines.iter().map(String::as_str)));
    let texts = repository.texts.iter().flat_map(|(path, text)| beyond_ascii(path, text.lines()));
    sources.chain(texts).collect()
}

fn beyond_ascii<'a>(path: &str, lines: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in lines.enumerate() {
        if let Some(character) = line.chars().find(|character| !character.is_ascii()) {
            let message = format!("U+{:04X} is not ASCII: write \\u{{...}} or another word", character as u32);
            findings.push(Finding::new(path, index + 1, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("a/src/lib.rs", text, false)
    }

    #[test]
    fn a_file_without_a_head_is_found() {
        assert!(without_head(&source("use std::mem;\n")).is_some());
        assert!(without_head(&source("//! Owns a.\n")).is_none());
    }

    #[test]
    fn leftovers_are_found() {
        for (first, second, _) in LEFTOVERS {
            let end = if second.ends_with('(') { ")" } else { "" };
            let text = format!("a();\n{first}{second}{end};\n");
            assert_eq!(leftovers(&source(&text)).len(), 1, "{text}");
            let comment = format!("// {first}{second}{end}: later\n");
            assert_eq!(leftovers(&source(&comment)).len(), 1, "{comment}");
        }
        assert!(leftovers(&source("let a = \"XXXX\"; auto_do!();\n")).is_empty());
    }

    #[test]
    fn other_characters_are_found() {
        assert_eq!(beyond_ascii("a", ["plain", "caf\u{e9}"].into_iter()).len(), 1);
    }
}
