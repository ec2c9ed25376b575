//! The program `broker-admin`; everything is in the library.

#![forbid(unsafe_code)]

fn main() {
    std::process::exit(broker::administer(std::env::args_os()));
}
