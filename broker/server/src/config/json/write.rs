//! The way back: settings, entries and lines of .conf files as the parts of a tibemsd.json.

use super::super::bridges::split_selector;
use super::super::entry::{Entry, Property};
use super::super::family::{SideFile, is_side_file};
use super::super::findings::Spot;
use super::super::parameter::Kind;
use super::super::tables::{SERVER, Section, find};
use super::super::value;
use super::super::written::unquote;
use serde::{Serialize, Serializer};

/// A value; members of an object stay in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Json {
    Flag(bool),
    Number(u64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(in super::super) fn text(text: &str) -> Self {
        Json::Text(text.to_owned())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Flag(flag) => flag.serialize(serializer),
            Json::Number(number) => number.serialize(serializer),
            Json::Text(text) => text.serialize(serializer),
            Json::List(elements) => elements.serialize(serializer),
            Json::Object(members) => serializer.collect_map(members.iter().map(|(name, value)| (name, value))),
        }
    }
}
