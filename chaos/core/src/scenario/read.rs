//! From the text of a scenario or suite file to data, or to an error that names file, line and key.

use super::{
    After, Amount, Entry, Expect, FaultSpec, LoadSpec, Moment, PairSpec, Repeat, Requirement, Role, Scenario, Standby,
    StoreOn, StoreSetting, Suite, Takeover, Wiring,
};
use crate::error::{Error, Result};
use crate::faults::Fault;
use loadgen::units::{parse_bytes, parse_duration, parse_size};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::{Spanned, Table};

/// Text with its name, for errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    fn error(&self, span: Option<Range<usize>>, reason: impl Into<String>) -> Error {
        let before = span.map_or("", |span| &self.text[..span.start.min(self.text.len())]);
        let line = before.matches('\n').count() + 1;
        Error::Description { path: self.name.to_owned(), line, reason: reason.into() }
    }

    fn toml<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        toml::from_str(self.text).map_err(|error| self.error(error.span(), error.message()))
    }

    /// Whether the text describes a suite: it has keys that only suites have.
    pub(super) fn is_suite(&self) -> bool {
        let has = |table: Table| ["scenario", "stores", "trials", "matrix"].iter().any(|key| table.contains_key(*key));
        toml::from_str::<Table>(self.text).is_ok_and(has)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    name: String,
    explanation: String,
    #[serde(default)]
    takeover: Takeover,
    #[serde(default)]
    requires: Vec<Requirement>,
    #[serde(default)]
    pair: PairSpec,
    #[serde(default)]
    load: Option<Spanned<LoadSpec>>,
    #[serde(default)]
    fault: Vec<Spanned<Table>>,
    repeat: Option<Repeat>,
    #[serde(default)]
    expect: Expect,
}

/// The keys of a fault that are the same for all of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schedule {
    #[serde(default)]
    role: Role,
    at: Moment,
    heal: Option<Moment>,
    #[serde(default)]
    preparation: bool,
}

const SCHEDULE_KEYS: [&str; 4] = ["role", "at", "heal", "preparation"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuiteFile {
    name: String,
    explanation: String,
    stores: Option<Vec<StoreSetting>>,
    trials: Option<usize>,
    #[serde(default)]
    backlogs: Vec<Spanned<String>>,
    standbys: Option<Vec<Standby>>,
    #[serde(default)]
    load: Option<Spanned<LoadSpec>>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
    #[serde(default)]
    matrix: BTreeMap<String, Vec<String>>,
    scenario: Vec<EntryFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFile {
    name: Spanned<String>,
    trials: Option<usize>,
    backlogs: Option<Vec<Spanned<String>>>,
    standbys: Option<Vec<Standby>>,
    matrix: Option<BTreeMap<String, Vec<String>>>,
}

/// Reads a scenario.
pub(super) fn scenario(source: Source<'_>) -> Result<Scenario> {
    let file: ScenarioFile = source.toml()?;
    let faults = file.fault.into_iter().map(|table| fault(source, table, &file.pair)).collect::<Result<Vec<_>>>()?;
    if !faults.iter().any(|fault| !fault.preparation) {
        return Err(source.error(None, "no [[fault]]: a scenario needs at least one that is no preparation"));
    }
    Ok(Scenario {
        name: file.name,
        explanation: file.explanation.trim().to_owned(),
        takeover: file.takeover,
        requires: requirements(file.requires, &file.pair),
        pair: file.pair,
        load: checked(source, file.load)?,
        faults,
        repeat: file.repeat,
        expect: file.expect,
    })
}

/// What the file asks for, and what its pair needs.
fn requirements(mut requires: Vec<Requirement>, pair: &PairSpec) -> Vec<Requirement> {
    let is_on_hosts = [pair.link, pair.clients].contains(&Wiring::Namespaces);
    requires.extend((pair.store_on == StoreOn::SharedDisk).then_some(Requirement::Disk));
    requires.extend(is_on_hosts.then_some(Requirement::Network));
    requires.sort_unstable();
    requires.dedup();
    requires
}

fn fault(source: Source<'_>, table: Spanned<Table>, pair: &PairSpec) -> Result<FaultSpec> {
    let span = table.span();
    let (schedule, own): (Table, Table) =
        table.into_inner().into_iter().partition(|(key, _)| SCHEDULE_KEYS.contains(&key.as_str()));
    let wrong = |error: toml::de::Error| source.error(Some(span.clone()), format!("[[fault]]: {}", error.message()));
    let Schedule { role, at, heal, preparation } = Schedule::deserialize(schedule).map_err(wrong)?;
    let misplaced =
        |key: &str, reason: String| source.error(Some(span.clone()), format!("[[fault]]: {key}.after: {reason}"));
    at.after.check(After::BEGINNINGS).map_err(|reason| misplaced("at", reason))?;
    if let Some(heal) = &heal {
        heal.after.check(After::ENDS).map_err(|reason| misplaced("heal", reason))?;
    }
    let unfit = |reason: String| source.error(Some(span.clone()), format!("[[fault]]: {reason}"));
    let name = own.get("do").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    let fault = Fault::from_table(own).map_err(unfit)?;
    let words = |reason| unfit(format!("do = \"{name}\": {reason}"));
    fault.check(role, pair).map_err(words)?;
    Ok(FaultSpec { fault, role, at, heal, preparation })
}

/// Values with units are read once here, so that what follows can rely on them.
fn checked(source: Source<'_>, load: Option<Spanned<LoadSpec>>) -> Result<LoadSpec> {
    let Some(load) = load else { return Ok(LoadSpec::default()) };
    let span = load.span();
    let load = load.into_inner();
    let wrong = |reason: String| source.error(Some(span.clone()), format!("[load]: {reason}"));
    let times = [
        &load.idle_timeout,
        &load.connect_timeout,
        &load.warmup,
        &load.steady,
        &load.recovery_limit,
        &load.latency_limit,
        &load.drain_limit,
    ];
    for time in times.into_iter().flatten() {
        parse_duration(time).map_err(|error| wrong(error.to_string()))?;
    }
    if let Some(size) = &load.size {
        parse_bytes(size).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(load)
}

/// Reads a suite; `find` knows the scenarios.
pub(super) fn suite(source: Source<'_>, find: impl Fn(&str) -> Result<Scenario>) -> Result<Suite> {
    let file: SuiteFile = source.toml()?;
    let sizes = |list: &[Spanned<String>]| {
        let size = |text: &Spanned<String>| {
            parse_size(text.get_ref()).map_err(|error| source.error(Some(text.span()), format!("backlogs: {error}")))
        };
        list.iter().map(size).collect::<Result<Vec<u64>>>()
    };
    let mut entries = Vec::new();
    for entry in &file.scenario {
        let found = find(entry.name.get_ref());
        let scenario = found.map_err(|error| match error {
            Error::Usage(reason) => source.error(Some(entry.name.span()), reason),
            other => other,
        })?;
        let meant = Entry {
            scenario,
            trials: entry.trials.or(file.trials).unwrap_or(1),
            backlogs: sizes(entry.backlogs.as_ref().unwrap_or(&file.backlogs))?,
            standbys: entry.standbys.clone().or(file.standbys.clone()).unwrap_or(Standby::ALL.to_vec()),
            matrix: entry.matrix.clone().unwrap_or(file.matrix.clone()),
        };
        if entries.iter().any(|other: &Entry| other.is_same_row(&meant)) {
            let words = format!("scenario `{}` is listed twice; give it more trials instead", meant.scenario.name);
            return Err(source.error(Some(entry.name.span()), words));
        }
        entries.push(meant);
    }
    check_settings(source, &file.settings, &entries)?;
    Ok(Suite {
        name: file.name,
        explanation: file.explanation.trim().to_owned(),
        stores: file.stores.unwrap_or(StoreSetting::ALL.to_vec()),
        load: checked(source, file.load)?,
        settings: file.settings,
        entries,
    })
}

/// The two settings that this program itself reckons with must be times.
fn check_settings(source: Source<'_>, settings: &BTreeMap<String, String>, entries: &[Entry]) -> Result<()> {
    let varied = entries.iter().flat_map(|entry| &entry.matrix);
    let all = settings.iter().map(|(name, value)| (name, std::slice::from_ref(value)));
    for (name, values) in all.chain(varied.map(|(name, values)| (name, values.as_slice()))) {
        for value in values.iter().filter(|_| crate::plan::PairPlan::TIMES.contains(&name.as_str())) {
            value.parse::<Amount>().map_err(|error| source.error(None, format!("{name}: {error}")))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILL: &str = "name = \"x\"\nexplanation = \"y\"\n[[fault]]\ndo = \"kill\"\nat = { after = \"warm-up\" }\n";

    fn refused(text: &str, words: &[&str]) {
        let error = scenario(Source { name: "x.toml", text }).expect_err(text).to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }

    #[test]
    fn a_scenario_is_read_with_its_defaults() {
        let read = scenario(Source { name: "x.toml", text: KILL }).expect("it is valid");
        assert_eq!(
            (read.takeover, read.faults[0].role, read.faults[0].heal.clone()),
            (Takeover::Expected, Role::Active, None)
        );
    }

    #[test]
    fn an_error_names_file_line_key_and_what_would_be_right() {
        refused(&KILL.replace("explanation", "explanatoin"), &["x.toml:2: ", "explanatoin", "`explanation`"]);
        refused(&KILL.replace("do = \"kill\"", "do = \"kil\""), &["x.toml:3: ", "`kil`", "kill"]);
        refused(&format!("{KILL}amount = \"1s\"\n"), &["x.toml:3: ", "`amount`"]);
        refused(&format!("{KILL}whenever = 1\n"), &["x.toml:3: ", "`whenever`"]);
        refused(&KILL.replace("warm-up", "soon"), &["x.toml:3: ", "`soon`", "takeover"]);
        refused(&format!("{KILL}[load]\nwarmup = \"long\"\n"), &["x.toml:6: ", "`long`"]);
        refused("name = \"x\"\nexplanation = \"y\"\n", &["x.toml:1: ", "[[fault]]"]);
        refused(&KILL.replace("warm-up", "exit"), &["x.toml:3: ", "at.after", "warm-up"]);
        refused(&format!("{KILL}heal = {{ after = \"healed\" }}\n"), &["x.toml:3: ", "heal.after", "exit"]);
        refused("name = ", &["x.toml:1: "]);
    }

    #[test]
    fn a_fault_that_its_pair_or_role_does_not_allow_is_refused() {
        let with =
            |pair: &str, fault: &str| format!("{}{fault}\n[pair]\n{pair}\n", KILL.replace("do = \"kill\"\n", ""));
        refused(&with("", "do = \"cut\""), &["x.toml:3: ", "cut", "link or clients = \"proxied\" in [pair]"]);
        refused(&with("link = \"proxied\"", "do = \"reset\"\nrole = \"clients\""), &["clients = \"proxied\""]);
        refused(&with("clients = \"proxied\"", "do = \"delay-heartbeats\"\namount = \"1s\""), &["link = \"proxied\""]);
        refused(&with("link = \"namespaces\"", "do = \"stall\""), &["namespaces", "`cut` only"]);
        refused(&with("", "do = \"disk\"\nkind = \"hang\""), &["x.toml:3: ", "store_on = \"shared-disk\""]);
        refused(&with("", "do = \"kill\"\nrole = \"link\""), &["role = \"link\"", "standby"]);
        for (pair, fault) in [
            ("link = \"proxied\"", "do = \"cut\""),
            ("link = \"namespaces\"", "do = \"cut\""),
            ("store_on = \"shared-disk\"", "do = \"disk\"\nkind = \"hang\""),
        ] {
            scenario(Source { name: "x.toml", text: &with(pair, fault) }).expect(fault);
        }
    }

    #[test]
    fn a_suite_that_names_no_scenarios_is_still_read_as_a_suite() {
        let is_suite = |text| Source { name: "x.toml", text }.is_suite();
        assert!(is_suite("name = \"s\"\ntrials = 1\n[[run]]\nname = \"x\"\n"));
        assert!(is_suite("[[scenario]]\nname = \"x\"\n"));
        assert!(!is_suite(KILL) && !is_suite("name = "));
    }

    #[test]
    fn what_the_pair_needs_is_required_without_being_asked_for() {
        let read =
            |more: &str| scenario(Source { name: "x.toml", text: &format!("{KILL}{more}") }).expect(more).requires;
        assert_eq!(read(""), []);
        let both = "[pair]\nstore_on = \"shared-disk\"\nclients = \"namespaces\"\n";
        assert_eq!(read(both), [Requirement::Disk, Requirement::Network]);
    }

    #[test]
    fn a_suite_names_scenarios_that_exist() {
        let find = |name: &str| match name {
            "x" => scenario(Source { name: "x.toml", text: KILL }),
            _ => Err(Error::Usage(format!("no scenario {name}"))),
        };
        let text = "name = \"s\"\nexplanation = \"e\"\nbacklogs = [\"1MiB\"]\n[[scenario]]\nname = \"x\"\ntrials = 3\n";
        let read = suite(Source { name: "s.toml", text }, find).expect("it is valid");
        assert_eq!((read.entries[0].trials, read.entries[0].backlogs.as_slice()), (3, [1_u64 << 20].as_slice()));
        let twice = format!("{text}[[scenario]]\nname = \"x\"\n");
        let error = suite(Source { name: "s.toml", text: &twice }, find).expect_err("x has two rows").to_string();
        assert!(error.contains("s.toml:8: scenario `x` is listed twice"), "{error}");
        let text = text.replace("\"x\"", "\"z\"");
        let error = suite(Source { name: "s.toml", text: &text }, find).expect_err("no z").to_string();
        assert!(error.contains("s.toml:5: no scenario z"), "{error}");
        let text = "name = \"s\"\nexplanation = \"e\"\nsettings = { ft_heartbeat = \"soon\" }\nscenario = []\n";
        assert!(suite(Source { name: "s.toml", text }, find).is_err());
    }
}
