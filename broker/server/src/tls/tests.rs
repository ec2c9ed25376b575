//! Files that are made here, and sessions against each other in memory.

use super::trouble::Side;
use super::{Heard, PeerCertificate, Session, Tls, Trouble};
use crate::config::{TlsFiles, TlsSettings};
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// An authority, and a folder for what it issues.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        Authority::of(CertifiedIssuer::self_signed(Authority::params(name), KeyPair::generate().unwrap()).unwrap())
    }

    /// An authority that `self` vouches for.
    fn between(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Authority::of(CertifiedIssuer::signed_by(Authority::params(name), key, &self.issuer).unwrap())
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    fn of(issuer: CertifiedIssuer<'static, KeyPair>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        std::fs::write(folder.path().join("ca.der"), issuer.der()).unwrap();
        Authority { folder, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `{name}.pem` and `{name}.key`; the certificate's common name is `name`, and `hosts` its other names.
    fn issue(&self, name: &str, hosts: &[&str], change: impl FnOnce(&mut CertificateParams)) -> TlsFiles {
        let mut params = CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = TlsFiles {
            identity: Some(self.path(&format!("{name}.pem"))),
            key: Some(self.path(&format!("{name}.key"))),
            trusted: vec![self.path("ca.pem")],
            ..TlsFiles::default()
        };
        std::fs::write(files.identity.as_ref().unwrap(), certificate.pem()).unwrap();
        std::fs::write(files.key.as_ref().unwrap(), key.serialize_pem()).unwrap();
        files
    }

    fn valid(&self, name: &str, hosts: &[&str]) -> TlsFiles {
        self.issue(name, hosts, |_| {})
    }
}

fn settings(accepting: &TlsFiles, connecting: &TlsFiles) -> TlsSettings {
    TlsSettings {
        accepting: accepting.clone(),
        connecting: connecting.clone(),
        verify_host: true,
        verify_hostname: true,
        ..TlsSettings::default()
    }
}

fn load(settings: &TlsSettings) -> Tls {
    Tls::load(settings, true, Some("localhost"), SystemTime::now()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// What one side has heard, and what it has to complain about.
#[derive(Debug, Default)]
struct Ear {
    bytes: Vec<u8>,
    certificate: Option<Option<PeerCertificate>>,
    trouble: Option<Trouble>,
}

impl Ear {
    fn listen(&mut self, session: &mut Session, network: &[u8]) {
        let result = session.inbound(network, |heard| match heard {
            Heard::Bytes(bytes) => self.bytes.extend_from_slice(bytes),
            Heard::Secured(certificate) => self.certificate = Some(certificate),
        });
        if let Err(trouble) = result {
            self.trouble = Some(trouble);
        }
    }

    fn told(&self, side: Side) -> String {
        self.trouble.as_ref().map(|trouble| trouble.tell(side)).unwrap_or_default()
    }
}

/// Two ends; what one sends reaches the other in pieces of `piece` bytes.
struct Line {
    accepting: (Session, Ear),
    connecting: (Session, Ear),
    piece: usize,
}

impl Line {
    fn new(settings: &TlsSettings, piece: usize) -> Self {
        let tls = load(settings);
        let (accepting, connecting) = (tls.accept().unwrap(), tls.connect().unwrap());
        Line { accepting: (accepting, Ear::default()), connecting: (connecting, Ear::default()), piece }
    }

    /// Passes on what is to be sent until both are silent.
    fn settle(&mut self) {
        loop {
            let (out, back) = (self.connecting.0.outbound(&[]), self.accepting.0.outbound(&[]));
            if out.is_empty() && back.is_empty() {
                return;
            }
            out.chunks(self.piece).for_each(|piece| self.accepting.1.listen(&mut self.accepting.0, piece));
            back.chunks(self.piece).for_each(|piece| self.connecting.1.listen(&mut self.connecting.0, piece));
        }
    }

    fn settled(settings: &TlsSettings) -> Self {
        let mut line = Line::new(settings, 1 << 20);
        line.settle();
        line
    }
}

#[test]
fn bytes_pass_both_ways_whatever_the_pieces() {
    let authority = Authority::new("authority");
    let files = authority.valid("server", &["localhost"]);
    for piece in [1, 7, 4096, 1 << 20] {
        let mut line = Line::new(&settings(&files, &files), piece);
        line.settle();
        assert!(line.accepting.0.is_open() && line.connecting.0.is_open(), "pieces of {piece}");
        let chunks: Vec<Bytes> =
            [10, 0, 70_000, 1, 16_384].iter().map(|len| Bytes::from(vec![*len as u8; *len])).collect();
        let records = line.connecting.0.outbound(&chunks);
        assert!(records.len() < chunks.concat().len() + 8 * 64, "few records carry many chunks: {}", records.len());
        records.chunks(piece).for_each(|piece| line.accepting.1.listen(&mut line.accepting.0, piece));
        assert!(line.accepting.1.bytes == chunks.concat(), "pieces of {piece}");
        let records = line.accepting.0.outbound(&[Bytes::from_static(b"answer")]);
        line.connecting.1.listen(&mut line.connecting.0, &records);
        assert_eq!(line.connecting.1.bytes, b"answer");
    }
}

#[test]
fn an_end_is_told() {
    let authority = Authority::new("authority");
    let files = authority.valid("server", &["localhost"]);
    let mut line = Line::settled(&settings(&files, &files));
    let farewell = line.connecting.0.close();
    assert!(!farewell.is_empty());
    assert!(line.connecting.0.close().is_empty(), "once");
    line.accepting.1.listen(&mut line.accepting.0, &farewell);
    line.accepting.1.listen(&mut line.accepting.0, b"and something behind it");
    assert!(line.accepting.1.trouble.is_none() && line.accepting.1.bytes.is_empty());
}

#[test]
fn a_clients_certificate_is_known_when_the_handshake_is_complete() {
    let authority = Authority::new("authority");
    let server = authority.valid("server", &["localhost"]);
    let client = authority.valid("alice", &["alice.example.com", "10.1.2.3", "::1"]);
    let line = Line::settled(&settings(&server, &client));
    let expected = PeerCertificate {
        common_name: Some("alice".into()),
        subject_alt_names: vec!["alice.example.com".into(), "10.1.2.3".into(), "::1".into()],
    };
    assert_eq!(line.accepting.1.certificate, Some(Some(expected)));
    let line = Line::settled(&settings(&server, &TlsFiles { identity: None, key: None, ..client }));
    assert_eq!(line.accepting.1.certificate, Some(None), "none was shown, and none is demanded");
}

/// Both sides' words about a handshake that must not succeed.
fn check_refusal(settings: &TlsSettings, accepting: &str, connecting: &str) {
    let line = Line::settled(settings);
    let (here, there) = (line.accepting.1.told(Side::Accepting), line.connecting.1.told(Side::Connecting));
    assert!(here.contains(accepting), "the accepting side says: {here}");
    assert!(there.contains(connecting), "the connecting side says: {there}");
    assert!(!(line.accepting.0.is_open() && line.connecting.0.is_open()));
}

#[test]
fn each_bad_certificate_has_its_words_on_both_sides() {
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let good = authority.valid("server", &["localhost"]);
    let expire = |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    };
    let expired = authority.issue("expired", &["localhost"], expire);
    let misnamed = authority.valid("misnamed", &["elsewhere"]);
    let unknown = stranger.valid("unknown", &["localhost"]);
    let nobody = TlsFiles { identity: None, key: None, ..good.clone() };
    let demanding = |connecting: &TlsFiles| TlsSettings { require_client_cert: true, ..settings(&good, connecting) };

    check_refusal(
        &settings(&misnamed, &nobody),
        "subjectAltName must have the host name",
        "is not for 'localhost': its subjectAltName has DnsName(\"elsewhere\")",
    );
    check_refusal(
        &settings(&expired, &nobody),
        "ssl_server_identity expired",
        "the other server's certificate has expired",
    );
    check_refusal(
        &settings(&unknown, &nobody),
        "does not trust the authority of ssl_server_identity",
        "not in ft_ssl_trusted",
    );
    let namesake = Authority::new("authority");
    check_refusal(
        &settings(&namesake.valid("unknown", &["localhost"]), &nobody),
        "does not trust the authority of ssl_server_identity",
        "not in ft_ssl_trusted",
    );
    check_refusal(&demanding(&nobody), "it showed no certificate", "demands a certificate");
    let expired_client = TlsFiles { trusted: good.trusted.clone(), ..expired };
    check_refusal(&demanding(&expired_client), "its certificate has expired", "finds ft_ssl_identity expired");
    let unknown_client = TlsFiles { trusted: good.trusted.clone(), ..unknown };
    check_refusal(
        &demanding(&unknown_client),
        "not in ssl_server_trusted",
        "does not trust the authority of ft_ssl_identity",
    );
    let mut narrow = settings(&good, &nobody);
    narrow.accepting.ciphers = "TLS_AES_256_GCM_SHA384".into();
    narrow.connecting.ciphers = "TLS_AES_128_GCM_SHA256".into();
    check_refusal(&narrow, "ciphers of ssl_server_ciphers", "compare ft_ssl_ciphers");
}

#[test]
fn what_the_operator_turns_off_is_not_checked_and_the_rest_is() {
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let nobody = TlsFiles { trusted: vec![authority.path("ca.pem")], ..TlsFiles::default() };
    let misnamed = settings(&authority.valid("server", &["elsewhere"]), &nobody);
    let unknown = settings(&stranger.valid("server", &["localhost"]), &nobody);
    let is_open = |settings: &TlsSettings| Line::settled(settings).connecting.0.is_open();
    assert!(!is_open(&misnamed) && !is_open(&unknown));
    assert!(is_open(&TlsSettings { expected_hostname: Some("elsewhere".into()), ..misnamed.clone() }));
    assert!(is_open(&TlsSettings { verify_hostname: false, ..misnamed }));
    assert!(!is_open(&TlsSettings { verify_hostname: false, ..unknown.clone() }), "the chain is still checked");
    let lax = TlsSettings { verify_host: false, ..unknown };
    assert!(is_open(&lax));
    assert!(load(&lax).remarks.iter().any(|remark| remark.contains("ft_ssl_verify_host is disabled")));
}

#[test]
fn addresses_are_matched_too() {
    let authority = Authority::new("authority");
    let nobody = TlsFiles { trusted: vec![authority.path("ca.pem")], ..TlsFiles::default() };
    let settings = settings(&authority.valid("server", &["127.0.0.1"]), &nobody);
    let named = |name: &str| TlsSettings { expected_hostname: Some(name.into()), ..settings.clone() };
    assert!(Line::settled(&named("127.0.0.1")).connecting.0.is_open());
    assert!(!Line::settled(&named("127.0.0.2")).connecting.0.is_open());
}

#[test]
fn issuers_are_shown_with_the_certificate() {
    let root = Authority::new("root");
    let middle = root.between("between");
    let nobody = TlsFiles { trusted: vec![root.path("ca.pem")], ..TlsFiles::default() };
    let server = middle.valid("server", &["localhost"]);
    assert!(!Line::settled(&settings(&server, &nobody)).connecting.0.is_open());
    let server = TlsFiles { issuers: vec![middle.path("ca.pem")], ..server };
    assert!(Line::settled(&settings(&server, &nobody)).connecting.0.is_open());
}

#[test]
fn plain_amqp_is_known_on_both_sides() {
    let authority = Authority::new("authority");
    let files = authority.valid("server", &["localhost"]);
    let mut line = Line::new(&settings(&files, &files), 1024);
    line.accepting.1.listen(&mut line.accepting.0, b"AMQP\x03\x01\x00\x00");
    assert!(matches!(line.accepting.1.trouble, Some(Trouble::SpeaksPlain)), "{:?}", line.accepting.1.trouble);
    assert_eq!(line.accepting.0.outbound(&[])[..2], [0x15, 3], "an alert, by which a plain peer knows TLS");
    line.connecting.1.listen(&mut line.connecting.0, b"AMQP\x00\x01\x00\x00");
    assert!(matches!(line.connecting.1.trouble, Some(Trouble::SpeaksPlain)), "{:?}", line.connecting.1.trouble);
}

/// The one problem of the accepting side, as text.
fn problem(files: TlsFiles) -> String {
    let settings = TlsSettings { accepting: files, ..TlsSettings::default() };
    let problems = Tls::load(&settings, true, None, SystemTime::now()).unwrap_err();
    assert_eq!(problems.len(), 1);
    problems[0].to_string()
}

fn check_problem(files: TlsFiles, expected: &[&str]) {
    let problem = problem(files);
    assert!(expected.iter().all(|part| problem.contains(part)), "{problem}");
}

#[test]
fn every_form_of_a_key_is_read() {
    let authority = Authority::new("authority");
    let files = authority.valid("server", &["localhost"]);
    let pem = std::fs::read_to_string(files.key.as_ref().unwrap()).unwrap();
    let key = KeyPair::from_pem(&pem).unwrap();
    let settings = |files: &TlsFiles| TlsSettings { accepting: files.clone(), ..TlsSettings::default() };
    let check = |files: &TlsFiles| {
        Tls::load(&settings(files), true, None, SystemTime::now()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    };
    check(&files);
    std::fs::write(authority.path("key.der"), key.serialize_der()).unwrap();
    check(&TlsFiles { key: Some(authority.path("key.der")), ..files.clone() });
    let both = std::fs::read_to_string(files.identity.as_ref().unwrap()).unwrap() + &pem;
    std::fs::write(authority.path("both.pem"), both).unwrap();
    check(&TlsFiles { identity: Some(authority.path("both.pem")), key: None, ..files.clone() });
    check(&TlsFiles { trusted: vec![authority.path("ca.der")], ..files.clone() });

    let locked = encrypted(&key.serialize_der());
    std::fs::write(authority.path("locked.der"), &locked).unwrap();
    let text = format!("a remark before\n{}", pem_of("ENCRYPTED PRIVATE KEY", &locked));
    std::fs::write(authority.path("locked.pem"), text).unwrap();
    for name in ["locked.der", "locked.pem"] {
        let locked = TlsFiles { key: Some(authority.path(name)), ..files.clone() };
        check(&TlsFiles { password: "secret".into(), ..locked.clone() });
        check_problem(
            TlsFiles { password: "wrong".into(), ..locked.clone() },
            &["ssl_password", "the password is wrong"],
        );
        check_problem(locked, &["ssl_password", "no password is set", "set ssl_password"]);
    }
}

fn encrypted(key: &[u8]) -> Vec<u8> {
    use pkcs8::pkcs5::pbes2;
    let scheme = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(2048, b"saltsalt", [7; 16]).unwrap();
    let encrypted_data = scheme.encrypt("secret", key).unwrap();
    let info = pkcs8::EncryptedPrivateKeyInfoRef {
        encryption_algorithm: scheme.into(),
        encrypted_data: pkcs8::der::asn1::OctetStringRef::new(&encrypted_data).unwrap(),
    };
    pkcs8::der::Encode::to_der(&info).unwrap()
}

fn pem_of(label: &str, der: &[u8]) -> String {
    pkcs8::der::pem::encode_string(label, pkcs8::LineEnding::LF, der).unwrap()
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let authority = Authority::new("authority");
    let files = authority.valid("server", &["localhost"]);
    let other = authority.valid("other", &["localhost"]);
    let write = |name: &str, content: &[u8]| {
        std::fs::write(authority.path(name), content).unwrap();
        Some(authority.path(name))
    };
    let with_identity = |identity| TlsFiles { identity, ..files.clone() };
    let with_key = |key| TlsFiles { key, ..files.clone() };
    check_problem(TlsFiles::default(), &["ssl_server_identity: is not set"]);
    check_problem(with_key(other.key), &["ssl_server_key", "is not the key of the certificate in", "server.pem"]);
    check_problem(with_key(Some(authority.path("nowhere"))), &["ssl_server_key", "nowhere: cannot be read"]);
    check_problem(with_key(files.identity.clone()), &["holds no private key"]);
    check_problem(with_identity(files.key.clone()), &["holds no certificate"]);
    check_problem(with_identity(write("text", b"hello")), &["text: holds no certificate"]);
    check_problem(with_identity(write("torn", &[0x30, 0x82, 1, 0, 0x30])), &["a certificate that cannot be read"]);
    let p12 = [&[0x30, 0x82, 9, 0x61, 2, 1, 3, 0x30][..], &[0; 50]].concat();
    check_problem(with_identity(write("a.p12", &p12)), &["a.p12: is a PKCS#12 file", "openssl pkcs12 -in"]);
    check_problem(with_key(write("k.p12", &p12)), &["k.p12: is a PKCS#12 file", "openssl pkcs12 -in"]);
    let p7 = b"-----BEGIN PKCS7-----\nMIIB\n-----END PKCS7-----\n";
    let trusted = vec![write("a.p7b", p7).unwrap()];
    check_problem(TlsFiles { trusted, ..files.clone() }, &["ssl_server_trusted", "PKCS#7", "openssl pkcs7 -in"]);
    let legacy = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    check_problem(with_key(write("legacy.key", legacy)), &["old OpenSSL", "openssl pkcs8 -topk8"]);
    let demanding = TlsSettings {
        accepting: TlsFiles { trusted: Vec::new(), ..files.clone() },
        require_client_cert: true,
        ..TlsSettings::default()
    };
    let problems = Tls::load(&demanding, true, None, SystemTime::now()).unwrap_err();
    assert!(problems[0].to_string().starts_with("ssl_server_trusted: is not set"), "{problems:?}");
}

#[test]
fn a_revoked_client_is_refused() {
    let authority = Authority::new("authority");
    let server = authority.valid("server", &["localhost"]);
    let serial = rcgen::SerialNumber::from(4711);
    let client = authority.issue("client", &["client"], |params| params.serial_number = Some(serial.clone()));
    let lists = authority.path("lists");
    std::fs::create_dir(&lists).unwrap();
    let revoking = |serials: &[rcgen::SerialNumber]| revocation_list(&authority, &lists, serials);
    let with_lists = TlsSettings { crl_path: Some(lists.clone()), ..settings(&server, &client) };
    let problems = Tls::load(&with_lists, true, None, SystemTime::now()).unwrap_err();
    assert!(problems[0].to_string().contains("holds no revocation list"), "{problems:?}");
    revoking(&[]);
    assert!(Line::settled(&with_lists).accepting.0.is_open());
    revoking(&[serial]);
    check_refusal(&with_lists, "was revoked", "knows ft_ssl_identity as revoked");
}

fn revocation_list(authority: &Authority, folder: &Path, serials: &[rcgen::SerialNumber]) {
    let revoked = serials.iter().map(|serial| rcgen::RevokedCertParams {
        serial_number: serial.clone(),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = rcgen::CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(2100, 1, 1),
        crl_number: rcgen::SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    std::fs::write(folder.join("list.pem"), params.signed_by(&authority.issuer).unwrap().pem().unwrap()).unwrap();
}

#[test]
fn the_operator_hears_of_certificates_that_end() {
    let authority = Authority::new("authority");
    let files = authority.issue("server", &["localhost"], |params| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 6, 15));
    });
    let at = |seconds: u64| {
        let settings = TlsSettings { accepting: files.clone(), ..TlsSettings::default() };
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        Tls::load(&settings, true, None, now).unwrap().remarks.concat()
    };
    assert_eq!(at(1_700_000_000), "ssl_server_identity: CN=server for localhost, valid until 2030-06-15T00:00:00Z");
    assert!(at(1_500_000_000).contains("is not valid before 2020-01-01T00:00:00Z"));
    assert!(at(1_907_500_000).contains("expires at 2030-06-15T00:00:00Z"));
    assert!(at(1_907_712_000).contains("expired at 2030-06-15T00:00:00Z"));
}
