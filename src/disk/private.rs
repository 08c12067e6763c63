//! Directories and files that only our own user may read, and that are never opened through a symbolic link.
//!
//! Knows modes and flags. New files and directories have their mode from the first moment, whatever the umask is.
//! Refuses to know what is kept in them.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// The permission bits of group and others.
const OTHERS: u32 = 0o077;

/// Makes the directory and its missing parents. An existing directory keeps its mode.
///
/// # Errors
/// Errors of the operating system.
pub fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
}

/// Opens a file with `options`. An existing file keeps its mode.
///
/// # Errors
/// Errors of the operating system; a symbolic link is an error, wherever it points.
pub fn file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let opened = options.mode(FILE_MODE).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path);
    opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => io::Error::other("it is a symbolic link, and these are not followed"),
        Some(_) | None => error,
    })
}

/// Removes the rights of group and others to a directory, and so to everything in it. Gives the directory's old mode,
/// if they had any rights.
///
/// # Errors
/// Errors of the operating system: only the owner may do this.
pub fn close(path: &Path) -> io::Result<Option<u32>> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & OTHERS == 0 {
        return Ok(None);
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS))?;
    Ok(Some(mode & 0o777))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn no_other_user_can_read_what_is_made() {
        let root = tempfile::tempdir().expect("a directory");
        let (outer, inner) = (root.path().join("a"), root.path().join("a/b"));
        directory(&inner).expect("made");
        directory(&inner).expect("there already");
        let made = inner.join("file");
        file(&made, OpenOptions::new().write(true).create_new(true)).expect("made");
        assert_eq!([mode(&outer), mode(&inner), mode(&made)], [0o700, 0o700, 0o600]);
    }

    #[test]
    fn a_directory_that_was_open_is_closed() {
        let root = tempfile::tempdir().expect("a directory");
        fs::set_permissions(root.path(), Permissions::from_mode(0o2755)).expect("open");
        assert_eq!(close(root.path()).expect("ours"), Some(0o755));
        assert_eq!(fs::metadata(root.path()).expect("there").permissions().mode() & 0o7777, 0o2700);
        assert_eq!(close(root.path()).expect("ours"), None);
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let root = tempfile::tempdir().expect("a directory");
        let (victim, link) = (root.path().join("victim"), root.path().join("link"));
        fs::write(&victim, "precious").expect("written");
        std::os::unix::fs::symlink(&victim, &link).expect("linked");
        let options = || OpenOptions::new().write(true).create(true).truncate(true).clone();
        let refused = file(&link, &mut options()).expect_err("a link");
        assert_eq!(refused.to_string(), "it is a symbolic link, and these are not followed");
        assert_eq!(fs::read_to_string(&victim).expect("there"), "precious");
        file(&victim, &mut options()).expect("a file");
    }
}
