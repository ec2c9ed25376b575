//! history.jsonl.zst: every send and every delivery of a run, so that its figures can be computed again by other means.
//!
//! One zstd frame for each trial, one after the other. Each begins with a JSON object that names the trial and the columns; each
//! further line is a JSON array, since field names on millions of lines would be most of the file.

use crate::error::{AtPath, Result};
use crate::plan::TrialPlan;
use loadgen::ledger::{Ledger, Outcome, ProducerLog};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// File name.
pub const FILE: &str = "history.jsonl.zst";

/// The file while it is being written.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    file: File,
}

impl History {
    /// Makes an empty file in `folder`.
    pub fn create(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let file = File::create(&path).at(&path)?;
        Ok(Self { path, file })
    }

    /// Appends one trial: all of its clients, of which the first ones, those of `measured`, gave the times. Times are microseconds after
    /// `zero_ns`.
    pub fn append(&mut self, plan: &TrialPlan, ledger: &Ledger, measured: &Ledger, zero_ns: u64) -> Result<()> {
        let text = lines(plan, ledger, measured, zero_ns);
        // Into memory first: the compressor panics when its target fails, and a full disk is no reason to.
        let frame = compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
        self.file.write_all(&frame).at(&self.path)
    }
}

fn lines(plan: &TrialPlan, ledger: &Ledger, measured: &Ledger, zero_ns: u64) -> String {
    let mut text = serde_json::json!({
        "trial": plan.number, "scenario": plan.scenario, "store": plan.store, "zero_ns": zero_ns,
        "producers": ledger.producers.iter().map(|log| &log.address).collect::<Vec<_>>(),
        "consumers": ledger.consumers.iter().map(|log| &log.address).collect::<Vec<_>>(),
        "measured": { "producers": measured.producers.len(), "consumers": measured.consumers.len() },
        "s": ["kind", "producer", "sequence", "attempt", "connection", "intended_us", "invoke_us", "answer_us", "outcome", "confirm"],
        "d": ["kind", "consumer", "producer", "sequence", "attempt", "connection", "arrival_us", "acknowledged_us", "redelivered"],
        "c": ["kind", "client", "number", "connection", "server", "opened_us", "closed_us", "reason"],
        "x": ["kind", "consumer", "alien", "corrupt"],
    })
    .to_string();
    text.push('\n');
    // Rounded down, so that what lies before the fault stays before it.
    let us = |t_ns: u64| (t_ns as i64 - zero_ns as i64).div_euclid(1000);
    let optional_us = |t_ns: u64| if t_ns == 0 { "null".to_owned() } else { us(t_ns).to_string() };
    let mut connections = |client: &str, number: u32, list: &[loadgen::ledger::Connection]| {
        for (index, one) in list.iter().enumerate() {
            let (opened, closed) = (us(one.opened_ns), (one.closed_ns != 0).then(|| us(one.closed_ns)));
            let line = serde_json::json!(["c", client, number, index, one.server, opened, closed, one.reason]);
            writeln!(text, "{line}").expect("writing to a string cannot fail");
        }
    };
    for log in &ledger.producers {
        connections("producer", log.producer, &log.connections);
    }
    for log in &ledger.consumers {
        connections("consumer", log.consumer, &log.connections);
    }
    for log in &ledger.consumers {
        let (consumer, alien, corrupt) = (log.consumer, log.alien, log.corrupt);
        writeln!(text, "[\"x\",{consumer},{alien},{corrupt}]").expect("writing to a string cannot fail");
    }
    for log in &ledger.producers {
        sends(&mut text, log, us, optional_us);
    }
    for log in &ledger.consumers {
        for one in log.deliveries.iter() {
            let (consumer, producer, sequence, attempt) = (log.consumer, one.producer, one.sequence, one.attempt);
            let (connection, arrival, redelivered) = (one.connection, us(one.arrival_ns), one.redelivered);
            let acknowledged = optional_us(one.acknowledged_ns);
            writeln!(
                text,
                "[\"d\",{consumer},{producer},{sequence},{attempt},{connection},{arrival},{acknowledged},{redelivered}]"
            )
            .expect("writing to a string cannot fail");
        }
    }
    text
}

fn sends(text: &mut String, log: &ProducerLog, us: impl Fn(u64) -> i64, optional_us: impl Fn(u64) -> String) {
    for one in log.sends.iter() {
        let outcome = match one.outcome {
            Outcome::Ok => "ok",
            Outcome::Fail => "fail",
            Outcome::Info | Outcome::Pending => "info",
        };
        let (producer, sequence, attempt, connection) = (log.producer, one.sequence, one.attempt, one.connection);
        let (intended, invoke, answer) = (us(one.intended_ns), us(one.invoke_ns), optional_us(one.outcome_ns));
        let confirm = if one.outcome == Outcome::Ok { one.confirm_index.to_string() } else { "null".to_owned() };
        writeln!(
            text,
            "[\"s\",{producer},{sequence},{attempt},{connection},{intended},{invoke},{answer},\"{outcome}\",{confirm}]"
        )
        .expect("writing to a string cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Request, expand};
    use loadgen::ledger::{Connection, ConsumerLog, Delivery, Send};
    use std::io::Read;

    fn planted() -> Ledger {
        let connection = Connection {
            server: "amqp://127.0.0.1:1".to_owned(),
            opened_ns: 1_000_000,
            closed_ns: 0,
            reason: String::new(),
        };
        let send = |sequence, outcome, outcome_ns| Send {
            sequence,
            intended_ns: 2_000_000,
            invoke_ns: 2_100_000 - sequence,
            outcome_ns,
            confirm_index: 0,
            connection: 0,
            attempt: 0,
            outcome,
        };
        let delivery = Delivery {
            sequence: 0,
            arrival_ns: 3_500_000,
            acknowledged_ns: 0,
            producer: 0,
            connection: 0,
            attempt: 0,
            redelivered: true,
        };
        let producer = ProducerLog {
            sends: [send(0, Outcome::Ok, 3_000_000), send(1, Outcome::Pending, 0)].into_iter().collect(),
            connections: vec![connection.clone()],
            ..ProducerLog::default()
        };
        let consumer = ConsumerLog {
            deliveries: [delivery].into_iter().collect(),
            connections: vec![connection],
            ..ConsumerLog::default()
        };
        Ledger { producers: vec![producer], consumers: vec![consumer], ..Ledger::default() }
    }

    #[test]
    fn two_trials_are_two_frames_that_any_reader_joins() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let request = Request { trials: Some(1), ..Request::of("quick", 1) };
        let plan = expand(&request);
        let mut history = History::create(folder.path()).expect("the folder is ours");
        for trial in &plan.trials[..2] {
            history.append(trial, &planted(), &planted(), 2_500_000).expect("the folder is ours");
        }
        let mut file = File::open(folder.path().join(FILE)).expect("it was written");
        let mut text = String::new();
        for _ in 0..2 {
            let mut frame = ruzstd::decoding::StreamingDecoder::new(&mut file).expect("a frame");
            frame.read_to_string(&mut text).expect("a whole frame");
        }
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 2 * 7);
        assert_eq!(lines[0]["trial"], 1);
        assert_eq!(lines[7]["store"], "async");
        assert_eq!(lines[3], serde_json::json!(["x", 0, 0, 0]));
        assert_eq!(lines[4], serde_json::json!(["s", 0, 0, 0, 0, -500, -400, 500, "ok", 0]));
        assert_eq!(lines[5], serde_json::json!(["s", 0, 1, 0, 0, -500, -401, null, "info", null]));
        assert_eq!(lines[6], serde_json::json!(["d", 0, 0, 0, 0, 0, 1000, null, true]));
        for (line, kind) in [(1, "c"), (3, "x"), (4, "s"), (6, "d")] {
            assert_eq!(lines[line].as_array().map(Vec::len), lines[0][kind].as_array().map(Vec::len), "{kind}");
        }
    }
}
