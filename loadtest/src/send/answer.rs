//! What an answer of Stentor says about the lines of a batch. Reads the summary, the list of results and problem
//! documents; knows no connection and does not decide what is retried.

use std::io::ErrorKind;

use serde::Deserialize;

use crate::http::Response;

/// The outcome of one batch of lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdicts {
    /// Lines acknowledged as new.
    pub accepted: u64,
    /// Lines acknowledged earlier.
    pub duplicates: u64,
    /// Lines refused.
    pub refused: Vec<Refused>,
}

/// Why lines were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Position in the batch; `None` = all `lines` of the batch.
    pub index: Option<u64>,
    pub lines: u64,
    pub code: String,
    pub is_retryable: bool,
}

#[derive(Deserialize)]
struct Summary {
    accepted: u64,
    #[serde(default)]
    duplicates: u64,
    #[serde(default)]
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Results {
    results: Vec<LineResult>,
}

#[derive(Deserialize)]
struct LineResult {
    #[serde(default)]
    duplicate: bool,
    #[serde(default)]
    error: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    retryable: bool,
}

/// Reads the answer to a batch of `lines` lines.
pub(crate) fn read(response: &Response<'_>, lines: u64) -> Verdicts {
    let body = response.body;
    if (200..300).contains(&response.status) {
        let read = read_summary(body).or_else(|| read_results(body));
        return read.unwrap_or_else(|| all_refused(lines, "unreadable_answer".to_owned(), false));
    }
    let problem = serde_json::from_slice::<Problem>(body).ok();
    let is_retryable = problem.as_ref().map_or(matches!(response.status, 429 | 503), |problem| problem.retryable);
    let code = problem.and_then(|problem| problem.code);
    all_refused(lines, code.unwrap_or_else(|| format!("http_{}", response.status)), is_retryable)
}

/// The outcome of a batch for which there was no connection: none of it was written.
pub(super) fn unconnected(lines: u64, error: &std::io::Error) -> Verdicts {
    let code = match error.kind() {
        ErrorKind::ConnectionRefused => "connection_refused",
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "connect_timeout",
        _ => "connect_failed",
    };
    all_refused(lines, code.to_owned(), true)
}

/// The outcome of a batch that was never answered.
pub(super) fn unanswered(lines: u64) -> Verdicts {
    all_refused(lines, "unanswered".to_owned(), true)
}

fn all_refused(lines: u64, code: String, is_retryable: bool) -> Verdicts {
    Verdicts { refused: vec![Refused { index: None, lines, code, is_retryable }], ..Verdicts::default() }
}

fn read_summary(body: &[u8]) -> Option<Verdicts> {
    let summary: Summary = serde_json::from_slice(body).ok()?;
    let refused = summary.errors.into_iter().map(|problem| problem.refused(None)).collect();
    Some(Verdicts { accepted: summary.accepted, duplicates: summary.duplicates, refused })
}

fn read_results(body: &[u8]) -> Option<Verdicts> {
    let results = serde_json::from_slice::<Results>(body).map(|results| results.results);
    let results = results.or_else(|_| serde_json::from_slice::<Vec<LineResult>>(body)).ok()?;
    let mut verdicts = Verdicts::default();
    for (index, result) in (0..).zip(results) {
        match result.error {
            Some(problem) => verdicts.refused.push(problem.refused(Some(index))),
            None if result.duplicate => verdicts.duplicates += 1,
            None => verdicts.accepted += 1,
        }
    }
    Some(verdicts)
}

impl Problem {
    fn refused(self, index: Option<u64>) -> Refused {
        Refused {
            index: self.index.or(index),
            lines: 1,
            code: self.code.unwrap_or_else(|| "uncoded".to_owned()),
            is_retryable: self.retryable,
        }
    }
}

impl Verdicts {
    /// Whether sending the same batch again could help.
    pub(crate) fn is_retryable(&self) -> bool {
        self.refused.iter().any(|refused| refused.is_retryable)
    }

    /// The acknowledged serials of the batch, as ranges.
    pub(crate) fn acknowledged(&self, serials: &std::ops::Range<u64>) -> Vec<(u64, u64)> {
        let mut holes: Vec<u64> = Vec::new();
        for refused in &self.refused {
            match refused.index {
                None => return Vec::new(),
                Some(index) => holes.push(serials.start + index),
            }
        }
        holes.sort_unstable();
        let starts = std::iter::once(serials.start).chain(holes.iter().map(|hole| hole + 1));
        let ends = holes.iter().copied().chain(std::iter::once(serials.end));
        starts.zip(ends).filter(|(start, end)| start < end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepted, duplicates, and for each refusal: index, lines, code, and whether it is retryable.
    type Expected<'a> = (u64, u64, &'a [(Option<u64>, u64, &'a str, bool)]);

    fn check(status: u16, body: &str, expected: Expected<'_>) {
        let verdicts = read(&Response { status, retry_after_s: None, body: body.as_bytes() }, 10);
        let refused: Vec<_> =
            verdicts.refused.iter().map(|r| (r.index, r.lines, r.code.as_str(), r.is_retryable)).collect();
        assert_eq!((verdicts.accepted, verdicts.duplicates, refused.as_slice()), expected, "{body}");
    }

    #[test]
    fn each_form_of_answer() {
        check(202, r#"{"accepted":10,"duplicates":0,"rejected":0,"errors":[]}"#, (10, 0, &[]));
        check(
            202,
            r#"{"accepted":8,"duplicates":1,"rejected":1,"errors":[{"index":3,"code":"queue_full","retryable":true}]}"#,
            (8, 1, &[(Some(3), 1, "queue_full", true)]),
        );
        check(
            202,
            r#"{"results":[{"id":"a"},{"id":"b","duplicate":true},{"error":{"code":"invalid_recipient"}}]}"#,
            (1, 1, &[(Some(2), 1, "invalid_recipient", false)]),
        );
        check(
            202,
            r#"[{"id":"a"},{"error":{"index":1,"code":"x","retryable":true}}]"#,
            (1, 0, &[(Some(1), 1, "x", true)]),
        );
        check(202, "so be it", (0, 0, &[(None, 10, "unreadable_answer", false)]));
        check(503, r#"{"code":"queue_full","retryable":true}"#, (0, 0, &[(None, 10, "queue_full", true)]));
        check(503, "", (0, 0, &[(None, 10, "http_503", true)]));
        check(413, r#"{"code":"body_too_large"}"#, (0, 0, &[(None, 10, "body_too_large", false)]));
    }

    #[test]
    fn acknowledged_serials_leave_out_the_refused() {
        let refused = |indexes: &[Option<u64>]| Verdicts {
            refused: indexes
                .iter()
                .map(|index| Refused { index: *index, lines: 1, code: String::new(), is_retryable: false })
                .collect(),
            ..Verdicts::default()
        };
        assert_eq!(refused(&[]).acknowledged(&(5..9)), [(5, 9)]);
        assert_eq!(refused(&[Some(2), Some(0)]).acknowledged(&(5..9)), [(6, 7), (8, 9)]);
        assert_eq!(refused(&[None]).acknowledged(&(5..9)), []);
        assert_eq!(unanswered(4).acknowledged(&(5..9)), []);
    }
}
