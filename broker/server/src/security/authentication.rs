//! The check of names and passwords: what is remembered, what is computed, who waits for it.
//!
//! Owns the logins under way, from the client's response to the verdict. The hashes themselves are computed elsewhere
//! ([`Authentication::poll_job`], [`Authentication::finished`]), never on the thread of a shard. What peers can make us keep
//! is bounded: checks under way, logins that wait for their turn, and what is remembered.
//!
//! A password that was found good is remembered by a keyed digest of user, hash and password, so that a thousand clients
//! that come back after a failover cost as many hashes as they have passwords. That gives nothing away: the key is of this
//! process alone, and who could read it could read the passwords as they arrive. A password that was changed is
//! not found any more, since the digest holds the hash.

use super::attempts::{Attempts, Turn};
use super::password::{Tag, verify};
use reactor::Nanos;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::IpAddr;

/// Different passwords under way: as many as two cores check in some 8 s, which a handshake waits for.
pub(crate) const CHECKS_MAX: usize = 1024;
/// Logins that wait for the turn of their address.
const HELD_MAX: usize = 1024;
/// Good passwords remembered, 32 bytes each; with more the oldest is forgotten.
const REMEMBERED_MAX: usize = 8192;

type Digest = [u8; 32];

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The name, as the client says it.
    pub(crate) user: String,
    /// The user's password in users.conf; `None`: there is no such user.
    pub(crate) stored: Option<String>,
    /// What the client says.
    pub(crate) password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Login {{ user: {:?} }}", self.user)
    }
}

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Name and password are good.
    Good,
    /// They are not. The number of failures of this address to be logged, if now is the time for it.
    Bad {
        /// Failures, this one among them.
        failures: Option<u32>,
    },
    /// There is too much to do; the client may come back.
    Busy,
}

/// A password to be compared, at the cost of a hash, on another thread.
#[derive(Debug)]
pub(crate) struct Job {
    digest: Digest,
    login: Login,
}

impl Job {
    /// Does it.
    pub(crate) fn run(self) -> Checked {
        let is_good = verify(self.login.stored.as_deref(), &self.login.password);
        Checked { digest: self.digest, is_good }
    }
}

/// What came of a job.
#[derive(Debug)]
pub(crate) struct Checked {
    digest: Digest,
    is_good: bool,
}

#[derive(Debug)]
struct Applicant<C> {
    connection: C,
    address: IpAddr,
}

/// The logins of a server, for connections named by `C`.
#[derive(Debug)]
pub(crate) struct Authentication<C> {
    key: [u8; 32],
    remembered: HashSet<Digest>,
    /// The same, the oldest first.
    remembered_since: VecDeque<Digest>,
    /// Checks under way, and who waits for each.
    checks: HashMap<Digest, Vec<Applicant<C>>>,
    jobs: VecDeque<Job>,
    attempts: Attempts,
    /// Logins whose address must pause, by the time of their turn.
    held: BTreeMap<(Nanos, u64), (Applicant<C>, Login)>,
    held_ever: u64,
    verdicts: VecDeque<(C, Verdict)>,
}

impl<C> Authentication<C> {
    /// Nothing is remembered. The key is random and of this process.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Authentication {
            key,
            remembered: HashSet::new(),
            remembered_since: VecDeque::new(),
            checks: HashMap::new(),
            jobs: VecDeque::new(),
            attempts: Attempts::default(),
            held: BTreeMap::new(),
            held_ever: 0,
            verdicts: VecDeque::new(),
        }
    }

    /// A client has said who it is. The verdict comes through [`Authentication::poll_verdict`], perhaps at once.
    pub(crate) fn begin(&mut self, now: Nanos, connection: C, address: IpAddr, login: Login) {
        let digest = self.digest(&login);
        if self.remembered.contains(&digest) {
            self.verdicts.push_back((connection, Verdict::Good));
            return;
        }
        let applicant = Applicant { connection, address };
        match self.attempts.ask(now, address) {
            Turn::Now => self.check(digest, applicant, login),
            Turn::At(at) if self.held.len() < HELD_MAX => {
                self.held_ever += 1;
                self.held.insert((at, self.held_ever), (applicant, login));
            }
            Turn::At(_) | Turn::Never => self.verdicts.push_back((applicant.connection, Verdict::Busy)),
        }
    }

    /// When [`Authentication::handle_timeout`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Nanos> {
        self.held.first_key_value().map(|((at, _), _)| *at)
    }

    /// Begins the checks whose turn has come; nothing is computed for connections that are gone.
    pub(crate) fn handle_timeout(&mut self, now: Nanos, lives: impl Fn(&C) -> bool) {
        while let Some(entry) = self.held.first_entry().filter(|entry| entry.key().0 <= now) {
            let (applicant, login) = entry.remove();
            if lives(&applicant.connection) {
                self.check(self.digest(&login), applicant, login);
            }
        }
    }

    /// A password to be compared. There are never more than [`CHECKS_MAX`] unfinished.
    pub(crate) fn poll_job(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    /// A job is done.
    pub(crate) fn finished(&mut self, now: Nanos, checked: Checked) {
        let Checked { digest, is_good } = checked;
        if is_good {
            self.remember(digest);
        }
        for Applicant { connection, address } in self.checks.remove(&digest).unwrap_or_default() {
            let verdict = match is_good {
                true => Verdict::Good,
                false => Verdict::Bad { failures: self.attempts.failed(now, address) },
            };
            self.verdicts.push_back((connection, verdict));
        }
    }

    /// The next verdict.
    pub(crate) fn poll_verdict(&mut self) -> Option<(C, Verdict)> {
        self.verdicts.pop_front()
    }

    fn check(&mut self, digest: Digest, applicant: Applicant<C>, login: Login) {
        if let Some(waiting) = self.checks.get_mut(&digest) {
            waiting.push(applicant);
        } else if self.checks.len() >= CHECKS_MAX {
            self.verdicts.push_back((applicant.connection, Verdict::Busy));
        } else {
            self.checks.insert(digest, vec![applicant]);
            self.jobs.push_back(Job { digest, login });
        }
    }

    fn remember(&mut self, digest: Digest) {
        if !self.remembered.insert(digest) {
            return;
        }
        self.remembered_since.push_back(digest);
        if self.remembered_since.len() > REMEMBERED_MAX
            && let Some(oldest) = self.remembered_since.pop_front()
        {
            self.remembered.remove(&oldest);
        }
    }

    fn digest(&self, login: &Login) -> Digest {
        let (known, stored) = login.stored.as_ref().map_or(("unknown", ""), |stored| ("known", stored));
        Tag::of(&self.key, &[known, &login.user, stored, &login.password].map(str::as_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn login(user: &str, stored: Option<&str>, password: &str) -> Login {
        Login { user: user.to_owned(), stored: stored.map(str::to_owned), password: password.to_owned() }
    }

    fn verdicts(authentication: &mut Authentication<u32>) -> Vec<(u32, Verdict)> {
        std::iter::from_fn(|| authentication.poll_verdict()).collect()
    }

    /// Runs all jobs and tells how many there were.
    fn work(authentication: &mut Authentication<u32>, now: Nanos) -> usize {
        let jobs: Vec<Job> = std::iter::from_fn(|| authentication.poll_job()).collect();
        let count = jobs.len();
        jobs.into_iter().for_each(|job| authentication.finished(now, job.run()));
        count
    }

    #[test]
    fn one_check_serves_all_who_wait_and_all_who_come_later() {
        let mut authentication = Authentication::new([1; 32]);
        (0..1000).for_each(|client| authentication.begin(0, client, HERE, login("app", Some("secret"), "secret")));
        assert_eq!(verdicts(&mut authentication), []);
        assert_eq!(work(&mut authentication, 0), 1);
        let all = verdicts(&mut authentication);
        assert!(all.len() == 1000 && all.iter().all(|(_, verdict)| *verdict == Verdict::Good));
        authentication.begin(0, 7, HERE, login("app", Some("secret"), "secret"));
        assert_eq!(verdicts(&mut authentication), [(7, Verdict::Good)], "remembered");
        assert_eq!(work(&mut authentication, 0), 0);
    }

    #[test]
    fn what_is_remembered_is_exactly_one_login() {
        let mut authentication = Authentication::new([1; 32]);
        authentication.begin(0, 1, HERE, login("app", Some("secret"), "secret"));
        work(&mut authentication, 0);
        verdicts(&mut authentication);
        let others = [
            login("app", Some("secret"), "guess"),
            login("other", Some("secret2"), "secret"),
            login("app", Some("changed"), "secret"),
            login("app", None, "secret"),
        ];
        for other in others {
            authentication.begin(0, 2, IpAddr::from([10, 0, 0, 1]), other.clone());
            assert_eq!(work(&mut authentication, 0), 1, "{other:?}");
            assert!(matches!(verdicts(&mut authentication)[..], [(2, Verdict::Bad { .. })]), "{other:?}");
        }
    }

    #[test]
    fn a_guesser_waits_and_who_is_known_does_not() {
        let mut authentication = Authentication::new([1; 32]);
        authentication.begin(0, 1, HERE, login("app", Some("secret"), "secret"));
        work(&mut authentication, 0);
        for guess in 0..4 {
            authentication.begin(0, guess, HERE, login("app", Some("secret"), &format!("guess{guess}")));
            work(&mut authentication, 0);
        }
        verdicts(&mut authentication);
        authentication.begin(0, 77, HERE, login("app", Some("secret"), "guess"));
        assert_eq!((work(&mut authentication, 0), authentication.poll_verdict()), (0, None));
        authentication.begin(0, 78, HERE, login("app", Some("secret"), "secret"));
        assert_eq!(authentication.poll_verdict(), Some((78, Verdict::Good)));
        let turn = authentication.poll_timeout().expect("the guess waits for its turn");
        authentication.handle_timeout(turn, |_| true);
        assert_eq!(work(&mut authentication, turn), 1);
        assert!(matches!(verdicts(&mut authentication)[..], [(77, Verdict::Bad { .. })]));
        authentication.begin(turn, 79, HERE, login("app", Some("secret"), "another guess"));
        let turn = authentication.poll_timeout().expect("and the next");
        authentication.handle_timeout(turn, |_| false);
        assert_eq!(work(&mut authentication, turn), 0, "nothing is computed for who is gone");
    }

    #[test]
    fn checks_and_memory_are_bounded() {
        let mut authentication = Authentication::new([1; 32]);
        for client in 0..CHECKS_MAX as u32 + 10 {
            let address = IpAddr::from((client + (10 << 24)).to_be_bytes());
            authentication.begin(0, client, address, login(&client.to_string(), Some("x"), "x"));
        }
        let busy = verdicts(&mut authentication);
        assert!(busy.len() == 10 && busy.iter().all(|(_, verdict)| *verdict == Verdict::Busy));
        for number in 0..REMEMBERED_MAX as u32 + 10 {
            authentication.remember(Tag::of(&[0; 32], &[&number.to_be_bytes()]));
        }
        assert_eq!(
            (authentication.remembered.len(), authentication.remembered_since.len()),
            (REMEMBERED_MAX, REMEMBERED_MAX)
        );
    }
}
