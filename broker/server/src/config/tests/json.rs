//! tibemsd.json: what it means, and what is said of a wrong one.

use super::*;

/// A folder with one tibemsd.json.
fn folder(text: &str) -> Folder {
    Folder::new("").with("tibemsd.json", text)
}

fn clean(text: &str, role: Role) -> Configuration {
    let folder = folder(text);
    let (configuration, remarks) =
        load_as(role, &folder.path("tibemsd.json"), &[], true).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(remarks, []);
    configuration
}

/// The whole text of remarks under `--check`.
fn check(text: &str, expected: &str) {
    let folder = folder(text);
    let remarks = match load_as(Role::Primary, &folder.path("tibemsd.json"), &[], true) {
        Ok((_, remarks)) | Err(remarks) => remarks,
    };
    let prefix = folder.path("").display().to_string();
    let lines: String = remarks.iter().map(|remark| format!("{remark}\n")).collect();
    assert_eq!(lines.replace(&prefix, ""), expected, "for {text}");
}

const PAIR: &str = r#"{
  "model_version": "1.0",
  "tibemsd": {
    "server": "PAIR", "password": "secret", "authorization": false, "max_msg_memory": "64MB", "ft_heartbeat": 0.25,
    "ft_activation": "600ms", "startup_abort_list": ["SSL", "CONFIG_ERRORS"], "logfile": null,
    "primary_listens": [{"url": "tcp://a:7222", "ft_active": true}, "tcp://a:7223"],
    "secondary_listens": [{"url": "tcp://7224", "ft_active": "tcp://b:7224"}]
  },
  "users": [{"name": "app", "password": "pw", "description": "An app"}],
  "stores": [{"name": "mine", "type": "file", "file": "mine.db", "mode": "sync"}],
  "queues": [
    {"name": "orders.>", "store": "mine", "maxmsgs": 5, "maxbytes": "2KB", "exclusive": true},
    {"name": ">"}
  ]
}"#;

#[test]
fn one_file_is_of_both_servers() {
    let [primary, secondary] = [Role::Primary, Role::Secondary].map(|role| clean(PAIR, role));
    let ports = |configuration: &Configuration| -> Vec<u16> {
        configuration.listens.iter().map(|listen| listen.port).collect()
    };
    assert_eq!((ports(&primary), ports(&secondary)), (vec![7222, 7223], vec![7224]));
    assert_eq!(primary.ft.as_ref().unwrap().peer_url, "tcp://b:7224", "the URL by which it is reached");
    assert_eq!(secondary.ft.as_ref().unwrap().peer_url, "tcp://a:7222");
    assert_eq!((primary.role, secondary.role), (Role::Primary, Role::Secondary));
    assert_eq!((primary.ft_heartbeat_ns, primary.ft_activation_ns), (250_000_000, 600_000_000));
    assert_eq!((&primary.server[..], &primary.password[..], primary.message_memory_max), ("PAIR", "secret", 64 << 20));
    assert!(primary.users.iter().any(|user| user.name == "app" && user.password == "pw"));
    let definition = &primary.queues[0].definition;
    assert_eq!((definition.maxmsgs, definition.maxbytes, definition.exclusive), (5, 2048, true));
    assert_eq!(primary.stores[usize::from(definition.store.unwrap().0)].name, "mine");
    assert_eq!(primary.logfile, None);
}

#[test]
fn a_json_without_a_secondary_stands_alone() {
    let alone = clean(r#"{"tibemsd": {"primary_listens": ["tcp://1"]}, "queues": [{"name": ">"}]}"#, Role::Primary);
    assert!(alone.ft.is_none());
    assert_eq!(alone.listens[0].port, 1);
}

#[test]
fn overrides_beat_the_json() {
    let folder = folder(PAIR);
    let overrides = [("listen".to_owned(), "tcp://9".to_owned())];
    let (configuration, _) = load_as(Role::Secondary, &folder.path("tibemsd.json"), &overrides, true).unwrap();
    assert_eq!(configuration.listens.iter().map(|listen| listen.port).collect::<Vec<_>>(), [9]);
}

#[test]
fn the_side_files_may_be_lists() {
    let text = r#"{"tibemsd": {}, "queues": [{"name": ">"}],
      "topics": [{"name": "px.>", "secure": true}],
      "bridges": [{"type": "topic", "name": "px.>", "targets": [{"type": "queue", "name": "q", "selector": "a = 'b'"}]}],
      "durables": [{"topic": "px.a", "name": "d", "clientid": "c", "nolocal": true}],
      "factories": [{"name": "F", "type": "generic", "url": "tcp://a:1,tcp://b:2", "jndinames": ["x", "y"],
        "ssl": {"ssl_trusted_list": ["one.pem", "two.pem"]}}],
      "transports": [{"name": "RV", "service": "7500", "type": "tibrvcm"}],
      "tibrvcm": [{"transport": "RV", "listener": "L", "subject": "a.b"}]}"#;
    let folder = folder(text);
    let (configuration, remarks) = load(&folder.path("tibemsd.json"), &[], true).unwrap();
    let kept = configuration.kept;
    assert_eq!(kept.bridges[0].source, Destination::Topic("px.>".to_owned()));
    assert_eq!(kept.bridges[0].targets[0].selector.as_deref(), Some("a = 'b'"));
    let trusted: Vec<_> = kept.factories[0].properties.iter().filter(|(name, _)| name == "ssl_trusted").collect();
    assert_eq!(trusted.len(), 2);
    assert!(kept.factories[0].properties.contains(&("jndinames".to_owned(), "x,y".to_owned())));
    assert_eq!((kept.durables.len(), kept.listeners.len(), kept.transports.len(), kept.topics.len()), (1, 1, 1, 1));
    assert_eq!(remarks.len(), 6, "one note for each: {remarks:#?}");
    assert!(remarks.iter().all(|remark| remark.severity == Severity::Note && remark.line > 1));
}

#[test]
fn problems_name_line_and_path() {
    check(
        "{\"tibemsd\": {\n\"ft_heartbeat\": \"soon\"}, \"queues\": [\n{\"name\": \">\"},\n{\"name\": \"q\",\n\"maxmsg\": 1}]}",
        "tibemsd.json:2: error: tibemsd.ft_heartbeat: 'soon' is not a time (write seconds as 3 or 0.25, or a unit: 250ms, \
         50us, 2min, 1h; range 1ms to 3600s)\n\
         tibemsd.json:5: error: queues[1].maxmsg: is not a known name (did you mean maxmsgs?)\n",
    );
    check(
        "{\"tibemsd\": {}, \"queues\": [{\"name\": \">\"}],\n\"users\": [\n{\"name\": \"a\"},\n{\"name\": \"a\"}]}",
        "tibemsd.json:4: error: users[1]: a: is named twice; the first counts (remove this line)\n",
    );
    check(
        "{\"tibemsd\": {}, \"queues\": [{\"name\": \">\"}],\n\"users\": [{\"name\": \"app\"}],\n\"groups\": [{\"name\": \"g\", \
         \"members\": [\n{\"name\": \"app\"},\n\"apq\"]}],\n\"acls\": [\n{\"queue\": \"q\", \"group\": \"h\", \"permissions\": \
         [\"send\"]},\n{\"queue\": \"q\", \"user\": \"app\", \"permissions\": [\"sent\"]}]}",
        "tibemsd.json:5: error: groups[0].members[1]: apq: is a member of 'g', but not a user (did you mean app?)\n\
         tibemsd.json:8: error: acls[1]: PERM: 'sent' is not a permission of a queue (did you mean send?)\n\
         tibemsd.json:7: error: acls[0]: GROUP: there is no group 'h': the line has no effect (did you mean g?)\n",
    );
    check(
        "{\"tibemsd\": {\"routing\": true}, \"queues\": [{\"name\": \">\"}]}",
        "tibemsd.json:1: note: tibemsd.routing: accepted, not acted upon: there are no routes (remove it, or leave it for \
         EMS)\n",
    );
}

#[test]
fn a_pair_is_complete_or_none() {
    let pair = |primary: &str, secondary: &str| {
        format!(
            "{{\"tibemsd\": {{\n\"primary_listens\": [{primary}],\n\"secondary_listens\": [{secondary}]}},\n\
             \"queues\": [{{\"name\": \">\"}}]}}"
        )
    };
    let marked = |port: u16| format!("{{\"url\": \"tcp://x:{port}\", \"ft_active\": true}}");
    check(&pair(&marked(1), &marked(2)), "");
    let remedy = "(add \"ft_active\": true to the URL that the other server is to connect to)";
    check(
        &pair("\"tcp://x:1\"", &marked(2)),
        &format!(
            "tibemsd.json:2: error: tibemsd.primary_listens[0]: no URL of primary_listens has ft_active: the pair is not \
             complete {remedy}\n"
        ),
    );
    check(
        &pair(&format!("{}, {}", marked(1), marked(3)), &marked(2)),
        "tibemsd.json:2: error: tibemsd.primary_listens[1].ft_active: stands at two URLs of one server (leave it at the \
         URL that the peer is to connect to)\n",
    );
}

#[test]
fn a_secondary_must_be_one() {
    let remarks = |name: &str| {
        let folder = folder("{\"tibemsd\": {}, \"queues\": [{\"name\": \">\"}]}");
        let errors = load_as(Role::Secondary, &folder.path(name), &[], false).unwrap_err();
        errors.iter().map(|error| error.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(remarks("tibemsd.json"), ["has no secondary_listens"]);
    assert_eq!(remarks("tibemsd.conf"), ["is for a tibemsd.json"]);
}

#[test]
fn a_missing_json_is_not_made() {
    let folder = Folder::new("");
    let errors = load(&folder.path("other.json"), &[], false).unwrap_err();
    assert_eq!(errors[0].message, "does not exist");
    assert!(!folder.path("other.json").exists());
}
