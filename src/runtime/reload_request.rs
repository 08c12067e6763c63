//! How a command that asks for a reload learns the result: by two small files in the data directory, because a signal carries no
//! data and brings none back. The command writes [`ReloadRequest`] and sends the signal; the daemon takes it, and leaves [`ReloadResult`] behind.
//!
//! Knows names, shapes and sizes of the two. Does not know how a configuration is read or applied. A reload without a `ReloadRequest`
//! (a bare SIGHUP) leaves no result; its result is in the log, as that of every reload.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::disk::private;

const REQUEST_FILE: &str = "reload.request";
const RESULT_FILE: &str = "reload.result";
/// Largest size of either in bytes; the last lines of a longer result are left out.
const FILE_MAX: usize = 256 * 1024;

/// A request for a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    /// Tells which request a result answers.
    pub number: u64,
    /// Only report what would change.
    pub dry_run: bool,
}

/// The result of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadResult {
    /// The number of the request.
    pub number: u64,
    /// Nothing was changed, for the reasons in `lines`.
    pub refused: bool,
    /// What changes, or why nothing does; one line each.
    pub lines: Vec<String>,
}

impl ReloadRequest {
    /// Writes it for the daemon that uses the directory. An older one that was not taken is replaced.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn leave(&self, directory: &Path) -> io::Result<()> {
        write(directory, REQUEST_FILE, self)
    }

    /// Takes the request, so that no later reload answers it again.
    pub fn take(directory: &Path) -> Option<Self> {
        let request = read(directory, REQUEST_FILE);
        let _ = fs::remove_file(directory.join(REQUEST_FILE));
        request
    }

    /// The daemon did not answer in time: it must not answer later.
    pub fn withdraw(&self, directory: &Path) {
        if read(directory, REQUEST_FILE).as_ref() == Some(self) {
            let _ = fs::remove_file(directory.join(REQUEST_FILE));
        }
    }
}

impl ReloadResult {
    /// The answer to `request`: what changes, or why nothing does.
    pub fn new(request: &ReloadRequest, told: &Result<Vec<String>, Vec<String>>) -> Self {
        let (refused, all) = match told {
            Ok(changes) => (false, changes),
            Err(refusals) => (true, refusals),
        };
        let (mut lines, mut bytes) = (Vec::new(), 0);
        for line in all {
            // In JSON, one byte may take six.
            bytes += 6 * line.len() + 8;
            if bytes > FILE_MAX - 1_024 {
                lines.push(format!("and {} more, see the log", all.len() - lines.len()));
                break;
            }
            lines.push(line.clone());
        }
        Self { number: request.number, refused, lines }
    }

    /// Writes it for the command that asked.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn leave(&self, directory: &Path) -> io::Result<()> {
        write(directory, RESULT_FILE, self)
    }

    /// The answer to that request, if there is one.
    pub fn find(directory: &Path, request: &ReloadRequest) -> Option<Self> {
        read(directory, RESULT_FILE).filter(|result: &Self| result.number == request.number)
    }
}

/// Writes all or nothing: a reader meanwhile sees the previous file.
fn write(directory: &Path, name: &str, what: &impl Serialize) -> io::Result<()> {
    let draft = directory.join(format!("{name}.part"));
    let mut file = private::file(&draft, OpenOptions::new().write(true).create(true).truncate(true))?;
    file.write_all(&serde_json::to_vec(what)?)?;
    fs::rename(&draft, directory.join(name))
}

fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> Option<T> {
    let mut bytes = Vec::new();
    File::open(directory.join(name)).ok()?.take(FILE_MAX as u64).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ask_is_taken_once_and_its_verdict_found_by_it_alone() {
        let root = tempfile::tempdir().expect("a directory");
        let (first, second) = (ReloadRequest { number: 7, dry_run: true }, ReloadRequest { number: 8, dry_run: false });
        assert_eq!(ReloadRequest::take(root.path()), None);
        first.leave(root.path()).expect("left");
        assert_eq!((ReloadRequest::take(root.path()), ReloadRequest::take(root.path())), (Some(first.clone()), None));
        assert_eq!(ReloadResult::find(root.path(), &first), None);
        let result = ReloadResult::new(&first, &Err(vec!["\"no\"\n".to_owned()]));
        result.leave(root.path()).expect("left");
        assert_eq!(ReloadResult::find(root.path(), &first), Some(result));
        assert_eq!(ReloadResult::find(root.path(), &second), None, "another request's");
        second.leave(root.path()).expect("left");
        first.withdraw(root.path());
        assert_eq!(ReloadRequest::take(root.path()), Some(second.clone()), "withdrawn was another one");
        second.leave(root.path()).expect("left");
        second.withdraw(root.path());
        assert_eq!(ReloadRequest::take(root.path()), None);
    }

    #[test]
    fn a_long_verdict_is_cut_and_still_found() {
        let root = tempfile::tempdir().expect("a directory");
        let request = ReloadRequest { number: 1, dry_run: false };
        let lines = vec!["\u{1}".repeat(1_000); 1_000];
        let result = ReloadResult::new(&request, &Ok(lines));
        result.leave(root.path()).expect("left");
        let found = ReloadResult::find(root.path(), &request).expect("whole");
        let said = found.lines.len() - 1;
        assert_eq!(found.lines.last(), Some(&format!("and {} more, see the log", 1_000 - said)));
    }

    #[test]
    fn what_is_no_ask_is_none() {
        let root = tempfile::tempdir().expect("a directory");
        for text in ["", "{", "{\"number\":1}", "{\"number\":1,\"dry_run\":true,\"more\":1}"] {
            fs::write(root.path().join(REQUEST_FILE), text).expect("written");
            assert_eq!(ReloadRequest::take(root.path()), None, "{text}");
        }
    }
}
