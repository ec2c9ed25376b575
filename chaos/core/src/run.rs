//! A whole run: from the options to the exit code.

use crate::cleanup;
use crate::clock;
use crate::cluster::Launcher;
use crate::error::{AtPath, Doing, Error, Result};
use crate::machine::Machine;
use crate::measurement::{self, Broker, MeasurementResult, MeasuringSuite};
use crate::options::{self, Command, Options, ReplayOptions, RunOptions};
use crate::plan::{self, LoadPlan, Plan, Request};
use crate::progress::Progress;
use crate::replay::PLAN_FILE;
use crate::result::{self, RunResult, TargetSeen, Verdict};
use crate::scenario::{Library, StoreSetting, Suite};
use crate::sequence::{self, Played};
use crate::targets::{self, Target};
use crate::{checks, compare, environment, listing, report, shrink, trial};
use clap::Parser;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// The command line makes no sense.
const EXIT_CODE_USAGE: i32 = 254;
/// The harness itself failed.
const EXIT_CODE_INTERNAL: i32 = 255;

/// Runs the command line `arguments`, program name first, and returns the exit code.
pub fn main(arguments: Vec<OsString>) -> i32 {
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            // Nothing can be done about a terminal that does not take the message.
            let _ = error.print();
            return if error.use_stderr() { EXIT_CODE_USAGE } else { 0 };
        }
    };
    cleanup::sweep_on_panic(EXIT_CODE_INTERNAL);
    let done = match options.command {
        None => run(options::QUICK, &options.run),
        Some(Command::Run { suite, options }) => run(&suite, &options),
        Some(Command::Replay { path, trial, options }) => replay(&path, trial, &options),
        Some(Command::List) => {
            print!("{}", listing::list(&Machine::look()));
            Ok(0)
        }
        Some(Command::Report { folder }) => rebuild(&folder),
        Some(Command::Compare(options)) => compare::main(&options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("chaos: {error}");
        match error {
            Error::Usage(_) | Error::Description { .. } | Error::Target { .. } => EXIT_CODE_USAGE,
            error => error.verdict().map_or(EXIT_CODE_INTERNAL, Verdict::exit_code),
        }
    })
}

fn rebuild(folder: &Path) -> Result<i32> {
    let verdict = match MeasurementResult::read(folder)? {
        Some(result) => {
            report::build_measurement(folder, &result)?;
            result.verdict
        }
        None => report::build(folder)?.verdict,
    };
    println!("{}", folder.join(report::HTML_FILE).display());
    Ok(verdict.exit_code())
}

/// What a run was asked to do, checked.
struct Setting {
    plan: Plan,
    out: PathBuf,
    broker: Broker,
    command: String,
    machine: Machine,
    keep: bool,
    replays: u32,
    target: Option<Arc<Target>>,
    shrink: u32,
}

fn run(name: &str, options: &RunOptions) -> Result<i32> {
    if let Some(suite) = MeasuringSuite::named(name) {
        return measure(suite, options);
    }
    let suite = Library::find(name)?;
    check(&suite.name, None, options)?;
    play(&prepare(name, suite, options)?)
}

/// Runs a plan as it was decided before; the machine's timing is another one.
fn replay(path: &Path, trial: Option<usize>, options: &ReplayOptions) -> Result<i32> {
    let plan = crate::replay::plan(path, trial)?;
    let broker = broker("--broker", options.broker.as_deref())?;
    let out = result_folder(options.out.as_deref())?;
    let mut command = format!("cargo run --release -p chaos -- replay {}", path.display());
    for (name, value) in [
        ("--trial", trial.map(|number| number.to_string())),
        ("--broker", options.broker.as_ref().map(|path| path.display().to_string())),
        ("--target", options.target.as_ref().map(|path| path.display().to_string())),
    ] {
        command += &value.map_or_else(String::new, |value| format!(" {name} {value}"));
    }
    let ReplayOptions { keep, replays, shrink, .. } = *options;
    let target = options.target.as_deref().map(targets::read).transpose()?.map(Arc::new);
    let setting = Setting { plan, out, broker, command, machine: Machine::look(), keep, replays, target, shrink };
    write_json(&setting.out.join(PLAN_FILE), &setting.plan)?;
    play(&setting)
}

fn play(setting: &Setting) -> Result<i32> {
    print_plan(setting);
    let result = block_on(run_trials(setting))?;
    result.write(&setting.out)?;
    report::build(&setting.out)?;
    print!("{}", report::terminal_table(&result));
    if let Some(shrunk) = &result.shrunk {
        println!("\n{}", shrunk.sentence());
    }
    println!("\nreport: {}", setting.out.join(report::HTML_FILE).display());
    Ok(result.verdict.exit_code())
}

fn measure(suite: MeasuringSuite, options: &RunOptions) -> Result<i32> {
    check(suite.name(), Some(suite), options)?;
    let request = request(suite, options)?;
    let store_parent = store_parent(options.keep, &request.out)?;
    println!("{}: {}; {} rounds, seed {}", suite.name(), suite.explanation(), request.rounds, request.seed);
    let result = block_on(measurement::run(&request, &store_parent))?;
    result.write(&request.out)?;
    report::build_measurement(&request.out, &result)?;
    print!("{}", report::measurement_table(&result));
    println!("\nreport: {}", request.out.join(report::HTML_FILE).display());
    Ok(result.verdict.exit_code())
}

/// Runs to the end, or until somebody asks for another one; whatever exists then goes.
fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing("start the runtime")?;
    // The nodes are started by this future, on the main thread, whose end would end them.
    let result = runtime.block_on(async {
        tokio::select! {
            // In this order: before the handlers stand, a signal would end the process and leave its folders behind.
            biased;
            signal = interrupted() => Err(Error::Interrupted(signal)),
            result = future => result,
        }
    });
    result.inspect_err(|_| cleanup::sweep())
}

/// An option that would have no effect is a mistake.
fn check(name: &str, measures: Option<MeasuringSuite>, options: &RunOptions) -> Result<()> {
    let steady = measures == Some(MeasuringSuite::Steady);
    let is_measurement = measures.is_some();
    let has_messages = measures.is_some_and(|suite| suite.messages() > 0);
    let misplaced = [
        ("--only", is_measurement && !options.only.is_empty()),
        ("--replays", is_measurement && options.replays != options::REPLAYS),
        ("--backlog", is_measurement && !options.backlog.is_empty()),
        ("--duration", is_measurement && options.duration.is_some()),
        ("--require", is_measurement && !options.require.is_empty()),
        ("--standby", is_measurement && !steady && options.standby.is_some()),
        ("--rate", is_measurement && !steady && options.rate.is_some()),
        ("--messages", !has_messages && options.messages.is_some()),
        ("--against", !steady && options.against.is_some()),
        ("--target", is_measurement && options.target.is_some()),
    ];
    if let Some((option, _)) = misplaced.iter().find(|(_, is_misplaced)| *is_misplaced) {
        return Err(Error::Usage(format!("{option} means nothing to suite {name}; see chaos list")));
    }
    if is_measurement && options.store.len() > 1 {
        return Err(Error::Usage(format!("--store: suite {name} takes one store setting")));
    }
    Ok(())
}

fn request(suite: MeasuringSuite, options: &RunOptions) -> Result<measurement::Request> {
    let standby = measurement::Request::standby_of(options.standby)
        .ok_or_else(|| Error::Usage("--standby both: one of them, or none, runs beside the broker".to_owned()))?;
    if suite == MeasuringSuite::Steady && options.against.is_none() {
        return Err(Error::Usage("steady compares two brokers: name the other one with --against PATH".to_owned()));
    }
    let seed = seed(options);
    Ok(measurement::Request {
        suite,
        seed,
        rounds: options.trials.map_or(suite.rounds(), usize::from),
        broker: broker("--broker", options.broker.as_deref())?,
        against: options.against.as_deref().map(|path| broker("--against", Some(path))).transpose()?,
        messages: options.messages.unwrap_or(suite.messages()),
        rate_per_s: options.rate.unwrap_or(suite.rate_per_s()),
        store: options.store.first().copied().unwrap_or(StoreSetting::Sync),
        standby,
        keep: options.keep,
        out: result_folder(options.out.as_deref())?,
        command: command_line(suite.name(), seed, options),
    })
}

fn seed(options: &RunOptions) -> u64 {
    options.seed.unwrap_or_else(|| clock::now_ns() / 1000 % 1_000_000_000)
}

/// The broker's program that `option` names, or the broker that is linked into this program.
fn broker(option: &str, path: Option<&Path>) -> Result<Broker> {
    if let Some(path) = path.filter(|path| !path.is_file()) {
        return Err(Error::Usage(format!("{option} {}: there is no such program", path.display())));
    }
    let harness = std::env::current_exe().doing("find this program")?;
    let program = path.map(std::path::absolute).transpose().doing("find the broker's program")?;
    let words =
        program.as_ref().map_or_else(|| "linked into this program".to_owned(), |path| path.display().to_string());
    Ok(Broker { launcher: Launcher::new(harness, program), words })
}

/// Where the folders of the nodes are made.
fn store_parent(keep: bool, out: &Path) -> Result<PathBuf> {
    let parent = if keep { out.join("nodes") } else { std::env::temp_dir() };
    std::fs::create_dir_all(&parent).at(&parent)?;
    Ok(parent)
}

/// Ctrl-C, or the end that a supervisor asks for.
async fn interrupted() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            }
        }
        // Without handlers the signals end the process at once; the kernel then ends the nodes.
        _ => std::future::pending().await,
    }
}

fn prepare(name: &str, suite: Suite, options: &RunOptions) -> Result<Setting> {
    let seed = seed(options);
    let mut load = LoadPlan::default().with(&suite.load);
    load.rate_per_s = options.rate.unwrap_or(load.rate_per_s);
    let target = options.target.as_deref().map(targets::read).transpose()?.map(Arc::new);
    let mut plan = plan::expand(&Request {
        suite,
        seed,
        trials: options.trials.map(usize::from),
        only: options.only.clone(),
        stores: options.store.clone(),
        backlogs: options.backlog.clone(),
        standbys: options.standby.map_or_else(Vec::new, |choice| choice.kinds().to_vec()),
        load,
        duration: options.duration,
    });
    if plan.trials.is_empty() {
        let scenarios = options.only.join(",");
        return Err(Error::Usage(format!("--only {scenarios}: suite {name} has no trials of that; see chaos list")));
    }
    if let Some(target) = &target {
        plan.adapt_load(|load| target.load(load));
    }
    let machine = Machine::look();
    machine.demand(&options.require)?;
    let broker = broker("--broker", options.broker.as_deref())?;
    let out = result_folder(options.out.as_deref())?;
    let command = command_line(name, seed, options);
    let (keep, replays, shrink) = (options.keep, options.replays, options.shrink);
    let setting = Setting { broker, command, machine, keep, replays, shrink, plan, out, target };
    write_json(&setting.out.join(PLAN_FILE), &setting.plan)?;
    Ok(setting)
}

/// An absolute path, since the nodes' files may lie in it.
fn result_folder(out: Option<&Path>) -> Result<PathBuf> {
    let Some(out) = out else {
        let parent = std::env::temp_dir();
        return Ok(tempfile::Builder::new().prefix("chaos-").tempdir_in(&parent).at(&parent)?.keep());
    };
    std::fs::create_dir_all(out).at(out)?;
    if out.join(result::FILE).exists() {
        return Err(Error::Usage(format!("--out {}: it holds the result of an earlier run", out.display())));
    }
    std::path::absolute(out).at(out)
}

/// The options that repeat the plan.
fn command_line(suite: &str, seed: u64, options: &RunOptions) -> String {
    let mut line = format!("cargo run --release -p chaos -- run {suite} --seed {seed}");
    let joined = |names: Vec<&str>| names.join(",");
    if let Some(trials) = options.trials {
        line += &format!(" --trials {trials}");
    }
    if !options.only.is_empty() {
        line += &format!(" --only {}", options.only.join(","));
    }
    if !options.store.is_empty() {
        line += &format!(" --store {}", joined(options.store.iter().map(|one| one.name()).collect()));
    }
    if !options.backlog.is_empty() {
        line += &format!(" --backlog {}", options.backlog.iter().map(u64::to_string).collect::<Vec<_>>().join(","));
    }
    if let Some(standby) = options.standby {
        line += &format!(" --standby {}", standby.name());
    }
    if let Some(rate) = options.rate {
        line += &format!(" --rate {rate}");
    }
    if let Some(messages) = options.messages {
        line += &format!(" --messages {messages}");
    }
    if options.replays != options::REPLAYS {
        line += &format!(" --replays {}", options.replays);
    }
    if let Some(duration) = options.duration {
        line += &format!(" --duration {}ms", duration.as_millis());
    }
    if options.shrink != options::SHRINK {
        line += &format!(" --shrink {}", options.shrink);
    }
    for (name, path) in [("--broker", &options.broker), ("--against", &options.against), ("--target", &options.target)]
    {
        line += &path.as_ref().map_or_else(String::new, |path| format!(" {name} {}", path.display()));
    }
    line
}

fn print_plan(setting: &Setting) {
    let plan = &setting.plan;
    // Scenarios may have rates of their own.
    let rates: BTreeSet<u64> = plan.trials.iter().map(|trial| plan.load_of(trial).rate_per_s).collect();
    let rates: Vec<String> = rates.iter().map(u64::to_string).collect();
    println!(
        "{} trials, seed {}, {} messages/s of {} bytes from {} producers; plan in {}",
        plan.trials.len(),
        plan.seed,
        rates.join(" or "),
        plan.load.size_bytes,
        plan.load.producers,
        setting.out.join(PLAN_FILE).display()
    );
    for trial in &plan.trials {
        let phase_ms = trial.fault_phase_us as f64 / 1000.0;
        println!(
            "{:>3}  {:<22} {:<5}  fault {phase_ms:7.3} ms after the warm-up  seed {}",
            trial.number,
            trial.scenario,
            trial.cell().place(),
            trial.seed
        );
    }
}

async fn run_trials(setting: &Setting) -> Result<RunResult> {
    let (started, begin) = (clock::utc_now(), Instant::now());
    let store_parent = store_parent(setting.keep, &setting.out)?;
    let progress = Progress::start(setting.plan.trials.len());
    let context = trial::Context {
        plan: &setting.plan,
        launcher: &setting.broker.launcher,
        target: setting.target.as_ref(),
        machine: &setting.machine,
        out: &setting.out,
        store_parent: &store_parent,
        keep: setting.keep,
        progress: &progress,
    };
    let Played { trials, disturbed, stores } = sequence::play(&context, setting.replays).await?;
    let failing = shrink::worth_it(&setting.plan, &trials).filter(|_| setting.shrink > 0);
    let shrunk = match failing {
        Some(failing) => Some(shrink::shrink(&context, failing, setting.shrink).await?),
        None => None,
    };
    progress.finish();
    let verdicts = trials.iter().map(|trial| trial.verdict).chain(stores.iter().map(|store| store.verdict));
    let verdict = Verdict::of_all(verdicts);
    let summary = result::summarize(&trials);
    let broker = setting.target.as_ref().map_or(&setting.broker.words, |target| &target.name);
    Ok(RunResult {
        schema: result::SCHEMA.to_owned(),
        verdict,
        suite: setting.plan.suite.clone(),
        seed: setting.plan.seed,
        command: setting.command.clone(),
        started,
        duration_s: begin.elapsed().as_secs_f64(),
        environment: environment::look(broker, &store_parent),
        target: setting.target.as_deref().map(TargetSeen::of),
        load: setting.plan.load.clone(),
        pair: setting.plan.pair.clone(),
        async_bound: match setting.target.as_deref() {
            Some(target) => TargetSeen::of(target).in_words(),
            None => checks::async_bound_in_words(&setting.plan.pair),
        },
        async_loss_seen: trials.iter().any(|trial| trial.store == StoreSetting::Async && trial.messages.lost > 0),
        ratios: result::ratios(&summary),
        summary,
        stores,
        trials,
        disturbed,
        shrunk,
    })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|source| Error::Json { path: path.to_owned(), source })?;
    std::fs::write(path, text + "\n").at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn a_mistake_on_the_command_line_is_254_and_help_is_0() {
        assert_eq!(main(arguments("chaos run nothing")), EXIT_CODE_USAGE);
        assert_eq!(main(arguments("chaos run --broker /no/such/program")), EXIT_CODE_USAGE);
        for misplaced in [
            "pause --only kill-active",
            "startup --only kill-active",
            "memory --backlog 1GiB",
            "quick --messages 10",
            "steady --messages 10",
            "startup --standby hot",
            "startup --store sync,async",
            "steady",
            "steady --against /no/such/program",
            "steady --against /bin/sh --standby both",
            "quick --against /bin/sh",
        ] {
            assert_eq!(main(arguments(&format!("chaos run {misplaced}"))), EXIT_CODE_USAGE, "{misplaced}");
        }
        assert_eq!(main(arguments("chaos --help")), 0);
        assert_eq!(main(arguments("chaos list")), 0);
    }

    #[test]
    fn a_report_of_nothing_is_an_internal_error() {
        assert_eq!(main(arguments("chaos report /no/such/folder")), EXIT_CODE_INTERNAL);
    }

    #[test]
    fn the_command_line_repeats_the_plan() {
        let options = RunOptions {
            trials: Some(3),
            only: vec!["kill-active".to_owned(), "slow-sync".to_owned()],
            store: vec![StoreSetting::Sync],
            rate: Some(5000),
            backlog: vec![10 << 20, 1 << 30],
            standby: Some(crate::options::StandbyChoice::Hot),
            replays: 4,
            duration: Some(std::time::Duration::from_secs(90)),
            shrink: 7,
            ..RunOptions::default()
        };
        let line = command_line("quick", 7, &options);
        let (_, typed) = line.split_once("-- ").expect("it is run by cargo");
        let parsed = Options::try_parse_from(format!("chaos {typed}").split_whitespace()).expect("it is valid");
        let Some(Command::Run { options: again, .. }) = parsed.command else { panic!("it is a run") };
        assert_eq!((again.seed, again.trials, again.rate), (Some(7), options.trials, options.rate));
        assert_eq!((again.backlog, again.standby), (options.backlog, options.standby));
        assert_eq!(again.duration, options.duration);
        assert_eq!((again.only, again.store), (options.only, options.store));
    }

    #[test]
    fn a_folder_with_a_result_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(result_folder(Some(folder.path())).is_ok());
        std::fs::write(folder.path().join(result::FILE), "{}").expect("the folder is ours");
        assert!(matches!(result_folder(Some(folder.path())), Err(Error::Usage(_))));
    }
}
