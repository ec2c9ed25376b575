//! The load generator's process: everything it does is in the library, behind one call.

fn main() {
    std::process::exit(loadgen::cli::run(std::env::args_os()));
}
