//! Cipher lists as OpenSSL writes them, and the suites of rustls that they mean.
//!
//! Owns the one table of names. A list is exact: what it does not name is not offered.

use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite as suite;
use thiserror::Error;

/// OpenSSL's name, the version of TLS, and the suite.
const TABLE: &[(&str, &str, SupportedCipherSuite)] = &[
    ("TLS_AES_256_GCM_SHA384", "1.3", suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", "1.3", suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", "1.3", suite::TLS13_CHACHA20_POLY1305_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", "1.2", suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", "1.2", suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", "1.2", suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", "1.2", suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", "1.2", suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", "1.2", suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// Words of OpenSSL for sets that hold all of the table.
const ALL: &[&str] = &["ALL", "DEFAULT", "HIGH", "SECURE"];
/// Words of OpenSSL for sets that hold nothing of the table: excluding them is done already.
const NEVER: &[&str] = &[
    "aNULL",
    "eNULL",
    "NULL",
    "COMPLEMENTOFALL",
    "LOW",
    "MEDIUM",
    "EXP",
    "EXPORT",
    "EXPORT40",
    "EXPORT56",
    "SSLv2",
    "SSLv3",
    "MD5",
    "SHA1",
    "SHA",
    "RC2",
    "RC4",
    "DES",
    "3DES",
    "IDEA",
    "SEED",
    "CAMELLIA",
    "ARIA",
    "ADH",
    "AECDH",
    "DH",
    "DHE",
    "EDH",
    "kRSA",
    "kDHE",
    "kEDH",
    "PSK",
    "SRP",
    "DSS",
    "aDSS",
    "GOST",
];

/// Why a list cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum CipherError {
    /// A name that stands for no suite of ours.
    #[error("'{0}' is not a cipher of this server")]
    Unknown(String),
    /// `+` means one thing in OpenSSL and another in EMS.
    #[error("'{0}' begins with '+'")]
    Plus(String),
    /// All are excluded.
    #[error("'{0}' leaves no cipher")]
    Nothing(String),
}

impl CipherError {
    /// What to write instead.
    pub(crate) fn remedy(&self) -> String {
        let known: Vec<_> = TABLE.iter().map(|(name, _, _)| *name).collect();
        match self {
            CipherError::Plus(_) => "write the names without it, in the order wanted, with ':' between".into(),
            _ => format!("names with ':' between: {}", known.join(", ")),
        }
    }
}

/// The suites that `list` names, in its order; all of `default` if it is empty.
pub(super) fn suites(list: &str, default: &[SupportedCipherSuite]) -> Result<Vec<SupportedCipherSuite>, CipherError> {
    let mut words = list.split([':', ',', ' ']).filter(|word| !word.is_empty()).peekable();
    if words.peek().is_none() {
        return Ok(default.to_vec());
    }
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    let mut excluded: Vec<SupportedCipherSuite> = Vec::new();
    let mut any_named = false;
    for word in words {
        if word.starts_with('+') {
            return Err(CipherError::Plus(word.to_owned()));
        }
        match word.strip_prefix(['!', '-']) {
            Some(name) => {
                excluded.extend(excludes(name, default).ok_or_else(|| CipherError::Unknown(word.to_owned()))?)
            }
            None => {
                any_named = true;
                let named = names(word, default).ok_or_else(|| CipherError::Unknown(word.to_owned()))?;
                chosen.extend(named);
            }
        }
    }
    if !any_named {
        chosen = default.to_vec();
    }
    let mut suites: Vec<SupportedCipherSuite> = Vec::new();
    for suite in chosen {
        if !excluded.contains(&suite) && !suites.contains(&suite) {
            suites.push(suite);
        }
    }
    if suites.is_empty() { Err(CipherError::Nothing(list.to_owned())) } else { Ok(suites) }
}

fn names(word: &str, default: &[SupportedCipherSuite]) -> Option<Vec<SupportedCipherSuite>> {
    if ALL.iter().any(|all| all.eq_ignore_ascii_case(word)) {
        return Some(default.to_vec());
    }
    let known = TABLE.iter().find(|(name, _, _)| name.eq_ignore_ascii_case(word));
    known.map(|(_, _, suite)| vec![*suite])
}

fn excludes(word: &str, default: &[SupportedCipherSuite]) -> Option<Vec<SupportedCipherSuite>> {
    if NEVER.iter().any(|never| never.eq_ignore_ascii_case(word)) {
        return Some(Vec::new());
    }
    names(word, default)
}

/// The table for docs/PARAMETERS.md.
pub(crate) fn page() -> String {
    let rows = TABLE.iter().map(|(name, version, suite)| format!("| {name} | {version} | {:?} |\n", suite.suite()));
    format!("| OpenSSL's name | TLS | Suite |\n|---|---|---|\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &str, expected: Result<&[&str], CipherError>) {
        let default = rustls::crypto::ring::default_provider().cipher_suites;
        let found = suites(list, &default).map(|suites| {
            let name = |suite: &SupportedCipherSuite| TABLE.iter().find(|row| row.2 == *suite).expect("a row").0;
            suites.iter().map(name).collect::<Vec<_>>()
        });
        assert_eq!(found, expected.map(<[&str]>::to_vec), "{list:?}");
    }

    #[test]
    fn the_table_holds_every_suite_of_the_provider_once() {
        let default = rustls::crypto::ring::default_provider().cipher_suites;
        assert_eq!(default.len(), TABLE.len());
        assert!(default.iter().all(|suite| TABLE.iter().filter(|row| row.2 == *suite).count() == 1));
    }

    #[test]
    fn lists_mean_what_they_name_in_their_order() {
        let all: Vec<&str> = rustls::crypto::ring::default_provider()
            .cipher_suites
            .iter()
            .map(|suite| TABLE.iter().find(|row| row.2 == *suite).expect("a row").0)
            .collect();
        check("", Ok(&all));
        check("HIGH:!aNULL:!MD5", Ok(&all));
        check("!RC4", Ok(&all));
        check("ecdhe-rsa-aes128-gcm-sha256", Ok(&["ECDHE-RSA-AES128-GCM-SHA256"]));
        check(
            "ECDHE-RSA-CHACHA20-POLY1305:TLS_AES_128_GCM_SHA256:ECDHE-RSA-CHACHA20-POLY1305",
            Ok(&["ECDHE-RSA-CHACHA20-POLY1305", "TLS_AES_128_GCM_SHA256"]),
        );
        let without: Vec<&str> = all.iter().copied().filter(|name| *name != "TLS_AES_128_GCM_SHA256").collect();
        check("ALL:-TLS_AES_128_GCM_SHA256", Ok(&without));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        check("AES256-SHA", Err(CipherError::Unknown("AES256-SHA".into())));
        check("TLS_AES_128_GCM_SHA256:DHE-RSA-AES256-SHA", Err(CipherError::Unknown("DHE-RSA-AES256-SHA".into())));
        check("!no-such", Err(CipherError::Unknown("!no-such".into())));
        check("+RC4", Err(CipherError::Plus("+RC4".into())));
        check("TLS_AES_128_GCM_SHA256:!ALL", Err(CipherError::Nothing("TLS_AES_128_GCM_SHA256:!ALL".into())));
        assert!(CipherError::Unknown(String::new()).remedy().contains("ECDHE-RSA-AES256-GCM-SHA384"));
    }
}
