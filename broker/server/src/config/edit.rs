//! Changes of configuration files as text: what was not changed stays as the operator wrote it.
//!
//! Owns where a line goes and what it replaces; order, comments, blank lines and line endings stay. Knows the forms of the
//! files and no meaning, and touches no file: `replace` writes.

use super::written::unquote;
use std::borrow::Cow;

/// What stands in a line, and so what makes two lines speak of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `name = value`.
    Parameter,
    /// `name property,property` (queues.conf, topics.conf).
    Destination,
    /// `name:password:description`.
    User,
    /// `QUEUE=q USER=u PERM=a,b` in any order; all but PERM is the key.
    Permission,
    /// `group:description`, which begins a block of indented members.
    Group,
}

impl Form {
    /// The key of a line; `None` for comments, blank lines and what is not of this form.
    fn key(self, line: &str) -> Option<String> {
        let text = line.trim_start_matches('\u{feff}').trim();
        if text.is_empty() || text.starts_with(['#', ';']) {
            return None;
        }
        match self {
            Form::Parameter => text.split_once('=').map(|(name, _)| name.trim().to_ascii_lowercase()),
            Form::Destination => text.split_whitespace().next().map(str::to_owned),
            Form::User => text.split_once(':').map(|(name, _)| unquote(name).to_owned()),
            Form::Group if line.starts_with(char::is_whitespace) => None,
            Form::Group => text.split_once(':').map(|(name, _)| unquote(name).to_owned()),
            Form::Permission => Some(Form::permission_key(text)),
        }
    }

    /// The words of a line of acl.conf without PERM, in one order and spelling.
    pub fn permission_key(line: &str) -> String {
        let words = line.split_whitespace().map(|word| match word.split_once('=') {
            Some((name, value)) => format!("{}={}", name.to_ascii_uppercase(), unquote(value)),
            None => word.to_ascii_uppercase(),
        });
        let mut words: Vec<String> = words.filter(|word| !word.starts_with("PERM=")).collect();
        words.sort();
        words.join(" ")
    }
}

/// A file's text, taken apart into lines.
#[derive(Clone, Debug)]
pub struct Text<'t> {
    /// With their endings, as written.
    lines: Vec<Cow<'t, str>>,
    ending: &'static str,
}

impl<'t> Text<'t> {
    /// Takes `text` apart; new lines end as the first one does.
    pub fn new(text: &'t str) -> Self {
        let lines: Vec<Cow<'t, str>> = text.split_inclusive('\n').map(Cow::Borrowed).collect();
        let ending = if lines.first().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
        Text { lines, ending }
    }

    /// The text again.
    pub fn finish(self) -> String {
        self.lines.concat()
    }

    /// The line of `key`, without its ending. Of several the one that counts: the last parameter, the first of all else.
    pub fn find(&self, form: Form, key: &str) -> Option<&str> {
        self.position(form, key).map(|at| self.lines[at].trim_end_matches(['\r', '\n']))
    }

    fn position(&self, form: Form, key: &str) -> Option<usize> {
        let key = if form == Form::Parameter { key.to_ascii_lowercase() } else { key.to_owned() };
        let mut found = (0..self.lines.len()).filter(|at| form.key(&self.lines[*at]).as_deref() == Some(&key));
        if form == Form::Parameter { found.next_back() } else { found.next() }
    }

    /// The parameters that are set, in order.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let set = self.lines.iter().filter(|line| Form::Parameter.key(line).is_some());
        let pairs = set.filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.trim().to_owned(), unquote(value).to_owned())).collect()
    }

    /// Gives a parameter a value: in its line, as that is spaced, or in a new one at the end.
    pub fn set_parameter(&mut self, name: &str, value: &str) {
        let Some(at) = self.position(Form::Parameter, name) else {
            return self.append(&format!("{name} = {value}"));
        };
        let (head, rest) = self.lines[at].split_once('=').expect("the key ends with it");
        let blank = if rest.starts_with(char::is_whitespace) && !rest.trim().is_empty() {
            &rest[..rest.len() - rest.trim_start().len()]
        } else if head.ends_with(' ') {
            " "
        } else {
            ""
        };
        self.replace(at, &format!("{head}={blank}{value}"));
    }

    /// Puts `line` in the place of the lines of its key, or at the end.
    pub fn put(&mut self, form: Form, key: &str, line: &str) {
        let Some(at) = self.position(form, key) else { return self.append(line) };
        self.replace(at, line);
        let mut rest = self.lines.split_off(at + 1);
        rest.retain(|line| form.key(line).as_deref() != Some(key));
        self.lines.append(&mut rest);
    }

    /// Removes all lines of `key`, and the members of a group. False: there was none.
    pub fn remove(&mut self, form: Form, key: &str) -> bool {
        let mut any = false;
        while let Some(at) = self.position(form, key) {
            any = true;
            self.lines.remove(at);
            while form == Form::Group && self.member(at).is_some() {
                self.lines.remove(at);
            }
        }
        any
    }

    /// The member in the line, if the line is one.
    fn member(&self, at: usize) -> Option<&str> {
        let line = self.lines.get(at)?;
        let text = line.trim();
        let is_member = line.starts_with(char::is_whitespace) && !text.is_empty() && !text.starts_with(['#', ';']);
        is_member.then_some(unquote(text))
    }

    /// Adds a member to a group, behind its last one. False: there is no such group.
    pub fn add_member(&mut self, group: &str, member: &str) -> bool {
        let Some(header) = self.position(Form::Group, group) else { return false };
        let members = self.members_of(header);
        let last = members.last().copied();
        let indent = last.map_or("  ", |at| {
            let line = &self.lines[at];
            &line[..line.len() - line.trim_start().len()]
        });
        let line = format!("{indent}{member}{}", self.ending);
        let behind = last.unwrap_or(header);
        self.end_line(behind);
        self.lines.insert(behind + 1, Cow::Owned(line));
        true
    }

    /// Removes a member from a group. False: it was none.
    pub fn remove_member(&mut self, group: &str, member: &str) -> bool {
        let Some(header) = self.position(Form::Group, group) else { return false };
        let found = self.members_of(header).into_iter().find(|at| self.member(*at) == Some(member));
        found.map(|at| self.lines.remove(at)).is_some()
    }

    /// The lines of a group's members: to the next group.
    fn members_of(&self, header: usize) -> Vec<usize> {
        let inside = (header + 1..self.lines.len()).take_while(|at| Form::Group.key(&self.lines[*at]).is_none());
        inside.filter(|at| self.member(*at).is_some()).collect()
    }

    fn replace(&mut self, at: usize, line: &str) {
        let old = &self.lines[at];
        let ending = old[old.trim_end_matches(['\r', '\n']).len()..].to_owned();
        self.lines[at] = Cow::Owned(format!("{line}{ending}"));
    }

    fn append(&mut self, line: &str) {
        if let Some(last) = self.lines.len().checked_sub(1) {
            self.end_line(last);
        }
        self.lines.push(Cow::Owned(format!("{line}{}", self.ending)));
    }

    /// The last line of a file may lack its ending.
    fn end_line(&mut self, at: usize) {
        if !self.lines[at].ends_with('\n') {
            self.lines[at] = Cow::Owned(format!("{}{}", self.lines[at], self.ending));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, edit: impl FnOnce(&mut Text<'_>)) -> String {
        let mut lines = Text::new(text);
        edit(&mut lines);
        lines.finish()
    }

    #[test]
    fn a_text_that_is_not_changed_stays_as_it_is() {
        for text in ["", "\n", "a = b", "# x\r\n\r\na=b\r\n", "a:b:c\n  d\n\n;e"] {
            assert_eq!(edited(text, |_| {}), text);
        }
    }

    #[test]
    fn parameters_change_in_their_place() {
        let check = |text: &str, name: &str, value: &str, expected: &str| {
            assert_eq!(edited(text, |lines| lines.set_parameter(name, value)), expected);
        };
        check("# head\npassword =   old\n\n; tail\n", "password", "new", "# head\npassword =   new\n\n; tail\n");
        check("password=old\r\nx = y\r\n", "password", "new", "password=new\r\nx = y\r\n");
        check("password =\n", "password", "new", "password = new\n");
        check("password=\n", "password", "new", "password=new\n");
        check("  Password = a\n", "password", "b", "  Password = b\n");
        check("a = b", "c", "d", "a = b\nc = d\n");
        check("a = b\r\n# end\r\n", "c", "d", "a = b\r\n# end\r\nc = d\r\n");
        check("", "c", "d", "c = d\n");
        // The last one counts, and a comment does not.
        check("a = 1\na = 2\n# a = 3\n", "a", "9", "a = 1\na = 9\n# a = 3\n");
    }

    #[test]
    fn lines_are_put_replaced_and_removed_by_key() {
        let queues = "# queues\n>\n\norders.> store=x,maxmsgs=1\nplain\n";
        let put = edited(queues, |lines| lines.put(Form::Destination, "orders.>", "orders.> maxmsgs=2"));
        assert_eq!(put, "# queues\n>\n\norders.> maxmsgs=2\nplain\n");
        let added = edited(queues, |lines| lines.put(Form::Destination, "new", "new exclusive"));
        assert_eq!(added, format!("{queues}new exclusive\n"));
        let removed = edited(queues, |lines| assert!(lines.remove(Form::Destination, ">")));
        assert_eq!(removed, "# queues\n\norders.> store=x,maxmsgs=1\nplain\n");
        assert_eq!(edited(queues, |lines| assert!(!lines.remove(Form::Destination, "orders"))), queues);
        let twice = edited("q a\nr\nq b\n", |lines| assert!(lines.remove(Form::Destination, "q")));
        assert_eq!(twice, "r\n", "the second must not come into force");
        let users = edited("admin::A\nalice:x:\"a: b\"\n", |lines| lines.put(Form::User, "alice", "alice:y:"));
        assert_eq!(users, "admin::A\nalice:y:\n");
        assert_eq!(Text::new("a:1:\na:2:\n").find(Form::User, "a"), Some("a:1:"));
    }

    #[test]
    fn permissions_are_found_however_they_are_written() {
        let text = "# acl\nUSER=alice  QUEUE=q PERM=send\nADMIN USER=ops PERM=view-all\n";
        let key = Form::permission_key("QUEUE=q USER=alice");
        let put = edited(text, |lines| lines.put(Form::Permission, &key, "QUEUE=q USER=alice PERM=send,receive"));
        assert_eq!(put, "# acl\nQUEUE=q USER=alice PERM=send,receive\nADMIN USER=ops PERM=view-all\n");
        assert_ne!(Form::permission_key("QUEUE=Q USER=alice"), key, "names keep their case");
        assert_eq!(Form::permission_key("admin user=ops"), Form::permission_key("ADMIN USER=ops PERM=x"));
    }

    #[test]
    fn groups_are_blocks() {
        let text = "$admin:A\n\tadmin\n\n# traders\ntraders:Desk\n  # nobody yet\nlast:\n  x";
        let added = edited(text, |lines| assert!(lines.add_member("$admin", "ops")));
        assert_eq!(added, text.replace("\tadmin\n", "\tadmin\n\tops\n"));
        let first = edited(text, |lines| assert!(lines.add_member("traders", "alice")));
        assert_eq!(first, text.replace("traders:Desk\n", "traders:Desk\n  alice\n"));
        let end = edited(text, |lines| assert!(lines.add_member("last", "y")));
        assert_eq!(end, format!("{text}\n  y\n"));
        assert!(!Text::new(text).add_member("none", "x") && !Text::new(text).remove_member("last", "admin"));
        let removed = edited(text, |lines| assert!(lines.remove_member("$admin", "admin")));
        assert_eq!(removed, text.replace("\tadmin\n", ""));
        let gone = edited(text, |lines| assert!(lines.remove(Form::Group, "$admin")));
        assert_eq!(gone, text.replace("$admin:A\n\tadmin\n", ""));
    }
}
