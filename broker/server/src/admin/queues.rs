//! Commands on queues: create, delete, properties, purge.
//!
//! Owns how a command becomes a line of queues.conf and new definitions. A line that the file's own parser does not take
//! without a doubt is refused, in its words.

use super::command::PropertyChange;
use super::files::Which;
use super::show::no_queue;
use super::{Progress, Step};
use crate::broker::Broker;
use crate::config::{self, Severity};
use serde_json::{Value, json};

/// Queues that one command purges at a time.
const PURGE_MAX: usize = 10_000;

impl Broker {
    /// The properties in a queue's own line of queues.conf.
    pub(super) fn properties_of(&self, name: &str) -> Vec<String> {
        self.admin.files.properties_of(name)
    }

    /// `create queue`.
    pub(super) fn create_queue(&mut self, hold: bool, name: &str, properties: &[String]) -> Result<Value, String> {
        if self.configuration.queues.iter().any(|queue| queue.definition.pattern == name) {
            return Err(format!("there is a queue '{name}' already; setprop and addprop change it"));
        }
        self.define_queue(hold, name, properties)
    }

    /// `addprop`, `setprop`, `removeprop`.
    pub(super) fn change_queue(
        &mut self,
        hold: bool,
        change: PropertyChange,
        name: &str,
        named: &[String],
    ) -> Result<Value, String> {
        if !self.configuration.queues.iter().any(|queue| queue.definition.pattern == name) {
            return Err(format!("queues.conf has no line '{name}'; create queue makes one"));
        }
        let name_of = |property: &str| property.split('=').next().unwrap_or("").trim().to_owned();
        let is_named = |property: &String| named.iter().any(|one| name_of(one) == name_of(property));
        let mut properties = self.properties_of(name);
        match change {
            PropertyChange::Set => properties.clear(),
            PropertyChange::Add => properties.retain(|property| !is_named(property)),
            PropertyChange::Remove => {
                if let Some(missing) = named.iter().find(|one| !properties.iter().any(|p| name_of(p) == name_of(one))) {
                    return Err(format!("the line '{name}' has no property '{missing}'"));
                }
                properties.retain(|property| !is_named(property));
            }
        }
        if change != PropertyChange::Remove {
            properties.extend_from_slice(named);
        }
        self.define_queue(hold, name, &properties)
    }

    fn define_queue(&mut self, hold: bool, name: &str, properties: &[String]) -> Result<Value, String> {
        let line = format!("{name} {}", properties.join(",")).trim_end().to_owned();
        let path = &self.configuration.paths.queues;
        let (spec, remarks) = config::queue_line(path, &line, &self.configuration.stores);
        let words = |wanted: Severity| {
            let picked = remarks.iter().filter(move |remark| remark.severity == wanted);
            picked.map(|remark| format!("{}: {} ({})", remark.parameter, remark.message, remark.remedy)).collect()
        };
        let errors: Vec<String> = words(Severity::Error);
        let spec = spec.filter(|spec| errors.is_empty() && spec.definition.pattern == name);
        let spec = spec.ok_or_else(|| match errors.is_empty() {
            true => format!("'{name}' cannot be the name of a queue"),
            false => errors.join("; "),
        })?;
        self.admin.files.change(hold, |draft| draft.put(Which::Queues, name, &line))?;
        let queues = &mut self.configuration.queues;
        match queues.iter_mut().find(|queue| queue.definition.pattern == name) {
            Some(known) => *known = spec,
            None => queues.push(spec),
        }
        let kept = self.define_queues();
        let mut warnings: Vec<String> = words(Severity::Warning);
        warnings.extend(kept.iter().filter(|queue| *queue == name).map(|queue| {
            format!("'{queue}' holds messages and keeps its store until it is empty and the server is restarted")
        }));
        self.log.line(format!("queues.conf: '{line}' by command"));
        Ok(json!({ "warnings": warnings }))
    }

    fn define_queues(&mut self) -> Vec<String> {
        let definitions = self.configuration.queues.iter().map(|queue| queue.definition.clone()).collect();
        self.redefine_queues(definitions)
    }

    /// `delete queue`: the line goes, and the queue with all that is in it.
    pub(super) fn delete_queue_command(&mut self, hold: bool, name: &str) -> Result<Step, String> {
        let queue = self.exchange.engine.find(name);
        let is_defined = self.configuration.queues.iter().any(|queue| queue.definition.pattern == name);
        if !is_defined && queue.is_none() {
            return Err(no_queue(name));
        }
        if is_defined {
            self.admin.files.change(hold, |draft| draft.remove(Which::Queues, name))?;
            self.configuration.queues.retain(|queue| queue.definition.pattern != name);
            self.define_queues();
        }
        self.log.line(format!("Queue '{name}' is deleted by command"));
        let Some(queue) = queue.filter(|queue| self.exchange.engine.name_of(*queue) == name) else {
            return Ok(Step::Done(json!({})));
        };
        let messages = self.exchange.engine.messages(queue);
        self.delete_queue(queue);
        Ok(Step::Later(Progress::Deleting { name: name.to_owned(), messages }))
    }

    /// `purge queue`.
    pub(super) fn purge_queue(&mut self, name: &str) -> Result<Step, String> {
        let queue = self.exchange.engine.find(name).ok_or_else(|| no_queue(name))?;
        let messages = self.exchange.engine.purge(queue).map_err(|error| format!("'{name}': {error}; try again"))?;
        self.log.line(format!("Queue '{name}' is purged by command: {messages} messages"));
        self.go_on_at_once();
        Ok(Step::Later(Progress::Purging { queues: vec![name.to_owned()], messages }))
    }

    /// `purge all queues`.
    pub(super) fn purge_all(&mut self, pattern: &str) -> Result<Step, String> {
        super::show::check_pattern(pattern)?;
        let all = self.exchange.engine.queues().filter(|queue| engine::matches(pattern, queue.name));
        let names: Vec<String> = all.filter(|queue| queue.messages > 0).map(|queue| queue.name.to_owned()).collect();
        if names.len() > PURGE_MAX {
            return Err(format!(
                "{} queues are meant, at most {PURGE_MAX} can be; give a narrower pattern",
                names.len()
            ));
        }
        let mut messages = 0;
        for name in &names {
            match self.purge_queue(name)? {
                Step::Later(Progress::Purging { messages: found, .. }) => messages += found,
                _ => unreachable!("a purge is done later"),
            }
        }
        Ok(Step::Later(Progress::Purging { queues: names, messages }))
    }
}
