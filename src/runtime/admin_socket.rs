//! The file of the admin socket: made so that only its user and its group may connect, replacing nothing but a socket that an ended
//! process left behind, and removed by a clean stop. Knows files and which process listens at one. Not for executors.
//!
//! Two processes that start at once on one path would each take the other's file for one that was left behind: so a process holds a
//! lock on the directory while it makes the file.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    net::sockopt::socket_peercred,
};
use socket2::{Domain, SockAddr, Socket, Type};

/// Read and write for its user and its group.
const MODE: u32 = 0o660;
/// Connections that the kernel queues while the accept task is busy.
const BACKLOG: i32 = 128;

/// What is found at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A socket at which no process listens.
    Left,
    /// A socket at which a process listens; its id, if it can be seen.
    Living(Option<i32>),
    /// A socket that this user may not open.
    Closed,
    /// A file that is not a socket.
    NoSocket,
}

/// Looks without changing anything; a symbolic link is not followed.
///
/// # Errors
/// When the path cannot be looked at.
pub(super) fn look(path: &Path) -> io::Result<Found> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
        Ok(there) if !there.file_type().is_socket() => return Ok(Found::NoSocket),
        Ok(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => {
            let holder = socket_peercred(socket.as_fd()).ok().map(|peer| peer.pid.as_raw_nonzero().get());
            Ok(Found::Living(holder))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Found::Left),
        // A process listens and its queue is full.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Found::Living(None)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Found::Closed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(error),
    }
}

/// Our socket's file. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct AdminSocket {
    path: PathBuf,
    /// Device and inode, because a later file at the same path may be another process's.
    identity: (u64, u64),
}

impl AdminSocket {
    /// Makes the socket, and listens.
    ///
    /// # Errors
    /// In words, without the path: another process listens there, it is not a socket, or the operating system's error.
    pub(super) fn open(path: &Path) -> io::Result<(OwnedFd, Self)> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = fs::File::open(parent)
            .map_err(|error| io::Error::new(error.kind(), format!("its directory cannot be opened: {error}")))?;
        flock(&directory, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error.into() {
            busy if io::Error::kind(&busy) == io::ErrorKind::WouldBlock => {
                io::Error::other("another process holds a lock on its directory: perhaps it is starting there")
            }
            error => error,
        })?;
        match look(path)? {
            Found::Nothing => {}
            Found::Left => fs::remove_file(path)?,
            Found::Living(Some(process)) => {
                return Err(io::Error::other(format!("process {process} already listens there")));
            }
            Found::Living(None) | Found::Closed => {
                return Err(io::Error::other("there is already a socket of another process, which is left alone"));
            }
            Found::NoSocket => return Err(io::Error::other("the file there is not a socket and is left alone")),
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let there = fs::symlink_metadata(path)?;
        let file = Self { path: path.to_owned(), identity: (there.dev(), there.ino()) };
        // No client can connect before it listens, so the mode is right in time.
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
        socket.listen(BACKLOG)?;
        Ok((socket.into(), file))
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path).ok();
        if there.is_some_and(|there| (there.dev(), there.ino()) == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the admin socket's file: the next start replaces it");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    fn refused(path: &Path) -> String {
        AdminSocket::open(path).map(drop).expect_err("refused").to_string()
    }

    #[test]
    fn it_is_its_users_and_groups_and_goes_with_its_process() {
        let folder = tempfile::tempdir().expect("directory");
        let path = folder.path().join("admin.sock");
        let (listening, file) = AdminSocket::open(&path).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, MODE);
        let us = i32::try_from(std::process::id()).expect("a process");
        assert_eq!(look(&path).expect("seen"), Found::Living(Some(us)));
        assert_eq!(refused(&path), format!("process {us} already listens there"));
        drop((listening, file));
        assert_eq!(look(&path).expect("seen"), Found::Nothing);
    }

    #[test]
    fn what_a_process_left_is_replaced() {
        let folder = tempfile::tempdir().expect("directory");
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).expect("listens"));
        assert_eq!(look(&path).expect("seen"), Found::Left);
        let (_listening, file) = AdminSocket::open(&path).expect("replaced");
        // The file there now is another process's: we may not remove it.
        fs::remove_file(&path).expect("removed");
        let _other = UnixListener::bind(&path).expect("listens");
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().expect("directory");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "precious").expect("written");
        let socket = folder.path().join("socket");
        drop(UnixListener::bind(&socket).expect("listens"));
        symlink(&socket, &link).expect("linked");
        for path in [&file, &link, &folder.path().to_owned()] {
            assert_eq!(refused(path), "the file there is not a socket and is left alone", "{}", path.display());
        }
        assert_eq!(fs::read_to_string(&file).expect("there"), "precious");
        assert!(fs::symlink_metadata(&link).is_ok_and(|there| there.file_type().is_symlink()) && socket.exists());
        assert!(refused(&folder.path().join("none/admin.sock")).starts_with("its directory cannot be opened: "));
    }
}
