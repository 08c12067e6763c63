//! The daemon under attack: its configuration with small limits, its few descriptors, the name server that never
//! answers, and the log reader that stops reading. Prepares; the attacks themselves are in other files.

use std::fs::{self, OpenOptions};
use std::io::{PipeReader, Read, Write, pipe};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::super::ground::Ground;
use super::super::means;
use super::attack::{Ending, Front, Tally};

/// The carrier that behaves correctly.
pub(super) const GOOD: &str = "good";
/// API keys. Attackers have two tenants; the second one also has an operator's key.
pub(super) const KEY_A: &str = "attacker-a-0123456789";
pub(super) const KEY_B: &str = "attacker-b-0123456789";
pub(super) const KEY_B_ADMIN: &str = "attacker-b-operator-0123456789";
pub(super) const KEY_THIRD: &str = "third-0123456789abcdef";
/// Prefixes of recipients, by which messages go to the hostile carrier, to the one that cannot be reached, and to the
/// good one; eight digits follow.
pub(super) const TO_HOSTILE: &str = "+49152";
pub(super) const TO_ABSENT: &str = "+49157";
pub(super) const TO_GOOD: &str = "+49159";

/// `limits.memory`.
pub(super) const MEMORY: u64 = 256 << 20;
/// Most connections of the daemon; clients without a key open more.
pub(super) const CONNECTIONS_MAX: usize = 2_000;
/// The usual soft limit of descriptors of a service; the hard limit is unchanged.
const FDS_SOFT: u32 = 1_024;
/// The smallest possible pipe, so that a stalled reader has an effect soon.
const PIPE_LEN: usize = 4_096;
/// How long the log is read, and then not read, in turns.
const READ_TIME: Duration = Duration::from_secs(8);
const STALL_TIME: Duration = Duration::from_secs(12);
/// A loopback address that no other process uses for names.
const NAME_SERVER: &str = "127.0.0.77:53";

/// A third of the queue and of the window of keys is less than the attackers offer in the first minute; the third
/// tenant itself has 9,000 messages with keys in a quarter of an hour.
/// keys in a quarter of an hour.
const CONFIG: &str = r#"
[node]
cores = 1
[http]
connections_max = CONNECTIONS
[limits]
memory = "MEMORY"
queue = 30000
keys = 30000
[log]
level = "info"

[[carrier]]
name = "good"
hosts = ["127.0.0.1:2775"]
system_id = "good"
window = 1000

[[carrier]]
name = "hostile"
hosts = ["127.0.0.1:HOSTILE"]
system_id = "hostile"
binds = 2
window = 200
reconnect_min = "100ms"
reconnect_max = "300ms"
connect_timeout = "2s"
response_timeout = "2s"
enquire_link = "2s"

[[carrier]]
name = "absent"
hosts = [ABSENT]
system_id = "absent"
reconnect_min = "100ms"
reconnect_max = "300ms"
connect_timeout = "2s"

[[route]]
name = "hostile"
when = { prefix = ["49152"] }
carriers = [{ name = "hostile" }]

[[route]]
name = "absent"
when = { prefix = ["49157"] }
carriers = [{ name = "absent" }]

[[route]]
name = "all"
carriers = [{ name = "good" }]

[[tenant]]
name = "attacker-a"
keys = ["KEY_A"]
classes = ["emergency", "otp", "transactional", "marketing"]

[[tenant]]
name = "attacker-b"
keys = ["KEY_B"]
admin_keys = ["KEY_B_ADMIN"]

[[tenant]]
name = "third"
admin_keys = ["KEY_THIRD"]
"#;

/// A name server that accepts queries and never answers, as long as this value exists.
#[derive(Debug)]
pub(super) struct NameServer(Option<UdpSocket>);

/// The reading end of the daemon's log.
#[derive(Debug)]
pub(super) struct LogReader {
    pipe: PipeReader,
    file: PathBuf,
}

impl NameServer {
    /// Takes its port, and prepares the daemon to use it: that needs root and a mount namespace.
    pub(super) fn start(ground: &Ground) -> Self {
        let file = resolver(ground);
        let address = NAME_SERVER.split(':').next().unwrap_or_default();
        let is_written = fs::write(&file, format!("nameserver {address}\n")).is_ok();
        let file = file.display().to_string();
        let can_mount = || means::run("unshare", &["-m", "mount", "--bind", &file, "/etc/resolv.conf"]).is_ok();
        Self(UdpSocket::bind(NAME_SERVER).ok().filter(|_| is_written && can_mount()))
    }

    /// No name server.
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// Whether there is a name server.
    pub(super) fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

fn resolver(ground: &Ground) -> PathBuf {
    ground.path().join("resolv.conf")
}

/// Makes the ground's daemon the one that is attacked; `hostile` is the port of the hostile carrier.
pub(super) fn prepare(ground: &mut Ground, hostile: u16, name_server: &NameServer) -> Result<LogReader, String> {
    // Without a name server: ports on which no process listens.
    let absent = if name_server.is_there() {
        r#""smsc.carrier.example:2775""#
    } else {
        r#""127.0.0.78:1", "127.0.0.79:1", "127.0.0.80:1""#
    };
    let config = CONFIG
        .replace("CONNECTIONS", &CONNECTIONS_MAX.to_string())
        .replace("MEMORY", &format!("{}MiB", MEMORY >> 20))
        .replace("HOSTILE", &hostile.to_string())
        .replace("ABSENT", absent)
        .replace("KEY_B_ADMIN", KEY_B_ADMIN)
        .replace("KEY_A", KEY_A)
        .replace("KEY_B", KEY_B)
        .replace("KEY_THIRD", KEY_THIRD);
    ground.use_config(&config, GOOD)?;
    ground.use_key(KEY_THIRD);
    let limited = format!("ulimit -Sn {FDS_SOFT} && exec \"$0\" \"$@\"");
    if name_server.is_there() {
        let mount = format!("mount --bind '{}' /etc/resolv.conf && {limited}", resolver(ground).display());
        ground.set_wrapper(&["unshare", "-m", "--", "sh", "-c", &mount]);
    } else {
        ground.set_wrapper(&["sh", "-c", &limited]);
    }
    LogReader::prepare(ground)
}

/// Raises the limit of descriptors of this process to the hard limit; gives that number.
pub(super) fn raise_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // If refused, there are fewer connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

impl LogReader {
    fn prepare(ground: &mut Ground) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("a pipe: {error}");
        let (reader, writer) = pipe().map_err(failed)?;
        fcntl_setpipe_size(&writer, PIPE_LEN).map_err(|error| failed(error.into()))?;
        let file = ground.next_log();
        ground.hear_stderr(writer);
        Ok(Self { pipe: reader, file })
    }

    /// Writes the log to its file, on a thread of its own, until the daemon ends; during the phase of `front` it stalls
    /// again and again.
    pub(super) fn start(self, front: &Arc<OnceLock<Arc<Front>>>, tally: &Arc<Tally>) {
        let (front, tally) = (Arc::clone(front), Arc::clone(tally));
        thread::spawn(move || self.read(&front, &tally));
    }

    fn read(mut self, front: &OnceLock<Arc<Front>>, tally: &Tally) {
        let Ok(mut file) = OpenOptions::new().append(true).create(true).open(&self.file) else { return };
        let mut room = [0; PIPE_LEN];
        loop {
            if let Some(front) = front.get().filter(|front| !front.is_over() && is_stall(front.elapsed())) {
                front.wait(STALL_TIME);
                tally.note(Ending::Held);
            }
            match self.pipe.read(&mut room) {
                Ok(0) | Err(_) => return,
                // A log line that cannot be written is missing only when errors are investigated.
                Ok(read) => drop(file.write_all(&room[..read])),
            }
        }
    }
}

fn is_stall(elapsed: Duration) -> bool {
    elapsed.as_millis() % (READ_TIME + STALL_TIME).as_millis() >= READ_TIME.as_millis()
}
