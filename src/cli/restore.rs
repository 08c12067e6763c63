//! `stentor restore`: a data directory from a backup. Knows the file, the order (check everything, then write) and the words;
//! `store::fjall_backup` writes.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use super::backup::{broken, document, progress, told};
use super::exit::{Ended, Exit, Failure};
use crate::disk::fjall_backup;
use stentor_core::delivery::DoubtPolicy;

/// The arguments of `stentor restore`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A file that `stentor backup` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Data directory to create; must be empty or not exist
    #[arg(long, value_name = "DIR", required_unless_present = "check", conflicts_with = "check")]
    to: Option<PathBuf>,
    /// Only check that the backup is complete
    #[arg(long)]
    check: bool,
    /// What to do with messages that were unsent in the backup: the old process may have sent them since
    #[arg(long, value_enum, default_value_t = Unsent::Hold)]
    unsent: Unsent,
    /// Print one JSON document with the contents and the mark of the backup
    #[arg(long)]
    json: bool,
}

/// What to do with messages that were unsent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Unsent {
    /// Keep them in doubt until an operator decides: POST /v1/restored/resolve
    Hold,
    /// Send them: some may arrive twice
    Resend,
    /// Give them up: some may never arrive
    Drop,
}

impl Unsent {
    const fn meant(self) -> DoubtPolicy {
        match self {
            Self::Hold => DoubtPolicy::Hold,
            Self::Resend => DoubtPolicy::Resend,
            Self::Drop => DoubtPolicy::Drop,
        }
    }
}

/// Restores. Exit code 65 if the backup is not complete, 78 if the directory is refused, 74 if it cannot be written.
pub(super) fn run(typed: &Arguments, out: &mut dyn Write) -> Ended {
    let name = typed.file.display().to_string();
    let mut file = File::open(&typed.file).map_err(|error| Failure::new(Exit::IO, format!("{name}: {error}")))?;
    let length = file.metadata().map_or(0, |about| about.len());
    let passes = if typed.check { 1 } else { 2 };
    let bar = progress(Some(length * passes));
    let checked = fjall_backup::check(watched(&file, &bar)).map_err(|error| broken(&name, &error))?;
    if let Some(to) = &typed.to {
        file.rewind().map_err(|error| Failure::new(Exit::IO, format!("{name}: {error}")))?;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let restored = fjall_backup::restore(&checked, watched(&file, &bar), to, now_ms, typed.unsent.meant());
        restored.map_err(|error| broken(&name, &error))?;
    }
    bar.finish_and_clear();
    if typed.json {
        let mut document = document(&typed.file, &checked);
        if let Some(to) = &typed.to {
            document["restored_to"] = to.display().to_string().into();
            document["unsent"] = format!("{:?}", typed.unsent).to_lowercase().into();
        }
        writeln!(out, "{document}")?;
    } else {
        writeln!(out, "{name}: {}", told(&checked))?;
        if let Some(to) = &typed.to {
            write!(out, "{}", next_steps(to, typed.unsent))?;
        }
    }
    Ok(Exit::DONE)
}

fn next_steps(to: &Path, unsent: Unsent) -> String {
    let what = match unsent {
        Unsent::Hold => {
            "Unsent messages are held, in doubt: see GET /v1/restored, resolve them by POST /v1/restored/resolve."
        }
        Unsent::Resend => "Unsent messages will be sent; the timeline of each says that it was in doubt.",
        Unsent::Drop => "Unsent messages will be given up, as in_doubt_dropped.",
    };
    format!("restored to {}\n{what}\nMake sure that the old process never runs again.\n", to.display())
}

fn watched<'a>(file: &'a File, bar: &'a ProgressBar) -> BufReader<impl Read + 'a> {
    struct Watched<'a>(&'a File, &'a ProgressBar);
    impl Read for Watched<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(into)?;
            self.1.inc(read as u64);
            Ok(read)
        }
    }
    BufReader::with_capacity(1 << 20, Watched(file, bar))
}
