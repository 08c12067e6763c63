//! The configuration: what was written → what is meant.
//!
//! One TOML file ([`raw`]: what was typed), the environment over it, secrets fetched, defaults filled in, everything
//! checked → [`Config`] (what is meant: units in the names, nothing optional that has a default). Either a whole
//! `Config` comes out or every problem with its place; never half of one. `config/stentor.toml` explains each key.
//!
//! Knows no room that is configured: the values are plain data, and who starts the rooms hands them on.
//! [`Config::load`] is the only place that looks at the process's environment; secrets are the only files read besides
//! the one named.

mod carrier;
mod carrier_tlv;
mod check;
mod choice;
mod diff;
mod environment;
mod error;
mod expectation;
mod gather;
mod message;
mod raw;
mod read;
mod route;
mod secret;
mod server;
mod shape;
mod shown;
mod source;
mod tenant;
#[cfg(test)]
mod tests;
mod tree;
mod units;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use carrier::{Carrier, CarrierTls, Dialect, Host, Numbering, TonNpi};
pub use carrier_tlv::Tlv;
pub use choice::{
    BindMode, CarrierKind, Class, DefaultAlphabet, Encoding, ErrorClass, IdForm, InDoubt, LogFormat, LogLevel, LogPdus,
    LogRequests, NodeIo, NumberRule, Receipts, Splitting,
};
pub use diff::{Change, diff};
pub use error::{Place, Problem, Problems};
pub use expectation::{Decision, Expect, Expectation, Given};
pub use message::{Defaults, InDoubtPolicies, NumberRange, Retry, RetryPolicy};
pub use raw::RawConfig;
pub use route::{Route, Share, When};
pub use secret::Secret;
pub use server::{Http, HttpTls, Limits, Log, Node};
pub use tenant::Tenant;
pub use units::{Period, Quota};

use gather::{Gather, Numbers, Secrets};
use secret::SecretRef;
use source::{PREFIX, Source, Span};

/// What is meant. Written out (serde) it has the keys and units of the file, secrets masked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Identity, place on disk, shards and cores.
    pub node: Node,
    /// The HTTP door.
    pub http: Http,
    /// What a message gets when it does not say.
    pub defaults: Defaults,
    /// What the process holds at most.
    pub limits: Limits,
    /// How often a refused part is tried again.
    pub retry: Retry,
    /// What is told to the log.
    pub log: Log,
    /// At least one; names differ.
    #[serde(rename = "carrier")]
    pub carriers: Vec<Carrier>,
    /// At least one, in the order in which they are tried.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// None: no authentication, everybody on this machine is tenant 0.
    #[serde(rename = "tenant")]
    pub tenants: Vec<Tenant>,
    /// Expectations to be compared by [`Config::failed_tests`].
    #[serde(rename = "test")]
    pub tests: Vec<Expectation>,
    /// Files in which secrets stand; the configuration itself where one stands in it as a text.
    #[serde(skip)]
    pub secret_files: Vec<PathBuf>,
}

impl Config {
    /// Reads `file` under this process's environment. Problems call for exit code 78.
    pub fn load(file: &Path) -> Result<Self, Problems> {
        Self::load_with(file, Secrets::Fetch)
    }

    /// The same without the files and credentials in which secrets are kept, for where there are none: they are empty then.
    pub fn load_without_secrets(file: &Path) -> Result<Self, Problems> {
        Self::load_with(file, Secrets::Leave)
    }

    fn load_with(file: &Path, secrets: Secrets) -> Result<Self, Problems> {
        let shown = file.display().to_string();
        let alone = |place, what| Problems(vec![Problem { place, path: String::new(), what }]);
        let mut environment = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            match value.into_string() {
                Ok(value) => environment.push((name.to_owned(), value)),
                Err(_) if name.starts_with(PREFIX) => {
                    return Err(alone(Place::Variable(name.to_owned()), "is not UTF-8".to_owned()));
                }
                Err(_) => {}
            }
        }
        let text = std::fs::read_to_string(file)
            .map_err(|error| alone(Place::Whole(shown.clone()), format!("cannot be read: {error}")))?;
        Self::parse_with(&shown, &text, environment, secrets)
    }

    /// The same from a text. `file` is how problems call it; of `environment` count `STENTOR__…` and
    /// `CREDENTIALS_DIRECTORY`. Reads the files in which secrets are kept, and no others.
    pub fn parse(
        file: &str,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        Self::parse_with(file, text, environment, Secrets::Fetch)
    }

    fn parse_with(
        file: &str,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        secrets: Secrets,
    ) -> Result<Self, Problems> {
        let environment: Vec<(String, String)> = environment.into_iter().collect();
        let credentials: Option<PathBuf> =
            environment.iter().find(|(name, _)| name == "CREDENTIALS_DIRECTORY").map(|(_, value)| value.into());
        let source = Source::new(file, text, &environment);
        let read = read::read(&source);
        let stand = |span: &Span| {
            let steps = tree::find(&read.tree, span).unwrap_or_default();
            (source.place(span), tree::shown(&read.tree, &steps))
        };
        let incomplete = !read.problems.is_empty();
        let country = read.raw.defaults.country.as_ref().map(|country| country.get_ref().as_str());
        let mut gather = Gather {
            credentials: credentials.as_deref(),
            fetch: secrets,
            incomplete,
            problems: read.problems.clone(),
            numbers: Numbers::of(country, message::ranges(&read.raw.defaults)),
            secrets: Vec::new(),
        };
        let mut config = Self::meant(&read.raw, &mut gather, &stand);
        if !incomplete {
            check::check(&config, &read.raw, &mut gather);
        }
        if gather.problems.is_empty() {
            config.secret_files = secret_files(&gather.secrets, |span| source.place(span));
            return Ok(config);
        }
        gather.problems.sort_by_key(|(span, _)| span.start);
        let told = gather.problems.into_iter().map(|(span, what)| {
            let (place, path) = stand(&span);
            Problem { place, path, what }
        });
        Err(Problems(told.collect()))
    }

    fn meant(raw: &RawConfig, gather: &mut Gather<'_>, stand: &dyn Fn(&Span) -> (Place, String)) -> Self {
        Self {
            node: Node::meant(&raw.node, gather),
            http: Http::meant(&raw.http, gather),
            defaults: Defaults::meant(&raw.defaults, gather),
            limits: Limits::meant(&raw.limits, gather),
            retry: Retry::meant(&raw.retry, gather),
            log: Log::meant(&raw.log),
            carriers: raw.carrier.iter().map(|typed| Carrier::meant(typed, gather)).collect(),
            routes: raw.route.iter().map(|typed| Route::meant(typed, gather)).collect(),
            tenants: raw.tenant.iter().map(|typed| Tenant::meant(typed, gather)).collect(),
            tests: raw.test.iter().map(|typed| Expectation::meant(typed, gather, stand)).collect(),
            secret_files: Vec::new(),
        }
    }

    /// Puts each `[[test]]`'s message to `decide` and tells those that did not end as expected.
    pub fn failed_tests(&self, mut decide: impl FnMut(&Given) -> Decision) -> Result<(), Problems> {
        let failed: Vec<Problem> = self.tests.iter().filter_map(|test| test.compare(&decide(&test.given))).collect();
        if failed.is_empty() { Ok(()) } else { Err(Problems(failed)) }
    }
}

/// The service manager looks after credentials, and the environment is no file.
fn secret_files(secrets: &[(Span, SecretRef)], place: impl Fn(&Span) -> Place) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = secrets
        .iter()
        .filter_map(|(span, reference)| match (reference, place(span)) {
            (SecretRef::File(file), _) => Some(file.clone()),
            (SecretRef::Value(_), Place::File { file, .. }) => Some(file.into()),
            (SecretRef::Value(_), Place::Variable(_) | Place::Whole(_)) | (SecretRef::Credential(_), _) => None,
        })
        .collect();
    files.sort();
    files.dedup();
    files
}
