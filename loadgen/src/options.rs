//! Owns what a run is asked to do, as meant, with its defaults. How it is written on a command line is `cli`'s.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

pub use crate::address::{PatternError, Url, UrlError, expand_addresses};
use crate::payload::PAYLOAD_BYTES_MIN;
use crate::schedule::{Rate, Spread};
use crate::sizes::Sizes;
use crate::tls::Tls;

/// How a consumer acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Ack {
    /// Accepted and settled at once; the broker's removal is not waited for.
    Accept,
    /// Accepted, settled=false; done when the broker settles, that is when the removal is durable.
    Confirmed,
    /// The broker sends settled: at most once, nothing to acknowledge.
    Settled,
    /// Never: everything goes back to the queue when the consumer leaves.
    None,
}

/// When consumers take messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Consume {
    /// All the time.
    Always,
    /// Only once sending has stopped: until then everything confirmed waits in the broker, where a fault can reach it.
    AfterSending,
}

/// When a consumer renews its credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Renew {
    /// When half of it is used: the broker never waits for it.
    Half,
    /// When all of it is used: for brokers that forget what is on its way, and send more than they may (RabbitMQ 3).
    Empty,
}

/// How it is found out that a queue is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DrainBy {
    /// The broker is asked to use up the credit or give it back, and does so without a message.
    Request,
    /// Nothing comes for a while: for brokers that cannot be asked (RabbitMQ 3). What is missing then is not proven lost.
    Silence,
}

/// What happens to messages that became due while the target could not take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Backlog {
    /// Sent as fast as the target takes them.
    CatchUp,
    /// Sent at no more than `paced_factor` times the rate.
    Paced,
    /// Not sent when more than `shed_after` late; counted as shed.
    Shed,
}

/// What happens to a send whose confirmation a lost connection took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Resend {
    /// Sent again as a new attempt with the same message id; duplicates are possible and counted.
    Unconfirmed,
    /// Left in doubt.
    Never,
}

/// When a run stops sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// After this time.
    Duration(Duration),
    /// After so many messages, of all producers together.
    Count(u64),
    /// When told to.
    None,
}

macro_rules! display_as_value {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                let value = clap::ValueEnum::to_possible_value(self);
                out.write_str(value.as_ref().map_or("", |value| value.get_name()))
            }
        }
    )*};
}
display_as_value!(Ack, Backlog, Consume, DrainBy, Renew, Resend, Spread);

/// A whole run, as meant. Start from `Options::default()` and change what differs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The servers, in the order in which they are tried.
    pub urls: Vec<Url>,
    /// The queues: producer and consumer number `n` use address `n` modulo their count.
    pub addresses: Vec<String>,
    /// How `amqps://` is secured.
    pub tls: Option<Tls>,
    /// Login name; `None` means SASL ANONYMOUS, unless the URL names one.
    pub user: Option<String>,
    /// Its password.
    pub password: String,
    /// SASL EXTERNAL: the certificate that is shown says who we are.
    pub external: bool,
    /// The rate of all producers together.
    pub rate: Rate,
    /// How messages are spread over the time that the rate gives them.
    pub spread: Spread,
    /// Size of each message's payload in bytes.
    pub payload_bytes: usize,
    /// Other sizes than one; `payload_bytes` does not count then.
    pub sizes: Option<Sizes>,
    /// What the payloads hold behind their identity, each as often as the others; no size counts then.
    pub contents: Vec<Bytes>,
    /// Number of producers, each with its own connection.
    pub producers: u32,
    /// Number of consumers, each with its own connection.
    pub consumers: u32,
    /// When sending stops.
    pub limit: Limit,
    /// Messages that all producers together put into the queues first, as fast as they can, while consumers wait.
    pub build_backlog: u64,
    /// Unconfirmed messages that each producer may have in flight.
    pub window: u32,
    /// Messages that each consumer lets the broker send ahead.
    pub credit: u32,
    /// When consumers renew it.
    pub renew: Renew,
    /// How it is found out that a queue is empty.
    pub drain_by: DrainBy,
    /// How consumers acknowledge.
    pub ack: Ack,
    /// Sends are settled at once: nothing is confirmed.
    pub settled: bool,
    /// Closed loop: how long a place in the window rests after its confirmation.
    pub producer_think: Duration,
    /// How long a consumer works on each message, one after the other, before it acknowledges.
    pub consumer_think: Duration,
    /// When consumers take messages.
    pub consume: Consume,
    /// Whether the messages are marked durable.
    pub durable: bool,
    /// What happens to the backlog after a stall.
    pub backlog: Backlog,
    /// `paced` sends at most so many times the rate while it catches up.
    pub paced_factor: f64,
    /// `shed` drops what is later than this.
    pub shed_after: Duration,
    /// At most so many messages may wait to be sent; the oldest beyond it are shed. `None`: waiting costs no memory, so all may.
    pub backlog_max: Option<u64>,
    /// What happens to unconfirmed sends after a lost connection.
    pub resend: Resend,
    /// Makes the run's random choices repeatable (reconnection jitter, payload filler).
    pub seed: u64,
    /// The number that marks this run's messages; `None` takes a fresh one.
    pub run: Option<u64>,
    /// Threads that the connections are spread over.
    pub threads: usize,
    /// Sends that are due within this time go out in one wake-up: finer is more exact and costs more CPU.
    pub tick: Duration,
    /// At most so long for TCP, SASL, open and attach together, per attempt.
    pub connect_timeout: Duration,
    /// First pause after all servers of the list refused.
    pub reconnect_min: Duration,
    /// Longest pause after all servers of the list refused.
    pub reconnect_max: Duration,
    /// A server that is silent for so long counts as lost (AMQP idle time-out); zero waits for ever.
    pub idle_timeout: Duration,
    /// Latency of this first part of the run is kept out of the summary.
    pub warmup: Duration,
    /// Producers ask and wait for the answer on a queue of their own; consumers answer.
    pub request_reply: bool,
    /// Whether every send and delivery is written down, which a verdict on messages needs.
    pub ledger: bool,
    /// Sending stops when the record has this size.
    pub ledger_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            addresses: Vec::new(),
            tls: None,
            user: None,
            password: String::new(),
            external: false,
            rate: Rate::Max,
            spread: Spread::Even,
            payload_bytes: 1024,
            sizes: None,
            contents: Vec::new(),
            producers: 1,
            consumers: 1,
            limit: Limit::Duration(Duration::from_secs(10)),
            build_backlog: 0,
            window: 1000,
            credit: 1000,
            renew: Renew::Half,
            drain_by: DrainBy::Request,
            ack: Ack::Accept,
            settled: false,
            producer_think: Duration::ZERO,
            consumer_think: Duration::ZERO,
            consume: Consume::Always,
            durable: true,
            backlog: Backlog::CatchUp,
            paced_factor: 2.0,
            shed_after: Duration::from_millis(100),
            backlog_max: None,
            resend: Resend::Unconfirmed,
            seed: 1,
            run: None,
            threads: 1,
            tick: Duration::from_micros(200),
            connect_timeout: Duration::from_secs(2),
            reconnect_min: Duration::from_millis(10),
            reconnect_max: Duration::from_millis(500),
            idle_timeout: Duration::from_secs(5),
            warmup: Duration::ZERO,
            request_reply: false,
            ledger: true,
            ledger_bytes_max: 4 << 30,
        }
    }
}

/// A request that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OptionsError {
    /// Nowhere to connect to.
    #[error("no server is named: give --url amqp://host:port")]
    NoUrl,
    /// `amqps` without anybody to trust.
    #[error("{0}: nobody is trusted: give --tls-ca FILE, or --tls-insecure")]
    NoTls(String),
    /// No queue.
    #[error("no queue is named: give --address NAME")]
    NoAddress,
    /// Neither producers nor consumers.
    #[error("nothing to do: --producers and --consumers are both 0")]
    NoClients,
    /// A payload too small for its identity.
    #[error("--size {0} is too small: a message needs {PAYLOAD_BYTES_MIN} bytes to carry its identity")]
    PayloadTooSmall(usize),
    /// A window, credit or thread count of zero.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// A pacing factor that could never catch up.
    #[error("--paced-factor must be above 1")]
    PacedFactor,
    /// `paced` and `shed` compare with a schedule.
    #[error("--backlog {0} needs an open loop: give --rate a number")]
    BacklogWithoutRate(Backlog),
    /// A bound on what waits, where nothing does.
    #[error("--backlog-max needs an open loop: give --rate a number")]
    BacklogMaxWithoutRate,
    /// A rest of the window in an open loop.
    #[error("--producer-think belongs to a closed loop: leave --rate out, or give it max")]
    ThinkWithRate,
    /// A rest that confirmations begin, where there are none.
    #[error("--producer-think begins at a confirmation, and --settled sends get none: leave one of them out")]
    ThinkSettled,
    /// Queues that are sent to and nobody reads, which would look like loss.
    #[error(
        "{producers} producers send to {sent} queues, and {consumers} consumers read {read} of them: give --consumers {sent} or \
         more, or --consumers 0 to send only"
    )]
    Unread {
        /// Producers.
        producers: u32,
        /// Queues that are sent to.
        sent: usize,
        /// Consumers.
        consumers: u32,
        /// Queues that are read.
        read: usize,
    },
    /// EXTERNAL without a certificate.
    #[error("SASL EXTERNAL needs a certificate: give amqps:// URLs with --tls-cert and --tls-key")]
    ExternalWithoutTls,
}

impl Options {
    /// Checks what no single option can know.
    ///
    /// # Errors
    /// Names the first option that makes no sense, and the remedy.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let zero = |value: usize, name| if value == 0 { Err(OptionsError::Zero(name)) } else { Ok(()) };
        if self.urls.is_empty() {
            return Err(OptionsError::NoUrl);
        }
        if let Some(url) = self.urls.iter().find(|url| url.tls && self.tls.is_none()) {
            return Err(OptionsError::NoTls(url.to_string()));
        }
        if self.addresses.is_empty() {
            return Err(OptionsError::NoAddress);
        }
        if self.producers == 0 && self.consumers == 0 {
            return Err(OptionsError::NoClients);
        }
        let least = self.sizes.as_ref().map_or(self.payload_bytes, Sizes::least);
        let unbounded = matches!(self.sizes, Some(Sizes::Lognormal(..))) || !self.contents.is_empty();
        if least < PAYLOAD_BYTES_MIN && !unbounded {
            return Err(OptionsError::PayloadTooSmall(least));
        }
        if self.external && self.urls.iter().any(|url| !url.tls) {
            return Err(OptionsError::ExternalWithoutTls);
        }
        zero(self.window as usize, "--window")?;
        zero(self.credit as usize, "--credit")?;
        zero(self.threads, "--threads")?;
        if self.paced_factor <= 1.0 || !self.paced_factor.is_finite() {
            return Err(OptionsError::PacedFactor);
        }
        self.validate_loop()?;
        self.validate_readers()
    }

    fn validate_loop(&self) -> Result<(), OptionsError> {
        let thinks = !self.producer_think.is_zero();
        match self.rate {
            Rate::Max if self.backlog != Backlog::CatchUp => Err(OptionsError::BacklogWithoutRate(self.backlog)),
            Rate::Max if self.backlog_max.is_some() => Err(OptionsError::BacklogMaxWithoutRate),
            Rate::Max if thinks && self.settled => Err(OptionsError::ThinkSettled),
            Rate::Max => Ok(()),
            _ if thinks => Err(OptionsError::ThinkWithRate),
            _ => Ok(()),
        }
    }

    fn validate_readers(&self) -> Result<(), OptionsError> {
        let (producers, consumers) = (self.producers, self.consumers);
        let used = |clients: u32| self.addresses.len().min(clients as usize);
        let (sent, read) = (used(producers), used(consumers));
        if consumers > 0 && sent > read {
            Err(OptionsError::Unread { producers, sent, consumers, read })
        } else {
            Ok(())
        }
    }

    /// The queue of producer or consumer `number`.
    #[must_use]
    pub fn address_of(&self, number: u32) -> &str {
        &self.addresses[number as usize % self.addresses.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_requests_are_refused_by_name() {
        let sensible = Options {
            urls: vec!["amqp://a:1".parse().expect("valid")],
            addresses: vec!["q".to_owned()],
            ..Options::default()
        };
        assert_eq!(sensible.validate(), Ok(()));
        let check = |change: fn(&mut Options), expected: OptionsError| {
            let mut options = sensible.clone();
            change(&mut options);
            assert_eq!(options.validate(), Err(expected));
        };
        check(|options| options.urls.clear(), OptionsError::NoUrl);
        check(|options| options.urls[0].tls = true, OptionsError::NoTls("amqps://a:1".to_owned()));
        check(|options| options.addresses.clear(), OptionsError::NoAddress);
        check(|options| options.payload_bytes = 15, OptionsError::PayloadTooSmall(15));
        check(|options| options.window = 0, OptionsError::Zero("--window"));
        check(|options| options.paced_factor = 1.0, OptionsError::PacedFactor);
        check(|options| options.backlog = Backlog::Shed, OptionsError::BacklogWithoutRate(Backlog::Shed));
        check(|options| (options.producers, options.consumers) = (0, 0), OptionsError::NoClients);
        check(|options| options.sizes = Some(Sizes::Uniform(8, 99)), OptionsError::PayloadTooSmall(8));
        check(|options| options.backlog_max = Some(5), OptionsError::BacklogMaxWithoutRate);
        check(|options| options.external = true, OptionsError::ExternalWithoutTls);
        let think = |options: &mut Options| options.producer_think = Duration::from_millis(1);
        let mut options = Options { rate: "5".parse().expect("a rate"), ..sensible.clone() };
        think(&mut options);
        assert_eq!(options.validate(), Err(OptionsError::ThinkWithRate));
        let unread = OptionsError::Unread { producers: 3, sent: 2, consumers: 1, read: 1 };
        let two = |options: &mut Options| {
            (options.addresses, options.producers) = (vec!["a".to_owned(), "b".to_owned()], 3);
        };
        check(two, unread);
    }
}
