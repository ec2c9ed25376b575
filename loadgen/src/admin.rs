//! Owns the request and reply on the broker's administration address, as a client off the shelf would do it.

use std::time::Duration;

use crate::options::Url;

/// The address that takes requests.
pub const ADMIN_ADDRESS: &str = "$sys.admin";
/// The capability that an administrator's `open` desires.
pub const ADMIN_CAPABILITY: &str = "understudy:admin";

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No connection, or it was lost.
    #[error("{url}: {reason}")]
    Connection {
        /// The server.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The server took the request and did not answer in time.
    #[error("{url}: no reply within {limit:?}")]
    TimedOut {
        /// The server.
        url: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The reply is not JSON.
    #[error("{url}: the reply is not JSON: {source}")]
    NotJson {
        /// The server.
        url: String,
        /// Why not.
        source: serde_json::Error,
    },
}

/// Sends one request and gives the reply.
///
/// # Errors
/// The server cannot be reached, refuses, or does not answer within `limit`.
pub async fn request(
    url: &Url,
    user: &str,
    password: &str,
    body: &serde_json::Value,
    limit: Duration,
) -> Result<serde_json::Value, AdminError> {
    let _ = (url, user, password, body, limit);
    todo!()
}
