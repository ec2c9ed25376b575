//! Tests of the whole engine.

mod changes;
mod delivery;
mod limits;
mod loading;
mod model;
mod names;
mod speed;

use crate::*;

pub(super) const SYNC: StoreId = StoreId(1);
pub(super) const ASYNC: StoreId = StoreId(0);

/// An engine with `lines` of queues.conf and the two stores.
pub(super) fn engine(lines: &[QueueDefinition]) -> Engine {
    Engine::new(lines.to_vec(), Stores { default: ASYNC, sync: vec![SYNC] })
}

pub(super) fn line(pattern: &str) -> QueueDefinition {
    QueueDefinition { pattern: pattern.to_owned(), ..Default::default() }
}

pub(super) fn entry(lsn: u64) -> Entry {
    Entry { lsn, priority: 4, place: Place { segment: 1, offset: lsn as u32, len: 100 }, ..Default::default() }
}

/// All effects that are due now.
pub(super) fn effects(engine: &mut Engine, now_ms: u64) -> Vec<Effect> {
    let effects = std::iter::from_fn(|| engine.poll_effect(now_ms)).collect();
    engine.check_invariants();
    effects
}

/// The lsns handed out now, with consumer and token.
pub(super) fn deliveries(engine: &mut Engine) -> Vec<(u64, ConsumerId, DeliveryToken)> {
    let delivered = |effect| match effect {
        Effect::Deliver { consumer, token, entry, .. } => (entry.lsn, consumer, token),
        other => panic!("expected deliveries only, got {other:?}"),
    };
    effects(engine, 0).into_iter().map(delivered).collect()
}

pub(super) fn lsns(deliveries: &[(u64, ConsumerId, DeliveryToken)]) -> Vec<u64> {
    deliveries.iter().map(|(lsn, ..)| *lsn).collect()
}
