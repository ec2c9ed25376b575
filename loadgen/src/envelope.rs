//! Owns the AMQP encoding of a message of ours up to its payload, written into one buffer that is used again and again.
//!
//! Everything but the number and the size is the same for all messages of a producer, so it is encoded once.

use amqp::message::Header;
use bytes::BytesMut;

/// Format codes (core specification 1.6 and 3.2).
const DESCRIBED: u8 = 0x00;
const SMALL_ULONG: u8 = 0x53;
const PROPERTIES: u8 = 0x73;
const DATA: u8 = 0x75;
const NULL: u8 = 0x40;
const LIST8: u8 = 0xc0;
const LIST32: u8 = 0xd0;
const STRING8: u8 = 0xa1;
const STRING32: u8 = 0xb1;
const BINARY8: u8 = 0xa0;
const BINARY32: u8 = 0xb0;

/// Makes the heads of one producer's messages.
#[derive(Debug)]
pub(crate) struct Envelope {
    header: BytesMut,
    id_prefix: String,
}

impl Envelope {
    /// Message ids are `<run>-<producer>-<sequence>`.
    ///
    /// A first-acquirer that the client says is true survives only where the broker rewrites no header, which it must do
    /// for a message that it may have delivered before: an unmarked redelivery cannot hide behind the default.
    pub(crate) fn new(run: u64, producer: u32, durable: bool) -> Self {
        let mut header = BytesMut::new();
        Header { durable, first_acquirer: true, ..Header::default() }.encode(&mut header);
        Self { header, id_prefix: format!("{run:016x}-{producer}-") }
    }

    /// Replaces the content of `out` by all that stands before the payload of message `sequence`, which asks for an answer if it names where to.
    pub(crate) fn write(&self, sequence: u64, payload_bytes: u32, reply_to: Option<&str>, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.header);
        let mut digits = [0; 20];
        let digits = decimal(sequence, &mut digits);
        let id_bytes = (self.id_prefix.len() + digits.len()) as u8;
        match reply_to {
            // One field, the message-id: the list's size counts its count, the string's code, length and bytes.
            None => {
                out.extend_from_slice(&[DESCRIBED, SMALL_ULONG, PROPERTIES, LIST8, id_bytes + 3, 1, STRING8, id_bytes]);
            }
            // Five, of which message-id and reply-to have a value.
            Some(reply_to) => {
                let list_bytes = 4 + 2 + u32::from(id_bytes) + 3 + 5 + reply_to.len() as u32;
                out.extend_from_slice(&[DESCRIBED, SMALL_ULONG, PROPERTIES, LIST32]);
                out.extend_from_slice(&list_bytes.to_be_bytes());
                out.extend_from_slice(&5_u32.to_be_bytes());
                out.extend_from_slice(&[STRING8, id_bytes]);
            }
        }
        out.extend_from_slice(self.id_prefix.as_bytes());
        out.extend_from_slice(digits);
        if let Some(reply_to) = reply_to {
            out.extend_from_slice(&[NULL, NULL, NULL, STRING32]);
            out.extend_from_slice(&(reply_to.len() as u32).to_be_bytes());
            out.extend_from_slice(reply_to.as_bytes());
        }
        out.extend_from_slice(&[DESCRIBED, SMALL_ULONG, DATA]);
        match u8::try_from(payload_bytes) {
            Ok(length) => out.extend_from_slice(&[BINARY8, length]),
            Err(_longer) => {
                out.push(BINARY32);
                out.extend_from_slice(&payload_bytes.to_be_bytes());
            }
        }
    }
}

fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut begin = digits.len();
    loop {
        begin -= 1;
        digits[begin] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[begin..];
        }
    }
}

#[cfg(test)]
mod tests {
    use amqp::message::scan;

    use super::*;

    #[test]
    fn the_broker_reads_what_is_written() {
        let long = "r".repeat(300);
        let cases = [(0, 16, None), (9, 255, Some("r")), (10, 256, Some(long.as_str())), (u64::MAX, 70_000, None)];
        for (sequence, payload_bytes, reply_to) in cases {
            let mut message = vec![1, 2, 3];
            Envelope::new(0xab, 12, true).write(sequence, payload_bytes, reply_to, &mut message);
            message.extend(vec![7; payload_bytes as usize]);
            let sections = scan(&message).expect("a valid message");
            assert!(sections.header.durable && sections.header.first_acquirer);
            assert_eq!(sections.header.delivery_count, 0);
            let id = sections.message_id(&message).expect("valid").expect("present");
            assert_eq!(id.as_str(), Some(format!("00000000000000ab-12-{sequence}").as_str()));
            assert_eq!(sections.properties(&message).expect("valid").reply_to.as_deref(), reply_to);
            assert_eq!(sections.data(&message).map(<[u8]>::len), Some(payload_bytes as usize));
        }
    }
}
