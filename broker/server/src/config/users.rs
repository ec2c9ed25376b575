//! users.conf: `name:password:description`, one user a line.

use super::findings::{Findings, Weight};
use super::model::User;
use super::value::ValueError;
use super::written::{lines, unquote};
use std::path::Path;

/// The administrator, who exists also where users.conf does not name him, with an empty password.
pub(super) const ADMINISTRATOR: &str = "admin";

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
        let name = unquote(name);
        if users.iter().any(|user| user.name == name) {
            findings.add(Weight::Doubt, &spot, name, "is named twice; the first counts", "remove this line");
            continue;
        }
        if password.starts_with("$man$") || password.starts_with("$1$") {
            findings.error(&spot, name, ValueError::Mangled.to_string(), ValueError::Mangled.remedy());
        }
        let description = unquote(description.unwrap_or("")).to_owned();
        users.push(User { name: name.to_owned(), password: password.to_owned(), description });
    }
    if !users.iter().any(|user| user.name == ADMINISTRATOR) {
        let description = "Administrator".to_owned();
        users.push(User { name: ADMINISTRATOR.to_owned(), password: String::new(), description });
    }
    users
}
