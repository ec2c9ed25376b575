//! What a scan does where the journal does not go on: end, refuse, or step over damage.
//!
//! Owns the words for damage and the second name that `--force-start` gives a damaged file. Where the journal goes on, and
//! what proves that a place was durable, is said by the scan.

use super::{Entered, Scanner, Step, Stop, Visit};
use crate::StoreError;
use crate::decide::{BatchSeen, Decision, HeaderSeen, Proof, decide};
use crate::format::{FIRST_BATCH_OFFSET, Piece};
use crate::shared::{Shared, while_doing};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

impl<V: Visit> Scanner<V> {
    /// The error for a header that cannot be used.
    pub(super) fn refused(&self, header: HeaderSeen, path: PathBuf) -> StoreError {
        let problem = match decide(header, BatchSeen::Zero, Proof::Nothing) {
            Decision::RefuseMissing => "the segment is missing",
            _ => "the segment's header is not the one that was written",
        };
        self.damaged(path, 0, problem)
    }

    pub(super) fn damaged(&self, path: PathBuf, offset: u64, problem: &'static str) -> StoreError {
        let affected = format!("records from number {} on in {}", self.expected, self.plan.lane);
        StoreError::Damaged { path, offset, problem, affected }
    }

    /// The place does not continue the journal: is that its end, or damage?
    pub(super) async fn stopped(
        &mut self,
        piece: &Piece,
        stop: Stop,
        next: Option<Result<Entered, StoreError>>,
    ) -> Result<Step, StoreError> {
        let proof = if self.is_proved(piece, &stop) { Proof::Durable } else { Proof::Nothing };
        let Stop { seen, path, at, here, there, .. } = stop;
        let next = match next {
            Some(Err(error)) => {
                // A name or header that must be there is not, whatever the batch looks like.
                self.step_over(error, here.next.map(|(_, lsn)| lsn)).await?;
                None
            }
            Some(Ok(entered)) => Some(entered),
            None => None,
        };
        let resume = match (here.next, there.next, next) {
            (Some((to, lsn)), _, _) => Some((Step::Skip(None, to), lsn)),
            (None, Some((to, lsn)), Some(entered)) => Some((Step::Skip(Some(entered), to), lsn)),
            (None, None, Some(entered)) if piece.end.is_some() => return self.lost_rest(path, at, entered).await,
            _ => None,
        };
        match decide(HeaderSeen::Expected, seen, proof) {
            Decision::Cut => {
                if here.next.is_some() || there.next.is_some() {
                    let note = format!(
                        "{}: offset {at}: cut at number {}: writes in flight behind it are dropped",
                        path.display(),
                        self.expected
                    );
                    self.result.notes.push(note);
                }
                Ok(Step::End)
            }
            Decision::Accept => unreachable!("a batch that continues the journal was taken before"),
            _ => {
                let error = self.damaged(path, at, "a batch that was durable does not read");
                let to = resume.as_ref().map(|(_, lsn)| *lsn).or(piece.end.map(|end| end.lsn));
                self.step_over(error, to).await?;
                Ok(resume.map_or(Step::End, |(step, lsn)| {
                    self.expected = lsn;
                    step
                }))
            }
        }
    }

    /// Within a sealed run nothing valid follows in this segment and the next one does not continue either: goes on
    /// with the next one, whose own first batch is then looked at.
    pub(super) async fn lost_rest(&mut self, path: PathBuf, at: u64, mut next: Entered) -> Result<Step, StoreError> {
        let from = u64::from(FIRST_BATCH_OFFSET);
        let ahead = next.reader.look_ahead(&next.identity, from, next.segment_bytes, self.expected + 1).await;
        let ahead = ahead.map_err(while_doing("reading a segment"))?;
        let error = self.damaged(path, at, "a batch that was durable does not read");
        self.step_over(error, ahead.next.map(|(_, lsn)| lsn)).await?;
        if let Some((_, lsn)) = ahead.next {
            self.expected = lsn;
        }
        Ok(Step::Skip(Some(next), ahead.next.map_or(from, |(to, _)| to)))
    }

    /// Damage: an error, unless it is known already or `--force-start` was given. `to` is where the journal goes on.
    pub(super) async fn step_over(&mut self, error: StoreError, to: Option<u64>) -> Result<(), StoreError> {
        let known = self.is_lenient || self.plan.gaps.iter().any(|(from, _)| *from == self.expected);
        if !known && !self.shared.config.force_start {
            return Err(error);
        }
        if !known {
            self.result.damages.push((error.clone(), self.expected, to));
            if let Some(to) = to
                && !self.result.gaps.contains(&(self.expected, to - 1))
            {
                self.result.gaps.push((self.expected, to - 1));
            }
            self.result.notes.push(format!("dropped: {error}"));
            if let StoreError::Damaged { path, .. } = &error {
                set_aside(&self.shared, path).await?;
            }
        }
        self.result.damage.get_or_insert(error);
        Ok(())
    }
}

/// Gives a damaged file a second name, so that nothing removes it.
pub(crate) async fn set_aside(shared: &Rc<Shared>, path: &Path) -> Result<(), StoreError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match shared.port.link(path, &path.with_file_name(format!("quarantine.{name}"))).await {
        Err(error) if !matches!(error.kind, ErrorKind::AlreadyExists | ErrorKind::NotFound) => {
            Err(while_doing("setting a damaged file aside")(error))
        }
        _ => Ok(()),
    }
}
