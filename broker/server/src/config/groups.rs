//! groups.conf: a header `name:description`, then the members of the group, one an indented line.

use super::findings::{Findings, Spot, Weight};
use super::model::{Group, User};
use super::nearest::nearest;
use super::written::{lines, unquote};
use std::path::Path;

/// The group whose members may administer.
pub const ADMINISTRATORS: &str = "$admin";
/// The group of all users. It exists by itself.
pub const EVERYBODY: &str = "all";

/// All groups; members that are not among `users` are reported and kept.
pub(super) fn parse(path: &Path, text: &str, users: &[User], findings: &mut Findings) -> Vec<Group> {
    let indented: Vec<bool> = text.lines().map(|line| line.starts_with([' ', '\t'])).collect();
    let mut groups: Vec<Group> = Vec::new();
    // The first of two groups with one name counts; the members of the second are passed over with it.
    let mut passed_over = false;
    for (spot, line) in lines(path, text, findings) {
        if !indented[spot.line - 1] {
            passed_over = !header(&spot, line, &mut groups, findings);
            continue;
        }
        match groups.last_mut() {
            _ if passed_over => {}
            Some(group) => member(&spot, unquote(line), group, users, findings),
            None => {
                let remedy = "begin with a line name:description that is not indented";
                findings.error(&spot, line, "is a member, but stands before any group", remedy);
            }
        }
    }
    groups
}

/// A group begins. False: it is none.
fn header(spot: &Spot, line: &str, groups: &mut Vec<Group>, findings: &mut Findings) -> bool {
    let Some((name, description)) = line.split_once(':') else {
        let remedy = "write name:description for a group, or indent the name of a member";
        findings.error(spot, line, "is neither a group nor a member", remedy);
        return false;
    };
    add(spot, unquote(name), unquote(description), groups, findings)
}

/// Adds an empty group, or says why not.
pub(super) fn add(
    spot: &Spot,
    name: &str,
    description: &str,
    groups: &mut Vec<Group>,
    findings: &mut Findings,
) -> bool {
    if name.is_empty() {
        findings.error(spot, "", "is a group without a name", "write name:description");
        return false;
    }
    if name == EVERYBODY {
        let remedy = "remove the group: every user is a member of 'all' by itself";
        findings.add(Weight::Doubt, spot, name, "is the server's own group", remedy);
        return false;
    }
    if groups.iter().any(|group| group.name == name) {
        findings.add(Weight::Doubt, spot, name, "is named twice; the first counts", "merge the two groups");
        return false;
    }
    groups.push(Group {
        name: name.to_owned(),
        description: description.to_owned(),
        members: Vec::new(),
        line: spot.line,
    });
    true
}

/// Adds one member, and says so where it is not a user.
pub(super) fn member(spot: &Spot, name: &str, group: &mut Group, users: &[User], findings: &mut Findings) {
    if group.members.iter().any(|member| member == name) {
        let message = format!("is a member of '{}' already", group.name);
        findings.add(Weight::Doubt, spot, name, message, "remove this line");
        return;
    }
    if !users.iter().any(|user| user.name == name) {
        let remedy = match nearest(name, users.iter().map(|user| user.name.as_str())) {
            Some(known) => format!("did you mean {known}?"),
            None => format!("add a line {name}:: to users.conf, or remove this one"),
        };
        findings.add(Weight::Doubt, spot, name, format!("is a member of '{}', but not a user", group.name), remedy);
    }
    group.members.push(name.to_owned());
}
