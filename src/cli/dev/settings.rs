//! What `dev` decides so that nothing has to be configured: where it listens, where it keeps its files, and the
//! daemon's configuration. Knows the files that it makes, and deletes no others.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread;

use crate::config::{Config, Problems};
use crate::disk::private;

/// Ports that are tried when the wanted one is taken.
const PORTS_TRIED: u16 = 50;
/// Cores of the sandbox, which is one process among others on a laptop.
const CORES_MAX: usize = 2;
/// Fixed, so that a data directory can be moved between machines.
const SHARDS: u16 = 2;

/// The sandbox's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    directory: PathBuf,
}

impl Place {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The daemon's data directory.
    pub(super) fn store(&self) -> PathBuf {
        self.directory.join("stentor")
    }

    /// The file of the simulated carrier's memory.
    pub(super) fn journal(&self) -> PathBuf {
        self.directory.join("carrier.ndjson")
    }

    /// Makes the directory; with `fresh`, deletes what an earlier sandbox kept there. The error is for the operator.
    pub(super) fn prepare(&self, fresh: bool) -> Result<(), String> {
        let failed = |error: io::Error| format!("{}: {error}", self.directory.display());
        if fresh {
            self.clear().map_err(failed)?;
        }
        private::directory(&self.directory).map_err(failed)
    }

    fn clear(&self) -> io::Result<()> {
        let store = self.store();
        if fs::exists(&store)? && !fs::exists(store.join("stentor.format"))? && fs::read_dir(&store)?.next().is_some() {
            let what = format!("{} is not Stentor's data and is not deleted", store.display());
            return Err(io::Error::new(ErrorKind::AlreadyExists, what));
        }
        let held = fs::File::open(store.join("lock")).map(|lock| matches!(lock.try_lock(), Err(_held)));
        if held.unwrap_or(false) {
            return Err(io::Error::new(ErrorKind::ResourceBusy, "another process uses it"));
        }
        absent_is_fine(fs::remove_dir_all(store))?;
        absent_is_fine(fs::remove_file(self.journal()))?;
        absent_is_fine(fs::remove_file(self.directory.join("carrier.ndjson.1")))
    }
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The wanted address, or the next free port after it. Another process may take it before the daemon listens; then the start
/// fails and says so.
pub(super) fn free_address(wanted: SocketAddr) -> Result<SocketAddr, String> {
    let ports = wanted.port()..=wanted.port().saturating_add(PORTS_TRIED);
    for port in ports {
        let address = SocketAddr::new(wanted.ip(), port);
        match TcpListener::bind(address).and_then(|listener| listener.local_addr()) {
            Ok(address) => return Ok(address),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(format!("cannot listen on {address}: {error}")),
        }
    }
    Err(format!("{wanted} and the next {PORTS_TRIED} ports are taken"))
}

/// The configuration as the text of a file. Waits are short, because a person is watching.
pub(super) fn text(listen: SocketAddr, carrier: SocketAddr, store: &Path) -> String {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get().min(CORES_MAX));
    let store = toml::Value::String(store.display().to_string());
    format!(
        r#"[node]
data_dir = {store}
cores = {cores}
shards = {SHARDS}

[http]
listen = "{listen}"

[defaults]
from = "Stentor"
in_doubt_wait = "5s"

[retry]
transient = {{ attempts_max = 5, backoff_min = "1s", backoff_max = "10s" }}
session = {{ attempts_max = 10, backoff_min = "500ms", backoff_max = "5s" }}

[log]
level = "warn"
format = "text"

[[carrier]]
name = "sandbox"
hosts = ["{carrier}"]
system_id = "stentor"
password = "sandbox"
binds = 2
window = 100
response_timeout = "5s"
reconnect_min = "250ms"
reconnect_max = "2s"

[[route]]
name = "everything"
carriers = [{{ name = "sandbox" }}]
"#
    )
}

/// Parses [`text`]; the environment may change its keys, as with any configuration.
pub(super) fn config(text: &str) -> Result<Config, Problems> {
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Config::parse("the configuration of `stentor dev`", text, environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_one() {
        let (listen, carrier) = ("127.0.0.1:8080", "127.0.0.1:4711");
        let path = Path::new("a \"quoted\"\\place");
        let text = text(listen.parse().expect("address"), carrier.parse().expect("address"), path);
        let config = Config::parse("dev", &text, []).expect("configuration");
        assert_eq!(
            (config.http.listen[0].to_string(), config.carriers[0].hosts[0].to_string()),
            (listen.into(), carrier.into())
        );
        assert_eq!(config.node.data_dir, path);
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("listener");
        let wanted = taken.local_addr().expect("address");
        let found = free_address(wanted).expect("a free port");
        assert!(found.port() > wanted.port() && found.ip() == wanted.ip(), "{found}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let error = free_address("192.0.2.1:8080".parse().expect("address")).expect_err("not ours");
        assert!(error.starts_with("cannot listen on 192.0.2.1:8080"), "{error}");
    }

    fn made(directory: &Path) -> Place {
        let place = Place::new(directory);
        fs::create_dir_all(place.store()).expect("directory");
        fs::write(place.store().join("stentor.format"), "version = 1").expect("file");
        fs::write(place.journal(), "{}").expect("file");
        fs::write(directory.join("mine.txt"), "keep").expect("file");
        place
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("directory").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn fresh_deletes_its_own_and_nothing_else() {
        let directory = tempfile::tempdir().expect("directory");
        let place = made(directory.path());
        place.prepare(false).expect("prepared");
        assert_eq!(names(directory.path()), ["carrier.ndjson", "mine.txt", "stentor"]);
        place.prepare(true).expect("prepared");
        assert_eq!(names(directory.path()), ["mine.txt"]);
        place.prepare(true).expect("nothing to delete is fine");
    }

    #[test]
    fn fresh_spares_what_is_not_ours_or_in_use() {
        let directory = tempfile::tempdir().expect("directory");
        let place = made(directory.path());
        let lock = fs::File::create(place.store().join("lock")).expect("file");
        lock.lock().expect("locked");
        assert!(place.prepare(true).expect_err("in use").contains("another process uses it"));
        drop(lock);
        fs::remove_file(place.store().join("stentor.format")).expect("removed");
        assert!(place.prepare(true).expect_err("not ours").contains("not Stentor's data"));
    }
}
