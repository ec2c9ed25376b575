//! `ssl_*` and `ft_ssl_*`, as meant. What the files hold is looked at by `crate::tls`, for messages with a line.

use super::findings::{Findings, Spot, Weight};
use super::model::{Listen, TlsFiles, TlsSettings};
use super::written::Settings;
use crate::tls::Tls;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Parameters without which TLS is not used, and the URL that would use them.
const UNUSED: &[(&str, &str)] = &[
    ("ssl_server_identity", "listen"),
    ("ssl_require_client_cert", "listen"),
    ("ssl_use_cert_username", "listen"),
    ("ft_ssl_identity", "ft_active"),
    ("ft_ssl_trusted", "ft_active"),
];

/// Reads the settings, and tries the files if an `ssl://` URL needs them.
pub(super) fn settings(
    settings: &Settings,
    main: &Path,
    listens: &[Listen],
    peer_host: Option<&str>,
    findings: &mut Findings,
) -> TlsSettings {
    let reader = Reader { settings, folder: main.parent().unwrap_or(Path::new("")) };
    let tls = TlsSettings {
        accepting: TlsFiles {
            identity: reader.path("ssl_server_identity"),
            key: reader.path("ssl_server_key"),
            password: settings.text("ssl_password").to_owned(),
            issuers: reader.paths("ssl_server_issuer"),
            trusted: reader.paths("ssl_server_trusted"),
            ciphers: settings.text("ssl_server_ciphers").to_owned(),
        },
        require_client_cert: settings.flag("ssl_require_client_cert"),
        use_cert_username: settings.flag("ssl_use_cert_username"),
        cert_user_specname: settings.text("ssl_cert_user_specname").to_owned(),
        crl_path: reader.path("ssl_crl_path"),
        connecting: TlsFiles {
            identity: reader.path("ft_ssl_identity"),
            key: reader.path("ft_ssl_private_key"),
            password: settings.text("ft_ssl_password").to_owned(),
            issuers: reader.paths("ft_ssl_issuer"),
            trusted: reader.paths("ft_ssl_trusted"),
            ciphers: settings.text("ft_ssl_ciphers").to_owned(),
        },
        verify_host: settings.flag("ft_ssl_verify_host"),
        verify_hostname: settings.flag("ft_ssl_verify_hostname"),
        expected_hostname: settings
            .is_set("ft_ssl_expected_hostname")
            .then(|| settings.text("ft_ssl_expected_hostname").to_owned()),
    };
    let is_listening = listens.iter().any(|listen| listen.tls);
    for (name, url) in UNUSED {
        let used = if *url == "listen" { is_listening } else { peer_host.is_some() };
        if settings.is_set(name) && !used {
            let url = if *url == "listen" { url } else { peer_parameter(settings) };
            let message = format!("has no effect: {url} has no ssl:// URL");
            findings.add(Weight::Warning, settings.spot(name), name, message, "write ssl:// there, or remove the line");
        }
    }
    if let Err(problems) = Tls::load(&tls, is_listening, peer_host, SystemTime::now()) {
        for problem in problems {
            let spot = spot_of(settings, problem.parameter);
            findings.error(&spot, problem.parameter, problem.message(), problem.remedy());
        }
    }
    tls
}

/// Where a parameter is set. One that is missing has no line, but the URL that needs it has one.
fn spot_of(settings: &Settings, parameter: &str) -> Spot {
    if settings.is_set(parameter) {
        return settings.spot(parameter).clone();
    }
    if parameter.starts_with("ft_") {
        return settings.spot(peer_parameter(settings)).clone();
    }
    let secure = settings.texts("listen").into_iter().find(|listen| listen.text.starts_with("ssl://"));
    secure.map_or_else(|| settings.spot("listen").clone(), |listen| listen.spot)
}

/// The parameter that names the other server.
fn peer_parameter(settings: &Settings) -> &'static str {
    if settings.is_set("unshared_peer") { "unshared_peer" } else { "ft_active" }
}

/// Reads paths, which are relative to the folder of the main file.
struct Reader<'r> {
    settings: &'r Settings,
    folder: &'r Path,
}

impl Reader<'_> {
    fn path(&self, name: &str) -> Option<PathBuf> {
        self.settings.is_set(name).then(|| self.folder.join(self.settings.text(name)))
    }

    fn paths(&self, name: &str) -> Vec<PathBuf> {
        if !self.settings.is_set(name) {
            return Vec::new();
        }
        self.settings.texts(name).iter().map(|setting| self.folder.join(&setting.text)).collect()
    }
}
