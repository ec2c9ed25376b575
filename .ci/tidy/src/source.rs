//! One Rust file, taken apart as far as the rules need.
//!
//! Owns the separation of code from comments and literals, and of production lines from tests. Does not parse Rust:
//! the sources are formatted by rustfmt, so lines and indentation tell the rest.

/// A Rust file by lines.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path relative to the root of the repository.
    pub path: String,
    /// The lines as they stand.
    pub lines: Vec<String>,
    /// The lines without comments and with the contents of literals blanked; as many as `lines`.
    pub code: Vec<String>,
    /// The comments of each line, markers included; as many as `lines`.
    pub comments: Vec<String>,
    /// Whether each line belongs to a test; as many as `lines`.
    pub test: Vec<bool>,
}

impl Source {
    /// Takes `text` apart. `test` marks the whole file as a test.
    pub fn new(path: &str, text: &str, test: bool) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_string).collect();
        let (code, comments) = separate(text);
        let code = fit(&code, lines.len());
        let comments = fit(&comments, lines.len());
        let test = if test { vec![true; lines.len()] } else { test_lines(&code) };
        Source { path: path.to_string(), lines, code, comments, test }
    }

    /// The lines of code that are not tests, with their numbers from 1.
    pub fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.code.iter().zip(&self.test).enumerate();
        numbered.filter(|(_, (_, test))| !**test).map(|(index, (code, _))| (index + 1, code.as_str()))
    }

    /// How many lines are not tests.
    pub fn production_lines(&self) -> usize {
        self.test.iter().filter(|test| !**test).count()
    }

    /// Names of the modules that `#[cfg(test)] mod name;` declares here, or the file that a `#[path]` names.
    pub fn test_modules(&self) -> Vec<String> {
        let mut modules = Vec::new();
        for (index, code) in self.code.iter().enumerate() {
            if let Some(name) = declared_module(code)
                && self.test[index]
            {
                let path = index.checked_sub(1).and_then(|above| path_attribute(&self.lines[above]));
                modules.push(path.unwrap_or(name));
            }
        }
        modules
    }
}

/// `mod name;`, with or without visibility.
fn declared_module(code: &str) -> Option<String> {
    let declaration = code.trim().strip_suffix(';')?;
    let name = declaration.strip_prefix("mod ").or_else(|| declaration.split_once(" mod ").map(|(_, name)| name))?;
    Some(name.trim().to_string())
}

fn path_attribute(line: &str) -> Option<String> {
    line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]").map(str::to_string)
}

fn fit(text: &str, count: usize) -> Vec<String> {
    let mut lines: Vec<String> = text.split('\n').map(str::to_string).collect();
    lines.resize(count, String::new());
    lines
}

/// Marks each item under `#[cfg(test)]`, from the attribute to the end of the item.
fn test_lines(code: &[String]) -> Vec<bool> {
    let mut test = vec![false; code.len()];
    let mut index = 0;
    while index < code.len() {
        if code[index].trim().starts_with("#[cfg(test)]") {
            let end = item_end(code, index);
            test[index..=end].fill(true);
            index = end;
        }
        index += 1;
    }
    test
}

/// The line on which the item that starts at `start` ends: at its `;`, or where its braces close.
fn item_end(code: &[String], start: usize) -> usize {
    let mut depth = 0i32;
    for (index, line) in code.iter().enumerate().skip(start) {
        for character in line.chars() {
            match character {
                '{' | '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                '}' if depth == 1 => return index,
                '}' => depth -= 1,
                ';' if depth == 0 => return index,
                _ => {}
            }
        }
    }
    code.len() - 1
}

/// Splits a text into code and comments. Both keep the line breaks, so that line numbers hold.
fn separate(text: &str) -> (String, String) {
    let characters: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while at < characters.len() {
        let end = token_end(&characters, at);
        let token = &characters[at..end.0];
        for &character in token {
            let (to_code, to_comments) = match (character, end.1) {
                ('\n', _) => (Some('\n'), Some('\n')),
                (other, Token::Code) => (Some(other), None),
                (other, Token::Comment) => (None, Some(other)),
                ('"' | '\'', Token::Literal) => (Some(character), None),
                (_, Token::Literal) => (Some(' '), None),
            };
            code.extend(to_code);
            comments.extend(to_comments);
        }
        at = end.0;
    }
    (code, comments)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Code,
    Comment,
    Literal,
}

/// The end of the token at `at`, and its kind. Code comes one character at a time.
fn token_end(characters: &[char], at: usize) -> (usize, Token) {
    let next = characters.get(at + 1).copied();
    match (characters[at], next) {
        ('/', Some('/')) => (line_end(characters, at), Token::Comment),
        ('/', Some('*')) => (block_comment_end(characters, at), Token::Comment),
        ('"', _) => (string_end(characters, at), Token::Literal),
        ('\'', _) => match character_end(characters, at) {
            Some(end) => (end, Token::Literal),
            None => (at + 1, Token::Code),
        },
        ('r', Some('"' | '#')) => match raw_string_end(characters, at) {
            Some(end) => (end, Token::Literal),
            None => (at + 1, Token::Code),
        },
        _ => (at + 1, Token::Code),
    }
}

fn line_end(characters: &[char], at: usize) -> usize {
    characters[at..].iter().position(|&character| character == '\n').map_or(characters.len(), |length| at + length)
}

/// Block comments nest.
fn block_comment_end(characters: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at + 1 < characters.len() {
        match (characters[at], characters[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    characters.len()
}

fn string_end(characters: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < characters.len() {
        match characters[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    characters.len()
}

/// A character literal, or none: then the quote opens a lifetime.
fn character_end(characters: &[char], start: usize) -> Option<usize> {
    match (characters.get(start + 1)?, characters.get(start + 2)?) {
        ('\\', _) => {
            let close = characters[start + 3..].iter().position(|&character| character == '\'')?;
            Some(start + 3 + close + 1)
        }
        (_, '\'') => Some(start + 3),
        _ => None,
    }
}

/// `r"..."`, `r#"..."#`; none for a raw identifier or the end of another word.
fn raw_string_end(characters: &[char], start: usize) -> Option<usize> {
    let before = start.checked_sub(1).map(|index| characters[index]);
    let inside_word = before.is_some_and(|character| is_word(character) && !matches!(character, 'b' | 'c'));
    let hashes = characters[start + 1..].iter().take_while(|&&character| character == '#').count();
    let open = start + 1 + hashes;
    if inside_word || characters.get(open) != Some(&'"') {
        return None;
    }
    let closes = |at: usize| {
        characters[at] == '"' && characters[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    let close = (open + 1..characters.len()).find(|&at| closes(at));
    Some(close.map_or(characters.len(), |at| at + 1 + hashes))
}

/// Whether a character may stand in an identifier.
pub fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether `code` has `word` as a whole identifier (or path, if `word` holds `::`).
pub fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(is_word);
        let after = code[at + word.len()..].chars().next().is_some_and(is_word);
        !before && !after
    })
}

/// All `use` declarations of the lines, each path in full, with the line of its `use`.
///
/// `use std::{fs, time::Instant};` gives `std::fs` and `std::time::Instant`.
pub fn imports<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, code) in lines {
        let trimmed = code.trim();
        if open.is_none() {
            let declaration =
                trimmed.strip_prefix("use ").or_else(|| trimmed.split_once(" use ").map(|(_, tree)| tree));
            match declaration {
                Some(tree) if trimmed.starts_with("use ") || trimmed.starts_with("pub") => {
                    open = Some((number, tree.to_string()));
                }
                _ => continue,
            }
        } else if let Some((_, tree)) = &mut open {
            tree.push_str(trimmed);
        }
        if trimmed.ends_with(';')
            && let Some((line, tree)) = open.take()
        {
            let mut paths = Vec::new();
            expand("", tree.trim_end_matches(';').trim(), &mut paths);
            found.extend(paths.into_iter().map(|path| (line, path)));
        }
    }
    found
}

/// Writes out the groups of one import tree.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, group)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or(tree).trim();
        let path = format!("{prefix}{name}");
        paths.push(path.trim_start_matches("::").trim_end_matches("::self").to_string());
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start) = (0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, group[start..at].trim(), paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !group[start..].trim().is_empty() {
        expand(&prefix, group[start..].trim(), paths);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_leave_the_code() {
        let source = Source::new(
            "a.rs",
            "let a = \"x // y\"; // why\nlet b = '{'; /* {\n */ let c: &'a str = r#\"\"}\"#;",
            false,
        );
        assert_eq!(source.code[0].trim(), "let a = \"      \";");
        assert_eq!(source.comments[0], "// why");
        assert_eq!(source.code[1].trim_end(), "let b = ' ';");
        assert!(source.code[2].contains("let c: &'a str = "));
        assert!(!source.code[2].contains('}'));
    }

    #[test]
    fn escaped_quotes_do_not_end_a_literal() {
        let source = Source::new("a.rs", "f('\\'', \"\\\"\", b'\"'); unsafe {}", false);
        assert!(source.code[0].contains("unsafe {}"));
    }

    #[test]
    fn test_items_are_not_production() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod model;\nfn d() {}";
        let source = Source::new("a.rs", text, false);
        assert_eq!(source.production().map(|(line, _)| line).collect::<Vec<_>>(), [1, 6, 9]);
        assert_eq!(source.test_modules(), ["model"]);
    }

    #[test]
    fn a_path_attribute_names_the_test_file() {
        let source = Source::new("a.rs", "#[cfg(test)]\n#[path = \"tests/edges.rs\"]\nmod edges;\n", false);
        assert_eq!(source.test_modules(), ["tests/edges.rs"]);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("let x = std::fs::read()", "std::fs"));
        assert!(!has_word("Instantaneous", "Instant"));
        assert!(!has_word("my_rand", "rand"));
    }

    #[test]
    fn import_groups_are_written_out() {
        let lines = [
            "use std::{fs, time::{Duration, Instant as Now}};",
            "pub use a::b;",
            "use c::{",
            "    d,",
            "    self,",
            "};",
        ];
        let paths: Vec<String> = imports(lines.into_iter().enumerate()).into_iter().map(|(_, path)| path).collect();
        assert_eq!(paths, ["std::fs", "std::time::Duration", "std::time::Instant", "a::b", "c::d", "c"]);
    }
}
