//! The bytes between the tool and a server: plain TCP, or TLS.
//!
//! Owns the files that TLS takes and the handshake. Knows no AMQP.

use crate::config::{TlsFiles, TlsSettings};
use crate::tls;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// How `ssl://` connections are made.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    /// `None`: no authority is trusted, so that nobody can be.
    config: Option<Arc<ClientConfig>>,
    /// The name that the server's certificate must have, where it is not the URL's host.
    hostname: Option<String>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the option and the file that cannot be used.
    pub(super) fn new(
        files: TlsFiles,
        hostname: Option<String>,
        verify_host: bool,
        verify_hostname: bool,
    ) -> Result<Tls, String> {
        if verify_host && files == TlsFiles::default() {
            return Ok(Tls { config: None, hostname });
        }
        let settings = TlsSettings { connecting: files, verify_host, verify_hostname, ..TlsSettings::default() };
        let config = tls::tool(&settings).map_err(|problem| problem.to_string())?;
        Ok(Tls { config: Some(Arc::new(config)), hostname })
    }

    /// Secures a connection that stands; the handshake comes with the first bytes.
    pub(super) fn secure(&self, socket: TcpStream, host: &str) -> io::Result<Stream> {
        let config = self.config.as_ref().ok_or_else(|| {
            io::Error::other("an ssl:// URL needs -ssl_trusted FILE, with the authority of the server's certificate")
        })?;
        let host = self.hostname.as_deref().unwrap_or(host);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::other(format!("'{host}' is neither a DNS name nor an address; set -ssl_hostname"))
        })?;
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Stream::Tls(Box::new(StreamOwned::new(session, socket))))
    }
}

/// An error of a connection, and what to do where TLS is the matter.
pub(super) fn in_words(error: &io::Error) -> String {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            // Only sessions of TLS tell it so: the end came without a farewell.
            io::ErrorKind::UnexpectedEof => {
                "the server broke off the session of TLS; is that an ssl:// listen of the server? tcp:// is for the others".to_owned()
            }
            _ => error.to_string(),
        };
    };
    let remedy = match tls {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its authority is not in -ssl_trusted: name the file with the authority's certificate"
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "write the URL with a name of the certificate, or that name to -ssl_hostname, or -ssl_noverifyhostname",
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "renew the server's certificate"
        }
        rustls::Error::InvalidMessage(_) => "is that an ssl:// listen of the server? tcp:// is for the others",
        rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired) => {
            "the server wants a certificate: -ssl_identity FILE, and -ssl_key FILE where the key is apart"
        }
        _ => return format!("TLS: {tls}; the server's log may say more"),
    };
    format!("TLS: {tls}; {remedy}")
}

/// A connection.
pub(super) enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// Secured.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}
