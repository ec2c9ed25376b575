//! The way back: settings, entries and lines of .conf files as the parts of a tibemsd.json.

use super::super::bridges::split_selector;
use super::super::entry::{Entry, Property};
use super::super::family::{SideFile, is_side_file};
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

/// The members of an object, as Settings takes them: of a parameter that stands once, the last value counts.
#[derive(Debug, Default)]
struct Members(Vec<(String, Json)>);

impl Members {
    fn set(&mut self, name: &str, value: Json) {
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn append(&mut self, name: &str, value: Json) {
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, Json::List(values))) => values.push(value),
            _ => self.0.push((name.to_owned(), Json::List(vec![value]))),
        }
    }

    /// Takes a property under another name.
    fn take(&mut self, name: &str, property: &Property, table: &'static [Section]) {
        let row = find(table, &property.name);
        if property.value.as_deref() == Some("") {
            return;
        }
        let value = typed(property.value.as_deref(), row.map(|row| row.kind));
        if row.is_some_and(|row| row.repeatable) { self.append(name, value) } else { self.set(name, value) }
    }
}

/// Booleans and whole numbers are such, everything else is a text.
fn typed(text: Option<&str>, kind: Option<Kind>) -> Json {
    let Some(text) = text else { return Json::Flag(true) };
    match (kind, value::flag(text), text.parse::<u64>()) {
        (Some(Kind::Flag), Ok(flag), _) => Json::Flag(flag),
        (Some(Kind::Count(..) | Kind::Time(..)), _, Ok(number)) if number.to_string() == text => Json::Number(number),
        _ => Json::text(text),
    }
}

/// The object of the server's parameters, without `listen`, `ft_active` and what names a side file.
pub(in super::super) fn server_object(properties: &[Property]) -> Vec<(String, Json)> {
    let mut members = Members::default();
    let mut ssl = Members::default();
    for property in properties {
        let name = find(SERVER, &property.name).map_or(property.name.as_str(), |row| row.name);
        match name {
            "listen" | "ft_active" => {}
            name if is_side_file(name) => {}
            "ssl_server_issuer" => ssl.take("ssl_issuer_list", property, SERVER),
            "ssl_server_trusted" => ssl.take("ssl_trusted_list", property, SERVER),
            name if name.starts_with("ssl_") => ssl.take(name, property, SERVER),
            name => members.take(name, property, SERVER),
        }
    }
    if !ssl.0.is_empty() {
        members.set("ssl", Json::Object(ssl.0));
    }
    members.0
}

/// `primary_listens` or `secondary_listens`: the URLs of one server, and the one by which the other server reaches it.
pub(in super::super) fn listens(urls: &[String], reached: Option<&str>) -> Json {
    let port = |url: &str| value::address(url).map(|address| address.port).ok();
    let marked = reached.map(|reached| {
        let same = urls.iter().position(|url| url == reached);
        same.or_else(|| urls.iter().position(|url| port(url) == port(reached))).unwrap_or(0)
    });
    let entry = |(index, url): (usize, &String)| {
        let mut members = vec![("url".to_owned(), Json::text(url))];
        if let Some(reached) = reached.filter(|_| marked == Some(index)) {
            let mark = if url == reached { Json::Flag(true) } else { Json::text(reached) };
            members.push(("ft_active".to_owned(), mark));
        }
        Json::Object(members)
    };
    Json::List(urls.iter().enumerate().map(entry).collect())
}

/// One element of a list.
pub(in super::super) fn entry(entry: &Entry, file: &SideFile) -> Json {
    let mut members = Members::default();
    members.set(file.key, Json::text(&entry.name));
    for property in &entry.properties {
        let name = find(file.table, &property.name).map_or(property.name.as_str(), |row| row.name);
        members.take(name, property, file.table);
    }
    Json::Object(members.0)
}

/// One bridge.
pub(in super::super) fn bridge(entry: &Entry) -> Json {
    let (kind, name) = entry.name.split_once(':').unwrap_or(("", &entry.name));
    let target = |property: &Property| {
        let (name, selector) = split_selector(property.value.as_deref().unwrap_or(""));
        let mut members = vec![("type".to_owned(), Json::text(&property.name)), ("name".to_owned(), Json::text(name))];
        if let Some(quoted) = selector.strip_prefix("selector=") {
            members.push(("selector".to_owned(), Json::text(unquote(quoted))));
        }
        Json::Object(members)
    };
    Json::Object(vec![
        ("type".to_owned(), Json::text(kind)),
        ("name".to_owned(), Json::text(name)),
        ("targets".to_owned(), Json::List(entry.properties.iter().map(target).collect())),
    ])
}

/// The elements for the lines of users.conf, groups.conf or acl.conf.
pub(in super::super) fn text_list(parameter: &str, text: &str) -> Vec<Json> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with(['#', ';']));
    match parameter {
        "users" => lines.map(user).collect(),
        "groups" => groups(lines),
        _ => lines.map(permission).collect(),
    }
}

/// An object of texts, without the empty ones.
fn texts<'t>(members: impl IntoIterator<Item = (&'t str, &'t str)>) -> Vec<(String, Json)> {
    let set = members.into_iter().filter(|(_, text)| !text.is_empty());
    set.map(|(name, text)| (name.to_owned(), Json::text(text))).collect()
}

fn user(line: &str) -> Json {
    let mut fields = line.trim().splitn(3, ':');
    let mut field = || fields.next().unwrap_or("");
    let (name, password, description) = (field(), field(), field());
    Json::Object(texts([("name", unquote(name)), ("password", password), ("description", unquote(description))]))
}

fn groups<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<Json> {
    let mut groups: Vec<(Vec<(String, Json)>, Vec<Json>)> = Vec::new();
    for line in lines {
        let name = unquote(line);
        if !line.starts_with([' ', '\t']) {
            let (name, description) = line.split_once(':').unwrap_or((line, ""));
            groups.push((texts([("name", unquote(name)), ("description", unquote(description))]), Vec::new()));
        } else if let Some((_, members)) = groups.last_mut() {
            members.push(Json::Object(texts([("name", name)])));
        }
    }
    let group = |(mut group, members): (Vec<(String, Json)>, Vec<Json>)| {
        group.push(("members".to_owned(), Json::List(members)));
        Json::Object(group)
    };
    groups.into_iter().map(group).collect()
}

fn permission(line: &str) -> Json {
    let mut quoted = false;
    let words = line.split(move |letter: char| {
        quoted ^= letter == '"';
        letter.is_whitespace() && !quoted
    });
    let member = |word: &str| {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let value = match name.to_ascii_uppercase().as_str() {
            "ADMIN" => Json::Flag(true),
            "PERM" => Json::List(value::list(unquote(value)).into_iter().map(Json::text).collect()),
            _ => Json::text(unquote(value)),
        };
        let name = if name.eq_ignore_ascii_case("PERM") { "permissions".to_owned() } else { name.to_ascii_lowercase() };
        (name, value)
    };
    Json::Object(words.filter(|word| !word.is_empty()).map(member).collect())
}
