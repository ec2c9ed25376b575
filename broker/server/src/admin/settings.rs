//! `set server`: parameters that change while the server runs.
//!
//! Owns which parameters those are and what a change does. Names and ranges are those of the parameter table.

use super::files::Which;
use crate::broker::Broker;
use crate::config::{self, Status};
use serde_json::{Value, json};

/// Parameters that take effect at once: the rows of the table that are marked so.
fn live() -> impl Iterator<Item = &'static str> {
    config::parameters().filter(|row| row.live).map(|row| row.name)
}

impl Broker {
    /// Changes the text for [`Broker::set_server`]: all of the values, or none when one is not good.
    pub(super) fn draft_server(&mut self, values: &[(String, String)]) -> Result<(), String> {
        for (name, value) in values {
            check(name, value)?;
        }
        self.admin.files.edit(|draft| {
            draft.edit(Which::Server, |text| {
                for (name, value) in values {
                    text.set_parameter(name, value);
                }
            })
        })
    }

    /// `set server`.
    pub(super) fn set_server(&mut self, values: &[(String, String)]) -> Result<Value, String> {
        let mut warnings = Vec::new();
        for (name, value) in values {
            warnings.extend(check(name, value)?);
            warnings.extend(self.apply(name, value)?);
            let shown = if name == "password" { "***" } else { value.as_str() };
            self.log.line(format!("{name} = {shown} by command"));
        }
        Ok(json!({ "warnings": warnings }))
    }

    /// Has a value take effect; a remark where something else is needed with it.
    fn apply(&mut self, name: &str, value: &str) -> Result<Option<String>, String> {
        let configuration = &mut self.configuration;
        match name {
            "authorization" => {
                configuration.authorization = config::flag(value)?;
                return Ok(self.remark_on_login_between());
            }
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
            "max_msg_memory" => {
                configuration.message_memory_max = config::bytes(value)?;
                self.exchange.limit_memory(configuration.message_memory_max);
            }
            "password" => value.clone_into(&mut configuration.password),
            // Written to the file; that it has no effect was said.
            _ => {}
        }
        Ok(None)
    }

    /// Under `authorization` the other server logs in as the user named like the server.
    fn remark_on_login_between(&self) -> Option<String> {
        let configuration = &self.configuration;
        let is_needed = configuration.authorization && configuration.ft.is_some();
        (is_needed && self.directory.user(&configuration.server).is_none()).then(|| {
            let name = &configuration.server;
            format!("there is no user '{name}': the other server cannot log in again; create user {name} password=...")
        })
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
        _ if row.live => Ok(None),
        Status::Accepted(instead) => Ok(Some(format!("{name} has no effect here: {instead}"))),
        Status::Kept => Ok(Some(format!("{name} is kept, and its file is not acted upon"))),
        Status::Refused(remedy) => Err(format!("{name} is not supported: {remedy}")),
        Status::Implemented => Err(format!(
            "{name} cannot be changed while the server runs; write it to tibemsd.conf and restart, or set one of {}",
            live().collect::<Vec<_>>().join(", ")
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
    fn what_is_marked_live_takes_effect() {
        let applied = [
            "authorization",
            "debug_sync_delay",
            "destination_backlog_swapout",
            "handshake_timeout",
            "max_connections",
            "max_msg_memory",
            "password",
        ];
        let mut live: Vec<&str> = live().collect();
        live.sort_unstable();
        assert_eq!(live, applied, "`apply` and the table agree");
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
