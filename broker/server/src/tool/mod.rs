//! The program `broker-admin`: an administrator's terminal.
//!
//! Owns where commands come from (the command line, a script, a terminal) and the exit codes. What a command does is the
//! server's; `session` sends it, `client` speaks AMQP, `render` shows the reply. `convert` needs no server.

mod client;
mod convert;
mod help;
mod options;
mod prompt;
mod render;
mod session;
mod stream;

use clap::Parser;
use options::Options;
use session::{Failure, Outcome, Session};
use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;

/// A command was refused.
const EXIT_REFUSED: i32 = 1;
/// There is no connection, or none any more.
const EXIT_CONNECTION: i32 = 2;
/// The command line is wrong.
const EXIT_USAGE: i32 = 64;

/// `broker-admin` as a program: `arguments` begin with the program's name. Returns the exit code of the process.
pub fn administer(arguments: impl Iterator<Item = OsString>) -> i32 {
    let mut arguments: Vec<OsString> = arguments.collect();
    if arguments.get(1).is_some_and(|word| word == "convert") {
        arguments.remove(1);
        return convert::run(arguments.into_iter());
    }
    let options = match Options::try_parse_from(options::normalize(arguments.into_iter())) {
        Ok(options) => options,
        Err(error) => {
            // Nowhere to report that the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { EXIT_USAGE } else { 0 };
        }
    };
    if options.mangle.is_some() {
        eprintln!(
            "broker-admin: -mangle is not supported: users.conf keeps hashes, which the server makes; use create user NAME \
             password=..., set password NAME, or set server password=..."
        );
        return EXIT_USAGE;
    }
    let mut session = match Session::new(&options) {
        Ok(session) => session,
        Err(error) => {
            eprintln!("broker-admin: {error}");
            return EXIT_USAGE;
        }
    };
    if !options.command.is_empty() {
        return one(&mut session, &line_of(&options.command));
    }
    match &options.script {
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => script(&mut session, path, &text, options.ignore),
            Err(error) => {
                eprintln!("broker-admin: {}: {error}", path.display());
                EXIT_USAGE
            }
        },
        None if std::io::stdin().is_terminal() => prompt::run(&mut session),
        None => {
            let mut text = String::new();
            match std::io::stdin().read_to_string(&mut text) {
                Ok(_) => script(&mut session, Path::new("standard input"), &text, options.ignore),
                Err(error) => {
                    eprintln!("broker-admin: standard input: {error}");
                    EXIT_USAGE
                }
            }
        }
    }
}

/// The words of the command line as one line: the shell took the quotes.
fn line_of(words: &[String]) -> String {
    let quoted = words.iter().map(|word| match word.is_empty() || word.contains(char::is_whitespace) {
        true => format!("\"{word}\""),
        false => word.clone(),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn one(session: &mut Session, line: &str) -> i32 {
    match session.carry_out(line) {
        Ok(Outcome::Done(text)) => show(&text),
        Ok(Outcome::Over) => 0,
        Err(failure) => {
            eprintln!("broker-admin: {failure}");
            exit_code(&failure)
        }
    }
}

fn script(session: &mut Session, path: &Path, text: &str, ignores: bool) -> i32 {
    let mut code = 0;
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if session.echoes {
            show(&format!("> {line}\n"));
        }
        match session.carry_out(line) {
            Ok(Outcome::Done(text)) => {
                show(&text);
            }
            Ok(Outcome::Over) => return code,
            Err(failure) => {
                eprintln!("{}:{}: {failure}", path.display(), index + 1);
                code = exit_code(&failure);
                if !ignores || code == EXIT_CONNECTION {
                    return code;
                }
                code = 0;
            }
        }
    }
    code
}

/// Prints; gives the exit code where nobody reads any more.
fn show(text: &str) -> i32 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => 0,
        Err(_) => EXIT_REFUSED,
    }
}

fn exit_code(failure: &Failure) -> i32 {
    match failure {
        Failure::Refused(_) => EXIT_REFUSED,
        Failure::Connection(_) => EXIT_CONNECTION,
    }
}
