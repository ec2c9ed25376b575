//! Owns how the load of a run is written on a command line, and what it means. What is done with it is `conduct`'s.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;

use crate::options::{Ack, Backlog, Consume, DrainBy, Options, Renew, Resend, Url, expand_addresses};
use crate::schedule::Spread;
use crate::sizes::Sizes;
use crate::tls::{Tls, TlsError, TlsFiles};
use crate::units::{parse_duration, parse_size};

/// A list of servers, as EMS clients write it. Where the state is not shared a client moves on in the same way; that messages
/// stay behind with a dead server is for the verdict to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Servers(Vec<Url>);

impl std::str::FromStr for Servers {
    type Err = <Url as std::str::FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A password may hold a plus sign.
        text.replace("+amqp", ",amqp").split(',').map(str::parse).collect::<Result<_, _>>().map(Servers)
    }
}

/// The load of a run or of each trial of a sweep.
#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// Take what is not given here from a TOML file: its keys are the names of these flags
    #[arg(long, value_name = "FILE", help_heading = "Where")]
    pub(crate) profile: Option<PathBuf>,
    /// The servers, tried in this order: `amqp[s]://[user[:password]@]host[:port],...`; `+` instead of `,` between servers that
    /// do not share their state
    #[arg(long = "url", value_name = "URLS", required = true, help_heading = "Where")]
    urls: Vec<Servers>,
    /// The queues, patterns such as q.{0..99} among them: client number n uses queue n modulo their count
    #[arg(long = "address", value_name = "NAMES", value_delimiter = ',', required = true, help_heading = "Where")]
    addresses: Vec<String>,
    /// Login name (SASL PLAIN); without it SASL ANONYMOUS
    #[arg(long, help_heading = "Where")]
    user: Option<String>,
    /// Password of the login
    #[arg(long, default_value = "", hide_default_value = true, help_heading = "Where")]
    password: String,
    /// SASL EXTERNAL: the certificate that is shown says who we are
    #[arg(long, conflicts_with = "user", help_heading = "Where")]
    external: bool,

    /// Authorities that are trusted for amqps://, in PEM
    #[arg(long, value_name = "FILE", help_heading = "Where")]
    tls_ca: Option<PathBuf>,
    /// Certificate to show, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Where")]
    tls_cert: Option<PathBuf>,
    /// Its key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Where")]
    tls_key: Option<PathBuf>,
    /// Take any certificate for amqps://
    #[arg(long, conflicts_with = "tls_ca", help_heading = "Where")]
    tls_insecure: bool,

    /// How messages are spread over the time that the rate gives them
    #[arg(long, value_enum, default_value_t = Spread::Even, help_heading = "Load")]
    spread: Spread,
    /// Size of each payload, such as 16, 1KiB, 64KB; or 100..2KiB, 16:70,1KiB:25,64KiB:5, lognormal:1KiB/0.8
    #[arg(long, value_name = "BYTES", default_value = "1KiB", help_heading = "Load")]
    size: Sizes,
    /// Payloads are the content of these files, or of the files in these folders, behind 48 bytes of identity
    #[arg(long, value_name = "PATHS", value_delimiter = ',', conflicts_with = "size", help_heading = "Load")]
    content: Vec<PathBuf>,
    /// Producers, each with its own connection
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    producers: u32,
    /// Consumers, each with its own connection; 0 sends only, and judges no loss
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    pub(crate) consumers: u32,
    /// Keep the latency of this first part out of the summary
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration, help_heading = "Load")]
    pub(crate) warmup: Duration,
    /// Put so many messages into the queues first, as fast as they go in, while consumers wait
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, help_heading = "Load")]
    build_backlog: u64,

    /// Unconfirmed messages that each producer may have in flight
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = "Behaviour")]
    window: u32,
    /// Messages that each consumer lets the broker send ahead
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = "Behaviour")]
    credit: u32,
    /// When consumers renew it
    #[arg(long, value_enum, default_value_t = Renew::Half, help_heading = "Behaviour")]
    renew: Renew,
    /// How it is found out that a queue is empty
    #[arg(long, value_enum, default_value_t = DrainBy::Request, help_heading = "Behaviour")]
    drain_by: DrainBy,
    /// How consumers acknowledge
    #[arg(long, value_enum, default_value_t = Ack::Accept, help_heading = "Behaviour")]
    pub(crate) ack: Ack,
    /// Send settled, at most once: nothing is confirmed, and nothing waits for it
    #[arg(long, help_heading = "Behaviour")]
    settled: bool,
    /// Closed loop: let a place in the window rest so long after its confirmation, as a user who thinks
    #[arg(long, value_name = "DURATION", default_value = "0s", hide_default_value = true, value_parser = parse_duration, help_heading = "Behaviour")]
    producer_think: Duration,
    /// Work so long on each message, one after the other, before it is acknowledged
    #[arg(long, value_name = "DURATION", default_value = "0s", hide_default_value = true, value_parser = parse_duration, help_heading = "Behaviour")]
    consumer_think: Duration,
    /// When consumers take messages
    #[arg(long, value_enum, default_value_t = Consume::Always, help_heading = "Behaviour")]
    consume: Consume,
    /// Whether messages are marked durable
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, help_heading = "Behaviour")]
    durable: bool,
    /// What becomes of messages that were due while the broker could not take them
    #[arg(long, value_enum, default_value_t = Backlog::CatchUp, help_heading = "Behaviour")]
    backlog: Backlog,
    /// How much faster than the rate a paced backlog is worked off
    #[arg(long, value_name = "FACTOR", default_value_t = 2.0, help_heading = "Behaviour")]
    paced_factor: f64,
    /// How late a message may be before it is shed
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = parse_duration, help_heading = "Behaviour")]
    shed_after: Duration,
    /// Let at most so many messages wait to be sent: the oldest beyond are shed, and counted
    #[arg(long, value_name = "N", help_heading = "Behaviour")]
    backlog_max: Option<u64>,
    /// What becomes of sends that a lost connection left unconfirmed
    #[arg(long, value_enum, default_value_t = Resend::Unconfirmed, help_heading = "Behaviour")]
    resend: Resend,
    /// Makes the random choices repeatable (times and sizes, reconnection jitter, payload filler)
    #[arg(long, default_value_t = 1, help_heading = "Behaviour")]
    seed: u64,

    /// Write no send and no delivery down, for long runs: memory grows by 14 MB an hour, and messages are not judged
    #[arg(long, help_heading = "Tuning")]
    pub(crate) no_ledger: bool,
    /// Stop sending when the record of sends and deliveries (48 and 40 bytes each) has this size
    #[arg(long, value_name = "BYTES", default_value = "4GiB", value_parser = parse_size, help_heading = "Tuning")]
    ledger_max: u64,
    /// Threads that the connections are spread over
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Tuning")]
    threads: usize,
    /// Sends due within this time leave in one wake-up: shorter is more exact and costs more CPU
    #[arg(long, value_name = "DURATION", default_value = "200us", value_parser = parse_duration, help_heading = "Tuning")]
    tick: Duration,
    /// Limit for one attempt to connect, attach included
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_duration, help_heading = "Tuning")]
    connect_timeout: Duration,
    /// First pause after all servers refused; it grows by a quarter each round, up to --reconnect-max
    #[arg(long, value_name = "DURATION", default_value = "10ms", value_parser = parse_duration, help_heading = "Tuning")]
    reconnect_min: Duration,
    /// Longest pause after all servers refused
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = parse_duration, help_heading = "Tuning")]
    reconnect_max: Duration,
    /// A server that is silent for so long counts as lost; 0s waits for ever
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration, help_heading = "Tuning")]
    idle_timeout: Duration,
    /// Give up if not all clients find a server at the start, or if sends stay unanswered at the end, for so long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration, help_heading = "Tuning")]
    pub(crate) patience: Duration,
    /// The queues count as empty when nothing arrived for so long and an explicit drain brought nothing
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = parse_duration, help_heading = "Tuning")]
    pub(crate) quiet_time: Duration,
}

impl LoadArguments {
    /// As written to as meant, at no rate and without an end.
    pub(crate) fn options(&self) -> anyhow::Result<Options> {
        let addresses = self.addresses.iter().map(|pattern| expand_addresses(pattern));
        let addresses: Vec<_> = addresses.collect::<Result<_, _>>().context("--address")?;
        let payload_bytes = if let Sizes::Fixed(size) = self.size { size } else { Options::default().payload_bytes };
        Ok(Options {
            urls: self.urls.iter().flat_map(|servers| servers.0.clone()).collect(),
            tls: self.tls()?,
            addresses: addresses.concat(),
            user: self.user.clone(),
            password: self.password.clone(),
            external: self.external,
            spread: self.spread,
            payload_bytes,
            sizes: (!matches!(self.size, Sizes::Fixed(_))).then(|| self.size.clone()),
            contents: self.contents()?,
            producers: self.producers,
            consumers: self.consumers,
            build_backlog: self.build_backlog,
            window: self.window,
            credit: self.credit,
            renew: self.renew,
            drain_by: self.drain_by,
            ack: self.ack,
            settled: self.settled,
            producer_think: self.producer_think,
            consumer_think: self.consumer_think,
            consume: self.consume,
            durable: self.durable,
            backlog: self.backlog,
            paced_factor: self.paced_factor,
            shed_after: self.shed_after,
            backlog_max: self.backlog_max,
            resend: self.resend,
            seed: self.seed,
            threads: self.threads,
            tick: self.tick,
            connect_timeout: self.connect_timeout,
            reconnect_min: self.reconnect_min,
            reconnect_max: self.reconnect_max,
            idle_timeout: self.idle_timeout,
            warmup: self.warmup,
            ledger: !self.no_ledger,
            ledger_bytes_max: self.ledger_max,
            ..Options::default()
        })
    }

    fn tls(&self) -> Result<Option<Tls>, TlsError> {
        if self.tls_ca.is_none() && !self.tls_insecure {
            return Ok(None);
        }
        let identity = self.tls_cert.clone().zip(self.tls_key.clone());
        Tls::new(&TlsFiles { ca: self.tls_ca.clone(), identity, insecure: self.tls_insecure }).map(Some)
    }

    /// The files named, and those in the folders named, by name.
    fn contents(&self) -> anyhow::Result<Vec<Bytes>> {
        let mut files = Vec::new();
        for path in &self.content {
            let failed = || format!("--content {}", path.display());
            if path.is_dir() {
                let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                let entries = entries.with_context(failed)?;
                let mut inside: Vec<_> =
                    entries.iter().map(std::fs::DirEntry::path).filter(|path| path.is_file()).collect();
                anyhow::ensure!(!inside.is_empty(), "--content {}: the folder holds no file", path.display());
                inside.sort();
                files.extend(inside);
            } else {
                files.push(path.clone());
            }
        }
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("--content {}", path.display()));
        files.iter().map(|path| read(path).map(Bytes::from)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Servers;

    #[test]
    fn servers_with_and_without_shared_state_are_one_list() {
        let ports = |text: &str| {
            let servers: Servers = text.parse().unwrap();
            servers.0.iter().map(|url| url.port).collect::<Vec<_>>()
        };
        assert_eq!(ports("amqp://a:1,amqp://a:2"), [1, 2]);
        assert_eq!(ports("amqp://a:1+amqp://b:2"), [1, 2]);
        assert_eq!(ports("amqp://a:1,amqp://a:2+amqp://b:3,amqp://b:4"), [1, 2, 3, 4]);
        assert_eq!(ports("amqp://u:p+q@a:1"), [1], "a plus sign in a password");
    }
}
