//! Certificates, keys and revocation lists in files: PEM or DER, told apart by what they hold.

use super::problem::Cause;
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::{Decode, SecretDocument};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::path::Path;
use x509_cert::Certificate;

/// No certificate, key, bundle of authorities or revocation list of sense is larger.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The beginning of a PKCS#12 file within its outer sequence: version 3.
const PKCS12_START: &[u8] = &[2, 1, 3];
/// The beginning of a PKCS#7 file within its outer sequence: the identifier of signed data.
const PKCS7_START: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];

fn read(path: &Path) -> Result<Vec<u8>, Cause> {
    let size = std::fs::metadata(path).map_err(Cause::Unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(Cause::TooLarge(FILE_BYTES_MAX));
    }
    std::fs::read(path).map_err(Cause::Unreadable)
}

/// All certificates of a file, at least one, in its order.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Cause> {
    let bytes = read(path)?;
    if holds(&bytes, "-----BEGIN ") {
        if holds(&bytes, "-----BEGIN PKCS7-----") {
            return Err(Cause::Pkcs7(path.to_owned()));
        }
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let found = found.map_err(Cause::Pem)?;
        return if found.is_empty() { Err(Cause::NoCertificate) } else { Ok(found) };
    }
    refuse_bundles(path, &bytes)?;
    match Certificate::from_der(&bytes) {
        Ok(_) => Ok(vec![CertificateDer::from(bytes)]),
        Err(error) if inside_of_sequence(&bytes).is_some() => Err(Cause::Certificate(error)),
        Err(_) => Err(Cause::NoCertificate),
    }
}

/// The first private key of a file, decrypted with `password` if it is encrypted.
pub(super) fn key(path: &Path, password: &str) -> Result<PrivateKeyDer<'static>, Cause> {
    let bytes = read(path)?;
    if holds(&bytes, "-----BEGIN ") {
        if let Some(block) = encrypted_block(&bytes) {
            let (_, document) =
                SecretDocument::from_pem(block).map_err(|error| Cause::KeyScheme(error.into(), path.to_owned()))?;
            return decrypt(path, document.as_bytes(), password);
        }
        if holds(&bytes, "Proc-Type: 4,ENCRYPTED") {
            return Err(Cause::LegacyKey(path.to_owned()));
        }
        return PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => Cause::NoKey,
            error => Cause::Pem(error),
        });
    }
    refuse_bundles(path, &bytes)?;
    if EncryptedPrivateKeyInfoRef::from_der(&bytes).is_ok() {
        return decrypt(path, &bytes, password);
    }
    PrivateKeyDer::try_from(bytes).map_err(|_| Cause::NoKey)
}

fn decrypt(path: &Path, der: &[u8], password: &str) -> Result<PrivateKeyDer<'static>, Cause> {
    let scheme = |error| Cause::KeyScheme(error, path.to_owned());
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der).map_err(scheme)?;
    if password.is_empty() {
        return Err(Cause::NoPassword);
    }
    let document = encrypted.decrypt(password).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed) => Cause::WrongPassword,
        // A wrong password that gives sound padding by chance.
        pkcs8::Error::Asn1(_) => Cause::WrongPassword,
        error => scheme(error),
    })?;
    PrivateKeyDer::try_from(document.as_bytes().to_vec()).map_err(|_| Cause::NoKey)
}

/// All revocation lists in a folder, at least one. Files that are none are passed over.
pub(super) fn revocation_lists(folder: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Cause> {
    let mut lists = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Cause::Unreadable)? {
        let path = entry.map_err(Cause::Unreadable)?.path();
        if !path.is_file() {
            continue;
        }
        let bytes = read(&path)?;
        if holds(&bytes, "-----BEGIN ") {
            for list in CertificateRevocationListDer::pem_slice_iter(&bytes) {
                lists.push(list.map_err(Cause::Pem)?);
            }
        } else if x509_cert::crl::CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&bytes).is_ok() {
            lists.push(CertificateRevocationListDer::from(bytes));
        }
    }
    if lists.is_empty() { Err(Cause::NoLists) } else { Ok(lists) }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn refuse_bundles(path: &Path, bytes: &[u8]) -> Result<(), Cause> {
    match inside_of_sequence(bytes) {
        Some(inside) if inside.starts_with(PKCS12_START) => Err(Cause::Pkcs12(path.to_owned())),
        Some(inside) if inside.starts_with(PKCS7_START) => Err(Cause::Pkcs7(path.to_owned())),
        _ => Ok(()),
    }
}

/// What follows the header of a DER sequence.
fn inside_of_sequence(bytes: &[u8]) -> Option<&[u8]> {
    let (tag, length) = (bytes.first()?, bytes.get(1)?);
    let more = if *length < 0x80 { 0 } else { usize::from(*length & 0x7f) };
    if *tag == 0x30 && more <= 4 { bytes.get(2 + more..) } else { None }
}

/// The text of an encrypted key in PEM.
fn encrypted_block(bytes: &[u8]) -> Option<&str> {
    const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let text = std::str::from_utf8(bytes).ok()?;
    let start = text.find(BEGIN)?;
    let end = start + text[start..].find(END)? + END.len();
    Some(&text[start..end])
}
