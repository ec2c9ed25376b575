//! Event lines: one JSON object per transition and per phase of a failover, for programs.

use super::Nanos;
use super::message::{HaConfig, Recovered};
use super::state::State;
use serde::Serialize;

/// One line. Fields that do not apply are left out.
#[derive(Debug, Serialize)]
pub(super) struct EventLine<'l> {
    event: &'l str,
    /// CLOCK_MONOTONIC, nanoseconds.
    t_ns: Nanos,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'static str>,
    reason: &'l str,
    epoch: u64,
    server: &'l str,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    recovered: Option<Figures>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    loaded: Option<Load>,
}

#[derive(Debug, Serialize)]
struct Figures {
    bytes: u64,
    messages: u64,
    segments: u64,
    hot: bool,
}

#[derive(Debug, Serialize)]
struct Load {
    messages: u64,
    ms: u64,
}

impl<'l> EventLine<'l> {
    pub(super) fn new(event: &'l str, t_ns: Nanos, reason: &'l str, epoch: u64, config: &'l HaConfig) -> Self {
        let (server, pid) = (config.server.as_str(), config.process_id);
        Self { event, t_ns, from: None, to: None, reason, epoch, server, pid, recovered: None, loaded: None }
    }

    pub(super) fn between(self, from: State, to: State) -> Self {
        Self { from: Some(from.name()), to: Some(to.name()), ..self }
    }

    pub(super) fn with(self, figures: Recovered) -> Self {
        let Recovered { bytes, messages, segments, hot, .. } = figures;
        Self { recovered: Some(Figures { bytes, messages, segments, hot }), ..self }
    }

    pub(super) fn with_load(self, messages: u64, ms: u64) -> Self {
        Self { loaded: Some(Load { messages, ms }), ..self }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are JSON")
    }
}
