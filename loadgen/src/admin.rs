//! Owns the request and reply on the broker's administration address, as a client off the shelf would do it.

use std::time::Duration;

use amqp::message::{self, Body, Header, Properties};
use amqp::{Attach, Config, Connection, Delivery, Event, LinkId, Message, Open, Outcome, Role, Source, Target, Value};

use crate::client::{dial, login};
use crate::clock::now_ns;
use crate::options::Url;
use crate::timer::Timer;
use crate::tls::Tls;
use crate::wire::{Lost, Wire};

/// The address that takes requests.
pub const ADMIN_ADDRESS: &str = "$sys.admin";
/// The capability that an administrator's `open` desires.
pub const ADMIN_CAPABILITY: &str = "understudy:admin";

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No connection, or it was lost.
    #[error("{url}: {reason}")]
    Connection {
        /// The server.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The server took the request and did not answer in time.
    #[error("{url}: no reply within {limit:?}")]
    TimedOut {
        /// The server.
        url: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The reply is not JSON.
    #[error("{url}: the reply is not JSON: {source}")]
    NotJson {
        /// The server.
        url: String,
        /// Why not.
        source: serde_json::Error,
    },
}

/// Sends one request and gives the reply. An empty `user` means SASL ANONYMOUS, unless the URL names one.
///
/// # Errors
/// The server cannot be reached, refuses, or does not answer within `limit`.
pub async fn request(
    url: &Url,
    user: &str,
    password: &str,
    body: &serde_json::Value,
    limit: Duration,
) -> Result<serde_json::Value, AdminError> {
    request_over(None, url, (user, password), body, limit).await
}

/// The same, also to `amqps://`.
///
/// # Errors
/// As [`request`]; and `amqps://` without `tls`.
pub async fn request_over(
    tls: Option<&Tls>,
    url: &Url,
    (user, password): (&str, &str),
    body: &serde_json::Value,
    limit: Duration,
) -> Result<serde_json::Value, AdminError> {
    let exchange = Exchange::run(tls, url, (user, password), body.to_string().into_bytes());
    match tokio::time::timeout(limit, exchange).await {
        Err(_elapsed) => Err(AdminError::TimedOut { url: url.to_string(), limit }),
        Ok(Err(Lost(reason))) => Err(AdminError::Connection { url: url.to_string(), reason }),
        Ok(Ok(reply)) => {
            serde_json::from_slice(&reply).map_err(|source| AdminError::NotJson { url: url.to_string(), source })
        }
    }
}

/// One request on one connection.
struct Exchange {
    requests: LinkId,
    replies: LinkId,
    /// The address that the server made for our replies.
    reply_to: Option<String>,
    sent: bool,
    /// The delivery to acknowledge, and its body.
    reply: Option<(u32, Vec<u8>)>,
    failure: Option<Lost>,
}

impl Exchange {
    async fn run(tls: Option<&Tls>, url: &Url, (user, password): (&str, &str), body: Vec<u8>) -> Result<Vec<u8>, Lost> {
        let socket = dial(url, tls).await?;
        let sasl = login(url, (!user.is_empty()).then_some(user), password);
        let config = Config {
            container_id: format!("loadgen-admin-{:016x}", fastrand::u64(..)),
            hostname: Some(url.host.clone()),
            ..Config::default()
        };
        let open = Open { desired_capabilities: vec![ADMIN_CAPABILITY.to_owned()], ..Open::default() };
        let mut connection = Connection::client(config, Some(sasl), now_ns());
        connection.open(open);
        let mut exchange = Self::attach(&mut connection);
        let mut wire = Wire::new(socket, connection);
        let timer = Timer::new()?;
        loop {
            let now = now_ns();
            let received = wire.receive(now, &mut |event| exchange.observe(event));
            if let Some((delivery_id, reply)) = exchange.reply.take() {
                wire.connection.settle(exchange.replies.session, delivery_id, Outcome::Accepted, true);
                wire.connection.close(None);
                wire.transmit(now)?;
                return Ok(reply);
            }
            if let Some(failure) = exchange.failure.take() {
                return Err(failure);
            }
            received?;
            exchange.ask(&mut wire, &body)?;
            wire.transmit(now)?;
            wire.wait(&timer, None).await?;
        }
    }

    fn attach(connection: &mut Connection) -> Self {
        let session = connection.begin();
        let replies = connection.attach(
            session,
            Attach {
                name: "replies".to_owned(),
                role: Role::Receiver,
                source: Some(Source { dynamic: true, ..Source::default() }),
                target: Some(Target::default()),
                ..Attach::default()
            },
        );
        connection.grant(replies, 1, false);
        let requests = connection.attach(
            session,
            Attach {
                name: "requests".to_owned(),
                role: Role::Sender,
                source: Some(Source::default()),
                target: Some(Target::at(ADMIN_ADDRESS)),
                ..Attach::default()
            },
        );
        Self { requests, replies, reply_to: None, sent: false, reply: None, failure: None }
    }

    fn observe(&mut self, event: Event<'_>) {
        let lost = |what: &str, error: Option<amqp::Error>| {
            Lost(error.map_or_else(|| what.to_owned(), |error| format!("{what}: {error}")))
        };
        let failure = match event {
            Event::Attached { link, attach } if link == self.replies => {
                self.reply_to = attach.source.and_then(|source| source.address);
                return;
            }
            Event::Message(message) => return self.take_reply(&message),
            Event::SaslOutcome(amqp::SaslCode::Ok) => return,
            Event::SaslOutcome(code) => Lost(format!("SASL refused the login ({code:?})")),
            Event::Detach { error, .. } => lost("the server refused the request's link", error),
            Event::End { error, .. } => lost("the server ended the session", error),
            Event::Close { error } => lost("the server closed the connection", error),
            Event::Failed(error) => Lost(format!("the connection failed: {error}")),
            Event::Outcome { outcome: Some(Outcome::Rejected(error)), .. } => lost("the request was rejected", error),
            _ => return,
        };
        self.failure.get_or_insert(failure);
    }

    /// The body is one data section; a string value is understood, too.
    fn take_reply(&mut self, message: &Message<'_>) {
        let body = message::scan(message.payload).map_err(|error| Lost(error.to_string())).and_then(|sections| {
            if let Some(data) = sections.data(message.payload) {
                return Ok(data.to_vec());
            }
            let value = sections.value(message.payload).map_err(|error| Lost(error.to_string()))?;
            let text = value.as_ref().and_then(Value::as_str).map(|text| text.as_bytes().to_vec());
            text.ok_or_else(|| Lost("the reply's body is neither data nor a string".to_owned()))
        });
        match body {
            Ok(body) => self.reply = Some((message.delivery_id, body)),
            Err(lost) => self.failure = Some(lost),
        }
    }

    /// Sends the request, once it is known where the reply goes and the server takes messages.
    fn ask(&mut self, wire: &mut Wire, body: &[u8]) -> Result<(), Lost> {
        if self.sent || wire.connection.link_credit(self.requests) == 0 {
            return Ok(());
        }
        let Some(reply_to) = &self.reply_to else { return Ok(()) };
        let properties = Properties {
            message_id: Some(Value::from("1")),
            correlation_id: Some(Value::from("1")),
            reply_to: Some(reply_to.clone()),
            content_type: Some("application/json".to_owned()),
            ..Properties::default()
        };
        let payload = message::encode(Header::default(), &properties, &[], Body::Data(body));
        let delivery =
            Delivery { token: 0, tag: b"1", settled: false, format: 0, state: None, head: &[], body: &payload };
        wire.connection.send(self.requests, delivery).map_err(|error| Lost(error.to_string()))?;
        self.sent = true;
        Ok(())
    }
}
