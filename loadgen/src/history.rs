//! Owns the text form of the record, one JSON object a line, for people and for other checkers. It is an iterator, so that
//! whoever writes it can compress it on the way.
//!
//! ```text
//! {"type":"run","run":"00ab...","payload_bytes":1024}
//! {"type":"connection","client":"producer 0","era":0,"server":"amqp://h:1","opened_ns":1,"closed_ns":2,"reason":"..."}
//! {"type":"send","producer":0,"seq":7,"attempt":0,"era":0,"intended_ns":1,"invoke_ns":2,"outcome":"ok","outcome_ns":3,"confirm":7}
//! {"type":"delivery","consumer":0,"producer":0,"seq":7,"attempt":0,"era":0,"t_ns":4,"redelivered":false,"ack_ns":5}
//! ```

use crate::ledger::{Connection, ConsumerLog, Delivery, Ledger, Outcome, ProducerLog, Send};

/// All lines, without line ends: the run, then each producer's, then each consumer's connections and records.
pub fn lines(ledger: &Ledger) -> impl Iterator<Item = String> {
    let run = format!(r#"{{"type":"run","run":"{:016x}","payload_bytes":{}}}"#, ledger.run, ledger.payload_bytes);
    let producers = ledger.producers.iter().flat_map(|log| {
        let connections = connections(format!("producer {}", log.producer), &log.connections);
        connections.chain(log.sends.iter().map(|send| send_line(log, send)))
    });
    let consumers = ledger.consumers.iter().flat_map(|log| {
        let connections = connections(format!("consumer {}", log.consumer), &log.connections);
        connections.chain(log.deliveries.iter().map(|delivery| delivery_line(log, delivery)))
    });
    std::iter::once(run).chain(producers).chain(consumers)
}

fn connections(client: String, list: &[Connection]) -> impl Iterator<Item = String> {
    list.iter().enumerate().map(move |(era, connection)| {
        let line = serde_json::json!({
            "type": "connection", "client": client, "era": era, "server": connection.server,
            "opened_ns": connection.opened_ns, "closed_ns": connection.closed_ns, "reason": connection.reason,
        });
        line.to_string()
    })
}

/// The word for an outcome.
fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Fail => "fail",
        Outcome::Info | Outcome::Pending => "info",
    }
}

fn send_line(log: &ProducerLog, send: &Send) -> String {
    let Send { sequence, intended_ns, invoke_ns, outcome_ns, confirm_index, connection, attempt, outcome } = send;
    let confirm = if *outcome == Outcome::Ok { confirm_index.to_string() } else { "null".to_owned() };
    format!(
        r#"{{"type":"send","producer":{},"seq":{sequence},"attempt":{attempt},"era":{connection},"intended_ns":{intended_ns},"invoke_ns":{invoke_ns},"outcome":"{}","outcome_ns":{outcome_ns},"confirm":{confirm}}}"#,
        log.producer,
        word(*outcome),
    )
}

fn delivery_line(log: &ConsumerLog, delivery: &Delivery) -> String {
    let Delivery { sequence, arrival_ns, acknowledged_ns, producer, connection, attempt, redelivered } = delivery;
    format!(
        r#"{{"type":"delivery","consumer":{},"producer":{producer},"seq":{sequence},"attempt":{attempt},"era":{connection},"t_ns":{arrival_ns},"redelivered":{redelivered},"ack_ns":{acknowledged_ns}}}"#,
        log.consumer,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_json_and_nothing_is_left_out() {
        let connection =
            Connection { server: "amqp://a:1".to_owned(), opened_ns: 1, closed_ns: 9, reason: "\"killed\"".to_owned() };
        let send = Send {
            sequence: 7,
            intended_ns: 1,
            invoke_ns: 2,
            outcome_ns: 3,
            confirm_index: 4,
            connection: 0,
            attempt: 1,
            outcome: Outcome::Ok,
        };
        let delivery = Delivery {
            sequence: 7,
            arrival_ns: 5,
            acknowledged_ns: 6,
            producer: 2,
            connection: 0,
            attempt: 1,
            redelivered: true,
        };
        let ledger = Ledger {
            run: 0xab,
            payload_bytes: 64,
            producers: vec![ProducerLog {
                producer: 2,
                sends: [send, Send { outcome: Outcome::Info, ..send }].into_iter().collect(),
                connections: vec![connection.clone()],
                ..ProducerLog::default()
            }],
            consumers: vec![ConsumerLog {
                deliveries: [delivery].into_iter().collect(),
                connections: vec![connection],
                ..ConsumerLog::default()
            }],
        };
        let values: Vec<serde_json::Value> =
            lines(&ledger).map(|line| serde_json::from_str(&line).expect("JSON")).collect();
        let types: Vec<&str> = values.iter().filter_map(|value| value["type"].as_str()).collect();
        assert_eq!(types, ["run", "connection", "send", "send", "connection", "delivery"]);
        assert_eq!(values[1]["reason"], "\"killed\"");
        assert_eq!((&values[2]["confirm"], &values[3]["confirm"]), (&4.into(), &serde_json::Value::Null));
        assert_eq!((&values[5]["producer"], &values[5]["redelivered"]), (&2.into(), &true.into()));
    }
}
