//! docs/METRICS.md, made from the table of metrics.

use super::families::SECTIONS;
use std::fmt::Write;

const INTRODUCTION: &str = "\
<!-- Made from broker/server/src/monitor/families.rs; change it there, then run
     BLESS=1 cargo test -p broker metrics_page -->

# Metrics

What `GET /metrics` of a server with `monitor_listen` answers, in the text format of Prometheus. Figures are copied from the
server's loop every 100 ms while it has work, and once a second while it has none. Counters begin with the process; those of
stores begin when the server becomes active. The first 1000 queues are listed by name; all others are added up under
`queue=\">\"`, which no queue can be called, with an empty `store`.
";

/// The metrics as Markdown: the text of docs/METRICS.md and of `broker --help-metrics`.
pub(crate) fn metrics_help() -> String {
    let mut text = String::from(INTRODUCTION);
    for (title, families) in SECTIONS {
        let head = format!("\n## {title}\n\n| name | kind | labels | |\n|---|---|---|---|\n");
        text.push_str(&head);
        for family in *families {
            let (name, kind, labels, help) = (family.name, family.kind.word(), family.labels, family.help);
            writeln!(text, "| `{name}` | {kind} | {labels} | {help} |").expect("a string takes everything");
        }
    }
    text
}
