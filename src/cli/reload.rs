//! `stentor reload`: tell the running daemon to read its configuration again. Whether it can is looked at here first; what
//! changes, or what needs a restart, the daemon tells its log, for only it knows what it runs with.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::exit::{Ended, Exit, Failure};
use crate::config::Config;
use crate::runtime::{signals, translate};
use crate::store::directory;

/// What was typed.
#[derive(Debug, Args)]
pub(super) struct Typed {
    /// The configuration that the daemon was started with
    #[arg(long, value_name = "FILE", env = "STENTOR_CONFIG")]
    config: PathBuf,
}

/// Checks the file and sends SIGHUP to the process that holds its data directory. Exit code 78 if the file is wrong, 69 if no
/// daemon runs there.
pub(super) fn run(typed: &Typed, out: &mut dyn Write) -> Ended {
    let file = typed.config.display().to_string();
    let wrong = |problems| Failure::new(Exit::CONFIG, problems);
    let config = Config::load(&typed.config).map_err(wrong)?;
    translate::check(&config, &file).map_err(wrong)?;
    let place = config.node.data_dir.display();
    let nobody = || Failure::new(Exit::UNAVAILABLE, format!("{place}: no daemon runs there"));
    let process = directory::holder(&config.node.data_dir).ok_or_else(nobody)?;
    signals::ask_to_reload(process)
        .map_err(|error| Failure::new(Exit::FAILED, format!("process {process} cannot be told: {error}")))?;
    writeln!(out, "process {process} was told to reload; its log says what changes")?;
    Ok(Exit::DONE)
}
