//! What became of each message around a loss: the data of one plot, kept as CSV next to it. It judges nothing.

use crate::clock::{NS_PER_MS, ms_between};
use crate::error::{AtPath, Error, Result};
use loadgen::ledger::{Ledger, Outcome};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// How a message ended. The order is that of severity, for where one pixel stands for several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Confirmed and delivered once.
    Delivered,
    /// Not confirmed, and delivered.
    Recovered,
    /// Not confirmed, and not delivered.
    InDoubt,
    /// Delivered more than once.
    Duplicated,
    /// Confirmed, and never delivered.
    Lost,
}

impl Fate {
    /// All of them, the mildest first.
    pub const ALL: [Self; 5] = [Self::Delivered, Self::Recovered, Self::InDoubt, Self::Duplicated, Self::Lost];

    /// The name in files and plots.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Recovered => "recovered",
            Self::InDoubt => "in-doubt",
            Self::Duplicated => "duplicated",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Fate {
    type Err = std::io::ErrorKind;

    fn from_str(name: &str) -> std::result::Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|fate| fate.name() == name).ok_or(std::io::ErrorKind::InvalidData)
    }
}

/// One message. Times are milliseconds after the fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who sent it.
    pub producer: u32,
    /// Its number.
    pub sequence: u64,
    /// When it was first sent.
    pub sent_ms: f64,
    /// When it was confirmed.
    pub confirmed_ms: Option<f64>,
    /// When it was first delivered.
    pub delivered_ms: Option<f64>,
    /// What became of it.
    pub fate: Fate,
}

impl Message {
    /// Where it stands in a plot: where it was confirmed, or sent.
    pub fn place_ms(&self) -> f64 {
        self.confirmed_ms.unwrap_or(self.sent_ms)
    }
}

/// What is shown before the first and after the last lost message.
const MARGIN_NS: u64 = 30 * NS_PER_MS;
/// Messages that a file holds at most: at 20,000 a second, those of 5 s.
const MESSAGES_MAX: usize = 100_000;

/// The messages around what was lost, and around the fault at `zero_ns`; empty when nothing was lost.
pub fn around_loss(ledger: &Ledger, zero_ns: u64) -> Vec<Message> {
    let arrivals = arrivals(ledger);
    let all: Vec<(Message, u64)> = ledger.producers.iter().flat_map(|log| messages(log, &arrivals, zero_ns)).collect();
    let lost = all.iter().filter(|(message, _)| message.fate == Fate::Lost).map(|(_, place_ns)| *place_ns);
    let (Some(first), Some(last)) = (lost.clone().min(), lost.max()) else { return Vec::new() };
    let from_ns = first.min(zero_ns).saturating_sub(MARGIN_NS);
    let to_ns = last.max(zero_ns) + MARGIN_NS;
    let within = all.into_iter().filter(|(_, place_ns)| (from_ns..=to_ns).contains(place_ns));
    within.map(|(message, _)| message).take(MESSAGES_MAX).collect()
}

/// When the first of all lost messages was confirmed; `None` when nothing was lost.
pub fn first_lost_ns(ledger: &Ledger) -> Option<u64> {
    let arrivals = arrivals(ledger);
    let all = ledger.producers.iter().flat_map(|log| messages(log, &arrivals, 0));
    all.filter(|(message, _)| message.fate == Fate::Lost).map(|(_, place_ns)| place_ns).min()
}

/// By producer and number: the first arrival and how many there were.
fn arrivals(ledger: &Ledger) -> HashMap<(u32, u64), (u64, u32)> {
    let mut arrivals = HashMap::new();
    for delivery in ledger.consumers.iter().flat_map(|log| log.deliveries.iter()) {
        let seen = arrivals.entry((delivery.producer, delivery.sequence)).or_insert((delivery.arrival_ns, 0));
        *seen = (delivery.arrival_ns.min(seen.0), seen.1 + 1);
    }
    arrivals
}

/// The messages of one producer with their places, ns.
fn messages(
    log: &loadgen::ledger::ProducerLog,
    arrivals: &HashMap<(u32, u64), (u64, u32)>,
    zero_ns: u64,
) -> Vec<(Message, u64)> {
    let mut sent: BTreeMap<u64, (u64, Option<u64>)> = BTreeMap::new();
    for send in log.sends.iter() {
        let one = sent.entry(send.sequence).or_insert((send.invoke_ns, None));
        if send.outcome == Outcome::Ok {
            one.1 = Some(one.1.map_or(send.outcome_ns, |before| before.min(send.outcome_ns)));
        }
    }
    let message = |(sequence, (sent_ns, confirmed_ns)): (u64, (u64, Option<u64>))| {
        let arrived = arrivals.get(&(log.producer, sequence));
        let fate = match (confirmed_ns, arrived) {
            (_, Some((_, 2..))) => Fate::Duplicated,
            (Some(_), Some(_)) => Fate::Delivered,
            (Some(_), None) => Fate::Lost,
            (None, Some(_)) => Fate::Recovered,
            (None, None) => Fate::InDoubt,
        };
        let ms = |t_ns: u64| ms_between(zero_ns, t_ns);
        let message = Message {
            producer: log.producer,
            sequence,
            sent_ms: ms(sent_ns),
            confirmed_ms: confirmed_ns.map(ms),
            delivered_ms: arrived.map(|(first, _)| ms(*first)),
            fate,
        };
        (message, confirmed_ns.unwrap_or(sent_ns))
    };
    sent.into_iter().map(message).collect()
}

const HEADER: &str = "producer,sequence,sent_ms,confirmed_ms,delivered_ms,fate";

/// Writes them as CSV; an absent time is an empty field.
pub fn write(path: &Path, messages: &[Message]) -> Result<()> {
    let optional = |ms: Option<f64>| ms.map_or_else(String::new, |ms| format!("{ms:.3}"));
    let line = |one: &Message| {
        let (confirmed, delivered) = (optional(one.confirmed_ms), optional(one.delivered_ms));
        format!("{},{},{:.3},{confirmed},{delivered},{}\n", one.producer, one.sequence, one.sent_ms, one.fate)
    };
    let text = format!("{HEADER}\n{}", messages.iter().map(line).collect::<String>());
    std::fs::write(path, text).at(path)
}

/// Reads what [`write()`] wrote.
pub fn read(path: &Path) -> Result<Vec<Message>> {
    let text = std::fs::read_to_string(path).at(path)?;
    let mut lines = text.lines();
    let header = lines.next().unwrap_or("");
    if header != HEADER {
        return Err(Error::Schema { path: path.to_owned(), found: header.to_owned(), expected: HEADER });
    }
    let parsed: Option<Vec<Message>> = lines.map(parse_line).collect();
    parsed.ok_or_else(|| std::io::ErrorKind::InvalidData.into()).at(path)
}

fn parse_line(line: &str) -> Option<Message> {
    let fields: Vec<&str> = line.split(',').collect();
    let [producer, sequence, sent_ms, confirmed_ms, delivered_ms, fate] = fields.as_slice() else { return None };
    let optional = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    Some(Message {
        producer: producer.parse().ok()?,
        sequence: sequence.parse().ok()?,
        sent_ms: sent_ms.parse().ok()?,
        confirmed_ms: optional(confirmed_ms)?,
        delivered_ms: optional(delivered_ms)?,
        fate: fate.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen::ledger::{ConsumerLog, Delivery, ProducerLog, Send};

    const ZERO: u64 = 1_000 * NS_PER_MS;

    fn send(sequence: u64, after_ms: i64, outcome: Outcome) -> Send {
        let invoke_ns = (ZERO as i64 + after_ms * NS_PER_MS as i64) as u64;
        let outcome_ns = if outcome == Outcome::Ok { invoke_ns + NS_PER_MS } else { 0 };
        Send {
            sequence,
            intended_ns: invoke_ns,
            invoke_ns,
            outcome_ns,
            confirm_index: 0,
            connection: 0,
            attempt: 0,
            outcome,
        }
    }

    fn delivery(sequence: u64, after_ms: i64) -> Delivery {
        let arrival_ns = (ZERO as i64 + after_ms * NS_PER_MS as i64) as u64;
        Delivery {
            sequence,
            arrival_ns,
            acknowledged_ns: 0,
            producer: 0,
            connection: 0,
            attempt: 0,
            redelivered: false,
        }
    }

    fn ledger(sends: Vec<Send>, deliveries: Vec<Delivery>) -> Ledger {
        let producer = ProducerLog { sends: sends.into_iter().collect(), ..ProducerLog::default() };
        let consumer = ConsumerLog { deliveries: deliveries.into_iter().collect(), ..ConsumerLog::default() };
        Ledger { producers: vec![producer], consumers: vec![consumer], ..Ledger::default() }
    }

    #[test]
    fn each_message_near_the_loss_has_its_fate() {
        let outcomes = [
            (0, -500, Outcome::Ok),
            (1, -20, Outcome::Ok),
            (2, -10, Outcome::Ok),
            (3, -1, Outcome::Info),
            (4, -1, Outcome::Info),
            (5, 9, Outcome::Ok),
            (6, 900, Outcome::Ok),
        ];
        let sends = outcomes.map(|(sequence, after_ms, outcome)| send(sequence, after_ms, outcome)).to_vec();
        let arrived = [(0, -499), (1, -18), (3, 30), (5, 31), (5, 40), (6, 901)];
        let ledger = ledger(sends, arrived.map(|(one, at)| delivery(one, at)).to_vec());
        assert_eq!(first_lost_ns(&ledger), Some(ZERO - 9 * NS_PER_MS));
        let found = around_loss(&ledger, ZERO);
        let fates: Vec<(u64, Fate)> = found.iter().map(|one| (one.sequence, one.fate)).collect();
        let expected =
            [(1, Fate::Delivered), (2, Fate::Lost), (3, Fate::Recovered), (4, Fate::InDoubt), (5, Fate::Duplicated)];
        assert_eq!(fates, expected);
        assert_eq!((found[1].place_ms(), found[2].place_ms(), found[4].delivered_ms), (-9.0, -1.0, Some(31.0)));
    }

    #[test]
    fn nothing_lost_is_nothing_to_show() {
        let ledger = ledger(vec![send(0, 1, Outcome::Ok)], vec![delivery(0, 2)]);
        assert!(around_loss(&ledger, ZERO).is_empty());
        assert_eq!(first_lost_ns(&ledger), None);
    }

    #[test]
    fn messages_survive_their_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("fates.csv");
        let found = around_loss(&ledger(vec![send(0, -3, Outcome::Ok), send(1, 2, Outcome::Info)], vec![]), ZERO);
        assert_eq!(found.len(), 2);
        write(&path, &found).expect("the folder is ours");
        assert_eq!(read(&path).expect("it was written"), found);
        std::fs::write(&path, format!("{HEADER}\n0,1,2.0,,,vanished\n")).expect("the folder is ours");
        assert!(matches!(read(&path), Err(Error::File { .. })));
    }
}
