//! Owns the life of one client: it finds the active server of the list, attaches one link, drives the workload on it, and starts
//! again when the connection is lost. It knows no schedule and no acknowledgement.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use amqp::{Attach, ClientSasl, Config, Connection, Error, Event, LinkId, Open, Role, SaslCode, condition};
use rustls::ClientConnection;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::clock::{Nanos, now_ns};
use crate::control::{Command, Phase, Shared};
use crate::meter::{Gauges, Meter};
use crate::options::{Options, Url};
use crate::run::RunError;
use crate::timer::Timer;
use crate::tls::Tls;
use crate::wire::{Lost, Wire};

/// How long a closing connection may wait for the server's answer.
const CLOSE_NS: Nanos = 500_000_000;

/// What a client does on its link. None of it waits: it is told what happened, and asked what to do.
pub(crate) trait Workload {
    /// Our half of the link.
    fn attach(&self) -> Attach;
    /// A new connection begins; `link` is being attached.
    fn prepare(&mut self, connection: &mut Connection, link: LinkId);
    /// The link is usable.
    fn begin(&mut self, now: Nanos, server: &str, link: LinkId);
    /// The server has detached a further link of ours; true if the workload goes on without it.
    fn detached(&mut self, _link: LinkId) -> bool {
        false
    }
    /// Something happened on the link, or a further one was answered.
    fn observe(&mut self, event: Event<'_>);
    /// Once per turn: acts, and says when to be asked again.
    fn act(&mut self, now: Nanos, command: Command, wire: &mut Wire) -> Option<Nanos>;
    /// The link is gone; `reason` is empty if we closed it.
    fn end(&mut self, now: Nanos, reason: &str, wire: &Wire);
    /// The link stays down for now; time passes.
    fn idle(&mut self, now: Nanos, command: Command);
    /// Whether a connection is still needed in this phase.
    fn is_needed(&self, phase: Phase) -> bool;
}

/// What a client needs beside its workload.
pub(crate) struct Client {
    /// What people call it, such as `producer 3`.
    pub(crate) name: String,
    pub(crate) shared: Arc<Shared>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) control: watch::Receiver<Command>,
    pub(crate) random: fastrand::Rng,
    /// Links that were usable so far.
    eras: u64,
}

/// How one connection ended.
enum Ending {
    /// We closed it, and need no other.
    Closed,
    /// It was lost, or never came about.
    Lost(Refusal),
}

impl From<Lost> for Ending {
    fn from(lost: Lost) -> Self {
        Self::Lost(Refusal::passing(lost.0))
    }
}

/// Why there is no link.
struct Refusal {
    reason: String,
    /// Whether trying again cannot help.
    is_final: bool,
}

impl Refusal {
    fn passing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_final: false }
    }

    /// A refusal in the server's words. Some of them will be the same however often one asks.
    fn by_server(what: &str, error: Option<Error>) -> Self {
        let Some(error) = error else { return Self::passing(what) };
        let hopeless = [condition::NOT_FOUND, condition::UNAUTHORIZED_ACCESS, condition::NOT_IMPLEMENTED];
        Self { reason: format!("{what}: {error}"), is_final: hopeless.contains(&error.condition.as_ref()) }
    }
}

/// What has happened on a connection so far.
struct Progress {
    /// The link of the workload; it may attach more.
    link: LinkId,
    attached: bool,
    /// Whether the server's half of the attach refused the link: the reason follows in its detach.
    refused: bool,
    /// Why it is over, once it is.
    ending: Option<Refusal>,
}

impl Progress {
    fn new(link: LinkId) -> Self {
        Self { link, attached: false, refused: false, ending: None }
    }

    fn observe(&mut self, event: Event<'_>, workload: &mut impl Workload) {
        match event {
            Event::SaslOutcome(SaslCode::Ok) | Event::Begin(_) | Event::Begun(_) | Event::Open => {}
            Event::SaslOutcome(code) => self.finish(Refusal {
                reason: format!("SASL refused the login ({code:?})"),
                is_final: code == SaslCode::Auth,
            }),
            Event::Attached { link, attach } if link == self.link => self.attached(&attach),
            Event::Detach { link, .. } if link != self.link && workload.detached(link) => {}
            Event::Detach { error, .. } => {
                let what = if self.refused { "the server refused the link" } else { "the server detached the link" };
                self.finish(Refusal::by_server(what, error));
            }
            Event::End { error, .. } => self.finish(Refusal::by_server("the server ended the session", error)),
            Event::Close { error } => self.finish(Refusal::by_server("the server closed the connection", error)),
            Event::Failed(error) => self.finish(Refusal::passing(format!("the connection failed: {error}"))),
            other => workload.observe(other),
        }
    }

    fn attached(&mut self, attach: &Attach) {
        self.refused = match attach.role {
            Role::Receiver => attach.target.is_none(),
            Role::Sender => attach.source.is_none(),
        };
        self.attached = !self.refused;
    }

    /// Only the first reason counts: what follows is its consequence.
    fn finish(&mut self, refusal: Refusal) {
        self.ending.get_or_insert(refusal);
    }
}

impl Client {
    pub(crate) fn new(
        name: String,
        shared: Arc<Shared>,
        meter: Arc<Meter>,
        gauges: Arc<Gauges>,
        control: watch::Receiver<Command>,
    ) -> Self {
        let seed = name.bytes().fold(shared.options.seed, |seed, byte| seed.rotate_left(8) ^ u64::from(byte));
        Self { name, shared, meter, gauges, control, random: fastrand::Rng::with_seed(seed), eras: 0 }
    }

    /// Runs until the workload needs no connection any more, or a server refuses for good.
    pub(crate) async fn run(mut self, mut workload: impl Workload) {
        let timer = match Timer::new() {
            Ok(timer) => timer,
            Err(source) => return self.shared.fail(RunError::System { what: "making a timer", source }),
        };
        let urls = self.shared.options.urls.clone();
        let (mut refusals, mut index) = (0, 0);
        while workload.is_needed(self.command().phase) {
            let url = &urls[index % urls.len()];
            let eras_before = self.eras;
            let Ending::Lost(refusal) = self.connect(url, &mut workload, &timer).await else { return };
            self.shared.note_reason(&format!("{url}: {}", refusal.reason));
            if refusal.is_final && self.eras == 0 {
                let client = format!("{} at {url}", self.name);
                return self.shared.fail(RunError::Refused { client, reason: refusal.reason });
            }
            refusals = if self.eras > eras_before { 0 } else { refusals + 1 };
            index += 1;
            workload.idle(now_ns(), self.command());
            if refusals > 0 && refusals % urls.len() == 0 {
                self.pause(refusals / urls.len()).await;
            }
        }
    }

    fn command(&mut self) -> Command {
        let abandoned = self.control.has_changed().is_err();
        let mut command = *self.control.borrow_and_update();
        if abandoned {
            command.phase = Phase::Quit;
        }
        command
    }

    /// After all servers of the list refused in turn: waits longer each round, with some jitter so that clients spread.
    ///
    /// Pauses grow by a quarter: each is about a fifth of the outage so far, so that the clients' search adds little to what they
    /// measure. Doubling would add up to the length of the outage itself.
    async fn pause(&mut self, round: usize) {
        let Options { reconnect_min, reconnect_max, .. } = &self.shared.options;
        let grown = reconnect_min.as_secs_f64() * 1.25_f64.powi(round.min(100) as i32 - 1);
        let pause = Duration::from_secs_f64(grown.min(reconnect_max.as_secs_f64()) * (0.75 + 0.25 * self.random.f64()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = quit(&mut self.control) => {}
        }
    }

    /// One connection, from its first packet to its end.
    async fn connect(&mut self, url: &Url, workload: &mut impl Workload, timer: &Timer) -> Ending {
        let socket = match self.dial(url).await {
            Ok(socket) => socket,
            Err(ending) => return ending,
        };
        let mut era = Era::new(self, workload, url, socket);
        let ending = loop {
            let next_ns = match era.turn() {
                Ok(next_ns) => next_ns,
                Err(ending) => break ending,
            };
            if let Err(lost) = era.wait(timer, next_ns).await {
                break lost.into();
            }
        };
        // What goes wrong while we leave is no loss.
        let ending = if era.closing { Ending::Closed } else { ending };
        era.end(&ending);
        ending
    }

    async fn dial(&mut self, url: &Url) -> Result<Dialled, Ending> {
        let limit = self.shared.options.connect_timeout;
        let connecting = dial(url, self.shared.options.tls.as_ref());
        tokio::select! {
            connected = tokio::time::timeout(limit, connecting) => match connected {
                Ok(connected) => Ok(connected?),
                Err(_elapsed) => Err(Lost(format!("no connection within {limit:?}")).into()),
            },
            () = quit(&mut self.control) => Err(Ending::Closed),
        }
    }

    fn config(&self, url: &Url) -> Config {
        Config {
            container_id: format!("loadgen-{:016x}-{}", self.shared.run, self.name.replace(' ', "-")),
            hostname: Some(url.host.clone()),
            idle_timeout_ms: self.shared.options.idle_timeout.as_millis() as u32,
            // A window of frames that no credit of ours can exceed by much: it must not be what limits a measurement.
            incoming_window: self.shared.options.credit.saturating_mul(4).max(4096),
            ..Config::default()
        }
    }
}

/// Waits for the end of the run.
async fn quit(control: &mut watch::Receiver<Command>) {
    // An error means that the run was dropped, which is its end, too.
    let _last = control.wait_for(|command| command.phase == Phase::Quit).await.is_ok();
}

/// A socket, and the session on it for `amqps://`.
pub(crate) type Dialled = (TcpStream, Option<ClientConnection>);

/// Connects to a server.
pub(crate) async fn dial(url: &Url, tls: Option<&Tls>) -> Result<Dialled, Lost> {
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    stream.set_nodelay(true)?;
    if !url.tls {
        return Ok((stream, None));
    }
    let tls = tls.ok_or_else(|| Lost("nobody is trusted for amqps://".to_owned()))?;
    let session = tls.handshake(&stream, &url.host).await?;
    Ok((stream, Some(session)))
}

/// The login to use at a server: its URL's, else the run's, else none.
pub(crate) fn login(url: &Url, user: Option<&str>, password: &str) -> ClientSasl {
    match (&url.credentials, user) {
        (Some((user, password)), _) => ClientSasl::Plain { user: user.clone(), password: password.clone() },
        (None, Some(user)) => ClientSasl::Plain { user: user.to_owned(), password: password.to_owned() },
        (None, None) => ClientSasl::Anonymous,
    }
}

/// One connection of one client.
struct Era<'a, W> {
    client: &'a mut Client,
    workload: &'a mut W,
    server: String,
    wire: Wire,
    link: LinkId,
    progress: Progress,
    begun: bool,
    closing: bool,
    /// Until when the link must be usable, or the close be answered.
    deadline_ns: Nanos,
}

impl<'a, W: Workload> Era<'a, W> {
    /// Says all that a client has to say: header, login, open, begin and attach leave in one packet.
    fn new(client: &'a mut Client, workload: &'a mut W, url: &Url, socket: Dialled) -> Self {
        let now = now_ns();
        let options = &client.shared.options;
        let sasl = match options.external {
            true => ClientSasl::External,
            false => login(url, options.user.as_deref(), &options.password),
        };
        let config = client.config(url);
        let open =
            Open { container_id: config.container_id.clone(), hostname: config.hostname.clone(), ..Open::default() };
        let mut connection = Connection::client(config, Some(sasl), now);
        connection.open(open);
        let session = connection.begin();
        let link = connection.attach(session, workload.attach());
        workload.prepare(&mut connection, link);
        Self {
            deadline_ns: now + options.connect_timeout.as_nanos() as Nanos,
            client,
            workload,
            server: url.to_string(),
            wire: Wire::new(socket, connection),
            link,
            progress: Progress::new(link),
            begun: false,
            closing: false,
        }
    }

    /// Takes what has arrived, acts, sends; gives the time of the next turn if nothing arrives before.
    fn turn(&mut self) -> Result<Option<Nanos>, Ending> {
        let now = now_ns();
        let (progress, workload) = (&mut self.progress, &mut *self.workload);
        let received = self.wire.receive(now, &mut |event| progress.observe(event, workload));
        self.begin_when_attached(now);
        if self.progress.ending.is_some() {
            // Our half of the farewell; the reason is known already, whatever becomes of it.
            let _sent = self.wire.transmit(now).is_ok();
        }
        self.check_ending(now)?;
        received?;
        let command = self.client.command();
        let mut next_ns = None;
        if self.begun && !self.closing {
            next_ns = self.workload.act(now, command, &mut self.wire);
        }
        if command.phase == Phase::Quit && !self.closing {
            self.wire.connection.close(None);
            self.closing = true;
            self.deadline_ns = now + CLOSE_NS;
        }
        self.wire.transmit(now)?;
        let waiting = !self.begun || self.closing;
        Ok([next_ns, waiting.then_some(self.deadline_ns)].into_iter().flatten().min())
    }

    fn begin_when_attached(&mut self, now: Nanos) {
        if self.progress.attached && !self.begun {
            self.begun = true;
            self.client.eras += 1;
            self.client.gauges.connected.store(true, Ordering::Relaxed);
            self.client.meter.lock().counters.connected += 1;
            self.workload.begin(now, &self.server, self.link);
        }
    }

    fn check_ending(&mut self, now: Nanos) -> Result<(), Ending> {
        let late = now >= self.deadline_ns;
        if self.closing && (self.progress.ending.is_some() || late) {
            return Err(Ending::Closed);
        }
        if let Some(refusal) = self.progress.ending.take() {
            return Err(Ending::Lost(refusal));
        }
        let open = self.wire.connection.peer();
        if open.is_some_and(|open| open.property(condition::CONNECTION_ESTABLISHMENT_FAILED).is_some()) {
            return Err(Ending::Lost(Refusal::passing("the server is not active")));
        }
        if !self.begun && late {
            let limit = self.client.shared.options.connect_timeout;
            return Err(Ending::Lost(Refusal::passing(format!("no usable link within {limit:?}"))));
        }
        Ok(())
    }

    /// Waits for the socket, the timers, or a new command.
    async fn wait(&mut self, timer: &Timer, next_ns: Option<Nanos>) -> Result<(), Lost> {
        tokio::select! {
            waited = self.wire.wait(timer, next_ns) => waited,
            changed = self.client.control.changed(), if !self.closing => {
                changed.map_err(|_dropped| Lost("the run was dropped".to_owned()))
            }
        }
    }

    fn end(&mut self, ending: &Ending) {
        if !self.begun {
            return;
        }
        let (reason, lost) = match ending {
            Ending::Closed => ("", 0),
            Ending::Lost(refusal) => (refusal.reason.as_str(), 1),
        };
        self.client.gauges.connected.store(false, Ordering::Relaxed);
        self.client.meter.lock().counters.disconnected += lost;
        self.workload.end(now_ns(), reason, &self.wire);
    }
}
