//! `broker-admin convert`: a family of .conf files becomes one tibemsd.json, without a server.
//!
//! Owns the options and what is printed; the work is `config::convert`'s.

use super::{EXIT_REFUSED, EXIT_USAGE};
use crate::config::{Conversion, convert};
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

/// Makes one tibemsd.json that means what a tibemsd.conf and the files that it names mean.
#[derive(Debug, Parser)]
#[command(name = "broker-admin convert", max_term_width = 110)]
struct Options {
    /// The tibemsd.conf; of a pair that of the server that becomes the primary
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The tibemsd.conf of the other server of a pair
    #[arg(long, value_name = "FILE")]
    secondary: Option<PathBuf>,
    /// The tibemsd.json
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Replaces the tibemsd.json if there is one
    #[arg(long)]
    overwrite: bool,
}

/// Converts; `arguments` begin with the program's name. Returns the exit code.
pub(super) fn run(arguments: impl Iterator<Item = OsString>) -> i32 {
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            // Nowhere to report that the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { EXIT_USAGE } else { 0 };
        }
    };
    let conversion = Conversion {
        from: &options.from,
        secondary: options.secondary.as_deref(),
        to: &options.to,
        overwrite: options.overwrite,
    };
    let (code, remarks) = match convert(&conversion) {
        Ok(converted) => {
            println!("{}", converted.file.display());
            (0, converted.remarks)
        }
        Err(remarks) => (EXIT_REFUSED, remarks),
    };
    remarks.iter().for_each(|remark| eprintln!("{remark}"));
    code
}
