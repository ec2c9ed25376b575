//! What the names and the bytes of a store's files say, by the layout that docs/FORMATS.md describes.

use disk::BLOCK_SIZE;
use std::path::Path;
use store::format;

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// The kind of file: the first part of its name, segments of the metadata apart.
pub(crate) fn kind(path: &Path) -> String {
    let name = file_name(path);
    let first = name.split('.').next().expect("a part").to_owned();
    if first == "segment" && path.to_string_lossy().contains("/meta.db/") {
        "segment of metadata".to_owned()
    } else {
        first
    }
}

/// Whether both are segments, both indices, and so on.
pub(crate) fn is_kind_alike(one: &Path, other: &Path) -> bool {
    let word = |path: &Path| kind(path).split(' ').next().expect("a word").to_owned();
    word(one) == word(other)
}

pub(crate) fn is_segment(path: &Path) -> bool {
    kind(path).starts_with("segment")
}

pub(crate) fn is_table(path: &Path) -> bool {
    matches!(kind(path).as_str(), "index" | "checkpoint")
}

/// The number in the name of an owner or a slot, and the epoch in that of a segment.
pub(crate) fn number(path: &Path) -> u64 {
    file_name(path).split('.').nth(1).and_then(|text| text.parse().ok()).expect("a number")
}

/// A field of a structure that begins at the start of `bytes`.
pub(crate) fn field(bytes: &[u8], structure: &str, name: &str) -> u64 {
    let (_, fields) = format::LAYOUT.iter().find(|(of, _)| *of == structure).expect("a structure");
    let (offset, size, _) = fields.iter().find(|(_, _, of)| *of == name).expect("a field");
    let mut value = [0; 8];
    value[..*size].copy_from_slice(&bytes[*offset..offset + size]);
    u64::from_le_bytes(value)
}

/// Batches of a segment: offset and length.
pub(crate) fn batches(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = BLOCK_SIZE;
    while at < bytes.len() {
        if bytes[at..].starts_with(&format::BATCH_MAGIC) {
            let length = field(&bytes[at..], "Batch header", "length") as usize;
            found.push((at, length));
            at += length.next_multiple_of(BLOCK_SIZE);
        } else {
            at += BLOCK_SIZE;
        }
    }
    found
}
