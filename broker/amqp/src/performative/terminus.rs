//! Owns [`Source`] and [`Target`], the ends of a link (core specification 3.5.3, 3.5.4 and 4.5.1).

use alloc::string::String;
use alloc::vec::Vec;

use super::Outcome;
use crate::types::Value;

/// Where messages come from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Source {
    /// The name of the node; absent with `dynamic`, and in null sources of anonymous links.
    pub address: Option<String>,
    /// 0 nothing is kept, 1 the terminus, 2 the terminus and its unsettled state.
    pub durable: u32,
    /// When the terminus expires: `link-detach`, `session-end` (the default), `connection-close` or `never`.
    pub expiry_policy: Option<String>,
    /// How long the terminus lives after that, in seconds.
    pub timeout_s: u32,
    /// The receiver asks for a new node; the answer carries its address.
    pub dynamic: bool,
    /// Properties of the new node: a map from symbols.
    pub dynamic_node_properties: Vec<(Value, Value)>,
    /// `move` or `copy` (browsing).
    pub distribution_mode: Option<String>,
    /// Filters: a map from symbols chosen by the client to described values, which the descriptor identifies.
    pub filter: Vec<(Value, Value)>,
    /// The outcome of deliveries that are never settled.
    pub default_outcome: Option<Outcome>,
    /// Symbols of the outcomes that are possible.
    pub outcomes: Vec<String>,
    /// Extensions.
    pub capabilities: Vec<String>,
}

/// Where messages go to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Target {
    /// True: this is a transaction coordinator, which has capabilities only.
    pub coordinator: bool,
    /// The name of the node; absent with `dynamic`, and for the anonymous terminus.
    pub address: Option<String>,
    /// 0 nothing is kept, 1 the terminus, 2 the terminus and its unsettled state.
    pub durable: u32,
    /// When the terminus expires: `link-detach`, `session-end` (the default), `connection-close` or `never`.
    pub expiry_policy: Option<String>,
    /// How long the terminus lives after that, in seconds.
    pub timeout_s: u32,
    /// The sender asks for a new node; the answer carries its address.
    pub dynamic: bool,
    /// Properties of the new node: a map from symbols.
    pub dynamic_node_properties: Vec<(Value, Value)>,
    /// Extensions.
    pub capabilities: Vec<String>,
}

impl Source {
    /// A source with an address and all else at its default.
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..Self::default() }
    }
}

impl Target {
    /// A target with an address and all else at its default.
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..Self::default() }
    }
}
