//! The table of metrics: name, kind, meaning, and where in a snapshot the values are.
//!
//! This is the one place that knows the names. /metrics and docs/METRICS.md are made from it; a test holds them together.
//! Names follow Prometheus: base units (seconds, bytes), `_total` for counters.

use super::exposition::Kind::{self, Counter, Gauge, Histogram};
use super::exposition::{NANOS, Samples};
use super::snapshot::{Destination, Snapshot};
use crate::ha::State;

/// One metric.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Names of its labels, for people.
    pub(crate) labels: &'static str,
    pub(crate) help: &'static str,
    collect: fn(&Snapshot, &mut Samples<'_>),
}

type Collect = fn(&Snapshot, &mut Samples<'_>);

const fn family(name: &'static str, kind: Kind, labels: &'static str, help: &'static str, collect: Collect) -> Family {
    Family { name, kind, labels, help, collect }
}

/// A titled part of the table.
pub(crate) type Section = (&'static str, &'static [Family]);

/// All metrics.
pub(crate) const SECTIONS: &[Section] = &[
    ("Server", SERVER),
    ("Fault tolerance", FAULT_TOLERANCE),
    ("Queues", QUEUES),
    ("Stores", STORES),
    ("Connections and memory", RESOURCES),
];

const SERVER: &[Family] = &[
    family(
        "understudy_build_info",
        Gauge,
        "version, server",
        "Always 1; the labels say which program it is.",
        |of, to| {
            to.number(&[("version", env!("CARGO_PKG_VERSION")), ("server", &of.server)], 1);
        },
    ),
    family(
        "understudy_loop_turn_seconds",
        Histogram,
        "",
        "Turns of the server's loop, the waits for work not counted.",
        |of, to| {
            to.histogram(&[], &of.turns, NANOS);
        },
    ),
];

const FAULT_TOLERANCE: &[Family] = &[
    family(
        "understudy_ft_state",
        Gauge,
        "state",
        "1 for the state that the server is in, 0 for the others.",
        |of, to| {
            State::ALL.iter().for_each(|state| to.number(&[("state", state.name())], u64::from(*state == of.state)));
        },
    ),
    family("understudy_ft_epoch", Gauge, "", "The epoch of the store that this server owns; 0: none.", |of, to| {
        to.number(&[], of.epoch)
    }),
    family("understudy_ft_links", Gauge, "", "Links to the other server that are up.", |of, to| {
        to.number(&[], of.peer_links)
    }),
    family(
        "understudy_ft_heartbeat_delay_seconds",
        Histogram,
        "path",
        "How long after its time each heartbeat was handed to the kernel; path=link: to the other server, path=store: into the store. Those that a change of state sends at once are not counted.",
        |of, to| {
            to.histogram(&[("path", "link")], &of.link_beats.delays, NANOS);
            to.histogram(&[("path", "store")], &of.store_beats.delays, NANOS);
        },
    ),
    family(
        "understudy_ft_heartbeats_late_total",
        Counter,
        "path",
        "Of them, those that were later than 20 ms.",
        |of, to| {
            to.number(&[("path", "link")], of.link_beats.late);
            to.number(&[("path", "store")], of.store_beats.late);
        },
    ),
    family("understudy_ft_heartbeat_delay_max_seconds", Gauge, "path", "The latest of them.", |of, to| {
        to.seconds(&[("path", "link")], of.link_beats.delay_max);
        to.seconds(&[("path", "store")], of.store_beats.delay_max);
    }),
    family(
        "understudy_ft_heartbeat_gap_seconds",
        Histogram,
        "",
        "Between two heartbeats of the other server, as they arrived.",
        |of, to| to.histogram(&[], &of.arrivals.gaps, NANOS),
    ),
    family(
        "understudy_standby_epoch",
        Gauge,
        "",
        "The epoch whose journal a standby follows; absent on others.",
        |of, to| {
            of.following.iter().for_each(|following| to.number(&[], following.epoch));
        },
    ),
    family("understudy_standby_read_bytes", Gauge, "", "Bytes of that journal that it has read.", |of, to| {
        of.following.iter().for_each(|following| to.number(&[], following.bytes));
    }),
    family("understudy_standby_messages", Gauge, "", "Live messages as far as it has read.", |of, to| {
        of.following.iter().for_each(|following| to.number(&[], following.messages));
    }),
    family(
        "understudy_standby_lag_seconds",
        Gauge,
        "",
        "Since the standby last reached the end of the journal; it looks every 20 ms, and figures are published every 100 ms.",
        |of, to| of.following.iter().for_each(|following| to.seconds(&[], following.behind)),
    ),
    family(
        "understudy_standby_unchanged_seconds",
        Gauge,
        "",
        "Since it last found something new there: grows while the active server has nothing to write.",
        |of, to| of.following.iter().for_each(|following| to.seconds(&[], following.unchanged)),
    ),
    family(
        "understudy_recovery_seconds",
        Gauge,
        "",
        "From the claim of the store until it could serve, at the last takeover or start; absent before.",
        |of, to| of.takeover.iter().for_each(|takeover| to.seconds(&[], takeover.time)),
    ),
    family("understudy_recovery_read_bytes", Gauge, "", "Bytes that it read.", |of, to| {
        of.takeover.iter().for_each(|takeover| to.number(&[], takeover.bytes));
    }),
    family("understudy_recovery_messages", Gauge, "", "Messages that it found.", |of, to| {
        of.takeover.iter().for_each(|takeover| to.number(&[], takeover.messages));
    }),
    family(
        "understudy_recovery_loading_seconds",
        Gauge,
        "",
        "From then until the queues held that backlog; absent while they do not.",
        |of, to| {
            let loading = of.takeover.iter().filter_map(|takeover| takeover.loading);
            loading.for_each(|nanos| to.seconds(&[], nanos));
        },
    ),
    family(
        "understudy_backlog_messages",
        Gauge,
        "",
        "Messages that the queues are to hold of that backlog.",
        |of, to| {
            to.number(&[], of.backlog);
        },
    ),
    family("understudy_backlog_loaded_messages", Gauge, "", "Those of them that they hold, or held.", |of, to| {
        to.number(&[], of.backlog_loaded);
    }),
];

const QUEUES: &[Family] = &[
    family("understudy_queues_listed", Gauge, "", "Queues that are listed by name, 1000 at most.", |of, to| {
        to.number(&[], of.queues)
    }),
    family(
        "understudy_queue_messages",
        Gauge,
        "queue, store",
        "Messages in the queue, unsettled ones included.",
        |of, to| {
            each(of, to, |queue| queue.messages);
        },
    ),
    family("understudy_queue_bytes", Gauge, "queue, store", "Bytes of them.", |of, to| {
        each(of, to, |queue| queue.bytes)
    }),
    family("understudy_queue_unsettled_messages", Gauge, "queue, store", "Messages that consumers hold.", |of, to| {
        each(of, to, |queue| queue.unsettled);
    }),
    family("understudy_queue_consumers", Gauge, "queue, store", "Consumers, browsers not counted.", |of, to| {
        each(of, to, |queue| queue.consumers);
    }),
    family(
        "understudy_queue_received_messages_total",
        Counter,
        "queue, store",
        "Messages of producers that were taken in.",
        |of, to| {
            each(of, to, |queue| queue.flow.received);
        },
    ),
    family(
        "understudy_queue_received_bytes_total",
        Counter,
        "queue, store",
        "Bytes of them, headers not counted.",
        |of, to| {
            each(of, to, |queue| queue.flow.received_bytes);
        },
    ),
    family(
        "understudy_queue_delivered_messages_total",
        Counter,
        "queue, store",
        "Messages handed to consumers, repetitions and browsers included.",
        |of, to| each(of, to, |queue| queue.flow.delivered),
    ),
    family(
        "understudy_queue_delivered_bytes_total",
        Counter,
        "queue, store",
        "Bytes of them, headers not counted.",
        |of, to| {
            each(of, to, |queue| queue.flow.delivered_bytes);
        },
    ),
    family(
        "understudy_queue_acknowledged_messages_total",
        Counter,
        "queue, store",
        "Messages that a consumer accepted.",
        |of, to| {
            each(of, to, |queue| queue.flow.acknowledged);
        },
    ),
];

const STORES: &[Family] = &[
    family(
        "understudy_store_commit_seconds",
        Histogram,
        "store",
        "From the issue of a write to its completion, of each batch; absent while the server does not own the store.",
        |of, to| {
            of.stores.iter().for_each(|(store, figures)| to.histogram(&[("store", store)], &figures.commits, NANOS))
        },
    ),
    family(
        "understudy_store_batch_bytes",
        Histogram,
        "store",
        "Size of each batch as written; the sum is all that was written.",
        |of, to| {
            of.stores.iter().for_each(|(store, figures)| to.histogram(&[("store", store)], &figures.batches, 1.0));
        },
    ),
    family(
        "understudy_store_records_total",
        Counter,
        "store",
        "Records in them: messages, acknowledgements (several of them in one record) and definitions.",
        |of, to| of.stores.iter().for_each(|(store, figures)| to.number(&[("store", store)], figures.records)),
    ),
    family("understudy_store_written_bytes_total", Counter, "store", "Bytes in them.", |of, to| {
        of.stores.iter().for_each(|(store, figures)| to.number(&[("store", store)], figures.batches.sum()));
    }),
];

const RESOURCES: &[Family] = &[
    family("understudy_connections", Gauge, "", "Connections, those of the other server included.", |of, to| {
        to.number(&[], of.connections)
    }),
    family("understudy_connections_limit", Gauge, "", "max_connections; 0: no limit.", |of, to| {
        to.number(&[], of.connections_max)
    }),
    family("understudy_connections_accepted_total", Counter, "", "Connections accepted.", |of, to| {
        to.number(&[], of.accepted)
    }),
    family(
        "understudy_message_memory_bytes",
        Gauge,
        "",
        "Memory for message bodies in use, non-persistent ones included.",
        |of, to| {
            to.number(&[], of.message_memory);
        },
    ),
    family("understudy_message_memory_limit_bytes", Gauge, "", "max_msg_memory; 0: no limit.", |of, to| {
        to.number(&[], of.message_memory_max)
    }),
    family(
        "understudy_non_persistent_memory_bytes",
        Gauge,
        "",
        "Bodies of non-persistent messages, which cannot leave it.",
        |of, to| {
            to.number(&[], of.volatile_memory);
        },
    ),
    family(
        "understudy_entry_memory_bytes",
        Gauge,
        "",
        "Memory of the queues' entries, which is not part of it.",
        |of, to| {
            to.number(&[], of.entry_memory);
        },
    ),
];

fn each(of: &Snapshot, to: &mut Samples<'_>, value: fn(&Destination) -> u64) {
    for queue in &of.destinations {
        to.number(&[("queue", &queue.name), ("store", &queue.store)], value(queue));
    }
}

/// The page /metrics.
pub(crate) fn expose(snapshot: &Snapshot) -> String {
    let mut page = String::new();
    for family in SECTIONS.iter().flat_map(|(_, families)| families.iter()) {
        (family.collect)(snapshot, &mut Samples::begin(&mut page, family.name, family.kind, family.help));
    }
    page
}
