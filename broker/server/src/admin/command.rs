//! The commands of an administrator: from a line of words to a closed set.
//!
//! Owns the spelling, as EMS's administration tool has it. What a command does is in the other files of this folder.

use crate::config::{self, AclTarget, Permission, Permissions, Principal, Scope};
use std::collections::BTreeMap;

/// What an administrator may want of the server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// `show ...`.
    Show(Show),
    /// `showacl ...`.
    ShowAcl(AclSubject),
    /// `create queue NAME [PROPERTIES]`.
    CreateQueue(String, Vec<String>),
    /// `delete queue NAME`.
    DeleteQueue(String),
    /// `addprop`, `setprop`, `removeprop queue NAME PROPERTIES`.
    Properties(PropertyChange, String, Vec<String>),
    /// `create user NAME [DESCRIPTION] [password=PASSWORD]`.
    CreateUser {
        /// The name.
        name: String,
        /// Free text.
        description: String,
        /// In the clear; empty = none.
        password: String,
    },
    /// `delete user NAME`.
    DeleteUser(String),
    /// `set password NAME [PASSWORD]`.
    SetPassword(String, String),
    /// `create group NAME [DESCRIPTION]`.
    CreateGroup(String, String),
    /// `delete group NAME`.
    DeleteGroup(String),
    /// `addmember GROUP USER`.
    AddMember(String, String),
    /// `removemember GROUP USER`.
    RemoveMember(String, String),
    /// `grant queue NAME user=U PERMISSIONS`, `grant admin user=U PERMISSIONS`.
    Grant(AclTarget, Principal, Permissions),
    /// `revoke ...`, as `grant`.
    Revoke(AclTarget, Principal, Permissions),
    /// `purge queue NAME`.
    Purge(String),
    /// `purge all queues [PATTERN]`.
    PurgeAll(String),
    /// `delete connection ID`.
    DeleteConnection(u64),
    /// `set server NAME=VALUE ...`.
    SetServer(Vec<(String, String)>),
    /// `shutdown`.
    Shutdown,
    /// `rotatelog`.
    RotateLog,
    /// `commit`.
    Commit,
    /// `autocommit [on|off]`.
    AutoCommit(Option<bool>),
    /// `whoami`.
    WhoAmI,
    /// `info`.
    Info,
}

/// What is to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// `show server`.
    Server,
    /// `show state`.
    State,
    /// `show queues [PATTERN [static|dynamic]]`.
    Queues(String, Option<Kind>),
    /// `show queue NAME`.
    Queue(String),
    /// `show stat queues [PATTERN]`.
    Flows(String),
    /// `show users`.
    Users,
    /// `show user NAME`.
    User(String),
    /// `show groups`.
    Groups,
    /// `show group NAME`, `show members NAME`.
    Group(String),
    /// `show connections [full]`.
    Connections,
    /// `show consumers [QUEUE]`.
    Consumers(String),
    /// `show consumer ID`.
    Consumer(u32),
    /// `show stores`.
    Stores,
    /// `show store NAME`.
    Store(String),
    /// `show config`.
    Config,
    /// `show topics`, `show durables` and so on: what the configuration holds of what is not acted upon.
    Kept(Kept),
}

/// Files that are kept and not acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// topics.conf.
    Topics,
    /// durables.conf.
    Durables,
    /// bridges.conf.
    Bridges,
    /// factories.conf.
    Factories,
    /// routes.conf.
    Routes,
    /// transports.conf.
    Transports,
    /// channels.conf.
    Channels,
}

/// How a queue came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// queues.conf names it.
    Static,
    /// A pattern allows it.
    Dynamic,
}

/// How properties change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PropertyChange {
    /// The named ones only.
    Add,
    /// The named ones, and no others.
    Set,
    /// The named ones go.
    Remove,
}

/// Whose permissions are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AclSubject {
    /// On a queue, a topic or the server.
    Target(AclTarget),
    /// Of a user or a group.
    Principal(Principal),
}

/// Where a command may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On both servers, however they were configured.
    Anywhere,
    /// On both, but not on a standby that has one tibemsd.json with the active server.
    OwnFile,
    /// On the active server.
    Active,
}

/// Splits at blanks outside double quotes; the quotes go.
pub(crate) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            other if other.is_control() && other != '\t' => {
                return Err("a control character stands in the command".to_owned());
            }
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            blank if blank.is_whitespace() && !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    if quoted {
        return Err("a double quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

/// The command in a line; `args` are further `name=value` words, for requests that carry them apart.
pub(crate) fn parse(line: &str, args: &BTreeMap<String, String>) -> Result<Command, String> {
    let words = words(line)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let command = match words.as_slice() {
        ["show", rest @ ..] => Command::Show(show(rest)?),
        ["showacl", rest @ ..] => Command::ShowAcl(acl_subject(rest)?),
        ["create", what, rest @ ..] => create(what, rest)?,
        ["delete", what, rest @ ..] => delete(what, rest)?,
        ["addprop", rest @ ..] => properties(PropertyChange::Add, rest)?,
        ["setprop", rest @ ..] => properties(PropertyChange::Set, rest)?,
        ["removeprop", rest @ ..] => properties(PropertyChange::Remove, rest)?,
        ["set", "server", rest @ ..] => Command::SetServer(assignments(rest, args)?),
        ["set", "password", user] => Command::SetPassword((*user).to_owned(), String::new()),
        ["set", "password", user, password] => Command::SetPassword((*user).to_owned(), (*password).to_owned()),
        ["addmember", group, user] => Command::AddMember((*group).to_owned(), (*user).to_owned()),
        ["removemember", group, user] => Command::RemoveMember((*group).to_owned(), (*user).to_owned()),
        ["grant", rest @ ..] => {
            let (target, principal, permissions) = grant(rest)?;
            Command::Grant(target, principal, permissions)
        }
        ["revoke", rest @ ..] => {
            let (target, principal, permissions) = grant(rest)?;
            Command::Revoke(target, principal, permissions)
        }
        ["purge", "queue", name] => Command::Purge((*name).to_owned()),
        ["purge", "all", "queues"] => Command::PurgeAll(">".to_owned()),
        ["purge", "all", "queues", pattern] => Command::PurgeAll((*pattern).to_owned()),
        ["shutdown"] => Command::Shutdown,
        ["rotatelog"] => Command::RotateLog,
        ["commit"] => Command::Commit,
        ["autocommit"] => Command::AutoCommit(None),
        ["autocommit", switch] => Command::AutoCommit(Some(config::flag(switch)?)),
        ["whoami"] => Command::WhoAmI,
        ["info"] => Command::Info,
        [] => return Err("the command is empty".to_owned()),
        _ => return Err(format!("'{line}' is not a command; 'help' lists the commands of broker-admin")),
    };
    Ok(command)
}

fn show(words: &[&str]) -> Result<Show, String> {
    let show = match words {
        ["server"] => Show::Server,
        ["state"] => Show::State,
        ["queues"] => Show::Queues(">".to_owned(), None),
        ["queues", pattern] => Show::Queues((*pattern).to_owned(), None),
        ["queues", pattern, "static" | "notemp"] => Show::Queues((*pattern).to_owned(), Some(Kind::Static)),
        ["queues", pattern, "dynamic"] => Show::Queues((*pattern).to_owned(), Some(Kind::Dynamic)),
        ["queue", name] => Show::Queue((*name).to_owned()),
        ["stat", "queues"] => Show::Flows(">".to_owned()),
        ["stat", "queues", pattern] => Show::Flows((*pattern).to_owned()),
        ["users"] => Show::Users,
        ["user", name] => Show::User((*name).to_owned()),
        ["groups"] => Show::Groups,
        ["group" | "members", name] => Show::Group((*name).to_owned()),
        ["connections"] | ["connections", "full"] => Show::Connections,
        ["consumers"] => Show::Consumers(">".to_owned()),
        ["consumers", queue] => Show::Consumers((*queue).to_owned()),
        ["consumer", id] => Show::Consumer(number(id)?),
        ["stores"] => Show::Stores,
        ["store", name] => Show::Store((*name).to_owned()),
        ["config"] => Show::Config,
        ["topics"] => Show::Kept(Kept::Topics),
        ["durables"] => Show::Kept(Kept::Durables),
        ["bridges"] => Show::Kept(Kept::Bridges),
        ["factories"] => Show::Kept(Kept::Factories),
        ["routes"] => Show::Kept(Kept::Routes),
        ["transports"] => Show::Kept(Kept::Transports),
        ["channels"] => Show::Kept(Kept::Channels),
        _ => {
            let known = "server, state, queues, queue, stat queues, users, user, groups, group, connections, consumers, consumer, \
                         stores, store, config, topics, durables, bridges, factories, routes, transports, channels";
            return Err(format!("'show {}' is not known; known are {known}", words.join(" ")));
        }
    };
    Ok(show)
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("'{text}' is not a number"))
}

fn create(what: &str, words: &[&str]) -> Result<Command, String> {
    match (what, words) {
        ("queue", [name, properties @ ..]) => Ok(Command::CreateQueue((*name).to_owned(), split(properties))),
        ("user", [name, rest @ ..]) => {
            let (mut description, mut password) = (String::new(), String::new());
            for word in rest {
                match word.strip_prefix("password=") {
                    Some(text) => text.clone_into(&mut password),
                    None if description.is_empty() => (*word).clone_into(&mut description),
                    None => return Err("write create user NAME [\"DESCRIPTION\"] [password=PASSWORD]".to_owned()),
                }
            }
            Ok(Command::CreateUser { name: (*name).to_owned(), description, password })
        }
        ("group", [name]) => Ok(Command::CreateGroup((*name).to_owned(), String::new())),
        ("group", [name, description]) => Ok(Command::CreateGroup((*name).to_owned(), (*description).to_owned())),
        ("queue" | "user" | "group", _) => Err(format!("write create {what} NAME ...")),
        _ => Err(format!("'{what}' cannot be created; queue, user and group can")),
    }
}

fn delete(what: &str, words: &[&str]) -> Result<Command, String> {
    match (what, words) {
        ("queue", [name]) => Ok(Command::DeleteQueue((*name).to_owned())),
        ("user", [name]) => Ok(Command::DeleteUser((*name).to_owned())),
        ("group", [name]) => Ok(Command::DeleteGroup((*name).to_owned())),
        ("connection", [id]) => Ok(Command::DeleteConnection(number(id)?)),
        ("queue" | "user" | "group" | "connection", _) => Err(format!("write delete {what} NAME")),
        _ => Err(format!("'{what}' cannot be deleted; queue, user, group and connection can")),
    }
}

fn properties(change: PropertyChange, words: &[&str]) -> Result<Command, String> {
    match words {
        ["queue", name, rest @ ..] if !rest.is_empty() || change == PropertyChange::Set => {
            Ok(Command::Properties(change, (*name).to_owned(), split(rest)))
        }
        ["queue", ..] => Err("write queue NAME PROPERTY,PROPERTY=VALUE".to_owned()),
        _ => Err("only queues have properties that can be changed".to_owned()),
    }
}

/// Properties are separated by commas; blanks are forgiven.
fn split(words: &[&str]) -> Vec<String> {
    let parts = words.iter().flat_map(|word| word.split(','));
    parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn assignments(words: &[&str], args: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for word in words {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("'{word}' has no '='; write NAME=VALUE"))?;
        pairs.push((name.to_owned(), value.to_owned()));
    }
    pairs.extend(args.iter().map(|(name, value)| (name.clone(), value.clone())));
    if pairs.is_empty() { Err("write set server NAME=VALUE".to_owned()) } else { Ok(pairs) }
}

fn grant(words: &[&str]) -> Result<(AclTarget, Principal, Permissions), String> {
    const FORM: &str =
        "write queue NAME user=NAME PERMISSIONS, or admin user=NAME PERMISSIONS; group= may stand for user=";
    let (target, rest) = acl_target(words).ok_or(FORM)?;
    let [who, rest @ ..] = rest else { return Err(FORM.to_owned()) };
    let principal = match who.split_once('=') {
        Some(("user", name)) => Principal::User(name.to_owned()),
        Some(("group", name)) => Principal::Group(name.to_owned()),
        _ => return Err(FORM.to_owned()),
    };
    let scope = target.scope();
    let mut permissions = Permissions::NONE;
    for word in split(rest) {
        let one = match Permission::parse(&word, scope) {
            Some(permission) => Permissions::from_iter([permission]),
            None if word == config::ALL => Permissions::all(scope),
            None => {
                let known = Permission::names(scope).collect::<Vec<_>>().join(", ");
                return Err(format!("'{word}' is not a permission here; known are {known}"));
            }
        };
        permissions = permissions.with(one);
    }
    if permissions.is_empty() { Err(FORM.to_owned()) } else { Ok((target, principal, permissions)) }
}

fn acl_target<'w>(words: &'w [&'w str]) -> Option<(AclTarget, &'w [&'w str])> {
    match words {
        ["queue", name, rest @ ..] => Some((AclTarget::Queue((*name).to_owned()), rest)),
        ["topic", name, rest @ ..] => Some((AclTarget::Topic((*name).to_owned()), rest)),
        ["admin", rest @ ..] => Some((AclTarget::Admin, rest)),
        _ => None,
    }
}

fn acl_subject(words: &[&str]) -> Result<AclSubject, String> {
    match words {
        ["user", name] => Ok(AclSubject::Principal(Principal::User((*name).to_owned()))),
        ["group", name] => Ok(AclSubject::Principal(Principal::Group((*name).to_owned()))),
        _ => match acl_target(words) {
            Some((target, [])) => Ok(AclSubject::Target(target)),
            _ => Err("write showacl queue NAME, topic NAME, user NAME, group NAME or admin".to_owned()),
        },
    }
}

impl Command {
    /// Where it may run.
    pub(crate) fn place(&self) -> Place {
        match self {
            Command::Show(Show::State | Show::Connections)
            | Command::Shutdown
            | Command::RotateLog
            | Command::WhoAmI
            | Command::Info => Place::Anywhere,
            Command::Show(_)
            | Command::ShowAcl(_)
            | Command::SetServer(_)
            // A standby may have users.conf, groups.conf and acl.conf of its own; where they are shared, what the active
            // server wrote is not overwritten.
            | Command::CreateUser { .. }
            | Command::DeleteUser(_)
            | Command::SetPassword(..)
            | Command::CreateGroup(..)
            | Command::DeleteGroup(_)
            | Command::AddMember(..)
            | Command::RemoveMember(..)
            | Command::Grant(..)
            | Command::Revoke(..)
            | Command::Commit
            | Command::AutoCommit(_) => Place::OwnFile,
            _ => Place::Active,
        }
    }

    /// The permission that it takes, on the server or on a queue.
    pub(crate) fn permission(&self) -> Option<(Permission, Option<&str>)> {
        let on_server = |permission| Some((permission, None));
        match self {
            Command::Show(show) => show.permission(),
            Command::ShowAcl(AclSubject::Target(AclTarget::Admin)) => on_server(Permission::ViewAdminAcl),
            Command::ShowAcl(_) => on_server(Permission::ViewAcl),
            Command::CreateQueue(name, _) => Some((Permission::Create, Some(name))),
            Command::DeleteQueue(name) => Some((Permission::Delete, Some(name))),
            Command::Properties(_, name, _) => Some((Permission::Modify, Some(name))),
            Command::Purge(name) => Some((Permission::Purge, Some(name))),
            Command::PurgeAll(_) => on_server(Permission::PurgeDestination),
            Command::CreateUser { .. } | Command::DeleteUser(_) | Command::SetPassword(..) => {
                on_server(Permission::ChangeUser)
            }
            Command::CreateGroup(..) | Command::DeleteGroup(_) => on_server(Permission::ChangeGroup),
            Command::AddMember(..) | Command::RemoveMember(..) => on_server(Permission::ChangeGroup),
            Command::Grant(target, ..) | Command::Revoke(target, ..) if target.scope() == Scope::Admin => {
                on_server(Permission::ChangeAdminAcl)
            }
            Command::Grant(..) | Command::Revoke(..) => on_server(Permission::ChangeAcl),
            Command::DeleteConnection(_) => on_server(Permission::ChangeConnection),
            Command::SetServer(_) | Command::RotateLog => on_server(Permission::ChangeServer),
            Command::Shutdown => on_server(Permission::Shutdown),
            Command::Commit | Command::AutoCommit(_) | Command::WhoAmI | Command::Info => None,
        }
    }
}

impl Show {
    fn permission(&self) -> Option<(Permission, Option<&str>)> {
        match self {
            // What a standby may tell everybody who may connect, as in EMS.
            Show::State => None,
            Show::Queue(name) => Some((Permission::View, Some(name))),
            Show::Queues(..) | Show::Flows(_) => Some((Permission::ViewDestination, None)),
            Show::Users | Show::User(_) => Some((Permission::ViewUser, None)),
            Show::Groups | Show::Group(_) => Some((Permission::ViewGroup, None)),
            Show::Connections | Show::Consumers(_) | Show::Consumer(_) => Some((Permission::ViewConnection, None)),
            Show::Server | Show::Stores | Show::Store(_) | Show::Config => Some((Permission::ViewServer, None)),
            Show::Kept(kept) => Some((kept.permission(), None)),
        }
    }
}

impl Kept {
    fn permission(self) -> Permission {
        match self {
            Kept::Topics => Permission::ViewDestination,
            Kept::Durables => Permission::ViewDurable,
            Kept::Bridges => Permission::ViewBridge,
            Kept::Factories => Permission::ViewFactory,
            Kept::Routes => Permission::ViewRoute,
            Kept::Transports | Kept::Channels => Permission::ViewServer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line, &BTreeMap::new())
    }

    #[test]
    fn words_are_split_outside_quotes() {
        let check = |line: &str, expected: &[&str]| assert_eq!(words(line).unwrap(), expected, "{line}");
        check("", &[]);
        check("  show   queues\t>", &["show", "queues", ">"]);
        check("create user a \"two words\" password=\"x y\"", &["create", "user", "a", "two words", "password=x y"]);
        check("set password a \"\"", &["set", "password", "a", ""]);
        assert!(words("a \"b").is_err());
    }

    #[test]
    fn lines_become_commands() {
        let check = |line: &str, expected: Command| assert_eq!(parsed(line), Ok(expected), "{line}");
        check("show queues", Command::Show(Show::Queues(">".into(), None)));
        check("show queues a.* static", Command::Show(Show::Queues("a.*".into(), Some(Kind::Static))));
        check(
            "create queue q store=$sys.failsafe,maxmsgs=5, secure",
            Command::CreateQueue("q".into(), vec!["store=$sys.failsafe".into(), "maxmsgs=5".into(), "secure".into()]),
        );
        check("show stat queues a.*", Command::Show(Show::Flows("a.*".into())));
        check("setprop queue q", Command::Properties(PropertyChange::Set, "q".into(), vec![]));
        check(
            "create user EMS-SERVER password=secret",
            Command::CreateUser { name: "EMS-SERVER".into(), description: String::new(), password: "secret".into() },
        );
        check("purge all queues", Command::PurgeAll(">".into()));
        check("autocommit off", Command::AutoCommit(Some(false)));
        check(
            "set server authorization=enabled password=\"a b\"",
            Command::SetServer(vec![("authorization".into(), "enabled".into()), ("password".into(), "a b".into())]),
        );
        let send = Permissions::from_iter([Permission::Send, Permission::Browse]);
        let bob = || Principal::User("bob".into());
        check("grant queue q user=bob send,browse", Command::Grant(AclTarget::Queue("q".into()), bob(), send));
        let all = Permissions::all(Scope::Admin);
        check("revoke admin group=ops all", Command::Revoke(AclTarget::Admin, Principal::Group("ops".into()), all));
        check("showacl admin", Command::ShowAcl(AclSubject::Target(AclTarget::Admin)));
        check("showacl user bob", Command::ShowAcl(AclSubject::Principal(bob())));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let check = |line: &str, expected: &str| {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        };
        check("", "empty");
        check("shwo queues", "not a command");
        check("show quues", "known are server");
        check("create topic t", "cannot be created");
        check("create queue", "create queue NAME");
        check("delete connection x", "not a number");
        check("addprop queue q", "PROPERTY");
        check("addprop topic t a", "only queues");
        check("set server x", "no '='");
        check("set server", "NAME=VALUE");
        check("grant queue q bob send", "user=NAME");
        check("grant queue q user=bob publish", "known are send");
        check("grant queue q user=bob", "PERMISSIONS");
        check("autocommit maybe", "maybe");
    }

    #[test]
    fn arguments_may_come_apart() {
        let args = BTreeMap::from([("debug_sync_delay".to_owned(), "2ms".to_owned())]);
        let expected = Command::SetServer(vec![("debug_sync_delay".into(), "2ms".into())]);
        assert_eq!(parse("set server", &args), Ok(expected));
    }
}
