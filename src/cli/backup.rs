//! `stentor backup`: writes everything that a running daemon holds to one file. Knows the file and the progress display; the daemon
//! supplies the contents, and the same reader as for a restore checks that they are complete.
//!
//! The file gets its name only when it is complete and durable; until then it is called `<name>.part`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde_json::{Value, json};

use super::client;
use super::exit::{Ended, Exit, Failure};
use super::problem::{Problem, unreachable};
use super::shown;
use crate::disk::fjall_backup::{self, Checked, RestoreError};
use crate::disk::private;
use crate::http::rfc3339;
use stentor_core::model::Wall;

/// The arguments of `stentor backup`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// File to write; must not exist yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON document with the contents and the mark of the backup
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: client::Server,
}

/// Writes the backup. Exit code 65 if what came is not complete, 74 if it cannot be written.
pub(super) fn run(typed: Arguments, out: &mut dyn Write) -> Ended {
    let client = typed.server.client()?;
    if typed.file.exists() {
        return Err(Failure::new(Exit::FAILED, format!("{} already exists", typed.file.display())));
    }
    let download = client.download("/v1/backup").map_err(|error| unreachable(&client, &error))?;
    let body = match download {
        client::Download::Body(body) => body,
        client::Download::Refused(answer) => return Err(Problem::read(&answer).failure(&client)),
    };
    let draft = draft(&typed.file);
    let written = begin(&draft)?;
    let checked = take(body, written, &draft, &typed.file).inspect_err(|_| {
        // An incomplete backup is of no use.
        let _ = fs::remove_file(&draft);
    })?;
    let document = document(&typed.file, &checked);
    if typed.json {
        writeln!(out, "{document}")?;
    } else {
        writeln!(out, "{}: {}", typed.file.display(), told(&checked))?;
    }
    Ok(Exit::DONE)
}

fn draft(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Creates the draft: readable only by this user, and never over an existing file, which may be another backup's draft.
fn begin(draft: &Path) -> Result<File, Failure> {
    let made = private::file(draft, OpenOptions::new().write(true).create_new(true));
    made.map_err(|error| {
        let name = draft.display();
        match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let why =
                    "already exists: another backup is writing it, or a backup was interrupted and this file can be deleted";
                Failure::new(Exit::FAILED, format!("{name} {why}"))
            }
            _ => Failure::new(Exit::IO, format!("{name}: {error}")),
        }
    })
}

/// Writes what comes to the draft and checks it on the way; then renames the draft to the file.
fn take(body: impl Read, mut written: File, draft: &Path, file: &Path) -> Result<Checked, Failure> {
    let io = |what: &Path, error: &io::Error| Failure::new(Exit::IO, format!("{}: {error}", what.display()));
    let bar = progress(None);
    let mut failure = None;
    let tee = Tee { body, written: &mut written, bar: &bar, failure: &mut failure };
    let checked = fjall_backup::check(io::BufReader::with_capacity(1 << 20, tee));
    bar.finish_and_clear();
    if let Some(error) = failure {
        return Err(io(draft, &error));
    }
    let checked = checked.map_err(|error| broken("what the daemon sent", &error))?;
    let keep = || -> io::Result<()> {
        written.sync_all()?;
        fs::rename(draft, file)?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    keep().map_err(|error| io(file, &error))?;
    Ok(checked)
}

struct Tee<'a, R> {
    body: R,
    written: &'a mut File,
    bar: &'a ProgressBar,
    /// Set when the draft could not be written.
    failure: &'a mut Option<io::Error>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.body.read(into)?;
        let bytes = into.get(..read).unwrap_or_default();
        if let Err(error) = self.written.write_all(bytes) {
            *self.failure = Some(error);
            return Err(io::Error::other("the draft cannot be written"));
        }
        self.bar.inc(read as u64);
        Ok(read)
    }
}

/// Shows the progress in bytes to a person at a terminal; `total` if it is known.
pub(super) fn progress(total: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = match total {
        None => "{spinner} {bytes} ({bytes_per_sec})",
        Some(_) => "{wide_bar} {bytes} of {total_bytes} ({bytes_per_sec})",
    };
    // A wrong template would be noticed by the first person who sees the progress.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let bar = bar.with_finish(ProgressFinish::AndClear);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// A backup that is incomplete or cannot be understood.
pub(super) fn broken(what: &str, error: &RestoreError) -> Failure {
    let exit = match error {
        RestoreError::Broken(_) | RestoreError::Record(..) => Exit::DATA,
        RestoreError::Place(refusal) => Failure::of_place(refusal).exit,
        RestoreError::Exhausted(..) => Exit::CONFIG,
        RestoreError::Store(_) | RestoreError::Io(_) => Exit::IO,
    };
    Failure::new(exit, format!("{what}: {error}"))
}

/// For people: size and time of the backup.
pub(super) fn told(checked: &Checked) -> String {
    let manifest = &checked.manifest;
    format!(
        "complete, {} bytes, {} entries of {} bytes, node {}, {} shards, of {}",
        checked.bytes,
        checked.entries,
        checked.plain_bytes,
        manifest.node,
        manifest.shards,
        moment(manifest.mark),
    )
}

fn moment(ms: u64) -> String {
    let mut text = Vec::new();
    rfc3339::push(&mut text, Wall(ms));
    String::from_utf8(text).unwrap_or_default()
}

/// For scripts.
pub(super) fn document(file: &Path, checked: &Checked) -> Value {
    let manifest = &checked.manifest;
    json!({
        "file": shown::plain(&file.display().to_string()),
        "bytes": checked.bytes,
        "plain_bytes": checked.plain_bytes,
        "entries": checked.entries,
        "stentor": manifest.stentor,
        "node": manifest.node,
        "shards": manifest.shards,
        "mark": moment(manifest.mark),
        "commits": manifest.commits,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use stentor_core::store::backup::{BackupWriter, Manifest};

    use super::*;

    fn backup() -> Vec<u8> {
        let manifest =
            Manifest { stentor: "0".to_owned(), node: 1, shards: 1, created: 5, mark: 1_000, commits: vec![3] };
        let mut bytes = Vec::new();
        BackupWriter::begin(&mut bytes, &manifest).and_then(BackupWriter::finish).expect("written");
        bytes
    }

    #[test]
    fn a_whole_one_gets_its_name_and_a_broken_one_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, part) = (folder.path().join("b"), draft(&folder.path().join("b")));
        let checked = take(&backup()[..], begin(&part).expect("new"), &part, &file).expect("whole");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&file).expect("it is there"), backup());
        assert_eq!((part.exists(), checked.bytes), (false, backup().len() as u64));
        let document = document(&file, &checked);
        assert_eq!((&document["mark"], &document["shards"]), (&json!("1970-01-01T00:00:01.000Z"), &json!(1)));
        let other = folder.path().join("c");
        let written = begin(&draft(&other)).expect("new");
        let cut = take(&backup()[..backup().len() - 1], written, &draft(&other), &other).expect_err("cut off");
        assert_eq!((cut.exit, other.exists()), (Exit::DATA, false));
        let nowhere = folder.path().join("none/d");
        assert_eq!(begin(&draft(&nowhere)).expect_err("no folder").exit, Exit::IO);
    }

    #[test]
    fn what_stands_in_place_of_the_draft_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (victim, link) = (folder.path().join("victim"), draft(&folder.path().join("b")));
        fs::write(&victim, "precious").expect("written");
        symlink(&victim, &link).expect("linked");
        let refused = begin(&link).expect_err("a link");
        assert!(refused.exit == Exit::FAILED && refused.what.contains("b.part already exists"), "{}", refused.what);
        assert_eq!(fs::read_to_string(&victim).expect("there"), "precious");
    }
}
