//! Passwords as users.conf keeps them: hashes of argon2id, and what compares one with what a client says.
//!
//! Owns the form and the cost of a hash. Where and when it is computed is decided in `authentication`.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use blake2::digest::{FixedOutput, KeyInit, Update, consts::U32};
use std::sync::LazyLock;

/// What a hash costs: memory in KiB and passes over it. Of the settings that OWASP holds equal (19 MiB and 2 passes, 12 and
/// 3, 9 and 4) the one with the smallest memory, since a failover lets several run at once beside the queues' memory. One takes
/// 16 ms of a core of a 2-core Xeon at least, 24 ms in the middle of 51 (dev profile, some other work beside it).
const MEMORY_KIB: u32 = 9 << 10;
const PASSES: u32 = 4;
/// A hash that would cost more is not computed: one line of users.conf must not stop the rest, nor take the memory of queues.
const MEMORY_KIB_MAX: u32 = 256 << 10;
const WORK_MAX: u64 = 1 << 20;

/// Bytes of a salt that is made here.
pub(crate) const SALT_BYTES: usize = 16;

/// Why a text is not a hash that this server can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HashError {
    /// It is damaged, or of an algorithm other than argon2.
    #[error("it is not a complete $argon2id$ hash")]
    Form,
    /// It costs too much.
    #[error("it asks for more than 256 MiB of memory, or for more than 1 GiB in all passes")]
    Cost,
}

/// Whether the password of a user is a hash, not a password in the clear.
pub(crate) fn is_hash(stored: &str) -> bool {
    stored.starts_with("$argon2")
}

/// Whether `stored`, which `is_hash`, can be used.
///
/// # Errors
/// Why not.
pub(crate) fn check_hash(stored: &str) -> Result<(), HashError> {
    let hash = PasswordHash::new(stored).map_err(|_| HashError::Form)?;
    let params = Params::try_from(&hash).map_err(|_| HashError::Form)?;
    let is_complete = hash.salt.is_some() && hash.hash.is_some();
    let is_argon2 = Algorithm::try_from(hash.algorithm.as_str()).is_ok();
    if !is_complete || !is_argon2 {
        return Err(HashError::Form);
    }
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > MEMORY_KIB_MAX || work > WORK_MAX { Err(HashError::Cost) } else { Ok(()) }
}

/// The hash of a password, as users.conf keeps it. Costs some 20 ms: not for the thread of a shard.
pub(crate) fn hash(clear: &str, salt: &[u8; SALT_BYTES]) -> String {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("within argon2's ranges");
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash =
        hasher.hash_password_with_salt(clear.as_bytes(), salt).expect("a salt of 16 bytes is in argon2's range");
    hash.to_string()
}

/// A salt from the operating system.
///
/// # Errors
/// The operating system has no random numbers.
pub(crate) fn salt() -> Result<[u8; SALT_BYTES], getrandom::Error> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt)?;
    Ok(salt)
}

/// What an unknown user's password is compared with, so that the time tells nothing.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash("", &[0; SALT_BYTES]));

/// Whether `clear` is the password of a user with `stored` in users.conf; `None` is a user that does not exist. Takes the
/// same time in all cases, that of one hash.
pub(crate) fn verify(stored: Option<&str>, clear: &str) -> bool {
    let (hash, in_clear) = match stored {
        Some(stored) if is_hash(stored) => (stored, None),
        other => (NOBODY.as_str(), other),
    };
    let by_hash = check_hash(hash).is_ok() && Argon2::default().verify_password(clear.as_bytes(), hash).is_ok();
    match (stored, in_clear) {
        (None, _) => false,
        (_, Some(expected)) => equal(expected, clear),
        (_, None) => by_hash,
    }
}

/// [`verify`] for the operator's own files: no time is spent on hiding what the file says in the clear.
pub(crate) fn matches(stored: &str, clear: &str) -> bool {
    if is_hash(stored) { verify(Some(stored), clear) } else { stored == clear }
}

/// Compares in a time that does not depend on where the two differ.
fn equal(expected: &str, given: &str) -> bool {
    /// Any key does: digests are compared here, and nobody sees them.
    fn digest(text: &str) -> [u8; 32] {
        Tag::of(&[0; 32], &[text.as_bytes()])
    }
    let (expected, given) = (digest(expected), digest(given));
    expected.iter().zip(given).fold(0, |difference, (left, right)| difference | (left ^ right)) == 0
}

/// A keyed digest of several parts.
pub(crate) struct Tag;

impl Tag {
    /// BLAKE2b of all parts with their lengths, so that no two lists of parts have one text.
    pub(crate) fn of(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = blake2::Blake2bMac::<U32>::new_from_slice(key).expect("BLAKE2b takes keys of up to 64 bytes");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize_fixed().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_takes_its_password_and_no_other() {
        let stored = hash("secret", &[7; SALT_BYTES]);
        assert!(stored.starts_with("$argon2id$v=19$m=9216,t=4,p=1$"), "{stored}");
        assert_eq!(check_hash(&stored), Ok(()));
        assert!(verify(Some(&stored), "secret") && matches(&stored, "secret"));
        for wrong in ["Secret", "secre", "secret ", "", &stored] {
            assert!(!verify(Some(&stored), wrong), "{wrong:?}");
        }
        assert_ne!(stored, hash("secret", &[8; SALT_BYTES]));
        assert_ne!(salt().unwrap(), salt().unwrap());
    }

    #[test]
    fn hashes_of_other_programs_are_taken() {
        // Made by the reference implementation, through argon2-cffi: hash_secret(b"password", b"somesalt", ...)
        let stored = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(verify(Some(stored), "password") && !verify(Some(stored), "passwort"));
    }

    #[test]
    fn passwords_in_the_clear_and_none_at_all() {
        assert!(verify(Some("secret"), "secret") && !verify(Some("secret"), "secret2") && !verify(Some("secret"), ""));
        assert!(verify(Some(""), "") && !verify(Some(""), "x"));
        assert!(!verify(None, "") && !verify(None, "x"));
    }

    #[test]
    fn hashes_that_cannot_be_used_are_named() {
        let good = hash("x", &[1; SALT_BYTES]);
        let check = |text: &str, expected| assert_eq!(check_hash(text), Err(expected), "{text}");
        check(&good[..good.len() / 2], HashError::Form);
        check("$argon2", HashError::Form);
        check("$argon2id$v=19$m=9216,t=4,p=1$c29tZXNhbHQ", HashError::Form);
        check(&good.replace("argon2id", "argon2x"), HashError::Form);
        check(&good.replace("m=9216", "m=1000000"), HashError::Cost);
        check(&good.replace("t=4", "t=1000"), HashError::Cost);
        assert!(!verify(Some(&good.replace("t=4", "t=1000")), "x"), "and not computed");
    }

    #[test]
    #[ignore = "a measurement"]
    fn what_a_hash_costs() {
        let mut times: Vec<_> = (0..51)
            .map(|_| {
                let started = std::time::Instant::now();
                assert!(!verify(None, "secret"));
                started.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!(
            "{MEMORY_KIB} KiB, {PASSES} passes: least {:?}, median {:?}, most {:?}",
            times[0], times[25], times[50]
        );
    }

    #[test]
    fn digests_know_their_parts_apart() {
        let key = [1; 32];
        assert_ne!(Tag::of(&key, &[b"ab", b"c"]), Tag::of(&key, &[b"a", b"bc"]));
        assert_ne!(Tag::of(&key, &[b"a"]), Tag::of(&[2; 32], &[b"a"]));
        assert_eq!(Tag::of(&key, &[b"a"]), Tag::of(&key, &[b"a"]));
    }
}
