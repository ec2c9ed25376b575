//! The shared disk as a program of its own: `shareddisk JSON`, where the JSON object is `shareddisk::daemon::Options`.

#![forbid(unsafe_code)]

fn main() {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    std::process::exit(shareddisk::daemon::run(&arguments));
}
