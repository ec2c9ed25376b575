//! Owns the bytes of a message's payload: its identity, its intended time and its checks. It knows no AMQP.
//!
//! Two layouts, little-endian, chosen by the payload's size alone:
//!
//! ```text
//! full, 48 bytes and above           compact, 16 to 47 bytes
//!  0  magic "USTDYLG1"                0  magic "UL"
//!  8  run                             2  run, low 16 bits
//! 16  sequence                        4  producer, 16 bits
//! 24  intended_ns                     6  sequence, low 40 bits
//! 32  producer u32                   11  attempt u8
//! 36  attempt u8, 3 bytes zero       12  CRC32C of bytes 0..12, continued over the filler
//! 40  CRC32C of the filler           16  filler
//! 44  CRC32C of bytes 0..44
//! 48  filler
//! ```
//!
//! The fillers of a run are made before it: one for messages of one size, a few hundred for a distribution, or the content of files.
//! Which one a message has follows from its producer and its number, so that a filler's check is taken once, a message costs one short
//! CRC, and a receiver knows what it must find.

use bytes::Bytes;

use crate::sizes::Sizes;

/// The smallest payload that carries an identity.
pub const PAYLOAD_BYTES_MIN: usize = COMPACT_BYTES;
/// The longest head that `Template::write_head` makes.
pub const HEAD_BYTES_MAX: usize = FULL_BYTES;

const FULL_BYTES: usize = 48;
const COMPACT_BYTES: usize = 16;
const FULL_MAGIC: [u8; 8] = *b"USTDYLG1";
const COMPACT_MAGIC: [u8; 2] = *b"UL";
const COMPACT_SEQUENCE_MASK: u64 = (1 << 40) - 1;

/// Which message a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The producer's number.
    pub producer: u32,
    /// The message's number within its producer.
    pub sequence: u64,
    /// The attempt that this copy comes from.
    pub attempt: u8,
    /// When the schedule wanted it sent; `None` in the compact layout, which has no room for it, and for what no schedule wanted.
    pub intended_ns: Option<u64>,
}

/// Why a payload is not one of this run's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Made by another run, or by no load generator at all.
    #[error("the payload was not made by this run")]
    Alien,
    /// Made by this run as it seems, but a check fails.
    #[error("the payload is damaged")]
    Corrupt,
}

/// What follows the head of a payload.
#[derive(Debug, Clone)]
pub struct Filler {
    bytes: Bytes,
    check: u32,
    compact: bool,
}

impl Filler {
    fn new(bytes: Bytes, compact: bool) -> Self {
        Self { check: crc32c::crc32c(&bytes), bytes, compact }
    }

    /// Its content.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Size of a payload with it, head included.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.bytes.len() + if self.compact { COMPACT_BYTES } else { FULL_BYTES }
    }

    fn is_whole(&self, found: &[u8], found_check: u32) -> bool {
        found_check == self.check && found.len() == self.bytes.len()
    }
}

/// What all payloads of a run have in common.
#[derive(Debug, Clone)]
pub struct Template {
    run: u64,
    seed: u64,
    fillers: Vec<Filler>,
    /// For each filler, the weights up to and including its own.
    weights: Vec<u64>,
}

impl Template {
    /// Payloads of `payload_bytes` for the run with the number `run`; the filler comes from `seed`.
    ///
    /// # Panics
    /// If `payload_bytes` is below `PAYLOAD_BYTES_MIN`.
    #[must_use]
    pub fn new(run: u64, payload_bytes: usize, seed: u64) -> Self {
        Self::of_sizes(run, &Sizes::Fixed(payload_bytes), seed)
    }

    /// Payloads of different sizes; all fillers are beginnings of one.
    ///
    /// # Panics
    /// If a fixed size is below `PAYLOAD_BYTES_MIN`.
    #[must_use]
    pub fn of_sizes(run: u64, sizes: &Sizes, seed: u64) -> Self {
        assert!(!matches!(sizes, Sizes::Fixed(size) if *size < PAYLOAD_BYTES_MIN));
        let table = sizes.table_from(PAYLOAD_BYTES_MIN);
        let mut longest = vec![0; table.iter().map(|(size, _)| *size).max().unwrap_or(0)];
        fastrand::Rng::with_seed(seed).fill(&mut longest);
        let longest = Bytes::from(longest);
        let filler = |(size, weight): (usize, u32)| {
            let compact = size < FULL_BYTES;
            let head_bytes = if compact { COMPACT_BYTES } else { FULL_BYTES };
            (Filler::new(longest.slice(..size - head_bytes), compact), weight)
        };
        Self::of_fillers(run, seed, table.into_iter().map(filler))
    }

    /// Payloads whose fillers are `contents`, each as often as the others.
    #[must_use]
    pub fn of_contents(run: u64, contents: &[Bytes], seed: u64) -> Self {
        Self::of_fillers(run, seed, contents.iter().map(|content| (Filler::new(content.clone(), false), 1)))
    }

    fn of_fillers(run: u64, seed: u64, fillers: impl Iterator<Item = (Filler, u32)>) -> Self {
        let (fillers, weights): (Vec<_>, Vec<u32>) = fillers.unzip();
        let mut sum = 0;
        let weights = weights.into_iter().map(|weight| {
            sum += u64::from(weight);
            sum
        });
        Self { run, seed, fillers, weights: weights.collect() }
    }

    /// The part of a message's payload that follows its head.
    #[must_use]
    pub fn filler(&self, producer: u32, sequence: u64) -> &Filler {
        let index = match self.fillers.len() {
            1 => 0,
            _ => {
                let total = self.weights.last().copied().unwrap_or(1);
                let drawn = (u128::from(scatter(self.seed, producer, sequence)) * u128::from(total)) >> 64;
                self.weights.partition_point(|up_to| u128::from(*up_to) <= drawn)
            }
        };
        &self.fillers[index]
    }

    /// The mean size of a payload.
    #[must_use]
    pub fn payload_bytes_mean(&self) -> u64 {
        let mut before = 0;
        let weighted = self.fillers.iter().zip(&self.weights).map(|(filler, up_to)| {
            let weight = up_to - std::mem::replace(&mut before, *up_to);
            filler.payload_bytes() as u128 * u128::from(weight)
        });
        (weighted.sum::<u128>() / u128::from(self.weights.last().copied().unwrap_or(1))) as u64
    }

    /// Appends the head of the message's payload to `out`; `filler` must be the message's.
    pub fn write_head(&self, identity: &Identity, filler: &Filler, out: &mut Vec<u8>) {
        if filler.compact {
            out.extend_from_slice(&self.compact_head(identity, filler));
        } else {
            out.extend_from_slice(&self.full_head(identity, filler));
        }
    }

    fn full_head(&self, identity: &Identity, filler: &Filler) -> [u8; FULL_BYTES] {
        let mut head = [0; FULL_BYTES];
        head[..8].copy_from_slice(&FULL_MAGIC);
        head[8..16].copy_from_slice(&self.run.to_le_bytes());
        head[16..24].copy_from_slice(&identity.sequence.to_le_bytes());
        head[24..32].copy_from_slice(&identity.intended_ns.unwrap_or(0).to_le_bytes());
        head[32..36].copy_from_slice(&identity.producer.to_le_bytes());
        head[36] = identity.attempt;
        head[40..44].copy_from_slice(&filler.check.to_le_bytes());
        let check = crc32c::crc32c(&head[..44]);
        head[44..].copy_from_slice(&check.to_le_bytes());
        head
    }

    fn compact_head(&self, identity: &Identity, filler: &Filler) -> [u8; COMPACT_BYTES] {
        let mut head = [0; COMPACT_BYTES];
        head[..2].copy_from_slice(&COMPACT_MAGIC);
        head[2..4].copy_from_slice(&(self.run as u16).to_le_bytes());
        head[4..6].copy_from_slice(&(identity.producer as u16).to_le_bytes());
        head[6..11].copy_from_slice(&identity.sequence.to_le_bytes()[..5]);
        head[11] = identity.attempt;
        let check = crc32c::crc32c_append(crc32c::crc32c(&head[..12]), &filler.bytes);
        head[12..].copy_from_slice(&check.to_le_bytes());
        head
    }

    /// Reads and checks a payload that arrived.
    ///
    /// # Errors
    /// `Alien` if it is not of this run, `Corrupt` if it is and differs from what was sent.
    pub fn read(&self, payload: &[u8]) -> Result<Identity, PayloadError> {
        if let Some(head) = payload.first_chunk::<FULL_BYTES>().filter(|head| head[..8] == FULL_MAGIC) {
            return self.read_full(head, &payload[FULL_BYTES..]);
        }
        match payload.first_chunk::<COMPACT_BYTES>() {
            Some(head) if head[..2] == COMPACT_MAGIC => self.read_compact(head, &payload[COMPACT_BYTES..]),
            _ => Err(PayloadError::Alien),
        }
    }

    fn read_full(&self, head: &[u8; FULL_BYTES], filler: &[u8]) -> Result<Identity, PayloadError> {
        if u32_at(head, 44) != crc32c::crc32c(&head[..44]) {
            return Err(PayloadError::Corrupt);
        }
        if u64_at(head, 8) != self.run {
            return Err(PayloadError::Alien);
        }
        let (producer, sequence) = (u32_at(head, 32), u64_at(head, 16));
        if !self.filler(producer, sequence).is_whole(filler, crc32c::crc32c(filler)) {
            return Err(PayloadError::Corrupt);
        }
        let intended_ns = Some(u64_at(head, 24)).filter(|intended_ns| *intended_ns != 0);
        Ok(Identity { producer, sequence, attempt: head[36], intended_ns })
    }

    fn read_compact(&self, head: &[u8; COMPACT_BYTES], filler: &[u8]) -> Result<Identity, PayloadError> {
        if u16::from_le_bytes([head[2], head[3]]) != self.run as u16 {
            return Err(PayloadError::Alien);
        }
        let check = crc32c::crc32c_append(crc32c::crc32c(&head[..12]), filler);
        let producer = u32::from(u16::from_le_bytes([head[4], head[5]]));
        let sequence = u64_at(&[head[6], head[7], head[8], head[9], head[10], 0, 0, 0], 0) & COMPACT_SEQUENCE_MASK;
        if u32_at(head, 12) != check || filler.len() != self.filler(producer, sequence).bytes.len() {
            return Err(PayloadError::Corrupt);
        }
        Ok(Identity { producer, sequence, attempt: head[11], intended_ns: None })
    }
}

/// A number that is as good as random for each message, and the same on both sides (splitmix64).
fn scatter(seed: u64, producer: u32, sequence: u64) -> u64 {
    let mut mixed = seed ^ u64::from(producer).rotate_left(40) ^ sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes([bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]])
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from(u32_at(bytes, offset)) | u64::from(u32_at(bytes, offset + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(template: &Template, identity: &Identity) -> Vec<u8> {
        let mut payload = Vec::new();
        let filler = template.filler(identity.producer, identity.sequence);
        template.write_head(identity, filler, &mut payload);
        payload.extend_from_slice(filler.bytes());
        payload
    }

    #[test]
    fn every_size_carries_its_identity() {
        for size in [16, 17, 47, 48, 49, 1024, 100_000] {
            let template = Template::new(0x1234_5678_9abc_def0, size, 7);
            let sent = Identity { producer: 3, sequence: 987_654_321, attempt: 2, intended_ns: Some(42) };
            let payload = whole(&template, &sent);
            assert_eq!(payload.len(), size);
            let expected = Identity { intended_ns: sent.intended_ns.filter(|_| size >= FULL_BYTES), ..sent };
            assert_eq!(template.read(&payload), Ok(expected));
        }
    }

    #[test]
    fn sizes_are_drawn_as_often_as_their_weights_say_and_known_to_the_receiver() {
        let sizes: Sizes = "16:70,1KiB:25,64KiB:5".parse().expect("sizes");
        let template = Template::of_sizes(5, &sizes, 9);
        let mut counts = std::collections::BTreeMap::new();
        for sequence in 0..20_000 {
            let sent = Identity { producer: 1, sequence, attempt: 0, intended_ns: None };
            *counts.entry(template.filler(1, sequence).payload_bytes()).or_insert(0_u64) += 1;
            if sequence < 200 {
                assert_eq!(template.read(&whole(&template, &sent)), Ok(sent));
            }
        }
        assert!(counts[&16].abs_diff(14_000) < 300 && counts[&65_536].abs_diff(1_000) < 150, "{counts:?}");
        assert_eq!(template.payload_bytes_mean(), (16 * 70 + 1024 * 25 + 65_536 * 5) / 100);
        // A payload of a size that another message should have is damaged.
        let other = Template::new(5, 1024, 9);
        let small = (0..).find(|sequence| template.filler(1, *sequence).payload_bytes() == 16).expect("70 in 100");
        let wrong = Identity { producer: 1, sequence: small, attempt: 0, intended_ns: Some(1) };
        assert_eq!(template.read(&whole(&other, &wrong)), Err(PayloadError::Corrupt));
    }

    #[test]
    fn contents_of_files_follow_the_head() {
        let contents = [Bytes::from_static(b"{\"order\":1}"), Bytes::new()];
        let template = Template::of_contents(5, &contents, 9);
        let sent = Identity { producer: 1, sequence: 3, attempt: 0, intended_ns: Some(8) };
        let payload = whole(&template, &sent);
        assert!(contents.iter().any(|content| payload[FULL_BYTES..] == content[..]));
        assert_eq!(template.read(&payload), Ok(sent));
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        for size in [16, 30, 48, 100] {
            let template = Template::new(99, size, 7);
            let sent = Identity { producer: 1, sequence: 5, attempt: 0, intended_ns: Some(1) };
            let payload = whole(&template, &sent);
            for bit in 0..size * 8 {
                let mut damaged = payload.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(template.read(&damaged).is_err(), "size {size}, bit {bit}");
            }
            for length in 0..size {
                assert!(template.read(&payload[..length]).is_err(), "size {size}, cut to {length}");
            }
        }
    }

    #[test]
    fn other_runs_are_alien() {
        let sent = Identity { producer: 1, sequence: 5, attempt: 0, intended_ns: Some(1) };
        for size in [16, 64] {
            let payload = whole(&Template::new(1, size, 7), &sent);
            assert_eq!(Template::new(2, size, 7).read(&payload), Err(PayloadError::Alien));
        }
        assert_eq!(Template::new(1, 64, 7).read(b"hello, this is somebody else's message"), Err(PayloadError::Alien));
    }
}
