//! The file of the admin socket: whether a start could make it, or which process has it.

use std::{io, path::Path};

use super::finding::Finding;
use crate::runtime::admin_socket::{self, Found};

const CHECK: &str = "node.admin_socket";

/// Checks the socket. `daemon`: the process that uses the data directory.
pub(super) fn look(path: &Path, daemon: Option<i32>) -> Finding {
    judge(path, admin_socket::look(path), daemon)
}

fn judge(path: &Path, found: io::Result<Found>, daemon: Option<i32>) -> Finding {
    let shown = path.display();
    let elsewhere = "end that program, or set node.admin_socket to another path";
    match (found, daemon) {
        (Err(error), _) => Finding::fail(CHECK, format!("{shown}: {error}"), "set node.admin_socket to another path"),
        (Ok(Found::NoSocket), _) => {
            let advice = "remove what is there, or set node.admin_socket to another path: the start leaves it alone";
            Finding::fail(CHECK, format!("{shown} is not a socket"), advice)
        }
        (Ok(Found::Living(Some(holder))), Some(daemon)) if holder == daemon => {
            Finding::ok(CHECK, format!("{shown} is held by the running daemon, process {daemon}"))
        }
        (Ok(Found::Living(None) | Found::Closed), Some(daemon)) => {
            Finding::ok(CHECK, format!("{shown} is in use, most likely by the running daemon, process {daemon}"))
        }
        (Ok(Found::Living(Some(holder))), _) => {
            Finding::fail(CHECK, format!("process {holder} listens at {shown}"), elsewhere)
        }
        (Ok(Found::Living(None) | Found::Closed), None) => {
            Finding::fail(CHECK, format!("another process uses {shown}"), elsewhere)
        }
        (Ok(Found::Nothing | Found::Left), Some(daemon)) => {
            let what = format!("no process listens at {shown}: process {daemon}, the running daemon, does not");
            Finding::warn(CHECK, what, "it was started without this path: restart it to change that")
        }
        (Ok(Found::Left), None) => {
            Finding::ok(CHECK, format!("{shown} was left by a process that has ended: the start replaces it"))
        }
        (Ok(Found::Nothing), None) => nothing(path),
    }
}

fn nothing(path: &Path) -> Finding {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if parent.is_dir() {
        return Finding::ok(CHECK, format!("{} is free", path.display()));
    }
    let what = format!("{} does not exist yet", parent.display());
    Finding::warn(
        CHECK,
        what,
        "a systemd service creates it by RuntimeDirectory=, as the package's does; otherwise create it first",
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::super::finding::State;
    use super::*;

    #[test]
    fn whose_it_is_is_told() {
        let folder = tempfile::tempdir().expect("directory");
        let path = folder.path().join("admin.sock");
        let us = i32::try_from(std::process::id()).expect("a process");
        let state = |daemon| look(&path, daemon).state;
        assert_eq!([state(None), state(Some(us))], [State::Ok, State::Warn]);
        let listener = UnixListener::bind(&path).expect("listens");
        assert_eq!([state(None), state(Some(us + 1)), state(Some(us))], [State::Fail, State::Fail, State::Ok]);
        drop(listener);
        assert_eq!([state(None), state(Some(us))], [State::Ok, State::Warn]);
        assert_eq!(look(folder.path(), None).state, State::Fail);
        let nowhere = look(&folder.path().join("none/admin.sock"), None);
        assert!(nowhere.state == State::Warn && nowhere.advice.contains("RuntimeDirectory="), "{nowhere:?}");
    }
}
