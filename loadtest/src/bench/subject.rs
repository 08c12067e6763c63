//! What was measured: the binary, its version and commit, and the configuration, without its secrets.

use std::fs;
use std::path::Path;
use std::process::Command;

use flate2::Crc;
use serde::{Deserialize, Serialize};

use crate::run::ground::GroundOptions;

/// Parts of key names whose values are secret.
const SECRET: [&str; 6] = ["key", "password", "secret", "token", "credential", "pass"];
const HIDDEN: &str = "(not shown)";

/// The daemon and how it was set up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Subject {
    /// The version that it reports.
    pub version: String,
    /// The commit of the checkout in which it was built, with `+` if files there were changed.
    pub commit: String,
    pub binary: String,
    pub binary_bytes: u64,
    /// CRC-32 of the binary, to tell apart two builds of one version.
    pub binary_crc32: String,
    /// Whether it is where cargo puts builds without optimisation.
    pub is_debug: bool,
    /// `config/bench.toml`, or the name of another file.
    pub configuration_file: String,
    pub configuration: serde_json::Value,
    /// Names of the environment variables that change it.
    pub environment: Vec<String>,
    /// The version of the program that measures.
    pub loadtest: String,
}

impl Subject {
    /// Queries the binary and reads the configuration. `commit` is the value of `--commit`, which overrides the checkout.
    pub(super) fn read(options: &GroundOptions, commit: Option<&str>) -> Result<Self, String> {
        let binary = options.binary()?;
        let content = fs::read(&binary).map_err(|error| format!("{}: {error}", binary.display()))?;
        let output = Command::new(&binary).arg("--version").output();
        let output = output.map_err(|error| format!("{}: {error}", binary.display()))?;
        let mut crc = Crc::new();
        crc.update(&content);
        let file =
            options.config.as_ref().map_or("config/bench.toml, built in".to_owned(), |f| f.display().to_string());
        let place = binary.canonicalize().unwrap_or_else(|_| binary.clone());
        Ok(Self {
            version: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            commit: commit.map_or_else(|| commit_at(&place), str::to_owned),
            binary: binary.display().to_string(),
            binary_bytes: content.len() as u64,
            binary_crc32: format!("{:08x}", crc.sum()),
            is_debug: place.components().any(|part| part.as_os_str() == "debug"),
            configuration_file: file,
            configuration: told(&options.read_config()?),
            environment: environment(),
            loadtest: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// A daemon on another host, of which only its answers are known.
    pub(super) fn elsewhere(version: String, commit: Option<&str>) -> Self {
        Self {
            version,
            commit: commit.unwrap_or("unknown").to_owned(),
            binary: "on another host".to_owned(),
            loadtest: env!("CARGO_PKG_VERSION").to_owned(),
            ..Self::default()
        }
    }
}

/// The commit of the checkout that holds the binary, if it is one.
fn commit_at(binary: &Path) -> String {
    let git = |arguments: &[&str]| {
        let directory = binary.parent()?;
        let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".to_owned() };
    let is_changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|list| !list.is_empty());
    if is_changed { commit + "+" } else { commit }
}

fn environment() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("STENTOR_")).collect();
    names.sort();
    names
}

/// A configuration as JSON, with its secrets hidden; null if it cannot be read, which the daemon itself will report.
fn told(text: &str) -> serde_json::Value {
    let mut value = match toml::from_str::<serde_json::Value>(text) {
        Ok(value) => value,
        Err(_) => return serde_json::Value::Null,
    };
    hide(&mut value);
    value
}

fn hide(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                if SECRET.iter().any(|word| name.contains(word)) {
                    *value = HIDDEN.into();
                } else {
                    hide(value);
                }
            }
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(hide),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let text = "[[tenant]]\nname = \"a\"\nkeys = [\n\"hush\"]\nadmin_keys = [\"hush\"]\n[[carrier]]\nwindow = 7\n\
            password = { file = \"hush\" }\n[webhook]\nsigning_secret = \"hush\"\n";
        let told = told(text);
        assert!(!told.to_string().contains("hush"), "{told}");
        assert_eq!((&told["carrier"][0]["window"], &told["tenant"][0]["name"]), (&7.into(), &"a".into()));
        assert_eq!(super::told("= nonsense"), serde_json::Value::Null);
    }
}
