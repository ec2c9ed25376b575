//! The settings of a pair: names and passwords, activation, the files that are read again, two stores by mistake.

mod support;

use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use support::{Client, PATIENCE, Server, Setup};

const QUEUES: &str = "sync.> store=$sys.failsafe\nsync.small store=$sys.failsafe,maxmsgs=1\n>\n";

/// Replaces text in one server's tibemsd.conf.
fn edit(setup: &Setup, index: usize, from: &str, to: &str) {
    let path = setup.config(index);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

fn wait_log(server: &Server, text: &str) {
    let until = Instant::now() + PATIENCE;
    while !server.log().contains(text) {
        assert!(Instant::now() < until, "no '{text}' in the log:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn servers_of_different_names_refuse_each_other_and_both_say_so() {
    let setup = Setup::new(2, QUEUES, "");
    edit(&setup, 1, "server = TEST", "server = OTHER");
    let mut first = setup.start(0);
    first.wait_active();
    let second = setup.start(1);
    // Each tries to reach the other, and each refuses the other.
    for (server, own, other) in [(&first, "TEST", "OTHER"), (&second, "OTHER", "TEST")] {
        wait_log(server, &format!("refuses this one: this server is '{other}', not '{own}'"));
        wait_log(
            server,
            &format!("refused as the peer of this one: at 127.0.0.1: this server is '{own}', not '{other}'"),
        );
        assert!(server.log().contains("set the parameter server of one as on the other"), "the remedy");
    }
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(first.log().matches("refuses this one").count(), 1, "not at every attempt:\n{}", first.log());
    assert_eq!(first.log().matches("was refused as the peer").count(), 1, "{}", first.log());
}

#[test]
fn a_wrong_password_is_refused_and_both_say_so() {
    let extra = "authorization = enabled\nusers = users.conf\npassword = right\nstartup_abort_list =";
    let setup = Setup::new(2, QUEUES, extra);
    std::fs::write(setup.folder.path().join("users.conf"), "TEST:right:the pair\n").unwrap();
    std::fs::write(setup.folder.path().join("other.conf"), "TEST:wrong:the pair\n").unwrap();
    edit(&setup, 1, "password = right", "password = wrong");
    edit(&setup, 1, "users = users.conf", "users = other.conf");
    let mut first = setup.start(0);
    first.wait_active();
    let second = setup.start(1);
    wait_log(&second, "it does not accept the name 'TEST' and its password");
    wait_log(&first, "its login as 'TEST' failed; set the same server and password on both");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(first.log().matches("its login as 'TEST' failed").count(), 1, "{}", first.log());
    assert_eq!(second.log().matches("it does not accept").count(), 1, "{}", second.log());
}

#[test]
fn activation_reads_the_files_again_and_a_bad_edit_does_not_prevent_it() {
    let setup = Setup::new(2, QUEUES, "");
    let queues = setup.folder.path().join("queues.conf");
    let mut first = setup.start(0);
    first.wait_active();
    let mut second = setup.start(1);
    second.wait_standby();
    std::fs::write(&queues, "sync.> store=$sys.failsafe\nsync.small store=$sys.failsafe,maxmsgs=2\n").unwrap();
    first.kill();
    second.wait_active();
    wait_log(&second, "Server rereading configuration");
    wait_log(&second, "Configuration read again in ");
    let mut client = Client::connect(second.port);
    let sender = client.sender("sync.small").unwrap();
    client.publish(sender, 1, b"one");
    client.publish(sender, 2, b"two, which the first file did not allow");
    assert!(client.sender("anything").is_err(), "the line '>' is gone");

    let mut first = setup.start(0);
    first.wait_standby();
    std::fs::write(&queues, "sync.> store=$sys.failsafe\nsync.small maxmsgs=many\n").unwrap();
    second.kill();
    first.wait_active();
    wait_log(&first, "what this server read before still holds");
    assert!(first.log().contains("queues.conf:2"), "file and line:\n{}", first.log());
    let mut client = Client::connect(first.port);
    let sender = client.sender("sync.small").unwrap();
    client.send(sender, 3, b"still two at most");
    assert!(matches!(client.outcome(3), Some(amqp::Outcome::Rejected(_))));
}

#[test]
fn failover_in_less_than_a_second_with_the_settings_for_it() {
    for heartbeat in ["0.25", "250ms"] {
        let setup = Setup::new(2, QUEUES, "");
        for index in 0..2 {
            edit(&setup, index, "ft_heartbeat = 100ms", &format!("ft_heartbeat = {heartbeat}"));
            edit(&setup, index, "ft_activation = 500ms", "ft_activation = 0.6");
        }
        let mut first = setup.start(0);
        first.wait_active();
        let mut second = setup.start(1);
        second.wait_standby();
        second.wait_event("standby-follows");
        let mut client = Client::connect(first.port);
        let sender = client.sender("sync.q").unwrap();
        client.publish(sender, 1, b"before");
        let stopped = Instant::now();
        first.signal(Signal::SIGSTOP);
        second.wait_active();
        let time = stopped.elapsed();
        // A heartbeat before the stop may be heard right after it, and what silence means is looked at a little later.
        assert!(time > Duration::from_millis(300), "not before the silence of ft_activation: {time:?}");
        assert!(time < Duration::from_millis(1000), "{time:?}:\n{}", second.log());
        let mut client = Client::connect(second.port);
        client.receiver("sync.q", 1).unwrap();
        assert_eq!(client.message().1, b"before");
        first.signal(Signal::SIGCONT);
        assert_eq!(first.wait_exit(), Some(75), "{}", first.log());
    }
}

#[test]
fn two_stores_by_mistake_are_found_out_and_one_server_leaves() {
    let setup = Setup::new(2, QUEUES, "");
    edit(&setup, 1, "store = datastore", "store = otherstore");
    let mut first = setup.start(0);
    first.wait_active();
    let mut second = setup.start(1);
    second.wait_standby();
    // The second takes over its own, empty store; nobody fences the first, which owns the other.
    first.signal(Signal::SIGSTOP);
    second.wait_active();
    first.signal(Signal::SIGCONT);
    let until = Instant::now() + PATIENCE;
    let code = loop {
        let codes = [first.exit_code(), second.exit_code()];
        if let [Some(code), None] | [None, Some(code)] = codes {
            break code;
        }
        assert!(Instant::now() < until && codes == [None, None], "{codes:?}:\n{}\n{}", first.log(), second.log());
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(code, 75);
    let logs = first.log() + &second.log();
    assert!(logs.contains("Fault-tolerance error: Dual-Active server detected at tcp://127.0.0.1:"), "{logs}");
    assert!(logs.contains("the parameter store must name the same folder"), "{logs}");
    std::thread::sleep(Duration::from_millis(500));
    assert!(first.exit_code().is_none() || second.exit_code().is_none(), "the other goes on serving");
}
