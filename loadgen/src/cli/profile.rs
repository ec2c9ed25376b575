//! Owns `--profile`: a TOML file becomes arguments of the command line, in front of those that were given. What they mean is clap's.

use std::ffi::OsString;
use std::fs::read_to_string;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A profile that cannot be used; the message names file, line, key and remedy.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProfileError {
    /// The file cannot be read.
    #[error("--profile {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line makes no sense.
    #[error("{}, line {line}: {message}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// The key, what is wrong with it, and the remedy.
        message: String,
    },
}

/// The arguments with those of the profile that they name, if they name one.
pub(super) fn expand(arguments: Vec<OsString>, cli: &Command) -> Result<Vec<OsString>, ProfileError> {
    let named = arguments.get(1).and_then(|name| name.to_str()).and_then(|name| cli.find_subcommand(name));
    let (Some(command), Some(path)) = (named, profile_of(&arguments)) else { return Ok(arguments) };
    let text = read_to_string(&path).map_err(|source| ProfileError::Unreadable { path: path.clone(), source })?;
    let given = given_arguments(&arguments, command);
    let mut expanded = arguments[..2].to_vec();
    expanded.extend(read(&path, &text, command, &given)?);
    expanded.extend_from_slice(&arguments[2..]);
    Ok(expanded)
}

fn profile_of(arguments: &[OsString]) -> Option<PathBuf> {
    let at = arguments.iter().position(|argument| argument == "--profile");
    let joined =
        || arguments.iter().find_map(|argument| argument.to_str()?.strip_prefix("--profile=").map(PathBuf::from));
    at.and_then(|at| arguments.get(at + 1)).map(PathBuf::from).or_else(joined)
}

/// The arguments that the command line has itself: they win.
fn given_arguments<'c>(arguments: &[OsString], command: &'c Command) -> Vec<&'c Arg> {
    let is_given = |arg: &&Arg| {
        let Some(long) = arg.get_long() else { return false };
        let flag = |text: &str| text.strip_prefix("--").is_some_and(|name| name.split('=').next() == Some(long));
        arguments.iter().filter_map(|argument| argument.to_str()).any(flag)
    };
    command.get_arguments().filter(is_given).collect()
}

fn read(path: &Path, text: &str, command: &Command, given: &[&Arg]) -> Result<Vec<OsString>, ProfileError> {
    let fail = |span: Option<Range<usize>>, message: String| ProfileError::Line {
        path: path.to_owned(),
        line: text[..span.map_or(0, |span| span.start.min(text.len()))].lines().count().max(1),
        message,
    };
    let table = DeTable::parse(text).map_err(|error| fail(error.span(), error.message().to_owned()))?;
    let mut arguments = Vec::new();
    for (key, value) in table.get_ref() {
        let name = key.get_ref().replace('_', "-");
        // The line that the key ends on: an empty prefix has no line of its own.
        let span = Some(key.span().end..key.span().end);
        let spelled = spell(&name, value, command).map_err(|message| fail(span.clone(), message))?;
        check(&spelled, command).map_err(|reason| fail(span.clone(), format!("`{}`: {reason}", key.get_ref())))?;
        if !is_overruled(&name, command, given) {
            arguments.extend(spelled.into_iter().map(OsString::from));
        }
    }
    Ok(arguments)
}

fn find<'c>(name: &str, command: &'c Command) -> Option<&'c Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(name))
}

/// Whether the command line has the argument itself, or one that excludes it.
fn is_overruled(name: &str, command: &Command, given: &[&Arg]) -> bool {
    let Some(arg) = find(name, command) else { return false };
    let excludes = |one: &Arg, other: &Arg| {
        command.get_arg_conflicts_with(one).iter().any(|conflict| conflict.get_id() == other.get_id())
    };
    given.iter().any(|flag| flag.get_id() == arg.get_id() || excludes(flag, arg) || excludes(arg, flag))
}

/// A key and its value as arguments.
fn spell(name: &str, value: &Spanned<DeValue<'_>>, command: &Command) -> Result<Vec<String>, String> {
    let is_switch = find(name, command).is_some_and(|arg| matches!(arg.get_action(), ArgAction::SetTrue));
    if name == "profile" {
        return Err("`profile`: a profile cannot name another: put its keys here".to_owned());
    }
    match value.get_ref() {
        DeValue::Boolean(on) if is_switch => Ok(if *on { vec![format!("--{name}")] } else { Vec::new() }),
        _ if is_switch => Err(format!("`{name}`: write true or false")),
        DeValue::Array(values) => {
            let words: Result<Vec<_>, _> = values.iter().map(|value| word(name, value.get_ref())).collect();
            Ok(words?.into_iter().map(|word| format!("--{name}={word}")).collect())
        }
        value => Ok(vec![format!("--{name}={}", word(name, value)?)]),
    }
}

fn word(name: &str, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.as_str().to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(on) => Ok(on.to_string()),
        DeValue::Datetime(time) => Ok(time.to_string()),
        DeValue::Array(_) => Err(format!("`{name}`: a list cannot hold lists: write one list of values")),
        DeValue::Table(_) => {
            Err(format!("`{name}`: tables mean nothing here: write each flag's name as a key at the top"))
        }
    }
}

/// Whether clap takes these arguments by themselves; its own words if not.
fn check(arguments: &[String], command: &Command) -> Result<(), String> {
    let lenient = command.clone().mut_args(|arg| arg.required(false)).no_binary_name(true);
    let Err(error) = lenient.try_get_matches_from(arguments) else { return Ok(()) };
    // What an argument needs beside it may stand on another line, or be given.
    if error.kind() == ErrorKind::MissingRequiredArgument {
        return Ok(());
    }
    let text = error.render().to_string();
    let told =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage") && !line.starts_with("For more"));
    let told: Vec<_> = told.filter(|line| !line.is_empty()).collect();
    Err(told.join("; ").trim_start_matches("error: ").to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn expanded(profile: &str, more: &[&str]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("load.toml");
        std::fs::write(&path, profile).expect("written");
        let arguments = ["loadgen", "run", "--profile"].iter().map(OsString::from).chain([path.into_os_string()]);
        let arguments = arguments.chain(more.iter().map(OsString::from)).collect();
        let expanded = expand(arguments, &crate::cli::Cli::command()).map_err(|error| error.to_string())?;
        Ok(expanded[2..]
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .filter(|a| !a.contains("load.toml"))
            .collect())
    }

    #[test]
    fn keys_are_flags_and_flags_win() {
        let profile = "url = \"amqp://a:1\"\nrate = \"20k\"\naddress = [\"q\", \"r\"]\nproducers = 4\npaced_factor = 1.5\nquiet = true\n\
                       durable = false\nexternal = false\ncount = 10\n";
        let found = expanded(profile, &[]).expect("valid");
        let expected = [
            "--url=amqp://a:1",
            "--rate=20k",
            "--address=q",
            "--address=r",
            "--producers=4",
            "--paced-factor=1.5",
            "--quiet",
            "--durable=false",
            "--count=10",
            "--profile",
        ];
        assert!(expected.iter().all(|word| found.iter().any(|found| found == word)), "{found:?}");
        assert_eq!(found.len(), expected.len(), "{found:?}");
        // A flag replaces its key, and a key that it excludes.
        let found = expanded(profile, &["--rate", "5k", "--duration=3s"]).expect("valid");
        assert!(!found.iter().any(|word| word == "--rate=20k" || word == "--count=10"), "{found:?}");
    }

    #[test]
    fn mistakes_name_file_line_key_and_remedy() {
        let check = |profile: &str, words: &[&str]| {
            let error = expanded(profile, &[]).expect_err(profile);
            assert!(words.iter().chain(&["load.toml, line "]).all(|word| error.contains(word)), "{profile}: {error}");
        };
        check("url = \"amqp://a\"\n\nrat = \"5k\"\n", &["line 3", "`rat`", "--rate"]);
        check("rate = \"fast\"\n", &["line 1", "`rate`", "ramp:"]);
        check("seed = 1\nproducers = \"many\"\n", &["line 2", "`producers`"]);
        check("quiet = 1\n", &["`quiet`", "true or false"]);
        check("seed = 1\n[run]\nrate = 5\n", &["line 2", "`run`", "at the top"]);
        check("seed = 1\nrate = \n", &["line 2"]);
        check("profile = \"x\"\n", &["cannot name another"]);
    }
}
