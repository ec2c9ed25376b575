//! The real program broker-admin against one broker and against a pair.

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Client, Seen, Server, Setup};

const QUEUES: &str = "# queues of the test\nsync.> store=$sys.failsafe\n\n; the rest\n>\n";

/// What the tool printed, and how it ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    error: String,
}

fn admin(url: &str, arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_broker-admin"))
        .args(["-server", url, "-timeout", "20"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
}

fn url(server: &Server) -> String {
    format!("tcp://127.0.0.1:{}", server.port)
}

/// One command that must be done.
fn done(server: &Server, arguments: &[&str]) -> String {
    let ran = admin(&url(server), arguments, "");
    assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    ran.out
}

/// One command that must be refused.
fn refused(server: &Server, arguments: &[&str], expected: &str) {
    let ran = admin(&url(server), arguments, "");
    assert!(ran.code == Some(1) && ran.error.contains(expected), "{arguments:?}: {ran:?}");
}

fn json(server: &Server, arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&done(server, &[&["--json"], arguments].concat())).unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_queue_is_made_changed_filled_purged_and_deleted_by_command() {
    let setup = Setup::new(1, QUEUES, "");
    let file = setup.folder.path().join("queues.conf");
    let mut server = setup.start(0);
    server.wait_active();
    done(&server, &["create", "queue", "orders.in", "store=$sys.failsafe,maxmsgs=3"]);
    refused(&server, &["create", "queue", "orders.in"], "already");
    refused(&server, &["create", "queue", "bad..name"], "empty element");
    refused(&server, &["create", "queue", "#hidden"], "cannot be the name");
    refused(&server, &["create", "queue", "other", "maxmsg=3"], "did you mean maxmsgs?");
    refused(&server, &["addprop", "queue", "nothing", "secure"], "create queue makes one");
    assert_eq!(read(&file), format!("{QUEUES}orders.in store=$sys.failsafe,maxmsgs=3\n"));

    let mut client = Client::connect(server.port);
    let sender = client.sender("orders.in").unwrap();
    (0..3).for_each(|token| client.publish(sender, token, b"fits"));
    client.send(sender, 3, b"too many");
    assert!(matches!(client.outcome(3), Some(amqp::Outcome::Rejected(_))));
    done(&server, &["addprop", "queue", "orders.in", "maxmsgs=5"]);
    client.publish(sender, 4, b"fits now");
    assert!(read(&file).ends_with("orders.in store=$sys.failsafe,maxmsgs=5\n"));
    let queue = json(&server, &["show", "queue", "orders.in"]);
    assert_eq!((&queue["messages"], &queue["maxmsgs"], &queue["static"]), (&4.into(), &5.into(), &true.into()));
    let table = done(&server, &["show", "queues", "orders.>"]);
    assert!(table.lines().count() == 2 && table.contains("orders.in") && table.contains("$sys.failsafe"), "{table}");

    assert_eq!(json(&server, &["purge", "queue", "orders.in"])["messages"], 4);
    assert_eq!(json(&server, &["show", "queue", "orders.in"])["messages"], 0);
    client.publish(sender, 5, b"stays");
    done(&server, &["setprop", "queue", "orders.in", "exclusive"]);
    done(&server, &["removeprop", "queue", "orders.in", "exclusive"]);
    server.kill();

    let mut server = setup.start(0);
    server.wait_active();
    assert_eq!(read(&file), format!("{QUEUES}orders.in\n"));
    assert_eq!(json(&server, &["show", "queue", "orders.in"])["messages"], 1, "purged messages stay away");
    let mut client = Client::connect(server.port);
    client.sender("orders.in").unwrap();
    assert_eq!(json(&server, &["delete", "queue", "orders.in"])["messages"], 1);
    let error = client.wait("the end of the link", |seen| match seen {
        Seen::Detached { error, .. } => error.clone(),
        _ => None,
    });
    assert!(error.description.contains("deleted"), "{error}");
    refused(&server, &["show", "queue", "orders.in"], "no queue");
    assert_eq!(read(&file), QUEUES);
    server.kill();
    let mut server = setup.start(0);
    server.wait_active();
    refused(&server, &["show", "queue", "orders.in"], "no queue");
}

#[test]
fn a_purge_of_many_messages_takes_turns() {
    const MESSAGES: u64 = 20_000;
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("many").unwrap();
    (0..MESSAGES).for_each(|token| client.send(sender, token, b"x"));
    assert_eq!(client.outcome(MESSAGES - 1), Some(amqp::Outcome::Accepted));
    refused(&server, &["purge", "all", "queues", "ma*"], "wildcard");
    assert_eq!(json(&server, &["purge", "all", "queues"])["messages"], MESSAGES);
    assert_eq!(json(&server, &["show", "state"])["queued_messages"], 0);
}

#[test]
fn users_groups_and_permissions_are_written_with_hashes() {
    let setup = Setup::new(1, QUEUES, "");
    let folder = setup.folder.path();
    std::fs::write(folder.join("users.conf"), "# people\nadmin::Administrator\n").unwrap();
    let mut server = setup.start(0);
    server.wait_active();
    let script = "create user EMS-SERVER password=secret\ncreate user bob \"Bob B.\"\nset password bob word\n\
                  create group traders Desk\naddmember traders bob\naddmember $admin bob\n\
                  grant queue orders.in user=bob send,receive\ngrant queue orders.in user=bob browse\n\
                  grant admin group=traders view-all\nrevoke queue orders.in user=bob browse\n";
    let ran = admin(&url(&server), &[], script);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let users = read(folder.join("users.conf"));
    let lines: Vec<&str> = users.lines().collect();
    assert_eq!(lines[..2], ["# people", "admin::Administrator"]);
    assert!(lines[2].starts_with("EMS-SERVER:$argon2id$") && lines[3].starts_with("bob:$argon2id$"), "{users}");
    assert!(lines[3].ends_with(":\"Bob B.\"") && !users.contains("secret") && !users.contains("word"), "{users}");
    assert_eq!(read(folder.join("groups.conf")), "traders:Desk\n  bob\n$admin:Administrators\n  bob\n");
    let acl = "QUEUE=orders.in USER=bob PERM=send,receive\nADMIN GROUP=traders PERM=view-all\n";
    assert_eq!(read(folder.join("acl.conf")), acl);
    assert_eq!(json(&server, &["show", "user", "bob"])["groups"], "$admin,traders");
    assert_eq!(json(&server, &["showacl", "user", "bob"])["permissions"][0]["permissions"], "send,receive");
    refused(&server, &["create", "user", "bob"], "already");
    refused(&server, &["addmember", "traders", "nobody"], "no user 'nobody'");
    done(&server, &["delete", "user", "bob"]);
    assert_eq!(read(folder.join("acl.conf")), "ADMIN GROUP=traders PERM=view-all\n");
    assert!(!read(folder.join("groups.conf")).contains("bob"));
    assert!(!server.log().contains("secret"), "{}", server.log());
}

#[test]
fn a_script_stops_at_the_first_error_or_goes_on_with_ignore() {
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let script = setup.folder.path().join("set-up.txt");
    std::fs::write(&script, "# comment\ntime off\ncreate queue a\n\ndelete queue none\ncreate queue b\n").unwrap();
    let name = script.to_str().unwrap();
    let ran = admin(&url(&server), &["-script", name], "");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.error.starts_with(&format!("{name}:5: there is no queue 'none'")), "{ran:?}");
    assert!(!read(setup.folder.path().join("queues.conf")).contains("\nb\n"));
    std::fs::write(&script, "delete queue none\ncreate queue b\n").unwrap();
    let ran = admin(&url(&server), &["-script", name, "-ignore"], "");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(read(setup.folder.path().join("queues.conf")).ends_with("a\nb\n"));
    assert_eq!(admin(&url(&server), &["-nonsense"], "").code, Some(64));
    assert_eq!(admin("tcp://127.0.0.1:1", &["info"], "").code, Some(2));
}

#[test]
fn changes_wait_for_commit_and_a_file_that_was_edited_by_hand_is_left_alone() {
    let setup = Setup::new(1, QUEUES, "");
    let file = setup.folder.path().join("queues.conf");
    let mut server = setup.start(0);
    server.wait_active();
    let ran = admin(&url(&server), &[], "autocommit off\ncreate queue a\nshow config\n");
    assert!(ran.code == Some(0) && ran.out.contains("queues.conf"), "{ran:?}");
    assert_eq!(read(&file), QUEUES);
    assert_eq!(json(&server, &["show", "queue", "a"])["static"], true, "it takes effect at once");
    done(&server, &["commit"]);
    assert_eq!(read(&file), format!("{QUEUES}a\n"));
    std::fs::write(&file, "# mine\n>\n").unwrap();
    refused(&server, &["create", "queue", "b"], "someone else");
    assert_eq!(read(&file), "# mine\n>\n");
    refused(&server, &["show", "queue", "b"], "no queue");
}

#[test]
fn a_change_that_cannot_be_written_does_not_take_effect() {
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    // Where the new file would be made: as on a full disk, for whoever runs this.
    let blocked = setup.folder.path().join(format!(".queues.conf.new-{}", server.process_id()));
    std::fs::create_dir(&blocked).unwrap();
    refused(&server, &["create", "queue", "a"], "queues.conf: cannot be written");
    refused(&server, &["show", "queue", "a"], "no queue");
    assert_eq!(read(setup.folder.path().join("queues.conf")), QUEUES);
    std::fs::remove_dir(&blocked).unwrap();
    done(&server, &["create", "queue", "a"]);
    assert_eq!(json(&server, &["show", "queue", "a"])["static"], true);
}

#[test]
fn administrators_at_the_same_time_change_one_after_the_other() {
    const EACH: usize = 40;
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let url = url(&server);
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let script: Vec<String> = (0..EACH)
                .map(|number| format!("create queue {name}.{number}\ncreate group {name}{number}\n"))
                .collect();
            let url = &url;
            scope.spawn(move || {
                let ran = admin(url, &[], &script.concat());
                assert_eq!(ran.code, Some(0), "{ran:?}");
            });
        }
    });
    let queues = read(setup.folder.path().join("queues.conf"));
    assert_eq!(queues.lines().count(), QUEUES.lines().count() + 3 * EACH, "no change undid another: {queues}");
    assert_eq!(read(setup.folder.path().join("groups.conf")).lines().count(), 3 * EACH);
    assert_eq!(json(&server, &["show", "queues"])["queues"].as_array().unwrap().len(), 3 * EACH);
}

#[test]
fn a_purge_right_after_a_start_waits_for_the_backlog() {
    const MESSAGES: u64 = 60_000;
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("sync.many").unwrap();
    (0..MESSAGES).for_each(|token| client.send(sender, token, b"x"));
    assert_eq!(client.outcome(MESSAGES - 1), Some(amqp::Outcome::Accepted));
    server.kill();
    let mut server = setup.start(0);
    server.wait_active();
    assert_eq!(json(&server, &["purge", "queue", "sync.many"])["messages"], MESSAGES);
    assert_eq!(json(&server, &["show", "queue", "sync.many"])["messages"], 0);
}

/// A command, and what the refusal must say.
const MISTAKES: &[(&str, &str)] = &[
    ("shwo queues", "'help' lists"),
    ("show", "known are server"),
    ("show quues", "known are server"),
    ("show queue nosuch", "show queues lists them"),
    ("show queues a..b", "empty element"),
    ("show user nosuch", "show users lists them"),
    ("show group nosuch", "show groups lists them"),
    ("show store nosuch", "show stores lists them"),
    ("show consumer x", "not a number"),
    ("show consumer 99", "no consumer 99"),
    ("show stat topics", "known are"),
    ("create queue", "create queue NAME"),
    ("create queue taken", "setprop and addprop change it"),
    ("create queue a..b", "empty element"),
    ("create queue q maxmsg=1", "did you mean maxmsgs?"),
    ("create queue q maxmsgs=many", "maxmsgs"),
    ("create queue q store=nosuch", "nosuch"),
    ("create topic t", "queue, user and group can"),
    ("create user bob", "set password bob"),
    ("create user", "create user NAME"),
    ("create group desk", "already"),
    ("delete queue nosuch", "show queues lists them"),
    ("delete user nosuch", "nosuch"),
    ("delete group nosuch", "nosuch"),
    ("delete topic t", "queue, user, group and connection can"),
    ("delete connection 99", "show connections lists them"),
    ("addprop queue nosuch secure", "create queue makes one"),
    ("removeprop queue taken secure", "show queue taken names them"),
    ("addmember desk nosuch", "nosuch"),
    ("addmember nosuch bob", "nosuch"),
    ("removemember desk admin", "admin"),
    ("set password nosuch x", "show users lists them"),
    ("set server maxconnections=1", "not a parameter"),
    ("set server store=x", "set one of"),
    ("set server max_connections", "NAME=VALUE"),
    ("set server max_connections=x", "max_connections"),
    ("grant queue taken bob send", "user=NAME"),
    ("grant queue taken user=nosuch send", "nosuch"),
    ("grant queue taken user=bob publish", "known are send"),
    ("showacl bob", "showacl queue NAME"),
    ("purge queue nosuch", "show queues lists them"),
    ("purge all queues a*", "wildcard"),
    ("rotatelog", "logfile is not set"),
    ("autocommit maybe", "maybe"),
    ("create queue \"open", "quote is not closed"),
    ("timeout never", "not a number of seconds"),
    ("time maybe", "maybe"),
    ("help nosuch", "help without a word lists all"),
];

#[test]
fn what_operators_get_wrong_is_explained() {
    let setup = Setup::new(1, "# here\ntaken maxmsgs=5\n>\n", "");
    std::fs::write(setup.folder.path().join("users.conf"), "admin::\nbob::\n").unwrap();
    std::fs::write(setup.folder.path().join("groups.conf"), "desk:\n  bob\n").unwrap();
    let mut server = setup.start(0);
    server.wait_active();
    let script: String = MISTAKES.iter().map(|(line, _)| format!("{line}\n")).collect();
    let ran = admin(&url(&server), &["-ignore"], &script);
    let errors: Vec<&str> = ran.error.lines().collect();
    for (index, (line, expected)) in MISTAKES.iter().enumerate() {
        let start = format!("standard input:{}: ", index + 1);
        let error = errors.iter().find(|error| error.starts_with(&start));
        assert!(error.is_some_and(|error| error.contains(expected)), "{line}: {error:?} has not '{expected}'");
    }
    assert_eq!(read(setup.folder.path().join("queues.conf")), "# here\ntaken maxmsgs=5\n>\n");

    let here = url(&server);
    let tls = here.replace("tcp://", "ssl://");
    let command_lines: [(&str, &[&str], i32, &str); 9] = [
        ("http://a:1", &["info"], 64, "tcp://host:port"),
        ("tcp://a:x", &["info"], 64, "not a port"),
        ("tcp://127.0.0.1:1", &["info"], 2, "refused"),
        (&tls, &["info"], 2, "-ssl_trusted"),
        (&tls, &["-ssl_noverifyhost", "info"], 2, "is that an ssl:// listen"),
        (&here, &["-mangle", "x"], 64, "hashes"),
        (&here, &["-ssl_trusted", "/nowhere.pem", "info"], 64, "/nowhere.pem"),
        (&here, &["-pwdfile", "/nowhere", "info"], 64, "/nowhere"),
        (&here, &["-script", "/nowhere"], 64, "/nowhere"),
    ];
    for (url, arguments, code, expected) in command_lines {
        let ran = admin(url, arguments, "");
        assert!(ran.code == Some(code) && ran.error.contains(expected), "{url} {arguments:?}: {ran:?}");
    }
}

#[test]
fn parameters_are_set_and_written_and_those_that_cannot_are_named() {
    let setup = Setup::new(1, QUEUES, "# a remark\nmax_connections = 10");
    std::fs::write(setup.folder.path().join("users.conf"), "admin::\n").unwrap();
    let mut server = setup.start(0);
    server.wait_active();
    done(&server, &["set", "server", "max_connections=20", "debug_sync_delay=1ms"]);
    let text = read(setup.config(0));
    assert!(
        text.contains("# a remark\nmax_connections = 20\n") && text.ends_with("debug_sync_delay = 1ms\n"),
        "{text}"
    );
    assert_eq!(json(&server, &["show", "state"])["debug_sync_delay_ns"], 1_000_000);
    refused(&server, &["set", "server", "store=elsewhere"], "max_connections");
    refused(&server, &["set", "server", "max_connections=1", "authorization=maybe"], "authorization");
    assert!(read(setup.config(0)).contains("max_connections = 20\n"), "all or nothing");
    done(&server, &["set", "server", "authorization=enabled"]);
    done(&server, &["set", "password", "admin", "root"]);
    let ran = admin(&url(&server), &["whoami"], "");
    assert!(ran.code == Some(2) && ran.error.contains("does not accept user 'admin'"), "{ran:?}");
    assert!(done(&server, &["-password", "root", "whoami"]).contains("admin"));
    let password = setup.folder.path().join("password");
    std::fs::write(&password, "root\n").unwrap();
    assert!(done(&server, &["-pwdfile", password.to_str().unwrap(), "whoami"]).contains("admin"));
}

#[test]
fn connections_and_consumers_are_shown_and_closed() {
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("q").unwrap();
    client.receiver("q", 10).unwrap();
    client.publish(sender, 1, b"held");
    client.message();
    let consumers = json(&server, &["show", "consumers"]);
    assert_eq!(
        (&consumers["consumers"][0]["queue"], &consumers["consumers"][0]["unsettled"]),
        (&"q".into(), &1.into())
    );
    let shown = json(&server, &["show", "connections", "full"]);
    let rows = shown["connections"].as_array().unwrap();
    let own = rows.iter().find(|row| row["kind"] == "client").unwrap();
    assert_eq!((&own["producers"], &own["consumers"], &own["unsettled"]), (&1.into(), &1.into(), &1.into()));
    done(&server, &["delete", "connection", &own["id"].to_string()]);
    let error = client.wait("the close", |seen| match seen {
        Seen::Closed(error) => error.clone(),
        _ => None,
    });
    assert!(error.description.contains("administrator"), "{error}");
    refused(&server, &["delete", "connection", "99"], "no connection 99");
}

#[test]
fn long_lists_come_in_pages() {
    let names: Vec<String> = (0..2500).map(|number| format!("queue.number.{number:04}")).collect();
    let setup = Setup::new(1, &(names.join("\n") + "\n"), "");
    let mut server = setup.start(0);
    server.wait_active();
    let shown = json(&server, &["show", "queues"]);
    let shown: Vec<&str> = shown["queues"].as_array().unwrap().iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(shown, names);
}

#[test]
fn the_log_is_rotated_and_shutdown_ends_the_server() {
    let setup = Setup::new(1, QUEUES, "logfile = server.log");
    let mut server = setup.start(0);
    server.wait_active();
    done(&server, &["rotatelog"]);
    done(&server, &["create", "queue", "after"]);
    done(&server, &["shutdown"]);
    assert_eq!(server.wait_exit(), Some(0), "{}", server.log());
    let log = |name: &str| read(setup.folder.path().join(name));
    assert!(log("server.log.1").contains("Understudy") && !log("server.log.1").contains("after"));
    assert!(log("server.log").contains("'after' by command"), "{}", log("server.log"));
}

#[test]
fn a_standby_names_the_active_and_the_tool_goes_there() {
    let setup = Setup::new(2, QUEUES, "");
    let mut first = setup.start(0);
    first.wait_active();
    let mut second = setup.start(1);
    second.wait_standby();
    refused(&second, &["create", "queue", "a"], &format!("tcp://127.0.0.1:{}", first.port));
    assert_eq!(json(&second, &["show", "state"])["state"], "STANDBY");
    done(&second, &["show", "queues"]);
    done(&second, &["set", "server", "max_connections=7"]);
    assert!(
        read(setup.config(1)).contains("max_connections = 7") && !read(setup.config(0)).contains("max_connections")
    );
    let both = format!("{},{}", url(&second), url(&first));
    let ran = admin(&both, &["create", "queue", "a"], "");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(json(&first, &["show", "queue", "a"])["static"], true);
    first.kill();
    second.wait_active();
    done(&second, &["create", "queue", "b"]);
    assert_eq!(read(setup.folder.path().join("queues.conf")), format!("{QUEUES}a\nb\n"));
}

/// Waits until the connection between the two servers stands.
fn wait_linked(server: &Server, password: &[&str]) -> u64 {
    let until = std::time::Instant::now() + support::PATIENCE;
    loop {
        let shown = json(server, &[password, &["show", "connections"]].concat());
        let rows = shown["connections"].as_array().unwrap();
        if let Some(link) = rows.iter().find(|row| row["kind"] == "other server") {
            return link["id"].as_u64().unwrap();
        }
        assert!(std::time::Instant::now() < until, "the pair has no link: {shown}");
    }
}

#[test]
fn authorization_is_switched_on_in_a_running_pair_without_loss_of_its_link() {
    let setup = Setup::new(2, QUEUES, "");
    for index in 0..2 {
        let users = format!("users = users{index}.conf\n");
        std::fs::write(setup.config(index), read(setup.config(index)) + &users).unwrap();
        std::fs::write(setup.folder.path().join(format!("users{index}.conf")), "admin::\n").unwrap();
    }
    let mut first = setup.start(0);
    first.wait_active();
    let mut second = setup.start(1);
    second.wait_standby();
    let link = wait_linked(&first, &[]);
    for server in [&first, &second] {
        done(server, &["create", "user", "TEST", "password=between"]);
        done(server, &["set", "server", "password=between"]);
    }
    done(&first, &["set", "server", "authorization=enabled"]);
    done(&second, &["set", "server", "authorization=enabled"]);
    assert_eq!(wait_linked(&first, &[]), link, "it is the same connection");
    assert!(
        setup.folder.path().join("users1.conf").exists() && read(setup.config(1)).contains("authorization = enabled")
    );
    // With authorization on, a new connection between them needs the user.
    second.kill();
    let mut second = setup.start(1);
    second.wait_standby();
    assert_ne!(wait_linked(&first, &[]), link, "another connection, with a password");
    first.kill();
    second.wait_active();
    done(&second, &["show", "users"]);
}

#[test]
fn a_pair_with_one_json_is_changed_at_the_active_only() {
    let setup = Setup::new(2, QUEUES, "");
    let file = setup.folder.path().join("tibemsd.json");
    let (one, two) = (setup.config(0), setup.config(1));
    let files = [one.to_str().unwrap(), "--secondary", two.to_str().unwrap(), "--to", file.to_str().unwrap()];
    let converted =
        Command::new(env!("CARGO_BIN_EXE_broker-admin")).args(["convert", "--from"]).args(files).output().unwrap();
    assert_eq!(converted.status.code(), Some(0), "{converted:?}");
    let mut first = setup.start_file(&file, 0, &[]);
    first.wait_active();
    let mut second = setup.start_file(&file, 1, &["--secondary"]);
    second.wait_standby();
    done(&first, &["create", "queue", "orders", "maxmsgs=7,store=$sys.failsafe"]);
    done(&first, &["create", "user", "bob", "password=secret"]);
    done(&first, &["set", "server", "max_connections=50"]);
    refused(&second, &["set", "server", "max_connections=60"], &first.port.to_string());
    refused(&second, &["show", "queues"], "standby");
    done(&second, &["show", "state"]);
    done(&second, &["show", "connections"]);
    let value: serde_json::Value = serde_json::from_str(&read(&file)).unwrap();
    let named =
        |list: &str, name: &str| value[list].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
    assert_eq!(named("queues", "orders").unwrap()["maxmsgs"], "7");
    assert!(named("users", "bob").unwrap()["password"].as_str().unwrap().starts_with("$argon2id$"));
    assert_eq!(value["tibemsd"]["max_connections"], "50");
    done(&second, &["shutdown"]);
    assert_eq!(second.wait_exit(), Some(0));
    first.kill();
    let mut first = setup.start_file(&file, 0, &[]);
    first.wait_active();
    assert_eq!(json(&first, &["show", "queue", "orders"])["maxmsgs"], 7);
}

#[test]
fn configuration_files_are_converted_without_a_server() {
    let setup = Setup::new(1, QUEUES, "");
    let json = setup.folder.path().join("tibemsd.json");
    let convert = || {
        let config = setup.config(0);
        let arguments = ["convert", "--from", config.to_str().unwrap(), "--to", json.to_str().unwrap()];
        Command::new(env!("CARGO_BIN_EXE_broker-admin")).args(arguments).output().unwrap()
    };
    assert_eq!(convert().status.code(), Some(0));
    assert!(read(&json).contains("sync.>"));
    assert_eq!(convert().status.code(), Some(1), "it is not overwritten unasked");
}
