//! The interactive terminal: history, completion, and the question before something is lost.
//!
//! Owns the terminal's lines; what they do is in `session`.

use super::session::{Failure, Outcome, Session};
use super::{help, show};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Context, Editor, Helper, Highlighter, Hinter, Validator};
use std::path::PathBuf;

/// Completes words of commands and names of queues.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct Words {
    queues: Vec<String>,
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let line = &line[..at];
        let start = line.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
        let mut words: Vec<&str> = help::completions(line);
        if help::wants_queue(line) {
            words.extend(self.queues.iter().map(String::as_str).filter(|name| name.starts_with(&line[start..])));
        }
        let pair = |word: &&str| Pair { display: (*word).to_owned(), replacement: format!("{word} ") };
        Ok((start, words.iter().map(pair).collect()))
    }
}

/// Where lines are kept for the next time.
fn history() -> Option<PathBuf> {
    Some(PathBuf::from(std::env::var_os("HOME")?).join(".broker_admin_history"))
}

/// Reads and carries out lines until the end; gives the exit code.
pub(super) fn run(session: &mut Session) -> i32 {
    if let Err(error) = session.connect() {
        eprintln!("broker-admin: {error}; 'connect URL' tries another server");
    }
    let mut editor: Editor<Words, DefaultHistory> = match Editor::new() {
        Ok(editor) => editor,
        Err(error) => {
            eprintln!("broker-admin: the terminal cannot be used: {error}; --script reads commands from a file");
            return super::EXIT_USAGE;
        }
    };
    let history = history();
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    editor.set_helper(Some(Words { queues: session.queue_names() }));
    println!("'help' lists the commands, 'exit' ends.");
    let code = turns(session, &mut editor);
    if let Some(path) = &history
        && let Err(error) = editor.save_history(path)
    {
        eprintln!("broker-admin: {}: {error}", path.display());
    }
    code
}

fn turns(session: &mut Session, editor: &mut Editor<Words, DefaultHistory>) -> i32 {
    loop {
        let prompt = session.url().map_or_else(|| "not connected".to_owned(), |url| url.as_str().to_owned());
        let line = match editor.readline(&format!("{prompt}> ")) {
            Ok(line) => line.trim().to_owned(),
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return 0,
            Err(error) => {
                eprintln!("broker-admin: {error}");
                return super::EXIT_USAGE;
            }
        };
        if line.is_empty() {
            continue;
        }
        if !line.contains("password")
            && let Err(error) = editor.add_history_entry(&line)
        {
            eprintln!("broker-admin: {error}");
        }
        if !is_confirmed(editor, &line) {
            eprintln!("nothing was done");
            continue;
        }
        match session.carry_out(&line) {
            Ok(Outcome::Done(text)) => {
                show(&text);
            }
            Ok(Outcome::Over) => return 0,
            Err(failure @ Failure::Refused(_)) => eprintln!("{failure}"),
            Err(failure @ Failure::Connection(_)) => eprintln!("{failure}; the next command connects again"),
        }
        if line.contains("queue")
            && let Some(words) = editor.helper_mut()
        {
            words.queues = session.queue_names();
        }
    }
}

/// Asks before what cannot be taken back.
fn is_confirmed(editor: &mut Editor<Words, DefaultHistory>, line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or("");
    if !["delete", "purge", "shutdown"].contains(&first) {
        return true;
    }
    let answer = editor.readline(&format!("{line}: are you sure (yes, no)? "));
    answer.is_ok_and(|answer| ["yes", "y"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}
