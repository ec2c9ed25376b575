//! TLS: files become rustls configurations, a session turns records into bytes and back, and what goes wrong becomes words.
//!
//! Owns what `ssl_*` and `ft_ssl_*` mean. The accepting side uses `ssl_*`, the connecting one (the FT link) `ft_ssl_*`.
//! Start at [`Tls`]; `files` reads, `agreement` says what servers beside each other have in common, `ciphers` has the table of names, `verifier` the FT link's choices, `certificate` what one
//! says, `session` one connection, `trouble` the words. Knows no socket, and no frame.

mod agreement;
mod certificate;
mod ciphers;
mod complaints;
mod files;
mod problem;
mod reload;
mod session;
mod trouble;
mod verifier;

#[cfg(test)]
mod tests;

pub(crate) use certificate::PeerCertificate;
#[cfg(test)]
pub(crate) use ciphers::CipherError;
pub(crate) use ciphers::page as cipher_page;
pub(crate) use complaints::Complaints;
pub(crate) use problem::Problem;
pub(crate) use reload::{Reload, list, read};
pub(crate) use session::{Heard, Session};
pub(crate) use trouble::{Side, Trouble};

use crate::config::{TlsFiles, TlsSettings};
use certificate::Facts;
use problem::{Cause, Names};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// What new connections are made with. Sessions that exist keep what they were made with.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    accepting: Option<Arc<ServerConfig>>,
    connecting: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// What the operator should know about the files.
    pub(crate) remarks: Vec<String>,
    /// What a server beside this one must have as well; see `agreement`.
    pub(crate) agreement: Vec<(String, String)>,
}

impl Tls {
    /// Reads the files: those of the accepting side if there is an `ssl://` listen, those of the connecting side if `peer_host`
    /// is reached by `ssl://`.
    ///
    /// # Errors
    /// Every parameter whose files cannot be used.
    pub(crate) fn load(
        settings: &TlsSettings,
        listens: bool,
        peer_host: Option<&str>,
        now: SystemTime,
    ) -> Result<Tls, Vec<Problem>> {
        let (mut tls, mut problems) = (Tls::default(), Vec::new());
        if listens {
            match accepting(settings, now, &mut tls) {
                Ok(config) => tls.accepting = Some(Arc::new(config)),
                Err(problem) => problems.push(problem),
            }
        }
        if let Some(host) = peer_host {
            match connecting(settings, host, now, &mut tls.remarks) {
                Ok((config, name)) => tls.connecting = Some((Arc::new(config), name)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(tls) } else { Err(problems) }
    }

    /// A session with somebody who connected to an `ssl://` listen; `None` where there is none.
    pub(crate) fn accept(&self) -> Option<Session> {
        Some(Session::accept(Arc::clone(self.accepting.as_ref()?)))
    }

    /// A session with the peer; `None` where it is not reached by `ssl://`.
    pub(crate) fn connect(&self) -> Option<Session> {
        let (config, name) = self.connecting.as_ref()?;
        Some(Session::connect(Arc::clone(config), name.clone()))
    }
}

fn accepting(settings: &TlsSettings, now: SystemTime, tls: &mut Tls) -> Result<ServerConfig, Problem> {
    let (names, files) = (&Names::ACCEPTING, &settings.accepting);
    let provider = provider(names, files)?;
    let Some(key) = identity(names, files, &provider, now, &mut tls.remarks)? else {
        return Err(Problem::new(names.identity, None, Cause::Missing("an ssl:// listen needs a certificate")));
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::new(names.ciphers, None, Cause::Rustls(error)))?;
    let authorities = authorities(names, files)?;
    tls.agreement = agreement::rows(settings, &key.cert, &authorities);
    let roots = roots(names, authorities)?;
    let builder = if roots.is_empty() {
        if settings.require_client_cert {
            return Err(Problem::new(names.trusted, None, Cause::Missing(names.untrusting)));
        }
        builder.with_no_client_auth()
    } else {
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        if let Some(folder) = &settings.crl_path {
            let problem = |cause| Problem::new("ssl_crl_path", Some(folder), cause);
            let lists = files::revocation_lists(folder).map_err(problem)?;
            verifier = verifier.with_crls(lists).enforce_revocation_expiration();
        }
        if !settings.require_client_cert {
            verifier = verifier.allow_unauthenticated();
        }
        let verifier = verifier.build().map_err(|error| Problem::new("ssl_crl_path", None, Cause::Verifier(error)))?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    // A resumed session would not be checked against files that were changed meanwhile; and the store of sessions has a lock.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn connecting(
    settings: &TlsSettings,
    host: &str,
    now: SystemTime,
    remarks: &mut Vec<String>,
) -> Result<(ClientConfig, ServerName<'static>), Problem> {
    let host = settings.expected_hostname.as_deref().unwrap_or(host);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Problem::new("ft_ssl_expected_hostname", None, Cause::HostName(host.to_owned())))?;
    let config = client(&Names::CONNECTING, settings, now, remarks)?;
    if !settings.verify_host {
        let text = "ft_ssl_verify_host is disabled: whoever answers at ft_active is taken for the other server";
        remarks.push(format!("Warning: {text}; set ft_ssl_trusted and enable it"));
    }
    Ok((config, name))
}

/// How `broker-admin` connects, with the files that its options name.
///
/// # Errors
/// The option whose file cannot be used.
pub(crate) fn tool(settings: &TlsSettings) -> Result<ClientConfig, Problem> {
    client(&Names::TOOL, settings, SystemTime::now(), &mut Vec::new())
}

fn client(
    names: &Names,
    settings: &TlsSettings,
    now: SystemTime,
    remarks: &mut Vec<String>,
) -> Result<ClientConfig, Problem> {
    let files = &settings.connecting;
    let provider = provider(names, files)?;
    let key = identity(names, files, &provider, now, remarks)?;
    let roots = roots(names, authorities(names, files)?)?;
    if settings.verify_host && roots.is_empty() {
        return Err(Problem::new(names.trusted, None, Cause::Missing(names.untrusting)));
    }
    let verifier = verifier::verifier(roots, &provider, settings.verify_host, settings.verify_hostname)
        .map_err(|error| Problem::new(names.trusted, None, Cause::Verifier(error)))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::new(names.ciphers, None, Cause::Rustls(error)))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match key {
        Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// ring, with the cipher suites that the parameter names.
fn provider(names: &Names, files: &TlsFiles) -> Result<Arc<CryptoProvider>, Problem> {
    let default = rustls::crypto::ring::default_provider();
    let cipher_suites = ciphers::suites(&files.ciphers, &default.cipher_suites)
        .map_err(|error| Problem::new(names.ciphers, None, Cause::Ciphers(error)))?;
    Ok(Arc::new(CryptoProvider { cipher_suites, ..default }))
}

/// The certificate with its issuers and its key; the key may stand in the certificate's file.
fn identity(
    names: &Names,
    files: &TlsFiles,
    provider: &CryptoProvider,
    now: SystemTime,
    remarks: &mut Vec<String>,
) -> Result<Option<CertifiedKey>, Problem> {
    let Some(identity) = &files.identity else {
        let stray = files.key.as_ref().map(|key| Problem::new(names.key, Some(key), Cause::KeyAlone(names.identity)));
        return stray.map_or(Ok(None), Err);
    };
    let mut chain =
        files::certificates(identity).map_err(|cause| Problem::new(names.identity, Some(identity), cause))?;
    for issuer in &files.issuers {
        chain.extend(files::certificates(issuer).map_err(|cause| Problem::new(names.issuer, Some(issuer), cause))?);
    }
    let facts = Facts::of(&chain[0]).map_err(|cause| Problem::new(names.identity, Some(identity), cause))?;
    remarks.push(facts.remark(names.identity, now));
    let path = files.key.as_ref().unwrap_or(identity);
    let key = files::key(path, &files.password).map_err(|cause| {
        let parameter = if cause.is_about_password() { names.password } else { names.key };
        Problem::new(parameter, Some(path), cause)
    })?;
    let key = CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| Problem::new(names.key, Some(path), Cause::of_key(error, identity)))?;
    Ok(Some(key))
}

/// A certificate and the file that it comes from.
type Authority<'f> = (&'f PathBuf, CertificateDer<'static>);

fn authorities<'f>(names: &Names, files: &'f TlsFiles) -> Result<Vec<Authority<'f>>, Problem> {
    let mut authorities = Vec::new();
    for path in &files.trusted {
        let found = files::certificates(path).map_err(|cause| Problem::new(names.trusted, Some(path), cause))?;
        authorities.extend(found.into_iter().map(|certificate| (path, certificate)));
    }
    Ok(authorities)
}

fn roots(names: &Names, authorities: Vec<Authority<'_>>) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    for (path, certificate) in authorities {
        roots.add(certificate).map_err(|error| Problem::new(names.trusted, Some(path), Cause::Rustls(error)))?;
    }
    Ok(roots)
}
