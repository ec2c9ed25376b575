//! The command line of `broker`. Owns the options and their help; reads no file.

use clap::{Parser, Subcommand};
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
    /// Configuration file, in the form of tibemsd.conf
    #[arg(long, short = 'c', value_name = "FILE", default_value = "tibemsd.conf", alias = "conf")]
    pub(crate) config: PathBuf,
    /// Overrides one parameter of the file; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) overrides: Vec<(String, String)>,
    /// Reads and checks the configuration, prints what is wrong with file and line, and ends
    #[arg(long)]
    pub(crate) check: bool,
    /// Starts although a store file is damaged: keeps a copy of what it drops, and says what that was
    #[arg(long)]
    pub(crate) force_start: bool,
    /// Makes a new, empty store where the folder is missing or empty although the configuration expects one
    #[arg(long)]
    pub(crate) create_store: bool,
    /// Prints every parameter with its default, unit and meaning, and ends
    #[arg(long)]
    pub(crate) help_parameters: bool,
    /// Prints every metric of the monitor with its kind, labels and meaning, and ends
    #[arg(long)]
    pub(crate) help_metrics: bool,
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
