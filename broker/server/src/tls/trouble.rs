//! Why a connection cannot be understood, in words that say what to do.
//!
//! The same error means different things to the two sides, so that the words depend on the [`Side`].

use rustls::{AlertDescription, CertificateError, Error};

/// Which side is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Somebody connected to a listen of ours.
    Accepting,
    /// We connected to the URL of `ft_active`.
    Connecting,
}

/// What went wrong between a socket and its codec.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// TLS where plain AMQP was expected.
    SpeaksTls,
    /// Plain AMQP where TLS was expected.
    SpeaksPlain,
    /// A record without sense.
    Record(std::io::Error),
    /// What rustls or the other side objects to.
    Tls(Error),
}

impl Trouble {
    /// The reason and the remedy.
    pub(crate) fn tell(&self, side: Side) -> String {
        match (self, side) {
            (Trouble::SpeaksTls, Side::Accepting) => {
                "it speaks TLS to a tcp:// listen; let it use amqp://, or make the listen ssl://".into()
            }
            (Trouble::SpeaksTls, Side::Connecting) => {
                "the other server speaks TLS there; write ssl:// in ft_active, as in its listen".into()
            }
            (Trouble::SpeaksPlain, Side::Accepting) => {
                "it speaks plain AMQP to an ssl:// listen; let it use amqps://, or give it a tcp:// listen".into()
            }
            (Trouble::SpeaksPlain, Side::Connecting) => {
                "the other server speaks plain AMQP there; write tcp:// in ft_active, as in its listen".into()
            }
            (Trouble::Record(error), _) => format!("a record makes no sense: {error}"),
            (Trouble::Tls(Error::InvalidCertificate(error)), Side::Accepting) => client_certificate(error),
            (Trouble::Tls(Error::InvalidCertificate(error)), Side::Connecting) => server_certificate(error),
            (Trouble::Tls(Error::AlertReceived(alert)), Side::Accepting) => client_objects(*alert),
            (Trouble::Tls(Error::AlertReceived(alert)), Side::Connecting) => server_objects(*alert),
            (Trouble::Tls(Error::NoCertificatesPresented), Side::Accepting) => {
                "it showed no certificate, and ssl_require_client_cert is enabled; give it one of an authority in ssl_server_trusted"
                    .into()
            }
            (Trouble::Tls(error @ (Error::PeerIncompatible(_) | Error::PeerMisbehaved(_))), Side::Accepting) => {
                format!("{error}; TLS 1.2 and 1.3 are spoken here, with the ciphers of ssl_server_ciphers")
            }
            (Trouble::Tls(error @ (Error::PeerIncompatible(_) | Error::PeerMisbehaved(_))), Side::Connecting) => {
                format!("{error}; compare ft_ssl_ciphers with ssl_server_ciphers of the other server")
            }
            (Trouble::Tls(error), _) => error.to_string(),
        }
    }
}

fn client_certificate(error: &CertificateError) -> String {
    match error {
        // A bad signature: an authority of the same name, but with another key, such as the one before.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate comes from an authority that is not in ssl_server_trusted; add the authority's certificate there".into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate has expired ({error}); renew it")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("its certificate is not valid yet ({error}); compare the clocks of both machines")
        }
        CertificateError::Revoked => "its certificate was revoked by its authority; have a new one issued".into(),
        CertificateError::UnknownRevocationStatus => {
            "its authority has no revocation list in ssl_crl_path; put it there, or remove ssl_crl_path".into()
        }
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "its authority's revocation list in ssl_crl_path is out of date; replace it and send SIGHUP".into()
        }
        error => format!("its certificate is not accepted: {error}"),
    }
}

fn server_certificate(error: &CertificateError) -> String {
    match error {
        // A bad signature: an authority of the same name, but with another key, such as the one before.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the other server's certificate comes from an authority that is not in ft_ssl_trusted; add the authority's certificate there"
                .into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the other server's certificate has expired ({error}); renew its ssl_server_identity")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the other server's certificate is not valid yet ({error}); compare the clocks of both machines")
        }
        CertificateError::NotValidForName => "the other server's certificate has another name".into(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            let presented = if presented.is_empty() { "no name".to_owned() } else { presented.join(", ") };
            format!(
                "the other server's certificate is not for '{expected}': its subjectAltName has {presented}; set ft_ssl_expected_hostname, or ft_ssl_verify_hostname = disabled"
            )
        }
        error => format!("the other server's certificate is not accepted: {error}"),
    }
}

/// What a client did not like about us.
fn client_objects(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "it does not trust the authority of ssl_server_identity; give it that authority's certificate, and put issuers between them into ssl_server_issuer"
                .into()
        }
        AlertDescription::CertificateExpired => "it finds ssl_server_identity expired or not valid yet; renew it".into(),
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            format!(
                "it refused ssl_server_identity ({}); the subjectAltName must have the host name or address that clients connect to",
                words(alert)
            )
        }
        alert => format!("it ended the handshake: {}", words(alert)),
    }
}

/// What the other server did not like about us.
fn server_objects(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "the other server demands a certificate (its ssl_require_client_cert); set ft_ssl_identity and ft_ssl_private_key".into()
        }
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "the other server does not trust the authority of ft_ssl_identity; add that authority to its ssl_server_trusted".into()
        }
        AlertDescription::CertificateExpired => {
            "the other server finds ft_ssl_identity expired or not valid yet; renew it".into()
        }
        AlertDescription::CertificateRevoked => "the other server knows ft_ssl_identity as revoked; renew it".into(),
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
            format!(
                "the other server found no common ground ({}); compare ft_ssl_ciphers with its ssl_server_ciphers",
                words(alert)
            )
        }
        alert => format!("the other server ended the handshake: {}; its log says why", words(alert)),
    }
}

/// An alert as the specification writes it: `UnknownCA` is `unknown_ca`.
fn words(alert: AlertDescription) -> String {
    let mut words = String::new();
    let mut was_lower = false;
    for letter in format!("{alert:?}").chars() {
        if letter.is_uppercase() && was_lower {
            words.push('_');
        }
        was_lower = letter.is_lowercase();
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_written_as_the_specification_does() {
        assert_eq!(words(AlertDescription::UnknownCA), "unknown_ca");
        assert_eq!(words(AlertDescription::HandshakeFailure), "handshake_failure");
    }

    #[test]
    fn each_objection_has_words_of_its_own_on_both_sides() {
        use CertificateError::{Expired, NotValidForName, NotValidYet, Revoked, UnknownIssuer};
        let certificates =
            [UnknownIssuer, Expired, NotValidForName, NotValidYet, Revoked].map(Error::InvalidCertificate);
        let alerts = [
            AlertDescription::UnknownCA,
            AlertDescription::CertificateExpired,
            AlertDescription::BadCertificate,
            AlertDescription::CertificateRequired,
            AlertDescription::HandshakeFailure,
        ]
        .map(Error::AlertReceived);
        let mut troubles: Vec<Trouble> = certificates.into_iter().chain(alerts).map(Trouble::Tls).collect();
        troubles.extend([Trouble::SpeaksTls, Trouble::SpeaksPlain, Trouble::Tls(Error::NoCertificatesPresented)]);
        for side in [Side::Accepting, Side::Connecting] {
            let mut told: Vec<String> = troubles.iter().map(|trouble| trouble.tell(side)).collect();
            let count = told.len();
            told.sort();
            told.dedup();
            assert_eq!(told.len(), count, "{told:#?}");
        }
    }
}
