//! The commands of the tool, for `help` and for completion.
//!
//! Owns their usage in words; the server's own parser decides what is a command.

/// Usage and meaning of every command.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    ("addmember GROUP USER", "adds a user to a group"),
    ("addprop queue NAME PROPERTY,...", "adds or replaces properties of a queue or pattern"),
    ("autocommit [on|off]", "whether each command writes, or 'commit' does"),
    ("commit", "writes the configuration files"),
    ("connect [URL [USER [PASSWORD]]]", "connects to a server"),
    ("create group NAME [\"DESCRIPTION\"]", "makes a group"),
    ("create queue NAME [PROPERTY,...]", "makes a queue, or a pattern of queues"),
    ("create user NAME [\"DESCRIPTION\"] [password=PASSWORD]", "makes a user"),
    ("delete connection ID", "closes a connection"),
    ("delete group NAME", "removes a group and what was granted to it"),
    ("delete queue NAME", "removes a queue with all its messages"),
    ("delete user NAME", "removes a user, and what was granted to it"),
    ("disconnect", "ends the connection"),
    ("echo [on|off]", "whether the commands of a script are printed"),
    ("exit", "ends the tool"),
    ("grant admin user=NAME PERMISSION,...", "lets a user or group=NAME administer"),
    ("grant queue NAME user=NAME PERMISSION,...", "lets a user or group=NAME send, receive, browse"),
    ("help [WORD]", "lists the commands, or those that begin with a word"),
    ("info", "names the server"),
    ("purge all queues [PATTERN]", "removes the messages of all queues"),
    ("purge queue NAME", "removes the messages of a queue"),
    ("quit", "ends the tool"),
    ("removemember GROUP USER", "takes a user out of a group"),
    ("removeprop queue NAME PROPERTY,...", "removes properties of a queue or pattern"),
    ("revoke admin user=NAME PERMISSION,...", "takes permissions back"),
    ("revoke queue NAME user=NAME PERMISSION,...", "takes permissions back"),
    ("rotatelog", "puts the log file aside and begins a new one"),
    ("set password USER [PASSWORD]", "gives a user a password; asks where none is named"),
    ("set server NAME=VALUE ...", "changes parameters of the server"),
    ("setprop queue NAME [PROPERTY,...]", "gives a queue or pattern these properties only"),
    ("show bridges", "bridges.conf, which is not acted upon"),
    ("show channels", "channels.conf, which is not acted upon"),
    ("show config", "the parameters that tibemsd.conf sets"),
    ("show connections", "who is connected"),
    ("show consumer ID", "one consumer"),
    ("show consumers [PATTERN]", "who receives from which queue"),
    ("show durables", "durables.conf, which is not acted upon"),
    ("show factories", "factories.conf, which is not acted upon"),
    ("show group NAME", "one group with its members"),
    ("show groups", "all groups"),
    ("show queue NAME", "one queue, its properties and what holds for it"),
    ("show queues [PATTERN [static|dynamic]]", "queues and what is in them"),
    ("show routes", "routes.conf, which is not acted upon"),
    ("show server", "settings and figures of the server"),
    ("show state", "whether the server is active, and how it does"),
    ("show stat queues [PATTERN]", "what went through queues since this server started"),
    ("show store NAME", "one store"),
    ("show stores", "all stores"),
    ("show topics", "topics.conf, which is not acted upon"),
    ("show transports", "transports.conf, which is not acted upon"),
    ("show user NAME", "one user"),
    ("show users", "all users"),
    ("showacl admin", "who may administer"),
    ("showacl group NAME", "what a group may do"),
    ("showacl queue NAME", "who may use a queue"),
    ("showacl topic NAME", "who may use a topic"),
    ("showacl user NAME", "what a user may do"),
    ("shutdown", "stops the server"),
    ("time [on|off]", "whether the time is printed with each command"),
    ("timeout [SECONDS]", "how long replies are waited for"),
    ("whoami", "the user that is logged in"),
];

/// Columns of the usage: with the meanings behind it a line has 80.
const USAGE: usize = 26;

/// The lines of `help WORD`.
pub(super) fn help(word: &str) -> Result<String, String> {
    let found: Vec<_> = COMMANDS.iter().filter(|(usage, _)| usage.starts_with(word)).collect();
    if found.is_empty() {
        return Err(format!("no command begins with '{word}'; help without a word lists all"));
    }
    let lines = found.iter().map(|(usage, meaning)| match usage.len() {
        0..=USAGE => format!("{usage:USAGE$}  {meaning}\n"),
        _ => format!("{usage}\n{:USAGE$}  {meaning}\n", ""),
    });
    Ok(lines.collect())
}

/// What may follow `line`, of the fixed words of commands: the words that complete its last one.
pub(super) fn completions(line: &str) -> Vec<&'static str> {
    let blank = line.is_empty() || line.ends_with(char::is_whitespace);
    let mut typed: Vec<&str> = line.split_whitespace().collect();
    let last = if blank { "" } else { typed.pop().unwrap_or("") };
    let follows = |usage: &'static str| {
        let mut words = usage.split(' ');
        let before = typed.iter().all(|word| words.next() == Some(word));
        let next = words.next().filter(|_| before)?;
        let is_fixed = next.bytes().all(|byte| byte.is_ascii_lowercase());
        (is_fixed && next.starts_with(last)).then_some(next)
    };
    let mut words: Vec<&str> = COMMANDS.iter().filter_map(|(usage, _)| follows(usage)).collect();
    words.dedup();
    words
}

/// Whether a queue's name stands at the end of `line`.
pub(super) fn wants_queue(line: &str) -> bool {
    let blank = line.ends_with(char::is_whitespace);
    let mut typed: Vec<&str> = line.split_whitespace().collect();
    if !blank {
        typed.pop();
    }
    matches!(typed.as_slice(), [_, "queue"] | ["show", "queues" | "consumers"] | ["show", "stat", "queues"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed() {
        let check = |line: &str, expected: &[&str]| assert_eq!(completions(line), expected, "{line}");
        check("sho", &["show", "showacl"]);
        check("show que", &["queue", "queues"]);
        check("purge ", &["all", "queue"]);
        check("show queue ", &[]);
        check("nonsense ", &[]);
        assert!(wants_queue("purge queue ") && wants_queue("addprop queue ord") && !wants_queue("purge "));
    }

    #[test]
    fn help_lists_what_begins_with_a_word() {
        assert_eq!(help("purge").unwrap().matches("purge").count(), 2);
        assert!(help("nonsense").is_err());
        assert!(help("").unwrap().lines().all(|line| line.len() <= 80));
    }
}
