//! Owns how brokers and queues are addressed: URLs of servers, and patterns that stand for many queues.

use std::fmt;
use std::str::FromStr;

/// A broker's address: `amqp[s]://[user[:password]@]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `amqps`: TLS from the first byte.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port; where the text names none, 5672, and 5671 for `amqps`.
    pub port: u16,
    /// Login and password, if the URL carries them.
    pub credentials: Option<(String, String)>,
}

impl fmt::Display for Url {
    /// Without the credentials, so that it can be printed.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        if self.host.contains(':') {
            write!(out, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// Why a URL could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UrlError {
    /// Another scheme than `amqp` and `amqps`.
    #[error("`{0}`: only amqp:// and amqps:// are spoken; write amqp://host:port")]
    Scheme(String),
    /// No host, or a port that is not a number from 1 to 65535.
    #[error("`{0}` names no host and port; write amqp://host:port")]
    HostPort(String),
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (tls, authority) = match text.split_once("://") {
            None => (false, text),
            Some(("amqp" | "tcp", rest)) => (false, rest),
            Some(("amqps" | "ssl", rest)) => (true, rest),
            Some(_) => return Err(UrlError::Scheme(text.to_owned())),
        };
        let authority = authority.trim_end_matches('/');
        let (credentials, location) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some((login, location)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                (Some((user.to_owned(), password.to_owned())), location)
            }
        };
        let wrong = || UrlError::HostPort(text.to_owned());
        let (host, port) = split_port(location).ok_or_else(wrong)?;
        let port = port.map_or(Ok(if tls { 5671 } else { 5672 }), str::parse).map_err(|_| wrong())?;
        if host.is_empty() || port == 0 || host.contains(['/', '?', ' ']) {
            return Err(wrong());
        }
        Ok(Self { tls, host: host.to_owned(), port, credentials })
    }
}

fn split_port(location: &str) -> Option<(&str, Option<&str>)> {
    if let Some(bracketed) = location.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        return match rest {
            "" => Some((host, None)),
            _ => Some((host, Some(rest.strip_prefix(':')?))),
        };
    }
    match location.split_once(':') {
        None => Some((location, None)),
        Some((host, port)) => Some((host, Some(port))),
    }
}

/// How many addresses a pattern may stand for.
const ADDRESSES_MAX: usize = 100_000;

/// A pattern of addresses that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a pattern: write for instance orders.{{0..99}}, or {{00..31}} for leading zeros; {ADDRESSES_MAX} addresses at most"
)]
pub struct PatternError(String);

/// The addresses that `pattern` stands for: `q.{0..2}` is `q.0`, `q.1` and `q.2`; several ranges make every combination.
///
/// # Errors
/// An unclosed brace, a range that is none, or too many addresses.
pub fn expand_addresses(pattern: &str) -> Result<Vec<String>, PatternError> {
    let wrong = || PatternError(pattern.to_owned());
    let Some((before, rest)) = pattern.split_once('{') else { return Ok(vec![pattern.to_owned()]) };
    let (range, after) = rest.split_once('}').ok_or_else(wrong)?;
    let (first, last) = range.split_once("..").ok_or_else(wrong)?;
    let (from, to): (usize, usize) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    let after = expand_addresses(after).map_err(|_| wrong())?;
    if from > to || (to - from).saturating_add(1).saturating_mul(after.len()) > ADDRESSES_MAX {
        return Err(wrong());
    }
    // Leading zeros are kept: {00..31}.
    let width = if first.starts_with('0') { first.len() } else { 0 };
    let names =
        (from..=to).flat_map(|number| after.iter().map(move |after| format!("{before}{number:0width$}{after}")));
    Ok(names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_with_and_without_their_parts() {
        let check = |text: &str, host: &str, port: u16, user: Option<&str>| {
            let url: Url = text.parse().expect(text);
            assert_eq!((url.host.as_str(), url.port), (host, port), "{text}");
            assert_eq!(url.credentials.as_ref().map(|(user, _)| user.as_str()), user, "{text}");
        };
        check("amqp://localhost:7222", "localhost", 7222, None);
        check("tcp://localhost:7222/", "localhost", 7222, None);
        check("127.0.0.1:1", "127.0.0.1", 1, None);
        check("amqp://broker", "broker", 5672, None);
        check("amqps://broker", "broker", 5671, None);
        check("amqp://me:p@ss@[::1]:7222", "::1", 7222, Some("me"));
        for wrong in ["http://a:1", "amqp://", "amqp://:1", "amqp://a:0", "amqp://a:b", "amqp://a:70000", "amqp://[::1"]
        {
            assert!(wrong.parse::<Url>().is_err(), "{wrong}");
        }
        assert_eq!("ssl://a:7".parse::<Url>().expect("valid").to_string(), "amqps://a:7");
        assert_eq!("amqp://me:secret@[::1]:7".parse::<Url>().expect("valid").to_string(), "amqp://[::1]:7");
    }

    #[test]
    fn patterns_of_addresses_are_expanded() {
        let check = |pattern: &str, expected: &[&str]| assert_eq!(expand_addresses(pattern).expect(pattern), expected);
        check("q", &["q"]);
        check("q.{0..2}", &["q.0", "q.1", "q.2"]);
        check("{08..10}.x", &["08.x", "09.x", "10.x"]);
        check("a{1..2}b{0..1}", &["a1b0", "a1b1", "a2b0", "a2b1"]);
        for wrong in ["q.{0..2", "q.{}", "q.{2..1}", "q.{0-2}", "q.{0..99999999}", "{0..999}{0..999}"] {
            assert!(expand_addresses(wrong).is_err(), "{wrong}");
        }
    }
}
