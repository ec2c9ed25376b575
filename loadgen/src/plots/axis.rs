//! Owns what stands beside the axes: numbers with units, short enough for their place.

/// A latency in milliseconds, with the unit that keeps it short.
pub(super) fn format_latency_ms(value_ms: f64) -> String {
    let (value, unit) = match value_ms {
        value if value < 0.9995 => (value * 1e3, "us"),
        value if value < 999.5 => (value, "ms"),
        value => (value / 1e3, "s"),
    };
    format!("{} {unit}", short(value))
}

/// Seconds without trailing zeros.
pub(super) fn format_seconds(value_s: f64) -> String {
    short(value_s)
}

/// A count, with k and M.
pub(super) fn format_count(value: f64) -> String {
    match value {
        value if value < 9_999.5 => short(value),
        value if value < 999_950.0 => format!("{}k", short(value / 1e3)),
        value => format!("{}M", short(value / 1e6)),
    }
}

/// A number of nines as a percentile: 0 is the minimum, 1 is 90 %, 2 is 99 %.
pub(super) fn format_nines(nines: f64) -> String {
    let percent = 100.0 * (1.0 - 10_f64.powf(-nines));
    let digits = (nines.ceil() - 2.0).clamp(0.0, 8.0) as usize;
    format!("{percent:.digits$} %")
}

fn short(value: f64) -> String {
    let digits = if value.abs() >= 99.95 { 0 } else { 2 };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_and_have_their_unit() {
        assert_eq!(
            [0.001, 0.25, 1.0, 12.5, 999.0, 1_000.0, 90_000.0].map(format_latency_ms),
            ["1 us", "250 us", "1 ms", "12.5 ms", "999 ms", "1 s", "90 s"]
        );
        assert_eq!([0.0, 500.0, 9_999.0, 20_000.0, 1_500_000.0].map(format_count), ["0", "500", "9999", "20k", "1.5M"]);
        assert_eq!([0.0, 1.0, 2.0, 3.0, 5.0].map(format_nines), ["0 %", "90 %", "99 %", "99.9 %", "99.999 %"]);
        assert_eq!(format_seconds(2.5), "2.5");
    }
}
