//! Users, groups and permissions of a tibemsd.json as the lines of users.conf, groups.conf and acl.conf, each with the
//! place that it came from.

use super::super::findings::{Findings, Spot};
use super::document::{members, report_unknown, scalar};
use super::node::{Node, Value};

/// The lines of one element of the list that stands for the file which `parameter` names.
pub(super) fn lines(parameter: &str, element: &Node, findings: &mut Findings) -> Vec<(Spot, String)> {
    let lines = match parameter {
        "users" => user(element, findings),
        "groups" => group(element, findings),
        _ => permission(element, findings),
    };
    lines.unwrap_or_default()
}

/// The texts of an element in the order of `names`; empty where one is missing. `others` are looked at elsewhere.
fn fields<'n, const COUNT: usize>(
    element: &'n Node,
    names: [&str; COUNT],
    others: &[&'static str],
    findings: &mut Findings,
) -> Option<[&'n str; COUNT]> {
    let mut fields = [""; COUNT];
    for (name, node) in members(element, findings)? {
        match names.iter().position(|known| known == name) {
            _ if matches!(node.value, Value::Null) => {}
            Some(index) => fields[index] = one_line(node, findings)?,
            None if others.contains(&name.as_str()) => {}
            None => report_unknown(&node.spot, name, names.into_iter().chain(others.iter().copied()), findings),
        }
    }
    Some(fields)
}

/// A text that fits in a line.
fn one_line<'n>(node: &'n Node, findings: &mut Findings) -> Option<&'n str> {
    let text = scalar(node, findings)?;
    if text.contains(['\n', '\r']) {
        findings.error(&node.spot, "", "has a line break", "write it in one line");
        return None;
    }
    Some(text)
}

/// A name that neither ends early in its line nor makes the line a comment.
fn check_name(element: &Node, name: &str, findings: &mut Findings) -> Option<()> {
    if name.trim().is_empty() {
        findings.error(&element.spot, "", "has no name", "add \"name\": \"...\"");
        return None;
    }
    if name.contains(':') || name.starts_with(['#', ';']) {
        let remedy = "choose a name without a colon that does not begin with # or ;";
        findings.error(&element.spot, "name", format!("'{name}' is not possible"), remedy);
        return None;
    }
    Some(())
}

/// `{"name": ..., "password": ..., "description": ...}`
fn user(element: &Node, findings: &mut Findings) -> Option<Vec<(Spot, String)>> {
    let [name, password, description] = fields(element, ["name", "password", "description"], &[], findings)?;
    check_name(element, name, findings)?;
    if password.contains(':') {
        findings.error(&element.spot, "password", "has a colon", "choose a password without one");
        return None;
    }
    Some(vec![(element.spot.clone(), format!("{name}:{password}:{description}"))])
}

/// `{"name": ..., "description": ..., "members": [{"name": ...}]}`
fn group(element: &Node, findings: &mut Findings) -> Option<Vec<(Spot, String)>> {
    let [name, description] = fields(element, ["name", "description"], &["members"], findings)?;
    check_name(element, name, findings)?;
    let mut lines = vec![(element.spot.clone(), format!("{name}:{description}"))];
    for member in list(element, "members", findings)? {
        let name = one_line(member, findings)?;
        check_name(member, name, findings)?;
        lines.push((member.spot.clone(), format!("  {name}")));
    }
    Some(lines)
}

/// `{"queue": ..., "group": ..., "permissions": ["send"]}`; `topic` or `"admin": true` may stand for `queue`, `user`
/// for `group`.
fn permission(element: &Node, findings: &mut Findings) -> Option<Vec<(Spot, String)>> {
    const NAMES: [&str; 4] = ["queue", "topic", "user", "group"];
    let fields = fields(element, NAMES, &["permissions", "admin"], findings)?;
    let mut words = Vec::new();
    if members(element, findings)?.iter().any(|(name, node)| name == "admin" && matches!(node.value, Value::Flag(true)))
    {
        words.push("ADMIN".to_owned());
    }
    let set = NAMES.iter().zip(fields).filter(|(_, value)| !value.is_empty());
    words.extend(set.map(|(name, value)| format!("{}={}", name.to_uppercase(), quoted(value))));
    let mut permissions = Vec::new();
    for permission in list(element, "permissions", findings)? {
        permissions.push(one_line(permission, findings)?);
    }
    words.push(format!("PERM={}", permissions.join(",")));
    Some(vec![(element.spot.clone(), words.join(" "))])
}

/// A word of a line.
fn quoted(value: &str) -> String {
    if value.contains(char::is_whitespace) { format!("\"{value}\"") } else { value.to_owned() }
}

/// The elements of a list within an element; none where it is missing. `None`: something else stands there.
fn list<'n>(element: &'n Node, name: &str, findings: &mut Findings) -> Option<&'n [Node]> {
    let members = members(element, findings)?;
    match members.iter().find(|(other, _)| other == name).map(|(_, node)| node) {
        None => Some(&[]),
        Some(Node { value: Value::List(elements), .. }) => Some(elements),
        Some(node) => {
            findings.error(&node.spot, "", format!("is {}, not a list", node.kind()), "write [\"...\", \"...\"]");
            None
        }
    }
}
