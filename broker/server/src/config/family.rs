//! The files beside the main one: which parameter names each, what its list is called in tibemsd.json, what it may hold.

use super::entry::Syntax;
use super::kept_tables::{CHANNEL, DURABLE, FACTORY, LISTENER, ROUTE, TOPIC, TRANSPORT};
use super::tables::{QUEUE, STORE, Section};

/// One file of entries. Bridges, users, groups and permissions have a form of their own and are not here.
#[derive(Debug)]
pub(super) struct SideFile {
    /// The parameter that names it, and its list in tibemsd.json.
    pub(super) name: &'static str,
    /// How its lines make entries.
    pub(super) syntax: Syntax,
    /// The key of an entry's name in tibemsd.json.
    pub(super) key: &'static str,
    /// What an entry may hold.
    pub(super) table: &'static [Section],
    /// Why nothing comes of it; empty where something does.
    pub(super) unused: &'static str,
}

const fn file(name: &'static str, syntax: Syntax, key: &'static str, table: &'static [Section]) -> SideFile {
    SideFile { name, syntax, key, table, unused: "" }
}

impl SideFile {
    const fn unused(self, reason: &'static str) -> Self {
        Self { unused: reason, ..self }
    }
}

const QUEUES_ONLY: &str = "this version has queues only";
const NO_TRANSPORTS: &str = "there are no transports";

pub(super) const QUEUES: &SideFile = &file("queues", Syntax::Lines, "name", QUEUE);
pub(super) const STORES: &SideFile = &file("stores", Syntax::Sections, "name", STORE);
pub(super) const TOPICS: &SideFile = &file("topics", Syntax::Lines, "name", TOPIC).unused(QUEUES_ONLY);
pub(super) const DURABLES: &SideFile = &file("durables", Syntax::Durables, "topic", DURABLE).unused(QUEUES_ONLY);
pub(super) const FACTORIES: &SideFile =
    &file("factories", Syntax::Sections, "name", FACTORY).unused("AMQP clients keep their own connection settings");
pub(super) const ROUTES: &SideFile = &file("routes", Syntax::Sections, "name", ROUTE).unused("there are no routes");
pub(super) const TRANSPORTS: &SideFile = &file("transports", Syntax::Sections, "name", TRANSPORT).unused(NO_TRANSPORTS);
pub(super) const LISTENERS: &SideFile =
    &file("tibrvcm", Syntax::Listeners, "transport", LISTENER).unused(NO_TRANSPORTS);
pub(super) const CHANNELS: &SideFile =
    &file("channels", Syntax::Sections, "name", CHANNEL).unused("there is no multicast");

/// All of them, in the order in which they are told.
pub(super) const FILES: [&SideFile; 9] =
    [TOPICS, QUEUES, STORES, DURABLES, FACTORIES, ROUTES, TRANSPORTS, LISTENERS, CHANNELS];
/// The file of bridges.
pub(super) const BRIDGES: &str = "bridges";
/// The files whose lines are not entries, by parameter; in tibemsd.json `acl_list` is called `acls`.
pub(super) const TEXTS: [&str; 3] = ["users", "groups", "acl_list"];

/// All parameters that name another configuration file.
pub(super) fn is_side_file(parameter: &str) -> bool {
    parameter == BRIDGES || TEXTS.contains(&parameter) || FILES.iter().any(|file| file.name == parameter)
}
