//! What must hold, from the clients' point of view.

use super::LiveMessage;
use std::collections::{BTreeMap, BTreeSet};
use store::RecoveredMessage;

/// A broken promise.
#[derive(Debug)]
pub(crate) struct Violation(pub(crate) String);

#[derive(Clone, Copy, Debug)]
enum Change {
    Published(u64),
    Acknowledged(u64),
}

/// What one epoch did to one store.
#[derive(Clone, Debug, Default)]
struct History {
    /// Live when it began to serve.
    base: BTreeSet<u64>,
    changes: Vec<(u64, Change)>,
    /// So many changes were confirmed.
    confirmed: usize,
    /// A later epoch served with so many of them, at most; what lies beyond is lost.
    survived: Option<usize>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    is_forgiving: bool,
    next_id: u64,
    histories: BTreeMap<(u8, u64), History>,
    /// Changes that were confirmed and survived, for the statistics.
    pub(crate) confirmed: u64,
    /// Changes that were admitted and are lost.
    pub(crate) lost: u64,
}

/// The bytes of message `id`: its number, then `len` bytes that depend on it.
pub(crate) fn payload(id: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + len + 8);
    bytes.extend_from_slice(&id.to_le_bytes());
    let mut word = id;
    while bytes.len() < 8 + len {
        word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(8 + len);
    bytes
}

impl Model {
    pub(crate) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn published(&mut self, epoch: u64, store: u8, lsn: u64, id: u64) {
        self.history(epoch, store).changes.push((lsn, Change::Published(id)));
    }

    pub(crate) fn acknowledged(&mut self, epoch: u64, store: u8, lsn: u64, id: u64) {
        self.history(epoch, store).changes.push((lsn, Change::Acknowledged(id)));
    }

    fn history(&mut self, epoch: u64, store: u8) -> &mut History {
        self.histories.get_mut(&(store, epoch)).expect("only a serving epoch changes anything")
    }

    /// The owner of `epoch` confirmed everything through `lsn`, maybe without knowing that it was replaced.
    pub(crate) fn confirmed(&mut self, epoch: u64, store: u8, lsn: u64) -> Result<(), Violation> {
        let history = self.history(epoch, store);
        let before = history.confirmed;
        history.confirmed += history.changes[before..].iter().take_while(|(of, _)| *of <= lsn).count();
        let confirmed = history.confirmed;
        if history.survived.is_some_and(|survived| survived < confirmed) {
            return Err(Violation(format!(
                "epoch {epoch} confirmed number {lsn} of store {store} after it was replaced without it"
            )));
        }
        self.confirmed += (confirmed - before) as u64;
        Ok(())
    }

    pub(crate) fn is_quiet(&self, epoch: u64, store: u8) -> bool {
        self.histories.get(&(store, epoch)).is_none_or(|history| history.confirmed == history.changes.len())
    }

    pub(crate) fn live_ids(&self, epoch: u64, store: u8) -> BTreeSet<u64> {
        let history = &self.histories[&(store, epoch)];
        let mut live = history.base.clone();
        history.changes.iter().for_each(|(_, change)| apply(&mut live, *change));
        live
    }

    /// The next epoch may find anything: it is told to go on past damage.
    pub(crate) fn forgive(&mut self) {
        self.is_forgiving = true;
    }

    /// `epoch` serves and found `messages`: they must be what a prefix of its predecessor's history left.
    pub(crate) fn recovered(
        &mut self,
        epoch: u64,
        store: u8,
        messages: &[RecoveredMessage],
    ) -> Result<Vec<LiveMessage>, Violation> {
        let mut found = BTreeSet::new();
        let mut live = Vec::new();
        for message in messages {
            let id = message.key.expires_at_ms / 7;
            if !found.insert(id) || message.key.priority != (id % 10) as u8 || message.key.flags != 3 {
                return Err(Violation(format!("message {id} came back twice or altered")));
            }
            live.push(LiveMessage { id, lsn: message.lsn, location: message.location });
        }
        if !messages.is_sorted_by_key(|message| message.lsn) {
            return Err(Violation("messages came back out of order".into()));
        }
        // Ids are given in the order of publishes, whatever was copied since.
        if !messages.is_sorted_by_key(|message| message.key.expires_at_ms) {
            return Err(Violation("messages came back in another order than they were published in".into()));
        }
        let predecessor = self.histories.range_mut((store, 0)..(store, epoch)).next_back();
        match predecessor {
            _ if std::mem::take(&mut self.is_forgiving) => {}
            None if found.is_empty() => {}
            None => return Err(Violation("messages from nowhere".into())),
            Some(((_, before), history)) => {
                let survived = history
                    .matching_prefix(&found)
                    .map_err(|why| Violation(format!("epoch {epoch} after {before}, store {store}: {why}")))?;
                history.survived = Some(survived);
                self.lost += (history.changes.len() - survived) as u64;
            }
        }
        self.histories.insert((store, epoch), History { base: found, ..History::default() });
        Ok(live)
    }
}

fn apply(live: &mut BTreeSet<u64>, change: Change) {
    match change {
        Change::Published(id) => live.insert(id),
        Change::Acknowledged(id) => live.remove(&id),
    };
}

impl History {
    /// The longest prefix that leaves exactly `found` and holds all that was confirmed.
    fn matching_prefix(&self, found: &BTreeSet<u64>) -> Result<usize, String> {
        let mut live = self.base.clone();
        let mut differences = live.symmetric_difference(found).count() as i64;
        let mut best = (differences == 0).then_some(0);
        let mut at_confirmed = String::new();
        for (index, (_, change)) in self.changes.iter().enumerate() {
            if index == self.confirmed {
                at_confirmed = describe(&live, found);
            }
            let (id, appears) = match change {
                Change::Published(id) => (*id, true),
                Change::Acknowledged(id) => (*id, false),
            };
            differences += if found.contains(&id) == appears { -1 } else { 1 };
            apply(&mut live, *change);
            if differences == 0 {
                best = Some(index + 1);
            }
        }
        if self.confirmed == self.changes.len() {
            at_confirmed = describe(&live, found);
        }
        match best {
            Some(survived) if survived >= self.confirmed => Ok(survived),
            Some(survived) => {
                Err(format!("{} changes were confirmed, only {survived} survived; {at_confirmed}", self.confirmed))
            }
            None => Err(format!(
                "what was found is no prefix of {} changes, {} confirmed; {at_confirmed}",
                self.changes.len(),
                self.confirmed
            )),
        }
    }
}

fn describe(live: &BTreeSet<u64>, found: &BTreeSet<u64>) -> String {
    let missing: Vec<_> = live.difference(found).take(5).collect();
    let extra: Vec<_> = found.difference(live).take(5).collect();
    format!("against the confirmed state missing {missing:?}, extra {extra:?}")
}
