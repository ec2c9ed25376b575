//! Two servers that do not share their state: each serves from its own store, clients know both, differences are told.

mod support;

use std::ffi::OsString;
use std::time::{Duration, Instant};
use support::certificates::Authority;
use support::{Client, PATIENCE, Server, free_port};

const QUEUES: &str = "sync.> store=$sys.failsafe\n";

/// Two folders, one for each server; the second has other queues.
struct Two {
    folder: tempfile::TempDir,
    ports: [u16; 2],
}

impl Two {
    fn new() -> Two {
        let two = Two { folder: tempfile::tempdir().unwrap(), ports: [free_port(), free_port()] };
        for index in 0..2 {
            let own = two.folder.path().join(index.to_string());
            std::fs::create_dir(&own).unwrap();
            let difference =
                if index == 0 { "here.only maxmsgs=5\nsame.name maxmsgs=1\n" } else { "same.name maxmsgs=2\n" };
            std::fs::write(own.join("queues.conf"), format!("{QUEUES}{difference}")).unwrap();
            let text = format!(
                "server = TEST\nlisten = tcp://127.0.0.1:{}\nstore = datastore\nqueues = queues.conf\nsegment_size = 1MB\n\
                 unshared_peer = tcp://127.0.0.1:{}\n",
                two.ports[index],
                two.ports[1 - index]
            );
            std::fs::write(own.join("tibemsd.conf"), text).unwrap();
        }
        two
    }

    fn start(&self, index: usize) -> Server {
        let mut server =
            Server::start(&self.folder.path().join(format!("{index}/tibemsd.conf")), self.ports[index], &[]);
        server.wait_active();
        server
    }
}

fn wait_log(server: &Server, text: &str) {
    let until = Instant::now() + PATIENCE;
    while !server.log().contains(text) {
        assert!(Instant::now() < until, "no '{text}' in the log:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_client_moves_on_and_what_the_dead_server_held_comes_back_with_it() {
    let two = Two::new();
    let (mut first, second) = (two.start(0), two.start(1));
    let mut client = Client::connect(first.port);
    let sender = client.sender("sync.q").unwrap();
    client.publish(sender, 1, b"held by the first");
    let told = client.failover_ports();
    assert_eq!(told, two.ports, "clients are told of both");
    first.kill();

    let mut client = Client::connect(told[1]);
    let sender = client.sender("sync.q").unwrap();
    client.publish(sender, 2, b"held by the second");
    client.receiver("sync.q", 10).unwrap();
    assert_eq!(client.message().1, b"held by the second", "the state is not shared");

    let first = two.start(0);
    let mut client = Client::connect(first.port);
    client.receiver("sync.q", 10).unwrap();
    assert_eq!(client.message().1, b"held by the first");
    drop(second);
}

#[test]
fn differences_are_named_on_both_sides() {
    let two = Two::new();
    let (mut first, second) = (two.start(0), two.start(1));
    first.wait_event("unshared-compared");
    for difference in ["queue 'here.only' is here only", "queue 'same.name' differs"] {
        wait_log(&first, &format!("The unshared servers are set up differently: {difference}"));
    }
    wait_log(&second, "queue 'here.only' is there only");
    wait_log(&second, "queue 'same.name' differs");
    assert!(!first.log().contains("'sync.>'"), "what is the same is not told:\n{}", first.log());
    let state = Client::connect_admin(first.port).request("show state");
    assert_eq!(state["unshared"]["differences"].as_array().unwrap().len(), 2, "{state}");
}

/// What administrators did since the start counts, and so does what the files of TLS hold. The servers compare themselves every
/// ten seconds.
#[test]
fn queues_permissions_and_authorities_are_compared_over_tls_and_what_is_mended_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, plain) = ([free_port(), free_port()], [free_port(), free_port()]);
    let authority = Authority::new("authority", folder.path());
    Authority::new("other", folder.path());
    authority.issue("server", &["127.0.0.1"]);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let mut servers = [0, 1].map(|index| {
        let own = folder.path().join(index.to_string());
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join("queues.conf"), QUEUES).unwrap();
        let trusted = if index == 0 { read("authority.pem") } else { read("authority.pem") + &read("other.pem") };
        std::fs::write(own.join("trusted.pem"), trusted).unwrap();
        let text = format!(
            "server = TEST\nlisten = ssl://127.0.0.1:{}\nlisten = tcp://127.0.0.1:{}\nstore = datastore\nqueues = queues.conf\n\
             unshared_peer = ssl://127.0.0.1:{}\nssl_server_identity = ../server.pem\nssl_server_key = ../server.key\n\
             ssl_server_trusted = trusted.pem\nft_ssl_trusted = ../authority.pem\n",
            ports[index],
            plain[index],
            ports[1 - index]
        );
        std::fs::write(own.join("tibemsd.conf"), text).unwrap();
        Server::start(&own.join("tibemsd.conf"), ports[index], &[])
    });
    servers.iter_mut().for_each(Server::wait_active);
    let command = |index: usize, text: &str| {
        let answer = Client::connect_admin(plain[index]).request(text);
        assert!(answer.get("error").is_none(), "{text}: {answer}");
    };
    for text in ["create queue made.later", "create user bob", "grant queue sync.q user=bob receive"] {
        command(0, text);
    }
    let told = ["queue 'made.later'", "user 'bob'", "permission of user 'bob' on queue 'sync.q'"];
    for difference in told {
        wait_log(&servers[0], &format!("are set up differently: {difference} is here only"));
        wait_log(&servers[1], &format!("are set up differently: {difference} is there only"));
    }
    for (server, place) in servers.iter().zip(["there", "here"]) {
        wait_log(server, "are set up differently: trusted authority 'CN=other");
        let log = server.log();
        let line = log.lines().find(|line| line.contains("trusted authority")).unwrap();
        assert!(line.contains("SHA-256") && line.ends_with(&format!("is {place} only")), "{line}");
        assert_eq!(log.matches("are set up differently").count(), 4, "{log}");
    }
    for text in ["revoke queue sync.q user=bob receive", "delete user bob", "delete queue made.later"] {
        command(0, text);
    }
    std::fs::write(folder.path().join("1/trusted.pem"), read("authority.pem")).unwrap();
    servers[1].signal(nix::sys::signal::Signal::SIGHUP);
    servers.iter().for_each(|server| wait_log(server, "The unshared servers are set up alike"));
}

/// Between URLs with a `+` the client expects nothing of the one server on the other.
#[test]
fn load_goes_on_at_the_other_server_and_nothing_is_missing_when_the_first_is_back() {
    const COUNT: u64 = 4_000;
    let two = Two::new();
    let (mut first, second) = (two.start(0), two.start(1));
    let arguments = format!(
        "loadgen run --url amqp://127.0.0.1:{}+amqp://127.0.0.1:{} --address sync.load --rate 2000 --count {COUNT} --consumers 0 \
         --ack confirmed --size 100",
        two.ports[0], two.ports[1]
    );
    let arguments: Vec<OsString> = arguments.split_whitespace().map(OsString::from).collect();
    let load = std::thread::spawn(move || loadgen::cli::run(arguments.into_iter()));
    let messages = |server: &Server| {
        let rows = Client::connect_admin(server.port).request("show queues")["queues"].clone();
        let rows = rows.as_array().unwrap().clone();
        let row = rows.into_iter().find(|row| row["name"] == "sync.load");
        row.map_or(0, |row| row["messages"].as_u64().unwrap())
    };
    let until = Instant::now() + PATIENCE;
    while messages(&first) < COUNT / 8 {
        assert!(Instant::now() < until, "the first server gets the load");
        std::thread::sleep(Duration::from_millis(20));
    }
    first.kill();
    assert_eq!(load.join().unwrap(), 0, "the verdict of loadgen: 0 is pass");
    let moved = messages(&second);
    assert!(moved > 0, "the client moved on");
    let first = two.start(0);
    let back = messages(&first);
    assert!(back > 0 && back + moved >= COUNT, "{back} came back and {moved} went to the other");
    // What was unanswered when the server died was sent again: a window at most.
    assert!(back + moved <= COUNT + 1000, "{back} and {moved}");
}
