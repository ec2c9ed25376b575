//! The program `broker`; everything is in the library.

#![forbid(unsafe_code)]

fn main() {
    std::process::exit(broker::run(std::env::args_os()));
}
