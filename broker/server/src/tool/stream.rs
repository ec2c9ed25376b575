//! The bytes between the tool and a server: plain TCP, or TLS.
//!
//! Owns the files that TLS takes and the handshake. Knows no AMQP.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of `-ssl_*`, in PEM.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    /// Authorities that are trusted.
    pub(super) trusted: Vec<PathBuf>,
    /// The tool's certificate with its issuers.
    pub(super) identity: Option<PathBuf>,
    /// Its key; without it the key stands in the file of the identity.
    pub(super) key: Option<PathBuf>,
}

/// How `ssl://` connections are made.
#[derive(Clone, Debug)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub(super) fn new(files: &Files) -> Result<Tls, String> {
        let mut roots = RootCertStore::empty();
        for path in &files.trusted {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| format!("-ssl_trusted {}: {error}", path.display()))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let config = match &files.identity {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let key_path = files.key.as_ref().unwrap_or(path);
                let key = PrivateKeyDer::from_pem_file(key_path)
                    .map_err(|error| format!("{}: no private key can be read: {error}", key_path.display()))?;
                let chain = certificates(path)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| format!("{}: {error}", path.display()))?
            }
        };
        Ok(Tls(Arc::new(config)))
    }

    /// Secures a connection that stands; the handshake comes with the first bytes.
    pub(super) fn secure(&self, socket: TcpStream, host: &str) -> io::Result<Stream> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)?;
        Ok(Stream::Tls(Box::new(StreamOwned::new(session, socket))))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable = |error| format!("{}: no certificate can be read: {error}", path.display());
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(unusable)?.collect();
    let all = all.map_err(unusable)?;
    if all.is_empty() { Err(format!("{}: has no certificate in PEM", path.display())) } else { Ok(all) }
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
