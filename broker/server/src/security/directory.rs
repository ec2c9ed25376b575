//! Users, groups and permissions of a server, as administrators know them.
//!
//! Owns who exists, who is in which group, who may do what, and how that changes. Knows no connection; whether permissions
//! are asked for at all (`authorization`, `secure`) is decided by who asks. A change holds for what is asked afterwards: links
//! that are attached stay, as do connections of users that are deleted. Writing the files back is the administration's.

use super::Target;
use crate::config::{
    ADMINISTRATOR, ADMINISTRATORS, AclEntry, AclTarget, Configuration, EVERYBODY, Group, Permission, Permissions,
    Principal, User,
};
use std::collections::BTreeMap;

/// Everybody and everything that was granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, Group>,
    /// In the order of acl.conf; one target and principal may have several.
    acl: Vec<AclEntry>,
}

/// Why the directory was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DirectoryError {
    /// Choose another name.
    #[error("there is a {0} '{1}' already")]
    Exists(&'static str, String),
    /// Look at the list.
    #[error("there is no {0} '{1}'")]
    Unknown(&'static str, String),
    /// The server needs it.
    #[error("the {0} '{1}' is the server's own and stays")]
    Own(&'static str, String),
    /// Choose a name that users.conf and groups.conf can hold.
    #[error("'{0}' cannot be a name: it is empty, or has a colon, a quote, a blank or a control character")]
    BadName(String),
    /// Nothing to take away.
    #[error("nothing of that is granted")]
    NotGranted,
}

impl Directory {
    /// What users.conf, groups.conf and acl.conf say.
    pub(crate) fn new(configuration: &Configuration) -> Directory {
        Directory {
            users: configuration.users.iter().map(|user| (user.name.clone(), user.clone())).collect(),
            groups: configuration.groups.iter().map(|group| (group.name.clone(), group.clone())).collect(),
            acl: configuration.acl.clone(),
        }
    }

    /// The user of that name.
    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// Whether `user` is in `group`.
    pub(crate) fn is_member(&self, user: &str, group: &str) -> bool {
        let listed = |group: &Group| group.members.iter().any(|member| member == user);
        group == EVERYBODY || self.groups.get(group).is_some_and(listed)
    }

    /// `admin` and the members of `$admin`, who may do everything.
    pub(crate) fn is_administrator(&self, user: &str) -> bool {
        user == ADMINISTRATOR || self.is_member(user, ADMINISTRATORS)
    }

    /// Whether `user` has some permission of an administrator, so that its connection is worth an answer.
    pub(crate) fn administers(&self, user: &str) -> bool {
        const OF_DESTINATIONS: [Permission; 5] =
            [Permission::View, Permission::Create, Permission::Delete, Permission::Modify, Permission::Purge];
        let grants = |entry: &AclEntry| {
            entry.target == AclTarget::Admin || OF_DESTINATIONS.iter().any(|word| entry.permissions.has(*word))
        };
        self.is_administrator(user) || self.acl.iter().any(|entry| grants(entry) && self.concerns(entry, user))
    }

    /// All that was granted to `user`, directly or through groups, on what `is_meant`.
    fn granted(&self, user: &str, is_meant: impl Fn(&AclTarget) -> bool) -> Permissions {
        let entries = self.acl.iter().filter(|entry| is_meant(&entry.target) && self.concerns(entry, user));
        entries.fold(Permissions::NONE, |sum, entry| sum.with(entry.permissions))
    }

    fn concerns(&self, entry: &AclEntry, user: &str) -> bool {
        match &entry.principal {
            Principal::User(name) => name == user,
            Principal::Group(name) => self.is_member(user, name),
        }
    }

    /// Whether `user` has `permission` on `target`. A grant on a pattern holds for all that it matches. For an
    /// administrator's permission on a destination both the grant on the destination (`purge`) and the one on the server
    /// (`purge-destination`) will do; who may change something may look at it.
    pub(crate) fn may(&self, user: &str, permission: Permission, target: Target<'_>) -> bool {
        if self.is_administrator(user) {
            return true;
        }
        let on_target = match target {
            Target::Server => Permissions::NONE,
            Target::Queue(name) => {
                self.granted(user, |grant| matches!(grant, AclTarget::Queue(of) if engine::matches(of, name)))
            }
        };
        let everywhere = || self.granted(user, |grant| *grant == AclTarget::Admin);
        suffices(on_target, permission) || on_server(permission).is_some_and(|global| suffices(everywhere(), global))
    }
}

/// Lists and changes.
impl Directory {
    /// All users, by name.
    pub(crate) fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// The group of that name; `all` is not among them.
    pub(crate) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// All groups but `all`, by name.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// All that was granted, in the order of acl.conf.
    pub(crate) fn acl(&self) -> &[AclEntry] {
        &self.acl
    }

    /// Adds a user; the password is a hash, or empty.
    pub(crate) fn create_user(&mut self, name: &str, password: &str, description: &str) -> Result<(), DirectoryError> {
        check_name(name)?;
        if self.users.contains_key(name) {
            return Err(DirectoryError::Exists("user", name.to_owned()));
        }
        let [name, password, description] = [name, password, description].map(str::to_owned);
        self.users.insert(name.clone(), User { name, password, description });
        Ok(())
    }

    /// Removes a user, its memberships, and what was granted to it.
    pub(crate) fn delete_user(&mut self, name: &str) -> Result<(), DirectoryError> {
        if name == ADMINISTRATOR {
            return Err(DirectoryError::Own("user", name.to_owned()));
        }
        self.users.remove(name).ok_or_else(|| DirectoryError::Unknown("user", name.to_owned()))?;
        for group in self.groups.values_mut() {
            group.members.retain(|member| member != name);
        }
        self.acl.retain(|entry| entry.principal != Principal::User(name.to_owned()));
        Ok(())
    }

    /// Sets a user's password: a hash, or empty.
    pub(crate) fn set_password(&mut self, name: &str, password: &str) -> Result<(), DirectoryError> {
        let user = self.users.get_mut(name).ok_or_else(|| DirectoryError::Unknown("user", name.to_owned()))?;
        user.password = password.to_owned();
        Ok(())
    }

    /// Adds a group without members.
    pub(crate) fn create_group(&mut self, name: &str, description: &str) -> Result<(), DirectoryError> {
        check_name(name)?;
        if name == EVERYBODY || self.groups.contains_key(name) {
            return Err(DirectoryError::Exists("group", name.to_owned()));
        }
        let [name, description] = [name, description].map(str::to_owned);
        self.groups.insert(name.clone(), Group { name, description, members: Vec::new(), line: 0 });
        Ok(())
    }

    /// Removes a group and what was granted to it.
    pub(crate) fn delete_group(&mut self, name: &str) -> Result<(), DirectoryError> {
        if [EVERYBODY, ADMINISTRATORS].contains(&name) {
            return Err(DirectoryError::Own("group", name.to_owned()));
        }
        self.groups.remove(name).ok_or_else(|| DirectoryError::Unknown("group", name.to_owned()))?;
        self.acl.retain(|entry| entry.principal != Principal::Group(name.to_owned()));
        Ok(())
    }

    /// Puts a user into a group; `$admin` comes to be with its first member.
    pub(crate) fn add_member(&mut self, group: &str, user: &str) -> Result<(), DirectoryError> {
        self.known(&Principal::User(user.to_owned()))?;
        if group == ADMINISTRATORS && !self.groups.contains_key(group) {
            self.create_group(group, "Administrators")?;
        }
        let members = self.members_of(group)?;
        if members.iter().any(|member| member == user) {
            return Err(DirectoryError::Exists("member", user.to_owned()));
        }
        members.push(user.to_owned());
        Ok(())
    }

    /// Takes a user out of a group.
    pub(crate) fn remove_member(&mut self, group: &str, user: &str) -> Result<(), DirectoryError> {
        let members = self.members_of(group)?;
        let index = members.iter().position(|member| member == user);
        members.remove(index.ok_or_else(|| DirectoryError::Unknown("member", user.to_owned()))?);
        Ok(())
    }

    fn members_of(&mut self, group: &str) -> Result<&mut Vec<String>, DirectoryError> {
        if group == EVERYBODY {
            return Err(DirectoryError::Own("group", group.to_owned()));
        }
        let known = self.groups.get_mut(group).map(|group| &mut group.members);
        known.ok_or_else(|| DirectoryError::Unknown("group", group.to_owned()))
    }

    /// Grants more; what was granted before stays.
    pub(crate) fn grant(
        &mut self,
        target: AclTarget,
        principal: Principal,
        permissions: Permissions,
    ) -> Result<(), DirectoryError> {
        self.known(&principal)?;
        match self.acl.iter_mut().find(|entry| entry.target == target && entry.principal == principal) {
            Some(entry) => entry.permissions = entry.permissions.with(permissions),
            None => self.acl.push(AclEntry { target, principal, permissions, line: 0 }),
        }
        Ok(())
    }

    /// Takes permissions back; a line of which nothing is left goes.
    pub(crate) fn revoke(
        &mut self,
        target: &AclTarget,
        principal: &Principal,
        permissions: Permissions,
    ) -> Result<(), DirectoryError> {
        let mut changed = false;
        for entry in self.acl.iter_mut().filter(|entry| entry.target == *target && entry.principal == *principal) {
            let left = entry.permissions.without(permissions);
            changed |= left != entry.permissions;
            entry.permissions = left;
        }
        self.acl.retain(|entry| !entry.permissions.is_empty());
        if changed { Ok(()) } else { Err(DirectoryError::NotGranted) }
    }

    fn known(&self, principal: &Principal) -> Result<(), DirectoryError> {
        let (is_known, kind, name) = match principal {
            Principal::User(name) => (self.users.contains_key(name), "user", name),
            Principal::Group(name) => {
                let own = [EVERYBODY, ADMINISTRATORS].contains(&name.as_str());
                (own || self.groups.contains_key(name), "group", name)
            }
        };
        if is_known { Ok(()) } else { Err(DirectoryError::Unknown(kind, name.clone())) }
    }
}

/// Names that stand in the files as they are.
fn check_name(name: &str) -> Result<(), DirectoryError> {
    let is_bad = |letter: char| letter.is_whitespace() || letter.is_control() || [':', '"', '#', ';'].contains(&letter);
    if name.is_empty() || name.contains(is_bad) { Err(DirectoryError::BadName(name.to_owned())) } else { Ok(()) }
}

/// The permission on the server that holds for every destination, or is the permission itself.
fn on_server(permission: Permission) -> Option<Permission> {
    use Permission as P;
    match permission {
        P::Send | P::Receive | P::Browse | P::Publish | P::Subscribe | P::Durable | P::UseDurable => None,
        P::View => Some(P::ViewDestination),
        P::Create => Some(P::CreateDestination),
        P::Delete => Some(P::DeleteDestination),
        P::Modify => Some(P::ModifyDestination),
        P::Purge => Some(P::PurgeDestination),
        other => Some(other),
    }
}

/// The permissions of which this one is a part: who may change something may look at it.
fn implied_by(permission: Permission) -> &'static [Permission] {
    use Permission as P;
    match permission {
        P::UseDurable => &[P::Durable],
        P::View => &[P::Create, P::Delete, P::Modify, P::Purge],
        P::ViewDestination => {
            &[P::ViewAll, P::CreateDestination, P::DeleteDestination, P::ModifyDestination, P::PurgeDestination]
        }
        P::ViewAcl => &[P::ViewAll, P::ChangeAcl],
        P::ViewAdminAcl => &[P::ViewAll, P::ChangeAdminAcl],
        P::ViewBridge => &[P::ViewAll, P::ChangeBridge],
        P::ViewConnection => &[P::ViewAll, P::ChangeConnection],
        P::ViewDurable => &[P::ViewAll, P::ChangeDurable, P::PurgeDurable],
        P::ViewFactory => &[P::ViewAll, P::ChangeFactory],
        P::ViewGroup => &[P::ViewAll, P::ChangeGroup],
        P::ViewMessage => &[P::ViewAll, P::ChangeMessage],
        P::ViewRoute => &[P::ViewAll, P::ChangeRoute],
        P::ViewServer => &[P::ViewAll, P::ChangeServer],
        P::ViewUser => &[P::ViewAll, P::ChangeUser],
        _ => &[],
    }
}

/// Whether the set has the permission, or one that includes it.
fn suffices(granted: Permissions, permission: Permission) -> bool {
    granted.has(permission) || implied_by(permission).iter().any(|larger| granted.has(*larger))
}

#[cfg(test)]
mod tests;
