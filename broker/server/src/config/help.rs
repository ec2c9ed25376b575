//! docs/PARAMETERS.md, made from the tables.

use super::kept_tables::{CHANNEL, DURABLE, FACTORY, LISTENER, ROUTE, TOPIC, TRANSPORT};
use super::parameter::{Parameter, Status};
use super::tables::{QUEUE, SERVER, STORE, Section, rows};
use std::fmt::Write;

/// All parameters as Markdown: the text of docs/PARAMETERS.md and of `broker --help-parameters`.
pub fn parameters_help() -> String {
    let mut text = String::from(INTRODUCTION);
    for (file, note, table) in FILES {
        write!(text, "\n# {file}\n\n{note}").expect("a string takes everything");
        if rows(table).next().is_some() && rows(table).all(|row| row.status == Status::Kept) {
            text.push_str(KEPT_NOTE);
        }
        table.iter().for_each(|section| write_section(&mut text, section));
    }
    text
}

/// What the page tells of each file: its grammar, and its table where it has names.
const FILES: [(&str, &str, &[Section]); 15] = [
    ("tibemsd.conf", SERVER_NOTE, SERVER),
    ("tibemsd.json", JSON_NOTE, &[]),
    ("queues.conf", QUEUE_NOTE, QUEUE),
    ("stores.conf", STORE_NOTE, STORE),
    ("users.conf", USERS_NOTE, &[]),
    ("groups.conf", GROUPS_NOTE, &[]),
    ("acl.conf", ACL_NOTE, &[]),
    ("topics.conf", "`name property,property=value`, one topic or pattern a line.\n", TOPIC),
    ("durables.conf", DURABLE_NOTE, DURABLE),
    ("bridges.conf", BRIDGES_NOTE, &[]),
    ("factories.conf", "`[name]`, then `key = value`.\n", FACTORY),
    ("routes.conf", "`[name of the other server]`, then `key = value`.\n", ROUTE),
    ("transports.conf", "`[name]`, then `type = ...`, then the other keys.\n", TRANSPORT),
    ("tibrvcm.conf", "`[transport] listener subject`, one certified listener a line.\n", LISTENER),
    ("channels.conf", "`[name]`, then `key = value`.\n", CHANNEL),
];

const INTRODUCTION: &str = "\
<!-- Made from broker/server/src/config/tables.rs; change it there, then run
     BLESS=1 cargo test -p broker parameters_page -->

Files and names are those of TIBCO EMS. All problems are reported at once, each with file, line and remedy;
`broker --check` treats unknown names and unreadable files as errors, and lists by line what is accepted and not acted
upon; a start tells that in one line for each file. Under *live* stands whether a running server can be told another
value.
";

const SERVER_NOTE: &str = "\
`name = value`, one a line. `#` or `;` at the start of a line makes it a comment. An empty value means the default. A
value may stand in double quotes. Times are seconds; decimals and the units `us`, `ms`, `s`, `min`, `h` are an
extension. Sizes are bytes, or have the unit `KB`, `MB` or `GB`. Booleans are enable, enabled, true, yes, on and
disable, disabled, false, no, off. Lists have commas; blanks between are allowed here, unlike in EMS. Paths are relative
to the folder of tibemsd.conf (in EMS: to the working directory). `--set NAME=VALUE` on the command line beats the file.
A bad value always stops the start; an unknown name is a warning, unless startup_abort_list has CONFIG_ERRORS.
";

const QUEUE_NOTE: &str = "\
`name property,property=value`, one queue or pattern a line. `*` stands for one element of a name, a last `>` for one or
more. A queue has its own properties and those of all patterns that match it: an own value wins, among patterns the
smallest does; for overflowPolicy rejectIncoming wins over discardOld. Clients can only use names that stand here or
match a pattern.
";

const STORE_NOTE: &str = "\
`[name]`, then keys. `$sys.meta` (meta.db), `$sys.nonfailsafe` (async-msgs.db, async) and `$sys.failsafe` (sync-msgs.db,
sync) exist also without this file. Append new stores at the end: a store's place is its number in the journal.
";

const USERS_NOTE: &str = "\
`name:password:description`, one user a line. Passwords stand in the clear; TIBCO's mangled ones cannot be read. `admin`
always exists. With authorization and ft_active there must be a user named like the server, with its password.
";

const GROUPS_NOTE: &str = "\
`name:description`, one group a line; below it its members, each in a line that begins with a blank. Members of `$admin`
are administrators. Every user is a member of `all`.
";

const ACL_NOTE: &str = "\
`QUEUE=name USER=name PERM=send,receive,browse`, one grant a line. `TOPIC=` or `ADMIN` may stand for `QUEUE=`, `GROUP=` for
`USER=`.
";

const DURABLE_NOTE: &str = "\
`topic name property,property=value`, one durable subscription a line. A selector stands in double quotes.
";

const BRIDGES_NOTE: &str = "\
`[topic:source]` or `[queue:source]`, then `queue=target selector=\"...\"` or `topic=target`, one target a line. The source
may be a pattern, a target may not.

**Accepted, not acted upon**: read, checked and kept.
";

const JSON_NOTE: &str = "\
One file for both servers in place of all others: `broker --config tibemsd.json`, and `--secondary` for the second. The
object `tibemsd` has the parameters of tibemsd.conf under their names, with these differences:

* `primary_listens` and `secondary_listens` are lists of `{\"url\": \"tcp://host:port\", \"ft_active\": true}`, or of plain
  URLs. `ft_active` marks the URL that the other server of the pair connects to. Extension: where the peer reaches that
  listen by another URL, that URL stands in place of `true`.
* `ssl` is an object of the `ssl_*` parameters; `ssl_issuer_list` and `ssl_trusted_list` are `ssl_server_issuer` and
  `ssl_server_trusted`.
* `secondary_monitor_listen` is the `monitor_listen` of the secondary server.
* Booleans are `true` and `false`; a parameter that may stand more than once is a list.

Beside `tibemsd` stand lists of objects. In `queues`, `topics`, `stores`, `factories`, `routes`, `transports` and `channels`
each has a `name` and the properties of its file. `durables` have `topic` and `name`, `tibrvcm` has `transport`, `listener`
and `subject`, `bridges` have `type`, `name` and `targets`, each with `type`, `name` and `selector`. `users` have `name`,
`password` and `description`, `groups` have `name`, `description` and `members`, `acls` have `queue` or `topic` or
`\"admin\": true`, `user` or `group`, and the list `permissions`.

A file that does not exist stops the start; EMS would make one. An error names file, line and the path of the element.
";

const KEPT_NOTE: &str = "
**Accepted, not acted upon**: read, checked and kept.
";

fn write_section(text: &mut String, (title, rows): &Section) {
    let head = format!("\n## {title}\n\n| name | value | default | live | |\n|---|---|---|---|---|\n");
    text.push_str(&head);
    for row in *rows {
        let line =
            format!("| {} | {} | {} | {} | {} |\n", names(row), takes(row), default(row), live(row), meaning(row));
        text.push_str(&line);
    }
}

fn names(row: &Parameter) -> String {
    let names: Vec<String> = std::iter::once(&row.name).chain(row.aliases).map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn takes(row: &Parameter) -> String {
    let range = row.range().map(|range| format!(", {range}")).unwrap_or_default();
    let repeat = if row.repeatable { ", repeatable" } else { "" };
    format!("{}{range}{repeat}", row.takes())
}

fn default(row: &Parameter) -> String {
    if row.default.is_empty() { String::new() } else { format!("`{}`", row.default) }
}

fn live(row: &Parameter) -> &'static str {
    if row.live { "yes" } else { "no" }
}

fn meaning(row: &Parameter) -> String {
    match row.status {
        Status::Implemented | Status::Kept => row.help.to_owned(),
        Status::Accepted(instead) => format!("{} **Accepted, not acted upon**: {instead}.", row.help),
        Status::Refused(remedy) => format!("{} **Refused**: {remedy}.", row.help),
    }
}
