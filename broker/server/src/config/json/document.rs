//! What a tibemsd.json says, as the .conf files would say it: settings of the server that was asked for, and entries.

use super::super::entry::{Entry, Property};
use super::super::family::{BRIDGES, FILES, SideFile, TEXTS, is_side_file};
use super::super::findings::{Findings, Spot, Weight};
use super::super::model::Role;
use super::super::nearest::nearest;
use super::super::tables::{SERVER, Section, find};
use super::super::value;
use super::list_name;
use super::node::{self, Node, Value};
use super::texts;
use std::path::Path;

/// The object of the server's parameters.
const SERVER_OBJECT: &str = "tibemsd";
/// The lists of URLs, by role.
const LISTENS: [&str; 2] = ["primary_listens", "secondary_listens"];
/// Names within `ssl` that are called otherwise in tibemsd.conf.
const SSL_NAMES: [(&str, &str); 2] =
    [("ssl_issuer_list", "ssl_server_issuer"), ("ssl_trusted_list", "ssl_server_trusted")];

/// One tibemsd.json.
#[derive(Debug)]
pub(in super::super) struct Document {
    root: Vec<(String, Node)>,
    /// The parameters of one of the servers.
    pub(in super::super) server: Vec<Property>,
}

impl Document {
    /// Reads the text for one of the two servers.
    pub(in super::super) fn read(path: &Path, text: &str, role: Role, findings: &mut Findings) -> Option<Self> {
        let root = node::parse(path, text, findings)?;
        let Value::Object(root) = root.value else {
            let message = format!("is {}, not an object", root.kind());
            findings.error(&root.spot, "", message, "write {\"tibemsd\": {...}, \"queues\": [...]}");
            return None;
        };
        check_names(&root, findings);
        let server = match root.iter().find(|(name, _)| name == SERVER_OBJECT) {
            Some((_, node)) => server(node, role, findings),
            None => {
                let remedy = "add \"tibemsd\": {...} with the parameters of tibemsd.conf";
                findings.error(&Spot::new(path, 1), SERVER_OBJECT, "is missing", remedy);
                Vec::new()
            }
        };
        Some(Document { root, server })
    }

    /// Where the list of a side file stands.
    pub(in super::super) fn spot(&self, parameter: &str) -> Option<&Spot> {
        let (_, node) = self.root.iter().find(|(name, _)| name == list_name(parameter))?;
        Some(&node.spot)
    }

    /// The elements of a list; `None` where it is missing.
    fn list(&self, parameter: &str, findings: &mut Findings) -> Option<&[Node]> {
        let (name, node) = self.root.iter().find(|(name, _)| name == list_name(parameter))?;
        match &node.value {
            Value::List(elements) => Some(elements),
            Value::Null => None,
            _ => {
                let message = format!("is {}, not a list", node.kind());
                findings.error(&node.spot, name, message, "write [{...}, {...}]");
                None
            }
        }
    }

    /// What one of the side files would say.
    pub(in super::super) fn entries(&self, file: &SideFile, findings: &mut Findings) -> Option<Vec<Entry>> {
        let elements = self.list(file.name, findings)?;
        Some(elements.iter().filter_map(|element| entry(element, file, findings)).collect())
    }

    /// What bridges.conf would say.
    pub(in super::super) fn bridges(&self, findings: &mut Findings) -> Option<Vec<Entry>> {
        let elements = self.list(BRIDGES, findings)?;
        Some(elements.iter().filter_map(|element| bridge(element, findings)).collect())
    }

    /// The lines of users.conf, groups.conf or acl.conf.
    pub(in super::super) fn lines(&self, parameter: &str, findings: &mut Findings) -> Option<Vec<(Spot, String)>> {
        let elements = self.list(parameter, findings)?;
        Some(elements.iter().flat_map(|element| texts::lines(parameter, element, findings)).collect())
    }
}

/// Names at the top.
fn check_names(root: &[(String, Node)], findings: &mut Findings) {
    let lists = FILES.iter().map(|file| file.name).chain(TEXTS).chain([BRIDGES]).map(list_name);
    let known: Vec<&str> = lists.chain([SERVER_OBJECT, "model_version"]).collect();
    for (index, (name, node)) in root.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            report_unknown(&node.spot, name, known.iter().copied(), findings);
        } else if root[..index].iter().any(|(other, _)| other == name) {
            findings.error(&node.spot, name, "is there twice", "merge the two");
        }
    }
}

/// A name that is not known in its place.
pub(super) fn report_unknown<'k>(
    spot: &Spot,
    name: &str,
    known: impl Iterator<Item = &'k str> + Clone,
    findings: &mut Findings,
) {
    let remedy = match nearest(name, known.clone()) {
        Some(known) => format!("did you mean {known}?"),
        None => format!("remove it; here may stand {}", known.collect::<Vec<_>>().join(", ")),
    };
    findings.add(Weight::Doubt, spot, name, "is not a known name", remedy);
}

/// The members of what has to be an object.
pub(super) fn members<'n>(node: &'n Node, findings: &mut Findings) -> Option<&'n [(String, Node)]> {
    let Value::Object(members) = &node.value else {
        let message = format!("is {}, not an object", node.kind());
        findings.error(&node.spot, "", message, "write {\"name\": value, ...}");
        return None;
    };
    Some(members)
}

/// The parameters of one of the servers.
fn server(object: &Node, role: Role, findings: &mut Findings) -> Vec<Property> {
    let mut properties = Vec::new();
    let mut listens: [Vec<ListenUrl>; 2] = [Vec::new(), Vec::new()];
    for (name, node) in members(object, findings).unwrap_or_default() {
        let (own_monitor, other_monitor) = match role {
            Role::Primary => ("monitor_listen", "secondary_monitor_listen"),
            Role::Secondary => ("secondary_monitor_listen", "monitor_listen"),
        };
        match name.as_str() {
            "ssl" => ssl(node, SERVER, &mut properties, findings),
            "listen" | "ft_active" => {
                let remedy = "write primary_listens and secondary_listens, with \"ft_active\": true at one URL of each";
                findings.error(&node.spot, name, "belongs to tibemsd.conf", remedy);
            }
            name if is_side_file(name) => {
                let remedy = format!("remove it, and write the list \"{}\" beside \"tibemsd\"", list_name(name));
                findings.add(Weight::Doubt, &node.spot, name, "has no file here: this file has all", remedy);
            }
            name if name == other_monitor => {}
            name if name == own_monitor => properties.extend(values("monitor_listen", node, SERVER, findings)),
            name => match LISTENS.iter().position(|list| *list == name) {
                Some(index) => listens[index] = listen_urls(node, findings),
                None => properties.extend(values(name, node, SERVER, findings)),
            },
        }
    }
    if role == Role::Secondary && listens[1].is_empty() {
        let remedy = "add \"secondary_listens\": [...], or start without --secondary";
        findings.error(&object.spot, "", "has no secondary_listens", remedy);
    }
    properties.extend(pair(listens, role, findings));
    properties
}

/// One URL of `primary_listens` or `secondary_listens`.
struct ListenUrl {
    spot: Spot,
    url: String,
    /// The URL by which the other server reaches it, if it is the one to connect to.
    ft_active: Option<(Spot, String)>,
}

fn listen_urls(list: &Node, findings: &mut Findings) -> Vec<ListenUrl> {
    let Value::List(elements) = &list.value else {
        let message = format!("is {}, not a list", list.kind());
        findings.error(&list.spot, "", message, "write [{\"url\": \"tcp://host:port\", \"ft_active\": true}]");
        return Vec::new();
    };
    let urls: Vec<ListenUrl> = elements.iter().filter_map(|element| listen_url(element, findings)).collect();
    if let Some(second) = urls.iter().filter_map(|listen| listen.ft_active.as_ref()).nth(1) {
        let remedy = "leave it at the URL that the peer is to connect to";
        findings.error(&second.0, "ft_active", "stands at two URLs of one server", remedy);
    }
    urls
}

fn listen_url(element: &Node, findings: &mut Findings) -> Option<ListenUrl> {
    let mut listen = ListenUrl { spot: element.spot.clone(), url: String::new(), ft_active: None };
    if let Value::Scalar(url) = &element.value {
        listen.url.clone_from(url);
        return Some(listen);
    }
    let mut is_reached = None;
    for (name, node) in members(element, findings)? {
        match (name.as_str(), &node.value) {
            (_, Value::Null) | ("ft_active", Value::Flag(false)) => {}
            ("url", Value::Scalar(url)) => {
                listen.spot = node.spot.clone();
                listen.url.clone_from(url);
            }
            ("ft_active", Value::Flag(true)) => is_reached = Some(&node.spot),
            ("ft_active", Value::Scalar(url)) => listen.ft_active = Some((node.spot.clone(), url.clone())),
            ("url" | "ft_active", _) => {
                let message = format!("is {}", node.kind());
                findings.error(&node.spot, name, message, "write \"url\": \"tcp://host:port\", \"ft_active\": true");
            }
            _ => report_unknown(&node.spot, name, ["url", "ft_active"].into_iter(), findings),
        }
    }
    if listen.url.is_empty() {
        findings.error(&element.spot, "url", "is missing", "write {\"url\": \"tcp://host:port\"}");
        return None;
    }
    if let Some(spot) = is_reached {
        listen.ft_active = Some((spot.clone(), listen.url.clone()));
    }
    Some(listen)
}

/// The own URLs are `listen`; the one of the other server with `ft_active` is the peer.
fn pair(listens: [Vec<ListenUrl>; 2], role: Role, findings: &mut Findings) -> Vec<Property> {
    let is_pair = !listens[1].is_empty();
    for (name, urls) in LISTENS.iter().zip(&listens) {
        if let Some(first) = urls.first().filter(|_| is_pair && urls.iter().all(|listen| listen.ft_active.is_none())) {
            let remedy = "add \"ft_active\": true to the URL that the other server is to connect to";
            findings.error(
                &first.spot,
                "",
                format!("no URL of {name} has ft_active: the pair is not complete"),
                remedy,
            );
        }
    }
    let [primary, secondary] = listens;
    let (own, peer) = match role {
        Role::Primary => (primary, secondary),
        Role::Secondary => (secondary, primary),
    };
    let mut properties: Vec<Property> =
        own.into_iter().map(|listen| Property::new(listen.spot, "listen", Some(&listen.url))).collect();
    for listen in peer {
        if let Some((spot, url)) = listen.ft_active {
            properties.push(Property::new(spot, "ft_active", Some(&url)));
        } else if let Err(error) = value::address(&listen.url) {
            findings.error(&listen.spot, "url", error.to_string(), error.remedy());
        }
    }
    properties
}

/// An object `ssl` is a part of what it stands in.
fn ssl(node: &Node, table: &'static [Section], properties: &mut Vec<Property>, findings: &mut Findings) {
    for (name, node) in members(node, findings).unwrap_or_default() {
        let known = SSL_NAMES.iter().find(|(other, known)| other == name && find(table, known).is_some());
        let name = known.map_or(name.as_str(), |(_, known)| known);
        properties.extend(values(name, node, table, findings));
    }
}

/// What stands there, as properties: a list gives several where the parameter may stand more than once.
fn values(name: &str, node: &Node, table: &'static [Section], findings: &mut Findings) -> Vec<Property> {
    let property = |value: Option<&str>| vec![Property::new(node.spot.clone(), name, value)];
    match &node.value {
        Value::Null => Vec::new(),
        Value::Flag(true) => property(None),
        Value::Flag(false) => property(Some("disabled")),
        Value::Scalar(text) => property(Some(text)),
        Value::List(elements) => {
            let texts: Vec<(&Spot, &str)> =
                elements.iter().filter_map(|element| Some((&element.spot, scalar(element, findings)?))).collect();
            if find(table, name).is_some_and(|row| row.repeatable) {
                return texts.into_iter().map(|(spot, text)| Property::new(spot.clone(), name, Some(text))).collect();
            }
            let joined = texts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",");
            property(Some(&joined))
        }
        Value::Object(_) => {
            let message = "is an object, where one value belongs";
            findings.error(&node.spot, name, message, "write \"name\": value");
            Vec::new()
        }
    }
}

/// A text, or the name in an object that has nothing else.
pub(super) fn scalar<'n>(node: &'n Node, findings: &mut Findings) -> Option<&'n str> {
    match &node.value {
        Value::Scalar(text) => Some(text),
        Value::Object(members) => match &members[..] {
            [(name, Node { value: Value::Scalar(text), .. })] if name == "name" => Some(text),
            _ => report_not_text(node, findings),
        },
        _ => report_not_text(node, findings),
    }
}

fn report_not_text<'n>(node: &Node, findings: &mut Findings) -> Option<&'n str> {
    findings.error(&node.spot, "", format!("is {}, where a text belongs", node.kind()), "write \"...\"");
    None
}

fn entry(element: &Node, file: &SideFile, findings: &mut Findings) -> Option<Entry> {
    let members = members(element, findings)?;
    let mut properties = Vec::new();
    for (name, node) in members.iter().filter(|(name, _)| name != file.key) {
        match name.as_str() {
            "ssl" => ssl(node, file.table, &mut properties, findings),
            name => properties.extend(values(name, node, file.table, findings)),
        }
    }
    let name = required(element, members, file.key, findings)?;
    Some(Entry { spot: element.spot.clone(), name, properties })
}

/// A text that has to be there.
fn required(element: &Node, members: &[(String, Node)], key: &str, findings: &mut Findings) -> Option<String> {
    match members.iter().find(|(name, _)| name == key) {
        Some((_, node)) => scalar(node, findings).map(str::to_owned),
        None => {
            let remedy = format!("add \"{key}\": \"...\"");
            findings.error(&element.spot, "", format!("has no {key}"), remedy);
            None
        }
    }
}

/// `{"type": "topic", "name": "source", "targets": [{"type": "queue", "name": "target", "selector": "..."}]}`
fn bridge(element: &Node, findings: &mut Findings) -> Option<Entry> {
    let source = members(element, findings)?;
    let (kind, name) = (required(element, source, "type", findings)?, required(element, source, "name", findings)?);
    let mut entry = Entry { spot: element.spot.clone(), name: format!("{kind}:{name}"), properties: Vec::new() };
    for (name, node) in source {
        match (name.as_str(), &node.value) {
            ("targets", Value::List(targets)) => {
                entry.properties = targets.iter().filter_map(|target| bridge_target(target, findings)).collect();
            }
            ("targets", _) => {
                let message = format!("is {}, not a list", node.kind());
                findings.error(&node.spot, name, message, "write [{\"type\": \"queue\", \"name\": \"...\"}]");
            }
            ("type" | "name", _) => {}
            _ => report_unknown(&node.spot, name, ["type", "name", "targets"].into_iter(), findings),
        }
    }
    Some(entry)
}

fn bridge_target(element: &Node, findings: &mut Findings) -> Option<Property> {
    let target = members(element, findings)?;
    let (kind, name) = (required(element, target, "type", findings)?, required(element, target, "name", findings)?);
    let mut value = name;
    for (name, node) in target {
        match name.as_str() {
            "selector" => value.push_str(&format!(" selector=\"{}\"", scalar(node, findings)?)),
            "type" | "name" => {}
            name => report_unknown(&node.spot, name, ["type", "name", "selector"].into_iter(), findings),
        }
    }
    Some(Property::new(element.spot.clone(), &kind, Some(&value)))
}
