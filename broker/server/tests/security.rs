//! Real broker processes that ask who one is: passwords, permissions, the pair, and clients that mean harm.

mod support;

use amqp::{ClientSasl, Outcome, SaslCode, condition};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::certificates::Authority;
use support::{Client, PATIENCE, Seen, Setup};

const QUEUES: &str = "open.>\nsecure.> secure,store=$sys.failsafe\n";
const USERS: &str = "admin:root-secret:Administrator\napp:secret:\nreader:secret2:\nfree::without a password\nops:secret3:\n\
                     TEST:pair-secret:the pair\n";
const GROUPS: &str = "readers:\n  reader\n";
const ACL: &str = "QUEUE=secure.in USER=app PERM=send\nQUEUE=secure.> GROUP=readers PERM=receive,browse\n\
                   ADMIN USER=ops PERM=view-all\n";

fn secured(servers: usize, extra: &str) -> Setup {
    let setup = Setup::new(servers, QUEUES, &format!("authorization = enabled\npassword = pair-secret\n{extra}"));
    for (name, text) in [("users.conf", USERS), ("groups.conf", GROUPS), ("acl.conf", ACL)] {
        std::fs::write(setup.folder.path().join(name), text).unwrap();
    }
    setup
}

fn refused_as(result: Result<amqp::LinkId, amqp::Error>, expected: &str) {
    let error = result.expect_err("refused");
    assert_eq!(error.condition, condition::UNAUTHORIZED_ACCESS);
    assert_eq!(error.description, expected);
}

/// Waits until the peer has closed; gives the time that took, and what it said.
fn wait_closed(stream: &mut TcpStream) -> (Duration, usize) {
    let (started, mut heard, mut buffer) = (Instant::now(), 0, [0; 4096]);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (started.elapsed(), heard),
            Ok(count) => heard += count,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return (started.elapsed(), heard),
            Err(error) => panic!("not closed: {error}"),
        }
    }
}

#[test]
fn a_name_and_its_password_are_needed() {
    let setup = secured(1, "");
    let mut server = setup.start(0);
    server.wait_active();
    for (user, password) in [("app", "secret"), ("free", ""), ("admin", "root-secret"), ("app", "secret")] {
        let mut client = Client::log_in(server.port, user, password).unwrap_or_else(|code| panic!("{user}: {code:?}"));
        let sender = client.sender("open.q").unwrap();
        client.publish(sender, 1, b"x");
    }
    for (user, password) in [("app", "Secret"), ("app", ""), ("nobody", "secret")] {
        assert_eq!(Client::log_in(server.port, user, password).err(), Some(SaslCode::Auth), "{user} {password}");
    }
    let mut anonymous = Client::connect(server.port);
    let failure = anonymous.wait("a failure", |seen| match seen {
        Seen::Failed(error) => Some(error.description.clone()),
        _ => None,
    });
    assert_eq!(failure, "the server does not offer SASL ANONYMOUS but PLAIN");
    let mut plain = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    plain.write_all(b"AMQP\x00\x01\x00\x00").unwrap();
    let mut answer = [0; 8];
    plain.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"AMQP\x03\x01\x00\x00", "SASL is asked for");
    wait_closed(&mut plain);
    let log = server.log();
    assert!(log.contains("Wrong user name or password for 'app' from 127.0.0.1"), "{log}");
    assert!(!log.contains("secret"), "no password is logged:\n{log}");
}

#[test]
fn secure_queues_want_permissions() {
    let setup = secured(1, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut app = Client::log_in(server.port, "app", "secret").unwrap();
    let mut reader = Client::log_in(server.port, "reader", "secret2").unwrap();
    let sender = app.sender("secure.in").unwrap();
    app.publish(sender, 1, b"x");
    refused_as(app.sender("secure.out"), "user 'app' does not have the permission 'send' on queue 'secure.out'");
    refused_as(app.receiver("secure.in", 1), "user 'app' does not have the permission 'receive' on queue 'secure.in'");
    refused_as(app.browser("secure.in", 1), "user 'app' does not have the permission 'browse' on queue 'secure.in'");
    refused_as(reader.sender("secure.in"), "user 'reader' does not have the permission 'send' on queue 'secure.in'");
    reader.browser("secure.in", 1).unwrap();
    assert_eq!(reader.message().1, b"x");
    reader.receiver("secure.in", 1).unwrap();
    assert_eq!(reader.message().1, b"x");
    app.receiver("open.q", 1).unwrap();
    let mut admin = Client::log_in(server.port, "admin", "root-secret").unwrap();
    admin.sender("secure.out").unwrap();
}

#[test]
fn administrators_prove_who_they_are() {
    let refusal = |port, user: &str, password: &str| {
        let mut client = Client::ask_to_administer(port, user, password);
        client.wait("the refusal", |seen| match seen {
            Seen::Closed(error) => error.clone(),
            _ => None,
        })
    };
    let setup = secured(1, "");
    let mut server = setup.start(0);
    server.wait_active();
    Client::connect_admin_as(server.port, "admin", "root-secret").request("show state");
    Client::connect_admin_as(server.port, "ops", "secret3");
    let error = refusal(server.port, "app", "secret");
    assert_eq!(error.condition, condition::UNAUTHORIZED_ACCESS);
    assert!(error.description.starts_with("'app' may not administer"), "{error}");
    drop(server);

    let setup = Setup::new(1, QUEUES, "");
    std::fs::write(setup.folder.path().join("users.conf"), USERS).unwrap();
    let mut server = setup.start(0);
    server.wait_active();
    assert!(server.log().contains("authorization is disabled"), "{}", server.log());
    Client::log_in(server.port, "app", "whatever").expect("names are believed");
    Client::log_in(server.port, "admin", "whatever").expect("this one, too, but not to administer");
    Client::connect(server.port).sender("secure.in").expect("permissions are not asked for");
    Client::connect_admin_as(server.port, "admin", "root-secret");
    let error = refusal(server.port, "admin", "whatever");
    assert_eq!(error.description, "the password of 'admin' is needed to administer");
}

#[test]
fn a_client_with_a_password_fails_over_and_one_without_is_refused() {
    let setup = secured(2, "");
    let mut first = setup.start(0);
    first.wait_active();
    let mut second = setup.start(1);
    second.wait_standby();
    let mut client = Client::log_in(first.port, "app", "secret").unwrap();
    let sender = client.sender("secure.in").unwrap();
    client.publish(sender, 1, b"before");
    first.kill();
    second.wait_active();
    let mut client = Client::log_in(second.port, "app", "secret").unwrap();
    let sender = client.sender("secure.in").unwrap();
    client.publish(sender, 2, b"after");
    assert_eq!(Client::log_in(second.port, "app", "guess").err(), Some(SaslCode::Auth));
    let mut reader = Client::log_in(second.port, "reader", "secret2").unwrap();
    reader.receiver("secure.in", 10).unwrap();
    assert_eq!([reader.message().1, reader.message().1], [b"before".to_vec(), b"after".to_vec()]);
}

#[test]
fn a_pair_with_two_passwords_says_so_on_both_sides() {
    let setup = secured(2, "");
    let text = std::fs::read_to_string(setup.config(1)).unwrap();
    let users = USERS.replace("TEST:pair-secret", "TEST:another");
    std::fs::write(setup.folder.path().join("users2.conf"), users).unwrap();
    let text = text.replace("password = pair-secret", "password = another\nusers = users2.conf");
    std::fs::write(setup.config(1), text).unwrap();
    let mut first = setup.start(0);
    first.wait_active();
    let second = setup.start(1);
    let until = Instant::now() + PATIENCE;
    let said = |log: String, words: &str| log.contains(words);
    while !said(second.log(), "does not accept the name 'TEST' and its password (Auth)")
        || !said(first.log(), "its login as 'TEST' failed")
    {
        assert!(Instant::now() < until, "first:\n{}\nsecond:\n{}", first.log(), second.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A server that is reached by ssl:// only, with certificates of `app` and `stranger` beside.
fn certified(extra: &str) -> (Setup, Authority) {
    let setup = secured(1, extra);
    let authority = Authority::new("authority", setup.folder.path());
    authority.issue("server", &["127.0.0.1"]);
    authority.issue("app", &["app"]);
    authority.issue("stranger", &["stranger"]);
    let text = std::fs::read_to_string(setup.config(0)).unwrap().replace("listen = tcp://", "listen = ssl://");
    let tls = "ssl_server_identity = server.pem\nssl_server_key = server.key\nssl_server_trusted = authority.pem\n";
    std::fs::write(setup.config(0), text + tls).unwrap();
    (setup, authority)
}

/// A client of that server, or why it is none.
fn connect_certified(
    port: u16,
    authority: &Authority,
    certificate: Option<&str>,
    sasl: ClientSasl,
) -> Result<Client, String> {
    let mut client = Client::log_in_tls(port, authority, certificate, sasl);
    let ended = client.wait("the end of SASL", |seen| match seen {
        Seen::Sasl(SaslCode::Ok) => Some(Ok(())),
        Seen::Sasl(code) => Some(Err(format!("{code:?}"))),
        Seen::Failed(error) => Some(Err(error.description.clone())),
        _ => None,
    });
    ended.map(|()| client)
}

fn plain(user: &str, password: &str) -> ClientSasl {
    ClientSasl::Plain { user: user.into(), password: password.into() }
}

#[test]
fn a_certificate_is_a_login() {
    let (setup, authority) = certified("");
    let mut server = setup.start(0);
    server.wait_active();
    let connect = |certificate, sasl| connect_certified(server.port, &authority, certificate, sasl);
    let mut app = connect(Some("app"), ClientSasl::External).unwrap();
    app.sender("secure.in").expect("it is the user app");
    refused_as(app.sender("secure.out"), "user 'app' does not have the permission 'send' on queue 'secure.out'");
    connect(Some("app"), plain("CERTIFICATE_USER", "")).unwrap().sender("secure.in").expect("it is the user app");
    connect(None, plain("app", "secret")).unwrap().sender("secure.in").expect("a password does, too");
    let mut reader = connect(Some("app"), plain("reader", "secret2")).expect("a name with its password counts");
    reader.receiver("secure.in", 1).expect("it is the user reader");
    let not_offered = "the server does not offer SASL EXTERNAL but PLAIN";
    for (certificate, refusal) in [(None, not_offered), (Some("stranger"), "Auth")] {
        assert_eq!(connect(certificate, ClientSasl::External).err().as_deref(), Some(refusal));
        assert_eq!(connect(certificate, plain("CERTIFICATE_USER", "")).err().as_deref(), Some("Auth"));
    }
}

#[test]
fn with_ssl_use_cert_username_the_certificate_counts_and_not_the_name() {
    let (setup, authority) = certified("ssl_use_cert_username = enabled");
    let mut server = setup.start(0);
    server.wait_active();
    let connect = |certificate, sasl| connect_certified(server.port, &authority, certificate, sasl);
    for (name, password) in [("reader", "secret2"), ("reader", "wrong"), ("nobody", ""), ("", "")] {
        let mut app = connect(Some("app"), plain(name, password)).unwrap();
        app.sender("secure.in").expect("it is the user app");
        let refusal = "user 'app' does not have the permission 'receive' on queue 'secure.in'";
        refused_as(app.receiver("secure.in", 1), refusal);
    }
    let refused = |certificate, name, password| {
        let refusal = connect(certificate, plain(name, password)).err();
        assert_eq!(refusal.as_deref(), Some("Auth"), "{certificate:?} {name}");
    };
    refused(Some("stranger"), "app", "secret");
    refused(Some("stranger"), "admin", "root-secret");
    refused(Some("app"), "TEST", "wrong");
    connect(Some("app"), plain("TEST", "pair-secret")).expect("the other server has its own name");
    refused(None, "app", "wrong");
    connect(None, plain("reader", "secret2")).unwrap().receiver("secure.in", 1).expect("it is the user reader");
    let log = server.log();
    assert!(log.contains("no user is called 'stranger' as its certificate is"), "{log}");
}

#[test]
fn a_secure_pattern_for_all_does_not_close_temporary_queues() {
    let setup = Setup::new(1, "> secure\n", "authorization = enabled");
    std::fs::write(setup.folder.path().join("users.conf"), USERS).unwrap();
    std::fs::write(setup.folder.path().join("acl.conf"), "QUEUE=in USER=app PERM=send\n").unwrap();
    let mut server = setup.start(0);
    server.wait_active();
    let mut app = Client::log_in(server.port, "app", "secret").unwrap();
    refused_as(app.receiver("in", 1), "user 'app' does not have the permission 'receive' on queue 'in'");
    let (_, replies) = app.temporary(1);
    let mut reader = Client::log_in(server.port, "reader", "secret2").unwrap();
    assert!(reader.receiver(&replies, 1).is_err() && reader.browser(&replies, 1).is_err(), "its owner receives");
    let sender = reader.sender(&replies).expect("who was asked may answer");
    reader.publish(sender, 1, b"answer");
    assert_eq!(app.message().1, b"answer");
}

#[test]
fn who_stalls_in_the_handshake_is_closed() {
    let setup = secured(1, "handshake_timeout = 500ms");
    let mut server = setup.start(0);
    server.wait_active();
    let whole = {
        // Header and init of a login, of which the other clients send a part.
        let init = b"\x00\x53\x41\xc0\x15\x02\xa3\x05PLAIN\xa0\x0b\0app\0secret";
        let frame = [&(8 + init.len() as u32).to_be_bytes(), &[2, 1, 0, 0][..], init].concat();
        [&b"AMQP\x03\x01\x00\x00"[..], &frame].concat()
    };
    for sent in [0, 4, 8, 10, whole.len() - 1, whole.len()] {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.write_all(&whole[..sent]).unwrap();
        let (time, _) = wait_closed(&mut stream);
        assert!(time < Duration::from_secs(5), "{sent} bytes sent, closed after {time:?}");
        assert!(time > Duration::from_millis(300), "{sent} bytes sent, closed after {time:?}");
    }
}

#[test]
fn a_huge_sasl_frame_is_refused_by_its_first_bytes() {
    let setup = secured(1, "");
    let mut server = setup.start(0);
    server.wait_active();
    // The first round makes the kernel give the receive buffers their memory.
    drop(send_huge_frames(server.port, 50));
    let before = resident_bytes(server.process_id());
    let streams = send_huge_frames(server.port, 50);
    let grown = resident_bytes(server.process_id()).saturating_sub(before);
    println!("50 frames of 1 MiB: resident memory grew by {grown} bytes");
    assert!(grown < 4 << 20, "resident memory grew by {grown} bytes");
    drop(streams);
    Client::log_in(server.port, "app", "secret").unwrap();
}

/// Begins `count` logins with a frame of 1 MiB each, which the server does not take.
fn send_huge_frames(port: u16, count: usize) -> Vec<TcpStream> {
    let frame = [&(1u32 << 20).to_be_bytes()[..], &[2, 1, 0, 0], &[7; (1 << 20) - 8]].concat();
    (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"AMQP\x03\x01\x00\x00").unwrap();
            // The server may close before it is all written.
            let _ = stream.write_all(&frame);
            let (time, _) = wait_closed(&mut stream);
            assert!(time < Duration::from_secs(5), "closed after {time:?}");
            stream
        })
        .collect()
}

fn resident_bytes(process_id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Publishes while `others` runs; gives the times until the confirms, ascending.
fn confirms_during(port: u16, others: impl FnOnce() + Send) -> Vec<Duration> {
    let mut client = Client::log_in(port, "app", "secret").unwrap();
    let sender = client.sender("secure.in").unwrap();
    let over = AtomicBool::new(false);
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        let over = &over;
        scope.spawn(move || {
            others();
            over.store(true, Ordering::Release);
        });
        let mut token = 0;
        while !over.load(Ordering::Acquire) {
            token += 1;
            let started = Instant::now();
            client.send(sender, token, &[0; 1024]);
            assert_eq!(client.outcome(token), Some(Outcome::Accepted));
            times.push(started.elapsed());
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    times.sort_unstable();
    times
}

fn print_confirms(what: &str, times: &[Duration]) {
    let quantile = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let (median, high, most) = (quantile(0.5), quantile(0.99), quantile(1.0));
    println!("{what}: {} confirms, median {median:?}, p99 {high:?}, max {most:?}", times.len());
    assert!(median < Duration::from_secs(1), "the data path stands still");
}

#[test]
fn a_password_guesser_is_slowed_down_and_others_are_not() {
    let setup = secured(1, "");
    let mut server = setup.start(0);
    server.wait_active();
    let port = server.port;
    print_confirms("alone", &confirms_during(port, || std::thread::sleep(Duration::from_secs(1))));
    let mut tried = 0;
    let mut known = Duration::ZERO;
    let times = confirms_during(port, || {
        let until = Instant::now() + Duration::from_secs(4);
        std::thread::scope(|scope| {
            let guessers: Vec<_> = (0..8)
                .map(|guesser| {
                    scope.spawn(move || {
                        let mut tried = 0;
                        while Instant::now() < until {
                            match Client::log_in(port, "app", &format!("guess {guesser} {tried}")).err() {
                                Some(SaslCode::Auth) => tried += 1,
                                Some(SaslCode::SysTemp) => {}
                                other => panic!("{other:?}"),
                            }
                        }
                        tried
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_secs(2));
            let started = Instant::now();
            Client::log_in(port, "app", "secret").expect("a known client from the same address");
            known = started.elapsed();
            tried = guessers.into_iter().map(|guesser| guesser.join().unwrap()).sum();
        });
    });
    print_confirms("beside 8 guessers", &times);
    println!("{tried} passwords tried in some 5 s; a known client's login took {known:?} meanwhile");
    assert!(tried < 40, "{tried} passwords tried");
    let lines = server.log().lines().filter(|line| line.contains("Wrong user name or password")).count();
    assert!((1..=3).contains(&lines), "{lines} lines in the log");
}

/// Sockets that the test may have open at once, beside a few.
fn raise_descriptor_limit() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    usize::try_from(hard).unwrap() - 500
}

#[test]
#[ignore = "opens ten thousand connections; run it alone"]
fn ten_thousand_connections_that_send_nothing_are_closed_in_time() {
    let count = raise_descriptor_limit().min(10_000);
    let setup = secured(1, "handshake_timeout = 3");
    let mut server = setup.start(0);
    server.wait_active();
    let port = server.port;
    print_confirms("alone", &confirms_during(port, || std::thread::sleep(Duration::from_secs(1))));
    let before = resident_bytes(server.process_id());
    let (mut connected, mut last_closed, mut peak) = (Duration::ZERO, Duration::ZERO, 0);
    let times = confirms_during(port, || {
        let started = Instant::now();
        let mut silent: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
        connected = started.elapsed();
        std::thread::sleep(Duration::from_millis(500));
        peak = resident_bytes(server.process_id());
        silent.iter_mut().for_each(|stream| _ = wait_closed(stream));
        last_closed = started.elapsed();
    });
    print_confirms("beside silent connections", &times);
    println!(
        "{count} connections in {connected:?}, the last closed after {last_closed:?}; resident memory {before} bytes \
         before, {peak} with all of them"
    );
    assert!(last_closed < connected + Duration::from_secs(10));
    Client::log_in(port, "app", "secret").unwrap();
}

/// Logs in and opens a link, as often as it takes. Gives the number of logins that were put off.
fn come_back(port: u16, user: &str, password: &str) -> (Client, usize) {
    let until = Instant::now() + 3 * PATIENCE;
    let mut put_off = 0;
    while Instant::now() < until {
        match Client::log_in(port, user, password) {
            Ok(mut client) => {
                if client.is_opened() {
                    client.sender("open.q").expect("everybody may");
                    return (client, put_off);
                }
            }
            Err(SaslCode::SysTemp) => put_off += 1,
            Err(code) => panic!("{user}: {code:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{user} does not come back");
}

#[test]
#[ignore = "a measurement: a thousand clients with passwords follow a failover"]
fn a_thousand_clients_come_back_after_a_failover() {
    const CLIENTS: usize = 1000;
    raise_descriptor_limit();
    for distinct in [1, CLIENTS] {
        let setup = secured(2, "");
        let users: String = (0..distinct).map(|user| format!("client{user}:secret{user}:\n")).collect();
        std::fs::write(setup.folder.path().join("users.conf"), format!("{USERS}{users}")).unwrap();
        let mut first = setup.start(0);
        first.wait_active();
        let mut second = setup.start(1);
        second.wait_standby();
        let (before, after) = (first.port, second.port);
        let all_there = std::sync::Barrier::new(CLIENTS + 1);
        let killed = std::sync::Barrier::new(CLIENTS + 1);
        let (mut served, mut back): (Duration, Vec<(Duration, usize)>) = Default::default();
        std::thread::scope(|scope| {
            let (all_there, killed) = (&all_there, &killed);
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let (user, password) =
                        (format!("client{}", number % distinct), format!("secret{}", number % distinct));
                    scope.spawn(move || {
                        let client = come_back(before, &user, &password);
                        all_there.wait();
                        killed.wait();
                        let started = Instant::now();
                        drop(client);
                        let (_client, put_off) = come_back(after, &user, &password);
                        (started.elapsed(), put_off)
                    })
                })
                .collect();
            all_there.wait();
            first.kill();
            killed.wait();
            let started = Instant::now();
            second.wait_active();
            served = started.elapsed();
            back = clients.into_iter().map(|client| client.join().unwrap()).collect();
        });
        back.sort_unstable();
        let put_off: usize = back.iter().map(|(_, put_off)| put_off).sum();
        println!(
            "{CLIENTS} clients, {distinct} users: active after {served:?}, first client back after {:?}, half after {:?}, \
             all after {:?}; {put_off} logins were put off",
            back[0].0,
            back[CLIENTS / 2].0,
            back[CLIENTS - 1].0
        );
    }
}
