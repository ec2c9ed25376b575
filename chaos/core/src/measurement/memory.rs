//! The memory of a lone broker above a queue that does not fit into `max_msg_memory`, and what it costs to drain it from the disk
//! rather than from memory.

use super::processors::Division;
use super::result::{Draft, Unit};
use super::site::{Site, payload_bytes};
use crate::backlog::demand_room;
use crate::error::Result;
use crate::faults::process;
use crate::report::count;
use crate::result::Verdict;
use crate::scenario::size;
use serde_json::{Map, Value};
use std::time::Duration;

/// `max_msg_memory` of the broker under test, MiB; the broker's MB are binary.
const MEMORY_MIB: u64 = 256;
/// What the broker may need beside the bodies, bytes for each message.
const MESSAGE_BYTES_MAX: u64 = 100;
/// A turn of the broker's loop, while which nothing else is served, should take so long at most, us, at the 99.9th percentile.
const PAUSE_P99_9_US: f64 = 1000.0;
/// What the broker calls that.
const PAUSE: &str = "loop_pause_us_p99_9";
/// The administration answers within this time.
const ADMINISTRATION_LIMIT: Duration = Duration::from_secs(5);

const PEAK: &str = "peak memory (VmHWM) when filled";
const PEAK_DRAINED: &str = "peak memory (VmHWM) when drained";
const FILL: &str = "fill rate";
const DRAIN: &str = "drain rate";

/// A bound of the memory for bodies.
struct Bound {
    subject: String,
    mib: u64,
}

pub(super) async fn run(site: &Site<'_>, draft: &mut Draft) -> Result<()> {
    let messages = site.request.messages;
    let bodies_bytes = messages * payload_bytes() as u64;
    draft.set("messages", count(messages));
    draft.set("body of each", size(payload_bytes() as u64));
    let small = Bound { subject: format!("max_msg_memory = {MEMORY_MIB}MB"), mib: MEMORY_MIB };
    let large = Bound { subject: "everything in memory".to_owned(), mib: ((2 * bodies_bytes) >> 20).max(1024) };
    draft.set(&large.subject, format!("max_msg_memory = {}MB", large.mib));
    let division = Division::of_this_machine();
    draft.set(
        "processors",
        division.map_or("one for all".to_owned(), |division| {
            format!("the broker on {}, the load generator on the others", division.broker())
        }),
    );
    let available_bytes = available_bytes();
    let has_room = available_bytes > bodies_bytes + bodies_bytes / 2;
    if !has_room {
        let words =
            format!("only {} of memory are free: not measured with everything in memory", size(available_bytes));
        draft.lower(Verdict::Skipped, words);
    }
    for round in 1..=site.request.rounds {
        for bound in [Some(&small), has_room.then_some(&large)].into_iter().flatten() {
            site.progress.begin(&bound.subject);
            measure(site, draft, bound, division).await?;
            let last = |name| draft.values(name, &bound.subject).last().copied().unwrap_or(0.0);
            site.progress.end_step(&format!(
                "  {round}/{}  {:<24}  peak {}, filled at {}, drained at {}",
                site.request.rounds,
                bound.subject,
                Unit::Bytes.words(last(PEAK)),
                Unit::PerSecond.words(last(FILL)),
                Unit::PerSecond.words(last(DRAIN))
            ));
        }
    }
    conclude(draft, messages, &small.subject, &large.subject);
    Ok(())
}

async fn measure(site: &Site<'_>, draft: &mut Draft, bound: &Bound, division: Option<Division>) -> Result<()> {
    let (subject, messages) = (bound.subject.as_str(), site.request.messages);
    let mut settings = vec![("max_msg_memory".to_owned(), format!("{}MB", bound.mib))];
    settings.extend(division.map(|division| ("processor_ids".to_owned(), division.broker().to_string())));
    let pair = site.start(&site.request.broker, settings).await?;
    let pid = site.active_pid(&pair)?;
    demand_room(pair.folder(), messages * payload_bytes() as u64)?;
    // Not before the broker is started: its processes would inherit it.
    let kept_off = division.and_then(|division| division.keep_off());
    let (ledger, fill_s) = site.queue(&pair).fill(messages).await?;
    draft.record(FILL, subject, Unit::PerSecond, messages as f64 / fill_s.max(1e-6));
    draft.record(PEAK, subject, Unit::Bytes, process::peak_memory_bytes(pid).unwrap_or(0) as f64);
    let url = crate::backlog::urls(&pair).swap_remove(0);
    let asked = serde_json::json!({ "command": "show state", "args": {} });
    let state = loadgen::admin::request(&url, "admin", "", &asked, ADMINISTRATION_LIMIT).await?;
    for (name, value) in pauses(&state) {
        draft.record(&name, subject, Unit::Reported, value);
    }
    let drained = site.queue(&pair).drain(ledger.run, messages).await?;
    draft.record(DRAIN, subject, Unit::PerSecond, messages as f64 / drained.seconds.max(1e-6));
    draft.record(PEAK_DRAINED, subject, Unit::Bytes, process::peak_memory_bytes(pid).unwrap_or(0) as f64);
    drop(kept_off);
    site.judge(draft, ledger, drained);
    Ok(())
}

fn conclude(draft: &mut Draft, messages: u64, small: &str, large: &str) {
    let limit_bytes = (MEMORY_MIB << 20) + MESSAGE_BYTES_MAX * messages;
    let peak_bytes = draft.values(PEAK, small).iter().copied().fold(0.0, f64::max);
    let words = format!(
        "peak memory with {small}: at most {}, and {} ({MEMORY_MIB} MiB and {MESSAGE_BYTES_MAX} bytes a message) are wanted",
        Unit::Bytes.words(peak_bytes),
        Unit::Bytes.words(limit_bytes as f64)
    );
    draft.demand_of_many(messages, words, peak_bytes > 0.0 && peak_bytes <= limit_bytes as f64);
    if let (Some(from_disk), Some(from_memory)) = (draft.median(DRAIN, small), draft.median(DRAIN, large)) {
        draft.find(format!(
            "drained with {small} at {}, with {large} at {} (medians): {:.2} of it",
            Unit::PerSecond.words(from_disk),
            Unit::PerSecond.words(from_memory),
            from_disk / from_memory
        ));
    }
    for subject in [small, large] {
        if let Some(pause_us) = draft.median(PAUSE, subject) {
            draft.find(format!(
                "99.9 % of the turns of the loop took at most {pause_us:.0} us while it was filled with {subject} (median; {PAUSE_P99_9_US:.0} us are wanted)"
            ));
        }
    }
    if !draft.has_reports() {
        draft.note("this broker reports no pauses of its loop in show state");
    }
}

/// Every number of the state whose name, or the name of what it is in, speaks of a pause.
fn pauses(state: &Value) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    if let Some(fields) = state.as_object() {
        gather(fields, "", &mut found);
    }
    found
}

fn gather(fields: &Map<String, Value>, within: &str, found: &mut Vec<(String, f64)>) {
    for (name, value) in fields {
        let name = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
        match (value, value.as_f64()) {
            (Value::Object(inner), _) => gather(inner, &name, found),
            (_, Some(number)) if name.contains("pause") => found.push((name, number)),
            _ => {}
        }
    }
}

/// Memory that can be had without swapping.
fn available_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: Option<u64> = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok());
    kib.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_found_wherever_they_are_reported() {
        let state = serde_json::json!({
            "ok": true,
            "result": { "epoch": 3, "pause_us_max": 40, "loop_pause": { "p50_us": 2, "p99_us": 9.5, "unit": "us" } },
        });
        let mut found = pauses(&state);
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let expected =
            [("result.loop_pause.p50_us", 2.0), ("result.loop_pause.p99_us", 9.5), ("result.pause_us_max", 40.0)];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn the_worst_peak_decides() {
        let judged = |peaks: [f64; 2]| {
            let mut draft = Draft::default();
            for peak in peaks {
                draft.record(PEAK, "small", Unit::Bytes, peak);
            }
            conclude(&mut draft, 1_000_000, "small", "large");
            draft.met()
        };
        assert_eq!(judged([1e8, 3.6e8]), [Some(true)]);
        assert_eq!(judged([1e8, 3.7e8]), [Some(false)]);
        assert_eq!(judged([0.0, 0.0]), [Some(false)]);
    }

    #[test]
    fn this_machine_has_free_memory() {
        assert!(available_bytes() > 1 << 20);
    }
}
