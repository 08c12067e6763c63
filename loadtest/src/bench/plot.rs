//! Plots as inline SVG: bars and lines with axes and units, coloured by the page's style sheet. Values that are not
//! numbers are left out; without data, with one value or with only zeroes there is a plot too. Knows no measurement.

use std::fmt::Write as _;

use super::page::escape;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
const LEGEND_ROW: f64 = 16.0;
/// About how many ticks an axis gets.
const TICKS: f64 = 5.0;
/// Colours and dashes of the style sheet.
const STYLES: usize = 4;
/// Width of a letter in pixels, a generous estimate: text cannot be measured here.
const LETTER: f64 = 6.8;
const BAR_ROW: f64 = 34.0;

/// One line and its name.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// One bar, with the least and the greatest value of its repeats.
#[derive(Clone, Debug, Default)]
pub(super) struct Bar {
    pub name: String,
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// From 0 (or from the least value, if asked for) to a round number above the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>, from_zero: bool) -> Self {
        let finite: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let most = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = finite.iter().copied().fold(f64::INFINITY, f64::min);
        let low = if from_zero || finite.is_empty() { least.min(0.0) } else { least };
        let low = if low.is_finite() { low } else { 0.0 };
        let most = if most.is_finite() && most > low { most } else { low + 1.0 };
        let rough = (most - low) / TICKS;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
        let step = step.filter(|step| step.is_finite() && *step > 0.0).unwrap_or(rough);
        Self { low: (low / step).floor() * step, high: (most / step).ceil() * step, step }
    }

    /// The position of a value, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let place = (value - self.low) / (self.high - self.low);
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    fn ticks(&self) -> Vec<f64> {
        let count = ((self.high - self.low) / self.step).round();
        // At most twice the aim; a bound in case the arithmetic fails for very large numbers.
        let count = if count.is_finite() { count.clamp(1.0, TICKS * 2.0) } else { 1.0 };
        (0..=count as u32).map(|number| self.low + f64::from(number) * self.step).collect()
    }
}

/// A number for an axis: short, with a letter for thousands and millions.
pub(super) fn short(value: f64) -> String {
    let trim = |text: String| {
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
        if text == "-0" { "0".to_owned() } else { text }
    };
    match value.abs() {
        size if size >= 1e9 => trim(format!("{:.2}", value / 1e9)) + " G",
        size if size >= 1e6 => trim(format!("{:.2}", value / 1e6)) + " M",
        size if size >= 1e4 => trim(format!("{:.1}", value / 1e3)) + " k",
        size if size >= 10.0 => trim(format!("{value:.1}")),
        _ => trim(format!("{value:.3}")),
    }
}

/// Lines over an axis. The labels of the axes contain their units.
pub(super) fn lines(title: &str, x_label: &str, y_label: &str, lines: &[Line]) -> String {
    let finite = |line: &Line| -> Vec<(f64, f64)> {
        line.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
    };
    let drawn: Vec<_> = lines.iter().map(finite).collect();
    let xs = Scale::over(drawn.iter().flatten().map(|(x, _)| *x), false);
    let ys = Scale::over(drawn.iter().flatten().map(|(_, y)| *y), true);
    let rows = legend_rows(lines);
    let height = HEIGHT + rows.len() as f64 * LEGEND_ROW;
    let mut svg = open(title, height);
    axes(&mut svg, (xs, x_label), (ys, y_label));
    for (number, points) in drawn.iter().enumerate() {
        let style = number % STYLES;
        let at: Vec<_> = points.iter().map(|(x, y)| (x_of(xs.place(*x)), y_of(ys.place(*y)))).collect();
        let list: Vec<_> = at.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(svg, "<polyline class=\"line c{style}\" points=\"{}\"/>", list.join(" "));
        // A single value makes no line; few values get a marker each.
        if at.len() <= 20 {
            at.iter().for_each(|(x, y)| {
                let _ = write!(svg, "<circle class=\"dot c{style}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"/>");
            });
        }
    }
    if drawn.iter().all(Vec::is_empty) {
        nothing(&mut svg, HEIGHT);
    }
    legend(&mut svg, &rows);
    svg + "</svg>"
}

/// Horizontal bars, one above the other, with a whisker from the least to the greatest value.
pub(super) fn bars(title: &str, label: &str, bars: &[Bar]) -> String {
    let bars: Vec<_> = bars.iter().filter(|bar| bar.value.is_finite()).cloned().collect();
    let scale = Scale::over(bars.iter().flat_map(|bar| [bar.value, bar.high, bar.low]), true);
    draw_bars(title, label, &bars, scale, |tick| tick)
}

/// As [`bars`], on a logarithmic axis, for values that differ much; only values above 0 can be shown.
pub(super) fn bars_by_tens(title: &str, label: &str, bars: &[Bar]) -> String {
    let log = |bar: &Bar| Bar {
        name: format!("{}: {}", bar.name, short(bar.value)),
        value: bar.value.log10(),
        low: bar.low.log10(),
        high: bar.high.log10(),
    };
    let bars: Vec<_> = bars.iter().filter(|bar| bar.value.is_finite() && bar.value > 0.0).map(log).collect();
    let most = bars.iter().map(|bar| bar.value.max(bar.high)).filter(|value| value.is_finite()).fold(1.0, f64::max);
    let least = bars.iter().map(|bar| bar.value.min(bar.low)).filter(|value| value.is_finite()).fold(most, f64::min);
    let low = (least - 0.5).floor();
    let scale = Scale { low, high: most.ceil().max(low + 1.0), step: 1.0 };
    draw_bars(title, label, &bars, scale, |tick| 10_f64.powf(tick))
}

fn draw_bars(title: &str, label: &str, bars: &[Bar], scale: Scale, told: impl Fn(f64) -> f64) -> String {
    let plot = bars.len().max(1) as f64 * BAR_ROW;
    let height = TOP + plot + BOTTOM;
    let mut svg = open(title, height);
    let (left, right) = (12.0, WIDTH - 24.0);
    let x = |value: f64| left + scale.place(value) * (right - left);
    for tick in scale.ticks() {
        let (at, end) = (x(tick), TOP + plot);
        let _ = write!(svg, "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{end:.1}\"/>");
        let _ =
            write!(svg, "<text class=\"tick mid\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>", end + 13.0, short(told(tick)));
    }
    for (number, bar) in bars.iter().enumerate() {
        let top = TOP + number as f64 * BAR_ROW;
        let (start, end) = (x(0.0_f64.max(scale.low)), x(bar.value));
        let (from, length) = (start.min(end), (end - start).abs().max(1.0));
        // Bars on the logarithmic axis have their value in their name.
        let text = if told(0.0) == 0.0 { format!("{}: {}", bar.name, short(bar.value)) } else { bar.name.clone() };
        let _ = write!(svg, "<text class=\"tick\" x=\"{left}\" y=\"{:.1}\">{}</text>", top + 12.0, escape(&text));
        let _ = write!(
            svg,
            "<rect class=\"bar c{}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"11\"/>",
            number % STYLES,
            top + 17.0
        );
        if bar.high > bar.low {
            let (low, high, middle) = (x(bar.low), x(bar.high), top + 22.5);
            let _ = write!(
                svg,
                "<path class=\"whisker\" d=\"M{low:.1} {middle}H{high:.1}M{low:.1} {0}v8M{high:.1} {0}v8\"/>",
                middle - 4.0
            );
        }
    }
    if bars.is_empty() {
        nothing(&mut svg, height);
    }
    let _ = write!(
        svg,
        "<text class=\"label mid\" x=\"{:.1}\" y=\"{:.1}\">{}</text></svg>",
        WIDTH / 2.0,
        height - 8.0,
        escape(label)
    );
    svg
}

fn open(title: &str, height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{0}\"><title>{0}</title>", escape(title))
}

fn nothing(svg: &mut String, height: f64) {
    let (x, y) = (WIDTH / 2.0, height / 2.0);
    let _ = write!(svg, "<text class=\"label mid\" x=\"{x}\" y=\"{y}\">nothing was measured</text>");
}

fn x_of(place: f64) -> f64 {
    LEFT + place * (WIDTH - LEFT - RIGHT)
}

fn y_of(place: f64) -> f64 {
    HEIGHT - BOTTOM - place * (HEIGHT - BOTTOM - TOP)
}

fn axes(svg: &mut String, x: (Scale, &str), y: (Scale, &str)) {
    for tick in y.0.ticks() {
        let at = y_of(y.0.place(tick));
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\"/>",
            WIDTH - RIGHT
        );
        let text = short(tick);
        let _ = write!(svg, "<text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>", LEFT - 5.0, at + 3.5);
    }
    for tick in x.0.ticks() {
        let (at, text) = (x_of(x.0.place(tick)), short(tick));
        let _ = write!(svg, "<text class=\"tick mid\" x=\"{at:.1}\" y=\"{:.1}\">{text}</text>", HEIGHT - BOTTOM + 14.0);
    }
    let middle = (HEIGHT - BOTTOM + TOP) / 2.0;
    let _ = write!(
        svg,
        "<text class=\"label mid\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        x_of(0.5),
        HEIGHT - 8.0,
        escape(x.1)
    );
    let _ = write!(
        svg,
        "<text class=\"label mid\" transform=\"translate(12 {middle:.1}) rotate(-90)\">{}</text>",
        escape(y.1)
    );
}

/// The legend: names of the lines with their numbers, as many in a row as fit.
fn legend_rows(lines: &[Line]) -> Vec<Vec<(usize, &str, f64)>> {
    let mut rows: Vec<Vec<(usize, &str, f64)>> = Vec::new();
    let mut at = f64::INFINITY;
    for (number, line) in lines.iter().enumerate() {
        let width = 34.0 + line.name.chars().count() as f64 * LETTER;
        if at + width > WIDTH {
            rows.push(Vec::new());
            at = LEFT;
        }
        if let Some(row) = rows.last_mut() {
            row.push((number, &line.name, at));
        }
        at += width;
    }
    rows
}

fn legend(svg: &mut String, rows: &[Vec<(usize, &str, f64)>]) {
    for (row, names) in rows.iter().enumerate() {
        let y = HEIGHT + row as f64 * LEGEND_ROW + 8.0;
        for (number, name, x) in names {
            let (style, end) = (number % STYLES, x + 16.0);
            let _ = write!(svg, "<line class=\"line c{style}\" x1=\"{x:.1}\" y1=\"{y}\" x2=\"{end:.1}\" y2=\"{y}\"/>");
            let _ =
                write!(svg, "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 20.0, y + 3.5, escape(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(values: &[f64], from_zero: bool) -> (f64, f64, f64) {
        let Scale { low, high, step } = Scale::over(values.iter().copied(), from_zero);
        (low, high, step)
    }

    #[test]
    fn scales_are_round_and_hold_everything() {
        assert_eq!(scale(&[3.0, 97.0], true), (0.0, 100.0, 20.0));
        assert_eq!(scale(&[1.0, 2.0, 4.0], false), (1.0, 4.0, 1.0));
        assert_eq!(scale(&[], true), (0.0, 1.0, 0.2));
        assert_eq!(scale(&[0.0], true), (0.0, 1.0, 0.2));
        assert_eq!(scale(&[f64::NAN, f64::INFINITY], true), (0.0, 1.0, 0.2));
        assert_eq!(scale(&[42.0], true), (0.0, 50.0, 10.0));
        for values in [&[5.0, 5.0][..], &[-3.0, 8.0], &[1e-9], &[1e300, 1.0], &[f64::MAX], &[7.0]] {
            for from_zero in [true, false] {
                let scale = Scale::over(values.iter().copied(), from_zero);
                assert!(scale.ticks().len() >= 2 && scale.ticks().len() <= 11, "{values:?}: {scale:?}");
                assert!(values.iter().all(|value| (0.0..=1.0).contains(&scale.place(*value))), "{values:?}");
            }
        }
        assert_eq!(Scale::over([1.0].into_iter(), true).place(f64::NAN), 0.0);
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.25, 7.0, 12.5, 1_500.0, 20_000.0, 1_250_000.0, 3e9, -0.0].map(short);
        assert_eq!(shown, ["0", "0.25", "7", "12.5", "1500", "20 k", "1.25 M", "3 G", "0"]);
    }

    /// Checks that a plot is complete and contains no NaN.
    fn check(svg: &str, holds: &[&str]) {
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(holds.iter().all(|text| svg.contains(text)), "{holds:?} in {svg}");
    }

    #[test]
    fn lines_of_nothing_of_one_value_and_of_no_numbers() {
        let line = |points: &[(f64, f64)]| [Line { name: "a <b>".to_owned(), points: points.to_vec() }];
        check(&lines("t", "s", "msg/s", &[]), &["nothing was measured", "msg/s"]);
        check(&lines("t", "s", "msg/s", &line(&[])), &["nothing was measured", "a &lt;b&gt;"]);
        check(&lines("t", "s", "msg/s", &line(&[(1.0, 5.0)])), &["<circle"]);
        check(&lines("t", "s", "msg/s", &line(&[(0.0, f64::NAN), (1.0, f64::INFINITY)])), &["nothing was measured"]);
        check(
            &lines("t & u", "s", "msg/s", &line(&[(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)])),
            &["t &amp; u", "polyline"],
        );
        let many = vec![line(&[(1.0, 1.0)])[0].clone(); 40];
        check(&lines("t", "s", "msg/s", &many), &["c3"]);
    }

    #[test]
    fn bars_of_nothing_and_with_whiskers() {
        check(&bars("t", "msg/s", &[]), &["nothing was measured", "msg/s"]);
        let bar = |value: f64, low: f64, high: f64| Bar { name: "x".to_owned(), value, low, high };
        check(&bars("t", "msg/s", &[bar(f64::NAN, 0.0, 1.0)]), &["nothing was measured"]);
        check(&bars("t", "msg/s", &[bar(5.0, 4.0, 6.0), bar(0.0, 0.0, 0.0)]), &["whisker", "x: 5"]);
        check(&bars("t", "msg/s", &[bar(5.0, f64::NAN, f64::NAN)]), &["rect"]);
        check(&bars_by_tens("t", "msg/s", &[]), &["nothing was measured"]);
        check(&bars_by_tens("t", "msg/s", &[bar(0.0, 0.0, 0.0), bar(-1.0, 0.0, 0.0)]), &["nothing was measured"]);
        let far = [bar(500.0, 400.0, 600.0), bar(2e7, 0.0, 3e7)];
        check(&bars_by_tens("t", "msg/s", &far), &["x: 500", "x: 20 M", "100 M", "whisker"]);
    }
}
