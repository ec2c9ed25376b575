//! Whether two runs can be compared: the same load and settings, and the same machine.

use crate::environment::Environment;
use crate::result::RunResult;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Memory that differs by less than this part is the same: kernels reserve more or less of it.
const MEMORY_TOLERANCE: f64 = 0.05;

/// What differs, a sentence each.
#[derive(Debug, Default)]
pub(super) struct Likeness {
    /// What the load and the pair were told.
    parameters: Vec<String>,
    /// Where it ran.
    machine: Vec<String>,
    /// What is usually meant to differ, or says little.
    others: Vec<String>,
}

impl Likeness {
    /// Why the runs are not compared, unless that is asked for.
    pub(super) fn refusal(&self) -> Option<String> {
        (!self.parameters.is_empty()).then(|| {
            format!(
                "these runs cannot be compared: {}. Run NEW with BASE's parameters, or compare them anyway with --despite-differences",
                self.parameters.join("; ")
            )
        })
    }

    pub(super) fn is_same_machine(&self) -> bool {
        self.machine.is_empty()
    }

    /// Everything that differs.
    pub(super) fn warnings(&self) -> Vec<String> {
        let machine = self.machine.iter().map(|one| format!("another machine: {one}"));
        self.parameters.iter().cloned().chain(machine).chain(self.others.iter().cloned()).collect()
    }
}

pub(super) fn examine(base: &RunResult, new: &RunResult) -> Likeness {
    let parameters = [differing("load", &base.load, &new.load), differing("pair", &base.pair, &new.pair)].concat();
    let mut others = Vec::new();
    for (name, base, new) in [
        ("suite", base.suite.clone(), new.suite.clone()),
        ("kernel", base.environment.kernel.clone(), new.environment.kernel.clone()),
        ("broker", base.environment.broker.clone(), new.environment.broker.clone()),
    ] {
        if base != new {
            others.push(format!("{name}: {base} in BASE, {new} in NEW"));
        }
    }
    Likeness { parameters, machine: machine(&base.environment, &new.environment), others }
}

/// The fields of two values of one type that differ.
fn differing<T: Serialize>(name: &str, base: &T, new: &T) -> Vec<String> {
    let fields = |value: &T| match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let [base, new] = [fields(base), fields(new)];
    let names: BTreeSet<&String> = base.keys().chain(new.keys()).collect();
    let of = |fields: &serde_json::Map<String, Value>, field: &str| {
        fields.get(field).map_or_else(|| "absent".to_owned(), Value::to_string)
    };
    names
        .into_iter()
        .filter(|field| base.get(*field) != new.get(*field))
        .map(|field| format!("{name}.{field} is {} in BASE, {} in NEW", of(&base, field), of(&new, field)))
        .collect()
}

fn machine(base: &Environment, new: &Environment) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |name: &str, base: String, new: String| {
        if base != new {
            found.push(format!("{name} {base} in BASE, {new} in NEW"));
        }
    };
    compare("processor", base.processor.clone(), new.processor.clone());
    compare("processors", base.processors.to_string(), new.processors.to_string());
    compare("file system", base.file_system.clone(), new.file_system.clone());
    let (small, large) = (base.memory_mib.min(new.memory_mib), base.memory_mib.max(new.memory_mib));
    if (large - small) as f64 > large as f64 * MEMORY_TOLERANCE {
        compare("memory", format!("{} MiB", base.memory_mib), format!("{} MiB", new.memory_mib));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    #[test]
    fn the_same_parameters_on_the_same_machine_are_alike() {
        let likeness = examine(&synthetic::run(), &synthetic::run());
        assert!(likeness.is_same_machine() && likeness.refusal().is_none() && likeness.warnings().is_empty());
    }

    #[test]
    fn another_load_or_setting_is_refused_by_name() {
        let (base, mut new) = (synthetic::run(), synthetic::run());
        new.load.rate_per_s = 5000;
        new.pair.ft_activation_ms = 900;
        let refusal = examine(&base, &new).refusal().expect("they differ");
        for words in ["load.rate_per_s is 20000 in BASE, 5000 in NEW", "pair.ft_activation_ms", "--despite-differences"]
        {
            assert!(refusal.contains(words), "{refusal}");
        }
    }

    #[test]
    fn another_machine_is_said_and_a_little_less_memory_is_none() {
        let (base, mut new) = (synthetic::run(), synthetic::run());
        new.environment.memory_mib += base.environment.memory_mib / 100;
        new.environment.kernel = "7.0".to_owned();
        let likeness = examine(&base, &new);
        assert!(likeness.is_same_machine() && likeness.warnings().len() == 1, "{likeness:?}");
        new.environment.processors += 2;
        let likeness = examine(&base, &new);
        assert!(!likeness.is_same_machine() && likeness.refusal().is_none());
        assert!(likeness.warnings().iter().any(|one| one.starts_with("another machine: processors 2 in BASE")));
    }
}
