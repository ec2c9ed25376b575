//! queues.conf, users.conf and stores.conf.

use super::*;
use engine::{OverflowPolicy, Prefetch, QueueDefinition, StoreId};

fn queues(text: &str) -> Vec<QueueDefinition> {
    let configuration = Folder::new("").with("queues.conf", text).clean();
    configuration.queues.into_iter().map(|queue| queue.definition).collect()
}

/// queues.conf, and all remarks on it at start.
fn check_queues(text: &str, expected: &str) {
    assert_eq!(Folder::new("").with("queues.conf", text).remarks(false), expected, "for {text:?}");
}

/// stores.conf, and all remarks on it at start.
fn check_stores(text: &str, expected: &str) {
    assert_eq!(Folder::new("").with("stores.conf", text).remarks(false), expected, "for {text:?}");
}

#[test]
fn queue_properties() {
    let check = |properties: &str, expected: QueueDefinition| {
        let expected = QueueDefinition { pattern: "q".to_owned(), ..expected };
        assert_eq!(queues(&format!("q {properties}\n")), [expected], "{properties}");
    };
    let none = QueueDefinition::default;
    check("", none());
    check("store=$sys.failsafe", QueueDefinition { store: Some(StoreId(1)), ..none() });
    check("store=$sys.nonfailsafe", QueueDefinition { store: Some(StoreId(0)), ..none() });
    check("failsafe", QueueDefinition { store: Some(StoreId(1)), ..none() });
    check("maxmsgs=5,maxbytes=2KB", QueueDefinition { maxmsgs: 5, maxbytes: 2048, ..none() });
    check("maxmsgs=5, maxbytes=2KB", QueueDefinition { maxmsgs: 5, maxbytes: 2048, ..none() });
    check("overflowPolicy=discardOld", QueueDefinition { overflow: OverflowPolicy::DiscardOld, ..none() });
    check("overflowPolicy=rejectIncoming", QueueDefinition { overflow: OverflowPolicy::RejectIncoming, ..none() });
    check("prefetch=7,exclusive", QueueDefinition { prefetch: Prefetch::Count(7), exclusive: true, ..none() });
    check("prefetch=none", QueueDefinition { prefetch: Prefetch::None, ..none() });
    check("prefetch=0", none());
    check("maxRedelivery=3", QueueDefinition { max_redelivery: 3, ..none() });
    check("expiration=2", QueueDefinition { expiration_ms: Some(2000), ..none() });
    check("expiration=30msec", QueueDefinition { expiration_ms: Some(30), ..none() });
    check("expiration=0", QueueDefinition { expiration_ms: Some(0), ..none() });
}

#[test]
fn queue_lines_with_problems() {
    check_queues(
        ">.a\n",
        "queues.conf:1: error: >.a: '>.a' is a wildcard, not the name of one queue (write elements with dots between; * \
         stands for one element, > as the last for one or more)\n",
    );
    check_queues("q maxmsg=1\n", "queues.conf:1: warning: maxmsg: is not a known name (did you mean maxmsgs?)\n");
    check_queues(
        "q store=$sys.failsave\n",
        "queues.conf:1: error: store: there is no store '$sys.failsave' (did you mean $sys.failsafe?)\n",
    );
    check_queues("q\nq\n", "queues.conf:2: warning: q: is named twice; the first counts (remove this line)\n");
    check_queues(
        "q maxRedelivery=1\n",
        "queues.conf:1: error: maxRedelivery: 1 is outside the range 2 to 255 (write 0 for no limit)\n",
    );
    check_queues(
        "q prefetch=some\n",
        "queues.conf:1: error: prefetch: 'some' is neither a number nor none (write a number or none)\n",
    );
    check_queues(
        "q flowControl\n",
        "queues.conf: warning: accepted, not acted upon: flowControl (broker --check tells the lines and why)\n",
    );
}

#[test]
fn without_queues_there_is_a_warning() {
    let folder = Folder::new("");
    std::fs::remove_file(folder.path("queues.conf")).unwrap();
    assert_eq!(
        folder.remarks(false),
        "queues.conf: warning: queues: does not exist: there are no queues (create it with at least one line, for \
         example '>' to allow every queue)\n"
    );
}

#[test]
fn users_are_read() {
    let configuration = Folder::new("").with("users.conf", "app:secret:\"An app\"\nshort:\n# x\n").clean();
    let users: Vec<_> =
        configuration.users.iter().map(|user| (&user.name[..], &user.password[..], &user.description[..])).collect();
    assert_eq!(users, [("app", "secret", "An app"), ("short", "", ""), ("admin", "", "Administrator")]);
}

#[test]
fn users_with_problems() {
    let check = |text: &str, expected: &str| {
        assert_eq!(Folder::new("").with("users.conf", text).remarks(false), expected, "for {text:?}");
    };
    let form = "is not a user (write name:password:description; the password may be empty)";
    check("app\n", &format!("users.conf:1: error: {form}\n"));
    check(":p:\n", &format!("users.conf:1: error: {form}\n"));
    check("a::\na::\n", "users.conf:2: warning: a: is named twice; the first counts (remove this line)\n");
    check(
        "a:$man$x:\n",
        "users.conf:1: error: a: a mangled password ($man$...) can only be read by the server that made it (write the \
         password in the clear and protect the file)\n",
    );
}

#[test]
fn stores_are_read() {
    let text = "[$sys.failsafe]\n type=file\n file=sync-msgs.db\n mode=sync\n file_crc=true\n file_minimum=8MB\n\
                [$sys.nonfailsafe]\n mode=sync\n[$sys.meta]\n mode=async\n[extra]\n file=extra.db\n";
    let configuration = Folder::new("store_minimum_async=9MB\n").with("stores.conf", text).clean();
    let stores: Vec<_> = configuration
        .stores
        .iter()
        .map(|store| (&store.name[..], &store.file[..], store.mode, store.minimum_bytes))
        .collect();
    assert_eq!(
        stores,
        [
            ("$sys.nonfailsafe", "async-msgs.db", Mode::Sync, 0),
            ("$sys.failsafe", "sync-msgs.db", Mode::Sync, 8 << 20),
            ("extra", "extra.db", Mode::Async, 9 << 20),
        ]
    );
    assert_eq!(configuration.meta.mode, Mode::Sync, "$sys.meta is written sync whatever its mode says");
}

#[test]
fn stores_with_problems() {
    check_stores("file=x\n", "stores.conf:1: error: stands before any [name] (begin with a line [name])\n");
    check_stores("[x]\n", "stores.conf:1: error: x: has no file (add file = name, a name inside the store folder)\n");
    check_stores(
        "[x]\nfile=x\ntype=dbstore\n",
        "stores.conf:3: error: type: 'dbstore' is not supported (write type=file; this server has file stores only)\n",
    );
    check_stores(
        "[x]\nfile=../x\n",
        "stores.conf:2: error: x: '../x' is not a plain name (give a name inside the store folder, without a path, of at \
         most 64 bytes)\n",
    );
    check_stores(
        "[x]\nfile=meta.db\n",
        "stores.conf:2: error: x: has the file 'meta.db' of $sys.meta (give each store a file of its own)\n",
    );
    let many: String = (0..7).map(|number| format!("[s{number}]\nfile=f{number}\n")).collect();
    check_stores(&many, "stores.conf:13: error: s6: is one store too many; 8 are possible (use fewer stores)\n");
    check_stores(
        "[$sys.other]\nfile=o\n",
        "stores.conf:1: error: $sys.other: is not a name for a store (names that begin with $sys. are the server's: \
         $sys.failsafe, $sys.nonfailsafe, $sys.meta)\n",
    );
}
