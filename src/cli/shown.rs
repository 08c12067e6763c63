//! A server's answers as a person reads them: aligned columns, dashes for absent values, no control characters for a terminal.
//! Reads leniently: members that it does not know are shown under their own names.

use std::fmt::Write;

use serde_json::{Map, Value};

/// The members of a message that are shown first, in this order; the others follow.
const FIRST: [&str; 17] = [
    "to",
    "from",
    "class",
    "encoding",
    "parts",
    "parts_delivered",
    "attempts",
    "route",
    "carrier",
    "reason",
    "error",
    "error_family",
    "error_origin",
    "ref",
    "accepted_at",
    "submitted_at",
    "final_at",
];

/// The state of a message document; empty if it has none.
pub(super) fn state(message: &Value) -> &str {
    message.get("state").and_then(Value::as_str).unwrap_or_default()
}

/// A message document: id and state, its members, its timeline.
pub(super) fn message(message: &Value) -> String {
    let empty = Map::new();
    let members = message.as_object().unwrap_or(&empty);
    let mut text = format!("{}  {}\n", scalar(message.get("id")), plain(state(message)));
    let rest = members.keys().map(String::as_str).filter(|name| !FIRST.contains(name));
    for name in FIRST.into_iter().chain(rest) {
        let Some(value) = members.get(name).filter(|value| is_told(name, value)) else { continue };
        line(&mut text, &format!("  {:<16}{}", plain(name), inline(value)));
    }
    let timeline = members.get("timeline").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for entry in timeline {
        line(&mut text, &format!("    {}", moment(entry)));
    }
    text
}

fn is_told(name: &str, value: &Value) -> bool {
    let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_str() == Some("");
    !empty && !matches!(name, "id" | "state" | "final" | "timeline")
}

/// One line of a timeline: time, event, and its details.
fn moment(entry: &Value) -> String {
    let what = ["event", "kind", "state"].into_iter().find(|name| entry.get(name).is_some()).unwrap_or("event");
    let mut text = format!("{}  {:<14}", scalar(entry.get("at")), scalar(entry.get(what)));
    for (name, value) in entry.as_object().into_iter().flatten() {
        if name != "at" && name != what && !value.is_null() {
            text.push_str(&format!(" {}={}", plain(name), inline(value)));
        }
    }
    text
}

/// Rows under headings, each column as wide as its widest cell.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    for row in std::iter::once(&headings).chain(rows) {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        line(&mut text, &format!("  {}", cells.join("  ")));
    }
    text
}

/// A scalar without quotes, a dash for null.
pub(super) fn scalar(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => plain(text),
        Some(other) => plain(&other.to_string()),
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(|item| scalar(Some(item))).collect::<Vec<_>>().join(", ")
        }
        other => scalar(Some(other)),
    }
}

/// Milliseconds as `850 ms`, `12 s`, `3 min` or `4 h`.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000.. => format!("{} h", ms / 3_600_000),
    }
}

/// Removes control characters: text from others must not control the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_shown_from_its_head_to_its_timeline() {
        let timeline = json!([{"at": "T1", "event": "attempt", "attempt": 1, "carrier": "sim"},
                              {"at": "T2", "event": "delivered", "detail": null}]);
        let document = json!({"state": "delivered", "final": true, "id": "0199", "tags": ["a", "b"], "parts": 2, "to": "+49\u{1b}[31m",
                              "reason": null, "zeta": {"new": 1}, "timeline": timeline});
        let text = "0199  delivered\n  to              +49 [31m\n  parts           2\n  tags            a, b\n  \
                    zeta            {\"new\":1}\n    T1  attempt        attempt=1 carrier=sim\n    T2  delivered\n";
        assert_eq!(message(&document), text);
        assert_eq!(message(&json!("what?")), "-  \n");
    }

    #[test]
    fn columns_are_as_wide_as_they_must() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["längste".to_owned(), "22".to_owned()]];
        assert_eq!(table(&["NAME", "N"], &rows), "  NAME     N\n  a        1\n  längste  22\n");
    }

    #[test]
    fn durations_are_for_people() {
        assert_eq!([999, 1_000, 120_000, 7_200_000].map(duration), ["999 ms", "1 s", "2 min", "2 h"]);
    }
}
