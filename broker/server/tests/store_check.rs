//! `broker store-check` on the folder of a real broker: running, killed, damaged.

mod support;

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use support::{Client, Setup};

fn store_check(folder: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command.arg("store-check").arg(folder).args(options).output().unwrap()
}

fn json(folder: &Path) -> (Option<i32>, Value) {
    let output = store_check(folder, &["--json"]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// A segment of the sync store with a batch in it, and the batch's offset.
fn victim(folder: &Path) -> (std::path::PathBuf, usize) {
    let files = std::fs::read_dir(folder.join("sync-msgs.db")).unwrap().map(|entry| entry.unwrap().path());
    let found = files.filter(|path| path.to_string_lossy().contains("segment.")).find_map(|path| {
        let bytes = std::fs::read(&path).unwrap();
        bytes[8192..8196].starts_with(b"UBat").then_some((path, 4096))
    });
    found.expect("a segment with two batches")
}

#[test]
fn a_store_is_described_while_it_is_used_and_after_and_damage_is_named() {
    let setup = Setup::new(1, "sync.> store=$sys.failsafe\n>\n", "");
    let folder = setup.store();
    assert_eq!(store_check(&folder, &[]).status.code(), Some(1), "no store yet");
    let mut server = setup.start(0);
    server.wait_active();
    let mut client = Client::connect(server.port);
    let sender = client.sender("sync.q").unwrap();
    for token in 0..20 {
        client.publish(sender, token, format!("message {token}").as_bytes());
    }
    let (code, report) = json(&folder);
    assert_eq!(
        (code, &report["lock"], &report["sound"]),
        (Some(0), &Value::from("held"), &Value::from(true)),
        "{report}"
    );
    server.kill();

    let (code, report) = json(&folder);
    assert_eq!((code, &report["lock"]), (Some(0), &Value::from("free")), "{report}");
    let lanes = report["lanes"].as_array().unwrap();
    let lane = lanes.iter().find(|lane| lane["name"] == "sync-msgs.db").unwrap();
    assert_eq!(lane["messages"], 20);
    let text = String::from_utf8(store_check(&folder, &[]).stdout).unwrap();
    assert!(text.contains("20 live messages") && text.ends_with("sound\n"), "{text}");

    let (path, offset) = victim(&folder);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[offset + 70] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (code, report) = json(&folder);
    let damage = &report["damages"][0];
    assert_eq!(
        (code, &damage["file"], &damage["offset"]),
        (Some(2), &Value::from(path.to_str().unwrap()), &Value::from(offset))
    );
    assert!(damage["messages_max"].as_u64().unwrap() >= 1, "{damage}");
    let text = String::from_utf8(store_check(&folder, &[]).stdout).unwrap();
    assert!(text.contains("1 damaged:") && text.contains("remedy: restore"), "{text}");
}
