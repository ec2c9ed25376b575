//! Commands on users, groups and permissions.
//!
//! Owns how a change of the directory becomes lines of users.conf, groups.conf and acl.conf. What may be changed is decided
//! by the directory: the change is tried on a copy, written, and then made.

use super::command::{AclSubject, Command, Show};
use super::files::{Draft, Which};
use super::show::page;
use crate::broker::Broker;
use crate::config::{self, AclEntry, AclTarget, Principal, User};
use crate::security::directory::Directory;
use serde_json::{Value, json};

/// A user to be put.
#[derive(Clone, Debug)]
pub(super) struct NewUser {
    /// It is there already and gets a password.
    pub(super) exists: bool,
    pub(super) name: String,
    pub(super) description: String,
    /// Of the password; empty = none.
    pub(super) hash: String,
}

impl Broker {
    /// `show users`, `show user`, `show groups`, `show group`.
    pub(super) fn show_people(&self, show: &Show, from: usize) -> Result<Value, String> {
        let directory = &self.directory;
        let user_row = |user: &User| {
            let groups: Vec<&str> = directory
                .groups()
                .filter(|group| group.members.contains(&user.name))
                .map(|group| &group.name[..])
                .collect();
            json!({ "name": user.name, "password": !user.password.is_empty(), "groups": groups.join(","),
                    "description": user.description })
        };
        match show {
            Show::User(name) => {
                let user = directory.user(name).ok_or_else(|| no_user(name))?;
                Ok(user_row(user))
            }
            Show::Groups => Ok(page(
                "groups",
                from,
                directory.groups().map(|group| {
                    json!({ "name": group.name, "members": group.members.len(), "description": group.description })
                }),
            )),
            Show::Group(name) => {
                let group = directory.group(name).ok_or_else(|| format!("there is no group '{name}'; show groups lists them"))?;
                Ok(json!({ "name": group.name, "description": group.description, "members": group.members }))
            }
            _ => Ok(page("users", from, directory.users().map(user_row))),
        }
    }

    /// `showacl`.
    pub(super) fn show_acl(&self, subject: &AclSubject, from: usize) -> Value {
        let is_meant = |entry: &&AclEntry| match subject {
            AclSubject::Principal(principal) => entry.principal == *principal,
            AclSubject::Target(AclTarget::Queue(name)) => {
                matches!(&entry.target, AclTarget::Queue(of) if of == name || engine::matches(of, name))
            }
            AclSubject::Target(AclTarget::Topic(name)) => {
                matches!(&entry.target, AclTarget::Topic(of) if of == name || engine::matches(of, name))
            }
            AclSubject::Target(AclTarget::Admin) => entry.target == AclTarget::Admin,
        };
        page("permissions", from, self.directory.acl().iter().filter(is_meant).map(acl_row))
    }

    /// The directory after a command on users, groups or permissions.
    fn directory_after(&self, command: &Command) -> Result<Directory, String> {
        let mut directory = self.directory.clone();
        match command {
            Command::DeleteUser(name) => directory.delete_user(name),
            Command::CreateGroup(name, description) => directory.create_group(name, description),
            Command::DeleteGroup(name) => directory.delete_group(name),
            Command::AddMember(group, user) => directory.add_member(group, user),
            Command::RemoveMember(group, user) => directory.remove_member(group, user),
            Command::Grant(target, principal, permissions) => {
                if let AclTarget::Queue(name) | AclTarget::Topic(name) = target {
                    super::show::check_pattern(name)?;
                }
                directory.grant(target.clone(), principal.clone(), *permissions)
            }
            Command::Revoke(target, principal, permissions) => directory.revoke(target, principal, *permissions),
            other => unreachable!("{other:?} is carried out elsewhere"),
        }
        .map_err(|error| error.to_string())?;
        Ok(directory)
    }

    /// Changes the texts for [`Broker::change_directory`].
    pub(super) fn draft_directory(&mut self, command: &Command) -> Result<(), String> {
        let after = self.directory_after(command)?;
        let before = &self.directory;
        self.admin.files.edit(|draft| write_change(draft, command, before, &after))
    }

    /// All commands that change users, groups and permissions, but for those that need a hash.
    pub(super) fn change_directory(&mut self, command: &Command) -> Result<Value, String> {
        self.directory = self.directory_after(command)?;
        self.log.line(format!("{} by command", said(command)));
        Ok(json!({}))
    }

    /// The directory with a user put, or another password.
    fn directory_with(&self, user: &NewUser) -> Result<Directory, String> {
        let mut directory = self.directory.clone();
        let NewUser { exists, name, description, hash } = user;
        let result = match exists {
            true => directory.set_password(name, hash),
            false => directory.create_user(name, hash, description),
        };
        result.map_err(|error| error.to_string())?;
        Ok(directory)
    }

    /// Changes the text for [`Broker::put_user`].
    pub(super) fn draft_user(&mut self, user: &NewUser) -> Result<(), String> {
        let directory = self.directory_with(user)?;
        let put = directory.user(&user.name).expect("just put");
        let line = format!("{}:{}:{}", put.name, put.password, quoted(&put.description));
        self.admin.files.edit(|draft| draft.put(Which::Users, &user.name, &line))
    }

    /// `create user` and `set password`.
    pub(super) fn put_user(&mut self, user: &NewUser) -> Result<Value, String> {
        self.directory = self.directory_with(user)?;
        let what = if user.exists { "got a password" } else { "was created" };
        self.log.line(format!("User '{}' {what} by command", user.name));
        Ok(json!({}))
    }
}

/// That there is no such user, in words for people.
pub(super) fn no_user(name: &str) -> String {
    format!("there is no user '{name}'; show users lists them")
}

fn said(command: &Command) -> String {
    match command {
        Command::DeleteUser(name) => format!("User '{name}' was deleted"),
        Command::CreateGroup(name, _) => format!("Group '{name}' was created"),
        Command::DeleteGroup(name) => format!("Group '{name}' was deleted"),
        Command::AddMember(group, user) => format!("User '{user}' was added to group '{group}'"),
        Command::RemoveMember(group, user) => format!("User '{user}' was removed from group '{group}'"),
        Command::Grant(target, principal, permissions) => {
            format!("Granted {} {}", permissions.words(target.scope()), acl_subject(target, principal))
        }
        Command::Revoke(target, principal, permissions) => {
            format!("Revoked {} {}", permissions.words(target.scope()), acl_subject(target, principal))
        }
        _ => String::new(),
    }
}

fn write_change(draft: &mut Draft<'_>, command: &Command, before: &Directory, after: &Directory) -> Result<(), String> {
    match command {
        Command::DeleteUser(name) => {
            draft.remove(Which::Users, name)?;
            draft.edit(Which::Groups, |text| {
                for group in before.groups() {
                    text.remove_member(&group.name, name);
                }
            })?;
            remove_grants(draft, before, &Principal::User(name.clone()))
        }
        Command::CreateGroup(name, description) => {
            draft.put(Which::Groups, name, &format!("{name}:{}", quoted(description)))
        }
        Command::DeleteGroup(name) => {
            draft.remove(Which::Groups, name)?;
            remove_grants(draft, before, &Principal::Group(name.clone()))
        }
        Command::AddMember(group, user) => draft.edit(Which::Groups, |text| {
            if !text.add_member(group, user) {
                let description = after.group(group).map_or("", |group| &group.description);
                text.put(config::Form::Group, group, &format!("{group}:{}", quoted(description)));
                text.add_member(group, user);
            }
        }),
        Command::RemoveMember(group, user) => draft.edit(Which::Groups, |text| {
            text.remove_member(group, user);
        }),
        Command::Grant(target, principal, _) | Command::Revoke(target, principal, _) => {
            let subject = acl_subject(target, principal);
            let entries = after.acl().iter().filter(|entry| entry.target == *target && entry.principal == *principal);
            let left = entries.fold(config::Permissions::NONE, |sum, entry| sum.with(entry.permissions));
            if left.is_empty() {
                return draft.remove(Which::Acl, &config::Form::permission_key(&subject));
            }
            let line = format!("{subject} PERM={}", left.words(target.scope()));
            draft.put(Which::Acl, &config::Form::permission_key(&subject), &line)
        }
        _ => Ok(()),
    }
}

fn remove_grants(draft: &mut Draft<'_>, before: &Directory, principal: &Principal) -> Result<(), String> {
    for entry in before.acl().iter().filter(|entry| entry.principal == *principal) {
        draft.remove(Which::Acl, &config::Form::permission_key(&acl_subject(&entry.target, principal)))?;
    }
    Ok(())
}

/// The words of acl.conf for whom and what a permission is.
fn acl_subject(target: &AclTarget, principal: &Principal) -> String {
    let target = match target {
        AclTarget::Queue(name) => format!("QUEUE={name}"),
        AclTarget::Topic(name) => format!("TOPIC={name}"),
        AclTarget::Admin => "ADMIN".to_owned(),
    };
    match principal {
        Principal::User(name) => format!("{target} USER={name}"),
        Principal::Group(name) => format!("{target} GROUP={name}"),
    }
}

fn acl_row(entry: &AclEntry) -> Value {
    let target = match &entry.target {
        AclTarget::Queue(name) => format!("queue {name}"),
        AclTarget::Topic(name) => format!("topic {name}"),
        AclTarget::Admin => "admin".to_owned(),
    };
    let (kind, name) = match &entry.principal {
        Principal::User(name) => ("user", name),
        Principal::Group(name) => ("group", name),
    };
    json!({ "target": target, "kind": kind, "name": name, "permissions": entry.permissions.words(entry.target.scope()) })
}

/// A description, in double quotes where it has blanks.
fn quoted(text: &str) -> String {
    if text.contains(char::is_whitespace) { format!("\"{text}\"") } else { text.to_owned() }
}
