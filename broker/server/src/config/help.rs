//! docs/PARAMETERS.md, made from the tables.

use super::parameter::{Parameter, Status};
use super::tables::{QUEUE, SERVER, STORE, Section};
use std::fmt::Write;

/// All parameters as Markdown: the text of docs/PARAMETERS.md and of `broker --help-parameters`.
pub fn parameters_help() -> String {
    let mut text = String::from(INTRODUCTION);
    for (file, note, table) in
        [("tibemsd.conf", SERVER_NOTE, SERVER), ("queues.conf", QUEUE_NOTE, QUEUE), ("stores.conf", STORE_NOTE, STORE)]
    {
        write!(text, "\n# {file}\n\n{note}").expect("a string takes everything");
        table.iter().for_each(|section| write_section(&mut text, section));
    }
    text + USERS + CIPHERS + &crate::tls::cipher_page() + "\n" + CERTIFICATES
}

const INTRODUCTION: &str = "\
<!-- Made from broker/server/src/config/tables.rs; change it there, then run
     BLESS=1 cargo test -p broker parameters_page -->

Files and names are those of TIBCO EMS. All problems are reported at once, each with file, line and remedy;
`broker --check` treats unknown names and unreadable files as errors.
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

const USERS: &str = "
# users.conf

`name:password:description`, one user a line. Passwords stand in the clear; TIBCO's mangled ones cannot be read. `admin`
always exists. With authorization and ft_active there must be a user named like the server, with its password.
";

const CIPHERS: &str = "
# Ciphers

`ssl_server_ciphers` and `ft_ssl_ciphers` are lists with `:`, `,` or blanks between. A list is exact: a version of TLS of
which it names no cipher is not spoken. `ALL`, `DEFAULT` and `HIGH` stand for the whole table; `!NAME` and `-NAME` take
out, also OpenSSL's words for what is never here (`!aNULL:!MD5:!RC4`). Every other name is refused.

";

const CERTIFICATES: &str = "\
# Certificates while the server runs

On SIGHUP all certificates, keys, authorities and revocation lists are read again. New connections use them; existing
ones keep theirs. If one file cannot be used everything stays as it was, and the log says so. Names are matched against
subjectAltName, never against the common name. PKCS#12 and PKCS#7 are refused with the command that converts them.
";

fn write_section(text: &mut String, (title, rows): &Section) {
    let head = format!("\n## {title}\n\n| name | value | default | |\n|---|---|---|---|\n");
    text.push_str(&head);
    for row in *rows {
        let line = format!("| {} | {} | {} | {} |\n", names(row), takes(row), default(row), meaning(row));
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

fn meaning(row: &Parameter) -> String {
    match row.status {
        Status::Implemented => row.help.to_owned(),
        Status::Accepted(instead) => format!("{} **Accepted, without effect**: {instead}.", row.help),
        Status::Refused(remedy) => format!("{} **Refused**: {remedy}.", row.help),
    }
}
