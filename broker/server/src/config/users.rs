//! users.conf: `name:password:description`, one user a line.

use super::findings::{Findings, Spot, Weight};
use super::model::User;
use super::value::ValueError;
use super::written::{lines, unquote};
use crate::security::password;
use std::path::Path;

/// The administrator, who exists also where users.conf does not name him, with an empty password.
pub const ADMINISTRATOR: &str = "admin";

/// All users; the first of two with one name counts.
pub(super) fn parse(path: &Path, text: &str, findings: &mut Findings) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    for (spot, line) in lines(path, text, findings) {
        let mut fields = line.splitn(3, ':');
        let (name, password, description) = (fields.next().unwrap_or(""), fields.next(), fields.next());
        let Some(password) = password.filter(|_| !name.trim().is_empty()) else {
            findings.error(&spot, "", "is not a user", "write name:password:description; the password may be empty");
            continue;
        };
        let (name, description) = (unquote(name), unquote(description.unwrap_or("")));
        let (name, password) = (name.to_owned(), password.to_owned());
        add(&spot, User { name, password, description: description.to_owned() }, &mut users, findings);
    }
    add_administrator(&mut users);
    users
}

/// Adds a user, or says why not.
pub(super) fn add(spot: &Spot, user: User, users: &mut Vec<User>, findings: &mut Findings) {
    let name = user.name.as_str();
    if users.iter().any(|known| known.name == name) {
        findings.add(Weight::Doubt, spot, name, "is named twice; the first counts", "remove this line");
        return;
    }
    if user.password.starts_with("$man$") || user.password.starts_with("$1$") {
        findings.error(spot, name, ValueError::Mangled.to_string(), ValueError::Mangled.remedy());
    } else if password::is_hash(&user.password)
        && let Err(error) = password::check_hash(&user.password)
    {
        let remedy = "write the password in the clear, it is hashed when the file is written back; or leave it empty";
        findings.error(spot, name, format!("the password's hash is not usable: {error}"), remedy);
    }
    users.push(user);
}

/// The administrator exists always.
pub(super) fn add_administrator(users: &mut Vec<User>) {
    if !users.iter().any(|user| user.name == ADMINISTRATOR) {
        let description = "Administrator".to_owned();
        users.push(User { name: ADMINISTRATOR.to_owned(), password: String::new(), description });
    }
}
