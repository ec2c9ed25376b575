//! The load of a trial: producers and consumer in one run of the generator, or in two with the same mark, where the consumer
//! shall leave and return.

use super::Context;
use crate::backlog::urls;
use crate::cluster::Pair;
use crate::error::Result;
use crate::plan::{LoadPlan, TrialPlan};
use crate::scenario::Consume;
use loadgen::ledger::{ConsumerLog, Delivery, Ledger};
use loadgen::options::{Ack, Backlog, Limit, Options, Resend};
use loadgen::run::{Finished, Handle, Snapshot};
use loadgen::schedule::Rate;
use std::sync::Arc;
use std::time::Duration;

/// Clients connect within this time, or the trial cannot be carried out.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A load under way.
#[derive(Debug)]
pub(super) struct Load {
    senders: Handle,
    consumer: Consumer,
    patient: Option<Handle>,
}

/// Where the consumer is.
#[derive(Debug)]
enum Consumer {
    /// In the same run as the producers.
    Joined,
    /// In runs of its own, one after the other.
    Apart { options: Box<Options>, present: Option<Handle>, past: Vec<Ledger> },
}

impl Load {
    /// Starts the clients and waits until all of them are connected and the schedule has begun.
    pub(super) async fn start(context: &Context<'_>, plan: &TrialPlan, pair: &Pair) -> Result<Self> {
        let hlog = context.out.join(format!("{}.hlog", plan.file_stem()));
        let mut options = options(context.plan.load_of(plan), plan, pair);
        let mut consumer = Consumer::Joined;
        if plan.consume == Consume::LeaveBeforeFault {
            let mut apart = Options { producers: 0, ..options.clone() };
            options.consumers = 0;
            // The same mark, or the consumer would take the messages for those of a stranger.
            (options.run, apart.run) = (Some(plan.seed | 1), Some(plan.seed | 1));
            let present = Some(started(apart.clone()).await?);
            consumer = Consumer::Apart { options: Box::new(apart), present, past: Vec::new() };
        }
        let senders = loadgen::run::start(options, Some(&hlog))?;
        senders.started(CONNECT_LIMIT).await?;
        let patient = match patient_options(context.plan.load_of(plan), plan, pair) {
            Some(options) => Some(started(options).await?),
            None => None,
        };
        Ok(Self { senders, consumer, patient })
    }

    /// The run of the producers.
    pub(super) fn senders(&self) -> &Handle {
        &self.senders
    }

    fn receivers(&self) -> Option<&Handle> {
        match &self.consumer {
            Consumer::Joined => Some(&self.senders),
            Consumer::Apart { present, .. } => present.as_ref(),
        }
    }

    /// The consumer closes its connection; what it had not acknowledged goes back to the queue.
    pub(super) async fn consumer_leaves(&mut self) -> Result<()> {
        if let Consumer::Apart { present, past, .. } = &mut self.consumer
            && let Some(handle) = present.take()
        {
            past.push(handle.finish().await?.ledger);
        }
        Ok(())
    }

    /// The consumer connects again. One that has not left, since no fault has come, stays.
    pub(super) async fn consumer_returns(&mut self) -> Result<()> {
        if let Consumer::Apart { options, present, .. } = &mut self.consumer
            && present.is_none()
        {
            *present = Some(started(options.as_ref().clone()).await?);
        }
        Ok(())
    }

    /// Producers and links as they are now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let consumers_connected = self.receivers().map_or(0, |handle| handle.snapshot().consumers_connected);
        Snapshot { consumers_connected, ..self.senders.snapshot() }
    }

    /// The producers' record so far.
    pub(super) fn sent_so_far(&self) -> Arc<Ledger> {
        self.senders.ledger()
    }

    /// Stops the schedule and waits for the answers; true if all came.
    pub(super) async fn stop_sending(&self, limit: Duration) -> bool {
        let answered = self.senders.stop_sending(limit).await;
        match &self.patient {
            Some(patient) => patient.stop_sending(limit).await && answered,
            None => answered,
        }
    }

    /// Waits until the queues are empty; true if they are.
    pub(super) async fn drain(&self, quiet: Duration, limit: Duration) -> bool {
        let Some(receivers) = self.receivers() else { return false };
        let drained = receivers.drain(quiet, limit).await;
        match &self.patient {
            Some(patient) => patient.drain(quiet, limit).await && drained,
            None => drained,
        }
    }

    /// Ends the patient clients and gives their record.
    pub(super) async fn finish_patient(&mut self) -> Result<Option<Ledger>> {
        match self.patient.take() {
            Some(patient) => Ok(Some(patient.finish().await?.ledger)),
            None => Ok(None),
        }
    }

    /// Ends all clients. The consumer's runs become one record, as if it had only lost its connection.
    pub(super) async fn finish(mut self) -> Result<Finished> {
        self.consumer_leaves().await?;
        let mut finished = self.senders.finish().await?;
        if let Consumer::Apart { past, .. } = self.consumer {
            finished.ledger.consumers = join(past);
        }
        Ok(finished)
    }
}

/// One record of two runs; the second one's clients get numbers behind the first one's.
pub(super) fn both(mut first: Ledger, second: Ledger) -> Ledger {
    let (producers, consumers) = (first.producers.len() as u32, first.consumers.len() as u32);
    for mut log in second.producers {
        log.producer += producers;
        first.producers.push(log);
    }
    for mut log in second.consumers {
        log.consumer += consumers;
        let renumbered = |one: &Delivery| Delivery { producer: one.producer + producers, ..*one };
        log.deliveries = log.deliveries.iter().map(renumbered).collect();
        first.consumers.push(log);
    }
    first
}

async fn started(options: Options) -> Result<Handle> {
    let handle = loadgen::run::start(options, None)?;
    handle.started(CONNECT_LIMIT).await?;
    Ok(handle)
}

/// Appends the records of each consumer's later runs to those of its first.
fn join(runs: Vec<Ledger>) -> Vec<ConsumerLog> {
    let mut joined: Vec<ConsumerLog> = Vec::new();
    for log in runs.into_iter().flat_map(|ledger| ledger.consumers) {
        let Some(before) = joined.iter_mut().find(|before| before.consumer == log.consumer) else {
            joined.push(log);
            continue;
        };
        let offset = before.connections.len() as u32;
        before.connections.extend(log.connections);
        for delivery in log.deliveries.iter() {
            let connection = delivery.connection + offset;
            before.deliveries.push(Delivery { connection, ..*delivery });
        }
        before.alien += log.alien;
        before.corrupt += log.corrupt;
    }
    joined
}

/// All random choices of the generator come from the trial's seed.
fn options(load: &LoadPlan, plan: &TrialPlan, pair: &Pair) -> Options {
    Options {
        urls: urls(pair),
        addresses: vec![plan.store.address().to_owned()],
        rate: Rate::Constant { messages: load.rate_per_s, seconds: 1 },
        payload_bytes: load.size_bytes,
        producers: load.producers,
        consumers: load.consumers,
        limit: Limit::None,
        window: load.window,
        credit: load.credit,
        ack: Ack::Confirmed,
        backlog: Backlog::CatchUp,
        resend: Resend::Unconfirmed,
        seed: plan.seed,
        connect_timeout: Duration::from_millis(load.client_connect_timeout_ms),
        idle_timeout: Duration::from_millis(load.client_idle_timeout_ms),
        warmup: Duration::from_millis(load.warm_up_ms),
        ..Options::default()
    }
}

/// A patient client's share of the load, messages a second.
const PATIENT_RATE_PER_S: u64 = 200;

fn patient_options(load: &LoadPlan, plan: &TrialPlan, pair: &Pair) -> Option<Options> {
    (load.patient > 0).then(|| Options {
        addresses: vec![plan.store.patient_address().to_owned()],
        rate: Rate::Constant { messages: PATIENT_RATE_PER_S * u64::from(load.patient), seconds: 1 },
        producers: load.patient,
        consumers: load.patient,
        idle_timeout: Duration::ZERO,
        ..options(load, plan, pair)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen::ledger::{Connection, ProducerLog};

    fn run(consumer: u32, server: &str, sequences: &[u64]) -> Ledger {
        let connection = Connection { server: server.to_owned(), opened_ns: 1, closed_ns: 2, reason: String::new() };
        let delivery = |&sequence: &u64| Delivery {
            sequence,
            arrival_ns: 0,
            acknowledged_ns: 0,
            producer: 0,
            connection: 0,
            attempt: 0,
            redelivered: false,
        };
        let log = ConsumerLog {
            consumer,
            connections: vec![connection],
            deliveries: sequences.iter().map(delivery).collect(),
            alien: 1,
            ..ConsumerLog::default()
        };
        Ledger { consumers: vec![log], ..Ledger::default() }
    }

    #[test]
    fn two_runs_become_one_record_in_which_each_message_finds_its_producer() {
        let with_producer = |ledger: Ledger| Ledger { producers: vec![ProducerLog::default()], ..ledger };
        let joined = both(with_producer(run(0, "a", &[1, 2])), with_producer(run(0, "b", &[1])));
        assert_eq!(joined.producers.iter().map(|log| log.producer).collect::<Vec<_>>(), [0, 1]);
        let consumers: Vec<_> = joined.consumers.iter().map(|log| (log.consumer, log.deliveries.len())).collect();
        assert_eq!(consumers, [(0, 2), (1, 1)]);
        assert_eq!(joined.consumers[1].deliveries.get(0).map(|one| one.producer), Some(1));
    }

    #[test]
    fn runs_of_one_consumer_become_one_record_with_both_connections() {
        let joined = join(vec![run(0, "a", &[1, 2]), run(0, "b", &[3]), run(1, "a", &[4])]);
        assert_eq!(joined.len(), 2);
        let deliveries: Vec<(u64, u32)> =
            joined[0].deliveries.iter().map(|one| (one.sequence, one.connection)).collect();
        assert_eq!(deliveries, [(1, 0), (2, 0), (3, 1)]);
        assert_eq!(joined[0].connections[1].server, "b");
        assert_eq!((joined[0].alien, joined[1].alien), (2, 1));
    }
}
