//! The page /metrics as a small parser of the format reads it, and the document made of the same table.

use super::Counters;
use super::exposition::Kind;
use super::families::{Family, SECTIONS, expose};
use super::page::metrics_help;
use super::snapshot::{Destination, Following, Latest, Snapshot};
use crate::ha::State;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;
use store::{Histogram, LaneStatistics};

fn families() -> impl Iterator<Item = &'static Family> {
    SECTIONS.iter().flat_map(|(_, families)| families.iter())
}

/// A snapshot in which everything is present.
fn snapshot() -> Snapshot {
    let mut counters = Counters::new();
    counters.link_beats.made(1_000_000);
    counters.link_beats.sent(31_000_000);
    let mut commits = Histogram::new(&[1_000_000]);
    commits.record(500_000);
    let statistics = LaneStatistics { commits, batches: Histogram::new(&[4096]), records: 7 };
    Snapshot {
        taken: Instant::now(),
        server: "a \"quoted\" name".into(),
        state: State::Standby,
        epoch: 3,
        destinations: vec![Destination {
            name: "q\\1".into(),
            store: "s".into(),
            messages: 9,
            ..Destination::default()
        }],
        queues: 1,
        stores: vec![("$sys.failsafe".into(), statistics)],
        following: Some(Following { epoch: 3, bytes: 10, messages: 2, behind: 20_000_000, unchanged: 1_500_000_000 }),
        connections: 1,
        connections_max: 0,
        accepted: 2,
        peer_links: 1,
        message_memory: 1,
        volatile_memory: 2,
        message_memory_max: 3,
        entry_memory: 4,
        turns: counters.turns.clone(),
        link_beats: counters.link_beats.clone(),
        store_beats: counters.store_beats.clone(),
        arrivals: counters.arrivals.clone(),
        takeover: Some(super::Takeover { time: 5_000_000, bytes: 6, messages: 7, loading: Some(8) }),
        backlog: 7,
        backlog_loaded: 7,
    }
}

/// One metric, as read back.
#[derive(Debug, Default)]
struct Parsed {
    kind: String,
    /// Suffix of the name, labels, value.
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

/// Reads the format; panics on what is not of it.
fn parse(page: &str) -> BTreeMap<String, Parsed> {
    let mut metrics: BTreeMap<String, Parsed> = BTreeMap::new();
    let mut current = String::new();
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            current = rest.split_once(' ').expect("a name and a help").0.to_string();
            assert!(metrics.insert(current.clone(), Parsed::default()).is_none(), "{current} stands twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(name, current);
            metrics.get_mut(name).expect("HELP comes first").kind = kind.to_string();
        } else {
            let (suffix, labels, value) = parse_sample(line, &current);
            metrics.get_mut(&current).expect("HELP comes first").samples.push((suffix, labels, value));
        }
    }
    metrics
}

fn parse_sample(line: &str, name: &str) -> (String, BTreeMap<String, String>, f64) {
    let rest = line.strip_prefix(name).unwrap_or_else(|| panic!("{line} is no sample of {name}"));
    let (head, value) = rest.rsplit_once(' ').expect("a value");
    let (suffix, labels) = head.split_once('{').unwrap_or((head, "}"));
    let mut letters = labels.strip_suffix('}').expect("a closing brace").chars().peekable();
    let mut parsed = BTreeMap::new();
    while letters.peek().is_some() {
        let label: String = letters.by_ref().take_while(|letter| *letter != '=').collect();
        assert_eq!(letters.next(), Some('"'), "{line}");
        let mut text = String::new();
        loop {
            match letters.next().unwrap_or_else(|| panic!("no end of {label} in {line}")) {
                '"' => break,
                '\\' => match letters.next() {
                    Some('n') => text.push('\n'),
                    Some(letter @ ('\\' | '"')) => text.push(letter),
                    other => panic!("{other:?} escaped in {line}"),
                },
                letter => text.push(letter),
            }
        }
        assert!(parsed.insert(label, text).is_none(), "{line}");
        assert!(matches!(letters.next(), None | Some(',')), "{line}");
    }
    (suffix.to_string(), parsed, value.parse().unwrap_or_else(|_| panic!("{line} has no number")))
}

#[test]
fn the_page_has_every_metric_of_the_table_in_the_format() {
    let metrics = parse(&expose(&snapshot()));
    assert_eq!(metrics.keys().map(String::as_str).collect::<BTreeSet<_>>(), families().map(|one| one.name).collect());
    for family in families() {
        let parsed = &metrics[family.name];
        assert_eq!(parsed.kind, family.kind.word(), "{}", family.name);
        assert!(!parsed.samples.is_empty(), "{} has no sample", family.name);
        let wanted: BTreeSet<&str> = family.labels.split(", ").filter(|label| !label.is_empty()).collect();
        let suffixes: BTreeSet<&str> = parsed.samples.iter().map(|(suffix, ..)| suffix.as_str()).collect();
        let expected: &[&str] = if family.kind == Kind::Histogram { &["_bucket", "_count", "_sum"] } else { &[""] };
        assert_eq!(suffixes, expected.iter().copied().collect(), "{}", family.name);
        for (_, labels, _) in &parsed.samples {
            assert_eq!(
                labels.keys().map(String::as_str).filter(|label| *label != "le").collect::<BTreeSet<_>>(),
                wanted
            );
        }
    }
    assert_eq!(metrics["understudy_queue_messages"].samples[0].1["queue"], "q\\1");
    assert_eq!(metrics["understudy_ft_heartbeats_late_total"].samples[0].2, 1.0);
    assert_eq!(metrics["understudy_standby_unchanged_seconds"].samples[0].2, 1.5);
}

#[test]
fn names_follow_the_conventions() {
    for Family { name, kind, help, .. } in families() {
        assert!(name.starts_with("understudy_"), "{name}");
        assert!(name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        let is_sized = ["_seconds", "_bytes"].iter().any(|unit| name.ends_with(unit));
        assert!(*kind != Kind::Histogram || is_sized, "a histogram has a base unit: {name}");
        assert!(help.ends_with('.') && !help.contains('|'), "the help of {name} is a sentence");
    }
}

#[test]
fn one_state_is_the_present_one() {
    let metrics = parse(&expose(&snapshot()));
    let states = &metrics["understudy_ft_state"].samples;
    assert_eq!(states.len(), State::ALL.len());
    for (_, labels, value) in states {
        assert_eq!(*value, if labels["state"] == "STANDBY" { 1.0 } else { 0.0 });
    }
}

#[test]
fn a_reader_keeps_what_it_took() {
    let latest = Latest::default();
    assert!(latest.get().is_none());
    assert!(latest.try_put(Arc::new(snapshot())));
    let taken = latest.get().expect("it was put there");
    assert!(latest.try_put(Arc::new(Snapshot { epoch: 4, ..snapshot() })));
    assert_eq!((taken.epoch, latest.get().expect("it was put there").epoch), (3, 4));
}

#[test]
fn metrics_page_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/METRICS.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, metrics_help()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page == metrics_help(), "docs/METRICS.md is old: BLESS=1 cargo test -p broker metrics_page");
}
