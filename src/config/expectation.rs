//! Resolves `[[test]]`: a message and its expected outcome, checked whenever the file is loaded.
//!
//! Knows the message, and compares its outcome with the expected one. Refuses to know how a message is routed: the caller
//! decides the outcome.

use serde::Serialize;
use toml::Spanned;

use super::choice::{CarrierEncoding, Class};
use super::error::{Place, Problem};
use super::gather::Gather;
use super::raw::RawTest;
use super::units::OneOrMany;

/// One test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expectation {
    /// The message.
    pub given: Given,
    /// The expected outcome.
    pub expect: Expect,
    /// Place and path in the file, for the problem that [`Expectation::compare`] returns.
    #[serde(skip)]
    pub(super) stands: (Place, String),
}

/// A message as a client would send it; a field that is `None` is absent from the request.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Given {
    pub to: String,
    pub from: Option<String>,
    pub body: Option<String>,
    pub class: Option<Class>,
    pub tenant: Option<String>,
    pub tags: Vec<String>,
}

/// The expected outcome: either `reject` alone, or `route`, `encoding` or both. A field that is `None` is not compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Expect {
    /// Name of the route that takes it.
    pub route: Option<String>,
    /// CarrierEncoding in which it is sent; never `Auto`.
    pub encoding: Option<CarrierEncoding>,
    /// Error code with which it is rejected.
    pub reject: Option<String>,
}

/// The actual outcome, as decided by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The message would be sent.
    Sent {
        /// Name of the route.
        route: String,
        /// CarrierEncoding; never `Auto`. `None` if the test has no body.
        encoding: Option<CarrierEncoding>,
    },
    /// The message would be rejected with this error code.
    Rejected(String),
}

impl Expectation {
    pub(super) fn meant(
        typed: &Spanned<RawTest>,
        gather: &mut Gather<'_>,
        stand: &dyn Fn(&super::source::Span) -> (Place, String),
    ) -> Self {
        let (raw, table) = (typed.get_ref(), typed.span());
        let given =
            gather.required(&raw.given, &table, "given").map(|given| given.get_ref().clone()).unwrap_or_default();
        let expect =
            gather.required(&raw.expect, &table, "expect").map(|expect| expect.get_ref().clone()).unwrap_or_default();
        let plain = |typed: &super::raw::Optional<String>| typed.as_ref().map(|text| text.get_ref().clone());
        if let Some(typed) = &raw.given {
            gather.required(&given.to, &typed.span(), "to");
        }
        if let Some(typed) = &raw.expect {
            let sent = expect.route.is_some() || expect.encoding.is_some();
            if sent == expect.reject.is_some() && !gather.incomplete {
                let what = "write either `reject`, or `route` and/or `encoding`";
                gather.refuse(&typed.span(), what);
            } else if expect.encoding.is_some() && given.body.is_none() {
                let what = "`encoding` can only be expected of a message with a `body`: add `body` to `given`";
                gather.refuse(&typed.span(), what);
            } else if expect.encoding.as_ref().is_some_and(|encoding| *encoding.get_ref() == CarrierEncoding::Auto) {
                gather.refuse(&typed.span(), "no message is sent in `auto`: write `gsm7`, `latin1` or `ucs2`");
            }
        }
        Self {
            given: Given {
                to: plain(&given.to).unwrap_or_default(),
                from: plain(&given.from),
                body: plain(&given.body),
                class: given.class.map(Spanned::into_inner),
                tenant: plain(&given.tenant),
                tags: given.tags.map_or_else(Vec::new, |tags| {
                    let OneOrMany(tags) = tags.into_inner();
                    tags
                }),
            },
            expect: Expect {
                route: plain(&expect.route),
                encoding: expect.encoding.map(Spanned::into_inner),
                reject: plain(&expect.reject),
            },
            stands: stand(&table),
        }
    }

    /// The problem, if the decision is not the expected one.
    pub fn compare(&self, decision: &Decision) -> Option<Problem> {
        let what = match decision {
            Decision::Rejected(code) => match &self.expect.reject {
                Some(expected) if expected == code => return None,
                Some(expected) => format!("expected rejection `{expected}`, got `{code}`"),
                None => format!("expected {}, got rejection `{code}`", self.expect),
            },
            Decision::Sent { route, encoding } => {
                let route_as_expected = self.expect.route.as_ref().is_none_or(|expected| expected == route);
                let encoding_as_expected = self.expect.encoding.is_none() || self.expect.encoding == *encoding;
                if self.expect.reject.is_none() && route_as_expected && encoding_as_expected {
                    return None;
                }
                let got = Expect { route: Some(route.clone()), encoding: *encoding, reject: None };
                format!("expected {}, got {got}", self.expect)
            }
        };
        let (place, path) = self.stands.clone();
        Some(Problem { place, path, what })
    }
}

impl std::fmt::Display for Expect {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.route.as_ref().map(|route| format!("route `{route}`")));
        parts.extend(self.encoding.map(|encoding| format!("encoding `{}`", encoding.name())));
        parts.extend(self.reject.as_ref().map(|code| format!("rejection `{code}`")));
        out.write_str(&parts.join(" with "))
    }
}
