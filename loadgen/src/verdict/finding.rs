//! Owns the names of what a judgement can find, and what each means in a sentence.

use super::Ruling;

/// One kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// Confirmed by a store that may lose nothing, and not delivered by a complete drain.
    Lost,
    /// An async store lost messages, and kept later ones of the same connection.
    LossHole,
    /// An async store lost more than its bound.
    LossBeyondBound,
    /// An async store lost messages, and no connection broke within a fault.
    LossWithoutFault,
    /// A delivery of another run or another program.
    Alien,
    /// A delivery whose payload fails its check.
    Corrupt,
    /// A delivery whose message was never sent.
    NeverAttempted,
    /// A delivery of a send that was provably refused.
    Ghost,
    /// A second delivery that was not marked as such.
    UnflaggedRedelivery,
    /// A delivery after the acknowledgement of an earlier one was confirmed.
    Resurrected,
    /// A first delivery behind a later message of the same producer.
    OutOfOrder,
    /// Two servers confirmed sends in overlapping time.
    TwoActives,
    /// The broker holds fewer messages than the ledger says.
    DepthBelow,
    /// The broker holds more messages than the ledger says.
    DepthAbove,
    /// The broker holds messages after a complete drain.
    LeftAfterDrain,
    /// A demand of whoever asked for the judgement does not hold.
    Demand,
    /// The queues were not seen empty.
    NotDrained,
    /// No send was confirmed.
    NothingConfirmed,
    /// Nobody sent anything.
    NothingSent,
    /// The load generator itself was late.
    GeneratorLate,
    /// Something else that is essential could not be judged.
    Unjudged,
}

impl Finding {
    /// All kinds.
    pub const ALL: [Self; 21] = [
        Self::Lost,
        Self::LossHole,
        Self::LossBeyondBound,
        Self::LossWithoutFault,
        Self::Alien,
        Self::Corrupt,
        Self::NeverAttempted,
        Self::Ghost,
        Self::UnflaggedRedelivery,
        Self::Resurrected,
        Self::OutOfOrder,
        Self::TwoActives,
        Self::DepthBelow,
        Self::DepthAbove,
        Self::LeftAfterDrain,
        Self::Demand,
        Self::NotDrained,
        Self::NothingConfirmed,
        Self::NothingSent,
        Self::GeneratorLate,
        Self::Unjudged,
    ];

    /// Its name in results and documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::LossHole => "loss-hole",
            Self::LossBeyondBound => "loss-beyond-bound",
            Self::LossWithoutFault => "loss-without-fault",
            Self::Alien => "alien",
            Self::Corrupt => "corrupt",
            Self::NeverAttempted => "never-attempted",
            Self::Ghost => "ghost",
            Self::UnflaggedRedelivery => "unflagged-redelivery",
            Self::Resurrected => "resurrected",
            Self::OutOfOrder => "out-of-order",
            Self::TwoActives => "two-actives",
            Self::DepthBelow => "depth-below-ledger",
            Self::DepthAbove => "depth-above-ledger",
            Self::LeftAfterDrain => "left-after-drain",
            Self::Demand => "demand",
            Self::NotDrained => "not-drained",
            Self::NothingConfirmed => "nothing-confirmed",
            Self::NothingSent => "nothing-sent",
            Self::GeneratorLate => "generator-late",
            Self::Unjudged => "unjudged",
        }
    }

    /// What a judgement with this finding is at least.
    #[must_use]
    pub fn ruling(self) -> Ruling {
        match self {
            Self::NotDrained | Self::NothingConfirmed | Self::NothingSent | Self::GeneratorLate | Self::Unjudged => {
                Ruling::Unknown
            }
            _ => Ruling::Violated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Finding::ALL.map(Finding::name).into_iter().collect();
        let kinds: BTreeSet<_> = Finding::ALL.into_iter().collect();
        assert_eq!((names.len(), kinds.len()), (Finding::ALL.len(), Finding::ALL.len()));
    }
}
