//! Values as EMS writes them.

use super::super::value::*;

#[test]
fn times() {
    let check = |text: &str, expected: Option<u64>| assert_eq!(nanos(text).ok(), expected, "{text}");
    check("3", Some(3_000_000_000));
    check("0.25", Some(250_000_000));
    check("250ms", Some(250_000_000));
    check("250 msec", Some(250_000_000));
    check("50us", Some(50_000));
    check("7ns", Some(7));
    check("1.5s", Some(1_500_000_000));
    check("2min", Some(120_000_000_000));
    check("1h", Some(3_600_000_000_000));
    check("4day", Some(4 * 86_400_000_000_000));
    check("0", Some(0));
    for wrong in ["", "s", "three", "-1", "1e3", "3 parsecs", "1.2.3", "9999999day", "."] {
        check(wrong, None);
    }
}

#[test]
fn times_while_running() {
    assert_eq!(super::duration_ns("1ms"), Ok(1_000_000));
    let error = super::duration_ns("fast").unwrap_err();
    assert!(error.contains("'fast' is not a time") && error.contains("250ms"), "{error}");
}

#[test]
fn sizes() {
    let check = |text: &str, expected: Option<u64>| assert_eq!(bytes(text).ok(), expected, "{text}");
    check("0", Some(0));
    check("1024", Some(1024));
    check("1KB", Some(1024));
    check("64MB", Some(64 << 20));
    check("64mb", Some(64 << 20));
    check("1.5 GB", Some(3 << 29));
    for wrong in ["", "MB", "-1MB", "1TB", "1 0"] {
        check(wrong, None);
    }
}

#[test]
fn booleans() {
    for word in ["enable", "enabled", "true", "yes", "on", "ON", "Enabled"] {
        assert_eq!(flag(word), Ok(true), "{word}");
    }
    for word in ["disable", "disabled", "false", "no", "off", "Off"] {
        assert_eq!(flag(word), Ok(false), "{word}");
    }
    for word in ["", "1", "0", "enabledd"] {
        assert!(flag(word).is_err(), "{word}");
    }
}

#[test]
fn addresses() {
    let check = |text: &str, expected: Option<(&str, u16, bool)>| {
        let found = address(text).ok().map(|address| (address.host, address.port, address.tls));
        assert_eq!(found, expected.map(|(host, port, tls)| (host.to_owned(), port, tls)), "{text}");
    };
    check("tcp://7222", Some(("", 7222, false)));
    check("tcp://:7222", Some(("", 7222, false)));
    check("tcp://host-1.example:7222", Some(("host-1.example", 7222, false)));
    check("ssl://10.0.0.1:7243", Some(("10.0.0.1", 7243, true)));
    check("tcp://[::1]:7222", Some(("::1", 7222, false)));
    for wrong in
        ["", "7222", "http://host:1", "tcp://host", "tcp://host:", "tcp://host:70000", "tcp://::1:7222", "tcp://a b:1"]
    {
        check(wrong, None);
    }
}

#[test]
fn client_urls() {
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(client_url(text).ok().as_deref(), expected, "{text}");
    };
    check("amqp://a:5672", Some("amqp://a:5672"));
    check("tcp://a:7222", Some("amqp://a:7222"));
    check("ssl://a:7243", Some("amqps://a:7243"));
    check("amqp://7222", None);
    check("http://a:1", None);
}

#[test]
fn lists() {
    let check = |text: &str, expected: &[&str]| assert_eq!(list(text), expected, "{text}");
    check("", &[]);
    check("a,b", &["a", "b"]);
    check("a, b ,c", &["a", "b", "c"]);
    check("[SSL,DB_FILES]", &["SSL", "DB_FILES"]);
}
