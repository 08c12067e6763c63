//! The access log: for each answered request the id by which its answer is found again, who asked for what, and the outcome.
//!
//! Knows which requests are logged, and how many per second. Does not log bodies or queries, which may hold phone numbers and
//! texts. A client decides how many of its requests are refused, but not how many lines that makes: lines are limited.

use std::cell::Cell;

use hyper::{Method, Request};

use super::{
    api::{Seen, Settings},
    body::RequestBody,
    problem::{Code, Problem},
};
use crate::host::net::Peer;
use stentor_core::model::Mono;

/// Lines per second and core for requests that were refused or failed; those beyond are only counted.
pub const LINES_MAX: u32 = 100;

const SECOND_NS: u64 = 1_000_000_000;

/// Which answered requests are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Those answered with 500 or above.
    Failed,
    /// Those answered with 400 or above.
    #[default]
    Refused,
    /// Every request, without a limit per second.
    All,
}

/// What the log needs of a request, taken before its parts are consumed.
#[derive(Debug)]
pub(super) struct AskedBy {
    method: Method,
    peer: Peer,
}

impl AskedBy {
    pub(super) fn of(request: &Request<RequestBody>) -> Self {
        Self { method: request.method().clone(), peer: request.body().peer() }
    }
}

/// The access log of one core.
#[derive(Debug, Default)]
pub(super) struct AccessLog {
    /// The second that `lines` counts in.
    second: Cell<u64>,
    lines: Cell<u32>,
    /// Answers since the last line that were left out because of the limit.
    untold: Cell<u64>,
}

impl AccessLog {
    /// Logs an answered request, if it is one of those that are logged.
    pub(super) fn note(
        &self,
        settings: &Settings,
        request_id: &str,
        asked: &AskedBy,
        seen: &Seen,
        problem: Option<&Problem>,
        now: Mono,
    ) {
        // A health check that answers 503 "not ready" did what was asked of it.
        if problem.is_none() && settings.requests != Told::All {
            return;
        }
        let Some(untold) = self.takes(settings.requests, seen.status, now) else { return };
        let Seen { path, status, took_us, tally, tenant, limits: _ } = *seen;
        let AskedBy { method, peer } = asked;
        let tenant = tenant.map_or("", |id| settings.tenants.name_of(id));
        let code = problem.map_or("", |problem| problem.code.text());
        // The detail of a refusal may quote what the client sent; only that of an unknown path is logged.
        let detail = problem.filter(|problem| status >= 500 || problem.code == Code::NotFound);
        let detail = detail.map_or("", |problem| &problem.detail);
        let (accepted, duplicates, rejected) = (tally.accepted, tally.duplicates, tally.rejected);
        macro_rules! tell {
            ($level:ident) => {
                tracing::$level!(
                    request_id,
                    %peer,
                    tenant,
                    %method,
                    path,
                    status,
                    code,
                    detail,
                    accepted,
                    duplicates,
                    rejected,
                    took_us,
                    untold,
                    "{method} {path} {status} {code}"
                )
            };
        }
        if status >= 500 { tell!(warn) } else { tell!(info) }
    }

    /// Whether this answer gets a line: if so, how many answers were left out since the last line.
    fn takes(&self, told: Told, status: u16, now: Mono) -> Option<u64> {
        let from = match told {
            Told::Failed => 500,
            Told::Refused => 400,
            Told::All => 0,
        };
        if status < from {
            return None;
        }
        let second = now.0 / SECOND_NS;
        if self.second.replace(second) != second {
            self.lines.set(0);
        }
        if told != Told::All && self.lines.get() >= LINES_MAX {
            self.untold.set(self.untold.get() + 1);
            return None;
        }
        self.lines.set(self.lines.get() + 1);
        Some(self.untold.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_chosen_by_status() {
        for (told, statuses) in [
            (Told::Failed, &[500, 503][..]),
            (Told::Refused, &[400, 404, 429, 500, 503]),
            (Told::All, &[200, 202, 400, 404, 429, 500, 503]),
        ] {
            let log = AccessLog::default();
            let taken = [200, 202, 400, 404, 429, 500, 503]
                .into_iter()
                .filter(|status| log.takes(told, *status, Mono(0)).is_some());
            assert_eq!(taken.collect::<Vec<_>>(), statuses, "{told:?}");
        }
    }

    #[test]
    fn a_flood_of_refusals_is_a_bounded_number_of_lines_and_a_count() {
        let log = AccessLog::default();
        let lines = |second: u64| {
            (0..1_000).filter_map(|_| log.takes(Told::Refused, 401, Mono(second * SECOND_NS))).collect::<Vec<_>>()
        };
        assert_eq!(lines(1), [0; LINES_MAX as usize]);
        let next = lines(2);
        assert_eq!((next.len(), next[0], next[1]), (LINES_MAX as usize, 900, 0));
    }

    #[test]
    fn an_access_log_leaves_nothing_out() {
        let log = AccessLog::default();
        assert!((0..1_000).all(|_| log.takes(Told::All, 202, Mono(0)) == Some(0)));
    }
}
