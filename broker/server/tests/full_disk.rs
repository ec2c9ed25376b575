//! A disk that fills up under a real broker: a memory file system of some megabytes. Mounting one needs root.

mod support;

use amqp::{Outcome, condition};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Client, Setup};

const MESSAGE_BYTES: usize = 16 << 10;

/// A small file system, for as long as this is kept.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at);
        mount.status().is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Publishes until it is refused for want of space; how many were accepted.
fn fill(client: &mut Client, sender: amqp::LinkId, first_token: u64) -> u64 {
    for token in first_token..first_token + 5_000 {
        client.send(sender, token, &[token as u8; MESSAGE_BYTES]);
        match client.outcome(token) {
            Some(Outcome::Accepted) => {}
            Some(Outcome::Rejected(Some(error))) => {
                assert_eq!(error.condition, condition::RESOURCE_LIMIT_EXCEEDED);
                assert!(error.description.contains("full"), "{error}");
                return token - first_token;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the disk does not fill");
}

#[test]
fn a_full_disk_refuses_messages_delivers_what_there_is_and_has_room_again() {
    let setup = Setup::new(1, "sync.> store=$sys.failsafe\n", "");
    let Some(disk) = Small::mount(&setup.store(), "48m") else {
        println!("skipped: a memory file system cannot be mounted here, that needs root");
        return;
    };
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("sync.full").unwrap();
    let receiver = client.receiver("sync.full", 0).unwrap();
    let mut token = 0;
    for round in 0..3 {
        let count = fill(&mut client, sender, token);
        assert!(count > 200, "round {round}: {count} messages fit");
        token += count + 1;
        client.grant(receiver, count as u32, false);
        for _ in 0..count {
            let (delivery_id, body, _) = client.message();
            assert_eq!(body.len(), MESSAGE_BYTES);
            client.accept(delivery_id, true);
        }
        // The segments that died are removed by and by.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            client.send(sender, token, b"again");
            token += 1;
            match client.outcome(token - 1) {
                Some(Outcome::Accepted) => break,
                _ if std::time::Instant::now() > until => panic!("no room again: {}", server.log()),
                _ => std::thread::sleep(std::time::Duration::from_millis(50)),
            }
        }
        client.grant(receiver, 1, false);
        let (delivery_id, ..) = client.message();
        client.accept(delivery_id, true);
    }
    drop(server);
    drop(disk);
}
