//! The data directory: whether it exists or can be made, its owner, its file system, its free space, and the process that uses it.
//! Takes no lock that a daemon has, and writes nothing but the test file of [`syncing`](super::syncing).

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::geteuid;

use super::finding::{Finding, size};
use super::syncing;
use crate::config::Config;
use crate::disk::directory::{self, Format, Refusal};
use crate::runtime::disk;

/// The data directory and the daemon that uses it.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// The directory itself, or its nearest existing parent.
    there: PathBuf,
    is_there: bool,
    /// The daemon's process id, if one runs.
    pub(super) daemon: Option<i32>,
    /// Node and shards that it was made for; `None`: it was not made yet.
    format: Result<Option<Format>, Refusal>,
}

impl Place {
    /// `shards`: number of shards that a new directory would get.
    pub(super) fn look(config: &Config, shards: usize) -> Self {
        let path = &config.node.data_dir;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let there = absolute.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/")).to_owned();
        let is_there = there == absolute;
        let shards = u16::try_from(shards).unwrap_or(u16::MAX);
        let explicit = config.node.shards.map(|_| shards);
        let format = if is_there { directory::look(path, config.node.id, explicit) } else { Ok(None) };
        Self { path: path.clone(), there, is_there, daemon: directory::holder(path), format }
    }

    /// Shards that a daemon would have there.
    pub(super) fn shards(&self, of_new: usize) -> u8 {
        let made = self.format.as_ref().ok().copied().flatten().map(|format| usize::from(format.shards));
        made.unwrap_or(of_new).clamp(1, 255) as u8
    }

    /// All findings about it.
    pub(super) fn looks(&self, config: &Config, shards: u8) -> Vec<Finding> {
        let mut found = vec![self.rights(), self.made(), of_daemon(self.daemon)];
        found.push(of_file_system(disk::kind(&self.there)));
        let space = disk::space(&self.there, config.limits.disk_floor_bytes, shards);
        let free = space.as_ref().map_or(0, |space| space.free);
        found.push(of_space(&space));
        found.push(syncing::look(&self.there, free));
        found
    }

    fn rights(&self) -> Finding {
        let writable = access(&self.there, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from);
        match (fs::metadata(&self.there), self.is_there) {
            (Err(error), _) => Finding::fail(CHECK, format!("{}: {error}", self.there.display()), OWN),
            (Ok(_), false) => of_missing(&self.path, &self.there, writable),
            (Ok(metadata), true) => {
                let owner = Owner::of(&metadata, geteuid().as_raw());
                of_rights(&self.path, metadata.is_dir(), &owner, writable)
            }
        }
    }

    fn made(&self) -> Finding {
        const CHECK: &str = "data";
        let path = self.path.display();
        match &self.format {
            Ok(Some(Format { node, shards, .. })) => {
                Finding::ok(CHECK, format!("{path} was made for node {node} with {shards} shards, as configured"))
            }
            Ok(None) => Finding::ok(CHECK, "none yet: the first start creates it"),
            Err(refusal) => Finding::fail(
                CHECK,
                refusal.to_string(),
                "set node.data_dir, node.id and node.shards to what they were",
            ),
        }
    }
}

const CHECK: &str = "data directory";
const OWN: &str = "create it for the user that runs the daemon: install -d -m 0700 -o USER DIRECTORY";

/// Owner and permissions of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    user: u32,
    name: Option<String>,
    /// The user that runs the check.
    us: u32,
    /// Permission bits.
    mode: u32,
}

impl Owner {
    fn of(metadata: &Metadata, us: u32) -> Self {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self { user: metadata.uid(), name: name_of(&users, metadata.uid()), us, mode: metadata.mode() & 0o7777 }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(out, "{name}'s, mode {:04o}", self.mode),
            None => write!(out, "user {}'s, mode {:04o}", self.user, self.mode),
        }
    }
}

/// The user's name in the text of `/etc/passwd`.
fn name_of(users: &str, user: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    })
}

fn of_missing(path: &Path, above: &Path, writable: io::Result<()>) -> Finding {
    let (path, above) = (path.display(), above.display());
    match writable {
        Ok(()) => Finding::ok(CHECK, format!("{path} does not exist yet, and can be created in {above}")),
        Err(error) => {
            Finding::fail(CHECK, format!("{path} does not exist, and cannot be created in {above}: {error}"), OWN)
        }
    }
}

fn of_rights(path: &Path, is_directory: bool, owner: &Owner, writable: io::Result<()>) -> Finding {
    let path = path.display();
    if !is_directory {
        return Finding::fail(CHECK, format!("{path} is not a directory"), "set node.data_dir to another path");
    }
    if let Err(error) = writable {
        let advice = format!(
            "run this command as the user that runs the daemon, or make that user the owner: chown USER {path}"
        );
        return Finding::fail(CHECK, format!("{path} is {owner}, and is not writable: {error}"), advice);
    }
    if owner.us != 0 && owner.us != owner.user {
        let advice = format!("chown {} {path}", owner.us);
        return Finding::warn(CHECK, format!("{path} is {owner}: the daemon cannot close it to others"), advice);
    }
    if owner.mode & 0o077 != 0 {
        let what = format!("{path} is {owner}: others may read messages until the daemon starts, which closes it");
        return Finding::warn(CHECK, what, format!("chmod 0700 {path}"));
    }
    Finding::ok(CHECK, format!("{path} is {owner}"))
}

fn of_daemon(daemon: Option<i32>) -> Finding {
    match daemon {
        Some(process) => Finding::ok("daemon", format!("process {process} runs with this data directory")),
        None => Finding::ok("daemon", "none runs with this data directory"),
    }
}

/// Judges a file system by the number of its kind (statfs(2)).
fn of_file_system(kind: io::Result<u64>) -> Finding {
    const CHECK: &str = "file system";
    const ELSEWHERE: &str = "put node.data_dir on a disk of this machine (for a container: a volume)";
    if let Some((name, lost)) = kind.as_ref().ok().and_then(|kind| disk::forgetful(*kind)) {
        return Finding::warn(CHECK, format!("{name}: a 202 would not survive {lost}"), ELSEWHERE);
    }
    match kind {
        Ok(0xEF53) => Finding::ok(CHECK, "ext4"),
        Ok(0x5846_5342) => Finding::ok(CHECK, "xfs"),
        Ok(0x9123_683E) => Finding::ok(CHECK, "btrfs"),
        Ok(0x2FC1_2FC1) => Finding::ok(CHECK, "zfs"),
        Ok(0xF2F5_2010) => Finding::ok(CHECK, "f2fs"),
        Ok(other) => Finding::ok(CHECK, format!("of an unknown kind (0x{other:x})")),
        Err(error) => Finding::warn(CHECK, format!("its kind cannot be read: {error}"), ELSEWHERE),
    }
}

fn of_space(found: &io::Result<disk::Space>) -> Finding {
    const CHECK: &str = "free space";
    match found {
        Err(error) => Finding::fail(CHECK, format!("cannot be read: {error}"), "check the disk"),
        Ok(disk::Space { free, floor, needed }) => {
            let [free_is, floor_is, needed_is] = [*free, *floor, *needed].map(size);
            if free < needed {
                let what = format!(
                    "{free_is} of the {needed_is} needed (limits.disk_floor is {floor_is}): messages would be refused"
                );
                return Finding::fail(CHECK, what, "free some space, or use a larger disk");
            }
            Finding::ok(CHECK, format!("{free_is}; below {floor_is} (limits.disk_floor) messages are refused"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn refused() -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::EACCES))
    }

    fn owner(user: u32, us: u32, mode: u32) -> Owner {
        Owner { user, name: (user == 998).then(|| "stentor".to_owned()), us, mode }
    }

    #[test]
    fn rights_are_judged_by_who_asks() {
        let path = Path::new("/d");
        let judge = |owner: Owner, writable| of_rights(path, true, &owner, writable);
        assert_eq!(judge(owner(998, 998, 0o700), Ok(())), Finding::ok(CHECK, "/d is stentor's, mode 0700"));
        assert_eq!(judge(owner(5, 0, 0o700), Ok(())), Finding::ok(CHECK, "/d is user 5's, mode 0700"));
        let open = judge(owner(998, 998, 0o755), Ok(()));
        assert_eq!((open.state, open.advice.as_str()), (State::Warn, "chmod 0700 /d"));
        let foreign = judge(owner(998, 5, 0o770), Ok(()));
        assert_eq!((foreign.state, foreign.advice.as_str()), (State::Warn, "chown 5 /d"));
        let closed = judge(owner(998, 5, 0o700), refused());
        assert_eq!(closed.state, State::Fail);
        assert!(closed.what.starts_with("/d is stentor's, mode 0700, and is not writable: "), "{closed:?}");
        assert_eq!(of_rights(path, false, &owner(0, 0, 0o600), Ok(())).state, State::Fail);
    }

    #[test]
    fn one_that_is_not_there_can_be_made_or_not() {
        let (path, above) = (Path::new("/var/d"), Path::new("/var"));
        let can = of_missing(path, above, Ok(()));
        assert_eq!(can, Finding::ok(CHECK, "/var/d does not exist yet, and can be created in /var"));
        let cannot = of_missing(path, above, refused());
        assert!(cannot.state == State::Fail && cannot.advice.contains("install -d"), "{cannot:?}");
    }

    #[test]
    fn what_forgets_is_told_by_its_name() {
        for (magic, says) in
            [(0x0102_1994, "tmpfs: a 202 would not survive"), (0x794C_7630, "overlayfs: a 202 would not survive")]
        {
            let found = of_file_system(Ok(magic));
            assert!(found.state == State::Warn && found.what.starts_with(says), "{found:?}");
        }
        assert_eq!(of_file_system(Ok(0xEF53)), Finding::ok("file system", "ext4"));
        assert_eq!(of_file_system(Ok(7)).state, State::Ok);
        assert_eq!(of_file_system(Err(rustix::io::Errno::NOSYS.into())).state, State::Warn);
    }

    #[test]
    fn too_little_free_is_told_with_what_is_needed() {
        let gib = 1 << 30;
        let found = of_space(&Ok(disk::Space { free: 4 * gib, floor: gib, needed: 2 * gib }));
        assert_eq!(found, Finding::ok("free space", "4.0 GiB; below 1.0 GiB (limits.disk_floor) messages are refused"));
        let found = of_space(&Ok(disk::Space { free: gib, floor: gib, needed: gib + 1 }));
        assert_eq!(found.state, State::Fail);
        assert_eq!(of_space(&Err(io::ErrorKind::PermissionDenied.into())).state, State::Fail);
    }

    #[test]
    fn users_have_names() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nstentor:x:998:998::/:/bin/false\n";
        assert_eq!(name_of(users, 998).as_deref(), Some("stentor"));
        assert_eq!(name_of(users, 1), None);
    }
}
