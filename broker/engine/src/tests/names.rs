//! Names, patterns and inheritance.

use super::*;

#[test]
fn patterns_match_as_in_ems() {
    let check = |pattern: &str, name: &str, expected: bool| {
        assert_eq!(matches(pattern, name), expected, "{pattern} against {name}");
    };
    check(">", "a", true);
    check(">", "a.b.c", true);
    check("a.>", "a", false);
    check("a.>", "a.b", true);
    check("a.>", "a.b.c", true);
    check("a.*", "a.b", true);
    check("a.*", "a.b.c", false);
    check("*.b", "a.b", true);
    check("*.b", "b", false);
    check("a.*.c", "a.x.c", true);
    check("a.*.>", "a.b", false);
    check("a.*.>", "a.b.c.d", true);
    check("a.b", "a.b", true);
    check("a.b", "a.B", false);
    check("a.b", "a.b.c", false);
}

#[test]
fn bad_names_are_refused() {
    let mut engine = engine(&[line(">")]);
    let mut check = |name: &str, expected: NameError| assert_eq!(engine.resolve(name), Err(expected));
    check("", NameError::Empty);
    check("a..b", NameError::EmptyElement("a..b".into()));
    check(".a", NameError::EmptyElement(".a".into()));
    check("a.>", NameError::Wildcard("a.>".into()));
    check("a.*.b", NameError::Wildcard("a.*.b".into()));
    check("a*", NameError::Wildcard("a*".into()));
    check("a b", NameError::BadCharacter(1));
    check("a\n", NameError::BadCharacter(1));
    check(&"x".repeat(250), NameError::TooLong { bytes: 250, elements: 1 });
    check(&["e"; 65].join("."), NameError::TooLong { bytes: 129, elements: 65 });
    assert_eq!(engine.queues().count(), 0);
}

#[test]
fn patterns_are_checked() {
    for good in ["a", ">", "*", "a.*.b", "a.>", "*.*"] {
        assert_eq!(check_pattern(good), Ok(()), "{good}");
    }
    for bad in [">.a", "a.>.b", "a*", "*a.b", "a.>>"] {
        assert_eq!(check_pattern(bad), Err(NameError::Wildcard(bad.into())), "{bad}");
    }
}

#[test]
fn only_listed_names_exist() {
    let mut engine = engine(&[line("fixed"), line("sync.>")]);
    assert_eq!(engine.queues().map(|queue| queue.name).collect::<Vec<_>>(), ["fixed"]);
    let dynamic = engine.resolve("sync.q").unwrap();
    assert_eq!(engine.resolve("sync.q"), Ok(dynamic));
    assert_eq!(engine.name_of(dynamic), "sync.q");
    assert_eq!(engine.resolve("other"), Err(NameError::NotAllowed("other".into())));
}

#[test]
fn properties_inherit() {
    let mut engine = engine(&[
        QueueDefinition { store: Some(SYNC), maxmsgs: 7, expiration_ms: Some(0), ..line("a.>") },
        QueueDefinition { store: Some(ASYNC), maxmsgs: 5, expiration_ms: Some(900), exclusive: true, ..line(">") },
        QueueDefinition { maxmsgs: 9, ..line("a.own") },
    ]);
    let mut check = |name: &str, store, maxmsgs, expires| {
        let queue = engine.resolve(name).unwrap();
        assert_eq!(engine.store_of(queue), store, "{name}");
        assert_eq!(engine.queue(queue).properties.maxmsgs, maxmsgs, "{name}");
        assert_eq!(engine.expires_at_ms(1000, queue, Some(5)), expires, "{name}");
        assert!(engine.queue(queue).properties.exclusive, "flags add up");
    };
    check("b", ASYNC, 5, 1900);
    // Smallest among the parents; `never` is not smaller than a time; the store follows the nearest pattern.
    check("a.x", SYNC, 5, 1900);
    check("a.own", SYNC, 9, 1900);
}

#[test]
fn overflow_policy_has_rules_of_its_own() {
    use OverflowPolicy::*;
    let check = |own, parents: &[OverflowPolicy], expected| {
        let mut lines = vec![QueueDefinition { overflow: own, ..line("a.b") }];
        for (policy, pattern) in parents.iter().zip(["a.*", ">"]) {
            lines.push(QueueDefinition { overflow: *policy, ..line(pattern) });
        }
        let mut engine = engine(&lines);
        let queue = engine.resolve("a.b").unwrap();
        assert_eq!(engine.queue(queue).properties.overflow, expected, "{own:?} under {parents:?}");
    };
    check(Default, &[], Default);
    check(Default, &[DiscardOld, RejectIncoming], RejectIncoming);
    check(Default, &[DiscardOld, Default], DiscardOld);
    check(DiscardOld, &[RejectIncoming], DiscardOld);
    check(RejectIncoming, &[DiscardOld], RejectIncoming);
}

#[test]
fn time_to_live_without_expiration_property() {
    let mut engine = engine(&[line(">")]);
    let queue = engine.resolve("q").unwrap();
    assert_eq!(engine.expires_at_ms(1000, queue, None), 0);
    assert_eq!(engine.expires_at_ms(1000, queue, Some(250)), 1250);
    assert_eq!((engine.visibility(queue), engine.store_of(queue)), (Visibility::Now, ASYNC));
}
