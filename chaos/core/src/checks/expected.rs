//! Negative controls: scenarios that must lead to a finding, since what they do to the pair breaks what every broker relies on.

use super::{Finding, Judgement};
use crate::result::FaultRecord;
use crate::scenario::StoreSetting;
use loadgen::verdict::Finding as Message;

/// What a disk that drops what it called durable leads to: lost messages, and lost acknowledgements, whose messages come back.
const OF_A_LYING_DISK: [Finding; 6] = [
    Finding::Messages(Message::Lost),
    Finding::Messages(Message::LossHole),
    Finding::Messages(Message::LossBeyondBound),
    Finding::Messages(Message::LossWithoutFault),
    Finding::Messages(Message::Resurrected),
    Finding::TotalLossBeyondBound,
];

/// What explains a loss, in the words of the faults' own evidence: writes that a disk reported as durable and then dropped. What was
/// confirmed before the first fault was asked for, the disk had told the truth about.
fn explanation(faults: &[FaultRecord], first_lost_ns: Option<u64>) -> Option<String> {
    let words: Vec<&str> = faults.iter().filter_map(|fault| fault.lied.as_deref()).collect();
    let from_ns = faults.iter().filter_map(|fault| fault.effect.as_ref()).map(|effect| effect.requested_ns).min();
    let is_older = first_lost_ns.zip(from_ns).is_some_and(|(lost_ns, from_ns)| lost_ns < from_ns);
    (!words.is_empty() && !is_older).then(|| words.join("; "))
}

/// How many lines with these words a server has logged since it had logged `before`. Lines count, since its files are read one after the other.
pub fn lines_since(before: &str, now: &str, words: &str) -> usize {
    let lines = |log: &str| log.lines().filter(|line| line.contains(words)).count();
    lines(now).saturating_sub(lines(before))
}

fn is_loss(finding: &Finding) -> bool {
    OF_A_LYING_DISK.contains(finding)
}

impl Judgement {
    /// Says to what a loss is attributed, if the faults explain it; gives the sentence. `first_lost_ns` is when the first of all lost
    /// messages was confirmed.
    pub fn attribute(&self, faults: &[FaultRecord], first_lost_ns: Option<u64>) -> Option<String> {
        let words = explanation(faults, first_lost_ns).filter(|_| self.findings.iter().any(is_loss))?;
        Some(format!("the loss is attributed to the disk, not to the broker: {words}"))
    }

    /// Takes back the findings that the scenario demands, and gives them as observations; each that is absent is a finding of its own.
    ///
    /// A loss is taken back only if the faults explain it, and then whatever kind of loss it is. An async store may lose its newest
    /// anyway, so that none can be demanded of it.
    pub fn settle(
        &mut self,
        demanded: &[Finding],
        store: StoreSetting,
        faults: &[FaultRecord],
        first_lost_ns: Option<u64>,
    ) -> Vec<String> {
        if demanded.is_empty() {
            return Vec::new();
        }
        let found = std::mem::take(self);
        let excuses_loss = demanded.iter().any(is_loss) && explanation(faults, first_lost_ns).is_some();
        let mut observations = Vec::new();
        for (finding, reason) in found.findings.iter().zip(found.reasons) {
            let is_demanded = if is_loss(finding) { excuses_loss } else { demanded.contains(finding) };
            match is_demanded {
                true => observations.push(format!("found, as it must be ({finding}): {reason}")),
                false => self.find(*finding, reason),
            }
        }
        for finding in demanded.iter().filter(|finding| !found.findings.contains(finding)) {
            if !(is_loss(finding) && store == StoreSetting::Async) {
                self.violated(format!("{finding} had to be found, and was not"));
            }
        }
        observations
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Effect;
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
    fn what_was_logged_before_the_fault_does_not_count() {
        let before = "Missing heartbeats\nReady\n";
        assert_eq!(lines_since(before, before, "Missing heartbeats"), 0);
        let now = "Missing heartbeats\nReady\nMissing heartbeats\n";
        assert_eq!(lines_since(before, now, "Missing heartbeats"), 1);
        assert_eq!(lines_since("", now, "Missing heartbeats"), 2);
    }

    #[test]
    fn a_loss_that_a_lying_disk_explains_is_attributed_to_it() {
        let faults = [fault(None), fault(Some("7 syncs were reported and dropped"))];
        let sentence = judged(&[LOST]).attribute(&faults, None).expect("it is explained");
        assert!(sentence.contains("7 syncs"), "{sentence}");
        assert_eq!(judged(&[Finding::EpochsOverlap]).attribute(&faults, None), None);
        assert_eq!(judged(&[LOST]).attribute(&faults[..1], None), None);
    }

    /// What is left after a scenario has demanded a loss.
    fn settled(findings: &[Finding], store: StoreSetting, lied: Option<&str>) -> (Vec<Finding>, usize) {
        let mut judgement = judged(findings);
        let observations = judgement.settle(&[LOST], store, &[fault(lied)], None);
        (judgement.findings, observations.len())
    }

    #[test]
    fn a_negative_control_passes_if_it_is_found_and_explained() {
        let (sync, lied) = (StoreSetting::Sync, Some("7 syncs were reported and dropped"));
        assert_eq!(settled(&[LOST], sync, lied), (vec![], 1));
        // Acknowledgements were lost, too.
        assert_eq!(settled(&[LOST, Finding::Messages(Message::Resurrected)], sync, lied), (vec![], 2));
        // Not found.
        assert_eq!(settled(&[], sync, lied), (vec![Finding::Expectation], 0));
        // Found, and nothing explains it.
        assert_eq!(settled(&[LOST], sync, None), (vec![LOST], 0));
        // Something else besides stays what it is.
        assert_eq!(settled(&[LOST, Finding::EpochsOverlap], sync, lied), (vec![Finding::EpochsOverlap], 1));
        // Without a demand, nothing changes.
        let mut judgement = judged(&[LOST]);
        assert!(judgement.settle(&[], sync, &[fault(lied)], None).is_empty());
        assert_eq!(judgement, judged(&[LOST]));
    }

    #[test]
    fn what_was_confirmed_before_the_disk_lied_is_the_brokers_loss() {
        let effect = Effect { requested_ns: 100, effective_ns: 110, proof: String::new() };
        let faults = [FaultRecord { effect: Some(effect), ..fault(None) }, fault(Some("7 syncs"))];
        let settle = |first_lost_ns| {
            let mut judgement = judged(&[LOST]);
            judgement.settle(&[LOST], StoreSetting::Sync, &faults, Some(first_lost_ns));
            (judgement.verdict, judged(&[LOST]).attribute(&faults, Some(first_lost_ns)).is_some())
        };
        assert_eq!(settle(100), (Verdict::Pass, true));
        assert_eq!(settle(99), (Verdict::Violated, false));
    }

    #[test]
    fn of_an_async_store_no_loss_is_demanded_and_one_beyond_its_bound_is_explained() {
        let (store, lied) = (StoreSetting::Async, Some("7 syncs were reported and dropped"));
        assert_eq!(settled(&[], store, lied), (vec![], 0));
        assert_eq!(settled(&[Finding::TotalLossBeyondBound], store, lied), (vec![], 1));
        assert_eq!(settled(&[Finding::TotalLossBeyondBound], store, None), (vec![Finding::TotalLossBeyondBound], 0));
    }

    #[test]
    fn the_verdict_follows_what_is_left() {
        let mut judgement = judged(&[LOST, Finding::Unjudged]);
        judgement.settle(&[LOST], StoreSetting::Sync, &[fault(Some("7 syncs"))], None);
        assert_eq!(judgement.verdict, Verdict::Unknown);
    }
}
