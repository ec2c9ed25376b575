//! Colours, sizes and small drawing helpers that all plots share.
//!
//! plotters writes fixed colours; each is replaced by a CSS variable with that colour as its fallback, so that a plot follows the
//! reader's light or dark setting inside the page and as a file of its own.

use crate::error::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A plot, or a part of it, while it is drawn.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// plotters has a different error type for each backend and coordinate; all become words.
pub(super) type Drawn = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A colour with its name and its value on a dark ground.
#[derive(Clone, Copy, Debug)]
pub(super) struct Colour {
    light: RGBColor,
    variable: &'static str,
    dark: &'static str,
}

const fn colour(red: u8, green: u8, blue: u8, variable: &'static str, dark: &'static str) -> Colour {
    Colour { light: RGBColor(red, green, blue), variable, dark }
}

// Series colours after Okabe and Ito, which differ in lightness too, so that readers who see few colours can tell them apart.
pub(super) const INK: Colour = colour(0x1b, 0x1f, 0x24, "--ink", "#e6e9ed");
pub(super) const MUTED: Colour = colour(0x5c, 0x65, 0x70, "--muted", "#a3adb8");
pub(super) const GRID: Colour = colour(0xdd, 0xe2, 0xe7, "--grid", "#333b44");
pub(super) const PAPER: Colour = colour(0xff, 0xff, 0xfe, "--paper", "#14181d");
pub(super) const BLUE: Colour = colour(0x00, 0x72, 0xb2, "--blue", "#5db2ec");
pub(super) const ORANGE: Colour = colour(0xe6, 0x9f, 0x04, "--orange", "#f0b73c");
pub(super) const GREEN: Colour = colour(0x00, 0x8f, 0x68, "--green", "#34c79b");
pub(super) const VERMILION: Colour = colour(0xd5, 0x5e, 0x04, "--vermilion", "#ff8a47");
pub(super) const PURPLE: Colour = colour(0xa6, 0x4d, 0x9a, "--purple", "#da8fcf");

const COLOURS: [Colour; 9] = [INK, MUTED, GRID, PAPER, BLUE, ORANGE, GREEN, VERMILION, PURPLE];

impl Colour {
    /// As a solid colour.
    pub(super) fn solid(self) -> RGBColor {
        self.light
    }

    /// Mixed with what is below it.
    pub(super) fn faint(self, alpha: f64) -> RGBAColor {
        self.light.mix(alpha)
    }

    fn hex(self) -> String {
        hex_of(self.light)
    }
}

/// As plotters writes it.
fn hex_of(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// How a line is broken. plotters can only draw each dash as a line of its own, which would make a page of megabytes; so a dashed
/// line gets a shade that differs by one or two steps of blue, and `draw` turns that shade into the attribute of SVG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dash {
    Long,
    Short,
}

impl Dash {
    const ALL: [Self; 2] = [Self::Long, Self::Short];

    fn shade(self, colour: Colour) -> RGBColor {
        let RGBColor(red, green, blue) = colour.light;
        match self {
            Self::Long => RGBColor(red, green, blue - 1),
            Self::Short => RGBColor(red, green, blue - 2),
        }
    }

    fn pattern(self) -> &'static str {
        match self {
            Self::Long => "7 4",
            Self::Short => "2 3",
        }
    }
}

/// The variables for a `:root` of the light theme, and for one of the dark theme.
pub(super) fn css_variables() -> String {
    let list = |value: fn(&Colour) -> String| {
        COLOURS.iter().map(|one| format!("{}:{}", one.variable, value(one))).collect::<Vec<_>>().join(";")
    };
    let (light, dark) = (list(|one| one.hex()), list(|one| one.dark.to_owned()));
    format!(":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}")
}

/// For whom a plot is drawn. Each is drawn twice: scaled down to a telephone, the letters of a wide one could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// A desk.
    Wide,
    /// A telephone.
    Narrow,
}

impl Width {
    /// Both.
    pub(super) const BOTH: [Self; 2] = [Self::Wide, Self::Narrow];

    /// Width of a plot, px.
    pub(super) fn px(self) -> u32 {
        match self {
            Self::Wide => 1080,
            Self::Narrow => 350,
        }
    }

    /// The class that shows or hides it.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Narrow => "narrow",
        }
    }

    /// Height of a line of letters, px; plotters makes the letters themselves smaller by a quarter.
    pub(super) fn font_px(self) -> u32 {
        match self {
            Self::Wide => 17,
            Self::Narrow => 15,
        }
    }

    /// The larger of two numbers for a desk, the smaller for a telephone.
    pub(super) fn pick<T>(self, wide: T, narrow: T) -> T {
        match self {
            Self::Wide => wide,
            Self::Narrow => narrow,
        }
    }
}

/// Draws one plot and returns its SVG for the page: no ground, no style of its own.
pub(super) fn draw(
    name: &str,
    label: &str,
    width: Width,
    height: u32,
    paint: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String> {
    let mut svg = String::new();
    // A dash is written as a shade of its colour; see `Dash`.
    let painted = {
        let area = SVGBackend::with_string(&mut svg, (width.px(), height)).into_drawing_area();
        paint(&area).and_then(|()| area.present().map_err(Into::into))
    };
    painted.map_err(|error| Error::Plot { name: name.to_owned(), reason: error.to_string() })?;
    for colour in COLOURS {
        let hex = colour.hex();
        let variable = format!("\"var({},{hex})\"", colour.variable);
        for dash in Dash::ALL {
            let dashed = format!("stroke={variable} stroke-dasharray=\"{}\"", dash.pattern());
            svg = svg.replace(&format!("stroke=\"{}\"", hex_of(dash.shade(colour))), &dashed);
        }
        svg = svg.replace(&format!("\"{hex}\""), &variable);
    }
    // What all letters of a plot have in common is said once: there are hundreds of plots on a page.
    let font = format!(" font-family=\"sans-serif\" font-size=\"{}\"", f64::from(width.font_px()) / 1.24);
    let svg = svg.replace(&font, "").replace(" opacity=\"1\"", "").replace(" \"/>", "\"/>");
    let attributes = format!("<svg role=\"img\" aria-label=\"{}\"{font} ", super::html::escape(label));
    Ok(svg.replacen("<svg ", &attributes, 1))
}

/// The plot inside of the page, whose style has every colour.
pub(super) fn inline(svg: &str) -> String {
    let mut svg = svg.to_owned();
    for colour in COLOURS {
        svg = svg.replace(&format!("var({},{})", colour.variable, colour.hex()), &format!("var({})", colour.variable));
    }
    svg
}

/// The same plot as a file: with ground and style.
pub(super) fn standalone(svg: &str) -> String {
    let style = format!(
        "<style>{}</style><rect width=\"100%\" height=\"100%\" fill=\"var({},#FFFFFF)\"/>",
        css_variables(),
        PAPER.variable
    );
    match svg.split_once('>') {
        Some((head, rest)) => format!("{head}>{style}{rest}"),
        None => svg.to_owned(),
    }
}

/// Letters of the plot's size.
pub(super) fn text(width: Width, colour: Colour) -> TextStyle<'static> {
    ("sans-serif", width.font_px()).into_font().color(&colour.solid())
}

/// Letters that are placed by another point than their upper left corner.
pub(super) fn anchored(width: Width, colour: Colour, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    text(width, colour).pos(Pos::new(horizontal, vertical))
}

/// How a series is drawn: colour and dash, so that neither alone must tell them apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) colour: Colour,
    pub(super) dash: Option<Dash>,
    pub(super) stroke_px: u32,
}

impl Line {
    pub(super) const fn solid(colour: Colour) -> Self {
        Self { colour, dash: None, stroke_px: 2 }
    }

    pub(super) const fn dashed(colour: Colour, dash: Dash) -> Self {
        Self { colour, dash: Some(dash), stroke_px: 2 }
    }

    fn style(self) -> ShapeStyle {
        let shade = self.dash.map_or(self.colour.light, |dash| dash.shade(self.colour));
        shade.stroke_width(self.stroke_px)
    }
}

/// Draws points of a plot as a line in pixels; a single point becomes a dot.
pub(super) fn stroke(area: &Area<'_>, points: &[(i32, i32)], line: Line) -> Drawn {
    match points {
        [] => {}
        [only] => area.draw(&Circle::new(*only, 2, line.colour.solid().filled()))?,
        points => area.draw(&PathElement::new(points.to_vec(), line.style()))?,
    }
    Ok(())
}

/// A row of line samples with their names, wrapped where the width ends; returns its height.
pub(super) fn legend(
    area: &Area<'_>,
    width: Width,
    left: i32,
    items: &[(&str, Line)],
) -> std::result::Result<i32, Box<dyn std::error::Error + Send + Sync>> {
    let row = width.font_px() as i32 + 8;
    let (mut x, mut y) = (left, row / 2);
    for (name, line) in items {
        let length = 30 + text_px(width, name) + 16;
        if x > left && x + length > width.px() as i32 {
            (x, y) = (left, y + row);
        }
        stroke(area, &[(x, y), (x + 24, y)], *line)?;
        area.draw(&Text::new((*name).to_owned(), (x + 30, y), anchored(width, INK, HPos::Left, VPos::Center)))?;
        x += length;
    }
    Ok(y + row / 2)
}

/// The height of a legend, px, before anything is drawn.
pub(super) fn legend_px(width: Width, left: i32, items: &[(&str, Line)]) -> i32 {
    let (row, mut x, mut rows) = (width.font_px() as i32 + 8, left, 1);
    for (name, _) in items {
        let length = 30 + text_px(width, name) + 16;
        if x > left && x + length > width.px() as i32 {
            (x, rows) = (left, rows + 1);
        }
        x += length;
    }
    rows * row
}

/// An estimate of a text's length: the letters of common sans-serif faces are a little more than half as wide as they are high.
pub(super) fn text_px(width: Width, text: &str) -> i32 {
    (text.chars().count() as f64 * f64::from(width.font_px()) * 0.46).ceil() as i32
}

/// The text, shortened from its middle where it is longer than `room_px`.
pub(super) fn fitted(width: Width, text: &str, room_px: i32) -> String {
    if text_px(width, text) <= room_px {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let kept = (f64::from(room_px) / (f64::from(width.font_px()) * 0.46)) as usize;
    let (head, tail) = (kept.saturating_sub(2).div_ceil(2), kept.saturating_sub(2) / 2);
    let part = |range: &[char]| range.iter().collect::<String>();
    format!("{}..{}", part(&letters[..head.min(letters.len())]), part(&letters[letters.len().saturating_sub(tail)..]))
}

/// An axis: from a value to a pixel, with its marks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    from_px: i32,
    to_px: i32,
    logarithmic: bool,
}

impl Axis {
    /// Evenly divided.
    pub(super) fn linear(values: std::ops::Range<f64>, from_px: i32, to_px: i32) -> Self {
        let to = if values.end > values.start { values.end } else { values.start + 1.0 };
        Self { from: values.start, to, from_px, to_px, logarithmic: false }
    }

    /// By powers; the range is widened to a positive one.
    pub(super) fn logarithmic(values: std::ops::Range<f64>, from_px: i32, to_px: i32) -> Self {
        let from = values.start.max(1e-3);
        Self { from, to: values.end.max(from * 10.0), from_px, to_px, logarithmic: true }
    }

    /// Whether a value lies within the axis.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.from..=self.to).contains(&value)
    }

    /// The pixel of a value, kept within the axis.
    pub(super) fn px(&self, value: f64) -> i32 {
        let share = if self.logarithmic {
            (value.max(self.from) / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        self.from_px + (share.clamp(0.0, 1.0) * f64::from(self.to_px - self.from_px)).round() as i32
    }

    /// Values for marks: steps of 1, 2 or 5 times a power of ten, at most `count`; decades on a logarithmic axis, with 2 and 5 between
    /// them when there are few.
    pub(super) fn marks(&self, count: usize) -> Vec<f64> {
        if !self.logarithmic {
            let rough = (self.to - self.from) / count.max(1) as f64;
            let power = 10f64.powf(rough.log10().floor());
            let step =
                [1.0, 2.0, 5.0, 10.0].into_iter().map(|one| one * power).find(|&step| step >= rough).unwrap_or(rough);
            let first = (self.from / step).ceil() as i64;
            return (first..)
                .map(|index| index as f64 * step)
                .take_while(|&value| value <= self.to + step * 1e-9)
                .collect();
        }
        let decades = self.from.log10().floor() as i32..=self.to.log10().ceil() as i32;
        let within = |value: &f64| (self.from..=self.to).contains(value);
        let all = |parts: &[f64]| -> Vec<f64> {
            decades
                .clone()
                .flat_map(|decade| parts.iter().map(move |part| part * 10f64.powi(decade)))
                .filter(within)
                .collect()
        };
        let fine = all(&[1.0, 2.0, 5.0]);
        if fine.len() <= count { fine } else { all(&[1.0]) }
    }
}

/// Milliseconds as a mark: `0.1 ms`, `20 ms`, `1 s`.
pub(super) fn ms_mark(ms: f64) -> String {
    if ms.abs() >= 1000.0 { format!("{} s", trimmed(ms / 1000.0)) } else { format!("{} ms", trimmed(ms)) }
}

/// At most three decimals, without trailing zeros.
pub(crate) fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Thousands as `20k`.
pub(super) fn count_mark(count: f64) -> String {
    if count.abs() >= 1000.0 { format!("{}k", trimmed(count / 1000.0)) } else { trimmed(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_within_the_axis() {
        assert_eq!(Axis::linear(-2.4..2.3, 0, 100).marks(6), [-2.0, -1.0, 0.0, 1.0, 2.0]);
        assert_eq!(Axis::linear(0.0..0.9, 0, 100).marks(4), [0.0, 0.5]);
        assert_eq!(Axis::logarithmic(0.4..300.0, 0, 100).marks(4), [1.0, 10.0, 100.0]);
        assert_eq!(Axis::logarithmic(20.0..250.0, 0, 100).marks(6), [20.0, 50.0, 100.0, 200.0]);
    }

    #[test]
    fn pixels_are_kept_within_the_axis_and_a_flat_range_is_no_division_by_zero() {
        let axis = Axis::logarithmic(1.0..100.0, 200, 0);
        assert_eq!([1.0, 10.0, 100.0, 1e9, 0.0].map(|value| axis.px(value)), [200, 100, 0, 0, 200]);
        assert_eq!(Axis::linear(5.0..5.0, 0, 100).px(5.0), 0);
    }

    #[test]
    fn marks_carry_units() {
        assert_eq!([0.1, 20.0, 1000.0, 2500.0].map(ms_mark), ["0.1 ms", "20 ms", "1 s", "2.5 s"]);
        assert_eq!([0.0, 500.0, 20_000.0].map(count_mark), ["0", "500", "20k"]);
        assert_eq!(trimmed(-0.0001), "0");
    }

    #[test]
    fn colours_become_variables_and_a_file_has_its_own_style() {
        let svg = draw("test", "a <test>", Width::Wide, 40, |area| {
            legend(area, Width::Wide, 0, &[("p50", Line::solid(BLUE))])?;
            Ok(())
        })
        .expect("it can be drawn");
        assert!(svg.contains("var(--blue,#0072B2)") && svg.contains("aria-label=\"a &lt;test&gt;\""), "{svg}");
        assert!(!svg.contains("\"#0072B2\""));
        let file = standalone(&svg);
        assert!(file.contains("<style>:root{--ink:#1B1F24") && file.contains("prefers-color-scheme:dark"), "{file}");
    }
}
