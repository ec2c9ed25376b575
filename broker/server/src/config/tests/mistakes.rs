//! Typical mistakes, over the whole family: each gets exactly one message, which names file, line and remedy; and all of
//! them at once get all of their messages in one run.

use super::*;
use std::collections::BTreeMap;

/// A file, what is added to it, the line of the mistake within that, and a part of the remedy.
type Mistake = (&'static str, &'static str, usize, &'static str);

/// What every set of files begins with, by file.
const SOUND: [(&str, &str); 4] = [
    ("tibemsd.conf", "server=PAIR\nstartup_abort_list=CONFIG_FILES\n"),
    ("queues.conf", ">\n"),
    ("users.conf", "admin::\napp:secret:\n"),
    ("transports.conf", "[RV]\ntype=tibrv\n"),
];

#[rustfmt::skip]
const MISTAKES: [Mistake; 51] = [
    ("tibemsd.conf", "ft_actve=tcp://b:7222\n", 1, "did you mean ft_active?"),
    ("tibemsd.conf", "listen tcp://7222\n", 1, "write name = value"),
    ("tibemsd.conf", "listen=http://a:7222\n", 1, "correct the scheme"),
    ("tibemsd.conf", "listen=tcp://a:7222\nlisten=tcp://a:7222\n", 2, "remove one of the two lines"),
    ("tibemsd.conf", "ft_heartbeat=3 seconds\n", 1, "a unit: 250ms"),
    ("tibemsd.conf", "ft_activation=1ms\n", 1, "range 2ms to 7200s"),
    ("tibemsd.conf", "authorization=1\n", 1, "enabled"),
    ("tibemsd.conf", "password=$man$xyz\n", 1, "in the clear"),
    ("tibemsd.conf", "max_msg_memory=1MB\n", 1, "at least 8MB"),
    ("tibemsd.conf", "max_connections=many\n", 1, "digits only"),
    ("tibemsd.conf", "max_client_msg_size=1GB\n", 1, "raise segment_size"),
    ("tibemsd.conf", "ssl_dh_size=4096\n", 1, "choose one of these words"),
    ("tibemsd.conf", "store_minimum=1MB\n", 1, "at least 8MB"),
    ("tibemsd.conf", "npsend_check_mode=sometimes\n", 1, "choose one of these words"),
    ("tibemsd.conf", "msg_swapping=yes\nmsg_swapping=no\n", 2, "remove one of the two lines"),
    ("tibemsd.conf", "bridges=nowhere.conf\n", 0, "correct the path"),
    ("tibemsd.conf", "logfile=\"a.log\n", 1, "close it on the same line"),
    ("tibemsd.conf", "listen=ssl://7243\n", 1, "set ssl_server_identity"),
    ("queues.conf", "a..b\n", 1, "elements with dots between"),
    ("queues.conf", "a.>.b\n", 1, "> as the last"),
    ("queues.conf", "q store=$sys.failsave\n", 1, "did you mean $sys.failsafe?"),
    ("queues.conf", "q1 maxmsg=5\n", 1, "did you mean maxmsgs?"),
    ("queues.conf", "q2 maxbytes=5TB\n", 1, "512KB, 64MB, 1GB"),
    ("queues.conf", "q3 maxRedelivery=1\n", 1, "0 for no limit"),
    ("queues.conf", "q4 overflowPolicy=drop\n", 1, "choose one of these words"),
    ("queues.conf", "q5\nq5\n", 2, "remove this line"),
    ("topics.conf", "t..a\n", 1, "elements with dots between"),
    ("topics.conf", "t.a prefetch=none\n", 1, "digits only"),
    ("topics.conf", "t.b trace=\"body\n", 1, "close it on the same line"),
    ("users.conf", "nocolon\n", 1, "write name:password:description"),
    ("users.conf", "admin:x:\n", 1, "remove this line"),
    ("groups.conf", "traders:\n  alice\n", 2, "users.conf"),
    ("groups.conf", "traders2\n", 1, "write name:description"),
    ("acl.conf", "QUEUE=q GROUP=nobody PERM=send\n", 1, "groups.conf"),
    ("acl.conf", "QUEUE=q USER=app PERM=snd\n", 1, "did you mean send?"),
    ("stores.conf", "file=x.db\n", 1, "begin with a line [name]"),
    ("stores.conf", "[mine]\nmode=sync\n", 1, "add file = name"),
    ("stores.conf", "[other]\nfile=sub/other.db\n", 2, "without a path"),
    ("stores.conf", "[third]\nfile=sync-msgs.db\n", 2, "a file of its own"),
    ("stores.conf", "[fourth]\nfile=fourth.db\ntype=dbstore\n", 3, "write type=file"),
    ("bridges.conf", "[px.a]\nqueue=q\n", 1, "write [topic:name] or [queue:name]"),
    ("bridges.conf", "[topic:px.b]\nqueue=px.>\n", 2, "name one destination"),
    ("bridges.conf", "[topic:px.c]\nqueues=q\n", 2, "did you mean queue?"),
    ("bridges.conf", "[topic:px.d]\nqueue=q selector=x = 1\n", 2, "write selector=\"...\""),
    ("durables.conf", "px.a\n", 1, "write topic durable-name"),
    ("factories.conf", "[F1]\ntype=generic\n", 1, "add url"),
    ("factories.conf", "[F0\nurl=tcp://a:1\n", 1, "write [name]"),
    ("factories.conf", "[F2]\nurl=tcp://a:1\nreconnect_attempt_cuont=9\n", 3, "did you mean reconnect_attempt_count?"),
    ("routes.conf", "[R1]\nurl=tcp://a:1\nzone_type=2hop\n", 3, "choose one of these words"),
    ("transports.conf", "[T1]\nservice=7500\ntype=tibrv\n", 1, "put type="),
    ("tibrvcm.conf", "RV listener a.*\n", 1, "without wildcards"),
];

/// Writes sound files and behind them what `mistakes` add; the line that each mistake stands in.
fn write(mistakes: &[Mistake]) -> (Folder, Vec<usize>) {
    let mut files: BTreeMap<&str, String> = SOUND.into_iter().map(|(name, text)| (name, text.to_owned())).collect();
    let mut lines = Vec::new();
    for (name, text, line, _) in mistakes {
        let file = files.entry(name).or_default();
        lines.push(if *line == 0 { 0 } else { file.lines().count() + line });
        file.push_str(text);
    }
    let folder = files.iter().fold(Folder::new(""), |folder, (name, text)| folder.with(name, text));
    (folder, lines)
}

/// What stops the start under `--check`.
fn errors(folder: &Folder) -> Vec<Diagnostic> {
    let remarks = folder.load(true).expect_err("a mistake");
    remarks.into_iter().filter(|remark| remark.severity == Severity::Error).collect()
}

/// Whether the message is the one for the mistake. A missing file is named itself, without a line.
fn is_for(error: &Diagnostic, (name, _, _, remedy): &Mistake, line: usize) -> bool {
    let is_there = if line == 0 { error.file.ends_with("nowhere.conf") } else { error.file.ends_with(name) };
    is_there && error.line == line && error.remedy.contains(remedy)
}

#[test]
fn each_mistake_gets_one_message() {
    for mistake in &MISTAKES {
        let (folder, lines) = write(&[*mistake]);
        let errors = errors(&folder);
        assert!(errors.len() == 1 && is_for(&errors[0], mistake, lines[0]), "{mistake:?}: {errors:#?}");
    }
}

#[test]
fn all_mistakes_at_once_get_all_messages() {
    // The set has a bridges.conf, so none is missing; and what stands before any section must be the first of its file.
    let present = MISTAKES.iter().filter(|mistake| !mistake.1.starts_with("bridges="));
    let (first, rest): (Vec<Mistake>, Vec<Mistake>) = present.partition(|mistake| mistake.1.starts_with("file="));
    let all = [first, rest].concat();
    let (folder, lines) = write(&all);
    let errors = errors(&folder);
    assert!(all.len() > 40 && errors.len() == all.len(), "{} for {}: {errors:#?}", errors.len(), all.len());
    for (mistake, line) in all.iter().zip(lines) {
        let found = errors.iter().filter(|error| is_for(error, mistake, line)).count();
        assert_eq!(found, 1, "{mistake:?} in line {line}: {errors:#?}");
    }
}

#[rustfmt::skip]
const JSON_MISTAKES: [(&str, &str, &str); 21] = [
    // What takes the place of `@` or `%`, the path of the element, a part of the remedy.
    ("@\"ft_heartbeat\": \"soon\"", "tibemsd.ft_heartbeat", "a unit: 250ms"),
    ("@\"max_msg_memry\": \"64MB\"", "tibemsd.max_msg_memry", "did you mean max_msg_memory?"),
    ("@\"authorization\": \"maybe\"", "tibemsd.authorization", "enabled"),
    ("@\"listen\": \"tcp://7222\"", "tibemsd.listen", "primary_listens"),
    ("@\"users\": \"users.conf\"", "tibemsd.users", "remove it"),
    ("@\"primary_listens\": \"tcp://7222\"", "tibemsd.primary_listens", "write [{"),
    ("@\"primary_listens\": [{\"ft_active\": true}]", "tibemsd.primary_listens[0]", "write {\"url\""),
    ("@\"primary_listens\": [{\"url\": \"7222\"}]", "tibemsd.primary_listens[0].url", "correct the scheme"),
    ("@\"max_connections\": {\"value\": 5}", "tibemsd.max_connections", "write \"name\": value"),
    ("@\"ssl\": {\"ssl_server_identiti\": \"a.pem\"}", "tibemsd.ssl.ssl_server_identiti", "did you mean ssl_server_identity?"),
    ("%\"quues\": []", "quues", "did you mean queues?"),
    ("%\"topics\": {\"name\": \"a\"}", "topics", "write [{...}"),
    ("%\"topics\": [\"a\"]", "topics[0]", "write {\"name\""),
    ("%\"topics\": [{\"prefetch\": 5}]", "topics[0]", "add \"name\""),
    ("%\"topics\": [{\"name\": \"a\", \"store\": \"$sys.failsave\"}]", "topics[0].store", "did you mean $sys.failsafe?"),
    ("%\"users\": [{\"name\": \"a:b\"}]", "users[0]", "without a colon"),
    ("%\"users\": [{\"name\": \"a\", \"pasword\": \"b\"}]", "users[0].pasword", "did you mean password?"),
    ("%\"acls\": [{\"queue\": \"q\", \"user\": \"admin\", \"permissions\": [\"snd\"]}]", "acls[0]", "did you mean send?"),
    ("%\"acls\": [{\"queue\": \"q\", \"user\": \"admin\", \"permissions\": \"send\"}]", "acls[0].permissions", "write [\""),
    ("%\"bridges\": [{\"type\": \"topic\", \"name\": \"a\", \"targets\": [{\"type\": \"queue\", \"name\": \"q.*\"}]}]", "bridges[0].targets[0]", "name one destination"),
    ("%\"tibemsd\": {}", "tibemsd", "merge the two"),
];

#[test]
fn each_mistake_in_json_gets_one_message() {
    for (text, path, remedy) in &JSON_MISTAKES {
        let (member, top) = match text.strip_prefix('@') {
            Some(member) => (format!(",\n{member}"), String::new()),
            None => (String::new(), format!(",\n{}", &text[1..])),
        };
        let json =
            format!("{{\"tibemsd\": {{\"server\": \"PAIR\"{member}}},\n\"queues\": [{{\"name\": \">\"}}]{top}}}");
        let line = json.lines().position(|line| line.starts_with(&text[1..])).unwrap() + 1;
        let folder = Folder::new("").with("tibemsd.json", &json);
        let remarks = load(&folder.path("tibemsd.json"), &[], true).expect_err("a mistake");
        let errors: Vec<_> = remarks.iter().filter(|remark| remark.severity == Severity::Error).collect();
        let [error] = errors[..] else { panic!("{text}: {errors:#?}") };
        assert!(error.file.ends_with("tibemsd.json") && error.line == line, "{text}: {error:#?}");
        assert!(error.path == *path && error.remedy.contains(remedy), "{text}: {error:#?}");
    }
}
