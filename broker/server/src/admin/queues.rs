//! Commands on queues: create, delete, properties, purge.
//!
//! Owns how a command becomes a line of queues.conf (`draft_*`) and, once that is written, new definitions. A line that the file's own parser does not take
//! without a doubt is refused, in its words.

use super::command::PropertyChange;
use super::files::Which;
use super::show::no_queue;
use super::{Progress, Step};
use crate::broker::Broker;
use crate::config::{self, QueueSpec, Severity};
use serde_json::{Value, json};

/// A line of queues.conf that is to hold.
#[derive(Debug)]
pub(super) struct QueueLine {
    line: String,
    spec: QueueSpec,
    warnings: Vec<String>,
}

/// Queues that one command purges at a time.
const PURGE_MAX: usize = 10_000;

impl Broker {
    /// The properties in a queue's own line of queues.conf.
    pub(super) fn properties_of(&self, name: &str) -> Vec<String> {
        self.admin.files.properties_of(name)
    }

    /// Changes the text for `create queue`.
    pub(super) fn draft_queue(&mut self, name: &str, properties: &[String]) -> Result<QueueLine, String> {
        if self.configuration.queues.iter().any(|queue| queue.definition.pattern == name) {
            return Err(format!("there is a queue '{name}' already; setprop and addprop change it"));
        }
        self.draft_line(name, properties)
    }

    /// Changes the text for `addprop`, `setprop`, `removeprop`.
    pub(super) fn draft_properties(
        &mut self,
        change: PropertyChange,
        name: &str,
        named: &[String],
    ) -> Result<QueueLine, String> {
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
                    return Err(format!("the line '{name}' has no property '{missing}'; show queue {name} names them"));
                }
                properties.retain(|property| !is_named(property));
            }
        }
        if change != PropertyChange::Remove {
            properties.extend_from_slice(named);
        }
        self.draft_line(name, &properties)
    }

    fn draft_line(&mut self, name: &str, properties: &[String]) -> Result<QueueLine, String> {
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
        let warnings = words(Severity::Warning);
        self.admin.files.edit(|draft| draft.put(Which::Queues, name, &line))?;
        Ok(QueueLine { line, spec, warnings })
    }

    /// `create queue`, `addprop`, `setprop`, `removeprop`.
    pub(super) fn define_queue(&mut self, QueueLine { line, spec, mut warnings }: QueueLine) -> Value {
        let name = spec.definition.pattern.clone();
        let queues = &mut self.configuration.queues;
        match queues.iter_mut().find(|queue| queue.definition.pattern == name) {
            Some(known) => *known = spec,
            None => queues.push(spec),
        }
        let kept = self.define_queues();
        warnings.extend(kept.iter().filter(|queue| **queue == name).map(|queue| {
            format!("'{queue}' holds messages and keeps its store until it is empty and the server is restarted")
        }));
        self.log.line(format!("queues.conf: '{line}' by command"));
        json!({ "warnings": warnings })
    }

    fn define_queues(&mut self) -> Vec<String> {
        let definitions = self.configuration.queues.iter().map(|queue| queue.definition.clone()).collect();
        self.redefine_queues(definitions)
    }

    fn is_defined(&self, name: &str) -> bool {
        self.configuration.queues.iter().any(|queue| queue.definition.pattern == name)
    }

    /// Changes the text for [`Broker::delete_queue_command`].
    pub(super) fn draft_deletion(&mut self, name: &str) -> Result<(), String> {
        if !self.is_defined(name) {
            return self.exchange.engine.find(name).map(drop).ok_or_else(|| no_queue(name));
        }
        self.admin.files.edit(|draft| draft.remove(Which::Queues, name))
    }

    /// `delete queue`: the line goes, and the queue with all that is in it.
    pub(super) fn delete_queue_command(&mut self, name: String) -> Step {
        let queue = self.exchange.engine.find(&name);
        if self.is_defined(&name) {
            self.configuration.queues.retain(|queue| queue.definition.pattern != name);
            self.define_queues();
        }
        self.log.line(format!("Queue '{name}' is deleted by command"));
        let Some(queue) = queue.filter(|queue| self.exchange.engine.name_of(*queue) == name) else {
            return Step::Done(json!({}));
        };
        let messages = self.exchange.engine.messages(queue);
        self.delete_queue(queue);
        Step::Later(Progress::Deleting { name, messages })
    }

    /// `purge queue`.
    pub(super) fn purge_queue(&mut self, name: &str) -> Result<Step, String> {
        self.exchange.engine.find(name).ok_or_else(|| no_queue(name))?;
        Ok(self.purge_queues(vec![name.to_owned()]))
    }

    /// `purge all queues`.
    pub(super) fn purge_all(&mut self, pattern: &str) -> Result<Step, String> {
        super::show::check_pattern(pattern)?;
        let all = self.exchange.engine.queues().filter(|queue| engine::matches(pattern, queue.name));
        let filled = all.filter(|queue| queue.messages > 0 || queue.loading);
        let names: Vec<String> = filled.map(|queue| queue.name.to_owned()).collect();
        if names.len() > PURGE_MAX {
            return Err(format!(
                "{} queues are meant, at most {PURGE_MAX} can be; give a narrower pattern",
                names.len()
            ));
        }
        Ok(self.purge_queues(names))
    }

    /// Begins to purge, once the backlogs of all of the queues are loaded; one that is gone is empty.
    pub(super) fn purge_queues(&mut self, queues: Vec<String>) -> Step {
        let engine = &self.exchange.engine;
        if queues.iter().any(|name| engine.find(name).is_some_and(|queue| engine.is_loading(queue))) {
            return Step::Later(Progress::Loading { queues });
        }
        let mut messages = 0;
        for name in &queues {
            let Some(queue) = self.exchange.engine.find(name) else { continue };
            let found = self.exchange.engine.purge(queue).expect("no backlog of it is being loaded");
            self.log.line(format!("Queue '{name}' is purged by command: {found} messages"));
            messages += found;
        }
        self.go_on_at_once();
        Step::Later(Progress::Purging { queues, messages })
    }
}
