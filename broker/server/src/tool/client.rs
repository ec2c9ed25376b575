//! A small blocking AMQP client: one connection to a server's administration, one request at a time.
//!
//! Owns the connection and its links. What is asked, and of which server, is decided in `session`.

use super::stream::{self, Stream, Tls};
use amqp::message::{self, Body, Header, Properties};
use amqp::{
    Attach, ClientSasl, Config, Connection, Delivery, Event, LinkId, Open, Outcome, Role, SaslCode, Source, Target,
};
use serde_json::{Map, Value, json};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

const ADDRESS: &str = "$sys.admin";
const CAPABILITY: &str = "understudy:admin";
/// Replies that the server may send: one is enough, since one request at a time is made.
const REPLIES: u32 = 2;
/// How long a server may take to read, or to answer the handshake of TLS.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);
/// How long one read waits before time limits are looked at.
const READ_PATIENCE: Duration = Duration::from_millis(100);

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody there, or the connection broke.
    #[error("{url}: {reason}")]
    Lost {
        /// The server.
        url: String,
        /// What happened.
        reason: String,
    },
    /// Name or password are not good.
    #[error("{url}: the server does not accept user '{user}' with this password")]
    Login {
        /// The server.
        url: String,
        /// Who.
        user: String,
    },
    /// The user as it has shown itself may not administer.
    #[error("{url}: {reason}")]
    Unauthorized {
        /// The server.
        url: String,
        /// In the server's words.
        reason: String,
    },
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    text: String,
    host: String,
    port: u16,
    is_tls: bool,
}

impl Url {
    /// `tcp://host:port` or `ssl://host:port`; host and port may be missing, as in EMS.
    pub(super) fn parse(text: &str) -> Result<Url, String> {
        let (is_tls, rest) = match text.split_once("://") {
            Some(("tcp" | "amqp", rest)) => (false, rest),
            Some(("ssl" | "amqps", rest)) => (true, rest),
            Some((scheme, _)) => {
                return Err(format!("{text}: '{scheme}' is not supported; write tcp://host:port or ssl://host:port"));
            }
            None => (false, text),
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, port),
            None if rest.bytes().all(|byte| byte.is_ascii_digit()) => ("", rest),
            None => (rest, if is_tls { "7243" } else { "7222" }),
        };
        let port = port.parse().map_err(|_| format!("{text}: '{port}' is not a port; write tcp://host:port"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if host.is_empty() { "localhost" } else { host };
        let scheme = if is_tls { "ssl" } else { "tcp" };
        Ok(Url { text: format!("{scheme}://{host}:{port}"), host: host.to_owned(), port, is_tls })
    }

    /// In words.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

/// One connection.
pub(super) struct Client {
    url: Url,
    stream: Stream,
    connection: Connection,
    started: Instant,
    limit: Duration,
    requests: LinkId,
    replies: LinkId,
    reply_to: Option<String>,
    requests_made: u64,
    reply: Option<Result<Value, String>>,
    failure: Option<String>,
    is_login_refused: bool,
    is_unauthorized: bool,
}

impl Client {
    /// Connects, logs in and attaches the links; an empty user is anonymous.
    pub(super) fn connect(
        url: &Url,
        tls: &Tls,
        (user, password): (&str, &str),
        limit: Duration,
    ) -> Result<Client, ClientError> {
        let lost = |error: io::Error| ClientError::Lost { url: url.text.clone(), reason: stream::in_words(&error) };
        let socket = connect(url, limit).map_err(lost)?;
        socket.set_nodelay(true).and_then(|()| socket.set_read_timeout(Some(READ_PATIENCE))).map_err(lost)?;
        let stream = if url.is_tls { tls.secure(socket, &url.host).map_err(lost)? } else { Stream::Plain(socket) };
        let sasl = match user {
            "" => ClientSasl::Anonymous,
            _ => ClientSasl::Plain { user: user.to_owned(), password: password.to_owned() },
        };
        let config = Config {
            container_id: format!("broker-admin-{}", std::process::id()),
            hostname: Some(url.host.clone()),
            ..Config::default()
        };
        let mut connection = Connection::client(config, Some(sasl), 0);
        connection.open(Open { desired_capabilities: vec![CAPABILITY.to_owned()], ..Open::default() });
        let (requests, replies) = attach(&mut connection);
        let mut client = Client {
            url: url.clone(),
            stream,
            connection,
            started: Instant::now(),
            limit,
            requests,
            replies,
            reply_to: None,
            requests_made: 0,
            reply: None,
            failure: None,
            is_login_refused: false,
            is_unauthorized: false,
        };
        match client.wait(|client| client.reply_to.is_some() && client.connection.link_credit(requests) > 0) {
            Err(_) if client.is_login_refused => {
                Err(ClientError::Login { url: url.text.clone(), user: user.to_owned() })
            }
            Err(reason) if client.is_unauthorized => Err(ClientError::Unauthorized { url: url.text.clone(), reason }),
            Err(reason) => Err(ClientError::Lost { url: url.text.clone(), reason }),
            Ok(()) => Ok(client),
        }
    }

    /// The server.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// How long it waits for a reply from now on.
    pub(super) fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Sends a command and gives the reply; the pages of a long list are put together.
    pub(super) fn request(&mut self, command: &str) -> Result<Value, ClientError> {
        let mut whole = self.request_page(command, None)?;
        let mut next = take_next(&mut whole);
        while let Some(from) = next {
            let mut page = self.request_page(command, Some(from))?;
            next = take_next(&mut page);
            append(&mut whole, page);
        }
        Ok(whole)
    }

    fn request_page(&mut self, command: &str, from: Option<u64>) -> Result<Value, ClientError> {
        let args: Map<String, Value> =
            from.map(|from| ("from".to_owned(), json!(from.to_string()))).into_iter().collect();
        let body = json!({ "command": command, "args": args }).to_string();
        let result = self.ask(body.as_bytes());
        result.map_err(|reason| ClientError::Lost { url: self.url.text.clone(), reason })
    }

    fn ask(&mut self, body: &[u8]) -> Result<Value, String> {
        self.wait(|client| client.connection.link_credit(client.requests) > 0)?;
        self.requests_made += 1;
        let properties = Properties {
            message_id: Some(self.requests_made.into()),
            correlation_id: Some(self.requests_made.into()),
            reply_to: self.reply_to.clone(),
            content_type: Some("application/json".to_owned()),
            ..Properties::default()
        };
        let body = message::encode(Header::default(), &properties, &[], Body::Data(body));
        let tag = self.requests_made.to_be_bytes();
        let delivery = Delivery { token: 0, tag: &tag, settled: false, format: 0, state: None, head: &[], body: &body };
        self.connection.send(self.requests, delivery).map_err(|error| error.to_string())?;
        self.wait(|client| client.reply.is_some())?;
        self.reply.take().expect("just waited for")
    }

    /// Turns until `done`.
    fn wait(&mut self, done: impl Fn(&Client) -> bool) -> Result<(), String> {
        let until = Instant::now() + self.limit;
        loop {
            self.transmit().map_err(|error| stream::in_words(&error))?;
            if done(self) {
                return Ok(());
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if Instant::now() >= until {
                return Err(format!("no answer within {} s", self.limit.as_secs_f64()));
            }
            self.receive()?;
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64 + 1
    }

    fn transmit(&mut self) -> io::Result<()> {
        while let Some(output) = self.connection.poll_transmit(self.now()) {
            for chunk in output.chunks {
                write_all(&mut self.stream, &chunk)?;
            }
        }
        self.stream.flush()
    }

    fn receive(&mut self) -> Result<(), String> {
        let mut buffer = [0; 16 << 10];
        let count = match self.stream.read(&mut buffer) {
            Ok(0) => return Err(self.failure.take().unwrap_or_else(|| "the server closed the connection".to_owned())),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => 0,
            Err(error) => return Err(stream::in_words(&error)),
        };
        let now = self.now();
        if count == 0 {
            self.connection.handle_timeout(now);
        }
        let mut input = &buffer[..count];
        let mut answers = Vec::new();
        while let Some(event) = self.connection.next_event(now, &mut input) {
            let in_words = |what: &str, error: Option<amqp::Error>| {
                error.map_or_else(|| what.to_owned(), |error| format!("{what}: {}", error.description))
            };
            let failure = match event {
                Event::Attached { link, attach } if link == self.replies => {
                    self.reply_to = attach.source.and_then(|source| source.address);
                    continue;
                }
                Event::Message(message) => {
                    answers.push(message.delivery_id);
                    self.reply = Some(read_reply(message.payload));
                    continue;
                }
                Event::SaslOutcome(SaslCode::Ok) => continue,
                Event::SaslOutcome(code) => {
                    self.is_login_refused = true;
                    format!("the login was refused ({code:?})")
                }
                Event::Detach { error, .. } => in_words("the server ended a link", error),
                Event::End { error, .. } => in_words("the server ended the session", error),
                Event::Close { error: Some(error) } if error.condition == amqp::condition::UNAUTHORIZED_ACCESS => {
                    self.is_unauthorized = true;
                    error.description.to_string()
                }
                Event::Close { error } => in_words("the server closed the connection", error),
                Event::Failed(error) => format!("the connection failed: {error}"),
                Event::Outcome { outcome: Some(Outcome::Rejected(error)), .. } => {
                    in_words("the server did not take the request", error)
                }
                _ => continue,
            };
            self.failure.get_or_insert(failure);
        }
        for delivery_id in answers {
            self.connection.settle(self.replies.session, delivery_id, Outcome::Accepted, true);
            self.connection.grant(self.replies, REPLIES, false);
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.close(None);
        // A server that is gone needs no farewell.
        let _ = self.transmit();
    }
}

/// Writes all; the handshake of TLS reads first, with the socket's patience for each try.
fn write_all(stream: &mut Stream, mut bytes: &[u8]) -> io::Result<()> {
    let until = Instant::now() + WRITE_PATIENCE;
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn connect(url: &Url, limit: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::other(format!("the host name '{}' has no address", url.host));
    for address in (url.host.as_str(), url.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn attach(connection: &mut Connection) -> (LinkId, LinkId) {
    let session = connection.begin();
    let replies = Attach {
        name: "replies".to_owned(),
        role: Role::Receiver,
        source: Some(Source { dynamic: true, ..Source::default() }),
        target: Some(Target::default()),
        ..Attach::default()
    };
    let replies = connection.attach(session, replies);
    let requests = Attach {
        name: "requests".to_owned(),
        role: Role::Sender,
        source: Some(Source::default()),
        target: Some(Target::at(ADDRESS)),
        ..Attach::default()
    };
    connection.grant(replies, REPLIES, false);
    (connection.attach(session, requests), replies)
}

fn read_reply(payload: &[u8]) -> Result<Value, String> {
    let sections = message::scan(payload).map_err(|error| error.to_string())?;
    let body = sections.data(payload).ok_or("the reply has no data")?;
    serde_json::from_slice(body).map_err(|error| format!("the reply is not JSON: {error}"))
}

/// Where the next page begins.
fn take_next(reply: &mut Value) -> Option<u64> {
    reply.as_object_mut()?.remove("next")?.as_u64()
}

/// Puts the rows of another page behind those of the first.
fn append(whole: &mut Value, page: Value) {
    let (Some(whole), Value::Object(page)) = (whole.as_object_mut(), page) else { return };
    for (name, rows) in page {
        if let (Some(Value::Array(all)), Value::Array(rows)) = (whole.get_mut(&name), rows) {
            all.extend(rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_ems_reads_them() {
        let check = |text: &str, expected: &str| assert_eq!(Url::parse(text).unwrap().as_str(), expected, "{text}");
        check("tcp://a:7224", "tcp://a:7224");
        check("tcp://7224", "tcp://localhost:7224");
        check("a:1", "tcp://a:1");
        check("a", "tcp://a:7222");
        check("tcp://[::1]:7222", "tcp://::1:7222");
        check("ssl://a", "ssl://a:7243");
        assert!(Url::parse("tcp://a:x").unwrap_err().contains("not a port"));
        assert!(Url::parse("http://a:1").unwrap_err().contains("http"));
    }

    #[test]
    fn pages_are_put_together() {
        let mut whole = json!({ "queues": [1, 2], "next": 2, "ok": true });
        assert_eq!(take_next(&mut whole), Some(2));
        append(&mut whole, json!({ "queues": [3], "ok": true }));
        assert_eq!(whole, json!({ "queues": [1, 2, 3], "ok": true }));
        assert_eq!(take_next(&mut whole), None);
    }
}
