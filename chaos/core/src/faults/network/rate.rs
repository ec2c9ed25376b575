//! How much a line carries, as a scenario writes it: `1MB` a second.

use loadgen::units::parse_bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU64;

/// Bytes per second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteRate {
    text: String,
    bytes_per_s: NonZeroU64,
}

impl ByteRate {
    /// The number.
    pub fn bytes_per_s(&self) -> NonZeroU64 {
        self.bytes_per_s
    }
}

impl TryFrom<String> for ByteRate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = parse_bytes(&text).map_err(|error| format!("rate: {error}"))?;
        let bytes_per_s = NonZeroU64::new(bytes as u64).ok_or("rate: 0 is a cut, not a rate; write do = \"cut\"")?;
        Ok(Self { text, bytes_per_s })
    }
}

impl From<ByteRate> for String {
    fn from(rate: ByteRate) -> Self {
        rate.text
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_size_each_second() {
        let rate = |text: &str| ByteRate::try_from(text.to_owned());
        assert_eq!(rate("2KiB").expect("well-formed").bytes_per_s().get(), 2048);
        assert_eq!(rate("2KiB").expect("well-formed").to_string(), "2KiB/s");
        assert!(rate("0").is_err() && rate("fast").is_err());
    }
}
