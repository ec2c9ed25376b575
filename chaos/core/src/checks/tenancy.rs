//! Whether another server, or the same one anew, took the role while the load ran, and what that means for what a store may lose.

use crate::cluster::{Event, NodeId};
use loadgen::verdict::StorePromise;

/// The first server that said since then that it had become active.
pub fn became_active(events: &[Event], since_ns: u64) -> Option<NodeId> {
    let active = |event: &&Event| event.t_ns >= since_ns && event.entered().is_some_and(|state| state.is_active());
    events.iter().filter(active).min_by_key(|event| event.t_ns).map(|event| event.node)
}

/// What may be lost in the end: an async store loses what a server had not written when it ended. A server that lives on has it still,
/// whatever became of its disk, its peer or its clients.
pub fn promise_kept_by(promise: StorePromise, successor: Option<NodeId>) -> StorePromise {
    match successor {
        Some(_) => promise,
        None => StorePromise::Sync,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen::verdict::AsyncBound;

    fn entered(node: NodeId, state: &str, t_ns: u64) -> Event {
        let line = format!("{{\"event\":\"ft_state\",\"t_ns\":{t_ns},\"to\":\"{state}\"}}");
        Event::parse(node, 1, &line, 0)
    }

    #[test]
    fn the_first_that_became_active_since_then_is_told_even_if_it_is_the_same_again() {
        let events = [
            entered(NodeId::A, "ACTIVE", 5),
            entered(NodeId::B, "STANDBY", 6),
            entered(NodeId::A, "ACTIVE", 20),
            entered(NodeId::B, "ACTIVE", 10),
        ];
        assert_eq!(became_active(&events, 6), Some(NodeId::B));
        assert_eq!(became_active(&events, 11), Some(NodeId::A));
        assert_eq!(became_active(&events, 21), None);
        assert_eq!(became_active(&events[1..2], 0), None);
    }

    #[test]
    fn an_async_store_whose_server_lives_on_may_lose_nothing() {
        let promise = StorePromise::Async(AsyncBound::default());
        assert_eq!(promise_kept_by(promise, None), StorePromise::Sync);
        assert_eq!(promise_kept_by(promise, Some(NodeId::B)), promise);
        assert_eq!(promise_kept_by(StorePromise::Sync, Some(NodeId::B)), StorePromise::Sync);
    }
}
