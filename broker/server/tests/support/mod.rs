//! Real broker processes in temporary folders, and a small blocking client, for the tests of this package.
//!
//! Owns the processes that it starts: each is killed, by its id, when its handle is dropped.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod certificates;

use amqp::message::{Body, Header, Properties};
use amqp::{Attach, Config, Connection, Delivery, Event, LinkId, Outcome, Role, Source, Target, Value};
use certificates::Authority;
use rustls::StreamOwned;
use rustls::pki_types::ServerName;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Nothing here waits longer than this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A port that is free at the moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Writes a configuration folder: `tibemsd.conf` per server, shared queues.conf.
pub(crate) struct Setup {
    /// The folder.
    pub(crate) folder: tempfile::TempDir,
    /// Ports of the servers.
    pub(crate) ports: Vec<u16>,
}

impl Setup {
    /// `servers` servers over one store; `extra` lines go into each tibemsd.conf.
    pub(crate) fn new(servers: usize, queues: &str, extra: &str) -> Setup {
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<u16> = (0..servers).map(|_| free_port()).collect();
        let setup = Setup { folder, ports };
        std::fs::write(setup.folder.path().join("queues.conf"), queues).unwrap();
        for index in 0..servers {
            let mut text = format!(
                "server = TEST\nlisten = tcp://127.0.0.1:{}\nstore = datastore\nqueues = queues.conf\nsegment_size = 1MB\n{extra}\n",
                setup.ports[index]
            );
            if servers == 2 {
                let peer = setup.ports[1 - index];
                text += &format!("ft_active = tcp://127.0.0.1:{peer}\nft_heartbeat = 100ms\nft_activation = 500ms\n");
            }
            std::fs::write(setup.config(index), text).unwrap();
        }
        setup
    }

    /// The configuration file of one server.
    pub(crate) fn config(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("server{index}.conf"))
    }

    /// The store folder.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("datastore")
    }

    /// Starts one server.
    pub(crate) fn start(&self, index: usize) -> Server {
        self.start_with(index, &[])
    }

    /// The configuration of both servers in one file.
    pub(crate) fn json(&self) -> PathBuf {
        self.folder.path().join("tibemsd.json")
    }

    /// Starts one server from that file, in the spelling of EMS.
    pub(crate) fn start_json(&self, index: usize) -> Server {
        let arguments: &[&str] = if index == 0 { &[] } else { &["-secondary"] };
        Server::start(&self.json(), self.ports[index], arguments)
    }

    /// Starts one server with another configuration file.
    pub(crate) fn start_file(&self, file: &Path, index: usize, arguments: &[&str]) -> Server {
        Server::start(file, self.ports[index], arguments)
    }

    /// Starts one server with further arguments.
    pub(crate) fn start_with(&self, index: usize, arguments: &[&str]) -> Server {
        Server::start(&self.config(index), self.ports[index], arguments)
    }
}

/// A broker process.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) port: u16,
    child: Child,
    events: Arc<Mutex<Vec<String>>>,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts the program with that configuration, which listens on `port`.
    pub(crate) fn start(config: &Path, port: u16, arguments: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_broker"))
            .arg("--config")
            .arg(config)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::new(Mutex::new(String::new()));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let into = Arc::clone(&events);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                into.lock().unwrap().push(line);
            }
        });
        let into = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                into.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Server { port, child, events, log }
    }

    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Its process id.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for an event line that holds `text`.
    pub(crate) fn wait_event(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.events.lock().unwrap().iter().any(|line| line.contains(text)) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < until,
                "no event {text} (ended: {ended:?}):\n{}",
                self.report()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it serves clients.
    pub(crate) fn wait_active(&mut self) {
        self.wait_event("\"to\":\"ACTIVE\"");
    }

    /// Waits until it is standby.
    pub(crate) fn wait_standby(&mut self) {
        self.wait_event("\"to\":\"STANDBY\"");
    }

    /// Waits for its end; gives the exit code.
    pub(crate) fn wait_exit(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "the server does not end:\n{}", self.report());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its exit code, if it has ended by itself.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().and_then(|status| status.code())
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    fn report(&self) -> String {
        format!("events:\n{}\nlog:\n{}", self.events.lock().unwrap().join("\n"), self.log())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, perhaps.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client saw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Sasl(amqp::SaslCode),
    Opened,
    Closed(Option<amqp::Error>),
    Failed(amqp::Error),
    Attached { link: LinkId, refused: bool },
    Detached { link: LinkId, error: Option<amqp::Error> },
    Credit { link: LinkId, credit: u32 },
    Message { link: LinkId, delivery_id: u32, body: Vec<u8>, header: Header },
    Outcome { token: u64, outcome: Option<Outcome> },
    SettledByPeer { first: u32, last: u32 },
    Drained,
    EndOfFile,
}

/// A client's socket.
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// A blocking client on one connection.
pub(crate) struct Client {
    stream: Stream,
    connection: Connection,
    started: Instant,
    /// Seen and not yet asked for.
    pub(crate) seen: Vec<Seen>,
    session: amqp::SessionId,
    /// An administrator's link for requests, and where the replies go.
    requests: Option<LinkId>,
    reply_to: Option<String>,
    /// The sources that were granted.
    sources: std::collections::HashMap<LinkId, String>,
}

impl Client {
    /// Connects and opens; the server's answer is in `seen`.
    pub(crate) fn connect(port: u16) -> Client {
        let open = amqp::Open { container_id: "test".into(), ..amqp::Open::default() };
        Client::connect_as(port, amqp::ClientSasl::Anonymous, open)
    }

    /// Connects with TLS, trusting `authority`, and with the certificate of this name that it issued.
    pub(crate) fn connect_tls(port: u16, authority: &Authority, certificate: Option<&str>) -> Client {
        Client::log_in_tls(port, authority, certificate, amqp::ClientSasl::Anonymous)
    }

    /// The same with a login.
    pub(crate) fn log_in_tls(
        port: u16,
        authority: &Authority,
        certificate: Option<&str>,
        sasl: amqp::ClientSasl,
    ) -> Client {
        let open = amqp::Open { container_id: "test".into(), ..amqp::Open::default() };
        let stream = secured(port, authority, certificate).unwrap();
        Client::on(Stream::Tls(Box::new(stream)), sasl, open)
    }

    /// Only the TLS handshake.
    pub(crate) fn handshake(port: u16, authority: &Authority) -> io::Result<()> {
        secured(port, authority, None).map(drop)
    }

    /// Connects with a name and a password, and waits for the server's answer to them. The end without an answer, as after
    /// the handshake's time-out, is told as `SysTemp`.
    pub(crate) fn log_in(port: u16, user: &str, password: &str) -> Result<Client, amqp::SaslCode> {
        let open = amqp::Open { container_id: user.into(), ..amqp::Open::default() };
        let sasl = amqp::ClientSasl::Plain { user: user.into(), password: password.into() };
        let mut client = Client::connect_as(port, sasl, open);
        let code = client.wait("the outcome of SASL", |seen| match seen {
            Seen::Sasl(code) => Some(*code),
            Seen::EndOfFile => Some(amqp::SaslCode::SysTemp),
            _ => None,
        });
        if code == amqp::SaslCode::Ok { Ok(client) } else { Err(code) }
    }

    /// Connects as the administrator.
    pub(crate) fn connect_admin(port: u16) -> Client {
        Client::connect_admin_as(port, "admin", "")
    }

    /// Connects to administer.
    pub(crate) fn connect_admin_as(port: u16, user: &str, password: &str) -> Client {
        let mut client = Client::ask_to_administer(port, user, password);
        let source = Source { dynamic: true, ..Source::default() };
        let attach = Attach {
            name: "replies".into(),
            role: Role::Receiver,
            source: Some(source),
            target: Some(Target::default()),
            ..Attach::default()
        };
        let replies = client.connection.attach(client.session, attach);
        client.connection.grant(replies, 100, false);
        client.attached(replies).unwrap();
        client.requests = Some(client.sender("$sys.admin").unwrap());
        client
    }

    /// Connects and asks to administer; the answer is in `seen`.
    pub(crate) fn ask_to_administer(port: u16, user: &str, password: &str) -> Client {
        let open = amqp::Open {
            container_id: "test admin".into(),
            desired_capabilities: vec!["understudy:admin".into()],
            ..amqp::Open::default()
        };
        let sasl = amqp::ClientSasl::Plain { user: user.into(), password: password.into() };
        Client::connect_as(port, sasl, open)
    }

    /// An administrator's command without arguments, and the reply to it.
    pub(crate) fn request(&mut self, command: &str) -> serde_json::Value {
        let properties = Properties { reply_to: self.reply_to.clone(), ..Properties::default() };
        let body = serde_json::json!({ "command": command }).to_string();
        let payload = amqp::message::encode(Header::default(), &properties, &[], Body::Data(body.as_bytes()));
        let link = self.requests.expect("an administrator");
        let delivery =
            Delivery { token: 1, tag: b"q", settled: false, format: 0, state: None, head: &[], body: &payload };
        self.connection.send(link, delivery).unwrap();
        serde_json::from_slice(&self.message().1).unwrap()
    }

    fn connect_as(port: u16, sasl: amqp::ClientSasl, open: amqp::Open) -> Client {
        let stream = connected(port);
        stream.set_read_timeout(Some(READ_PATIENCE)).unwrap();
        Client::on(Stream::Plain(stream), sasl, open)
    }

    fn on(stream: Stream, sasl: amqp::ClientSasl, open: amqp::Open) -> Client {
        let config = Config { container_id: "test".into(), ..Config::default() };
        let mut connection = Connection::client(config, Some(sasl), 0);
        connection.open(open);
        let session = connection.begin();
        let (started, seen, requests, reply_to) = (Instant::now(), Vec::new(), None, None);
        let sources = std::collections::HashMap::new();
        let mut client = Client { stream, connection, started, seen, session, requests, reply_to, sources };
        client.turn();
        client
    }

    /// Whether the server serves this client: the open has come, and no close.
    pub(crate) fn is_opened(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        loop {
            self.turn();
            let has_ended = |seen: &Seen| matches!(seen, Seen::Closed(_) | Seen::Failed(_) | Seen::EndOfFile);
            if self.seen.iter().any(has_ended) {
                return false;
            }
            // A close comes with its open.
            if self.seen.contains(&Seen::Opened) {
                return true;
            }
            assert!(Instant::now() < until, "no answer to the open");
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64 + 1
    }

    /// Sends what is to be sent, reads what there is.
    pub(crate) fn turn(&mut self) {
        self.flush();
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.seen.push(Seen::EndOfFile),
            Ok(count) => self.take_in(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => self.take_in(&[]),
            Err(_) => self.seen.push(Seen::EndOfFile),
        }
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(output) = self.connection.poll_transmit(self.now()) {
            for chunk in output.chunks {
                // A server that closes while we write is seen when we read.
                let _ = self.stream.write_all(&chunk);
            }
        }
    }

    fn take_in(&mut self, mut input: &[u8]) {
        let now = self.now();
        while let Some(event) = self.connection.next_event(now, &mut input) {
            let seen = match event {
                Event::SaslOutcome(code) => Seen::Sasl(code),
                Event::Open => Seen::Opened,
                Event::Close { error } => Seen::Closed(error),
                Event::Failed(error) => Seen::Failed(error),
                Event::Attached { link, attach } => {
                    let address = attach.source.as_ref().and_then(|source| source.address.clone());
                    self.sources.extend(address.clone().map(|address| (link, address)));
                    self.reply_to =
                        address.filter(|address| address.starts_with("$sys.reply.")).or(self.reply_to.take());
                    let refused = match attach.role {
                        Role::Sender => attach.source.is_none(),
                        Role::Receiver => attach.target.is_none(),
                    };
                    Seen::Attached { link, refused }
                }
                Event::Detach { link, error, .. } => Seen::Detached { link, error },
                Event::Flow { link, credit, .. } => Seen::Credit { link, credit },
                Event::Drained { .. } => Seen::Drained,
                Event::SettledByPeer { first, last, .. } => Seen::SettledByPeer { first, last },
                Event::Outcome { token, outcome, .. } => Seen::Outcome { token, outcome },
                Event::Message(message) => {
                    let sections = amqp::message::scan(message.payload).unwrap();
                    Seen::Message {
                        link: message.link,
                        delivery_id: message.delivery_id,
                        body: sections.data(message.payload).unwrap_or_default().to_vec(),
                        header: sections.header,
                    }
                }
                _ => continue,
            };
            self.seen.push(seen);
        }
    }

    /// Waits until `pick` finds something in what was seen; takes it out.
    pub(crate) fn wait<T>(&mut self, what: &str, pick: impl Fn(&Seen) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(index) = self.seen.iter().position(|seen| pick(seen).is_some()) {
                return pick(&self.seen.remove(index)).unwrap();
            }
            assert!(Instant::now() < until, "{what} did not come; seen: {:?}", self.seen);
            self.turn();
        }
    }

    /// Whether nothing matching `pick` comes for a while.
    pub(crate) fn quiet(&mut self, time: Duration, pick: impl Fn(&Seen) -> bool) -> bool {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn();
        }
        !self.seen.iter().any(pick)
    }

    /// A link that sends to `address`; `Err` carries the refusal.
    pub(crate) fn sender(&mut self, address: &str) -> Result<LinkId, amqp::Error> {
        let attach = Attach {
            name: format!("to {address}"),
            role: Role::Sender,
            source: Some(Source::default()),
            target: Some(Target::at(address)),
            ..Attach::default()
        };
        let link = self.connection.attach(self.session, attach);
        self.attached(link)
    }

    /// A link that receives from `address`.
    pub(crate) fn receiver(&mut self, address: &str, credit: u32) -> Result<LinkId, amqp::Error> {
        self.receiver_from(Source::at(address), credit)
    }

    /// A link that browses `address`.
    pub(crate) fn browser(&mut self, address: &str, credit: u32) -> Result<LinkId, amqp::Error> {
        self.receiver_from(Source { distribution_mode: Some("copy".into()), ..Source::at(address) }, credit)
    }

    fn receiver_from(&mut self, source: Source, credit: u32) -> Result<LinkId, amqp::Error> {
        let address = source.address.clone().unwrap_or_default();
        let attach = Attach {
            name: format!("from {address} {}", source.distribution_mode.as_deref().unwrap_or_default()),
            role: Role::Receiver,
            source: Some(source),
            target: Some(Target::default()),
            ..Attach::default()
        };
        let link = self.connection.attach(self.session, attach);
        self.connection.grant(link, credit, false);
        self.attached(link)
    }

    /// Connects with a container-id of its own.
    pub(crate) fn connect_named(port: u16, container_id: &str) -> Client {
        let open = amqp::Open { container_id: container_id.into(), ..amqp::Open::default() };
        Client::connect_as(port, amqp::ClientSasl::Anonymous, open)
    }

    /// The ports of the servers that the server tells its clients to fail over to.
    pub(crate) fn failover_ports(&mut self) -> Vec<u16> {
        let open = self.connection.peer().expect("the server has answered");
        let Some(Value::List(servers)) = open.property("failover-server-list") else { panic!("no list: {open:?}") };
        let port = |server: &Value| match server {
            Value::Map(fields) => fields.iter().find_map(|(name, value)| match value {
                Value::Uint(port) if *name == Value::symbol("port") => Some(*port as u16),
                _ => None,
            }),
            _ => None,
        };
        servers.iter().filter_map(port).collect()
    }

    /// A link that receives from a node of its own, and that node's address.
    pub(crate) fn temporary(&mut self, credit: u32) -> (LinkId, String) {
        let attach = Attach {
            name: "temporary".into(),
            role: Role::Receiver,
            source: Some(Source { dynamic: true, ..Source::default() }),
            target: Some(Target::default()),
            ..Attach::default()
        };
        let link = self.connection.attach(self.session, attach);
        self.connection.grant(link, credit, false);
        self.attached(link).unwrap();
        (link, self.sources[&link].clone())
    }

    /// Closes a link for good.
    pub(crate) fn detach(&mut self, link: LinkId) {
        self.connection.detach(link, true, None);
        self.wait("the answer to detach", |seen| match seen {
            Seen::Detached { link: detached, .. } => (*detached == link).then_some(()),
            _ => None,
        });
    }

    /// Closes the connection as a client should.
    pub(crate) fn close(&mut self) {
        self.connection.close(None);
        self.turn();
    }

    fn attached(&mut self, link: LinkId) -> Result<LinkId, amqp::Error> {
        let refused = self.wait("the answer to attach", |seen| match seen {
            Seen::Attached { link: answered, refused } if *answered == link => Some(*refused),
            _ => None,
        });
        if !refused {
            return Ok(link);
        }
        Err(self.wait("the reason of the refusal", |seen| match seen {
            Seen::Detached { link: detached, error } if *detached == link => error.clone(),
            _ => None,
        }))
    }

    /// Sends a durable message; its token comes back with the outcome.
    pub(crate) fn send(&mut self, link: LinkId, token: u64, body: &[u8]) {
        self.send_as(link, token, body, Header { durable: true, ..Header::default() });
    }

    /// Sends a message with a header.
    pub(crate) fn send_as(&mut self, link: LinkId, token: u64, body: &[u8], header: Header) {
        let until = Instant::now() + PATIENCE;
        while self.connection.link_credit(link) == 0 {
            assert!(Instant::now() < until, "no credit; seen: {:?}", self.seen);
            self.turn();
        }
        let payload = amqp::message::encode(header, &Properties::default(), &[], Body::Data(body));
        let tag = token.to_be_bytes();
        let delivery = Delivery { token, tag: &tag, settled: false, format: 0, state: None, head: &[], body: &payload };
        self.connection.send(link, delivery).unwrap();
    }

    /// Waits for the outcome of the message with `token`.
    pub(crate) fn outcome(&mut self, token: u64) -> Option<Outcome> {
        self.wait("an outcome", |seen| match seen {
            Seen::Outcome { token: answered, outcome } if *answered == token => Some(outcome.clone()),
            _ => None,
        })
    }

    /// Sends and waits for `accepted`.
    pub(crate) fn publish(&mut self, link: LinkId, token: u64, body: &[u8]) {
        self.send(link, token, body);
        assert_eq!(self.outcome(token), Some(Outcome::Accepted));
    }

    /// The next message: its delivery-id, body and header.
    pub(crate) fn message(&mut self) -> (u32, Vec<u8>, Header) {
        self.wait("a message", |seen| match seen {
            Seen::Message { delivery_id, body, header, .. } => Some((*delivery_id, body.clone(), *header)),
            _ => None,
        })
    }

    /// Accepts a message; with `confirmed`, waits until the broker has settled it.
    pub(crate) fn accept(&mut self, delivery_id: u32, confirmed: bool) {
        self.connection.settle(self.session, delivery_id, Outcome::Accepted, !confirmed);
        self.turn();
        if confirmed {
            self.wait("the settlement", |seen| match seen {
                Seen::SettledByPeer { first, last } if *first <= delivery_id && delivery_id <= *last => Some(()),
                _ => None,
            });
        }
    }

    /// Grants credit on a receiving link; with `drain`, what is not used comes back.
    pub(crate) fn grant(&mut self, link: LinkId, credit: u32, drain: bool) {
        self.connection.grant(link, credit, drain);
        self.turn();
    }
}

/// How long a client waits for bytes in one turn.
const READ_PATIENCE: Duration = Duration::from_millis(20);

fn connected(port: u16) -> TcpStream {
    let until = Instant::now() + PATIENCE;
    let stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            // A server that was started a moment ago may not listen yet.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => break result.unwrap(),
        }
    };
    stream.set_nodelay(true).unwrap();
    stream
}

fn secured(
    port: u16,
    authority: &Authority,
    certificate: Option<&str>,
) -> io::Result<StreamOwned<rustls::ClientConnection, TcpStream>> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut connection = rustls::ClientConnection::new(authority.client(certificate), name).unwrap();
    let mut stream = connected(port);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    stream.set_read_timeout(Some(READ_PATIENCE)).unwrap();
    Ok(StreamOwned::new(connection, stream))
}
