//! The command line of `broker`. Owns the options and their help; reads no file.

use clap::Parser;
use std::path::PathBuf;

/// A fault-tolerant AMQP 1.0 message broker; two of them on one store folder make a pair.
#[derive(Debug, Parser)]
#[command(name = "broker", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 stopped on request, 1 configuration or start-up error, 75 gave up the active role \
(another server owns the store, or the store failed).\n\nStandard output carries one JSON event a line; the operator's log goes to standard error and to `logfile`."
)]
pub(crate) struct Options {
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
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, for instance ft_heartbeat=0.25")?;
    Ok((name.trim().to_string(), value.trim().to_string()))
}
