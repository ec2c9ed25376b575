//! acl.conf: `TOPIC=t|QUEUE=q USER=u|GROUP=g PERM=a,b` and `ADMIN USER=u|GROUP=g PERM=a,b`, one grant a line.

use super::findings::{Findings, Spot, Weight};
use super::groups::{ADMINISTRATORS, EVERYBODY};
use super::model::{AclEntry, AclTarget, Group, Principal, User};
use super::nearest::nearest;
use super::permission::{ALL, Permission, Permissions, Scope};
use super::written::{lines, unquote};
use std::path::Path;

const FORM: &str =
    "write QUEUE=name USER=name PERM=send,receive; TOPIC= or ADMIN may stand for QUEUE=, and GROUP= for USER=";
/// The words before `=`, and `ADMIN`.
const WORDS: [&str; 6] = ["QUEUE", "TOPIC", "ADMIN", "USER", "GROUP", "PERM"];

/// All lines that grant something. Users and groups that do not exist are reported; such a line has no effect.
pub(super) fn parse(
    path: &Path,
    text: &str,
    users: &[User],
    groups: &[Group],
    findings: &mut Findings,
) -> Vec<AclEntry> {
    let mut entries = Vec::new();
    for (spot, line) in lines(path, text, findings) {
        let Some(written) = Written::read(&spot, line, findings) else { continue };
        entries.extend(written.entry(&spot, findings));
    }
    for entry in &entries {
        check_principal(&Spot::new(path, entry.line), &entry.principal, users, groups, findings);
    }
    entries
}

/// One line taken apart.
#[derive(Debug, Default)]
pub(super) struct Written<'l> {
    pub(super) target: Option<(Scope, &'l str)>,
    pub(super) principal: Option<Principal>,
    pub(super) permissions: Option<&'l str>,
}

impl<'l> Written<'l> {
    fn read(spot: &Spot, line: &'l str, findings: &mut Findings) -> Option<Self> {
        let mut written = Written::default();
        for part in split(line) {
            let (word, value) = part.split_once('=').unwrap_or((part, ""));
            let value = unquote(value);
            let twice = match word.to_ascii_uppercase().as_str() {
                "QUEUE" => written.target.replace((Scope::Queue, value)).is_some(),
                "TOPIC" => written.target.replace((Scope::Topic, value)).is_some(),
                "ADMIN" => written.target.replace((Scope::Admin, "")).is_some(),
                "USER" => written.principal.replace(Principal::User(value.to_owned())).is_some(),
                "GROUP" => written.principal.replace(Principal::Group(value.to_owned())).is_some(),
                "PERM" => written.permissions.replace(value).is_some(),
                _ => {
                    let remedy = match nearest(word, WORDS.into_iter()) {
                        Some(known) => format!("did you mean {known}?"),
                        None => FORM.to_owned(),
                    };
                    findings.error(spot, word, "is not a word of acl.conf", remedy);
                    return None;
                }
            };
            if twice {
                findings.error(spot, word, "or what stands in its place is there twice", FORM);
                return None;
            }
        }
        Some(written)
    }

    /// The grant, if there is one.
    pub(super) fn entry(self, spot: &Spot, findings: &mut Findings) -> Option<AclEntry> {
        let (Some((scope, name)), Some(principal), Some(words)) = (self.target, self.principal, self.permissions)
        else {
            findings.error(spot, "", "is not a permission", FORM);
            return None;
        };
        if scope != Scope::Admin
            && let Err(error) = engine::check_pattern(name)
        {
            let remedy = "write elements with dots between; * stands for one element, > as the last for one or more";
            findings.error(spot, name, error.to_string(), remedy);
            return None;
        }
        let target = match scope {
            Scope::Queue => AclTarget::Queue(name.to_owned()),
            Scope::Topic => AclTarget::Topic(name.to_owned()),
            Scope::Admin => AclTarget::Admin,
        };
        let permissions = permissions(spot, words, scope, findings);
        (!permissions.is_empty()).then_some(AclEntry { target, principal, permissions, line: spot.line })
    }
}

/// The parts of a line, at blanks outside double quotes.
fn split(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let parts = line.split(move |letter: char| {
        quoted ^= letter == '"';
        letter.is_whitespace() && !quoted
    });
    parts.filter(|part| !part.is_empty())
}

fn permissions(spot: &Spot, words: &str, scope: Scope, findings: &mut Findings) -> Permissions {
    let mut permissions = Permissions::NONE;
    for word in words.split(',').map(str::trim) {
        let lower = word.to_ascii_lowercase();
        match Permission::parse(&lower, scope) {
            Some(permission) => permissions = permissions.with(Permissions::from_iter([permission])),
            None if lower == ALL => permissions = permissions.with(Permissions::all(scope)),
            None => {
                let remedy = match nearest(word, Permission::names(scope)) {
                    Some(known) => format!("did you mean {known}?"),
                    None => format!("write some of {}", Permission::names(scope).collect::<Vec<_>>().join(", ")),
                };
                findings.error(spot, "PERM", format!("'{word}' is not a permission of {}", scope_name(scope)), remedy);
            }
        }
    }
    permissions
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Queue => "a queue",
        Scope::Topic => "a topic",
        Scope::Admin => "an administrator",
    }
}

/// Reports a user or group that does not exist.
pub(super) fn check_principal(
    spot: &Spot,
    principal: &Principal,
    users: &[User],
    groups: &[Group],
    findings: &mut Findings,
) {
    let user_names = || users.iter().map(|user| user.name.as_str());
    let group_names = || groups.iter().map(|group| group.name.as_str()).chain([EVERYBODY, ADMINISTRATORS]);
    let (word, name, near, file) = match principal {
        Principal::User(name) if !user_names().any(|known| known == name) => {
            ("USER", name, nearest(name, user_names()), "users.conf")
        }
        Principal::Group(name) if !group_names().any(|known| known == name) => {
            ("GROUP", name, nearest(name, group_names()), "groups.conf")
        }
        _ => return,
    };
    let remedy = match near {
        Some(known) => format!("did you mean {known}?"),
        None => format!("add '{name}' to {file}, or remove the line"),
    };
    let what = word.to_ascii_lowercase();
    findings.add(Weight::Doubt, spot, word, format!("there is no {what} '{name}': the line has no effect"), remedy);
}
