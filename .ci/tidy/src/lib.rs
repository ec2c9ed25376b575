//! House rules as tests.
//!
//! Owns the checks that the compiler cannot make: which crate may know which, words that have no place in a pure
//! crate, sizes, drawings of state machines, links in documents. Each rule is a function from what was read to a list
//! of [`Finding`]s, and has a test with a planted violation beside it; `tests/repository.rs` runs all rules on this
//! repository. Builds nothing and changes nothing.
//!
//! Start at [`repository::Repository`], then read the rules in the order below.

#![forbid(unsafe_code)]

pub mod repository;
pub mod source;

pub mod documents;
pub mod edges;
pub mod machines;
pub mod purity;
pub mod sizes;
pub mod spelling;
pub mod unsafety;

/// One breach of a rule, at one place, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path relative to the root of the repository.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl Finding {
    /// A finding at `path:line`, lines counted from 1.
    pub fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Finding { path: path.to_string(), line, message: message.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}
