//! The report: one self-contained HTML page without scripts and other files. Texts from outside (names of machines,
//! threads, files) are escaped wherever they are written.

use std::fmt::Write as _;

use super::plot::{self, Bar, Line};
use super::result::{BenchResult, Figure, Measurement};
use crate::run::figure::Unit;

/// Escapes a text for HTML, also for quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The whole page.
pub(super) fn page(result: &BenchResult) -> String {
    let title = format!("Stentor bench of {}", escape(&result.began));
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
         <style>{}</style></head><body>",
        include_str!("style.css")
    );
    header(&mut html, result);
    html.push_str("<main>");
    warnings(&mut html, result);
    limits(&mut html, result);
    result.measurements.iter().for_each(|measurement| section(&mut html, measurement));
    machine(&mut html, result);
    left_out(&mut html, result);
    html.push_str("</main>");
    let _ = write!(
        html,
        "<footer>Made by loadtest {}. Every figure is the median of its repeats, with the least and the most of them; the \
         values of each repeat are in the JSON beside this page.</footer></body></html>",
        escape(&result.subject.loadtest)
    );
    html
}

fn header(html: &mut String, result: &BenchResult) {
    let place = result.target.as_ref().map_or("this machine".to_owned(), |target| escape(target));
    let _ = write!(
        html,
        "<header><h1>Stentor bench</h1><p>{}, commit {}</p><p class=\"soft\">{} at {}, {} run of {:.0} s on {}</p>",
        escape(&result.subject.version),
        escape(&result.subject.commit),
        place,
        escape(&result.began),
        escape(&result.size),
        result.seconds,
        escape(&result.machine.cpu)
    );
    html.push_str("<div class=\"cards\">");
    let cards = [
        ("million", "end to end/s", "end to end, closed loop"),
        ("million", "accepted/s", "accepted, closed loop"),
        ("million", "request p99", "p99 of a request, closed loop"),
        ("single", "request p50", "one message on one connection, p50"),
        ("sweep", "highest rate kept/s", "highest rate kept, open loop"),
        ("million", "stentor CPU per message", "CPU of the daemon"),
        ("restart-kill", "ready again after", "ready again after kill -9"),
    ];
    for (measurement, figure, words) in cards {
        let found = result.find(measurement).and_then(|measurement| measurement.figure(figure));
        if let Some(figure) = found {
            let shown = figure.unit.show(figure.median);
            let _ = write!(html, "<div class=\"card\"><b>{}</b><span>{words}</span></div>", escape(&shown));
        }
    }
    html.push_str("</div></header>");
}

fn warnings(html: &mut String, result: &BenchResult) {
    let mut words = Vec::new();
    if result.subject.is_debug {
        words.push(
            "The daemon is a build without full optimisation: its figures say nothing about a release.".to_owned(),
        );
    }
    if result.machine.file_system.is_memory() {
        words.push("The data lay in memory: nothing here was durable.".to_owned());
    }
    if result.machine.load_before > result.machine.cpus as f64 / 4.0 {
        let load = result.machine.load_before;
        words.push(format!(
            "The machine was busy before it began: a load of {load:.2}. Figures are lower than on an idle one."
        ));
    }
    for measurement in &result.measurements {
        for broken in &measurement.broken {
            words.push(format!("{}: not so: {broken}", measurement.title));
        }
    }
    words.iter().for_each(|word| {
        let _ = write!(html, "<p class=\"note broken\">{}</p>", escape(word));
    });
}

fn limits(html: &mut String, result: &BenchResult) {
    if result.limits.is_empty() {
        return;
    }
    html.push_str("<section><h2>What the machine can do without Stentor</h2>");
    html.push_str(
        "<p class=\"soft\">The same bytes in the same run, on the same disk and CPUs. The share is that of Stentor's end to end \
         rate; beside a message at a time it is that of one caller who waits for each answer. Above 100 %: Stentor syncs more \
         messages at a time.</p>",
    );
    let rate = |measurement: &Measurement| measurement.figure("messages/s").cloned();
    let own = result.find("million").and_then(|million| million.figure("end to end/s")).cloned();
    let mut bars: Vec<_> = own.iter().map(|figure| bar("Stentor, end to end", figure)).collect();
    bars.extend(result.limits.iter().filter_map(|limit| rate(limit).map(|figure| bar(&limit.title, &figure))));
    let drawn = plot::bars_by_tens("Stentor beside the machine's limits", "msg/s, each step ten times the last", &bars);
    plots(html, &[("Messages a second", drawn)]);
    html.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Limits\"><table><thead><tr><th>limit</th>\
                   <th class=\"n\">messages/s</th><th class=\"n\">Stentor's share</th><th>what was done</th></tr></thead><tbody>");
    for limit in &result.limits {
        let shown = rate(limit).map_or("–".to_owned(), |figure| figure.unit.show(figure.median));
        let share = beside(result, limit).zip(rate(limit)).filter(|(_, limit)| limit.median > 0.0);
        let share =
            share.map_or("–".to_owned(), |(own, limit)| format!("{:.1} %", own.median / limit.median * 100.0));
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{shown}</td><td class=\"n\">{share}</td><td class=\"what\">{}; {}</td></tr>",
            escape(&limit.title),
            escape(&limit.model),
            escape(&limit.durability)
        );
    }
    html.push_str("</tbody></table></div>");
    let columns: Vec<_> = result.limits.iter().map(|limit| (limit.title.clone(), limit.figures.as_slice())).collect();
    matrix(html, "All figures of the limits", &columns);
    html.push_str("</section>");
}

/// The figure of Stentor to compare with a limit: for one message at a time the rate of `single`, whose caller waits for
/// each answer; for all others the end-to-end rate of `million`.
fn beside<'a>(result: &'a BenchResult, limit: &Measurement) -> Option<&'a Figure> {
    match limit.name.as_str() {
        "limit-disk-one" => result.find("single")?.figure("accepted/s"),
        _ => result.find("million")?.figure("end to end/s"),
    }
}

fn section(html: &mut String, measurement: &Measurement) {
    let _ = write!(html, "<section id=\"{0}\"><h2>{1}</h2>", escape(&measurement.name), escape(&measurement.title));
    let told: Vec<_> =
        measurement.parameters.iter().map(|(name, value)| format!("{name}: {}", plot::short(*value))).collect();
    let repeats = if measurement.repeats == 1 { "once".to_owned() } else { format!("{} times", measurement.repeats) };
    let _ =
        write!(html, "<p><b>Load:</b> {}. {}; {repeats}.</p>", escape(&measurement.model), escape(&told.join(", ")));
    let _ = write!(html, "<p><b>Durability:</b> {}.</p>", escape(&measurement.durability));
    if let Some(bottleneck) = &measurement.bottleneck {
        let _ = write!(html, "<p><b>At the limit:</b> {}.</p>", escape(bottleneck));
    }
    for broken in &measurement.broken {
        let _ = write!(html, "<p class=\"broken\">Not so: {}</p>", escape(broken));
    }
    for remark in &measurement.remarks {
        let _ = write!(html, "<p class=\"note\">{}</p>", escape(remark));
    }
    plots(html, &plots_of(measurement));
    if !measurement.figures.is_empty() {
        figures(html, &measurement.title, &measurement.figures);
    }
    points(html, measurement);
    html.push_str("</section>");
}

fn plots_of(measurement: &Measurement) -> Vec<(&'static str, String)> {
    let mut drawn = Vec::new();
    let title = |what: &str| format!("{}: {what}", measurement.title);
    if let Some(first) = measurement.points.first() {
        let axis = first.axis.as_str();
        let over = |name: &str| Line {
            name: name.to_owned(),
            points: measurement
                .points
                .iter()
                .filter_map(|point| Some((point.at, point.figures.iter().find(|figure| figure.name == name)?.median)))
                .collect(),
        };
        let rates = [over("accepted/s"), over("end to end/s")];
        drawn.push(("Rates", plot::lines(&title("rates"), axis, "msg/s", &rates)));
        let latencies = [over("request p50"), over("request p99"), over("offer to submit p99")];
        drawn.push(("Latency", plot::lines(&title("latency"), axis, "ms", &latencies)));
    }
    let of = |unit: Unit| -> Vec<Line> {
        let series = measurement.series.iter().filter(|series| series.unit == unit);
        series
            .map(|series| {
                let at = (0_u32..).map(|number| f64::from(number) * series.interval_s);
                Line { name: series.name.clone(), points: at.zip(series.values.iter().copied()).collect() }
            })
            .collect()
    };
    for (caption, axis, unit) in [
        ("Messages in each second", "s since the first of each", Unit::PerSecond),
        ("CPU", "s since the start of the daemon", Unit::Cpus),
        ("Bytes written in each interval", "s since the start of the daemon", Unit::Bytes),
    ] {
        let lines = of(unit);
        if !lines.is_empty() {
            drawn.push((caption, plot::lines(&title(caption), axis, unit.symbol(), &lines)));
        }
    }
    if !measurement.threads.is_empty() {
        let busiest = measurement.threads.iter().take(8);
        let bars = busiest.map(|thread| Bar { name: thread.name.clone(), value: thread.cpus, ..Bar::default() });
        let bars: Vec<_> = bars.collect();
        drawn.push(("CPU of the daemon's threads", plot::bars(&title("CPU of threads"), "CPUs", &bars)));
    }
    drawn
}

fn plots(html: &mut String, plots: &[(&str, String)]) {
    if plots.is_empty() {
        return;
    }
    html.push_str("<div class=\"plots\">");
    for (caption, svg) in plots {
        let _ = write!(html, "<figure><figcaption>{}</figcaption>{svg}</figure>", escape(caption));
    }
    html.push_str("</div>");
}

fn bar(name: &str, figure: &Figure) -> Bar {
    Bar { name: name.to_owned(), value: figure.median, low: figure.min, high: figure.max }
}

fn figures(html: &mut String, title: &str, figures: &[Figure]) {
    let _ = write!(
        html,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Figures: {}\"><table><thead><tr><th>figure</th>\
         <th class=\"n\">median</th><th class=\"n\">min</th><th class=\"n\">max</th><th class=\"n\">spread</th></tr></thead><tbody>",
        escape(title)
    );
    for figure in figures {
        let [min, median, max] = [figure.min, figure.median, figure.max].map(|value| escape(&figure.unit.show(value)));
        let spread =
            if figure.values.len() > 1 { format!("{:.1} %", figure.spread() * 100.0) } else { "one value".to_owned() };
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td class=\"n\"><b>{median}</b></td><td class=\"n\">{min}</td>\
             <td class=\"n\">{max}</td><td class=\"n\">{spread}</td></tr>",
            escape(&figure.name)
        );
    }
    html.push_str("</tbody></table></div>");
}

fn points(html: &mut String, measurement: &Measurement) {
    let columns: Vec<_> = measurement
        .points
        .iter()
        .map(|point| (format!("{}: {}", point.axis, plot::short(point.at)), point.figures.as_slice()))
        .collect();
    if !columns.is_empty() {
        matrix(html, &format!("All figures: {}", measurement.title), &columns);
    }
}

/// Medians of several points side by side, with the least and the greatest value below if they differ.
fn matrix(html: &mut String, title: &str, columns: &[(String, &[Figure])]) {
    let mut names: Vec<&str> = Vec::new();
    for figure in columns.iter().flat_map(|(_, figures)| *figures) {
        if !names.contains(&figure.name.as_str()) {
            names.push(&figure.name);
        }
    }
    let _ = write!(
        html,
        "<details><summary>{0}</summary><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table>\
         <thead><tr><th>figure</th>",
        escape(title)
    );
    columns.iter().for_each(|(head, _)| {
        let _ = write!(html, "<th class=\"n\">{}</th>", escape(head));
    });
    html.push_str("</tr></thead><tbody>");
    for name in names {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(name));
        for (_, figures) in columns {
            let Some(figure) = figures.iter().find(|figure| figure.name == name) else {
                html.push_str("<td class=\"n\">–</td>");
                continue;
            };
            let [min, median, max] =
                [figure.min, figure.median, figure.max].map(|value| escape(&figure.unit.show(value)));
            let _ = write!(html, "<td class=\"n\"><b>{median}</b>");
            if figure.min < figure.max {
                let _ = write!(html, "<br><span class=\"soft\">{min} to {max}</span>");
            }
            html.push_str("</td>");
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div></details>");
}

fn machine(html: &mut String, result: &BenchResult) {
    let (machine, subject, placement) = (&result.machine, &result.subject, &result.placement);
    let pinned = |cpus: &Option<String>| cpus.as_ref().map_or("any CPU".to_owned(), |cpus| format!("CPUs {cpus}"));
    let files = &machine.file_system;
    let virtual_or_not = if machine.is_virtual { ", under a hypervisor" } else { "" };
    let optimised = if subject.is_debug { ", not optimised" } else { "" };
    let rows = [
        ("Host", format!("{}, {}{virtual_or_not}", machine.host, machine.product)),
        ("CPU", format!("{}, {} online, {} allowed", machine.cpu, machine.cpus, machine.cpus_allowed)),
        ("Governor", machine.governor.clone()),
        ("Memory", Unit::Bytes.show(machine.memory_bytes as f64)),
        ("System", format!("{}, kernel {}", machine.system, machine.kernel)),
        ("File system", format!("{}: {} on {} ({})", files.directory, files.kind, files.device, files.options)),
        ("Disk", files.disk.clone()),
        ("Load before", format!("{:.2}", machine.load_before)),
        (
            "Pinning",
            format!(
                "daemon: {}; generator: {}; simulator: {}",
                pinned(&placement.daemon),
                pinned(&placement.generator),
                pinned(&placement.simulator)
            ),
        ),
        (
            "Requests",
            format!(
                "{} connections, {} messages in a request, {} characters a message, where nothing else is said",
                result.load.connections, result.load.batch, result.load.length
            ),
        ),
        (
            "Daemon",
            format!(
                "{}, commit {}, {} ({} bytes, CRC-32 {}{optimised})",
                subject.version, subject.commit, subject.binary, subject.binary_bytes, subject.binary_crc32
            ),
        ),
        (
            "Environment",
            if subject.environment.is_empty() { "nothing set".to_owned() } else { subject.environment.join(", ") },
        ),
    ];
    html.push_str(
        "<section><h2>Machine and configuration</h2><div class=\"scroll\" tabindex=\"0\" role=\"region\" \
                   aria-label=\"Machine\"><table class=\"facts\"><tbody>",
    );
    for (name, value) in rows {
        let _ = write!(html, "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>", escape(&value));
    }
    html.push_str("</tbody></table></div>");
    if !subject.configuration.is_null() {
        let text = serde_json::to_string_pretty(&subject.configuration).unwrap_or_default();
        let _ = write!(html, "<h3>{}</h3><pre>{}</pre>", escape(&subject.configuration_file), escape(&text));
    }
    html.push_str("</section>");
}

fn left_out(html: &mut String, result: &BenchResult) {
    if result.left_out.is_empty() {
        return;
    }
    html.push_str("<section><h2>What was not measured</h2><ul>");
    for left in &result.left_out {
        let _ = write!(html, "<li>{}: {}</li>", escape(&left.name), escape(&left.why));
    }
    html.push_str("</ul></section>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        assert_eq!(escape("<a href='x'>\"&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;&lt;/a&gt;");
        let mut result = sample::result(&[100.0, 120.0]);
        let evil = "</style><script>alert(1)</script>\"'";
        result.machine.host = evil.to_owned();
        result.subject.commit = evil.to_owned();
        result.target = Some(evil.to_owned());
        result.measurements[0].title = evil.to_owned();
        result.measurements[0].threads[0].name = evil.to_owned();
        result.measurements[0].remarks.push(evil.to_owned());
        result.measurements[0].figures[0].name = evil.to_owned();
        result.measurements[0].points[0].axis = evil.to_owned();
        result.measurements[0].series[0].name = evil.to_owned();
        result.subject.configuration = serde_json::json!({ evil: evil });
        let html = page(&result);
        assert!(!html.contains("<script") && html.matches("</style>").count() == 1, "{html}");
    }

    #[test]
    fn the_page_is_whole_and_needs_nothing_else() {
        let mut result = sample::result(&[100.0, 120.0]);
        result.limits = result.measurements.clone();
        let html = page(&result);
        assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>"));
        for outside in ["http:", "https:", "src=", "@import", "url(", "<link"] {
            assert!(!html.contains(outside), "{outside}");
        }
        for tag in
            ["section", "table", "details", "tbody", "tr", "th", "td", "figure", "svg", "div", "p", "h2", "h3", "text"]
        {
            let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        for text in
            ["A CPU &amp; &lt;more&gt;", "closed loop", "fdatasync before every answer", "shard &lt;0&gt;", "18.2 %"]
        {
            assert!(html.contains(text), "{text}");
        }
    }

    #[test]
    fn an_empty_result_makes_a_page_too() {
        let mut result = sample::result(&[1.0]);
        result.measurements.clear();
        result.left_out.clear();
        assert!(page(&result).contains("Machine and configuration"));
    }
}
