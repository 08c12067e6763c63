//! How a command ends: the exit codes, which scripts rely on, and the message of a failed command.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use crate::disk::directory::Refusal;

/// Shown by `--help`.
pub(super) const TABLE: &str = "\
Exit codes:
  0   done
  1   failed: refused, not found, or a message that did not arrive
  2   the command line is wrong
  65  the file is damaged, truncated, or not a backup
  69  the server cannot be reached, or is not ready, or asks to try again later
  71  the operating system refused something that the daemon needs
  74  a file or the store on disk cannot be opened, read or written
  75  the waiting time was over before the message reached a final state
  78  the configuration is wrong, or this machine cannot run the daemon";

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// Success.
    pub const DONE: Self = Self(0);
    /// Failed; the message says why.
    pub const FAILED: Self = Self(1);
    /// The command line is wrong; clap uses this code too.
    pub const USAGE: Self = Self(2);
    /// `EX_DATAERR` of sysexits.h: a backup that is incomplete or damaged.
    pub const DATA: Self = Self(65);
    /// `EX_UNAVAILABLE` of sysexits.h: try again later.
    pub const UNAVAILABLE: Self = Self(69);
    /// `EX_OSERR` of sysexits.h: the operating system refused something.
    pub const OS: Self = Self(71);
    /// `EX_IOERR` of sysexits.h: a file or store cannot be opened, read or written.
    pub const IO: Self = Self(74);
    /// `EX_TEMPFAIL` of sysexits.h: nothing failed, but the time to wait was up before the message was final.
    pub const STILL_OPEN: Self = Self(75);
    /// `EX_CONFIG` of sysexits.h: the configuration or the machine must be changed.
    pub const CONFIG: Self = Self(78);
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// Why a command ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The exit code of the process.
    pub(super) exit: Exit,
    /// For stderr, one or a few lines; empty if everything was already printed.
    pub(super) what: String,
}

impl Failure {
    pub(super) fn new(exit: Exit, what: impl Display) -> Self {
        Self { exit, what: what.to_string() }
    }

    /// The data directory is refused: its location is wrong, or the operating system denies access.
    pub(super) fn of_place(refusal: &Refusal) -> Self {
        let exit = if matches!(refusal, Refusal::Io { .. }) { Exit::IO } else { Exit::CONFIG };
        Self::new(exit, refusal)
    }

    pub(super) fn usage(what: impl Display) -> Self {
        Self::new(Exit::USAGE, what)
    }
}

/// Writing the output failed. A reader that has enough (`| head`) is not a failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::DONE, ""),
            _ => Self::new(Exit::FAILED, format!("cannot write the output: {error}")),
        }
    }
}

/// The result of a command.
pub(super) type Ended = Result<Exit, Failure>;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_place_that_cannot_be_written_is_no_fault_of_the_configuration() {
        let path = || PathBuf::from("/d");
        let io = Refusal::Io { path: path(), what: "create", error: io::ErrorKind::PermissionDenied.into() };
        assert_eq!(Failure::of_place(&io), Failure::new(Exit::IO, "cannot create /d: permission denied"));
        assert_eq!(Failure::of_place(&Refusal::NoData { path: path() }).exit, Exit::CONFIG);
        assert_eq!(crate::runtime::StartError::Data(io).exit_code(), Exit::IO.0);
    }
}
