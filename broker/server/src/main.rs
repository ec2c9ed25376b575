//! The program `broker`; everything is in the library.

fn main() {
    std::process::exit(broker::run(std::env::args_os()));
}
