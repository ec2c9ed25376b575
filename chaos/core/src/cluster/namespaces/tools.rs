//! Runs `ip` and `nft`, which are how an operator does this too.

use crate::error::{Error, Result};
use std::io::{self, Write};
use std::process::{Command, Stdio};

/// Runs a program to its end with `input`; returns what it printed. If it fails, the error quotes it.
pub(super) fn run(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let failed = |said: String| Error::Tool { command: format!("{program} {}", arguments.join(" ")), said };
    let output = spawn(program, arguments, input).map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The input is short enough for a pipe: the program need not read it before it prints.
fn spawn(program: &str, arguments: &[&str], input: &str) -> io::Result<std::process::Output> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read says itself what is wrong.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}

/// Whether a program is on the path.
pub(super) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_is_returned_or_quoted() {
        assert_eq!(run("cat", &["-"], "hello").expect("cat(1) exists"), "hello");
        let error = run("sh", &["-c", "echo no such device >&2; exit 2"], "").expect_err("it failed");
        assert!(error.to_string().contains("no such device"), "{error}");
        assert!(run("no-such-program", &["x"], "").expect_err("absent").to_string().contains("no-such-program x"));
        assert!(exists("sh") && !exists("no-such-program"));
    }
}
