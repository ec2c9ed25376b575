//! `set server`: parameters that change while the server runs.
//!
//! Owns which parameters those are and what a change does. Names and ranges are those of the parameter table.

use super::files::Which;
use crate::broker::Broker;
use crate::config::{self, Status};
use serde_json::{Value, json};

/// Parameters that take effect at once.
const LIVE: [&str; 7] = [
    "authorization",
    "debug_sync_delay",
    "destination_backlog_swapout",
    "handshake_timeout",
    "max_connections",
    "password",
    "server_timeout_client_connection",
];

impl Broker {
    /// `set server`: all of the values, or none when one is not good.
    pub(super) fn set_server(&mut self, hold: bool, values: &[(String, String)]) -> Result<Value, String> {
        let mut warnings = Vec::new();
        for (name, value) in values {
            warnings.extend(check(name, value)?);
        }
        self.admin.files.change(hold, |draft| {
            draft.edit(Which::Server, |text| {
                for (name, value) in values {
                    text.set_parameter(name, value);
                }
            })
        })?;
        for (name, value) in values {
            self.apply(name, value)?;
            let shown = if name == "password" { "***" } else { value.as_str() };
            self.log.line(format!("{name} = {shown} by command"));
        }
        Ok(json!({ "warnings": warnings }))
    }

    fn apply(&mut self, name: &str, value: &str) -> Result<(), String> {
        let configuration = &mut self.configuration;
        match name {
            "authorization" => configuration.authorization = config::flag(value)?,
            "debug_sync_delay" => {
                configuration.debug_sync_delay_ns = config::duration_ns(value)?;
                self.reactor.set_sync_delay(configuration.debug_sync_delay_ns);
            }
            "destination_backlog_swapout" => {
                configuration.swapout = number(value)?;
                self.exchange.budget.swapout = configuration.swapout;
            }
            "handshake_timeout" => configuration.handshake_timeout_ns = config::duration_ns(value)?,
            "max_connections" => configuration.connections_max = number(value)?,
            "password" => value.clone_into(&mut configuration.password),
            "server_timeout_client_connection" => configuration.client_timeout_ns = config::duration_ns(value)?,
            // Written to the file; that it has no effect was said.
            _ => {}
        }
        Ok(())
    }
}

/// Whether a value may be set; a remark where it has no effect.
fn check(name: &str, value: &str) -> Result<Option<String>, String> {
    let row = config::parameter(name).ok_or_else(|| format!("'{name}' is not a parameter of the server"))?;
    if value.contains(['\n', '\r']) {
        return Err(format!("{name}: a value has one line"));
    }
    row.check(value).map_err(|error| {
        let range = row.range().map(|range| format!("; range {range}")).unwrap_or_default();
        format!("{name}: {error} ({}{range})", error.remedy())
    })?;
    match row.status {
        _ if LIVE.contains(&row.name) => Ok(None),
        Status::Accepted(instead) => Ok(Some(format!("{name} has no effect here: {instead}"))),
        Status::Refused(remedy) => Err(format!("{name} is not supported: {remedy}")),
        Status::Implemented => Err(format!(
            "{name} cannot be changed while the server runs; write it to tibemsd.conf and restart, or set one of {}",
            LIVE.join(", ")
        )),
    }
}

fn number<N: std::str::FromStr>(value: &str) -> Result<N, String> {
    value.trim().parse().map_err(|_| format!("'{value}' is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_live_is_in_the_table_and_implemented() {
        for name in LIVE {
            let row = config::parameter(name).expect(name);
            assert_eq!((row.name, row.status), (name, Status::Implemented));
        }
    }

    #[test]
    fn values_are_checked_and_errors_name_what_can_be_set() {
        let refused = |name: &str, value: &str, expected: &str| {
            let error = check(name, value).unwrap_err();
            assert!(error.contains(expected), "{name}={value}: {error}");
        };
        refused("nonsense", "1", "not a parameter");
        refused("authorization", "maybe", "authorization");
        refused("store", "elsewhere", "max_connections");
        refused("max_connections", "-1", "max_connections");
        refused("password", "a\nb", "one line");
        assert_eq!(check("authorization", "enabled"), Ok(None));
        assert!(check("flow_control", "enabled").unwrap().unwrap().contains("no effect"));
    }
}
