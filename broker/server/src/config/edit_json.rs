//! Changes of a tibemsd.json: the same as of .conf files, on the elements of its lists.
//!
//! Owns how a line of a .conf file is an element. The order of names stays; blanks become those of a pretty printer, as in
//! EMS, which writes the file itself.

use super::edit::Form;
use super::entry;
use super::written::unquote;
use serde_json::{Map, Value, json};

/// A tibemsd.json, taken apart.
#[derive(Clone, Debug)]
pub struct Tree(Value);

/// The list that holds what lines of a form say.
fn list(form: Form) -> &'static str {
    match form {
        Form::Parameter => "tibemsd",
        Form::Destination => "queues",
        Form::User => "users",
        Form::Permission => "acls",
        Form::Group => "groups",
    }
}

impl Tree {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// It is not a JSON object.
    pub fn new(text: &str) -> Result<Tree, String> {
        match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(value @ Value::Object(_)) => Ok(Tree(value)),
            Ok(_) => Err("is not one JSON object".to_owned()),
            Err(error) => Err(format!("is not JSON: {error}")),
        }
    }

    /// The text again.
    pub fn finish(&self) -> String {
        serde_json::to_string_pretty(&self.0).expect("what was read can be written") + "\n"
    }

    fn elements(&self, form: Form) -> &[Value] {
        self.0.get(list(form)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn elements_mut(&mut self, form: Form) -> &mut Vec<Value> {
        let root = self.0.as_object_mut().expect("checked when it was read");
        let elements = root.entry(list(form)).or_insert_with(|| json!([]));
        if !elements.is_array() {
            *elements = json!([]);
        }
        elements.as_array_mut().expect("just made")
    }

    fn position(&self, form: Form, key: &str) -> Option<usize> {
        self.elements(form).iter().position(|element| key_of(form, element).as_deref() == Some(key))
    }

    /// The properties of a queue, as queues.conf writes them.
    pub fn properties(&self, name: &str) -> Vec<String> {
        let Some(at) = self.position(Form::Destination, name) else { return Vec::new() };
        let members = self.elements(Form::Destination)[at].as_object().into_iter().flatten();
        let set = members.filter(|(member, value)| *member != "name" && !value.is_null() && **value != json!(false));
        set.map(|(member, value)| match value {
            Value::Bool(true) => member.clone(),
            Value::String(text) => format!("{member}={text}"),
            other => format!("{member}={other}"),
        })
        .collect()
    }

    /// The parameters that are set, each as one text.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let members = self.0.get(list(Form::Parameter)).and_then(Value::as_object).into_iter().flatten();
        let scalar = |(name, value): (&String, &Value)| match value {
            Value::String(text) => Some((name.clone(), text.clone())),
            Value::Number(_) | Value::Bool(_) => Some((name.clone(), value.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        members.filter_map(scalar).collect()
    }

    /// Gives a parameter a value.
    pub fn set_parameter(&mut self, name: &str, value: &str) {
        let root = self.0.as_object_mut().expect("checked when it was read");
        if let Some(members) = root.entry(list(Form::Parameter)).or_insert_with(|| json!({})).as_object_mut() {
            members.insert(name.to_owned(), json!(value));
        }
    }

    /// Puts the element that `line` stands for in the place of that of its key, or at the end.
    pub fn put(&mut self, form: Form, key: &str, line: &str) {
        let at = self.position(form, key);
        let mut element = element(form, line);
        let elements = self.elements_mut(form);
        match at {
            Some(at) if form == Form::Group => {
                element["members"] = elements[at].get("members").cloned().unwrap_or_else(|| json!([]));
                elements[at] = element;
            }
            Some(at) => {
                elements[at] = element;
                let mut index = 0;
                elements.retain(|other| {
                    index += 1;
                    index <= at + 1 || key_of(form, other).as_deref() != Some(key)
                });
            }
            None => elements.push(element),
        }
    }

    /// Removes the elements of `key`. False: there was none.
    pub fn remove(&mut self, form: Form, key: &str) -> bool {
        let elements = self.elements_mut(form);
        let before = elements.len();
        elements.retain(|element| key_of(form, element).as_deref() != Some(key));
        elements.len() < before
    }

    fn members(&mut self, group: &str) -> Option<&mut Vec<Value>> {
        let at = self.position(Form::Group, group)?;
        let group = self.elements_mut(Form::Group)[at].as_object_mut()?;
        group.entry("members").or_insert_with(|| json!([])).as_array_mut()
    }

    /// Adds a member to a group. False: there is no such group.
    pub fn add_member(&mut self, group: &str, member: &str) -> bool {
        self.members(group).map(|members| members.push(json!({ "name": member }))).is_some()
    }

    /// Removes a member from a group. False: it was none.
    pub fn remove_member(&mut self, group: &str, member: &str) -> bool {
        let Some(members) = self.members(group) else { return false };
        let before = members.len();
        members.retain(|element| element["name"] != member && *element != json!(member));
        members.len() < before
    }
}

/// The key of an element, as the form of its line has it.
fn key_of(form: Form, element: &Value) -> Option<String> {
    let text = |name: &str| element.get(name).and_then(Value::as_str);
    if form != Form::Permission {
        return text("name").map(str::to_owned);
    }
    let target = match (text("queue"), text("topic")) {
        (Some(name), _) => format!("QUEUE={name}"),
        (_, Some(name)) => format!("TOPIC={name}"),
        _ => "ADMIN".to_owned(),
    };
    let principal = match (text("user"), text("group")) {
        (Some(name), _) => format!("USER={name}"),
        (_, name) => format!("GROUP={}", name?),
    };
    Some(Form::permission_key(&format!("{target} {principal}")))
}

/// What a line says, as an element.
fn element(form: Form, line: &str) -> Value {
    let mut fields = line.splitn(3, ':');
    let mut field = || unquote(fields.next().unwrap_or("")).to_owned();
    match form {
        Form::User => json!({ "name": field(), "password": field(), "description": field() }),
        Form::Group => json!({ "name": field(), "description": field(), "members": [] }),
        Form::Permission => permission(line),
        Form::Destination | Form::Parameter => {
            let (name, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line, ""));
            let mut members = Map::from_iter([("name".to_owned(), json!(name))]);
            for property in entry::split(rest) {
                match property.split_once('=') {
                    Some((name, value)) => members.insert(name.trim().to_owned(), json!(unquote(value))),
                    None => members.insert(property.to_owned(), json!(true)),
                };
            }
            Value::Object(members)
        }
    }
}

fn permission(line: &str) -> Value {
    let mut members = Map::new();
    for word in line.split_whitespace() {
        match word.split_once('=') {
            Some(("PERM", words)) => {
                members.insert("permissions".to_owned(), json!(words.split(',').collect::<Vec<_>>()));
            }
            Some((name, value)) => {
                members.insert(name.to_ascii_lowercase(), json!(unquote(value)));
            }
            None => {
                members.insert(word.to_ascii_lowercase(), json!(true));
            }
        }
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{ "zeta": 1, "tibemsd": { "server": "S", "max_connections": 5, "listens": [] },
        "queues": [ { "name": "a", "secure": true, "maxmsgs": 5 }, { "name": ">" } ],
        "groups": [ { "name": "g", "members": [ { "name": "x" } ] } ] }"#;

    fn edited(edit: impl FnOnce(&mut Tree)) -> Value {
        let mut tree = Tree::new(TEXT).unwrap();
        edit(&mut tree);
        let text = tree.finish();
        assert!(text.starts_with("{\n  \"zeta\": 1,\n  \"tibemsd\""), "the order stays: {text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn elements_are_put_and_removed_by_key() {
        let value = edited(|tree| {
            tree.set_parameter("max_connections", "9");
            tree.put(Form::Destination, "a", "a store=$sys.failsafe,exclusive");
            tree.put(Form::Destination, "b", "b");
            assert!(tree.remove(Form::Destination, ">") && !tree.remove(Form::Destination, ">"));
            tree.put(Form::User, "bob", "bob:hash:\"Bob B.\"");
            tree.put(Form::Permission, "", "QUEUE=q USER=bob PERM=send,receive");
        });
        let queues = json!([{ "name": "a", "store": "$sys.failsafe", "exclusive": true }, { "name": "b" }]);
        assert_eq!(value["queues"], queues);
        assert_eq!(value["tibemsd"]["max_connections"], "9");
        assert_eq!(value["users"], json!([{ "name": "bob", "password": "hash", "description": "Bob B." }]));
        assert_eq!(value["acls"], json!([{ "queue": "q", "user": "bob", "permissions": ["send", "receive"] }]));
    }

    #[test]
    fn groups_keep_their_members() {
        let value = edited(|tree| {
            tree.put(Form::Group, "g", "g:new words");
            assert!(tree.add_member("g", "y") && tree.remove_member("g", "x") && !tree.add_member("h", "y"));
            tree.put(Form::Group, "h", "h:");
        });
        let groups = json!([{ "name": "g", "description": "new words", "members": [{ "name": "y" }] },
                            { "name": "h", "description": "", "members": [] }]);
        assert_eq!(value["groups"], groups);
    }

    #[test]
    fn properties_are_told_as_in_a_line() {
        let tree = Tree::new(TEXT).unwrap();
        assert_eq!(tree.properties("a"), ["secure", "maxmsgs=5"]);
        assert_eq!(tree.parameters()[1], ("max_connections".to_owned(), "5".to_owned()));
        assert!(Tree::new("[]").is_err() && Tree::new("{").is_err());
    }
}
