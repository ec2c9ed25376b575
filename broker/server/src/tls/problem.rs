//! Why the files of a TLS parameter cannot be used, and what to do.

use super::ciphers::CipherError;
use rustls::server::VerifierBuilderError;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The parameters' names on one side.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) identity: &'static str,
    pub(super) key: &'static str,
    pub(super) password: &'static str,
    pub(super) issuer: &'static str,
    pub(super) trusted: &'static str,
    pub(super) ciphers: &'static str,
    /// That nobody is trusted, in words.
    pub(super) untrusting: &'static str,
}

impl Names {
    pub(super) const ACCEPTING: Names = Names {
        identity: "ssl_server_identity",
        key: "ssl_server_key",
        password: "ssl_password",
        issuer: "ssl_server_issuer",
        trusted: "ssl_server_trusted",
        ciphers: "ssl_server_ciphers",
        untrusting: "ssl_require_client_cert is enabled, and no authority is trusted",
    };
    pub(super) const CONNECTING: Names = Names {
        identity: "ft_ssl_identity",
        key: "ft_ssl_private_key",
        password: "ft_ssl_password",
        issuer: "ft_ssl_issuer",
        trusted: "ft_ssl_trusted",
        ciphers: "ft_ssl_ciphers",
        untrusting: "ft_ssl_verify_host is enabled, and no authority is trusted",
    };
    pub(super) const TOOL: Names = Names {
        identity: "-ssl_identity",
        key: "-ssl_key",
        password: "-ssl_password",
        issuer: "-ssl_issuer",
        trusted: "-ssl_trusted",
        ciphers: "-ssl_ciphers",
        untrusting: "without -ssl_noverifyhost the server's certificate is checked, and no authority is trusted",
    };
}

/// What is wrong with one parameter.
#[derive(Debug, Error)]
#[error("{parameter}: {} ({})", self.message(), self.remedy())]
pub(crate) struct Problem {
    /// The parameter.
    pub(crate) parameter: &'static str,
    file: Option<PathBuf>,
    cause: Box<Cause>,
}

impl Problem {
    pub(super) fn new(parameter: &'static str, file: Option<&PathBuf>, cause: Cause) -> Self {
        Problem { parameter, file: file.cloned(), cause: Box::new(cause) }
    }

    /// What is wrong, with the file.
    pub(crate) fn message(&self) -> String {
        match &self.file {
            Some(file) => format!("{}: {}", file.display(), self.cause),
            None => self.cause.to_string(),
        }
    }

    /// What to do.
    pub(crate) fn remedy(&self) -> String {
        self.cause.remedy(self.parameter)
    }
}

/// A cause.
#[derive(Debug, Error)]
pub(super) enum Cause {
    /// A parameter that is needed is not set.
    #[error("is not set: {0}")]
    Missing(&'static str),
    /// A key without the certificate that it belongs to.
    #[error("has no certificate: {0} is not set")]
    KeyAlone(&'static str),
    /// The file or folder cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// Larger than any file of its kind.
    #[error("is larger than {0} bytes")]
    TooLarge(u64),
    /// Neither PEM nor DER.
    #[error("holds no certificate")]
    NoCertificate,
    /// A certificate that cannot be understood.
    #[error("holds a certificate that cannot be read: {0}")]
    Certificate(x509_cert::der::Error),
    /// Broken PEM.
    #[error("is not sound PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    /// A PKCS#12 file.
    #[error("is a PKCS#12 file, which is not read")]
    Pkcs12(PathBuf),
    /// A PKCS#7 file.
    #[error("is a PKCS#7 file, which is not read")]
    Pkcs7(PathBuf),
    /// No key.
    #[error("holds no private key")]
    NoKey,
    /// Encrypted in the way of old OpenSSL versions.
    #[error("holds a key in the encryption of old OpenSSL versions (Proc-Type: 4,ENCRYPTED), which is not read")]
    LegacyKey(PathBuf),
    /// Encrypted by another scheme than PBES2 with AES.
    #[error("holds a key that is encrypted by a scheme which is not known ({0})")]
    KeyScheme(pkcs8::Error, PathBuf),
    /// Encrypted, and there is no password.
    #[error("is encrypted, and no password is set")]
    NoPassword,
    /// Encrypted with another password.
    #[error("cannot be decrypted: the password is wrong")]
    WrongPassword,
    /// The key is not the certificate's.
    #[error("is not the key of the certificate in {}", .0.display())]
    KeyMismatch(PathBuf),
    /// rustls does not take it.
    #[error("cannot be used: {0}")]
    Rustls(rustls::Error),
    /// Authorities or revocation lists do not make a verifier.
    #[error("cannot be used: {0}")]
    Verifier(VerifierBuilderError),
    /// No revocation list.
    #[error("holds no revocation list")]
    NoLists,
    /// Ciphers.
    #[error("{0}")]
    Ciphers(CipherError),
    /// Neither a DNS name nor an address.
    #[error("'{0}' is neither a DNS name nor an IP address")]
    HostName(String),
}

impl Cause {
    pub(super) fn of_key(error: rustls::Error, identity: &Path) -> Cause {
        match error {
            rustls::Error::InconsistentKeys(_) => Cause::KeyMismatch(identity.to_owned()),
            error => Cause::Rustls(error),
        }
    }

    pub(super) fn is_about_password(&self) -> bool {
        matches!(self, Cause::NoPassword | Cause::WrongPassword)
    }

    fn remedy(&self, parameter: &str) -> String {
        match self {
            Cause::Missing(_) => format!("set {parameter}"),
            Cause::KeyAlone(identity) => format!("set {identity}, or remove {parameter}"),
            Cause::Unreadable(_) => "correct the path, or let the server's user read it".into(),
            Cause::TooLarge(_) => "name the right file".into(),
            Cause::NoCertificate | Cause::Certificate(_) | Cause::Pem(_) => "name a file in PEM or DER".into(),
            Cause::Pkcs12(path) => format!("convert it: openssl pkcs12 -in {0} -nodes -out {0}.pem", path.display()),
            Cause::Pkcs7(path) => {
                format!("convert it: openssl pkcs7 -in {0} -print_certs -out {0}.pem", path.display())
            }
            Cause::NoKey => "name a file with a key in PKCS#8, PKCS#1 or SEC1, as PEM or DER".into(),
            Cause::LegacyKey(path) | Cause::KeyScheme(_, path) => {
                format!("convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in {0} -out {0}.pem", path.display())
            }
            Cause::NoPassword | Cause::WrongPassword => format!("set {parameter} to the key's password"),
            Cause::KeyMismatch(_) => "name the certificate and the key of one pair".into(),
            Cause::Rustls(_) | Cause::Verifier(_) => "have it issued anew".into(),
            Cause::NoLists => "put the authorities' lists there, in PEM or DER, or remove the line".into(),
            Cause::Ciphers(error) => error.remedy(),
            Cause::HostName(_) => format!("set {parameter} to the name in the other server's certificate"),
        }
    }
}
