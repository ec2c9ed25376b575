//! Negative controls: scenarios that must lead to a finding, since what they do to the pair breaks what every broker relies on.

use super::{Finding, Judgement};
use crate::result::FaultRecord;
use loadgen::verdict::Finding as Message;

/// What makes a loss of messages.
const LOSSES: [Finding; 5] = [
    Finding::Messages(Message::Lost),
    Finding::Messages(Message::LossHole),
    Finding::Messages(Message::LossBeyondBound),
    Finding::Messages(Message::LossWithoutFault),
    Finding::TotalLossBeyondBound,
];

/// What explains a loss, in the words of the faults' own evidence: writes that a disk reported as durable and then dropped.
fn explanation(faults: &[FaultRecord]) -> Option<String> {
    let words: Vec<&str> = faults.iter().filter_map(|fault| fault.lied.as_deref()).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

impl Judgement {
    /// Says to what a loss is attributed, if the faults explain it; gives the sentence.
    pub fn attribute(&self, faults: &[FaultRecord]) -> Option<String> {
        let has_loss = self.findings.iter().any(|finding| LOSSES.contains(finding));
        let words = explanation(faults).filter(|_| has_loss)?;
        Some(format!("the loss is attributed to the disk, not to the broker: {words}"))
    }

    /// Takes back the findings that the scenario demands, and gives them as observations; each that is absent is a finding of its own,
    /// and so is a loss that no fault explains.
    pub fn settle(&mut self, demanded: &[Finding], faults: &[FaultRecord]) -> Vec<String> {
        if demanded.is_empty() {
            return Vec::new();
        }
        let found = std::mem::take(self);
        let mut observations = Vec::new();
        for (finding, reason) in found.findings.iter().zip(&found.reasons) {
            if demanded.contains(finding) {
                observations.push(format!("found, as it must be ({finding}): {reason}"));
            } else {
                self.find(*finding, reason.clone());
            }
        }
        for finding in demanded {
            if !found.findings.contains(finding) {
                self.violated(format!("{finding} had to be found, and was not"));
            } else if LOSSES.contains(finding) && explanation(faults).is_none() {
                self.violated(format!("{finding} was found, and no evidence of the faults explains it"));
            }
        }
        observations
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Verdict;

    const LOST: Finding = Finding::Messages(Message::Lost);

    fn fault(lied: Option<&str>) -> FaultRecord {
        FaultRecord {
            name: "crash-host".to_owned(),
            target: "active server A".to_owned(),
            preparation: false,
            victim: None,
            effect: None,
            healed_ns: None,
            evidence: Vec::new(),
            lied: lied.map(str::to_owned),
        }
    }

    fn judged(findings: &[Finding]) -> Judgement {
        let mut judgement = Judgement::default();
        findings.iter().for_each(|finding| judgement.find(*finding, format!("it is {finding}")));
        judgement
    }

    #[test]
    fn a_loss_that_a_lying_disk_explains_is_attributed_to_it() {
        let faults = [fault(None), fault(Some("7 syncs were reported and dropped"))];
        let sentence = judged(&[LOST]).attribute(&faults).expect("it is explained");
        assert!(sentence.contains("7 syncs"), "{sentence}");
        assert_eq!(judged(&[Finding::EpochsOverlap]).attribute(&faults), None);
        assert_eq!(judged(&[LOST]).attribute(&faults[..1]), None);
    }

    #[test]
    fn a_negative_control_passes_if_it_is_found_and_explained() {
        let lied = [fault(Some("7 syncs were reported and dropped"))];
        let mut judgement = judged(&[LOST]);
        let observations = judgement.settle(&[LOST], &lied);
        assert_eq!((judgement.verdict, observations.len()), (Verdict::Pass, 1));
        // Not found.
        let mut judgement = judged(&[]);
        judgement.settle(&[LOST], &lied);
        assert_eq!((judgement.verdict, judgement.findings), (Verdict::Violated, vec![Finding::Expectation]));
        // Found, and nothing explains it.
        let mut judgement = judged(&[LOST]);
        judgement.settle(&[LOST], &[fault(None)]);
        assert_eq!(judgement.findings, [Finding::Expectation]);
        // Something else besides stays what it is.
        let mut judgement = judged(&[LOST, Finding::EpochsOverlap]);
        judgement.settle(&[LOST], &lied);
        assert_eq!((judgement.verdict, judgement.findings), (Verdict::Violated, vec![Finding::EpochsOverlap]));
        // Without a demand, nothing changes.
        let mut judgement = judged(&[LOST]);
        assert!(judgement.settle(&[], &lied).is_empty());
        assert_eq!(judgement, judged(&[LOST]));
    }
}
