//! How long each client was not served: its windows of unavailability around a fault, of one client and of all together.
//!
//! A window is the largest gap between two neighbouring confirms (or deliveries) of one client that overlaps the fault, less the gap that
//! was usual for that client before it (99th percentile): what no fault explains is not the fault's.

use crate::clock::ms_between;
use crate::statistics::nearest_rank;
use serde::{Deserialize, Serialize};

/// The windows of all clients of one kind, milliseconds; absent where no client was seen often enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Windows {
    /// Of the client that was hit hardest.
    pub worst_client: Option<f64>,
    /// Which one that is, by its number.
    pub worst_client_number: Option<u32>,
    /// How long at least one client was not served.
    pub any_client: Option<f64>,
    /// How long none of them was served; 0 where they took turns.
    pub all_clients: Option<f64>,
    /// Clients that were seen before and after the fault, out of all.
    pub clients_seen: u32,
}

/// One client's window: from and to, nanoseconds.
type Window = (u64, u64);

/// The windows of clients whose confirms (or deliveries) came at these times, around a fault from `from_ns` to `to_ns`.
pub fn windows(clients: &[Vec<u64>], from_ns: u64, to_ns: u64) -> Windows {
    let mut found: Vec<(u32, Window)> = Vec::new();
    for (number, times_ns) in clients.iter().enumerate() {
        let mut times_ns = times_ns.clone();
        times_ns.sort_unstable();
        found.extend(window(&times_ns, from_ns, to_ns).map(|window| (number as u32, window)));
    }
    let length_ms = |(begin, end): Window| ms_between(begin, end);
    let worst = found.iter().max_by(|a, b| length_ms(a.1).total_cmp(&length_ms(b.1)));
    let all: Vec<Window> = found.iter().map(|(_, window)| *window).collect();
    Windows {
        worst_client: worst.map(|(_, window)| length_ms(*window)),
        worst_client_number: worst.map(|(number, _)| *number),
        any_client: union_ms(&all),
        all_clients: (all.len() == clients.len()).then(|| intersection_ms(&all)).flatten(),
        clients_seen: all.len() as u32,
    }
}

/// The largest gap that overlaps the fault, shortened at its begin by the usual gap. `None` without a gap around the fault.
fn window(times_ns: &[u64], from_ns: u64, to_ns: u64) -> Option<Window> {
    let gaps = times_ns.windows(2).filter(|pair| pair[1] > from_ns && pair[0] < to_ns);
    let largest = gaps.max_by_key(|pair| pair[1] - pair[0])?;
    let begin = largest[0].saturating_add(usual_gap_ns(times_ns, from_ns)).min(largest[1]);
    Some((begin, largest[1]))
}

fn usual_gap_ns(times_ns: &[u64], before_ns: u64) -> u64 {
    let mut gaps: Vec<u64> =
        times_ns.windows(2).filter(|pair| pair[1] <= before_ns).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_unstable();
    if gaps.is_empty() { 0 } else { gaps[nearest_rank(gaps.len(), 0.99) - 1] }
}

fn union_ms(windows: &[Window]) -> Option<f64> {
    let mut sorted = windows.to_vec();
    sorted.sort_unstable();
    let mut covered_until = sorted.first()?.0;
    let mut total = 0.0;
    for (begin, end) in sorted {
        if end > covered_until {
            total += ms_between(begin.max(covered_until), end);
            covered_until = end;
        }
    }
    Some(total)
}

fn intersection_ms(windows: &[Window]) -> Option<f64> {
    let begin = windows.iter().map(|window| window.0).max()?;
    let end = windows.iter().map(|window| window.1).min()?;
    Some(ms_between(begin, end.max(begin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A client that is served each 10 ms, and not between these times.
    fn client(gap_from_ms: u64, gap_to_ms: u64) -> Vec<u64> {
        (0..100).map(|index| index * 10).filter(|at| *at <= gap_from_ms || *at >= gap_to_ms).map(|at| at * MS).collect()
    }

    #[test]
    fn the_usual_gap_is_not_the_faults() {
        let windows = windows(&[client(500, 700)], 505 * MS, 690 * MS);
        assert_eq!(
            (windows.worst_client, windows.any_client, windows.all_clients),
            (Some(190.0), Some(190.0), Some(190.0))
        );
        assert_eq!(windows.clients_seen, 1);
    }

    #[test]
    fn the_worst_client_the_union_and_the_intersection() {
        let found = windows(&[client(500, 600), client(550, 750), client(500, 510)], 501 * MS, 740 * MS);
        assert_eq!((found.worst_client, found.worst_client_number), (Some(190.0), Some(1)));
        // 510 to 600, 560 to 750: together 240 ms. The third was served all the time.
        assert_eq!((found.any_client, found.all_clients), (Some(240.0), Some(0.0)));
    }

    #[test]
    fn a_client_that_did_not_come_back_has_no_end() {
        let gone: Vec<u64> = (0..50).map(|index| index * 10 * MS).collect();
        let found = windows(&[gone, client(500, 600)], 505 * MS, 590 * MS);
        assert_eq!((found.clients_seen, found.worst_client, found.all_clients), (1, Some(90.0), None));
        assert_eq!(windows(&[], 0, 1), Windows::default());
    }

    #[test]
    fn a_gap_elsewhere_is_not_the_faults() {
        let found = windows(&[client(200, 400)], 505 * MS, 590 * MS);
        assert_eq!(found.worst_client, Some(0.0));
    }
}
