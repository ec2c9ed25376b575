//! Replies as people read them: tables and lists of fields, within 100 columns.
//!
//! Owns columns, labels and alignment. Knows no connection.

use serde_json::{Map, Value};

/// Columns of a page.
const WIDTH: usize = 100;
/// Narrowest that a column of text becomes.
const TEXT_MIN: usize = 8;

/// Columns of the lists: key of the field and heading.
const TABLES: [(&str, &[(&str, &str)]); 16] = [
    (
        "queues",
        &[
            ("name", "Queue"),
            ("static", "Static"),
            ("store", "Store"),
            ("messages", "Messages"),
            ("bytes", "Bytes"),
            ("unsettled", "Unsettled"),
            ("consumers", "Consumers"),
        ],
    ),
    (
        "stat",
        &[
            ("name", "Queue"),
            ("received", "Received"),
            ("received_bytes", "Bytes"),
            ("delivered", "Delivered"),
            ("delivered_bytes", "Bytes"),
            ("acknowledged", "Acknowledged"),
        ],
    ),
    ("users", &[("name", "User"), ("password", "Password"), ("groups", "Groups"), ("description", "Description")]),
    ("groups", &[("name", "Group"), ("members", "Members"), ("description", "Description")]),
    (
        "connections",
        &[
            ("id", "Id"),
            ("kind", "Kind"),
            ("user", "User"),
            ("host", "Host"),
            ("client_id", "Client"),
            ("producers", "Prod"),
            ("consumers", "Cons"),
            ("unsettled", "Unsettled"),
            ("uptime_s", "Uptime s"),
        ],
    ),
    (
        "consumers",
        &[
            ("id", "Id"),
            ("connection", "Conn"),
            ("user", "User"),
            ("queue", "Queue"),
            ("browser", "Browser"),
            ("credit", "Credit"),
            ("unsettled", "Unsettled"),
        ],
    ),
    (
        "stores",
        &[
            ("name", "Store"),
            ("access_mode", "Mode"),
            ("file", "File"),
            ("queues", "Queues"),
            ("message_count", "Messages"),
            ("message_size", "Bytes"),
        ],
    ),
    ("permissions", &[("target", "On"), ("kind", "To"), ("name", "Name"), ("permissions", "Permissions")]),
    ("parameters", &[("parameter", "Parameter"), ("value", "Value")]),
    ("topics", KEPT),
    ("durables", KEPT),
    ("factories", KEPT),
    ("routes", KEPT),
    ("transports", KEPT),
    ("channels", KEPT),
    ("bridges", &[("name", "From"), ("targets", "To"), ("acted_upon", "Acted upon")]),
];

const KEPT: &[(&str, &str)] = &[("name", "Name"), ("properties", "Properties"), ("acted_upon", "Acted upon")];

/// The reply of a command that was carried out.
pub(super) fn reply(reply: &Value) -> String {
    let Value::Object(fields) = reply else { return format!("{reply}\n") };
    let shown = |name: &str| !["ok", "warnings"].contains(&name);
    let is_table = |(name, value): &(&String, &Value)| value.is_array() && columns(name).is_some();
    let plain = |(name, value): &(&String, &Value)| shown(name) && !is_table(&(*name, *value));
    let mut text = list(fields.iter().filter(plain));
    for (name, rows) in fields.iter().filter(is_table) {
        let rows: Vec<&Map<String, Value>> =
            rows.as_array().into_iter().flatten().filter_map(Value::as_object).collect();
        text += &table(columns(name).expect("just asked"), &rows);
    }
    if text.is_empty() { "OK\n".to_owned() } else { text }
}

fn columns(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    TABLES.iter().find(|(known, _)| *known == name).map(|(_, columns)| *columns)
}

/// Fields, one a line; their names become labels.
fn list<'f>(fields: impl Iterator<Item = (&'f String, &'f Value)>) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::Object(inner) => lines.extend(inner.iter().map(|(key, value)| {
                let label = format!("{} {}", label(name), key.replace('_', " "));
                (label, cell(value))
            })),
            other => lines.push((label(name), cell(other))),
        }
    }
    let width = lines.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    lines.iter().map(|(label, value)| format!("{label:width$}  {value}").trim_end().to_owned() + "\n").collect()
}

fn label(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Rows under headings; numbers to the right, and the widest texts cut where the page is too narrow.
fn table(columns: &[(&str, &str)], rows: &[&Map<String, Value>]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| columns.iter().map(|(key, _)| cell(row.get(*key).unwrap_or(&Value::Null))).collect())
        .collect();
    let is_number = |at: usize| {
        let mut values =
            rows.iter().filter_map(|row| row.get(columns[at].0)).filter(|value| !value.is_null()).peekable();
        values.peek().is_some() && values.all(Value::is_number)
    };
    let numbers: Vec<bool> = (0..columns.len()).map(is_number).collect();
    let headings: Vec<String> = columns.iter().map(|(_, heading)| (*heading).to_owned()).collect();
    let all = || std::iter::once(&headings).chain(&cells);
    let mut widths: Vec<usize> =
        (0..columns.len()).map(|at| all().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    fit(&mut widths, &numbers);
    all().map(|row| line(row, &widths, &numbers)).collect()
}

fn fit(widths: &mut [usize], numbers: &[bool]) {
    let gaps = 2 * (widths.len() - 1);
    while widths.iter().sum::<usize>() + gaps > WIDTH {
        let widest = (0..widths.len()).filter(|at| !numbers[*at]).max_by_key(|at| widths[*at]);
        match widest.filter(|at| widths[*at] > TEXT_MIN) {
            Some(at) => widths[at] -= 1,
            None => return,
        }
    }
}

fn line(row: &[String], widths: &[usize], numbers: &[bool]) -> String {
    let mut line = String::new();
    for (at, text) in row.iter().enumerate() {
        let width = widths[at];
        let text = match text.chars().count() > width {
            true => text.chars().take(width - 1).chain(['~']).collect(),
            false => text.clone(),
        };
        line += &if numbers[at] { format!("{text:>width$}  ") } else { format!("{text:width$}  ") };
    }
    line.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_aligned_tables() {
        let rows = json!({ "ok": true, "queues": [
            { "name": "a", "static": true, "store": "$sys.failsafe", "messages": 5, "bytes": 12345, "unsettled": 0, "consumers": 1 },
            { "name": "long.name", "static": false, "store": "$sys.nonfailsafe", "messages": 1000, "bytes": 1, "unsettled": 0, "consumers": 0 },
        ] });
        let expected = "\
Queue      Static  Store             Messages  Bytes  Unsettled  Consumers
a          yes     $sys.failsafe            5  12345          0          1
long.name  no      $sys.nonfailsafe      1000      1          0          0
";
        assert_eq!(reply(&rows), expected);
        assert_eq!(reply(&json!({ "ok": true, "users": [] })), "User  Password  Groups  Description\n");
    }

    #[test]
    fn a_page_has_a_hundred_columns() {
        let row = json!({ "name": "n".repeat(249), "static": true, "store": "s".repeat(64), "messages": u64::MAX,
                          "bytes": u64::MAX, "unsettled": 1, "consumers": 1 });
        let text = reply(&json!({ "queues": [row] }));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("nnn~") && text.contains(&u64::MAX.to_string()), "numbers are never cut: {text}");
    }

    #[test]
    fn fields_are_labelled() {
        let fields =
            json!({ "ok": true, "server": "S", "max_connections": 5, "log_file": null, "members": ["a", "b"] });
        assert_eq!(reply(&fields), "Server           S\nMax connections  5\nMembers          a, b\n");
        assert_eq!(reply(&json!({ "ok": true, "warnings": ["x"] })), "OK\n");
    }
}
