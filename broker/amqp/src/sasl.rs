//! Owns what SASL needs to say (core specification part 5): outcome codes, a client's credentials, the PLAIN response.
//! Does not decide who may enter: that is the application's.

use alloc::string::String;
use alloc::vec::Vec;

/// The result of a SASL exchange (core specification 5.3.3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslCode {
    /// Authenticated.
    Ok,
    /// Wrong credentials.
    Auth,
    /// System error.
    Sys,
    /// System error that will not go away by itself.
    SysPerm,
    /// System error that may go away: clients may try again.
    SysTemp,
}

/// How a client authenticates.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientSasl {
    /// ANONYMOUS (RFC 4505).
    Anonymous,
    /// EXTERNAL (RFC 4422): who it is says the certificate.
    External,
    /// PLAIN (RFC 4616).
    Plain {
        /// Whose password it is.
        user: String,
        /// The password.
        password: String,
    },
}

impl core::fmt::Debug for ClientSasl {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Anonymous => formatter.write_str("Anonymous"),
            Self::External => formatter.write_str("External"),
            Self::Plain { user, .. } => write!(formatter, "Plain {{ user: {user:?} }}"),
        }
    }
}

impl ClientSasl {
    /// The name of the mechanism.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Anonymous => "ANONYMOUS",
            Self::External => "EXTERNAL",
            Self::Plain { .. } => "PLAIN",
        }
    }

    /// The initial response of the mechanism.
    pub fn initial_response(&self) -> Vec<u8> {
        match self {
            Self::Anonymous => b"anonymous".to_vec(),
            Self::External => Vec::new(),
            Self::Plain { user, password } => [b"\0", user.as_bytes(), b"\0", password.as_bytes()].concat(),
        }
    }
}

/// Takes a PLAIN response apart: `authzid NUL authcid NUL passwd` to user (authcid) and password.
///
/// None if it is not of that form or not UTF-8. The comparison of passwords is the application's, in constant time.
pub fn plain(response: &[u8]) -> Option<(&str, &str)> {
    let mut parts = response.split(|byte| *byte == 0);
    let (_authorize_as, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || user.is_empty() {
        return None;
    }
    Some((core::str::from_utf8(user).ok()?, core::str::from_utf8(password).ok()?))
}
