//! Who a connection is: the client's SASL response becomes an identity, or the end of the connection.
//!
//! Owns the way between the protocol and `security`: what is decided at once, what waits for a worker thread, and what the
//! log says of it. Whether a password is good is decided in `security::authentication`.

use crate::broker::Broker;
use crate::config::Permission;
use crate::connection::Connection;
use crate::connections::ConnectionId;
use crate::security::authentication::{Authentication, CHECKS_MAX, Checked, Login, Verdict};
use crate::security::{self, Channel, Identity, Target};
use crate::temporary;
use crate::timer::Timer;
use amqp::{SaslCode, condition};
use reactor::{Nanos, Reactor, Workers};
use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// Threads that compare passwords: more would take cores from the shard, and a burst after a failover is mostly remembered.
const THREADS_MAX: usize = 2;
/// A client that cannot be offered any way to say who it is, is logged this often.
const NO_WAY_LOG_PERIOD: Nanos = 60_000_000_000;

/// Logins under way, and the threads that work on them.
#[derive(Debug)]
pub(crate) struct Logins {
    authentication: Authentication<ConnectionId>,
    workers: Workers<Checked>,
    no_way_logged_at: Option<Nanos>,
}

impl Logins {
    /// Starts the threads.
    ///
    /// # Errors
    /// The operating system allows no further thread, or has no random numbers.
    pub(crate) fn start(reactor: &mut Reactor) -> io::Result<Logins> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = reactor.workers(cores.min(THREADS_MAX), CHECKS_MAX)?;
        Ok(Logins { authentication: Authentication::new(key), workers, no_way_logged_at: None })
    }

    /// When [`Broker::continue_logins`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Nanos> {
        self.authentication.poll_timeout()
    }
}

impl Broker {
    /// The mechanisms for a connection from outside.
    pub(crate) fn sasl_offer(&mut self, now: Nanos, channel: &Channel) -> Vec<String> {
        let offer = security::mechanisms(&self.configuration, channel);
        if channel.certificate_name.is_none() && offer == ["EXTERNAL"] {
            self.log_no_way(now, channel);
        }
        offer.into_iter().map(str::to_string).collect()
    }

    fn log_no_way(&mut self, now: Nanos, channel: &Channel) {
        if self.logins.no_way_logged_at.is_some_and(|at| now < at + NO_WAY_LOG_PERIOD) {
            return;
        }
        self.logins.no_way_logged_at = Some(now);
        let address = channel.address.map_or_else(|| "an unknown address".to_string(), |address| address.to_string());
        self.log.line(format!(
            "A client at {address} cannot log in: passwords are not taken from a network connection without TLS; let it \
             connect to an ssl:// URL, or set allow_plain_without_tls = enabled"
        ));
    }

    /// The client has chosen a mechanism and said who it is.
    pub(crate) fn sasl_init(
        &mut self,
        now: Nanos,
        id: ConnectionId,
        connection: &mut Connection,
        mechanism: &str,
        response: &[u8],
    ) {
        let is_certified = self.is_named_by_certificate(connection, mechanism, response);
        let identity = match mechanism {
            _ if is_certified => self.certified(connection),
            "ANONYMOUS" if !self.configuration.authorization => Some(Identity::default()),
            "PLAIN" => match amqp::sasl::plain(response) {
                Some((user, password)) => match self.believed(user) {
                    Some(identity) => Some(identity),
                    None => return self.begin_login(now, id, connection, user, password),
                },
                None => None,
            },
            _ => None,
        };
        match identity {
            Some(identity) => connection.log_in(identity),
            None => {
                let address = self.login_address(connection);
                let unknown = connection.channel.certificate_name.as_ref().filter(|_| is_certified);
                let why = unknown
                    .map_or_else(String::new, |name| format!(": no user is called '{name}' as its certificate is"));
                self.log.line(format!("Authentication of a client at {address} failed (mechanism {mechanism}){why}"));
                connection.protocol.sasl_outcome(SaslCode::Auth);
            }
        }
    }

    /// Whether a client's name is that of its certificate: it says so, or `ssl_use_cert_username` and `ssl_cert_user_specname`
    /// do. The other server has its own name, whatever its certificate.
    fn is_named_by_certificate(&self, connection: &Connection, mechanism: &str, response: &[u8]) -> bool {
        if mechanism == "EXTERNAL" {
            return true;
        }
        if connection.channel.certificate_name.is_none() {
            return false;
        }
        let said = amqp::sasl::plain(response).filter(|_| mechanism == "PLAIN").map(|(user, _)| user);
        let tls = &self.configuration.tls;
        said == Some(&tls.cert_user_specname) || (tls.use_cert_username && said != Some(&self.configuration.server))
    }

    /// The user of a verified certificate. Without `authorization` the authority's word is enough.
    fn certified(&self, connection: &Connection) -> Option<Identity> {
        let name = connection.channel.certificate_name.as_deref();
        if self.configuration.authorization {
            return security::external(&self.directory, name);
        }
        name.map(|name| Identity { user: name.to_string(), is_proven: true })
    }

    /// Without `authorization` a name is believed. That of an administrator with a password is checked all the same, since it
    /// is needed to administer.
    fn believed(&self, user: &str) -> Option<Identity> {
        if self.configuration.authorization {
            return None;
        }
        let has_password = self.directory.user(user).is_some_and(|user| !user.password.is_empty());
        let must_prove = has_password && self.directory.administers(user);
        (!must_prove).then(|| Identity { user: user.to_string(), is_proven: !has_password })
    }

    fn begin_login(&mut self, now: Nanos, id: ConnectionId, connection: &mut Connection, user: &str, password: &str) {
        let login = Login {
            user: user.to_string(),
            stored: self.directory.user(user).map(|user| user.password.clone()),
            password: password.to_string(),
        };
        connection.identity = Identity { user: user.to_string(), is_proven: false };
        self.logins.authentication.begin(now, id, self.login_address(connection), login);
        self.logins_under_way = true;
    }

    fn login_address(&self, connection: &Connection) -> IpAddr {
        connection.channel.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// Takes what the worker threads have found out, and gives them more.
    pub(crate) fn continue_logins(&mut self, now: Nanos) {
        let Logins { authentication, workers, .. } = &mut self.logins;
        let connections = &self.connections;
        authentication.handle_timeout(now, |id| connections.get(*id).is_some());
        while let Some(checked) = workers.take() {
            authentication.finished(now, checked);
        }
        while let Some(job) = authentication.poll_job() {
            workers.submit(move || job.run()).expect("the queue has room for all checks that may be under way");
        }
        while let Some((id, verdict)) = self.logins.authentication.poll_verdict() {
            self.verdict(now, id, verdict);
        }
        self.logins_under_way = false;
        if let Some(at) = self.logins.poll_timeout() {
            self.reactor.set_timer(at, Timer::Login.to_token());
        }
    }

    fn verdict(&mut self, now: Nanos, id: ConnectionId, verdict: Verdict) {
        let Some(mut connection) = self.connections.take(id) else { return };
        let user = connection.identity.user.clone();
        match verdict {
            Verdict::Good => connection.log_in(Identity { user, is_proven: true }),
            // Believed as anybody's name is, but it opens no door to the administration.
            Verdict::Bad { .. } if !self.configuration.authorization => {
                connection.log_in(Identity { user, is_proven: false });
            }
            Verdict::Bad { failures } => {
                let is_peer = self.peer_login_failed(now, id, &user);
                if let Some(failures) = failures.filter(|_| !is_peer) {
                    let address = self.login_address(&connection);
                    let count = if failures > 1 { format!(", {failures} times from there") } else { String::new() };
                    self.log.line(format!("Wrong user name or password for '{user}' from {address}{count}"));
                }
                connection.protocol.sasl_outcome(SaslCode::Auth);
            }
            Verdict::Busy => connection.protocol.sasl_outcome(SaslCode::SysTemp),
        }
        self.connections.put_back(id, connection);
        self.review(now, id);
    }

    /// Whether the user of a connection may do something to a queue: everybody may, unless the queue is `secure`.
    pub(crate) fn check_queue(
        &self,
        connection: &Connection,
        permission: Permission,
        queue: &str,
    ) -> Result<(), amqp::Error> {
        if !self.configuration.authorization || !self.is_secure(queue) {
            return Ok(());
        }
        let allowed = connection.identity.may(&self.directory, permission, Target::Queue(queue));
        allowed.map_err(|denied| amqp::Error::new(condition::UNAUTHORIZED_ACCESS, denied.to_string()))
    }

    /// As for all properties, a bare `>` does not cover temporary queues: who receives from them is settled by their names,
    /// and whoever was asked must be able to answer.
    fn is_secure(&self, queue: &str) -> bool {
        let covers = |pattern: &str| {
            (!temporary::is_temporary(queue) || temporary::is_temporary(pattern)) && engine::matches(pattern, queue)
        };
        self.configuration.queues.iter().any(|line| line.secure && covers(&line.definition.pattern))
    }
}

impl Connection {
    fn log_in(&mut self, identity: Identity) {
        self.identity = identity;
        self.protocol.sasl_outcome(SaslCode::Ok);
    }
}
