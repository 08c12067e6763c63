//! `docs/OPERATING.md` as its reader follows it: each of its commands, in its order, with the files that it shows.
//!
//! The stage provides what the page assumes: an installed binary, a service manager that follows
//! `config/stentor.service` (`systemctl`, `systemd-run`), its journal, a carrier of that name with and without TLS. The
//! page's system directories, carrier addresses and HTTP port are replaced, because a test does not own them; owners of
//! files are not changed, because there is no user `stentor` here.

mod stage;

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stage::daemon::stentor;
use stage::process::Smsc;

const GUIDE: &str = include_str!("../../docs/OPERATING.md");
const UNIT: &str = include_str!("../../config/stentor.service");

/// A block of the page that is played.
#[derive(Debug, PartialEq, Eq)]
enum Block<'g> {
    /// The configuration.
    Toml(&'g str),
    /// Commands.
    Shell(&'g str),
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced
        .filter_map(|fenced| {
            let (language, text) = fenced.split_once('\n')?;
            match language {
                "toml" => Some(Block::Toml(text)),
                "sh" => Some(Block::Shell(text)),
                "" => None,
                other => panic!("a block that is not played: {other}"),
            }
        })
        .collect()
}

/// The machine that the page describes.
struct Machine {
    root: tempfile::TempDir,
    /// Texts on the page, and their replacements here.
    here: Vec<(String, String)>,
}

impl Machine {
    fn new(plain: &Smsc, secure: &Smsc) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let folders = ["/etc/stentor", "/etc/systemd/system", "/var/lib/stentor", "/var/backups", "/run/stentor"];
        let below = |folder: &str| root.path().join(folder.trim_start_matches('/')).display().to_string();
        let mut here: Vec<_> = folders.iter().map(|folder| ((*folder).to_owned(), below(folder))).collect();
        here.push(("smpp.north.example:2775".to_owned(), plain.listening.to_string()));
        here.push(("smpp.north.example:2776".to_owned(), secure.listening.to_string()));
        here.push(("127.0.0.1:8080".to_owned(), format!("127.0.0.1:{port}")));
        let machine = Self { root, here };
        for folder in
            ["etc/stentor", "etc/systemd/system", "var/lib", "var/backups", "run/stentor", "bin", "credentials"]
        {
            fs::create_dir_all(machine.path(folder)).expect("a folder");
        }
        symlink(stentor(), machine.path("bin/stentor")).expect("a link");
        fs::write(machine.path("stentor.service"), machine.moved(UNIT).replace("/usr/bin/", "")).expect("written");
        machine.install("systemctl", SYSTEMCTL);
        machine.install("systemd-run", SYSTEMD_RUN);
        machine.install("journalctl", JOURNALCTL);
        machine.install("chown", "");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn moved(&self, text: &str) -> String {
        self.here.iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here))
    }

    fn install(&self, name: &str, script: &str) {
        let file = self.path("bin").join(name);
        fs::write(&file, format!("#!/bin/bash\nset -euo pipefail\nroot={}\n{script}", self.root.path().display()))
            .expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("a mode");
    }

    /// Runs commands; gives their output if each succeeds.
    fn play(&self, commands: &str) -> String {
        let commands = self.moved(commands);
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap_or_default());
        let socket = format!("unix:{}", self.path("run/stentor/admin.sock").display());
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &commands]).current_dir(self.root.path());
        shell.env("PATH", path).env("STENTOR_URL", socket).stdin(Stdio::null());
        let output = shell.output().expect("bash runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{}\n{commands}\n{text}\n{}", output.status, self.journal());
        text
    }

    fn journal(&self) -> String {
        fs::read_to_string(self.path("journal")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.path("pid")).ok().and_then(|text| text.trim().parse().ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Does what systemd does with the lines of the unit.
const SYSTEMCTL: &str = r#"
of_unit() { sed -n "s/^$1=//p" "$root/stentor.service"; }
load_credentials() {
    for drop_in in "$root"/etc/systemd/system/stentor.service.d/*.conf; do
        [[ -e $drop_in ]] || continue
        while IFS=: read -r name file; do install -m 0400 "$file" "$root/credentials/$name"; done \
            < <(sed -n 's/^LoadCredential=//p' "$drop_in")
    done
}
start() {
    load_credentials
    export CREDENTIALS_DIRECTORY=$root/credentials
    setsid $(of_unit ExecStart) >>"$root/journal" 2>&1 </dev/null &
    echo $! >"$root/pid"
    for _ in $(seq 600); do
        stentor status >/dev/null 2>&1 && return
        kill -0 "$(<"$root/pid")" || { echo "it ended at its start" >&2; exit 1; }
        sleep 0.1
    done
    exit 1
}
stop() {
    kill -TERM "$(<"$root/pid")"
    while kill -0 "$(<"$root/pid")" 2>/dev/null; do sleep 0.05; done
    rm "$root/pid"
}
case $1 in
    daemon-reload) ;;
    start) start ;;
    stop) stop ;;
    restart) stop; start ;;
    reload) $(of_unit ExecReload) ;;
    *) echo "systemctl $1: not played here" >&2; exit 1 ;;
esac
"#;

const SYSTEMD_RUN: &str = r#"
export CREDENTIALS_DIRECTORY=$(mktemp -d "$root/credentials/XXXX")
while [[ $1 == -* ]]; do
    [[ $1 == -p ]] || { shift; continue; }
    case $2 in LoadCredential=*) IFS=:= read -r _ name file <<<"$2"; install -m 0400 "$file" "$CREDENTIALS_DIRECTORY/$name" ;; esac
    shift 2
done
exec "$@"
"#;

const JOURNALCTL: &str = r#"
[[ "$1 $2 $3 $4 $5" == "-u stentor -o cat -g" ]]
sleep 0.2 # The log has a thread of its own.
grep -E -- "$6" "$root/journal"
"#;

fn has(program: &str) -> bool {
    let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    there.is_ok_and(|status| status.success())
}

#[test]
fn each_command_of_the_guide_does_what_it_is_for() {
    if let Some(missing) = ["bash", "openssl", "curl", "setsid"].into_iter().find(|program| !has(program)) {
        assert!(std::env::var_os("CI").is_none(), "{missing} is needed");
        eprintln!("SKIPPED: needs {missing}");
        return;
    }
    let account = ["--system-id", "me", "--password", "secret"];
    let plain = Smsc::start(&account);
    let secure = Smsc::start(&[&account[..], &["--tls"]].concat());
    let machine = Machine::new(&plain, &secure);
    let mut told = String::new();
    for block in blocks(GUIDE) {
        match block {
            Block::Toml(text) => {
                let file = machine.path("etc/stentor/stentor.toml");
                fs::write(&file, machine.moved(text)).expect("written");
                fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("a mode");
            }
            Block::Shell(commands) => told.push_str(&machine.play(commands)),
        }
    }
    // Output that the page promises.
    for seen in
        ["delivered", "sha256 Fingerprint=", "POST /v1/messages 202", "north ← submit_sm", "stentor_queue_depth"]
    {
        assert!(told.to_lowercase().contains(&seen.to_lowercase()), "{seen:?} is missing:\n{told}");
    }
    assert!(!told.contains("4915112345678 (1/1)"), "numbers are masked:\n{told}");
    machine.play("systemctl stop stentor");
    assert!(Path::new(&machine.path("var/lib/stentor.lost")).is_dir(), "the lost directory is kept");
}

#[test]
fn blocks_are_found_by_their_language() {
    let page = "a\n```sh\nstentor status\n```\nb\n```\nwhat it prints\n```\n```toml\n[node]\n```\n";
    assert_eq!(blocks(page), [Block::Shell("stentor status\n"), Block::Toml("[node]\n")]);
}
