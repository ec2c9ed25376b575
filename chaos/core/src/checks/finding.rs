//! The names of what a trial can show, in results and documents.

use super::of_ruling;
use crate::result::Verdict;
use loadgen::verdict;
use serde::{Deserialize, Serialize};

/// One kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Finding {
    /// What the load generator found in the messages.
    Messages(verdict::Finding),
    /// Two epochs confirmed in overlapping time.
    EpochsOverlap,
    /// All producers together lost more than an async store may.
    TotalLossBeyondBound,
    /// Something that the scenario expects was not seen, or something that it forbids was.
    Expectation,
    /// No fault was seen to take effect.
    NoEffect,
    /// Something else that is essential could not be judged.
    Unjudged,
}

impl Finding {
    const OWN: [Self; 5] =
        [Self::EpochsOverlap, Self::TotalLossBeyondBound, Self::Expectation, Self::NoEffect, Self::Unjudged];

    /// All kinds. What both programs call unjudged is one.
    pub fn all() -> Vec<Self> {
        let of_messages = verdict::Finding::ALL.into_iter().filter(|one| *one != verdict::Finding::Unjudged);
        of_messages.map(Self::Messages).chain(Self::OWN).collect()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages(finding) => finding.name(),
            Self::EpochsOverlap => "epochs-overlap",
            Self::TotalLossBeyondBound => "total-loss-beyond-bound",
            Self::Expectation => "expectation",
            Self::NoEffect => "no-effect",
            Self::Unjudged => "unjudged",
        }
    }

    /// What a trial with this finding is at least.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Messages(finding) => of_ruling(finding.ruling()),
            Self::EpochsOverlap | Self::TotalLossBeyondBound | Self::Expectation => Verdict::Violated,
            Self::NoEffect | Self::Unjudged => Verdict::Unknown,
        }
    }
}

impl TryFrom<String> for Finding {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let named = |finding: &Self| finding.name() == name;
        Self::all().into_iter().find(named).ok_or_else(|| {
            let names: Vec<_> = Self::all().into_iter().map(Self::name).collect();
            format!("`{name}` is no finding; known are {}", names.join(", "))
        })
    }
}

impl From<Finding> for String {
    fn from(finding: Finding) -> Self {
        finding.name().to_owned()
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for finding in Finding::all() {
            assert_eq!(Finding::try_from(finding.name().to_owned()), Ok(finding));
        }
        assert!(Finding::try_from("lots".to_owned()).is_err_and(|error| error.contains("resurrected")));
    }

    /// docs/CHECKERS.md tells what each finding means.
    #[test]
    fn each_finding_is_described() {
        let text = include_str!("../../../../docs/CHECKERS.md");
        for finding in Finding::all() {
            assert!(text.contains(&format!("| `{}` |", finding.name())), "{finding} has no row in docs/CHECKERS.md");
        }
    }
}
