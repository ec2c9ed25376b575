//! TLS between real processes: clients, the FT link, bad certificates, handshakes that stall, new certificates.

mod support;

use amqp::ClientSasl;
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::certificates::Authority;
use support::{Client, PATIENCE, Seen, Server, Setup, free_port};

const QUEUES: &str = "sync.> store=$sys.failsafe\n>\n";

/// A pair whose clients and FT link use TLS; the files are in the folder of the configuration.
struct TlsPair {
    setup: Setup,
    authority: Authority,
}

impl TlsPair {
    /// `accepting` and `connecting` are lines for both servers beside the trusted authority.
    fn new(accepting: &str, connecting: &str) -> TlsPair {
        let setup = Setup::new(2, QUEUES, "");
        let authority = Authority::new("authority", setup.folder.path());
        authority.issue("server", &["127.0.0.1"]);
        authority.issue("client", &["client"]);
        for index in 0..2 {
            let plain = std::fs::read_to_string(setup.config(index)).unwrap();
            let text = plain.replace("tcp://", "ssl://")
                + &format!(
                    "ssl_server_trusted = authority.pem\n{accepting}\nft_ssl_trusted = authority.pem\n{connecting}\n"
                );
            std::fs::write(setup.config(index), text).unwrap();
        }
        TlsPair { setup, authority }
    }
}

const ACCEPTING: &str = "ssl_server_identity = server.pem\nssl_server_key = server.key";
const CONNECTING: &str = "ft_ssl_identity = client.pem\nft_ssl_private_key = client.key";

/// Waits for a line of a server's log that holds all of `parts`.
fn wait_log(server: &Server, parts: &[&str]) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let log = server.log();
        if let Some(line) = log.lines().find(|line| parts.iter().all(|part| line.contains(part))) {
            return line.to_owned();
        }
        assert!(Instant::now() < until, "no line with {parts:?} in:\n{log}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_pair_fails_over_with_tls_on_every_connection() {
    let pair = TlsPair::new(&format!("{ACCEPTING}\nssl_require_client_cert = enabled"), CONNECTING);
    let mut first = pair.setup.start(0);
    first.wait_active();
    let mut second = pair.setup.start(1);
    second.wait_standby();
    wait_log(&second, &["Connected to the other server 'ssl://"]);
    wait_log(&first, &["Accepting connections on ssl://127.0.0.1"]);
    let connect = |port| Client::connect_tls(port, &pair.authority, Some("client"));
    let mut client = connect(second.port);
    let error = client.wait("the close", |seen| match seen {
        Seen::Closed(error) => error.clone(),
        _ => None,
    });
    assert!(error.description.contains(&format!("amqps://127.0.0.1:{}", first.port)), "{error}");
    let mut client = connect(first.port);
    let sender = client.sender("sync.q").unwrap();
    let body = |number: u64| [&number.to_be_bytes()[..], &vec![number as u8; 50_000]].concat();
    for number in 0..20 {
        client.publish(sender, number, &body(number));
    }
    first.kill();
    second.wait_active();
    let mut client = connect(second.port);
    client.receiver("sync.q", 100).unwrap();
    for number in 0..20 {
        let (delivery_id, received, _) = client.message();
        assert!(received == body(number), "message {number}");
        client.accept(delivery_id, true);
    }
}

/// Starts a pair of which the standby's link must fail, and looks for the reason on both sides.
fn check_refused_link(change: impl FnOnce(&TlsPair), accepting: &str, connecting: &str, here: &[&str], there: &[&str]) {
    let pair = TlsPair::new(accepting, connecting);
    change(&pair);
    let mut first = pair.setup.start(0);
    first.wait_active();
    let second = pair.setup.start(1);
    wait_log(&second, there);
    wait_log(&first, &[&["Connection 127.0.0.1:", "failed"][..], here].concat());
}

#[test]
fn each_bad_certificate_of_the_pair_has_its_message_on_both_sides() {
    let demanding = format!("{ACCEPTING}\nssl_require_client_cert = enabled");
    let nothing = |_: &TlsPair| {};
    check_refused_link(
        |pair| pair.authority.issue("server", &["elsewhere.example.com"]),
        ACCEPTING,
        CONNECTING,
        &["subjectAltName must have the host name"],
        &["is not for '127.0.0.1'", "elsewhere.example.com", "ft_ssl_expected_hostname"],
    );
    check_refused_link(
        |pair| pair.authority.issue_expired("server", &["127.0.0.1"]),
        ACCEPTING,
        CONNECTING,
        &["ssl_server_identity expired"],
        &["the other server's certificate has expired"],
    );
    check_refused_link(
        |pair| Authority::new("stranger", pair.setup.folder.path()).issue("server", &["127.0.0.1"]),
        ACCEPTING,
        CONNECTING,
        &["does not trust the authority of ssl_server_identity"],
        &["not in ft_ssl_trusted"],
    );
    check_refused_link(nothing, &demanding, "", &["it showed no certificate"], &["demands a certificate"]);
}

#[test]
fn a_key_that_is_missing_stops_the_start_with_its_name() {
    let pair = TlsPair::new("ssl_server_identity = server.pem\nssl_server_key = nowhere.key", CONNECTING);
    let mut first = pair.setup.start(0);
    assert_eq!(first.wait_exit(), Some(1));
    wait_log(&first, &["server0.conf:", "error: ssl_server_key:", "nowhere.key: cannot be read", "correct the path"]);
}

#[test]
fn the_wrong_kind_of_listen_is_named_on_both_sides() {
    let pair = TlsPair::new(ACCEPTING, CONNECTING);
    let other = std::fs::read_to_string(pair.setup.config(1)).unwrap();
    std::fs::write(pair.setup.config(1), other.replace("ft_active = ssl", "ft_active = tcp")).unwrap();
    let mut first = pair.setup.start(0);
    first.wait_active();
    let second = pair.setup.start(1);
    wait_log(&first, &["Connection 127.0.0.1:", "speaks plain AMQP to an ssl:// listen"]);
    wait_log(&second, &["the other server speaks TLS there; write ssl:// in ft_active"]);
}

#[test]
fn tls_on_a_plain_listen_is_named() {
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.write_all(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]).unwrap();
    wait_log(&server, &["Connection 127.0.0.1:", "speaks TLS to a tcp:// listen"]);
}

/// One server with an `ssl://` and a `tcp://` listen.
fn alone(extra: &str) -> (Setup, Authority, Server, u16) {
    alone_as(extra, |_| {})
}

/// The same, after `prepare`.
fn alone_as(extra: &str, prepare: impl FnOnce(&Setup)) -> (Setup, Authority, Server, u16) {
    let setup = Setup::new(1, QUEUES, extra);
    prepare(&setup);
    let authority = Authority::new("authority", setup.folder.path());
    authority.issue("server", &["127.0.0.1"]);
    let tls_port = free_port();
    let plain = std::fs::read_to_string(setup.config(0)).unwrap();
    let text = format!("{plain}listen = ssl://127.0.0.1:{tls_port}\n{ACCEPTING}\n");
    std::fs::write(setup.config(0), text).unwrap();
    let mut server = setup.start(0);
    server.wait_active();
    (setup, authority, server, tls_port)
}

#[test]
fn stalled_handshakes_are_closed_in_time_and_the_data_path_does_not_notice() {
    let (_setup, authority, server, tls_port) = alone("handshake_timeout = 1");
    let mut stalled: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(("127.0.0.1", tls_port)).unwrap()).collect();
    // Half of them say nothing, half stop within a hello.
    for stream in &mut stalled[100..] {
        stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).unwrap();
    }
    let begun = Instant::now();
    let mut client = Client::connect_tls(tls_port, &authority, None);
    let sender = client.sender("sync.q").unwrap();
    for number in 0..50 {
        client.publish(sender, number, b"meanwhile");
    }
    assert!(begun.elapsed() < Duration::from_millis(900), "50 messages took {:?}", begun.elapsed());
    for stream in &mut stalled {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    }
    assert!(begun.elapsed() > Duration::from_millis(900), "not before handshake_timeout");
    wait_log(&server, &["Connection 127.0.0.1:", "during the TLS handshake"]);
    client.publish(sender, 50, b"still there");
}

#[test]
fn new_certificates_are_used_after_sighup_and_bad_ones_are_not() {
    let (setup, authority, server, tls_port) = alone("");
    let mut before = Client::connect_tls(tls_port, &authority, None);
    let sender = before.sender("sync.q").unwrap();
    let successor = Authority::new("successor", setup.folder.path());
    successor.issue("server", &["127.0.0.1"]);
    server.signal(Signal::SIGHUP);
    wait_log(&server, &["The certificates were read again"]);
    assert!(Client::handshake(tls_port, &authority).is_err(), "the old authority has not issued the new certificate");
    let mut after = Client::connect_tls(tls_port, &successor, None);
    after.sender("sync.q").unwrap();
    before.publish(sender, 1, b"the old connection lives on");

    std::fs::write(setup.folder.path().join("server.key"), "nonsense").unwrap();
    server.signal(Signal::SIGHUP);
    wait_log(&server, &["The certificates stay as they are", "ssl_server_key", "server.key"]);
    Client::connect_tls(tls_port, &successor, None).sender("sync.q").unwrap();
}

#[test]
fn a_certificate_is_a_login() {
    let extra = "authorization = enabled\nssl_server_trusted = authority.pem";
    let (setup, authority, server, tls_port) = alone_as(extra, |setup| {
        std::fs::write(setup.folder.path().join("users.conf"), "alice:secret:\n").unwrap();
    });
    authority.issue("alice", &["alice"]);
    authority.issue("mallory", &["mallory"]);
    let log_in = |certificate, sasl| {
        let mut client = Client::log_in_tls(tls_port, &authority, certificate, sasl);
        client.wait("an answer", |seen| match seen {
            Seen::Opened => Some(true),
            Seen::Failed(_) | Seen::EndOfFile => Some(false),
            _ => None,
        })
    };
    let named = |user: &str| ClientSasl::Plain { user: user.into(), password: String::new() };
    assert!(log_in(Some("alice"), ClientSasl::External));
    assert!(log_in(Some("alice"), named("CERTIFICATE_USER")), "ssl_cert_user_specname");
    assert!(!log_in(None, ClientSasl::External), "not offered without a certificate");
    assert!(!log_in(None, named("CERTIFICATE_USER")));
    assert!(
        !log_in(Some("alice"), named("alice")),
        "the password counts where the name does not come from the certificate"
    );
    assert!(!log_in(Some("mallory"), ClientSasl::External));
    wait_log(&server, &["mechanism EXTERNAL", "no user is called 'mallory'"]);
    drop(setup);
}

#[test]
fn load_over_tls_survives_a_failover_without_loss() {
    let pair = TlsPair::new(ACCEPTING, CONNECTING);
    let mut first = pair.setup.start(0);
    first.wait_active();
    let mut second = pair.setup.start(1);
    second.wait_standby();
    let authority = pair.setup.folder.path().join("authority.pem").display().to_string();
    let urls = format!("amqps://127.0.0.1:{},amqps://127.0.0.1:{}", first.port, second.port);
    let arguments = format!(
        "loadgen run --url {urls} --tls-ca {authority} --address sync.load --rate 1000 --count 3000 --ack confirmed \
         --one-active --lag-limit 10s --quiet"
    );
    let load = std::thread::spawn(move || loadgen::cli::run(arguments.split_whitespace().map(OsString::from)));
    std::thread::sleep(Duration::from_millis(1500));
    first.kill();
    second.wait_active();
    assert_eq!(load.join().unwrap(), 0, "the verdict of loadgen: 0 is pass");
}
