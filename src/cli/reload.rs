//! `stentor reload`: tells the running daemon to read its configuration again, and waits for its answer. Whether the file can be
//! read at all is checked here first; only the daemon knows what changes, or what needs a restart.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::exit::{Ended, Exit, Failure};
use crate::config::Config;
use crate::disk::directory;
use crate::runtime::reload_request::{ReloadRequest, ReloadResult};
use crate::runtime::{signals, translate};

/// How long to wait for the daemon: a reload waits for a disk, for names of carriers, for every core, seconds at worst.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks for the daemon's answer.
const LOOK: Duration = Duration::from_millis(20);

/// The arguments of `stentor reload`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file that the daemon was started with
    #[arg(long, value_name = "FILE", env = "STENTOR_CONFIG")]
    config: PathBuf,
    /// Only report what would change, or why it would be refused
    #[arg(long)]
    dry_run: bool,
}

/// Checks the file, tells the process that holds its data directory, waits for its result and prints it. Exit code 78 if the
/// file is wrong or refused, 69 if no daemon runs there or none answers.
pub(super) fn run(typed: &Arguments, out: &mut dyn Write) -> Ended {
    let file = typed.config.display().to_string();
    let wrong = |problems| Failure::new(Exit::CONFIG, problems);
    // Only the daemon has the secrets: it is given credentials, and a shell is not.
    let config = Config::load_without_secrets(&typed.config).map_err(wrong)?;
    translate::check_without_secrets(&config, &file).map_err(wrong)?;
    let directory = &config.node.data_dir;
    let place = directory.display();
    let no_daemon = || Failure::new(Exit::UNAVAILABLE, format!("{place}: no daemon is running there"));
    let process = directory::holder(directory).ok_or_else(no_daemon)?;
    let ask = ReloadRequest { number: number(), dry_run: typed.dry_run };
    ask.leave(directory).map_err(|error| Failure::new(Exit::IO, format!("{place}: {error}")))?;
    signals::ask_to_reload(process)
        .map_err(|error| Failure::new(Exit::FAILED, format!("process {process} cannot be signalled: {error}")))?;
    let Some(result) = wait(directory, &ask) else {
        ask.withdraw(directory);
        let seconds = PATIENCE.as_secs();
        let what = format!("process {process} has not answered within {seconds} s: see its log");
        return Err(Failure::new(Exit::UNAVAILABLE, what));
    };
    if result.refused {
        let lines: Vec<_> = result.lines.iter().map(|line| format!("\n  {line}")).collect();
        return Err(Failure::new(Exit::CONFIG, format!("refused, nothing was changed:{}", lines.concat())));
    }
    for line in &result.lines {
        writeln!(out, "{line}")?;
    }
    let end = match (result.lines.is_empty(), typed.dry_run) {
        (true, _) => "nothing has changed",
        (false, true) => "nothing was applied: a reload would change this",
        (false, false) => "applied",
    };
    writeln!(out, "{end}")?;
    Ok(Exit::DONE)
}

/// A number that no other request for a reload has.
fn number() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64 ^ u64::from(std::process::id()) << 40
}

fn wait(directory: &Path, ask: &ReloadRequest) -> Option<ReloadResult> {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = ReloadResult::find(directory, ask);
        if found.is_some() || Instant::now() >= end || directory::holder(directory).is_none() {
            return found;
        }
        thread::sleep(LOOK);
    }
}
