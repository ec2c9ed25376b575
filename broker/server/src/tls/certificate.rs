//! What a certificate says: whose it is, and for how long.

use super::problem::Cause;
use rustls::pki_types::CertificateDer;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};

/// A certificate that ends within this time is worth a warning.
const ENDS_SOON: Duration = Duration::from_secs(30 * 86_400);

/// Whose a verified certificate of the other side is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerCertificate {
    /// The subject's common name.
    pub(crate) common_name: Option<String>,
    /// DNS names, addresses, mail addresses and URIs of subjectAltName.
    pub(crate) subject_alt_names: Vec<String>,
}

impl PeerCertificate {
    /// The certificate's names; `None` if they cannot be read.
    pub(super) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        Some(PeerCertificate {
            common_name: common_name(&certificate),
            subject_alt_names: subject_alt_names(&certificate),
        })
    }
}

/// What the operator is told about an own certificate.
#[derive(Debug)]
pub(super) struct Facts {
    subject: String,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Facts {
    pub(super) fn of(der: &CertificateDer<'_>) -> Result<Self, Cause> {
        let certificate = Certificate::from_der(der).map_err(Cause::Certificate)?;
        let (tbs, names) = (certificate.tbs_certificate(), subject_alt_names(&certificate));
        let mut subject = tbs.subject().to_string();
        if !names.is_empty() {
            subject = format!("{subject} for {}", names.join(", "));
        }
        let validity = tbs.validity();
        Ok(Facts {
            subject,
            not_before: validity.not_before.to_system_time(),
            not_after: validity.not_after.to_system_time(),
        })
    }

    pub(super) fn remark(&self, parameter: &str, now: SystemTime) -> String {
        let Facts { subject, not_before, not_after } = self;
        let until = humantime::format_rfc3339_seconds(*not_after);
        if now < *not_before {
            let from = humantime::format_rfc3339_seconds(*not_before);
            format!("Warning: {parameter} ({subject}) is not valid before {from}: nobody will accept it until then")
        } else if now >= *not_after {
            format!("Warning: {parameter} ({subject}) expired at {until}: nobody will accept it; renew it")
        } else if *not_after < now + ENDS_SOON {
            format!("Warning: {parameter} ({subject}) expires at {until}: renew it")
        } else {
            format!("{parameter}: {subject}, valid until {until}")
        }
    }
}

fn common_name(certificate: &Certificate) -> Option<String> {
    let name = certificate.tbs_certificate().subject().common_name().ok()??;
    match name {
        DirectoryString::PrintableString(text) => Some(text.as_str().to_owned()),
        DirectoryString::TeletexString(text) => Some(text.as_str().to_owned()),
        DirectoryString::Utf8String(text) => Some(text),
        DirectoryString::BmpString(text) => Some(text.to_string()),
    }
}

fn subject_alt_names(certificate: &Certificate) -> Vec<String> {
    let extension = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let Ok(Some((_, SubjectAltName(names)))) = extension else { return Vec::new() };
    names.iter().filter_map(text_of).collect()
}

fn text_of(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(text) | GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) => {
            Some(text.as_str().to_owned())
        }
        GeneralName::IpAddress(octets) => {
            let octets = octets.as_bytes();
            let v4 = <[u8; 4]>::try_from(octets).map(|octets| Ipv4Addr::from(octets).to_string());
            v4.or_else(|_| <[u8; 16]>::try_from(octets).map(|octets| Ipv6Addr::from(octets).to_string())).ok()
        }
        _ => None,
    }
}
