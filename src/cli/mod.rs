//! The commands. `Typed` of each command is a clap struct of its arguments; its `run` carries it out.
//!
//! Knows how a person or a script uses Stentor: arguments, output, exit codes ([`Exit`]). Does not know how
//! anything is done: `serve` and `dev` start the daemon, `restore` fills a directory, the others speak HTTP like any client.
//!
//! Results go to stdout, everything else to stderr; with `--json`, stdout holds exactly one JSON document (for `inbound`, which
//! may never end, one per line).

mod backup;
mod check;
mod check_data;
mod client;
mod connection;
mod consent;
mod dev;
mod doctor;
mod download;
mod exit;
mod in_doubt;
mod inbound;
mod log;
mod papers;
mod problem;
mod reload;
mod restore;
mod restored;
mod send;
mod serve;
mod shown;
mod status;
mod url;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use rustix::{fs::Mode, process::umask};

use crate::host::logging;

pub use exit::Exit;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "stentor", version, about = ABOUT, after_help = exit::TABLE, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const ABOUT: &str = "Accepts messages over HTTP, keeps every message that it acknowledged, and sends each to a carrier at \
                     exactly the rate that the carrier allows.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process with a simulated carrier and an inbox page; nothing to configure
    Dev(dev::Arguments),
    /// Run the daemon
    Serve(serve::Arguments),
    /// Report every problem in a configuration file or data directory
    Check(check::Arguments),
    /// Report whether this machine and a configuration can run Stentor well, carriers included
    Doctor(doctor::Arguments),
    /// Send a message through a running daemon
    Send(send::Arguments),
    /// Show the daemon's health, or the state of messages
    Status(status::Arguments),
    /// List or resolve messages with an unknown outcome
    InDoubt(in_doubt::Arguments),
    /// List messages from phones
    Inbound(inbound::Arguments),
    /// Tell the running daemon to reload its configuration
    Reload(reload::Arguments),
    /// Write a backup of a running daemon to one file
    Backup(backup::Arguments),
    /// Restore a backup into a new data directory, or check a backup
    Restore(restore::Arguments),
    /// List or resolve the messages that were unsent in the backup that this installation was restored from
    Restored(restored::Arguments),
    /// Write man pages and completions for shells, for a package
    #[command(hide = true)]
    Papers(papers::Arguments),
}

/// Parses the process's arguments and runs the command; returns the exit code.
pub fn run() -> ExitCode {
    let typed = Arguments::parse();
    // Files that a command makes are its user's alone, including journals and tables that libraries make.
    umask(Mode::RWXG | Mode::RWXO);
    let mut out = io::stdout().lock();
    let ended = match typed.command {
        // These two hold stdout only while they print: their threads may need it.
        Command::Dev(typed) => {
            drop(out);
            dev::run(&typed)
        }
        Command::Serve(typed) => {
            drop(out);
            serve::run(&typed)
        }
        Command::Check(typed) => check::run(&typed, &mut out),
        Command::Doctor(typed) => doctor::run(&typed, &mut out),
        Command::Send(typed) => send::run(typed, &mut out),
        Command::Status(typed) => status::run(typed, &mut out),
        Command::InDoubt(typed) => in_doubt::run(&typed, &mut out),
        Command::Inbound(typed) => inbound::run(typed, &mut out),
        Command::Reload(typed) => reload::run(&typed, &mut out),
        Command::Backup(typed) => backup::run(typed, &mut out),
        Command::Restore(typed) => restore::run(&typed, &mut out),
        Command::Restored(typed) => restored::run(&typed, &mut out),
        Command::Papers(typed) => papers::run(&typed, Arguments::command()),
    };
    let exit = ended.unwrap_or_else(|failure| {
        if !failure.what.is_empty() {
            logging::last_words(&format!("stentor: {}", failure.what));
        }
        failure.exit
    });
    logging::flush();
    exit.into()
}

#[cfg(test)]
mod commands_tests;
#[cfg(test)]
mod tests;
