//! Settings that may be intended, but mostly are mistakes: reported by `stentor check` and by every start and reload, never
//! refused.

use std::{fmt, fs, os::unix::fs::PermissionsExt, path::Path};

use crate::config::Config;
use stentor_core::limit::Per;

use super::{certificates, disk};

/// Keys in our own documentation, which are therefore publicly known.
const EXAMPLE_KEYS: [&str; 2] = ["not-a-secret-any-more", "not-a-secret-either-now"];
/// The permission bit for reading by other users.
const OTHERS_READ: u32 = 0o004;

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The key of the configuration.
    pub path: String,
    /// What is odd, and what would be better.
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path, self.what)
    }
}

/// All warnings about a valid configuration. Looks at the files that it names.
pub fn warnings(config: &Config, now_s: i64) -> Vec<Warning> {
    [of_doors(config), of_files(config, now_s), of_carriers(config), of_limits(config)].concat()
}

/// The warnings for which no file is read.
pub fn of_text(config: &Config) -> Vec<Warning> {
    [of_doors(config), of_carriers(config), of_limits(config)].concat()
}

fn of_doors(config: &Config) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut warn = |path: String, what: String| found.push(Warning { path, what });
    for tenant in &config.tenants {
        for (list, keys) in [("keys", &tenant.keys), ("admin_keys", &tenant.admin_keys)] {
            if keys.iter().any(|key| EXAMPLE_KEYS.contains(&key.reveal())) {
                let what = "a key from the documentation's examples: it is publicly known";
                warn(format!("tenant.{}.{list}", tenant.name), what.to_owned());
            }
        }
        let class = config.defaults.class;
        if !tenant.keys.is_empty() && !tenant.classes.contains(&class) {
            let what = format!("`{}`, the class of messages that name none, is not among them", class.name());
            warn(format!("tenant.{}.classes", tenant.name), format!("{what}: such messages are refused"));
        }
    }
    if config.http.tls.is_none() && !config.http.is_loopback() {
        let what = "listens to other machines without `tls`: keys and texts can be read in transit";
        warn("http.listen".to_owned(), what.to_owned());
    }
    found
}

fn of_carriers(config: &Config) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut warn = |path: String, what: String| found.push(Warning { path, what });
    for carrier in &config.carriers {
        for (key, what) in carrier.beyond_smpp() {
            warn(format!("carrier.{}.{key}", carrier.name), what);
        }
        let takes = |share: &crate::config::Share| share.name == carrier.name && share.weight > 0;
        if !config.routes.iter().any(|route| route.carriers.iter().any(takes)) {
            warn(format!("carrier.{}", carrier.name), "no route leads to it: it will never be used".to_owned());
        }
    }
    found
}

fn of_limits(config: &Config) -> Vec<Warning> {
    let alike = |per| per == Per::Tenant && config.tenants.is_empty();
    let what = "without a [[tenant]] all messages belong to the same one: this counts like \"all\"";
    let odd = config.sending_limits.iter().filter(|limit| alike(limit.per));
    odd.map(|limit| Warning { path: format!("limit.{}.per", limit.name), what: what.to_owned() }).collect()
}

fn of_files(config: &Config, now_s: i64) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut warn = |path: String, what: String| found.push(Warning { path, what });
    for file in &config.secret_files {
        if let Some(what) = readable(file, "holds a secret") {
            warn("secrets".to_owned(), what);
        }
    }
    let http = config.http.tls.as_ref().map(|tls| ("http.tls.key".to_owned(), &tls.key));
    let carriers = config
        .carriers
        .iter()
        .filter_map(|carrier| Some((format!("carrier.{}.tls.key", carrier.name), carrier.tls.as_ref()?.key.as_ref()?)));
    for (key, file) in http.into_iter().chain(carriers) {
        if let Some(what) = readable(file, "holds a private key") {
            warn(key, what);
        }
    }
    for seen in certificates::look(config) {
        if let Some(what) = seen.warning(now_s) {
            warn(seen.key, what);
        }
    }
    found
}

/// Warns if acknowledged messages would be lost although nothing fails. Logged only by the start of a service: a configuration may
/// be checked on another machine, and `doctor` says it too.
pub fn of_place(data_dir: &Path) -> Option<Warning> {
    let (name, lost) = disk::forgetful(disk::kind(data_dir).ok()?)?;
    let what = format!("{} is on {name}: what a 202 acknowledged does not survive {lost}", data_dir.display());
    Some(Warning { path: "node.data_dir".to_owned(), what })
}

/// A file that cannot be read is reported elsewhere, or is not needed.
fn readable(file: &Path, holds: &str) -> Option<String> {
    let mode = fs::metadata(file).ok()?.permissions().mode();
    let shown = file.display();
    (mode & OTHERS_READ != 0)
        .then(|| format!("{shown} {holds} and is readable by every user of this machine: chmod o= {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARRIER: &str = "[[carrier]]\nname = \"a\"\nhosts = [\"h\"]\nsystem_id = \"s\"\n\
                           [[route]]\nname = \"all\"\ncarriers = [{ name = \"a\" }]\n";

    /// The warnings about this configuration, whose file has that mode.
    fn told(text: &str, mode: u32) -> Vec<String> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("stentor.toml");
        fs::write(&file, text).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
        let config = Config::load(&file).expect("a good configuration");
        let place = directory.path().display().to_string();
        warnings(&config, 0).iter().map(|warning| warning.to_string().replace(&place, "DIR")).collect()
    }

    #[test]
    fn what_is_as_it_should_be_is_not_told() {
        assert_eq!(told(CARRIER, 0o644), [""; 0], "no secret in it");
        let keys = "[http]\nlisten = \"127.0.0.1:1\"\n[[tenant]]\nname = \"t\"\nkeys = [\"0123456789abcdef\"]\n";
        assert_eq!(told(&format!("{keys}{CARRIER}"), 0o640), [""; 0], "reading by the group is intended");
    }

    #[test]
    fn a_data_directory_in_memory_is_told() {
        // Exists on every Linux, in containers as well.
        let told = of_place(Path::new("/dev/shm/stentor/not-there-yet")).map(|warning| warning.to_string());
        let what = "is on tmpfs: what a 202 acknowledged does not survive a restart of the machine";
        assert_eq!(told, Some(format!("node.data_dir: /dev/shm/stentor/not-there-yet {what}")));
        assert_eq!(of_place(Path::new("/proc")), None);
    }

    #[test]
    fn each_oddity_is_told_with_its_key() {
        let text = format!(
            "[http]\nlisten = \"0.0.0.0:8080\"\n[[tenant]]\nname = \"t\"\nkeys = [\"not-a-secret-any-more\"]\n\
             admin_keys = [\"not-a-secret-either-now\"]\nclasses = [\"otp\"]\n{CARRIER}[[carrier]]\nname = \"idle\"\nhosts = [\"h\"]\n\
             system_id = \"s\"\n"
        );
        assert_eq!(
            told(&text, 0o644),
            [
                "tenant.t.keys: a key from the documentation's examples: it is publicly known",
                "tenant.t.admin_keys: a key from the documentation's examples: it is publicly known",
                "tenant.t.classes: `transactional`, the class of messages that name none, is not among them: such messages are refused",
                "http.listen: listens to other machines without `tls`: keys and texts can be read in transit",
                "secrets: DIR/stentor.toml holds a secret and is readable by every user of this machine: chmod o= DIR/stentor.toml",
                "carrier.idle: no route leads to it: it will never be used",
            ]
        );
        let reference = include_str!("../../config/stentor.toml");
        let known = reference.matches("\"not-a-secret-").count();
        assert_eq!(EXAMPLE_KEYS.iter().filter(|key| reference.contains(*key)).count(), known, "all of the examples");
    }

    #[test]
    fn a_limit_for_each_of_no_tenants_is_told() {
        let limit = |per: &str| format!("[[limit]]\nname = \"x\"\nrate = \"1/s\"\nper = \"{per}\"\n{CARRIER}");
        let what = "limit.x.per: without a [[tenant]] all messages belong to the same one: this counts like \"all\"";
        assert_eq!(told(&limit("tenant"), 0o644), [what]);
        assert_eq!(told(&limit("sender"), 0o644), [""; 0]);
    }

    #[test]
    fn a_file_with_a_secret_is_looked_at_wherever_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let secret = directory.path().join("password");
        fs::write(&secret, "secret").expect("written");
        let text =
            CARRIER.replace("system_id", &format!("password = {{ file = \"{}\" }}\nsystem_id", secret.display()));
        for (mode, warned) in [(0o644, 1), (0o640, 0)] {
            fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).expect("a mode");
            let told = told(&text, 0o644);
            assert_eq!(told.len(), warned, "{told:?}");
            assert!(told.iter().all(|told| told.contains("password holds a secret and is readable")), "{told:?}");
        }
    }
}
