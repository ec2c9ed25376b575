//! Administration over AMQP request/reply: JSON requests to `$sys.admin`, replies to a node that the administrator made.
//!
//! Owns the form of requests and replies, and the replies that wait for work that takes turns. Who may administer is decided
//! in `opening`; the commands are in the files below: `command` spells them, `show` answers, `queues`, `people` and
//! `settings` change something, `changes` has one change follow the other, `files` writes them back.

mod changes;
mod command;
mod files;
mod people;
mod queues;
mod settings;
mod show;

use files::Files;

use crate::broker::{Audience, Broker};
use crate::config::Configuration;
use crate::connection::{Connection, ReceivedDelivery};
use crate::connections::ConnectionId;
use crate::security::{Target, password};
use crate::stage::Stage;
use amqp::message::{Body, Header, Properties};
use amqp::{Attach, Delivery, LinkId, Outcome, Role, Source, condition};
use changes::{Change, Effect};
use command::{Command, Place};
use files::{Wanted, Written};
use people::NewUser;
use reactor::{Nanos, Reactor, Workers};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;

/// Where requests go.
pub(crate) const ADDRESS: &str = "$sys.admin";
/// Requests that an administrator may have under way.
const CREDIT: u32 = 16;
/// Replies that may wait for work that takes turns.
const WAITING_MAX: usize = 1000;

#[derive(Debug, Deserialize)]
struct Request {
    command: String,
    #[serde(default)]
    args: BTreeMap<String, String>,
}

/// What administration keeps.
#[derive(Debug)]
pub(crate) struct Admin {
    /// The files that commands change.
    pub(crate) files: Files,
    /// Replies that wait.
    waiting: VecDeque<Waiting>,
    workers: Workers<Finished>,
    hashes_begun: u64,
    /// The worker thread is at the files. What they were to become before it writes, or nothing where it reads.
    at_files: Option<Wanted>,
    /// They are to be read again.
    is_stale: bool,
}

impl Admin {
    /// Reads the files of a configuration, and starts the thread that makes hashes of passwords and writes files.
    ///
    /// # Errors
    /// The operating system allows no further thread.
    pub(crate) fn start(reactor: &mut Reactor, configuration: &Configuration) -> io::Result<Admin> {
        Ok(Admin {
            files: Files::read(Files::paths(configuration)),
            waiting: VecDeque::new(),
            // One piece of work for each reply that waits, and one at the files.
            workers: reactor.workers(1, WAITING_MAX + 1)?,
            hashes_begun: 0,
            at_files: None,
            is_stale: false,
        })
    }
}

/// What the worker thread did.
#[derive(Debug)]
enum Finished {
    /// The hash of a password.
    Hash { number: u64, hash: String },
    /// Files were written.
    Written(Written),
    /// Files were read.
    Read(Files),
}

/// What became of a command.
#[derive(Debug)]
enum Step {
    /// It is done.
    Done(Value),
    /// It goes on, and is answered when it is done.
    Later(Progress),
}

/// Work that takes turns.
#[derive(Debug)]
enum Progress {
    /// Queues are being emptied that held so many messages.
    Purging { queues: Vec<String>, messages: u64 },
    /// A queue is being deleted that held so many messages.
    Deleting { name: String, messages: u64 },
    /// Queues that are to be emptied wait for their backlogs.
    Loading { queues: Vec<String> },
    /// The hash of this number is being made, for this user.
    Hashing { number: u64, user: NewUser },
    /// A change waits until the worker thread is done with the files.
    Queued(Change),
    /// The files are being written; then this holds.
    Writing(Effect),
}

/// What the worker thread found out since the last turn.
#[derive(Debug, Default)]
struct Results {
    /// By number.
    hashes: BTreeMap<u64, String>,
    written: Option<Result<Vec<PathBuf>, String>>,
}

/// A reply that waits.
#[derive(Debug)]
struct Waiting {
    connection: ConnectionId,
    delivery: ReceivedDelivery,
    request: Properties,
    progress: Progress,
}

impl Broker {
    /// A message on a link to the server itself.
    pub(crate) fn request(
        &mut self,
        now: Nanos,
        id: ConnectionId,
        connection: &mut Connection,
        delivery: ReceivedDelivery,
        payload: &[u8],
    ) {
        if !connection.request_links.contains(&delivery.link) {
            // A message for a link that was detached while it was under way.
            return;
        }
        match connection.stage() {
            Stage::Peer if self.unshared.is_own(id) => self.description_arrived(connection, payload),
            Stage::Peer => self.heartbeat_arrived(now, connection, delivery.link, payload),
            Stage::Admin => self.command_arrived(now, id, connection, delivery, payload),
            Stage::Handshake | Stage::Waiting | Stage::Client | Stage::Closing => {}
        }
    }

    /// A link of an administrator: requests inward, replies outward.
    pub(crate) fn attach_admin(
        &mut self,
        id: ConnectionId,
        connection: &mut Connection,
        link: LinkId,
        attach: &Attach,
    ) -> Result<(), amqp::Error> {
        let mut answer = Attach {
            snd_settle_mode: attach.snd_settle_mode,
            source: attach.source.clone(),
            target: attach.target.clone(),
            ..Attach::default()
        };
        match attach.role {
            Role::Sender => {
                if attach.target.as_ref().and_then(|target| target.address.as_deref()) != Some(ADDRESS) {
                    return Err(amqp::Error::new(
                        condition::NOT_FOUND,
                        format!("administrators send to {ADDRESS} only"),
                    ));
                }
                connection.request_links.push(link);
                connection.protocol.accept_link(link, answer);
                connection.protocol.grant(link, CREDIT, false);
            }
            Role::Receiver => {
                let source = attach.source.as_ref().filter(|source| source.dynamic).ok_or_else(|| {
                    amqp::Error::new(condition::NOT_ALLOWED, "an administrator receives from a dynamic source only")
                })?;
                let address = format!("$sys.reply.{}.{}", id.to_token(), link.handle);
                answer.source = Some(Source { address: Some(address.clone()), ..source.clone() });
                connection.reply_links.insert(address, link);
                connection.protocol.accept_link(link, answer);
            }
        }
        Ok(())
    }

    fn command_arrived(
        &mut self,
        now: Nanos,
        id: ConnectionId,
        connection: &mut Connection,
        delivery: ReceivedDelivery,
        payload: &[u8],
    ) {
        match read_request(payload) {
            Ok((request, words)) => match self.execute(now, id, connection, &words) {
                Ok(Step::Later(progress)) => {
                    self.admin.waiting.push_back(Waiting { connection: id, delivery, request, progress });
                    return;
                }
                Ok(Step::Done(reply)) => self.reply(connection, delivery, &request, Ok(reply)),
                Err(error) => self.reply(connection, delivery, &request, Err(error)),
            },
            Err(error) => self.answer_request(connection, delivery, Err(error)),
        }
        debug_assert!(self.connections.get(id).is_none(), "taken out while it is served");
    }

    /// Goes on with the work that takes turns, and answers those whose work is done.
    pub(crate) fn answer_administrators(&mut self) {
        if self.admin.waiting.is_empty() && self.admin.at_files.is_none() {
            return;
        }
        let mut results = self.take_results();
        for Waiting { connection: id, delivery, request, progress } in std::mem::take(&mut self.admin.waiting) {
            let result = match self.go_on(id, progress, &mut results) {
                Ok(Step::Later(progress)) => {
                    self.admin.waiting.push_back(Waiting { connection: id, delivery, request, progress });
                    continue;
                }
                Ok(Step::Done(reply)) => Ok(reply),
                Err(error) => Err(Refusal::from(error)),
            };
            let Some(mut connection) = self.connections.take(id) else { continue };
            if connection.stage() == Stage::Admin {
                self.reply(&mut connection, delivery, &request, result);
            }
            self.connections.put_back(id, connection);
        }
    }

    /// The next step of a command.
    fn go_on(&mut self, id: ConnectionId, progress: Progress, results: &mut Results) -> Result<Step, String> {
        let engine = &self.exchange.engine;
        let hold = self.connections.get(id).map(|connection| connection.holds_changes);
        match progress {
            Progress::Purging { queues, messages } => {
                let is_purging = |name: &String| engine.find(name).is_some_and(|queue| engine.is_purging(queue));
                Ok(match queues.iter().any(is_purging) {
                    true => Step::Later(Progress::Purging { queues, messages }),
                    false => Step::Done(json!({ "messages": messages })),
                })
            }
            Progress::Deleting { name, messages } => Ok(match engine.is_deleting(&name) {
                true => Step::Later(Progress::Deleting { name, messages }),
                false => Step::Done(json!({ "messages": messages })),
            }),
            Progress::Loading { queues } => Ok(self.purge_queues(queues)),
            Progress::Hashing { number, user } => match results.hashes.remove(&number) {
                Some(hash) => self.change(hold.unwrap_or(false), Change::User(NewUser { hash, ..user })),
                None => Ok(Step::Later(Progress::Hashing { number, user })),
            },
            Progress::Queued(change) => match hold {
                Some(hold) => self.change(hold, change),
                None => Err("the connection of the administrator is gone".to_owned()),
            },
            Progress::Writing(effect) => match results.written.take() {
                Some(written) => self.take_effect(effect, &written?),
                None => Ok(Step::Later(Progress::Writing(effect))),
            },
        }
    }

    /// Begins `create user` or `set password`: the hash of a password takes longer than a turn may.
    fn begin_user(&mut self, hold: bool, user: NewUser, password: String) -> Result<Step, String> {
        match (user.exists, self.directory.user(&user.name).is_some()) {
            (true, false) => return Err(people::no_user(&user.name)),
            (false, true) => {
                let name = &user.name;
                return Err(format!("there is a user '{name}' already; set password {name} gives it another password"));
            }
            _ if password.is_empty() => return self.change(hold, Change::User(user)),
            _ => {}
        }
        let salt = password::salt().map_err(|error| format!("there are no random bits: {error}"))?;
        self.admin.hashes_begun += 1;
        let number = self.admin.hashes_begun;
        let work = move || Finished::Hash { number, hash: password::hash(&password, &salt) };
        self.admin.workers.submit(work).map_err(|error| error.to_string())?;
        Ok(Step::Later(Progress::Hashing { number, user }))
    }

    fn reply(
        &mut self,
        connection: &mut Connection,
        delivery: ReceivedDelivery,
        request: &Properties,
        result: Result<Value, Refusal>,
    ) {
        let reply = match result {
            Ok(Value::Object(mut fields)) => {
                fields.insert("ok".to_string(), Value::Bool(true));
                Value::Object(fields)
            }
            Ok(other) => json!({ "ok": true, "result": other }),
            Err(Refusal { error, active: None }) => json!({ "ok": false, "error": error }),
            Err(Refusal { error, active }) => json!({ "ok": false, "error": error, "active": active }),
        };
        let sent = send_reply(connection, request, &reply);
        self.answer_request(connection, delivery, sent);
    }

    fn answer_request(
        &mut self,
        connection: &mut Connection,
        delivery: ReceivedDelivery,
        sent: Result<(), amqp::Error>,
    ) {
        let outcome = match sent {
            Ok(()) => Outcome::Accepted,
            Err(error) => {
                self.log.line(format!("A request of administrator {} failed: {error}", self.peer_name(connection)));
                Outcome::Rejected(Some(error))
            }
        };
        if !delivery.settled {
            connection.protocol.settle(delivery.link.session, delivery.delivery_id, outcome, true);
        }
        connection.protocol.grant(delivery.link, CREDIT, false);
    }

    fn execute(
        &mut self,
        now: Nanos,
        id: ConnectionId,
        connection: &mut Connection,
        request: &Request,
    ) -> Result<Step, Refusal> {
        if self.admin.waiting.len() >= WAITING_MAX {
            return Err("too many commands are under way; try again in a moment".to_owned().into());
        }
        let command = command::parse(&request.command, &request.args)?;
        if let Some((permission, queue)) = command.permission() {
            let target = queue.map_or(Target::Server, Target::Queue);
            let allowed = connection.identity.may(&self.directory, permission, target);
            allowed.map_err(|denied| Refusal::from(denied.to_string()))?;
        }
        self.check_place(command.place())?;
        let from = request.args.get("from").and_then(|from| from.parse().ok()).unwrap_or(0);
        Ok(self.carry_out(now, id, connection, command, from)?)
    }

    /// What only the active server may do is refused on the other one.
    fn check_place(&self, place: Place) -> Result<(), Refusal> {
        match (place, self.audience) {
            (Place::Anywhere, _) | (_, Audience::Serve) => Ok(()),
            (Place::OwnFile, _) if !self.configuration.is_json() => Ok(()),
            (_, Audience::Wait) => {
                Err(format!("this server is not active yet ({}): try again in a moment", self.ha.state().name()).into())
            }
            (_, Audience::Refuse) => {
                let active = self.other_server().map(|(scheme, host, port)| {
                    let scheme = if scheme == "amqps" { "ssl" } else { "tcp" };
                    format!("{scheme}://{host}:{port}")
                });
                let place = active.as_deref().unwrap_or("elsewhere");
                let error = format!("this server is on standby: only the active server does that, it is at {place}");
                Err(Refusal { error, active })
            }
        }
    }

    fn carry_out(
        &mut self,
        now: Nanos,
        id: ConnectionId,
        connection: &mut Connection,
        command: Command,
        from: usize,
    ) -> Result<Step, String> {
        let hold = connection.holds_changes;
        let done = match command {
            Command::Show(show) => self.show(now, &show, from)?,
            Command::ShowAcl(subject) => self.show_acl(&subject, from),
            Command::CreateUser { name, description, password } => {
                let user = NewUser { exists: false, name, description, hash: String::new() };
                return self.begin_user(hold, user, password);
            }
            Command::SetPassword(name, password) => {
                let user = NewUser { exists: true, name, description: String::new(), hash: String::new() };
                return self.begin_user(hold, user, password);
            }
            Command::Purge(name) => return self.purge_queue(&name),
            Command::PurgeAll(pattern) => return self.purge_all(&pattern),
            Command::DeleteConnection(token) => self.delete_connection(id, connection, token)?,
            Command::Shutdown => {
                self.log.line(format!("Stopping by command of {}", self.peer_name(connection)));
                self.stop(now);
                json!({})
            }
            Command::RotateLog => self.rotate_log()?,
            Command::AutoCommit(switch) => {
                connection.holds_changes = switch.map_or(connection.holds_changes, |on| !on);
                json!({ "autocommit": !connection.holds_changes })
            }
            Command::WhoAmI => json!({ "user": connection.identity.user }),
            Command::Info => json!({
                "server": self.configuration.server, "version": env!("CARGO_PKG_VERSION"),
                "process_id": std::process::id(), "state": self.ha.state().name(),
            }),
            other => return self.change(hold, Change::Command(other)),
        };
        Ok(Step::Done(done))
    }

    fn delete_connection(
        &mut self,
        own: ConnectionId,
        connection: &mut Connection,
        token: u64,
    ) -> Result<Value, String> {
        let error = amqp::Error::new(condition::CONNECTION_FORCED, "an administrator deleted the connection");
        let id = ConnectionId::from_token(token);
        if id == own {
            return Err("this is your own connection; disconnect ends it".to_owned());
        }
        let Some(mut other) = self.connections.take(id) else {
            return Err(format!("there is no connection {token}; show connections lists them"));
        };
        self.log.line(format!("Connection {token} is deleted by command of {}", self.peer_name(connection)));
        self.leave_links(&mut other);
        other.close(Some(error));
        self.connections.put_back(id, other);
        Ok(json!({}))
    }

    fn rotate_log(&mut self) -> Result<Value, String> {
        let file = self.configuration.logfile.clone();
        let file = file.ok_or("there is no log file: the parameter logfile is not set")?;
        self.log.rotate();
        Ok(json!({ "log_file": file.display().to_string() }))
    }
}

/// Why a command was not carried out.
#[derive(Debug)]
struct Refusal {
    error: String,
    /// Where it would be.
    active: Option<String>,
}

impl From<String> for Refusal {
    fn from(error: String) -> Self {
        Refusal { error, active: None }
    }
}

fn read_request(payload: &[u8]) -> Result<(Properties, Request), amqp::Error> {
    let sections = amqp::message::scan(payload)?;
    let properties = sections.properties(payload)?;
    let body = sections.data(payload).unwrap_or_default();
    let request = serde_json::from_slice(body).map_err(|cause| {
        amqp::Error::new(
            condition::DECODE_ERROR,
            format!("the request is not of the form {{\"command\":...,\"args\":{{}}}}: {cause}"),
        )
    })?;
    Ok((properties, request))
}

fn send_reply(connection: &mut Connection, request: &Properties, reply: &Value) -> Result<(), amqp::Error> {
    let address = request.reply_to.as_deref().unwrap_or_default();
    let link = connection.reply_links.get(address).copied().ok_or_else(|| {
        amqp::Error::new(
            condition::PRECONDITION_FAILED,
            format!("reply-to '{address}' is not a reply node of this connection"),
        )
    })?;
    let properties = Properties {
        to: Some(address.to_string()),
        correlation_id: request.correlation_id.clone(),
        content_type: Some("application/json".to_string()),
        ..Properties::default()
    };
    let body = reply.to_string();
    let payload = amqp::message::encode(Header::default(), &properties, &[], Body::Data(body.as_bytes()));
    let delivery = Delivery { token: 0, tag: b"r", settled: true, format: 0, state: None, head: &[], body: &payload };
    connection
        .protocol
        .send(link, delivery)
        .map(|_| ())
        .map_err(|cause| amqp::Error::new(condition::PRECONDITION_FAILED, format!("the reply cannot be sent: {cause}")))
}
