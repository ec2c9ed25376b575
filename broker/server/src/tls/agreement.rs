//! What two servers must have in common so that a client of one is accepted by the other, and accepts it.
//!
//! Owns the choice. The servers' own certificates and keys may differ; who issued them may not, since clients trust that.

use crate::config::TlsSettings;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Bytes of a fingerprint that are shown: enough to find the file with `openssl x509 -fingerprint -sha256`.
const SHOWN_BYTES: usize = 8;

/// Names and values: the certificates that are shown with the own one and the name of their issuer, the authorities that clients'
/// certificates may come from, and what is asked of clients.
pub(super) fn rows(
    settings: &TlsSettings,
    chain: &[CertificateDer<'_>],
    trusted: &[(&PathBuf, CertificateDer<'_>)],
) -> Vec<(String, String)> {
    let row = |kind: &str, der: &CertificateDer<'_>| {
        let digest = Sha256::digest(der);
        let shown: Vec<String> = digest[..SHOWN_BYTES].iter().map(|byte| format!("{byte:02X}")).collect();
        let whole = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        (format!("{kind} '{}' (SHA-256 {}...)", subject(der), shown.join(":")), whole)
    };
    let issuers = chain.iter().skip(1).map(|der| row("issuer of the certificate", der));
    let last = chain.last().map(|der| (format!("issuer of the certificate: '{}'", issuer(der)), String::new()));
    let trusted = trusted.iter().map(|(_, der)| row("trusted authority", der));
    let set = |is_set: bool| is_set.to_string();
    let parameters = [
        ("ssl_require_client_cert", set(settings.require_client_cert)),
        ("ssl_use_cert_username", set(settings.use_cert_username)),
        ("ssl_cert_user_specname", settings.cert_user_specname.clone()),
        ("ssl_server_ciphers", settings.accepting.ciphers.clone()),
        ("ssl_crl_path (whether set)", set(settings.crl_path.is_some())),
    ];
    let parameters = parameters.into_iter().map(|(name, value)| (format!("parameter {name}"), value));
    issuers.chain(last).chain(trusted).chain(parameters).collect()
}

fn subject(der: &CertificateDer<'_>) -> String {
    Certificate::from_der(der).map_or_else(|_| "?".to_owned(), |found| found.tbs_certificate().subject().to_string())
}

fn issuer(der: &CertificateDer<'_>) -> String {
    Certificate::from_der(der).map_or_else(|_| "?".to_owned(), |found| found.tbs_certificate().issuer().to_string())
}
