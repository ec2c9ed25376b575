//! Holds docs/FORMATS.md and `format.rs` together: tables, diagrams, record kinds, and samples of every structure.

use bytes::BytesMut;
use disk::sim::aligned;
use store::MessageKey;
use store::format::*;

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/FORMATS.md");
    std::fs::read_to_string(path).expect("docs/FORMATS.md is part of the repository")
}

/// The text between a heading and the next one.
fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let (_, rest) = document.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    rest.split("\n#").next().unwrap_or(rest)
}

/// The cells of the rows of the tables in a section.
fn rows(section: &str) -> Vec<Vec<&str>> {
    let lines = section.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    lines.skip(1).map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

const BYTE_COLUMNS: usize = 10;

/// Draws a structure, eight bytes to a line.
fn diagram(fields: &[Field]) -> String {
    let end = fields.iter().map(|(offset, size, _)| offset + size).max().unwrap_or(0);
    let mut lines = vec![format!("       {}", (0..8).map(|byte| format!("{byte:<BYTE_COLUMNS$}")).collect::<String>())];
    for row in (0..end).step_by(8) {
        if !fields.iter().any(|(offset, size, _)| *offset < row && offset + size > row) {
            lines.push(border(fields, row.checked_sub(8), Some(row)));
        }
        lines.push(format!("{row:4} {}", content(fields, row)));
    }
    lines.push(border(fields, Some((end - 1) / 8 * 8), None));
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

fn border(fields: &[Field], above: Option<usize>, below: Option<usize>) -> String {
    let mut line = vec![b'-'; 8 * BYTE_COLUMNS + 1];
    (line[0], line[8 * BYTE_COLUMNS]) = (b'+', b'+');
    for row in above.into_iter().chain(below) {
        for edge in fields.iter().flat_map(|(offset, size, _)| [*offset, offset + size]) {
            if (row..=row + 8).contains(&edge) {
                line[(edge - row) * BYTE_COLUMNS] = b'+';
            }
        }
    }
    format!("     {}", String::from_utf8_lossy(&line))
}

fn content(fields: &[Field], row: usize) -> String {
    let mut line = vec![b' '; 8 * BYTE_COLUMNS + 1];
    (line[0], line[8 * BYTE_COLUMNS]) = (b'|', b'|');
    for (offset, size, name) in fields {
        let (from, to) = (row.max(*offset), (row + 8).min(offset + size));
        if from >= to {
            continue;
        }
        let (start, end) = ((from - row) * BYTE_COLUMNS, (to - row) * BYTE_COLUMNS);
        (line[start], line[end]) = (b'|', b'|');
        if from == *offset {
            line[start + 2..start + 2 + name.len()].copy_from_slice(name.as_bytes());
        }
    }
    String::from_utf8_lossy(&line).into_owned()
}

#[test]
fn tables_and_diagrams_show_the_layout() {
    let document = document();
    for (structure, fields) in LAYOUT {
        let section = section(&document, &format!("### {structure}"));
        let expected: Vec<[String; 3]> = fields
            .iter()
            .map(|(offset, size, name)| [offset.to_string(), size.to_string(), (*name).to_owned()])
            .collect();
        let found: Vec<Vec<&str>> = rows(section).iter().map(|row| row[..3].to_vec()).collect();
        assert_eq!(found, expected, "the table of {structure}");
        assert!(section.contains(&diagram(fields)), "the diagram of {structure} should be\n{}", diagram(fields));
    }
}

#[test]
fn fields_follow_one_another_without_holes() {
    for (structure, fields) in LAYOUT {
        let mut end = 0;
        for (offset, size, name) in *fields {
            assert_eq!(*offset, end, "{structure}: {name}");
            end = offset + size;
        }
    }
}

#[test]
fn kinds_are_listed() {
    let names = [
        ("PUBLISH", kind::PUBLISH),
        ("ACKNOWLEDGE", kind::ACKNOWLEDGE),
        ("COMMIT", kind::COMMIT),
        ("DESTINATION", kind::DESTINATION),
        ("SEAL", kind::SEAL),
        ("SERVING", kind::SERVING),
        ("UNLINK", kind::UNLINK),
        ("END", kind::END),
        ("CHECKPOINT", kind::CHECKPOINT),
        ("DURABLE", kind::DURABLE),
        ("TEMPORARY", kind::TEMPORARY),
        ("PREPARE", kind::PREPARE),
        ("ACKNOWLEDGE_ONE", kind::ACKNOWLEDGE_ONE),
        ("COPY", kind::COPY),
    ];
    let document = document();
    let found: Vec<Vec<&str>> =
        rows(section(&document, "### Record kinds")).iter().map(|row| row[..2].to_vec()).collect();
    let expected: Vec<[String; 2]> = names.iter().map(|(name, kind)| [kind.to_string(), (*name).to_owned()]).collect();
    assert_eq!(found, expected);
}

fn identity() -> SegmentIdentity {
    SegmentIdentity {
        store_id: 0x1111_2222_3333_4444_5555_6666_7777_8888,
        epoch: 0x0102_0304_0506_0708,
        attempt: 0x99,
        lane: 0x0a0b,
        sequence: 0x0c0d_0e0f,
    }
}

fn seal() -> Seal {
    let end = Some(End { sequence: 4, offset: 8192, lsn: 77 });
    let piece = Piece { epoch: 2, attempt: 9, lane: 1, first_sequence: 3, first_lsn: 50, end };
    let lane = SealedLane {
        name: "sync-msgs.db".into(),
        own_first_lsn: 77,
        own_durable_through: 80,
        pieces: vec![piece],
        gaps: vec![(60, 61)],
    };
    Seal { epoch: 3, lanes: vec![lane] }
}

fn owner() -> OwnerRecord {
    let lanes = vec!["meta.db".to_owned(), "sync-msgs.db".to_owned()];
    OwnerRecord { store_id: identity().store_id, epoch: 5, process: 6, attempt: 7, lanes }
}

fn base() -> MetadataBase {
    let (store_id, attempt) = (identity().store_id, 7);
    MetadataBase { store_id, epoch: 5, attempt, number: 0x0908, first_lsn: 30, durable_through: 34, sequence: 6 }
}

fn unlink() -> Unlink {
    Unlink { lane: "sync-msgs.db".into(), epoch: 3, sequence: 4, first_lsn: 90 }
}

fn index() -> Index {
    let mut index = Index::default();
    index.push(300, 300, (4200, 1000), KEY, [1, 300].into_iter());
    index.push(302, 9, (5300, 7), KEY, [1, 300].into_iter());
    index
}

fn checkpoint() -> CheckpointRecord {
    let position = Position { epoch: 4, sequence: 6, lsn: 1 << 33 };
    CheckpointRecord { lane: "sync-msgs.db".into(), epoch: 4, attempt: 9, number: 1, sequence: 2, position }
}

const KEY: MessageKey = MessageKey { expires_at_ms: 0x1122_3344_5566_7788, priority: 7, flags: 0x55 };

const COPY_OF: CopyOf = CopyOf { order: 0x0203, replaces: 0x0405 };

/// One sample of each structure, in the order of the document.
fn samples() -> Vec<(&'static str, BytesMut)> {
    let of = |put: &dyn Fn(&mut BytesMut)| {
        let mut out = aligned(8192);
        put(&mut out);
        out
    };
    let header = BatchHeader { first_lsn: 0x20, durable_through: 0x10, record_count: 3, length: 64 + 24 };
    vec![
        ("Segment header", of(&|out| SegmentHeader { identity: identity(), segment_bytes: 64 << 20 }.encode(out))),
        (
            "Batch header",
            of(&|out| {
                out.resize(header.length as usize, 0xee);
                header.seal(&identity(), out);
            }),
        ),
        (
            "Publish",
            of(&|out| {
                put_publish(out, identity().payload_seed(), 4096, &[1, 2], KEY, &[b"pay", b"load"], None);
            }),
        ),
        (
            "Copy",
            of(&|out| {
                put_publish(out, identity().payload_seed(), 4096, &[1, 2], KEY, &[b"pay", b"load"], Some(COPY_OF));
            }),
        ),
        (
            "Acknowledge",
            of(&|out| {
                put_acknowledge(out, &[(3, 4), (6, 6)]);
            }),
        ),
        ("Destination", of(&|out| put_destination(out, 0x0102_0304, "orders"))),
        ("Owner record", of(&|out| owner().encode(out))),
        ("Heartbeat", of(&|out| encode_heartbeat(3, 0x0807, out))),
        ("Base", of(&|out| base().encode(out))),
        ("Slot", of(&|out| encode_slot(0xaa, 4, out))),
        ("SEAL", of(&|out| put_seal(out, &seal()))),
        ("SERVING", of(&|out| put_serving(out, 3))),
        ("UNLINK", of(&|out| put_intent(out, &unlink()))),
        ("END", of(&|out| put_end(out))),
        ("Table header", of(&|out| TableHeader::new(TableKind::Index, identity(), b"body").encode(out))),
        ("Index", of(&|out| out.extend_from_slice(index().body()))),
        ("CHECKPOINT", of(&|out| put_checkpoint(out, &checkpoint()))),
    ]
}

#[test]
fn samples_have_the_checksums_of_the_document() {
    let document = document();
    let found: Vec<String> = rows(section(&document, "### Samples")).iter().map(|row| row.join(" ")).collect();
    let expected: Vec<String> =
        samples().iter().map(|(name, bytes)| format!("{name} {:08x}", crc32c::crc32c(bytes))).collect();
    assert_eq!(found, expected, "the layout and docs/FORMATS.md differ");
}

/// A field of a sample, as a number.
fn field(structure: &str, name: &str) -> u128 {
    let fields = LAYOUT.iter().find(|(of, _)| *of == structure).expect("a structure").1;
    let (offset, size, _) = fields.iter().find(|(_, _, of)| *of == name).expect("a field");
    let sample = &samples().into_iter().find(|(of, _)| *of == structure).expect("a sample").1;
    sample[*offset..offset + size].iter().rev().fold(0, |value, byte| value << 8 | u128::from(*byte))
}

#[test]
fn what_is_written_lies_where_the_layout_says() {
    for structure in ["Segment header", "Batch header"] {
        assert_eq!(field(structure, "format version"), u128::from(FORMAT_VERSION));
        assert_eq!(field(structure, "store id"), identity().store_id);
        assert_eq!(field(structure, "epoch"), u128::from(identity().epoch));
        assert_eq!(field(structure, "lane"), u128::from(identity().lane));
        assert_eq!(field(structure, "sequence"), u128::from(identity().sequence));
    }
    assert_eq!(field("Segment header", "attempt"), identity().attempt);
    assert_eq!(field("Segment header", "next sequence"), u128::from(identity().sequence) + 1);
    assert_eq!(field("Segment header", "segment bytes"), 64 << 20);
    assert_eq!((field("Batch header", "first LSN"), field("Batch header", "durable-through LSN")), (0x20, 0x10));
    assert_eq!((field("Batch header", "record count"), field("Batch header", "length")), (3, 88));
    assert_eq!(field("Publish", "expires at"), u128::from(KEY.expires_at_ms));
    assert_eq!((field("Publish", "priority"), field("Publish", "flags")), (7, 0x55));
    assert_eq!(field("Publish", "destination count"), 2);
    assert_eq!((field("Copy", "order"), field("Copy", "replaces")), (0x0203, 0x0405));
    assert_eq!(field("Copy", "expires at"), u128::from(KEY.expires_at_ms));
    assert_eq!((field("Copy", "priority"), field("Copy", "flags"), field("Copy", "destination count")), (7, 0x55, 2));
    assert_eq!((field("Acknowledge", "first LSN"), field("Acknowledge", "last LSN")), (3, 4));
    assert_eq!(field("Destination", "id"), 0x0102_0304);
    assert_eq!((field("Owner record", "epoch"), field("Owner record", "process")), (5, 6));
    assert_eq!((field("Owner record", "attempt"), field("Owner record", "lane count")), (7, 2));
    assert_eq!((field("Heartbeat", "epoch"), field("Heartbeat", "counter")), (3, 0x0807));
    assert_eq!((field("Slot", "attempt"), field("Slot", "epoch")), (0xaa, 4));
    assert_eq!(field("Base", "store id"), identity().store_id);
    assert_eq!((field("Base", "epoch"), field("Base", "attempt"), field("Base", "number")), (5, 7, 0x0908));
    assert_eq!((field("Base", "first LSN"), field("Base", "durable-through LSN")), (30, 34));
    assert_eq!(field("Base", "sequence"), 6);
}

fn sample(name: &str) -> BytesMut {
    samples().into_iter().find(|(of, _)| *of == name).expect("a sample").1
}

#[test]
fn what_is_written_reads_back() {
    let header = SegmentHeader { identity: identity(), segment_bytes: 64 << 20 };
    assert_eq!(SegmentHeader::decode(&sample("Segment header")), Ok(header));
    assert_eq!(OwnerRecord::decode(&sample("Owner record")), Ok(owner()));
    assert_eq!(decode_heartbeat(3, &sample("Heartbeat")), Some(0x0807));
    assert_eq!(decode_heartbeat(4, &sample("Heartbeat")), None);
    assert_eq!(MetadataBase::decode(&sample("Base")), Ok(base()));
    let of_another = OwnerRecord { attempt: 8, ..owner() };
    assert!(base().is_of(&owner()) && !base().is_of(&of_another));
    let read = |name: &str, expected: Record<'_>| {
        let bytes = sample(name);
        assert_eq!(read_record(&bytes), Some((expected, bytes.len())), "{name}");
    };
    let messages = [("Publish", None, PUBLISH_FIXED_BYTES), ("Copy", Some(COPY_OF), COPY_FIXED_BYTES)];
    for (name, expected, fixed_bytes) in messages {
        let payload_offset = (fixed_bytes + 8 + PAYLOAD_CHECKSUM_BYTES) as u32;
        match read_record(&sample(name)) {
            Some((Record::Publish { copy_of, key, destinations, payload_offset: offset, payload }, _)) => {
                assert_eq!((copy_of, key, offset, payload), (expected, KEY, payload_offset, &b"payload"[..]));
                assert_eq!(destinations.iter().collect::<Vec<_>>(), [1, 2]);
            }
            other => panic!("{other:?}"),
        }
    }
    read("Acknowledge", Record::Acknowledge(vec![(3, 4), (6, 6)]));
    read("Destination", Record::Destination { id: 0x0102_0304, name: "orders" });
    read("SEAL", Record::Seal(seal()));
    read("CHECKPOINT", Record::Checkpoint(checkpoint()));
    read("SERVING", Record::Serving(3));
    read("UNLINK", Record::Unlink(unlink()));
    read("END", Record::End);
}

#[test]
fn any_flipped_bit_of_a_block_shows_and_no_garbage_is_taken() {
    for bit in 0..4096 * 8 {
        let flip = |name: &str| {
            let mut bytes = sample(name);
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        };
        if bit % 97 == 0 || bit < 128 * 8 {
            assert!(SegmentHeader::decode(&flip("Segment header")).is_err(), "bit {bit}");
            assert!(OwnerRecord::decode(&flip("Owner record")).is_err(), "bit {bit}");
            assert_eq!(decode_heartbeat(3, &flip("Heartbeat")), None, "bit {bit}");
            assert!(MetadataBase::decode(&flip("Base")).is_err(), "bit {bit}");
        }
    }
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..100_000 {
        let garbage: Vec<u8> = (0..random.usize(0..200)).map(|_| random.u8(..)).collect();
        let mut garbage = garbage;
        if let Some(first) = garbage.first_mut() {
            *first %= 16;
        }
        // Must neither panic nor claim more bytes than there are.
        if let Some((_, length)) = read_record(&garbage) {
            assert!(length <= garbage.len().next_multiple_of(RECORD_ALIGNMENT));
        }
    }
}

#[test]
fn a_newer_version_is_told_apart_from_damage() {
    let mut bytes = sample("Segment header");
    bytes[12] = FORMAT_VERSION as u8 + 1;
    let checksum = crc32c::crc32c(&bytes[12..]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(SegmentHeader::decode(&bytes), Err(BlockError::TooNew(FORMAT_VERSION + 1)));
}

#[test]
fn an_owner_file_has_the_length_of_its_version() {
    let mut record = sample("Owner record");
    assert_eq!(owner_file_bytes(&record), 4 * 4096);
    record[12] = 3;
    assert_eq!(owner_file_bytes(&record), 2 * 4096, "before there were bases");
}
