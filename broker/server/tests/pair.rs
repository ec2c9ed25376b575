//! Two real broker processes over one store folder.

mod support;

use amqp::condition;
use broker::config::{Conversion, convert};
use nix::sys::signal::Signal;
use support::{Client, Seen, Setup};

const QUEUES: &str = "sync.> store=$sys.failsafe\nasync.> store=$sys.nonfailsafe\n>\n";

#[test]
fn the_standby_takes_over_after_sigkill_and_the_victim_comes_back_as_standby() {
    let setup = Setup::new(2, QUEUES, "");
    let mut first = setup.start(0);
    first.wait_active();
    let mut second = setup.start(1);
    second.wait_standby();
    let mut client = Client::connect(first.port);
    let sender = client.sender("sync.q").unwrap();
    for token in 0..50 {
        client.publish(sender, token, format!("message {token}").as_bytes());
    }
    first.kill();
    second.wait_active();
    let mut victim = setup.start(0);
    victim.wait_standby();

    let mut client = Client::connect(second.port);
    client.receiver("sync.q", 100).unwrap();
    for number in 0..50 {
        let (delivery_id, body, _) = client.message();
        assert_eq!(body, format!("message {number}").into_bytes());
        client.accept(delivery_id, true);
    }
}

#[test]
fn a_pair_from_one_converted_json_takes_over() {
    let setup = Setup::new(2, QUEUES, "");
    let (from, secondary, to) = (setup.config(0), setup.config(1), setup.json());
    convert(&Conversion { from: &from, secondary: Some(&secondary), to: &to, overwrite: false }).unwrap();
    let mut first = setup.start_json(0);
    first.wait_active();
    let mut second = setup.start_json(1);
    second.wait_standby();
    let mut client = Client::connect(first.port);
    let sender = client.sender("sync.q").unwrap();
    client.publish(sender, 0, b"kept");
    first.kill();
    second.wait_active();
    let mut client = Client::connect(second.port);
    client.receiver("sync.q", 1).unwrap();
    assert_eq!(client.message().1, b"kept");
}

#[test]
fn a_standby_sends_clients_to_the_active() {
    let setup = Setup::new(2, QUEUES, "");
    let mut first = setup.start(0);
    first.wait_active();
    let mut second = setup.start(1);
    second.wait_standby();
    let mut client = Client::connect(second.port);
    let error = client.wait("the close", |seen| match seen {
        Seen::Closed(error) => error.clone(),
        _ => None,
    });
    assert_eq!(error.condition, condition::CONNECTION_FORCED);
    assert!(error.description.contains(&first.port.to_string()), "{error}");
}

#[test]
fn two_servers_started_at_the_same_instant_end_with_one_active() {
    for _ in 0..3 {
        let setup = Setup::new(2, QUEUES, "");
        let mut servers = [setup.start(0), setup.start(1)];
        let until = std::time::Instant::now() + support::PATIENCE;
        let serving = |port: u16| {
            let mut client = Client::connect(port);
            client.wait("an answer", |seen| match seen {
                Seen::Attached { .. } | Seen::Opened => Some(()),
                _ => None,
            });
            client.turn();
            !client.seen.iter().any(|seen| matches!(seen, Seen::Closed(_)))
        };
        loop {
            let count = servers.iter().filter(|server| serving(server.port)).count();
            if count == 1 {
                break;
            }
            assert!(count < 2, "both serve");
            assert!(std::time::Instant::now() < until, "none serves");
        }
        for server in &mut servers {
            server.kill();
        }
    }
}

#[test]
fn a_paused_active_is_replaced_and_leaves_with_75_when_it_wakes() {
    let setup = Setup::new(2, QUEUES, "");
    let mut first = setup.start(0);
    first.wait_active();
    let mut second = setup.start(1);
    second.wait_standby();
    let mut client = Client::connect(first.port);
    let sender = client.sender("sync.q").unwrap();
    client.publish(sender, 1, b"before");
    first.signal(Signal::SIGSTOP);
    second.wait_active();
    first.signal(Signal::SIGCONT);
    assert_eq!(first.wait_exit(), Some(75), "{}", first.log());
    let mut client = Client::connect(second.port);
    client.receiver("sync.q", 10).unwrap();
    assert_eq!(client.message().1, b"before");
}
