//! What is granted, by example, and how it changes.

use super::*;
use Permission as P;

fn directory() -> Directory {
    let mut directory = Directory::default();
    for name in ["admin", "root", "alice", "bob", "carol"] {
        directory.create_user(name, "", "").unwrap();
    }
    directory.create_group("desk", "").unwrap();
    directory.add_member("desk", "alice").unwrap();
    directory.add_member("$admin", "root").unwrap();
    directory
}

fn user(name: &str) -> Principal {
    Principal::User(name.to_owned())
}

fn group(name: &str) -> Principal {
    Principal::Group(name.to_owned())
}

fn queue(name: &str) -> AclTarget {
    AclTarget::Queue(name.to_owned())
}

fn these(permissions: &[Permission]) -> Permissions {
    permissions.iter().copied().collect()
}

#[test]
fn grants_hold_for_users_groups_and_patterns() {
    let mut directory = directory();
    directory.grant(queue("orders.in"), user("bob"), these(&[P::Send])).unwrap();
    directory.grant(queue("orders.*"), group("desk"), these(&[P::Receive])).unwrap();
    directory.grant(queue("news.>"), group("all"), these(&[P::Browse])).unwrap();
    directory
        .grant(AclTarget::Topic("orders.in".to_owned()), user("carol"), Permissions::all(crate::config::Scope::Topic))
        .unwrap();
    let check = |who: &str, permission, name: &str, expected| {
        assert_eq!(directory.may(who, permission, Target::Queue(name)), expected, "{who} {permission:?} {name}");
    };
    check("bob", P::Send, "orders.in", true);
    check("bob", P::Receive, "orders.in", false);
    check("bob", P::Send, "orders.out", false);
    check("alice", P::Receive, "orders.in", true);
    check("alice", P::Receive, "orders.in.x", false);
    check("alice", P::Send, "orders.in", false);
    check("carol", P::Browse, "news.a.b", true);
    check("carol", P::Send, "orders.in", false);
    check("nobody", P::Browse, "news.a", true);
    check("admin", P::Send, "orders.in", true);
    check("root", P::Receive, "anything", true);
}

#[test]
fn administrators_have_what_they_were_granted_and_what_follows() {
    let mut directory = directory();
    directory.grant(AclTarget::Admin, user("bob"), these(&[P::PurgeDestination, P::ChangeUser])).unwrap();
    directory.grant(queue("a.>"), user("carol"), these(&[P::Purge])).unwrap();
    let check = |who: &str, permission, target, expected| {
        assert_eq!(directory.may(who, permission, target), expected, "{who} {permission:?} {target:?}");
    };
    check("bob", P::Purge, Target::Queue("a.b"), true);
    check("bob", P::View, Target::Queue("a.b"), true);
    check("bob", P::Delete, Target::Queue("a.b"), false);
    check("bob", P::ViewUser, Target::Server, true);
    check("bob", P::ViewGroup, Target::Server, false);
    check("bob", P::Shutdown, Target::Server, false);
    check("bob", P::Send, Target::Queue("a.b"), false);
    check("carol", P::Purge, Target::Queue("a.b"), true);
    check("carol", P::View, Target::Queue("a.b"), true);
    check("carol", P::Purge, Target::Queue("b"), false);
    check("carol", P::PurgeDestination, Target::Server, false);
    check("root", P::Shutdown, Target::Server, true);
    let administer: Vec<&str> =
        directory.users().map(|user| user.name.as_str()).filter(|name| directory.administers(name)).collect();
    assert_eq!(administer, ["admin", "bob", "carol", "root"]);
    directory.grant(AclTarget::Admin, group("desk"), these(&[P::ViewAll])).unwrap();
    assert!(directory.may("alice", P::ViewGroup, Target::Server) && directory.administers("alice"));
    assert!(!directory.may("alice", P::ChangeGroup, Target::Server));
}

#[test]
fn deleted_users_and_groups_leave_nothing_behind() {
    let mut directory = directory();
    directory.grant(queue("q"), user("alice"), these(&[P::Send])).unwrap();
    directory.grant(queue("q"), group("desk"), these(&[P::Send])).unwrap();
    directory.delete_user("alice").unwrap();
    assert!(directory.user("alice").is_none() && !directory.is_member("alice", "desk"));
    assert_eq!(directory.acl().len(), 1);
    directory.create_user("alice", "", "another").unwrap();
    assert!(!directory.may("alice", P::Send, Target::Queue("q")), "who comes later inherits nothing");
    directory.delete_group("desk").unwrap();
    assert_eq!(directory.acl(), []);
}

#[test]
fn revoking_takes_exactly_that() {
    let mut directory = directory();
    directory.grant(queue("q"), user("bob"), these(&[P::Send])).unwrap();
    directory.grant(queue("q"), user("bob"), these(&[P::Receive, P::Browse])).unwrap();
    assert_eq!(directory.acl().len(), 1, "grants on one thing are one line");
    directory.revoke(&queue("q"), &user("bob"), these(&[P::Send])).unwrap();
    assert!(!directory.may("bob", P::Send, Target::Queue("q")) && directory.may("bob", P::Receive, Target::Queue("q")));
    assert_eq!(directory.revoke(&queue("q"), &user("bob"), these(&[P::Send])), Err(DirectoryError::NotGranted));
    directory.revoke(&queue("q"), &user("bob"), Permissions::all(crate::config::Scope::Queue)).unwrap();
    assert_eq!(directory.acl(), []);
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let mut directory = directory();
    let before = directory.clone();
    let unknown = |kind, name: &str| Err(DirectoryError::Unknown(kind, name.to_owned()));
    let own = |kind, name: &str| Err(DirectoryError::Own(kind, name.to_owned()));
    let exists = |kind, name: &str| Err(DirectoryError::Exists(kind, name.to_owned()));
    assert_eq!(directory.create_user("bob", "", ""), exists("user", "bob"));
    for name in ["", "a:b", "a b", "\"a\"", "#a", "a\n"] {
        assert_eq!(directory.create_user(name, "", ""), Err(DirectoryError::BadName(name.to_owned())));
    }
    assert_eq!(directory.delete_user("admin"), own("user", "admin"));
    assert_eq!(directory.delete_user("nobody"), unknown("user", "nobody"));
    assert_eq!(directory.set_password("nobody", ""), unknown("user", "nobody"));
    assert_eq!(directory.create_group("all", ""), exists("group", "all"));
    assert_eq!(directory.delete_group("$admin"), own("group", "$admin"));
    assert_eq!(directory.add_member("all", "bob"), own("group", "all"));
    assert_eq!(directory.add_member("desk", "alice"), exists("member", "alice"));
    assert_eq!(directory.add_member("desk", "nobody"), unknown("user", "nobody"));
    assert_eq!(directory.add_member("nowhere", "bob"), unknown("group", "nowhere"));
    assert_eq!(directory.remove_member("desk", "bob"), unknown("member", "bob"));
    assert_eq!(directory.grant(queue("q"), user("nobody"), these(&[P::Send])), unknown("user", "nobody"));
    assert_eq!(directory.grant(queue("q"), group("nowhere"), these(&[P::Send])), unknown("group", "nowhere"));
    assert_eq!(directory, before);
}
