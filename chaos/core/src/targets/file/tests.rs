//! Mistakes in target files, and the files and the document that are shipped.

use super::*;
use crate::scenario::StoreSetting;
use crate::targets::{Acknowledgements, Promise};
use std::time::Duration;

const LONE: &str = r#"name = "x"
explanation = "a lone broker"
ports = ["amqp"]
restart_after = "100ms"
[queues.sync]
address = "q"
words = "durable"
[[node]]
url = "amqp://127.0.0.1:${port.amqp}"
start = ["broker", "--dir", "${dir}"]
"#;

fn refused(text: &str, line: usize, words: &[&str]) {
    let (found_line, reason) = parse(text).expect_err(text);
    assert_eq!(found_line, line, "{reason}");
    for word in words {
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn a_small_file_means_what_it_says() {
    let target = parse(LONE).expect("it is well-formed");
    assert!(target.is_lone());
    assert_eq!(target.restart_after, Some(Duration::from_millis(100)));
    assert_eq!(target.queue(StoreSetting::Sync).map(|queue| queue.promise), Some(Promise::NothingLost));
    assert_eq!(target.queue(StoreSetting::Async), None);
    assert_eq!(target.clients.acknowledgements, Acknowledgements::Confirmed);
}

#[test]
fn mistakes_name_line_key_and_remedy() {
    refused(&LONE.replace("restart_after", "restart_afer"), 4, &["restart_afer", "expected one of"]);
    refused(&LONE.replace("\"100ms\"", "\"soon\""), 4, &["restart_after", "write a number with us, ms"]);
    refused(&LONE.replace("restart_after = \"100ms\"\n", ""), 1, &["restart_after", "100ms"]);
    refused(&LONE.replace("${dir}", "${dri}"), 10, &["${dri}", "${dir}", "${port.amqp}"]);
    refused(&LONE.replace("[\"broker\", \"--dir\", \"${dir}\"]", "[]"), 10, &["start", "name a program"]);
    refused(&LONE.replace("[\"broker\", \"--dir\", \"${dir}\"]", "7"), 10, &["start = 7", "expected a command"]);
    refused(&LONE.replace("amqp://", "http://"), 9, &["url", "amqp://host:port"]);
    refused(&LONE.replace("[queues.sync]\naddress = \"q\"\nwords = \"durable\"", "[queues]"), 1, &["[queues.sync]"]);
    refused(&LONE.replace("[\"amqp\"]", "[\"a-b\"]").replace("port.amqp", "port.a-b"), 3, &["ports", "letters"]);
    refused(&(LONE.to_owned() + "kill = \"ssh a kill\"\n"), 11, &["kill", "kill_proof"]);
    refused(&(LONE.to_owned() + "resume_proof = \"true\"\n"), 11, &["resume_proof", "leave resume_proof out"]);
    let paused = "pause = \"p\"\npause_proof = \"q\"\n";
    refused(&(LONE.to_owned() + paused), 11, &["pause", "resume"]);
    let node = LONE.split("[[node]]").nth(1).expect("there is a node");
    let three = format!("{LONE}[[node]]{node}[[node]]{node}");
    refused(&three, 1, &["3 nodes", "[[node]]"]);
    refused("name = 3", 1, &["name = 3"]);
}

#[test]
fn a_comment_may_show_what_is_no_variable() {
    assert!(parse(&(LONE.to_owned() + "# ${HOME} is not ours\n")).is_ok());
}

#[test]
fn the_loss_that_a_queue_may_have_can_be_bounded() {
    let text = LONE.replace("words =", "promise = { newest-lost = { span = \"1s\" } }\nwords =");
    let target = parse(&text).expect("it is well-formed");
    let promise = target.queue(StoreSetting::Sync).map(|queue| queue.promise);
    assert_eq!(promise, Some(Promise::NewestLost { span: Some(Duration::from_secs(1)) }));
}

/// The folder of the shipped files.
fn shipped() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../targets")
}

#[test]
fn the_shipped_files_are_well_formed() {
    let check = |name: &str, nodes: usize, queues: usize| {
        let target = read(&shipped().join(name)).expect(name);
        let found = StoreSetting::ALL.into_iter().filter_map(|store| target.queue(store)).count();
        assert_eq!((target.nodes.len(), found), (nodes, queues), "{name}");
        target
    };
    let rabbitmq = check("rabbitmq.toml", 1, 2);
    assert!(rabbitmq.restart_after.is_some() && rabbitmq.is_lone());
    let artemis = check("artemis.toml", 2, 1);
    assert!(artemis.restart_after.is_none() && artemis.nodes.iter().all(|node| node.role.is_none()));
    check("understudy.toml", 2, 2);
}

/// The keys of every table, as the parser itself lists them when it meets one that it does not know.
fn keys_of_the_parser() -> Vec<String> {
    let places = [
        LONE.replace("name = \"x\"", "name = \"x\"\nunknown = 1"),
        LONE.replace("[[node]]", "[[node]]\nunknown = 1"),
        LONE.replace("[queues.sync]", "[queues.sync]\nunknown = 1"),
        LONE.replace("[queues.sync]", "[queues.unknown]"),
        LONE.replace("[queues.sync]", "[login]\nunknown = 1\n[queues.sync]"),
        LONE.replace("[queues.sync]", "[clients]\nunknown = 1\n[queues.sync]"),
        LONE.replace("[queues.sync]", "[limits]\nunknown = 1\n[queues.sync]"),
        LONE.replace("words =", "promise = { newest-lost = { unknown = 1 } }\nwords ="),
        LONE.replace("words =", "promise = \"unknown\"\nwords ="),
        LONE.replace("[queues.sync]", "[clients]\nacknowledgements = \"unknown\"\n[queues.sync]"),
    ];
    let mut keys = Vec::new();
    for text in places {
        let (_, reason) = parse(&text).expect_err("the key is unknown");
        let list = reason.split("expected").nth(1).unwrap_or_else(|| panic!("{reason}"));
        keys.extend(list.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    keys
}

#[test]
fn every_key_and_variable_is_documented() {
    let path = shipped().join("../../docs/TARGETS.md");
    let text = std::fs::read_to_string(&path).expect("docs/TARGETS.md is there");
    let keys = keys_of_the_parser();
    assert!(keys.len() > 40, "{keys:?}");
    for key in keys {
        assert!(text.contains(&format!("`{key}`")), "docs/TARGETS.md does not explain `{key}`");
    }
    for (name, _) in VARIABLES {
        assert!(text.contains(&format!("`${{{name}}}`")), "docs/TARGETS.md does not explain ${{{name}}}");
    }
}
