//! What this machine allows: whether the faults of the shared disk and of the network can be carried out on it.

use crate::cluster::namespaces;
use crate::error::{Error, Result};
use crate::scenario::Requirement;

/// What is missing for each requirement, looked up once for a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    missing: Vec<(Requirement, String)>,
}

impl Machine {
    /// Looks around.
    pub fn look() -> Self {
        let lacks =
            [(Requirement::Disk, shareddisk::client::unavailable()), (Requirement::Network, namespaces::unavailable())];
        Self { missing: lacks.into_iter().filter_map(|(one, reason)| Some((one, reason?))).collect() }
    }

    /// Why what these need cannot be had, a sentence; `None` if all of it is there.
    pub fn lacks(&self, requires: &[Requirement]) -> Option<String> {
        let missing = self.missing.iter().filter(|(one, _)| requires.contains(one));
        let words: Vec<String> = missing.map(|(one, reason)| format!("it needs {one}: {reason}")).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// An error if something that the command line demands is missing.
    pub fn demand(&self, requires: &[Requirement]) -> Result<()> {
        match self.missing.iter().find(|(one, _)| requires.contains(one)) {
            Some((one, reason)) => Err(Error::Usage(format!("--require {one}: {reason}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_counts_as_missing() {
        let machine = Machine { missing: vec![(Requirement::Disk, "no device".to_owned())] };
        assert_eq!(machine.lacks(&[Requirement::Network]), None);
        assert_eq!(machine.lacks(&[Requirement::Disk]).as_deref(), Some("it needs disk: no device"));
        assert!(machine.demand(&[Requirement::Network]).is_ok());
        let error = machine.demand(&[Requirement::Disk]).expect_err("it is missing").to_string();
        assert!(error.contains("--require disk: no device"), "{error}");
    }
}
