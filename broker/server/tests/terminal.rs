//! The program broker-admin at a terminal: what an operator types and sees, through a pseudo-terminal.

mod support;

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;
use support::{PATIENCE, Server, Setup};

const ENTER: &str = "\r";
const UP: &str = "\x1b[A";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const TAB: &str = "\t";

/// The tool with a terminal of its own, which ends with it.
struct Terminal {
    child: Child,
    keys: File,
    shown: Receiver<Vec<u8>>,
    /// All that was shown.
    screen: String,
    /// How much of it was waited for.
    seen: usize,
}

impl Terminal {
    fn open(setup: &Setup, server: &Server) -> Terminal {
        let size = Winsize { ws_row: 50, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let slave = || pair.slave.try_clone().unwrap();
        // It makes the terminal the controlling one, where passwords are asked for.
        let child = Command::new("setsid")
            .args(["-c", env!("CARGO_BIN_EXE_broker-admin"), "-timeout", "20", "-server"])
            .arg(format!("tcp://127.0.0.1:{}", server.port))
            .env("HOME", setup.folder.path())
            .env("TERM", "xterm")
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap();
        let keys = File::from(pair.master);
        let mut master = keys.try_clone().unwrap();
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = master.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, keys, shown, screen: String::new(), seen: 0 }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until `text` appears behind what was waited for before.
    fn sees(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.screen[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            match self.shown.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.screen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("'{text}' does not appear: {:?}", &self.screen[self.seen..])
                }
            }
        }
    }

    /// Types what is asked for unseen: no faster than the terminal stops to show it.
    fn types_unseen(&mut self, keys: &str) {
        let until = Instant::now() + PATIENCE;
        while tcgetattr(&self.keys).unwrap().local_flags.contains(LocalFlags::ECHO) {
            assert!(Instant::now() < until, "the terminal shows what is typed");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        self.types(keys);
    }

    fn ends(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn commands_are_completed_repeated_confirmed_and_explained() {
    let setup = Setup::new(1, "orders.in maxmsgs=5\n>\n", "");
    let mut server = setup.start(0);
    server.wait_active();
    let prompt = format!("tcp://127.0.0.1:{}> ", server.port);
    let mut terminal = Terminal::open(&setup, &server);
    terminal.sees("'help' lists the commands");
    terminal.sees(&prompt);
    terminal.types(&format!("shwo queues{ENTER}"));
    terminal.sees("is not a command");
    terminal.sees(&prompt);
    terminal.types(&format!("help purge{ENTER}"));
    terminal.sees("purge all queues");
    terminal.sees(&prompt);
    terminal.types(&format!("show queue ord{TAB}{ENTER}"));
    terminal.sees("Maxmsgs");
    terminal.sees(&prompt);
    terminal.types(&format!("abandoned{CTRL_C}"));
    terminal.sees(&prompt);
    terminal.types(&format!("time on{ENTER}"));
    terminal.sees("time is on");
    terminal.sees(&prompt);
    terminal.types(&format!("{UP}{ENTER}"));
    terminal.sees("time is on");
    terminal.sees(&prompt);
    terminal.types(&format!("delete queue orders.in{ENTER}"));
    terminal.sees("are you sure");
    terminal.types(&format!("no{ENTER}"));
    terminal.sees("nothing was done");
    terminal.sees(&prompt);
    terminal.types(&format!("show queue orders.in{ENTER}"));
    terminal.sees("Maxmsgs");
    terminal.sees(&prompt);
    terminal.types(CTRL_D);
    assert_eq!(terminal.ends(), Some(0));
    let history = std::fs::read_to_string(setup.folder.path().join(".broker_admin_history")).unwrap();
    assert!(history.contains("time on"), "{history}");
}

#[test]
fn a_lost_server_is_told_and_passwords_are_asked_for_unseen() {
    const SECRET: &str = "xyzzy-4711";
    let setup = Setup::new(1, ">\n", "");
    std::fs::write(setup.folder.path().join("users.conf"), "admin::\n").unwrap();
    let mut server = setup.start(0);
    server.wait_active();
    let prompt = format!("tcp://127.0.0.1:{}> ", server.port);
    let mut terminal = Terminal::open(&setup, &server);
    terminal.sees(&prompt);
    terminal.types(&format!("set password admin{ENTER}"));
    terminal.sees("New password of admin: ");
    terminal.types_unseen(&format!("{SECRET}{ENTER}"));
    terminal.sees("Once more: ");
    terminal.types_unseen(&format!("{SECRET}{ENTER}"));
    terminal.sees("OK");
    terminal.sees(&prompt);
    server.kill();
    terminal.types(&format!("info{ENTER}"));
    terminal.sees("connects again");
    terminal.sees("not connected> ");
    let mut server = setup.start(0);
    server.wait_active();
    terminal.types(&format!("info{ENTER}"));
    terminal.sees("Password of admin at ");
    terminal.types_unseen(&format!("{SECRET}{ENTER}"));
    terminal.sees("ACTIVE");
    terminal.sees(&prompt);
    terminal.types(&format!("exit{ENTER}"));
    assert_eq!(terminal.ends(), Some(0));
    assert!(!terminal.screen.contains(SECRET), "{}", terminal.screen);
}
