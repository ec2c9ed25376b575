//! Two servers that do not share their state: each serves from its own store, clients know both, differences are told.

mod support;

use std::time::{Duration, Instant};
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
