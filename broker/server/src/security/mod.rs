//! Who a connection is: SASL ANONYMOUS and PLAIN against users.conf.
//!
//! Owns the decision whether a name and a password are good. Knows no frame and no permission of a destination.

pub(crate) mod directory;
pub(crate) mod password;

use crate::config::{Configuration, Permission};
use directory::Directory;
use std::fmt;

/// The user that may administer, as in EMS.
pub(crate) const ADMIN_USER: &str = "admin";

/// A connection's user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The name, empty for an anonymous connection.
    pub(crate) user: String,
}

impl Identity {
    /// Whether the user has `permission` on `target`.
    ///
    /// # Errors
    /// It does not, in words for the peer.
    pub(crate) fn may(&self, directory: &Directory, permission: Permission, target: Target<'_>) -> Result<(), Denied> {
        if directory.may(&self.user, permission, target) {
            return Ok(());
        }
        Err(Denied { user: self.user.clone(), permission: permission.name(), target: target.to_string() })
    }

    /// Whether this user may administer.
    pub(crate) fn is_admin(&self) -> bool {
        self.user == ADMIN_USER
    }
}

/// What a permission is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// The server.
    Server,
    /// A queue.
    Queue(&'a str),
    /// A topic.
    Topic(&'a str),
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Server => formatter.write_str("this server"),
            Target::Queue(name) => write!(formatter, "queue '{name}'"),
            Target::Topic(name) => write!(formatter, "topic '{name}'"),
        }
    }
}

/// A permission that is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("user '{user}' does not have the permission '{permission}' on {target}")]
pub(crate) struct Denied {
    user: String,
    permission: &'static str,
    target: String,
}

/// The mechanisms to offer: ANONYMOUS only where nobody has to say who they are.
pub(crate) fn mechanisms(configuration: &Configuration) -> Vec<&'static str> {
    if configuration.authorization { vec!["PLAIN"] } else { vec!["ANONYMOUS", "PLAIN"] }
}

/// The identity behind a SASL response, or `None` when it is not accepted. Without `authorization` any name is believed,
/// as in EMS.
pub(crate) fn authenticate(configuration: &Configuration, mechanism: &str, response: &[u8]) -> Option<Identity> {
    match mechanism {
        "ANONYMOUS" if !configuration.authorization => Some(Identity::default()),
        "PLAIN" => {
            let (user, password) = amqp::sasl::plain(response)?;
            let identity = Identity { user: user.to_string() };
            (!configuration.authorization || is_known(configuration, user, password)).then_some(identity)
        }
        _ => None,
    }
}

/// Compares every user's row, and all of a password, so that the time taken tells nothing about how far a guess was right.
fn is_known(configuration: &Configuration, user: &str, password: &str) -> bool {
    let mut known = false;
    for row in &configuration.users {
        known |= equal_in_constant_time(row.name.as_bytes(), user.as_bytes())
            & equal_in_constant_time(row.password.as_bytes(), password.as_bytes());
    }
    known
}

fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    let mut difference = left.len() ^ right.len();
    for (index, byte) in right.iter().enumerate() {
        difference |= usize::from(byte ^ left.get(index).copied().unwrap_or(0));
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_agrees_with_equality() {
        for (left, right) in [("", ""), ("a", "a"), ("a", "b"), ("a", "ab"), ("ab", "a"), ("", "a"), ("a\0", "a")] {
            assert_eq!(equal_in_constant_time(left.as_bytes(), right.as_bytes()), left == right, "{left:?} {right:?}");
        }
    }
}
