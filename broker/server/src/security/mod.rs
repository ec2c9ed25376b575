//! Who a connection is, and what it may do.
//!
//! Owns identities, the directory of users, groups and permissions (`directory`), the form of passwords (`password`), and
//! the check of names and passwords (`authentication`, with `attempts`, which slows down guessing). Knows no frame and no
//! file: `login` joins it to the connections, `config` reads the files.

pub(crate) mod attempts;
pub(crate) mod authentication;
pub(crate) mod directory;
pub(crate) mod password;

use crate::config::{Configuration, Permission};
use directory::Directory;
use std::fmt;
use std::net::IpAddr;

/// A connection's user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The name, empty for an anonymous connection.
    pub(crate) user: String,
    /// The name was proven, by password or certificate. Without `authorization` a name is believed without.
    pub(crate) is_proven: bool,
}

/// What a permission is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// The server.
    Server,
    /// A queue.
    Queue(&'a str),
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Server => formatter.write_str("this server"),
            Target::Queue(name) => write!(formatter, "queue '{name}'"),
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

    /// Whether this connection may administer: its name is proven, and has some permission of an administrator.
    pub(crate) fn may_administer(&self, directory: &Directory) -> bool {
        self.is_proven && directory.administers(&self.user)
    }
}

/// What is known of a connection before it says who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Channel {
    /// Where it comes from.
    pub(crate) address: Option<IpAddr>,
    /// Nobody on the way can read it.
    pub(crate) is_encrypted: bool,
    /// The name in the client's certificate, which was verified.
    pub(crate) certificate_name: Option<String>,
}

impl Channel {
    /// Whether a password may travel on it.
    pub(crate) fn takes_passwords(&self, configuration: &Configuration) -> bool {
        let is_local = self.address.is_some_and(|address| address.to_canonical().is_loopback());
        !configuration.authorization || configuration.plain_without_tls || self.is_encrypted || is_local
    }
}

/// The mechanisms to offer, the strongest first: ANONYMOUS only where nobody has to say who they are, PLAIN only where
/// nobody else can read the password. AMQP knows no empty offer; EXTERNAL stands there alone where nothing else is possible.
pub(crate) fn mechanisms(configuration: &Configuration, channel: &Channel) -> Vec<&'static str> {
    let mut mechanisms = Vec::new();
    if channel.certificate_name.is_some() {
        mechanisms.push("EXTERNAL");
    }
    if !configuration.authorization {
        mechanisms.push("ANONYMOUS");
    }
    if channel.takes_passwords(configuration) {
        mechanisms.push("PLAIN");
    }
    if mechanisms.is_empty() {
        mechanisms.push("EXTERNAL");
    }
    mechanisms
}

/// The identity behind a verified certificate: the user of that name.
pub(crate) fn external(directory: &Directory, certificate_name: Option<&str>) -> Option<Identity> {
    let user = directory.user(certificate_name?)?;
    Some(Identity { user: user.name.clone(), is_proven: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(authorization: bool, plain_without_tls: bool) -> Configuration {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("authorization={authorization}\nallow_plain_without_tls={plain_without_tls}\n");
        std::fs::write(folder.path().join("tibemsd.conf"), text).unwrap();
        std::fs::write(folder.path().join("users.conf"), "admin::\n").unwrap();
        crate::config::load(&folder.path().join("tibemsd.conf"), &[], false).unwrap().0
    }

    #[test]
    fn offers_depend_on_who_could_listen() {
        let check = |authorization, allowed, address: &str, is_encrypted, certificate: Option<&str>, expected: &str| {
            let channel = Channel {
                address: Some(address.parse().unwrap()),
                is_encrypted,
                certificate_name: certificate.map(str::to_owned),
            };
            let offered = mechanisms(&configuration(authorization, allowed), &channel).join(" ");
            assert_eq!(offered, expected, "{authorization} {allowed} {channel:?}");
        };
        check(false, false, "10.0.0.1", false, None, "ANONYMOUS PLAIN");
        check(true, false, "10.0.0.1", false, None, "EXTERNAL");
        check(true, true, "10.0.0.1", false, None, "PLAIN");
        check(true, false, "10.0.0.1", true, None, "PLAIN");
        check(true, false, "10.0.0.1", true, Some("app"), "EXTERNAL PLAIN");
        check(true, false, "127.0.0.1", false, None, "PLAIN");
        check(true, false, "::1", false, None, "PLAIN");
        check(true, false, "::ffff:127.0.0.1", false, None, "PLAIN");
    }

    #[test]
    fn a_certificate_is_a_user_or_nobody() {
        let mut directory = Directory::default();
        directory.create_user("app", "", "").unwrap();
        let app = Identity { user: "app".to_owned(), is_proven: true };
        assert_eq!(external(&directory, Some("app")), Some(app));
        assert_eq!(external(&directory, Some("App")), None);
        assert_eq!(external(&directory, None), None);
    }

    #[test]
    fn denials_name_user_permission_and_destination() {
        let bob = Identity { user: "bob".to_owned(), is_proven: true };
        let denied = bob.may(&Directory::default(), Permission::Send, Target::Queue("orders.in")).unwrap_err();
        assert_eq!(denied.to_string(), "user 'bob' does not have the permission 'send' on queue 'orders.in'");
    }
}
