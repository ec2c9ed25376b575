//! Images of stores as text: every file of a small store, written by some version and kept.

use disk::sim::{SimConfig, SimDisk};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use store::Config;

/// Where the store lay.
pub(crate) const FOLDER: &str = "/golden";

/// Bytes of a line of an image.
const LINE_BYTES: usize = 32;

/// What the golden stores were written with.
pub(crate) fn config() -> Config {
    Config {
        segment_bytes: 64 << 10,
        meta_segment_bytes: 64 << 10,
        batch_bytes_max: 8 << 10,
        writes_in_flight_max: 4,
        ..Config::new(FOLDER.into(), super::stores())
    }
}

pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number of this size"))
}

/// Every file with its length, then its content in lines of an offset and up to 32 bytes; zeros are left out.
pub(crate) fn write_image(disk: &SimDisk) -> String {
    let mut out = String::new();
    for path in disk.paths() {
        let bytes = disk.content(&path).expect("a file");
        let name = path.strip_prefix(FOLDER).expect("all files are the store's").display().to_string();
        writeln!(out, "file {name} {}", bytes.len()).expect("a string takes all");
        for (index, line) in bytes.chunks(LINE_BYTES).enumerate().filter(|(_, line)| line.iter().any(|byte| *byte != 0))
        {
            let used = line.len() - line.iter().rev().take_while(|byte| **byte == 0).count();
            write!(out, "{} ", index * LINE_BYTES).expect("a string takes all");
            line[..used].iter().for_each(|byte| write!(out, "{byte:02x}").expect("a string takes all"));
            out.push('\n');
        }
    }
    out
}

pub(crate) fn read_image(text: &str) -> SimDisk {
    let mut disk = SimDisk::new(1, SimConfig::default());
    let mut file: Option<(PathBuf, Vec<u8>)> = None;
    for line in text.lines() {
        let (head, rest) = line.split_once(' ').expect("two fields at least");
        if head == "file" {
            if let Some((path, bytes)) = file.take() {
                disk.put(&path, &bytes);
            }
            let (name, len) = rest.rsplit_once(' ').expect("a name and a length");
            file = Some((Path::new(FOLDER).join(name), vec![0; number(len)]));
            continue;
        }
        let (_, bytes) = file.as_mut().expect("a file comes first");
        let at: usize = number(head);
        for (index, digits) in rest.as_bytes().chunks(2).enumerate() {
            let digits = std::str::from_utf8(digits).expect("hexadecimal digits");
            bytes[at + index] = u8::from_str_radix(digits, 16).expect("hexadecimal digits");
        }
    }
    let (path, bytes) = file.expect("a file at least");
    disk.put(&path, &bytes);
    disk
}
