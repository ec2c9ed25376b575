//! The command line of `broker`. Owns the options, in our spelling and in that of EMS, and their help; reads no file.

use crate::config::Role;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// A fault-tolerant AMQP 1.0 message broker; two of them on one store folder make a pair.
#[derive(Debug, Parser)]
#[command(name = "broker", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 stopped on request, 1 configuration or start-up error, 75 gave up the active role \
(another server owns the store, or the store failed).\n\nStandard output carries one JSON event a line; the operator's log goes to standard error and to `logfile`."
)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    /// Offline work instead of a server.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Configuration file: a tibemsd.conf, or a tibemsd.json for both servers
    #[arg(long, short = 'c', value_name = "FILE", default_value = "tibemsd.conf", alias = "conf")]
    pub(crate) config: PathBuf,
    /// Starts the second of the two servers of a tibemsd.json
    #[arg(long)]
    pub(crate) secondary: bool,
    /// Overrides one parameter of the file; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) overrides: Vec<(String, String)>,
    /// Reads and checks the configuration, prints what is wrong with file and line, and ends
    #[arg(long)]
    pub(crate) check: bool,
    /// Starts although a store file is damaged: keeps a copy of what it drops, and says what that was
    #[arg(long, alias = "forceStart")]
    pub(crate) force_start: bool,
    /// Makes a new, empty store where the folder is missing or empty although the configuration expects one
    #[arg(long)]
    pub(crate) create_store: bool,
    /// Prints every parameter with its default, unit and meaning, and ends
    #[arg(long)]
    pub(crate) help_parameters: bool,
    #[command(flatten)]
    ems: EmsOptions,
}

/// Options under which EMS sets parameters.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of EMS, each of which may also be spelled with one hyphen")]
struct EmsOptions {
    /// The same as --set ft_active=URL
    #[arg(long = "ft_active", value_name = "URL")]
    ft_active: Option<String>,
    /// The same as --set ft_heartbeat=SECONDS
    #[arg(long = "ft_heartbeat", value_name = "SECONDS")]
    ft_heartbeat: Option<String>,
    /// The same as --set ft_activation=SECONDS
    #[arg(long = "ft_activation", value_name = "SECONDS")]
    ft_activation: Option<String>,
    /// The same as --set log_trace=ITEMS and --set console_trace=ITEMS
    #[arg(long, value_name = "ITEMS", allow_hyphen_values = true)]
    trace: Option<String>,
    /// The same as --set ssl_password=PASSWORD
    #[arg(long = "ssl_password", value_name = "PASSWORD")]
    ssl_password: Option<String>,
    /// The same as --set module_path=PATH
    #[arg(long = "module_path", value_name = "PATH")]
    module_path: Option<String>,
    /// Accepted, not acted upon: why a TLS handshake failed is always logged
    #[arg(long = "ssl_trace")]
    ssl_trace: bool,
    /// Accepted, not acted upon, like --ssl_trace
    #[arg(long = "ssl_debug_trace")]
    ssl_debug_trace: bool,
}

/// Options that EMS spells with one hyphen.
const EMS_SPELLINGS: [&str; 11] = [
    "config",
    "secondary",
    "ft_active",
    "ft_heartbeat",
    "ft_activation",
    "forceStart",
    "trace",
    "ssl_password",
    "module_path",
    "ssl_trace",
    "ssl_debug_trace",
];

impl Options {
    /// Reads the command line, which begins with the program's name.
    ///
    /// # Errors
    /// What is wrong with it, or the help that was asked for.
    pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        Options::try_parse_from(arguments.map(doubled))
    }

    /// Which server of a tibemsd.json is to start.
    pub(crate) fn role(&self) -> Role {
        if self.secondary { Role::Secondary } else { Role::Primary }
    }

    /// What beats the file: `--set`, and what EMS has an option for.
    pub(crate) fn all_overrides(&self) -> Vec<(String, String)> {
        let ems = &self.ems;
        let named = [
            ("ft_active", &ems.ft_active),
            ("ft_heartbeat", &ems.ft_heartbeat),
            ("ft_activation", &ems.ft_activation),
            ("log_trace", &ems.trace),
            ("console_trace", &ems.trace),
            ("ssl_password", &ems.ssl_password),
            ("module_path", &ems.module_path),
        ];
        let set = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        self.overrides.iter().cloned().chain(set).collect()
    }

    /// Options that nothing comes of.
    pub(crate) fn without_effect(&self) -> impl Iterator<Item = &'static str> {
        let given = [("-ssl_trace", self.ems.ssl_trace), ("-ssl_debug_trace", self.ems.ssl_debug_trace)];
        given.into_iter().filter_map(|(name, is_given)| is_given.then_some(name))
    }
}

/// `-config` of EMS as `--config`; everything else as it is.
fn doubled(argument: OsString) -> OsString {
    let is_ems = |text: &str| text.strip_prefix('-').is_some_and(|name| EMS_SPELLINGS.contains(&name));
    match argument.to_str().filter(|text| is_ems(text)) {
        Some(text) => format!("-{text}").into(),
        None => argument,
    }
}

/// What the program does when it is not to serve.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints the state of a store folder and every damage in it, and writes nothing to it
    ///
    /// Shows the chain of owners, and per store the segments, the live messages and what was in flight; then every
    /// place that is not as it was written, with file, offset, what is affected and the remedy. A running server
    /// may own the folder: that is said, and what it changes meanwhile is not taken for damage.
    #[command(
        after_help = "Exit codes: 0 sound, 1 no store or not readable, 2 damaged. Writes in flight are no damage."
    )]
    StoreCheck {
        /// The store folder, as the parameter `store` names it
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Prints one JSON object
        #[arg(long)]
        json: bool,
    },
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, for instance ft_heartbeat=0.25")?;
    Ok((name.trim().to_string(), value.trim().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, String> {
        let arguments = std::iter::once("broker").chain(line.split_whitespace()).map(OsString::from);
        Options::read(arguments).map_err(|error| error.to_string())
    }

    fn check(line: &str, expected: &[(&str, &str)]) {
        let overrides = read(line).unwrap_or_else(|error| panic!("{line}: {error}")).all_overrides();
        let overrides: Vec<_> = overrides.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        assert_eq!(overrides, expected, "{line}");
    }

    #[test]
    fn options_of_ems_set_parameters() {
        check("", &[]);
        check("-config x.conf -ft_active tcp://b:1", &[("ft_active", "tcp://b:1")]);
        check(
            "--set a=1 -ft_heartbeat 0.25 -ft_activation 1",
            &[("a", "1"), ("ft_heartbeat", "0.25"), ("ft_activation", "1")],
        );
        check("-trace DEFAULT,+SSL", &[("log_trace", "DEFAULT,+SSL"), ("console_trace", "DEFAULT,+SSL")]);
        check("-trace -ACL", &[("log_trace", "-ACL"), ("console_trace", "-ACL")]);
        check("-ssl_password pw -module_path /lib", &[("ssl_password", "pw"), ("module_path", "/lib")]);
    }

    #[test]
    fn both_spellings_are_read() {
        for line in ["-config x.json -secondary -forceStart", "--config x.json --secondary --force-start"] {
            let options = read(line).unwrap();
            assert_eq!(
                (options.config, options.secondary, options.force_start),
                ("x.json".into(), true, true),
                "{line}"
            );
        }
        assert_eq!(read("").unwrap().config, PathBuf::from("tibemsd.conf"));
        assert_eq!(read("-ssl_trace").unwrap().without_effect().collect::<Vec<_>>(), ["-ssl_trace"]);
        assert_eq!(read("-c x.conf").unwrap().config, PathBuf::from("x.conf"));
        assert!(read("-ft_actve tcp://b:1").is_err());
    }
}
