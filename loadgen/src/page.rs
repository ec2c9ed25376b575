//! Owns the page of a run for a browser: the summary and the pictures in one file without any network. It measures nothing.

use crate::plots::{self, PlotError};
use crate::report::{Report, describe};

const STYLE: &str = "body{font:15px/1.5 sans-serif;margin:2em auto;max-width:1120px;color:#222}pre{background:#f6f6f6;padding:1em;\
overflow-x:auto}svg{max-width:100%;height:auto}.pass{color:#007a5a}.violated{color:#b33}.unknown{color:#8a6100}";

/// The page of `report`.
///
/// # Errors
/// A picture could not be drawn.
pub fn of_run(report: &Report<'_>) -> Result<String, PlotError> {
    let pictures = [
        plots::latency_over_time(report.series)?,
        plots::rates_over_time(report.series)?,
        plots::percentile_curve(report.series)?,
    ];
    let verdict = report.verdict.verdict.to_string();
    let title = format!("loadgen: {}", escape(&describe(report.options)));
    let summary = escape(&report.text());
    Ok(document(
        &title,
        &format!("<p class=\"{verdict}\">Verdict: <b>{verdict}</b></p>\n<pre>{summary}</pre>"),
        &pictures,
    ))
}

/// A page with a title, some content and pictures below it.
pub(crate) fn document(title: &str, content: &str, pictures: &[String]) -> String {
    let pictures = pictures.join("\n");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>\n\
         <body><h1>{title}</h1>\n{content}\n{pictures}\n</body></html>\n"
    )
}

/// Text that may hold anything, as text of a page.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_becomes_markup() {
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
        let page = document("t", "<p>c</p>", &["<svg></svg>".to_owned()]);
        assert!(page.contains("<svg></svg>") && !page.contains("http"), "{page}");
    }
}
