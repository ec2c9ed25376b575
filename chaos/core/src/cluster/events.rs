//! The event lines of a broker: one JSON object on each line of its standard output, stamped with CLOCK_MONOTONIC nanoseconds.
//!
//! They annotate what happened inside; no verdict rests on them.

use super::NodeId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::io::BufRead;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The name of the event that tells a change of state.
const STATE_EVENT: &str = "ft_state";
/// A line on standard output that is no event is kept under this name, with its text in the field `text`.
const STRAY_LINE: &str = "stray-line";

/// A role as the event lines name it. Names that this version does not know are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeState(pub String);

impl NodeState {
    /// Serves clients.
    pub fn is_active(&self) -> bool {
        self.0 == "ACTIVE"
    }

    /// Owns the store and reads it.
    pub fn is_recovering(&self) -> bool {
        self.0 == "RECOVERING"
    }

    /// Waits behind an active server.
    pub fn is_standby(&self) -> bool {
        self.0 == "STANDBY"
    }
}

/// One event line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Which node said it.
    pub node: NodeId,
    /// Which start of that node, from 1.
    pub start: u32,
    /// Nanoseconds of CLOCK_MONOTONIC, by the node; for a stray line, when it was read.
    pub t_ns: u64,
    /// Its name, such as `ft_state` or `claimed`.
    pub event: String,
    /// Everything else that the line holds.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Event {
    /// Understands one line. What is no event is kept as a stray line, so that it shows up in events.jsonl.
    pub fn parse(node: NodeId, start: u32, line: &str, read_ns: u64) -> Self {
        let stray = |text: &str| {
            let fields = Map::from_iter([("text".to_owned(), Value::from(text))]);
            Self { node, start, t_ns: read_ns, event: STRAY_LINE.to_owned(), fields }
        };
        let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else { return stray(line) };
        match (fields.remove("event"), fields.remove("t_ns").and_then(|time| time.as_u64())) {
            (Some(Value::String(event)), Some(t_ns)) => {
                // These two names are ours in events.jsonl; the broker's own words for them are kept under others.
                for name in ["node", "start"] {
                    if let Some(value) = fields.remove(name) {
                        fields.insert(format!("broker_{name}"), value);
                    }
                }
                Self { node, start, t_ns, event, fields }
            }
            _ => stray(line),
        }
    }

    /// The state that the node entered, if this is a change of state.
    pub fn entered(&self) -> Option<NodeState> {
        (self.event == STATE_EVENT).then(|| NodeState(self.text("to").to_owned()))
    }

    /// A field as text; empty when it is absent.
    pub fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// A field as a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.fields.get(name).and_then(Value::as_u64)
    }

    /// Whether the line was no event.
    pub fn is_stray(&self) -> bool {
        self.event == STRAY_LINE
    }
}

/// All events of a trial, in the order in which they were read. Readers append, the trial waits.
#[derive(Clone, Debug)]
pub struct EventLog {
    events: Arc<Mutex<Vec<Event>>>,
    count: watch::Sender<usize>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { events: Arc::default(), count: watch::Sender::new(0) }
    }
}

impl EventLog {
    /// Appends one event and wakes who waits.
    pub fn push(&self, event: Event) {
        let mut events = self.lock();
        events.push(event);
        self.count.send_replace(events.len());
    }

    /// Reads lines until the end of the node's standard output.
    pub fn follow(&self, node: NodeId, start: u32, output: impl BufRead) {
        for line in output.split(b'\n') {
            // The pipe of a child does not fail; if it did, the missing events would make the trial unknown.
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line);
            if !line.trim().is_empty() {
                self.push(Event::parse(node, start, line.trim(), crate::clock::now_ns()));
            }
        }
    }

    /// A copy of all events so far.
    pub fn snapshot(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// The latest state that a start of a node reported.
    pub fn state(&self, node: NodeId, start: u32) -> Option<NodeState> {
        let events = self.lock();
        events.iter().rev().filter(|event| event.node == node && event.start == start).find_map(Event::entered)
    }

    /// Waits for the next event; returns at once when there are more than `seen`.
    pub async fn changed(&self, seen: usize) {
        let mut count = self.count.subscribe();
        // The sender lives as long as this log, so the wait cannot fail.
        let _ = count.wait_for(|&count| count > seen).await;
    }

    /// Number of events so far.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A list of plain values is valid after any panic of another thread.
    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
{\"event\":\"ft_state\",\"t_ns\":100,\"from\":\"STARTING\",\"to\":\"STANDBY\",\"reason\":\"peer is active\",\"epoch\":3,\"server\":\"UNDERSTUDY\",\"pid\":17}
not an event

{\"event\":\"recovered\",\"t_ns\":250,\"bytes\":4096,\"messages\":4,\"segments\":1,\"node\":\"x\"}
{\"event\":\"no time\"}
{\"event\":\"ft_state\",\"t_ns\":300,\"from\":\"RECOVERING\",\"to\":\"ACTIVE\",\"epoch\":4}
";

    fn planted() -> EventLog {
        let log = EventLog::default();
        log.follow(NodeId::B, 2, LINES.as_bytes());
        log
    }

    #[test]
    fn lines_become_events_and_nothing_is_dropped() {
        let events = planted().snapshot();
        assert_eq!(events.len(), 5);
        assert_eq!(events[0].entered(), Some(NodeState("STANDBY".to_owned())));
        assert_eq!((events[0].t_ns, events[0].number("epoch")), (100, Some(3)));
        assert!(events[1].is_stray() && events[1].text("text") == "not an event");
        assert_eq!(events[2].number("bytes"), Some(4096));
        assert_eq!(events[2].text("broker_node"), "x");
        assert!(events[3].is_stray());
    }

    #[test]
    fn the_latest_state_of_a_start_counts() {
        let log = planted();
        assert!(log.state(NodeId::B, 2).expect("it reported one").is_active());
        assert_eq!(log.state(NodeId::B, 1), None);
        assert_eq!(log.state(NodeId::A, 2), None);
    }

    #[test]
    fn events_survive_their_file() {
        for event in planted().snapshot() {
            let text = serde_json::to_string(&event).expect("events are plain data");
            assert_eq!(serde_json::from_str::<Event>(&text).expect("what was written is read"), event);
        }
    }

    #[tokio::test]
    async fn a_waiter_is_woken_by_the_next_event() {
        let log = planted();
        let waiter = tokio::spawn({
            let log = log.clone();
            async move { log.changed(5).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        log.push(Event::parse(NodeId::A, 1, "{\"event\":\"claimed\",\"t_ns\":1}", 0));
        tokio::time::timeout(std::time::Duration::from_secs(5), waiter).await.expect("woken").expect("no panic");
    }
}
