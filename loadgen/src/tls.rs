//! Owns TLS towards a broker: the files become a configuration, and a handshake comes before the first byte of AMQP.
//! Records are `wire`'s.

use std::io::{self, IoSlice, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;

use crate::wire::Lost;

/// Whom to trust, and who to be.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// Certificates of authorities, in PEM.
    pub ca: Option<PathBuf>,
    /// Our certificate with its issuers, and its key, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Any certificate will do.
    pub insecure: bool,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that is missing, or that is no PEM of the wanted kind.
    #[error("{option} {}: {source}", .path.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// A certificate or key that rustls does not take.
    #[error("{option} {}: {source}", .path.display())]
    Refused {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
}

/// How connections to `amqps://` are secured.
#[derive(Debug, Clone)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the option and the file that cannot be used.
    pub fn new(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        if let Some(path) = &files.ca {
            for certificate in certificates("--tls-ca", path)? {
                roots.add(certificate).map_err(refused("--tls-ca", path))?;
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has suites for all versions");
        let builder = if files.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        } else {
            builder.with_root_certificates(roots)
        };
        let config = match &files.identity {
            None => builder.with_no_client_auth(),
            Some((path, key_path)) => {
                let key = PrivateKeyDer::from_pem_file(key_path).map_err(unreadable("--tls-key", key_path))?;
                let chain = certificates("--tls-cert", path)?;
                builder.with_client_auth_cert(chain, key).map_err(refused("--tls-key", key_path))?
            }
        };
        Ok(Self(Arc::new(config)))
    }

    /// Makes a session on a connection that stands.
    pub(crate) async fn handshake(&self, stream: &TcpStream, host: &str) -> Result<ClientConnection, Lost> {
        let failed = |error: &dyn std::fmt::Display| Lost(format!("the TLS handshake failed: {error}"));
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        let mut session = ClientConnection::new(Arc::clone(&self.0), name).map_err(|error| failed(&error))?;
        loop {
            while session.wants_write() {
                match session.write_tls(&mut Socket(stream)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
                    result => drop(result?),
                }
            }
            if !session.is_handshaking() {
                return Ok(session);
            }
            stream.readable().await?;
            match session.read_tls(&mut Socket(stream)) {
                Ok(0) => return Err(failed(&"the server closed the socket")),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => drop(result?),
            }
            session.process_new_packets().map_err(|error| failed(&error))?;
        }
    }
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(unreadable(option, path))?.collect();
    let all = all.map_err(unreadable(option, path))?;
    if all.is_empty() { Err(unreadable(option, path)(pem::Error::NoItemsFound)) } else { Ok(all) }
}

fn unreadable(option: &'static str, path: &Path) -> impl FnOnce(pem::Error) -> TlsError {
    move |source| TlsError::File { option, path: path.to_owned(), source }
}

fn refused(option: &'static str, path: &Path) -> impl FnOnce(rustls::Error) -> TlsError {
    move |source| TlsError::Refused { option, path: path.to_owned(), source }
}

/// A socket that does not wait.
struct Socket<'s>(&'s TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes every certificate; that the server holds its key is checked all the same.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
