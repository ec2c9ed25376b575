//! Values as EMS writes them: booleans, times, sizes, counts, lists, URLs. Knows no parameter.

use thiserror::Error;

/// Why a text is not the value that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ValueError {
    /// Not a boolean.
    #[error("'{0}' is neither enabled nor disabled")]
    Flag(String),
    /// Not a time.
    #[error("'{0}' is not a time")]
    Time(String),
    /// Not a size.
    #[error("'{0}' is not a size")]
    Size(String),
    /// Not a whole number.
    #[error("'{0}' is not a whole number")]
    Count(String),
    /// Not one of the words.
    #[error("'{found}' is not one of {}", .choices.join(", "))]
    Choice {
        /// What stands there.
        found: String,
        /// What might.
        choices: &'static [&'static str],
    },
    /// Not a URL of the wanted kind.
    #[error("'{0}' is not a URL of the form {1}")]
    Url(String, &'static str),
    /// Outside the range.
    #[error("{0} is outside the range {1}")]
    Range(String, String),
    /// A password in TIBCO's own encoding.
    #[error("a mangled password ($man$...) can only be read by the server that made it")]
    Mangled,
}

impl ValueError {
    /// What the person who wrote it can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Flag(_) => "write enable, enabled, true, yes or on, or disable, disabled, false, no or off",
            Self::Time(_) => "write seconds as 3 or 0.25, or a unit: 250ms, 50us, 2min, 1h",
            Self::Size(_) => "write bytes as 1048576, or a unit: 512KB, 64MB, 1GB",
            Self::Count(_) => "write digits only",
            Self::Choice { .. } => "choose one of these words",
            Self::Url(..) => "correct the scheme, the host or the port",
            Self::Range(..) => "choose a value inside the range",
            Self::Mangled => "write the password in the clear and protect the file",
        }
    }
}

/// A boolean of EMS.
pub(crate) fn flag(text: &str) -> Result<bool, ValueError> {
    match text.to_ascii_lowercase().as_str() {
        "enable" | "enabled" | "true" | "yes" | "on" => Ok(true),
        "disable" | "disabled" | "false" | "no" | "off" => Ok(false),
        _ => Err(ValueError::Flag(text.to_owned())),
    }
}

/// Units of time and their nanoseconds. EMS writes whole seconds, and `msec` to `day` in queue properties.
const TIME_UNITS: &[(&[&str], f64)] = &[
    (&["ns"], 1.0),
    (&["us"], 1e3),
    (&["ms", "msec"], 1e6),
    (&["", "s", "sec"], 1e9),
    (&["m", "min"], 60e9),
    (&["h", "hour"], 3600e9),
    (&["d", "day"], 86_400e9),
];

/// Units of size and their bytes.
const SIZE_UNITS: &[(&[&str], f64)] = &[
    (&["", "b"], 1.0),
    (&["kb", "kib"], 1024.0),
    (&["mb", "mib"], 1024.0 * 1024.0),
    (&["gb", "gib"], 1024.0 * 1024.0 * 1024.0),
];

/// Highest result, far from the end of 64 bits; as nanoseconds 126 years. A double rounds above 2^53, that is by less
/// than a microsecond or by less than a kilobyte.
const RESULT_MAX: f64 = 4e18;

fn with_unit(text: &str, units: &[(&[&str], f64)]) -> Option<u64> {
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim().to_ascii_lowercase());
    let (_, factor) = units.iter().find(|(names, _)| names.contains(&unit.as_str()))?;
    let value = number.parse::<f64>().ok()? * factor;
    (value <= RESULT_MAX).then_some(value.round() as u64)
}

/// A time: nanoseconds from seconds, with decimals or a unit as our extension.
pub(crate) fn nanos(text: &str) -> Result<u64, ValueError> {
    with_unit(text, TIME_UNITS).ok_or_else(|| ValueError::Time(text.to_owned()))
}

/// A size in bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, ValueError> {
    with_unit(text, SIZE_UNITS).ok_or_else(|| ValueError::Size(text.to_owned()))
}

/// A whole number.
pub(crate) fn count(text: &str) -> Result<u64, ValueError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or_else(|| ValueError::Count(text.to_owned()))
}

/// One of some words, whatever the case.
pub(crate) fn choice(text: &str, choices: &'static [&'static str]) -> Result<&'static str, ValueError> {
    let found = choices.iter().find(|choice| choice.eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| ValueError::Choice { found: text.to_owned(), choices })
}

/// The elements of a list: commas between, blanks and surrounding brackets ignored, empty elements dropped.
pub(crate) fn list(text: &str) -> Vec<&str> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    inner.split(',').map(str::trim).filter(|element| !element.is_empty()).collect()
}

/// Where a URL of EMS points to: `tcp://host:port`, `ssl://host:port`; the host may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

const ADDRESS_FORM: &str = "tcp://host:port or ssl://host:port";

/// A URL of `listen` or `ft_active`.
pub(crate) fn address(text: &str) -> Result<Address, ValueError> {
    let wrong = || ValueError::Url(text.to_owned(), ADDRESS_FORM);
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let tls = match scheme {
        "tcp" => false,
        "ssl" => true,
        _ => return Err(wrong()),
    };
    let (host, port) = host_and_port(rest).ok_or_else(wrong)?;
    Ok(Address { host: host.to_owned(), port, tls })
}

const MONITOR_FORM: &str = "http://host:port";

/// A URL of `monitor_listen`; the host may be missing, the colon may not. `https` is understood, so that it can be refused
/// with words.
pub(crate) fn monitor_address(text: &str) -> Result<Address, ValueError> {
    let wrong = || ValueError::Url(text.to_owned(), MONITOR_FORM);
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let tls = match scheme {
        "http" => false,
        "https" => true,
        _ => return Err(wrong()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = host_and_port(rest).filter(|_| rest.contains(':')).ok_or_else(wrong)?;
    Ok(Address { host: host.to_owned(), port, tls })
}

/// `host:port`, `[v6]:port` or `port`.
fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let clean = host.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._:%".contains(letter));
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if clean && digits { Some((host, port.parse().ok()?)) } else { None }
}

const CLIENT_URL_FORM: &str = "amqp://host:port or amqps://host:port";

/// A URL that clients are told; `tcp` and `ssl` are taken for `amqp` and `amqps`.
pub(crate) fn client_url(text: &str) -> Result<String, ValueError> {
    let wrong = || ValueError::Url(text.to_owned(), CLIENT_URL_FORM);
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let scheme = match scheme {
        "tcp" | "amqp" => "amqp",
        "ssl" | "amqps" => "amqps",
        _ => return Err(wrong()),
    };
    let (host, _port) = host_and_port(rest).ok_or_else(wrong)?;
    if host.is_empty() { Err(wrong()) } else { Ok(format!("{scheme}://{rest}")) }
}
