//! The decision table of recovery: what to do with a place in the journal, given what its segment's header and the
//! bytes at the place look like, and whether anything proves that the place was once durable.
//!
//! Owns the decision only; `scan` reads and acts.

/// The header of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderSeen {
    /// No such name.
    Missing,
    /// Does not validate.
    Damaged,
    /// Valid, but of another segment.
    Foreign,
    /// The one that belongs here.
    Expected,
}

/// The bytes where the next batch would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchSeen {
    /// Zeros: never written.
    Zero,
    /// Does not validate.
    Damaged,
    /// Valid, with a sequence number before the expected one.
    Behind,
    /// Valid, with the expected sequence number.
    Next,
    /// Valid, with a sequence number after the expected one.
    Ahead,
}

/// What proves that the place was durable once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A SEAL's end or a later batch's durable-through lies above it.
    Durable,
    /// Nothing: a write that was in flight may be missing here.
    Nothing,
}

/// What recovery does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The batch is part of the journal.
    Accept,
    /// The journal ends here: the normal trace of writes in flight.
    Cut,
    /// A segment's name is missing although its predecessor was used.
    RefuseMissing,
    /// A segment's header was durable before its name, so this is damage.
    RefuseHeader,
    /// A batch that was durable does not read.
    RefuseBatch,
}

/// A row: `None` stands for any.
type Row = (Option<HeaderSeen>, Option<BatchSeen>, Option<Proof>, Decision);

const fn row(header: HeaderSeen, batch: BatchSeen, proof: Proof, decision: Decision) -> Row {
    (Some(header), Some(batch), Some(proof), decision)
}

const TABLE: [Row; 12] = [
    (Some(HeaderSeen::Missing), None, None, Decision::RefuseMissing),
    (Some(HeaderSeen::Damaged), None, None, Decision::RefuseHeader),
    (Some(HeaderSeen::Foreign), None, None, Decision::RefuseHeader),
    (Some(HeaderSeen::Expected), Some(BatchSeen::Next), None, Decision::Accept),
    row(HeaderSeen::Expected, BatchSeen::Zero, Proof::Durable, Decision::RefuseBatch),
    row(HeaderSeen::Expected, BatchSeen::Damaged, Proof::Durable, Decision::RefuseBatch),
    row(HeaderSeen::Expected, BatchSeen::Behind, Proof::Durable, Decision::RefuseBatch),
    row(HeaderSeen::Expected, BatchSeen::Ahead, Proof::Durable, Decision::RefuseBatch),
    row(HeaderSeen::Expected, BatchSeen::Zero, Proof::Nothing, Decision::Cut),
    row(HeaderSeen::Expected, BatchSeen::Damaged, Proof::Nothing, Decision::Cut),
    row(HeaderSeen::Expected, BatchSeen::Behind, Proof::Nothing, Decision::Cut),
    row(HeaderSeen::Expected, BatchSeen::Ahead, Proof::Nothing, Decision::Cut),
];

fn matches(row: &Row, header: HeaderSeen, batch: BatchSeen, proof: Proof) -> bool {
    row.0.is_none_or(|value| value == header)
        && row.1.is_none_or(|value| value == batch)
        && row.2.is_none_or(|value| value == proof)
}

/// Looks the combination up.
pub(crate) fn decide(header: HeaderSeen, batch: BatchSeen, proof: Proof) -> Decision {
    let row = TABLE.iter().find(|row| matches(row, header, batch, proof));
    row.expect("the table is complete, see its test").3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_row_matches_each_combination() {
        let headers = [HeaderSeen::Missing, HeaderSeen::Damaged, HeaderSeen::Foreign, HeaderSeen::Expected];
        let batches = [BatchSeen::Zero, BatchSeen::Damaged, BatchSeen::Behind, BatchSeen::Next, BatchSeen::Ahead];
        for header in headers {
            for batch in batches {
                for proof in [Proof::Durable, Proof::Nothing] {
                    let rows = TABLE.iter().filter(|row| matches(row, header, batch, proof)).count();
                    assert_eq!(rows, 1, "{header:?} {batch:?} {proof:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_that_was_durable_is_ever_cut() {
        for row in TABLE.iter().filter(|row| row.3 == Decision::Cut) {
            assert_eq!(row.2, Some(Proof::Nothing), "{row:?}");
        }
    }
}
