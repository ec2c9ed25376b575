//! The text format of Prometheus, version 0.0.4: HELP and TYPE lines, samples, labels.
//!
//! Owns the form and no metric.

use store::Histogram;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bounds, a sum and a number.
    Histogram,
}

impl Kind {
    /// The word of the format.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// The samples of one metric, as they are written.
#[derive(Debug)]
pub(crate) struct Samples<'p> {
    page: &'p mut String,
    name: &'p str,
}

impl<'p> Samples<'p> {
    /// Begins a metric.
    pub(crate) fn begin(page: &'p mut String, name: &'p str, kind: Kind, help: &str) -> Samples<'p> {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        page.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.word()));
        Samples { page, name }
    }

    /// A whole number.
    pub(crate) fn number(&mut self, labels: &[(&str, &str)], value: u64) {
        self.line("", labels, None, &value.to_string());
    }

    /// Nanoseconds, written as seconds.
    pub(crate) fn seconds(&mut self, labels: &[(&str, &str)], nanos: u64) {
        self.line("", labels, None, &scaled(nanos, NANOS));
    }

    /// A histogram whose values are nanoseconds ([`NANOS`]) or have the unit of the metric (1).
    pub(crate) fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram, scale: f64) {
        for (bound, count) in histogram.cumulative() {
            self.line("_bucket", labels, Some(&scaled(bound, scale)), &count.to_string());
        }
        let count = histogram.count().to_string();
        self.line("_bucket", labels, Some("+Inf"), &count);
        self.line("_sum", labels, None, &scaled(histogram.sum(), scale));
        self.line("_count", labels, None, &count);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: &str) {
        self.page.push_str(self.name);
        self.page.push_str(suffix);
        let mut opening = '{';
        for (name, value) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            self.page.push(opening);
            opening = ',';
            self.page.push_str(name);
            self.page.push_str("=\"");
            self.page.extend(value.chars().flat_map(escaped));
            self.page.push('"');
        }
        if opening == ',' {
            self.page.push('}');
        }
        self.page.push(' ');
        self.page.push_str(value);
        self.page.push('\n');
    }
}

/// Values in nanoseconds become seconds.
pub(crate) const NANOS: f64 = 1e9;

fn scaled(value: u64, scale: f64) -> String {
    (value as f64 / scale).to_string()
}

/// A character of a label's value: names of queues are clients' words.
fn escaped(letter: char) -> impl Iterator<Item = char> {
    let (slash, letter) = match letter {
        '\\' | '"' => (Some('\\'), letter),
        '\n' => (Some('\\'), 'n'),
        _ => (None, letter),
    };
    slash.into_iter().chain([letter])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_the_form_of_the_format() {
        let mut page = String::new();
        let mut samples = Samples::begin(&mut page, "a_total", Kind::Counter, "Help\nwith a \\.");
        samples.number(&[], 3);
        samples.number(&[("queue", "a \"b\" \\ c\n"), ("store", "")], u64::MAX);
        samples.seconds(&[], 1_500_000_000);
        let expected = "# HELP a_total Help\\nwith a \\\\.\n# TYPE a_total counter\na_total 3\n\
                        a_total{queue=\"a \\\"b\\\" \\\\ c\\n\",store=\"\"} 18446744073709551615\na_total 1.5\n";
        assert_eq!(page, expected);
    }

    #[test]
    fn a_histogram_ends_with_infinity_sum_and_count() {
        let mut histogram = Histogram::new(&[50_000, 1_000_000]);
        histogram.record(50_000);
        histogram.record(2_000_000);
        let mut page = String::new();
        Samples::begin(&mut page, "h", Kind::Histogram, "H.").histogram(&[("s", "x")], &histogram, NANOS);
        let expected = "# HELP h H.\n# TYPE h histogram\nh_bucket{s=\"x\",le=\"0.00005\"} 1\nh_bucket{s=\"x\",le=\"0.001\"} 1\n\
                        h_bucket{s=\"x\",le=\"+Inf\"} 2\nh_sum{s=\"x\"} 0.00205\nh_count{s=\"x\"} 2\n";
        assert_eq!(page, expected);
    }
}
