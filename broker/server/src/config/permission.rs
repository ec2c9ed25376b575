//! Permissions: their names in acl.conf, and where each may stand.
//!
//! Owns the one table of names. Who has a permission is decided in `security`.

use std::fmt;

/// What a line of acl.conf is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `QUEUE=`.
    Queue,
    /// `TOPIC=`.
    Topic,
    /// `ADMIN`: the server as a whole.
    Admin,
}

/// One permission, with EMS's name and meaning.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    // Clients, on a queue or topic.
    Send,
    Receive,
    Browse,
    Publish,
    Subscribe,
    Durable,
    UseDurable,
    // Administrators, on a queue or topic.
    View,
    Create,
    Delete,
    Modify,
    Purge,
    // Administrators, on the server.
    ViewAll,
    ViewAcl,
    ViewAdminAcl,
    ViewBridge,
    ViewConnection,
    ViewDestination,
    ViewDurable,
    ViewFactory,
    ViewGroup,
    ViewMessage,
    ViewRoute,
    ViewServer,
    ViewUser,
    ChangeAcl,
    ChangeAdminAcl,
    ChangeBridge,
    ChangeConnection,
    ChangeDurable,
    ChangeFactory,
    ChangeGroup,
    ChangeMessage,
    ChangeRoute,
    ChangeServer,
    ChangeUser,
    CreateDestination,
    DeleteDestination,
    ModifyDestination,
    PurgeDestination,
    PurgeDurable,
    Shutdown,
}

use Permission as P;
use Scope::{Admin, Queue, Topic};

/// Name, permission, and where it may stand. `all` is not in it: it stands for several.
const TABLE: &[(&str, Permission, &[Scope])] = &[
    ("send", P::Send, &[Queue]),
    ("receive", P::Receive, &[Queue]),
    ("browse", P::Browse, &[Queue]),
    ("publish", P::Publish, &[Topic]),
    ("subscribe", P::Subscribe, &[Topic]),
    ("durable", P::Durable, &[Topic]),
    ("use_durable", P::UseDurable, &[Topic]),
    ("view", P::View, &[Queue, Topic]),
    ("create", P::Create, &[Queue, Topic]),
    ("delete", P::Delete, &[Queue, Topic]),
    ("modify", P::Modify, &[Queue, Topic]),
    ("purge", P::Purge, &[Queue, Topic]),
    ("view-all", P::ViewAll, &[Admin]),
    ("view-acl", P::ViewAcl, &[Admin]),
    ("view-admin-acl", P::ViewAdminAcl, &[Admin]),
    ("view-bridge", P::ViewBridge, &[Admin]),
    ("view-connection", P::ViewConnection, &[Admin]),
    ("view-destination", P::ViewDestination, &[Admin]),
    ("view-durable", P::ViewDurable, &[Admin]),
    ("view-factory", P::ViewFactory, &[Admin]),
    ("view-group", P::ViewGroup, &[Admin]),
    ("view-message", P::ViewMessage, &[Admin]),
    ("view-route", P::ViewRoute, &[Admin]),
    ("view-server", P::ViewServer, &[Admin]),
    ("view-user", P::ViewUser, &[Admin]),
    ("change-acl", P::ChangeAcl, &[Admin]),
    ("change-admin-acl", P::ChangeAdminAcl, &[Admin]),
    ("change-bridge", P::ChangeBridge, &[Admin]),
    ("change-connection", P::ChangeConnection, &[Admin]),
    ("change-durable", P::ChangeDurable, &[Admin]),
    ("change-factory", P::ChangeFactory, &[Admin]),
    ("change-group", P::ChangeGroup, &[Admin]),
    ("change-message", P::ChangeMessage, &[Admin]),
    ("change-route", P::ChangeRoute, &[Admin]),
    ("change-server", P::ChangeServer, &[Admin]),
    ("change-user", P::ChangeUser, &[Admin]),
    ("create-destination", P::CreateDestination, &[Admin]),
    ("delete-destination", P::DeleteDestination, &[Admin]),
    ("modify-destination", P::ModifyDestination, &[Admin]),
    ("purge-destination", P::PurgeDestination, &[Admin]),
    ("purge-durable", P::PurgeDurable, &[Admin]),
    ("shutdown", P::Shutdown, &[Admin]),
];

/// The word for all permissions of a scope.
pub const ALL: &str = "all";

impl Permission {
    /// Its name in acl.conf.
    pub fn name(self) -> &'static str {
        let row = TABLE.iter().find(|(_, permission, _)| *permission == self);
        row.map(|(name, _, _)| *name).expect("every permission has a row")
    }

    /// The permission of that name, if it may stand in `scope`.
    pub fn parse(name: &str, scope: Scope) -> Option<Permission> {
        let row = TABLE.iter().find(|(known, _, scopes)| *known == name && scopes.contains(&scope));
        row.map(|(_, permission, _)| *permission)
    }

    /// The names that may stand in `scope`, `all` among them.
    pub fn names(scope: Scope) -> impl Iterator<Item = &'static str> {
        let rows = TABLE.iter().filter(move |(_, _, scopes)| scopes.contains(&scope));
        rows.map(|(name, _, _)| *name).chain([ALL])
    }

    fn bit(self) -> u64 {
        1 << (self as u64)
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions(u64);

impl Permissions {
    /// None.
    pub const NONE: Permissions = Permissions(0);

    /// What `all` means: on a queue or topic all that a client can do, on the server everything.
    pub fn all(scope: Scope) -> Permissions {
        let words: &[Permission] = match scope {
            Scope::Queue => &[P::Send, P::Receive, P::Browse],
            Scope::Topic => &[P::Publish, P::Subscribe, P::Durable, P::UseDurable],
            Scope::Admin => return TABLE.iter().filter(|row| row.2 == [Admin]).map(|row| row.1).collect(),
        };
        words.iter().copied().collect()
    }

    /// Whether `permission` is in the set.
    pub fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// Whether nothing is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Permissions) -> Permissions {
        Permissions(self.0 | other.0)
    }

    /// Without those of `other`.
    #[must_use]
    pub fn without(self, other: Permissions) -> Permissions {
        Permissions(self.0 & !other.0)
    }

    /// The words of acl.conf, with commas between; `all` where it says it shorter.
    pub fn words(self, scope: Scope) -> String {
        let all = Permissions::all(scope);
        let is_all = self.0 & all.0 == all.0;
        let rest = if is_all { self.without(all) } else { self };
        let names = TABLE.iter().filter(|(_, permission, _)| rest.has(*permission)).map(|(name, _, _)| *name);
        is_all.then_some(ALL).into_iter().chain(names).collect::<Vec<_>>().join(",")
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Permissions(permissions.into_iter().fold(0, |bits, permission| bits | permission.bit()))
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = TABLE.iter().filter(|(_, permission, _)| self.has(*permission));
        formatter.debug_set().entries(present.map(|(name, _, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_permission_and_back() {
        for (name, permission, scopes) in TABLE {
            assert_eq!(permission.name(), *name);
            for scope in [Queue, Topic, Admin] {
                assert_eq!(Permission::parse(name, scope), scopes.contains(&scope).then_some(*permission), "{name}");
            }
        }
        let bits: Permissions = TABLE.iter().map(|row| row.1).collect();
        assert_eq!(bits.0.count_ones() as usize, TABLE.len(), "each has a bit of its own");
    }

    #[test]
    fn words_say_the_set() {
        let check = |permissions: &[Permission], scope, expected: &str| {
            assert_eq!(permissions.iter().copied().collect::<Permissions>().words(scope), expected);
        };
        check(&[P::Receive, P::Send], Queue, "send,receive");
        check(&[P::Receive, P::Send, P::Browse], Queue, "all");
        check(&[P::Receive, P::Send, P::Browse, P::Purge], Queue, "all,purge");
        check(&[], Queue, "");
        assert_eq!(Permissions::all(Admin).words(Admin), "all");
        assert!(Permissions::all(Admin).has(P::Shutdown) && !Permissions::all(Admin).has(P::Send));
    }
}
