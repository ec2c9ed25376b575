//! Owns how sizes and times are written on a command line.

use std::time::Duration;

/// A time or a size that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnitError {
    /// Not a time.
    #[error("`{0}` is not a time: write a number with us, ms, s, m or h, such as 250ms")]
    Duration(String),
    /// Not a size.
    #[error("`{0}` is not a size: write a number of bytes, or one with KB, KiB, MB, MiB, GB or GiB, such as 1KiB")]
    Bytes(String),
}

/// Reads a time such as `200us`, `1.5s` or `5m`; a bare number is seconds.
///
/// # Errors
/// No number, an unknown unit, or more than a year.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let wrong = || UnitError::Duration(text.to_owned());
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(wrong()),
    };
    if seconds > 366.0 * 86_400.0 { Err(wrong()) } else { Ok(Duration::from_nanos((seconds * 1e9).round() as u64)) }
}

/// Reads the size of a message such as `16`, `1KiB` or `2MB`, at most 1 GiB.
///
/// # Errors
/// No number, an unknown unit, or too much.
pub fn parse_bytes(text: &str) -> Result<usize, UnitError> {
    let bytes = parse_size(text)?;
    if bytes > 1 << 30 { Err(UnitError::Bytes(text.to_owned())) } else { Ok(bytes as usize) }
}

/// Reads a size of many messages such as `10MiB`, `1GiB` or `10GB`, at most 1 PiB.
///
/// # Errors
/// No number, an unknown unit, or too much.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let wrong = || UnitError::Bytes(text.to_owned());
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "kib" => 1024.0,
        "m" | "mb" => 1e6,
        "mib" => 1024.0 * 1024.0,
        "g" | "gb" => 1e9,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    let bytes = number * factor;
    // Below 2^53 every whole number is exact.
    if bytes.fract() != 0.0 || bytes > (1_u64 << 50) as f64 { Err(wrong()) } else { Ok(bytes as u64) }
}

/// A number without sign or exponent, and what follows it.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let check = |text, expected| assert_eq!(parse_duration(text), Ok(Duration::from_nanos(expected)), "{text}");
        check("200us", 200_000);
        check("1.5ms", 1_500_000);
        check("10", 10_000_000_000);
        check("0.25 s", 250_000_000);
        check("2m", 120_000_000_000);
        for wrong in ["", "s", "-1s", "1e3s", "1d", "9999999h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [("16", 16), ("1KiB", 1024), ("1.5KiB", 1536), ("64KB", 64_000), ("2MiB", 2 << 20)] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "KiB", "1.5", "1TB", "2000MiB", "2GiB", "-5"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
        for (text, bytes) in [("10MiB", 10 << 20), ("10GiB", 10 << 30), ("2GB", 2_000_000_000)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        assert!(parse_size("0.3b").is_err() && parse_size("2000000GiB").is_err());
    }
}
