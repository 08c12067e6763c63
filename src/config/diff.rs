//! What a reload would change, in terms of the file's keys, and which changes need a restart.
//!
//! Invariant: a changed secret is listed as changed, its value is never shown. Applies nothing.

use std::collections::BTreeMap;
use std::fmt;

use toml::Value;

use super::Config;
use super::secret::{MASK, Secret};

/// One changed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key's path, such as `carrier.bench.window`; `route` alone is the order of the routes.
    pub path: String,
    /// The value before, as TOML; `None` if the key was absent.
    pub old: Option<String>,
    /// The value after, as TOML; `None` if the key is now absent.
    pub new: Option<String>,
    /// True if the key cannot be changed while the process runs.
    pub needs_restart: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(out, "{}: {} → {}", self.path, text(&self.old), text(&self.new))?;
        if self.needs_restart { out.write_str(" (needs a restart)") } else { Ok(()) }
    }
}

/// Keys and tables that are read only at start: identity, data directory, threads, sockets, and limits by which memory is
/// allocated.
const AT_START: [&str; 8] = [
    "node",
    "http.listen",
    "http.connections_max",
    "limits.keys",
    "limits.key_window",
    "limits.memory",
    "limits.disk_floor",
    "log.format",
];

/// All changes, sorted by path.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let (old, new) = (flatten(old), flatten(new));
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    let changed = paths.into_iter().filter(|path| old.get(*path) != new.get(*path));
    changed
        .map(|path| Change {
            path: path.clone(),
            old: old.get(path).map(Leaf::shown),
            new: new.get(path).map(Leaf::shown),
            needs_restart: needs_restart(path),
        })
        .collect()
}

/// Whether the key at this path is read only at start.
pub(super) fn needs_restart(path: &str) -> bool {
    let below = |rest: &str| rest.is_empty() || rest.starts_with('.');
    AT_START.iter().any(|start| path.strip_prefix(start).is_some_and(below))
}

#[derive(PartialEq)]
enum Leaf {
    Plain(String),
    Secrets(Vec<Secret>),
}

impl Leaf {
    fn shown(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Secrets(_) => MASK.to_owned(),
        }
    }
}

fn flatten(config: &Config) -> BTreeMap<String, Leaf> {
    let mut leaves = BTreeMap::new();
    if let Ok(value) = Value::try_from(config) {
        descend(String::new(), &value, &mut leaves);
    }
    for carrier in &config.carriers {
        insert_secrets(
            &mut leaves,
            format!("carrier.{}.password", carrier.name),
            std::slice::from_ref(&carrier.password),
        );
    }
    for tenant in &config.tenants {
        insert_secrets(&mut leaves, format!("tenant.{}.keys", tenant.name), &tenant.keys);
        insert_secrets(&mut leaves, format!("tenant.{}.admin_keys", tenant.name), &tenant.admin_keys);
    }
    leaves
}

/// Replaces the masked text by the secrets themselves, so that they can be compared.
fn insert_secrets(leaves: &mut BTreeMap<String, Leaf>, path: String, secrets: &[Secret]) {
    leaves.insert(path, Leaf::Secrets(secrets.to_vec()));
}

fn descend(path: String, value: &Value, leaves: &mut BTreeMap<String, Leaf>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| descend(below(key), value, leaves)),
        Value::Array(array) if !array.is_empty() && array.iter().all(|element| name(element).is_some()) => {
            for element in array {
                descend(below(name(element).unwrap_or_default()), element, leaves);
            }
            if path == "route" {
                let order: Vec<&str> = array.iter().filter_map(name).collect();
                leaves.insert(path, Leaf::Plain(order.join(" → ")));
            }
        }
        Value::Array(_)
        | Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => {
            leaves.insert(path, Leaf::Plain(value.to_string()));
        }
    }
}

fn name(element: &Value) -> Option<&str> {
    element.get("name")?.as_str()
}
