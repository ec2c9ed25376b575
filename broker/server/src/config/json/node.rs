//! JSON as a tree of which each element knows its line and its path. Knows no name.

use super::super::findings::{Findings, Spot};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::path::Path;

/// Deepest nesting that is read; a tibemsd.json needs five.
const DEPTH_MAX: usize = 16;

/// One element.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) spot: Spot,
    pub(super) value: Value,
}

/// What stands there.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Flag(bool),
    /// A string, or a number as written.
    Scalar(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// What it is, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Flag(_) => "a boolean",
            Value::Scalar(_) => "one value",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }
}

/// The whole text; what is not JSON goes to `findings`.
pub(super) fn parse(path: &Path, text: &str, findings: &mut Findings) -> Option<Node> {
    let text = text.trim_start_matches('\u{feff}');
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let reader = Reader { file: path, text, starts };
    let root = serde_json::from_str::<&RawValue>(text).map_err(|error| reader.problem(text, &error));
    match root.and_then(|raw| reader.node(raw.get(), String::new(), 0)) {
        Ok(node) => Some(node),
        Err((line, message)) => {
            let remedy = "correct the JSON there, or at the end of the line above";
            findings.error(&Spot::new(path, line), "", format!("is not JSON: {message}"), remedy);
            None
        }
    }
}

/// A line, and what is wrong there.
type Problem = (usize, String);

/// Every slice that it handles is a part of `text`.
struct Reader<'t> {
    file: &'t Path,
    text: &'t str,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl<'t> Reader<'t> {
    fn node(&self, raw: &'t str, path: String, depth: usize) -> Result<Node, Problem> {
        let line = self.line(raw);
        if depth > DEPTH_MAX {
            return Err((line, format!("more than {DEPTH_MAX} levels of nesting")));
        }
        let value = match raw.as_bytes().first() {
            Some(b'{') => Value::Object(self.members(raw, &path, depth)?),
            Some(b'[') => Value::List(self.elements(raw, &path, depth)?),
            Some(b'"') => Value::Scalar(self.parse(raw)?),
            Some(b't' | b'f') => Value::Flag(self.parse(raw)?),
            Some(b'n') => Value::Null,
            _ => Value::Scalar(raw.to_owned()),
        };
        Ok(Node { spot: Spot::in_json(self.file, line, path), value })
    }

    fn members(&self, raw: &'t str, path: &str, depth: usize) -> Result<Vec<(String, Node)>, Problem> {
        let Members(members) = self.parse(raw)?;
        let dot = if path.is_empty() { "" } else { "." };
        let member = |(name, raw): (String, &'t RawValue)| {
            let node = self.node(raw.get(), format!("{path}{dot}{name}"), depth + 1)?;
            Ok((name, node))
        };
        members.into_iter().map(member).collect()
    }

    fn elements(&self, raw: &'t str, path: &str, depth: usize) -> Result<Vec<Node>, Problem> {
        let elements: Vec<&RawValue> = self.parse(raw)?;
        let numbered = elements.into_iter().enumerate();
        numbered.map(|(index, raw)| self.node(raw.get(), format!("{path}[{index}]"), depth + 1)).collect()
    }

    fn parse<T: Deserialize<'t>>(&self, raw: &'t str) -> Result<T, Problem> {
        serde_json::from_str(raw).map_err(|error| self.problem(raw, &error))
    }

    fn problem(&self, raw: &str, error: &serde_json::Error) -> Problem {
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        (self.line(raw) + error.line().saturating_sub(1), message.to_owned())
    }

    /// The line of a part of the text: parts are told by their address.
    fn line(&self, part: &str) -> usize {
        let offset = part.as_ptr() as usize - self.text.as_ptr() as usize;
        self.starts.partition_point(|start| *start <= offset)
    }
}

/// The members of an object, in their order, also those whose name is there twice.
struct Members<'t>(Vec<(String, &'t RawValue)>);

impl<'t> Deserialize<'t> for Members<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'t> Visitor<'t> for Collect {
            type Value = Members<'t>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Members<'t>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node, text: &mut String) {
        let spot = &node.spot;
        text.push_str(&format!("{}:{}={} ", spot.line, spot.path, node.kind()));
        match &node.value {
            Value::List(nodes) => nodes.iter().for_each(|node| show(node, text)),
            Value::Object(members) => members.iter().for_each(|(_, node)| show(node, text)),
            _ => {}
        }
    }

    fn check(json: &str, expected: &str) {
        let mut findings = Findings::default();
        let mut text = String::new();
        match parse(Path::new("x.json"), json, &mut findings) {
            Some(node) => show(&node, &mut text),
            None => findings.finish(true, &[]).iter().for_each(|error| text.push_str(&error.to_string())),
        }
        assert_eq!(text.trim(), expected, "for {json}");
    }

    #[test]
    fn elements_know_their_places() {
        check("{}", "1:=an object");
        check(
            "{\n\"a\": 1,\n\"b\": [true,\n null, {\"c\":\n\"\\u00e4\"}]}",
            "1:=an object 2:a=one value 3:b=a list 3:b[0]=a boolean 4:b[1]=null 4:b[2]=an object 5:b[2].c=one value",
        );
        check("\u{feff}\n[]", "2:=a list");
    }

    #[test]
    fn what_is_not_json_is_told_with_its_line() {
        let remedy = "(correct the JSON there, or at the end of the line above)";
        check("{\n\"a\": 1\n\"b\": 2}", &format!("x.json:3: error: is not JSON: expected `,` or `}}` {remedy}"));
        check("{\n\"a\": 1,\n}", &format!("x.json:3: error: is not JSON: key must be a string {remedy}"));
        check("{} x", &format!("x.json:1: error: is not JSON: trailing characters {remedy}"));
        check("", &format!("x.json:1: error: is not JSON: EOF while parsing a value {remedy}"));
        let deep = "[".repeat(20) + &"]".repeat(20);
        check(&deep, &format!("x.json:1: error: is not JSON: more than 16 levels of nesting {remedy}"));
    }
}
