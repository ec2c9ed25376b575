//! Temporary queues of real clients: request and reply, lost connections, takeovers.

mod support;

use amqp::condition;
use amqp::message::Header;
use std::time::{Duration, Instant};
use support::{Client, Seen, Server, Setup};

const QUEUES: &str = "sync.> store=$sys.failsafe\n>\n";

fn names(server: &Server) -> Vec<String> {
    let mut admin = Client::connect_admin(server.port);
    let rows = admin.request("show queues")["queues"].as_array().unwrap().clone();
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

fn wait_gone(server: &Server, name: &str) {
    let until = Instant::now() + support::PATIENCE;
    while names(server).iter().any(|known| known == name) {
        assert!(Instant::now() < until, "{name} stays:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn anybody_replies_and_only_the_owner_receives() {
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut asking = Client::connect_named(server.port, "asking");
    let (link, address) = asking.temporary(10);
    assert!(address.starts_with("$TMP$.TEST."), "{address}");
    let mut answering = Client::connect_named(server.port, "answering");
    let sender = answering.sender(&address).unwrap();
    answering.publish(sender, 1, b"stored reply");
    answering.send_as(sender, 2, b"reply", Header::default());
    assert_eq!(answering.outcome(2), Some(amqp::Outcome::Accepted));
    assert_eq!(asking.message().1, b"stored reply");
    assert_eq!(asking.message().1, b"reply");
    let error = answering.receiver(&address, 1).unwrap_err();
    assert_eq!(error.condition, condition::UNAUTHORIZED_ACCESS);
    assert!(names(&server).contains(&address));
    asking.detach(link);
    wait_gone(&server, &address);
    answering.wait("the end of the link to it", |seen| match seen {
        Seen::Detached { error: Some(error), .. } => (error.condition == condition::RESOURCE_DELETED).then_some(()),
        _ => None,
    });
    assert_eq!(answering.sender(&address).unwrap_err().condition, condition::NOT_FOUND);
    // A clean end of the connection ends them, too.
    let (_, address) = asking.temporary(10);
    asking.close();
    wait_gone(&server, &address);
}

#[test]
fn a_lost_connection_leaves_the_queue_to_its_client_for_a_while() {
    let setup = Setup::new(1, QUEUES, "ft_reconnect_timeout = 2");
    let mut server = setup.start(0);
    server.wait_active();
    let mut asking = Client::connect_named(server.port, "asking");
    let (_, address) = asking.temporary(10);
    let mut answering = Client::connect_named(server.port, "answering");
    let sender = answering.sender(&address).unwrap();
    drop(asking);
    answering.publish(sender, 1, b"reply");
    let mut other = Client::connect_named(server.port, "other");
    assert_eq!(other.receiver(&address, 1).unwrap_err().condition, condition::UNAUTHORIZED_ACCESS);
    let mut asking = Client::connect_named(server.port, "asking");
    asking.receiver(&address, 10).unwrap();
    let (delivery_id, body, _) = asking.message();
    assert_eq!(body, b"reply");
    asking.accept(delivery_id, true);
    drop(asking);
    wait_gone(&server, &address);
    assert!(server.log().contains("did not come back within ft_reconnect_timeout"), "{}", server.log());
    let mut asking = Client::connect_named(server.port, "asking");
    assert_eq!(asking.receiver(&address, 10).unwrap_err().condition, condition::NOT_FOUND);
}

#[test]
fn after_a_takeover_owners_find_their_queues_and_those_of_others_go() {
    let setup = Setup::new(2, QUEUES, "ft_reconnect_timeout = 3");
    let mut first = setup.start(0);
    first.wait_active();
    let mut second = setup.start(1);
    second.wait_standby();
    let mut clients = ["stored", "empty", "gone"].map(|name| Client::connect_named(first.port, name));
    let addresses = clients.each_mut().map(|client| client.temporary(0).1);
    let mut answering = Client::connect_named(first.port, "answering");
    for (token, index) in [(1, 0), (2, 2)] {
        let sender = answering.sender(&addresses[index]).unwrap();
        answering.publish(sender, token, b"stored reply");
    }
    let durable = answering.sender("sync.q").unwrap();
    answering.publish(durable, 3, b"durable");
    // An async store has written by then.
    std::thread::sleep(Duration::from_millis(200));
    first.kill();
    second.wait_active();

    // Who replies may come before the owner does.
    let mut answering = Client::connect_named(second.port, "answering");
    let sender = answering.sender(&addresses[1]).unwrap();
    answering.publish(sender, 1, b"late reply");
    for (index, body) in [(0, &b"stored reply"[..]), (1, b"late reply")] {
        let mut client = Client::connect_named(second.port, ["stored", "empty"][index]);
        client.receiver(&addresses[index], 10).unwrap();
        assert_eq!(client.message().1, body);
        clients[index] = client;
    }
    assert!(names(&second).contains(&addresses[2]), "it holds a stored message, and its owner may come");
    wait_gone(&second, &addresses[2]);
    let known = names(&second);
    assert!(known.contains(&addresses[0]) && known.contains(&addresses[1]), "their owners are back: {known:?}");
    let mut client = Client::connect(second.port);
    client.receiver("sync.q", 1).unwrap();
    assert_eq!(client.message().1, b"durable", "what is durable stays");
}

#[test]
fn numbers_in_the_store_are_used_again() {
    // Every segment repeats the names of all numbers, so that there is not room for many.
    const QUEUES_MADE: u64 = 200;
    let setup = Setup::new(1, QUEUES, "");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect_named(server.port, "asking");
    for token in 0..QUEUES_MADE {
        let (link, address) = client.temporary(1);
        let sender = client.sender(&address).unwrap();
        client.publish(sender, token, &token.to_be_bytes());
        let (delivery_id, body, _) = client.message();
        assert_eq!(body, token.to_be_bytes());
        client.accept(delivery_id, true);
        client.detach(link);
        wait_gone(&server, &address);
    }
    let sender = client.sender("kept").unwrap();
    client.publish(sender, QUEUES_MADE, b"kept");
    std::thread::sleep(Duration::from_millis(100));
    server.kill();
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(["store-check", setup.store().to_str().unwrap()])
        .output()
        .unwrap();
    let checked = String::from_utf8(checked.stdout).unwrap();
    let numbers = checked.lines().filter(|line| line.contains("destination ") && line.contains("$TMP$.")).count();
    assert!((1..QUEUES_MADE as usize / 4).contains(&numbers), "{numbers} numbers:\n{checked}");

    let mut server = setup.start(0);
    server.wait_active();
    assert!(names(&server).iter().all(|name| !name.starts_with("$TMP$.")), "none held a message");
    let mut client = Client::connect(server.port);
    client.receiver("kept", 1).unwrap();
    assert_eq!(client.message().1, b"kept");
}
