//! The configuration: turns what the operator wrote into the values that the daemon uses.
//!
//! One TOML file ([`raw`]: as written), environment variables over it, secrets read, defaults filled in, everything
//! checked → [`Config`] (as resolved: units in the names, nothing optional that has a default). The result is either a
//! complete `Config` or all problems with their places; never a partial one. `config/stentor.toml` explains each key.
//!
//! Knows none of the modules that it configures: the values are plain data, and the code that starts those modules hands
//! the values on. [`Config::load`] is the only place that reads the process's environment; apart from the given file, only
//! files of secrets are read.

mod carrier;
mod carrier_tlv;
mod check;
mod choice;
mod diff;
mod environment;
mod error;
mod expectation;
mod gather;
mod limit;
mod message;
mod raw;
mod read;
mod recipients;
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

pub use carrier::{Carrier, CarrierTls, Dialect, Host};
pub use carrier_tlv::Tlv;
pub use choice::{
    BindKind, CarrierEncoding, CarrierKind, Class, DefaultAlphabet, DoubtPolicy, ErrorFamily, IdForm, LimitOf,
    LimitOver, LimitPer, LogFormat, LogLevel, LogPdus, LogRequests, NodeIo, NumberRule, Receipts, Splitting,
};
pub use diff::{Change, diff};
pub use error::{Place, Problem, Problems};
pub use expectation::{Decision, Expect, Expectation, Given};
pub use limit::{Limit, LimitWhen};
pub use message::{ByClass, Defaults, NumberRange, Retry};
pub use raw::RawConfig;
pub use recipients::Recipients;
pub use route::{Route, Share, When};
pub use secret::Secret;
pub use server::{Http, HttpTls, Limits, Log, Node};
pub use tenant::Tenant;
pub use units::PerSpan;

use gather::{Gather, Numbers, Secrets};
use secret::SecretRef;
use source::{PREFIX, Source, Span};

/// The resolved configuration. Serialized, it has the keys and units of the file, with secrets masked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Identity, data directory, shards and cores.
    pub node: Node,
    /// The HTTP server.
    pub http: Http,
    /// Values for fields that a message leaves out.
    pub defaults: Defaults,
    /// Upper bounds of what the process holds.
    pub limits: Limits,
    /// Numbers to which messages may go, of whatever tenant.
    pub recipients: Recipients,
    /// How often and how soon a refused part is tried again.
    pub retry: Retry,
    /// What is logged, and how.
    pub log: Log,
    /// At least one; names are unique.
    #[serde(rename = "carrier")]
    pub carriers: Vec<Carrier>,
    /// At least one, in the order in which they are matched.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// Empty: no authentication; every client on this machine is tenant 0.
    #[serde(rename = "tenant")]
    pub tenants: Vec<Tenant>,
    /// How much may be sent of which messages in which time; names are unique.
    #[serde(rename = "limit")]
    pub sending_limits: Vec<Limit>,
    /// Routing tests, run by [`Config::failed_tests`].
    #[serde(rename = "test")]
    pub tests: Vec<Expectation>,
    /// Files that hold secrets; the configuration file itself is one of them if a secret is written in it as text.
    #[serde(skip)]
    pub secret_files: Vec<PathBuf>,
}

impl Config {
    /// Reads `file`, overridden by this process's environment. On problems the process should exit with code 78.
    pub fn load(file: &Path) -> Result<Self, Problems> {
        Self::load_with(file, Secrets::Fetch)
    }

    /// As [`Self::load`], but leaves secrets in files and credentials empty: for checking a configuration on a machine that
    /// does not have them.
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
                    let what = "its value is not UTF-8: set it to UTF-8 text";
                    return Err(alone(Place::Variable(name.to_owned()), what.to_owned()));
                }
                Err(_) => {}
            }
        }
        let text = std::fs::read_to_string(file)
            .map_err(|error| alone(Place::Whole(shown.clone()), format!("cannot be read: {error}")))?;
        Self::parse_with(&shown, &text, environment, secrets)
    }

    /// As [`Self::load`], from a text. Problems call it `file`. From `environment` only `STENTOR__…` and
    /// `CREDENTIALS_DIRECTORY` are used. Reads the files that hold secrets, and no others.
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
            recipients: Recipients::meant(&raw.recipients, gather),
            retry: Retry::meant(&raw.retry, gather),
            log: Log::meant(&raw.log),
            carriers: raw.carrier.iter().map(|typed| Carrier::meant(typed, gather)).collect(),
            routes: raw.route.iter().map(|typed| Route::meant(typed, gather)).collect(),
            tenants: raw.tenant.iter().map(|typed| Tenant::meant(typed, gather)).collect(),
            sending_limits: raw.limit.iter().map(|typed| Limit::meant(typed, gather)).collect(),
            tests: raw.test.iter().map(|typed| Expectation::meant(typed, gather, stand)).collect(),
            secret_files: Vec::new(),
        }
    }

    /// Runs each `[[test]]`: `decide` says what would become of its message, and each unexpected outcome is a problem.
    pub fn failed_tests(&self, mut decide: impl FnMut(&Given) -> Decision) -> Result<(), Problems> {
        let failed: Vec<Problem> = self.tests.iter().filter_map(|test| test.compare(&decide(&test.given))).collect();
        if failed.is_empty() { Ok(()) } else { Err(Problems(failed)) }
    }
}

/// The files among the sources of secrets. Credentials are left out, since the service manager protects them, and so are
/// secrets given by environment variables.
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
