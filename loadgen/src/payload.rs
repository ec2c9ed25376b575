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
//! The filler is the same for all messages of a run, so its check is taken once and a message costs one short CRC.

use bytes::Bytes;

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
    /// When the schedule wanted it sent; `None` in the compact layout, which has no room for it.
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

/// What all payloads of a run have in common.
#[derive(Debug, Clone)]
pub struct Template {
    run: u64,
    filler: Bytes,
    filler_check: u32,
    compact: bool,
}

impl Template {
    /// Payloads of `payload_bytes` for the run with the number `run`; the filler comes from `seed`.
    ///
    /// # Panics
    /// If `payload_bytes` is below `PAYLOAD_BYTES_MIN`.
    #[must_use]
    pub fn new(run: u64, payload_bytes: usize, seed: u64) -> Self {
        assert!(payload_bytes >= PAYLOAD_BYTES_MIN);
        let compact = payload_bytes < FULL_BYTES;
        let head_bytes = if compact { COMPACT_BYTES } else { FULL_BYTES };
        let mut filler = vec![0; payload_bytes - head_bytes];
        fastrand::Rng::with_seed(seed).fill(&mut filler);
        Self { run, filler_check: crc32c::crc32c(&filler), filler: Bytes::from(filler), compact }
    }

    /// The part that is the same in all payloads; it follows the head.
    #[must_use]
    pub fn filler(&self) -> &Bytes {
        &self.filler
    }

    /// Appends the head of the message's payload to `out`.
    pub fn write_head(&self, identity: &Identity, out: &mut Vec<u8>) {
        if self.compact {
            out.extend_from_slice(&self.compact_head(identity));
        } else {
            out.extend_from_slice(&self.full_head(identity));
        }
    }

    fn full_head(&self, identity: &Identity) -> [u8; FULL_BYTES] {
        let mut head = [0; FULL_BYTES];
        head[..8].copy_from_slice(&FULL_MAGIC);
        head[8..16].copy_from_slice(&self.run.to_le_bytes());
        head[16..24].copy_from_slice(&identity.sequence.to_le_bytes());
        head[24..32].copy_from_slice(&identity.intended_ns.unwrap_or(0).to_le_bytes());
        head[32..36].copy_from_slice(&identity.producer.to_le_bytes());
        head[36] = identity.attempt;
        head[40..44].copy_from_slice(&self.filler_check.to_le_bytes());
        let check = crc32c::crc32c(&head[..44]);
        head[44..].copy_from_slice(&check.to_le_bytes());
        head
    }

    fn compact_head(&self, identity: &Identity) -> [u8; COMPACT_BYTES] {
        let mut head = [0; COMPACT_BYTES];
        head[..2].copy_from_slice(&COMPACT_MAGIC);
        head[2..4].copy_from_slice(&(self.run as u16).to_le_bytes());
        head[4..6].copy_from_slice(&(identity.producer as u16).to_le_bytes());
        head[6..11].copy_from_slice(&identity.sequence.to_le_bytes()[..5]);
        head[11] = identity.attempt;
        let check = crc32c::crc32c_append(crc32c::crc32c(&head[..12]), &self.filler);
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
        if u32_at(head, 40) != crc32c::crc32c(filler) || filler.len() != self.filler.len() {
            return Err(PayloadError::Corrupt);
        }
        Ok(Identity {
            producer: u32_at(head, 32),
            sequence: u64_at(head, 16),
            attempt: head[36],
            intended_ns: Some(u64_at(head, 24)),
        })
    }

    fn read_compact(&self, head: &[u8; COMPACT_BYTES], filler: &[u8]) -> Result<Identity, PayloadError> {
        if u16::from_le_bytes([head[2], head[3]]) != self.run as u16 {
            return Err(PayloadError::Alien);
        }
        let check = crc32c::crc32c_append(crc32c::crc32c(&head[..12]), filler);
        if u32_at(head, 12) != check || filler.len() != self.filler.len() {
            return Err(PayloadError::Corrupt);
        }
        Ok(Identity {
            producer: u32::from(u16::from_le_bytes([head[4], head[5]])),
            sequence: u64_at(&[head[6], head[7], head[8], head[9], head[10], 0, 0, 0], 0) & COMPACT_SEQUENCE_MASK,
            attempt: head[11],
            intended_ns: None,
        })
    }
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
        template.write_head(identity, &mut payload);
        payload.extend_from_slice(template.filler());
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
