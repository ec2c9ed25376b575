//! The load and the settings of the pair, as a plan has them.

use crate::scenario::LoadSpec;
use loadgen::units::{parse_bytes, parse_duration};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The load of every trial: an open loop, so the schedule does not wait for the broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadPlan {
    /// Offered rate over all producers, messages per second.
    pub rate_per_s: u64,
    /// Body of each message, bytes.
    pub size_bytes: usize,
    /// Sending links, each on its own connection.
    pub producers: u32,
    /// Receiving links.
    pub consumers: u32,
    /// Further producers and consumers, on a queue of their own, that never give up a silent server: only they are still connected to a
    /// server that wakes up after the other one has taken over. They send little.
    #[serde(default)]
    pub patient: u32,
    /// A server that is silent for so long counts as lost to a client, ms. A stopped server closes no socket, so this is a part of
    /// the failover time of `pause-active`.
    pub client_idle_timeout_ms: u64,
    /// Longest wait for one connection attempt, from TCP to the attached link, ms.
    pub client_connect_timeout_ms: u64,
    /// Unconfirmed messages that each producer may have in flight.
    pub window: u32,
    /// Messages that the consumer lets the broker send ahead.
    pub credit: u32,
    /// Time under load before the fault may come, ms.
    pub warm_up_ms: u64,
    /// Length of steady flow that counts as recovered, ms.
    pub steady_ms: u64,
    /// Longest wait for a recovery after the fault; beyond it the trial is right-censored, ms.
    pub recovery_limit_ms: u64,
    /// Longest wait for the latency to be back where it was while messages flow again; beyond it the time to steady flow is
    /// right-censored, ms.
    pub latency_limit_ms: u64,
    /// Longest wait for the queue to run dry after the last send, ms.
    pub drain_limit_ms: u64,
}

impl Default for LoadPlan {
    fn default() -> Self {
        Self {
            rate_per_s: 20_000,
            size_bytes: 1024,
            producers: 4,
            consumers: 1,
            patient: 0,
            client_idle_timeout_ms: 500,
            client_connect_timeout_ms: 250,
            window: 2000,
            credit: 1000,
            warm_up_ms: 2000,
            steady_ms: 2000,
            recovery_limit_ms: 15_000,
            latency_limit_ms: 4000,
            drain_limit_ms: 15_000,
        }
    }
}

impl LoadPlan {
    /// With what a suite or scenario changes; its values were checked when they were read.
    pub fn with(mut self, spec: &LoadSpec) -> Self {
        let ms = |target: &mut u64, text: &Option<String>| {
            if let Some(Ok(time)) = text.as_deref().map(parse_duration) {
                *target = time.as_millis() as u64;
            }
        };
        ms(&mut self.client_idle_timeout_ms, &spec.idle_timeout);
        ms(&mut self.client_connect_timeout_ms, &spec.connect_timeout);
        ms(&mut self.warm_up_ms, &spec.warmup);
        ms(&mut self.steady_ms, &spec.steady);
        ms(&mut self.recovery_limit_ms, &spec.recovery_limit);
        ms(&mut self.latency_limit_ms, &spec.latency_limit);
        ms(&mut self.drain_limit_ms, &spec.drain_limit);
        if let Some(Ok(bytes)) = spec.size.as_deref().map(parse_bytes) {
            self.size_bytes = bytes;
        }
        self.rate_per_s = spec.rate.unwrap_or(self.rate_per_s);
        self.producers = spec.producers.unwrap_or(self.producers);
        self.consumers = spec.consumers.unwrap_or(self.consumers);
        self.patient = spec.patient.unwrap_or(self.patient);
        self.window = spec.window.unwrap_or(self.window);
        self.credit = spec.credit.unwrap_or(self.credit);
        self
    }
}

/// The settings of the pair that decide how fast it notices and how much an async store may lose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairPlan {
    /// `ft_heartbeat`, ms.
    pub ft_heartbeat_ms: u64,
    /// `ft_activation`, ms.
    pub ft_activation_ms: u64,
    /// `async_flush_interval`, ms: an async store writes at least this often.
    pub async_flush_interval_ms: u64,
    /// `async_unflushed_max`, bytes: an async store accepts no more while this much is not yet written.
    pub async_unflushed_bytes_max: u64,
    /// `segment_bytes`: small segments, since each trial fills its own with zeros.
    pub segment_bytes: u64,
}

impl Default for PairPlan {
    fn default() -> Self {
        Self {
            ft_heartbeat_ms: 100,
            ft_activation_ms: 500,
            async_flush_interval_ms: 10,
            async_unflushed_bytes_max: 4 << 20,
            segment_bytes: 16 << 20,
        }
    }
}

impl PairPlan {
    /// The parameters that are times which this program reckons with.
    pub const TIMES: [&str; 2] = ["ft_heartbeat", "ft_activation"];

    /// With the settings of a suite or trial, as far as this program reckons with them; values were checked when they were read.
    pub fn with(mut self, settings: &BTreeMap<String, String>) -> Self {
        for (name, target) in Self::TIMES.into_iter().zip([&mut self.ft_heartbeat_ms, &mut self.ft_activation_ms]) {
            if let Some(Ok(time)) = settings.get(name).map(|text| parse_duration(text)) {
                *target = time.as_millis() as u64;
            }
        }
        self
    }
}
