//! The parameters of storage: what stands ready, what is checked, what is given back, and stores of one's own.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};
use support::{Client, PATIENCE, Setup};

const MB: u64 = 1 << 20;
const QUEUES: &str = "sync.> store=$sys.failsafe\n>\n";

fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    // A file may go while we look.
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|data| data.len()).sum()
}

fn wait(what: &str, done: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn space_stands_ready_as_asked_for_each_kind_of_store_and_a_standby_prepares_its_first_segments() {
    let extra = "store_minimum_sync = 12MB\nstore_minimum_async = 8MB\nstore_minimum_meta = 9MB";
    let setup = Setup::new(2, QUEUES, extra);
    let bytes = |store: &str| folder_bytes(&setup.store().join(store));
    let mut first = setup.start(0);
    first.wait_active();
    for (store, ready) in [("sync-msgs.db", 12), ("async-msgs.db", 8), ("meta.db", 9)] {
        wait(&format!("{store} has {} of {ready} MB", bytes(store) / MB), || bytes(store) >= ready * MB);
        assert!(bytes(store) < (ready + 5) * MB, "{store} has {} bytes", bytes(store));
    }
    let mut second = setup.start(1);
    second.wait_standby();
    // Two segments each: of 1 MB, and of a sixteenth of that for the metadata.
    for (store, ready) in [("sync-msgs.db", 14 * MB), ("async-msgs.db", 10 * MB), ("meta.db", 9 * MB + MB / 8)] {
        wait(&format!("{store} has {} of {ready} bytes", bytes(store)), || bytes(store) >= ready);
    }
}

#[test]
fn checksums_are_on_and_space_is_given_back_whatever_the_parameters_say() {
    let setup = Setup::new(1, QUEUES, "store_crc = disabled\nstore_truncate = disabled");
    let mut server = setup.start(0);
    server.wait_active();
    assert!(server.log().contains("accepted, not acted upon: store_crc"), "told: {}", server.log());
    let folder = setup.store().join("sync-msgs.db");
    let mut client = Client::connect(server.port);
    let sender = client.sender("sync.q").unwrap();
    for token in 0..200 {
        client.publish(sender, token, &[b'x'; 50_000]);
    }
    let full = folder_bytes(&folder);
    assert!(full > 10 * MB, "{full}");
    client.receiver("sync.q", 200).unwrap();
    for _ in 0..200 {
        let (delivery_id, ..) = client.message();
        client.accept(delivery_id, false);
    }
    // What makes segments go is a checkpoint, and that comes with further records.
    wait("segments without live messages stay", || folder_bytes(&folder) < full / 2);
    for token in 200..230 {
        client.publish(sender, token, &[b'y'; 2000]);
    }
    server.kill();
    let segment = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| std::fs::read(path).unwrap().windows(64).any(|part| part == [b'y'; 64]))
        .expect("a segment holds the messages");
    let mut bytes = std::fs::read(&segment).unwrap();
    let place = bytes.windows(64).position(|part| part == [b'y'; 64]).unwrap();
    bytes[place + 10] ^= 0x40;
    std::fs::write(&segment, bytes).unwrap();
    let mut server = setup.start(0);
    assert_ne!(server.wait_exit(), Some(0), "damage is found with store_crc=disabled, too");
}

#[test]
fn stores_conf_defines_stores_of_ones_own() {
    let stores = "[$sys.meta]\n  type=file\n  file=meta.db\n[$sys.nonfailsafe]\n  type=file\n  file=async-msgs.db\n  mode=async\n\
                  [$sys.failsafe]\n  type=file\n  file=sync-msgs.db\n  mode=sync\n\
                  [orders]\n  type=file\n  file=orders.db\n  mode=sync\n  file_minimum=8MB\n";
    let setup = Setup::new(1, "orders.> store=orders\n>\n", "");
    std::fs::write(setup.folder.path().join("stores.conf"), stores).unwrap();
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("orders.new").unwrap();
    client.publish(sender, 1, b"an order");
    let rows = Client::connect_admin(server.port).request("show queues")["queues"].clone();
    let row = rows.as_array().unwrap().iter().find(|row| row["name"] == "orders.new").expect("the queue").clone();
    assert_eq!(row["store"], "orders");
    let folder = setup.store().join("orders.db");
    wait("file_minimum stands ready", || folder_bytes(&folder) >= 8 * MB);
    server.kill();
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    client.receiver("orders.new", 1).unwrap();
    assert_eq!(client.message().1, b"an order");
}
