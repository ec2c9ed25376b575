//! groups.conf and acl.conf.

use super::*;

const USERS: &str = "alice::\nbob::\n";

fn folder(groups: &str, acl: &str) -> Folder {
    Folder::new("").with("users.conf", USERS).with("groups.conf", groups).with("acl.conf", acl)
}

/// groups.conf, and all remarks on it under `--check`.
fn check_groups(text: &str, expected: &str) {
    assert_eq!(folder(text, "").remarks(true), expected, "for {text:?}");
}

/// acl.conf, and all remarks on it under `--check`.
fn check_acl(text: &str, expected: &str) {
    assert_eq!(folder("desk:\n alice\n", text).remarks(true), expected, "for {text:?}");
}

#[test]
fn groups_are_read() {
    let text = "$admin:\"Administrators: all of them\"\n  admin\n\tbob\n\n# a remark\ndesk:Desk A\n  alice\n  \"bob\"\nempty:\n";
    let configuration = folder(text, "").clean();
    let group = |name: &str, description: &str, members: &[&str], line| Group {
        name: name.to_owned(),
        description: description.to_owned(),
        members: members.iter().map(|member| (*member).to_owned()).collect(),
        line,
    };
    assert_eq!(
        configuration.groups,
        [
            group("$admin", "Administrators: all of them", &["admin", "bob"], 1),
            group("desk", "Desk A", &["alice", "bob"], 6),
            group("empty", "", &[], 9),
        ]
    );
}

#[test]
fn groups_with_problems() {
    check_groups(
        "  alice\n",
        "groups.conf:1: error: alice: is a member, but stands before any group (begin with a line name:description that \
         is not indented)\n",
    );
    check_groups(
        "desk\n  alice\n",
        "groups.conf:1: error: desk: is neither a group nor a member (write name:description for a group, or indent the \
         name of a member)\n",
    );
    check_groups(":x\n", "groups.conf:1: error: is a group without a name (write name:description)\n");
    check_groups(
        "all:everybody\n  alice\n",
        "groups.conf:1: error: all: is the server's own group (remove the group: every user is a member of 'all' by \
         itself)\n",
    );
    check_groups(
        "desk:\n alice\ndesk:\n bob\n carol\n",
        "groups.conf:3: error: desk: is named twice; the first counts (merge the two groups)\n",
    );
    check_groups(
        "desk:\n alice\n alice\n",
        "groups.conf:3: error: alice: is a member of 'desk' already (remove this line)\n",
    );
    check_groups(
        "desk:\n alcie\n",
        "groups.conf:2: error: alcie: is a member of 'desk', but not a user (did you mean alice?)\n",
    );
    check_groups(
        "desk:\n zebediah\n",
        "groups.conf:2: error: zebediah: is a member of 'desk', but not a user (add a line zebediah:: to users.conf, or \
         remove this one)\n",
    );
}

#[test]
fn permissions_are_read() {
    let text = "QUEUE=orders.in GROUP=desk PERM=send\nQUEUE=orders.> USER=bob PERM=all,purge\n\
                TOPIC=px.*  PERM=publish,subscribe USER=\"alice\"\nADMIN USER=bob PERM=view-all,shutdown\n\
                ADMIN GROUP=$admin PERM=all\nqueue=q group=all perm=browse\n";
    let configuration = folder("desk:\n alice\n", text).clean();
    let shown: Vec<String> = configuration
        .acl
        .iter()
        .map(|entry| {
            let AclEntry { target, principal, permissions, line } = entry;
            format!("{line} {target:?} {principal:?} {}", permissions.words(target.scope()))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "1 Queue(\"orders.in\") Group(\"desk\") send",
            "2 Queue(\"orders.>\") User(\"bob\") all,purge",
            "3 Topic(\"px.*\") User(\"alice\") publish,subscribe",
            "4 Admin User(\"bob\") view-all,shutdown",
            "5 Admin Group(\"$admin\") all",
            "6 Queue(\"q\") Group(\"all\") browse",
        ]
    );
}

#[test]
fn permissions_with_problems() {
    let form =
        "write QUEUE=name USER=name PERM=send,receive; TOPIC= or ADMIN may stand for QUEUE=, and GROUP= for USER=";
    check_acl("QUEUE=q USER=alice\n", &format!("acl.conf:1: error: is not a permission ({form})\n"));
    check_acl("USER=alice PERM=send\n", &format!("acl.conf:1: error: is not a permission ({form})\n"));
    check_acl(
        "QUEU=q USER=alice PERM=send\n",
        "acl.conf:1: error: QUEU: is not a word of acl.conf (did you mean QUEUE?)\n",
    );
    check_acl(
        "QUEUE=q USER=alice GROUP=desk PERM=send\n",
        &format!("acl.conf:1: error: GROUP: or what stands in its place is there twice ({form})\n"),
    );
    check_acl(
        "QUEUE=q USER=alice PERM=sned\n",
        "acl.conf:1: error: PERM: 'sned' is not a permission of a queue (did you mean send?)\n",
    );
    check_acl(
        "QUEUE=q USER=alice PERM=publish\n",
        "acl.conf:1: error: PERM: 'publish' is not a permission of a queue (write some of send, receive, browse, view, \
         create, delete, modify, purge, all)\n",
    );
    check_acl(
        "ADMIN USER=alice PERM=view-al\n",
        "acl.conf:1: error: PERM: 'view-al' is not a permission of an administrator (did you mean view-acl?)\n",
    );
    check_acl(
        "QUEUE=a..b USER=alice PERM=send\n",
        "acl.conf:1: error: a..b: 'a..b' has an empty element (write elements with dots between; * stands for one \
         element, > as the last for one or more)\n",
    );
    check_acl(
        "\n\nQUEUE=q USER=alise PERM=send\n",
        "acl.conf:3: error: USER: there is no user 'alise': the line has no effect (did you mean alice?)\n",
    );
    check_acl(
        "QUEUE=q GROUP=traders PERM=send\n",
        "acl.conf:1: error: GROUP: there is no group 'traders': the line has no effect (add 'traders' to groups.conf, or \
         remove the line)\n",
    );
}

#[test]
fn what_nobody_is_granted_is_a_remark_not_an_error_at_start() {
    let remarks = folder("", "QUEUE=q USER=carol PERM=send\n").remarks(false);
    assert!(remarks.starts_with("acl.conf:1: warning: USER: there is no user 'carol'"), "{remarks}");
}

#[test]
fn hashes_in_users_conf() {
    let hash = crate::security::password::hash("secret", &[3; 16]);
    let users = format!("EMS-SERVER:{hash}:\"the pair\"\n");
    let server = "authorization=on\nallow_plain_without_tls=on\nserver=EMS-SERVER\npassword=secret\nft_active=tcp://other:7224\n";
    let configuration = Folder::new(server).with("users.conf", &users).clean();
    assert_eq!(configuration.users[0].password, hash);
    let wrong = Folder::new(&server.replace("secret", "other")).with("users.conf", &users).remarks(false);
    assert!(wrong.contains("has no user 'EMS-SERVER' with the password of tibemsd.conf"), "{wrong}");
    let damaged = Folder::new("").with("users.conf", "a:$argon2id$v=19$m=9216:\n").remarks(false);
    assert_eq!(
        damaged,
        "users.conf:1: error: a: the password's hash is not usable: it is not a complete $argon2id$ hash (write the \
         password in the clear, it is hashed when the file is written back; or leave it empty)\n"
    );
}
