//! The load generator's process: everything it does is in the library, behind one call.

#![forbid(unsafe_code)]

fn main() {
    std::process::exit(loadgen::cli::run(std::env::args_os()));
}
