//! The data directory: the names of its files, who may use it, and its format.
//!
//! Knows: the names in the directory, the format file, the lock, and the file of the high-water mark.
//! Refuses to know: what is inside a shard (`fjall`), what a high-water mark means (`high_water`).
//!
//! ```text
//! stentor.format   format version, node, shards, created, checksum: written once, last, so that its presence means
//!                  "complete"
//! trial            written and removed by a test of the disk
//! lock             held while a process uses the directory; contains the process's number
//! shard-00/ ...    one store for each shard, with its `high-water`
//! control/         the store of control
//! ```
//!
//! To change the layout: a new [`FORMAT_VERSION`]; this file still reads the old one, and converts it or refuses it by
//! name.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::private;
use stentor_core::store::high_water::{self, HighWater};

/// The format that this program writes, and the only one that it reads.
pub const FORMAT_VERSION: u32 = 1;

const FORMAT_FILE: &str = "stentor.format";
const FORMAT_DRAFT: &str = "stentor.format.new";
const LOCK_FILE: &str = "lock";
const CONTROL: &str = "control";
const SHARD_PREFIX: &str = "shard-";
/// A file that a test of the disk writes and removes; a test that was killed leaves it behind.
pub const TRIAL_FILE: &str = "trial";
/// The file of the high-water mark in a store's directory.
pub const HIGH_WATER_FILE: &str = "high-water";

/// What is fixed for the life of a data directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Format {
    /// [`FORMAT_VERSION`] of the program that made it.
    pub version: u32,
    /// Number of this node in message ids: 10 bits.
    pub node: u16,
    /// How many shards the recipients are spread over.
    pub shards: u16,
    /// When the directory was made, seconds since 1970.
    pub created: u64,
}

/// An open data directory; the lock is held as long as this lives.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    format: Format,
    is_new: bool,
    exposure: Exposure,
    _lock: File,
}

/// Whether users other than ours could read the directory when it was opened.
#[derive(Debug)]
pub enum Exposure {
    /// They could not.
    Closed,
    /// They could, with this mode; now they cannot.
    WasOpen(u32),
    /// They may be able to: the mode could not be changed.
    Unknown(io::Error),
}

/// Why a data directory cannot be used. Each is one line for the operator.
#[derive(Debug)]
pub enum Refusal {
    /// Another process uses it.
    Locked { path: PathBuf, holder: String },
    /// It was made by a program with another format.
    Version { path: PathBuf, found: u32 },
    /// It was made for another number of shards.
    Shards { path: PathBuf, found: u16, wanted: u16 },
    /// It was made for another node.
    Node { path: PathBuf, found: u16, wanted: u16 },
    /// The format file cannot be read.
    Unreadable { path: PathBuf, why: String },
    /// It is not empty and has no format file: it belongs to another program, or has lost its format file.
    Foreign { path: PathBuf, found: PathBuf },
    /// Nothing can be restored into it, because it is not empty.
    NotEmpty { path: PathBuf, found: PathBuf },
    /// One of its stores is missing.
    Missing { path: PathBuf },
    /// It contains nothing of a data directory.
    NoData { path: PathBuf },
    /// The operating system returned an error.
    Io { path: PathBuf, what: &'static str, error: io::Error },
}

impl DataDirectory {
    /// Takes the lock and opens the directory, or makes it. `wanted.version` must be [`FORMAT_VERSION`];
    /// `wanted.created` is used only when the directory is made.
    ///
    /// # Errors
    /// See [`Refusal`]. Nothing was changed, except that an empty directory may have got its lock file and store
    /// directories. Other users' rights are removed only from a directory that is accepted: a refused one may belong to
    /// another program.
    pub fn open(path: &Path, wanted: Format) -> Result<DataDirectory, Refusal> {
        create(path).map_err(io_refusal(path, "create"))?;
        let lock = take_lock(path)?;
        let found = read_format(path)?;
        let format = match found {
            Some(format) => check_format(path, format, wanted)?,
            None => make(path, wanted)?,
        };
        let exposure = Exposure::end(path);
        DataDirectory { path: path.to_owned(), format, is_new: found.is_none(), exposure, _lock: lock }.with_stores()
    }

    /// Takes the lock of an existing directory, and makes nothing.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn open_existing(path: &Path) -> Result<DataDirectory, Refusal> {
        if read_format(path)?.is_none() {
            return Err(if store_paths(path, 1).any(|store| store.is_dir()) {
                Refusal::Missing { path: path.join(FORMAT_FILE) }
            } else {
                Refusal::NoData { path: path.to_owned() }
            });
        }
        let lock = take_lock(path)?;
        let format = read_format(path)?.ok_or_else(|| Refusal::Missing { path: path.join(FORMAT_FILE) })?;
        let exposure = Exposure::end(path);
        DataDirectory { path: path.to_owned(), format, is_new: false, exposure, _lock: lock }.with_stores()
    }

    fn with_stores(self) -> Result<DataDirectory, Refusal> {
        let missing = self.stores().find(|store| !store.is_dir());
        match missing {
            Some(path) => Err(Refusal::Missing { path }),
            None => Ok(self),
        }
    }

    /// The format of the directory.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether this call made the directory.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether other users could read the directory.
    pub fn exposure(&self) -> &Exposure {
        &self.exposure
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a shard's store.
    pub fn shard(&self, shard: u16) -> PathBuf {
        shard_path(&self.path, shard)
    }

    /// The path of the store of control.
    pub fn control(&self) -> PathBuf {
        self.path.join(CONTROL)
    }

    /// Where the bytes of damaged segments are put; the directory is made when there is one.
    pub fn quarantine(&self) -> PathBuf {
        self.path.join("quarantine")
    }

    fn stores(&self) -> impl Iterator<Item = PathBuf> {
        store_paths(&self.path, self.format.shards)
    }
}

impl Exposure {
    fn end(path: &Path) -> Self {
        match private::close(path) {
            Ok(None) => Self::Closed,
            Ok(Some(mode)) => Self::WasOpen(mode),
            Err(error) => Self::Unknown(error),
        }
    }
}

/// A data directory that is being made from a backup. It is not usable without its format file, which is written last.
#[derive(Debug)]
pub struct Restoring {
    path: PathBuf,
    format: Format,
    _lock: File,
}

impl Restoring {
    /// Makes the directory with empty stores, and locks it.
    ///
    /// # Errors
    /// See [`Refusal`]; a directory that is not empty is refused and not touched.
    pub fn begin(path: &Path, format: Format) -> Result<Restoring, Refusal> {
        create(path).map_err(io_refusal(path, "create"))?;
        let refusal = io_refusal(path, "list");
        for entry in fs::read_dir(path).map_err(&refusal)? {
            let found = entry.map_err(&refusal)?.path();
            if found.file_name().is_none_or(|name| name != "lost+found") {
                return Err(Refusal::NotEmpty { path: path.to_owned(), found });
            }
        }
        let lock = take_lock(path)?;
        // If the mode cannot be changed, the daemon that later uses the directory reports it.
        let _ = private::close(path);
        for store in store_paths(path, format.shards) {
            private::directory(&store).map_err(io_refusal(&store, "create"))?;
        }
        Ok(Restoring { path: path.to_owned(), format, _lock: lock })
    }

    /// The path of a shard's store.
    pub fn shard(&self, shard: u16) -> PathBuf {
        shard_path(&self.path, shard)
    }

    /// The path of the store of control.
    pub fn control(&self) -> PathBuf {
        self.path.join(CONTROL)
    }

    /// Everything is in the stores and durable: makes the directory a data directory.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn finish(self) -> Result<(), Refusal> {
        seal_format(&self.path, self.format).map_err(io_refusal(&self.path, "format"))
    }
}

fn shard_path(path: &Path, shard: u16) -> PathBuf {
    path.join(format!("{SHARD_PREFIX}{shard:02}"))
}

fn store_paths(path: &Path, shards: u16) -> impl Iterator<Item = PathBuf> {
    (0..shards).map(|shard| shard_path(path, shard)).chain([path.join(CONTROL)])
}

/// The process that uses the directory; `None`: no process does, or the lock does not name it.
pub fn holder(path: &Path) -> Option<i32> {
    let mut lock = File::open(path.join(LOCK_FILE)).ok()?;
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        Ok(()) | Err(TryLockError::Error(_)) => return None,
    }
    let mut holder = String::new();
    lock.read_to_string(&mut holder).ok()?;
    holder.trim().parse().ok().filter(|process| *process > 0)
}

/// The format of an existing directory; `None`: it does not exist yet and can be made. Takes no lock and changes
/// nothing; `shards`: as configured.
///
/// # Errors
/// The reason for which opening it would be refused.
pub fn look(path: &Path, node: u16, shards: Option<u16>) -> Result<Option<Format>, Refusal> {
    let Some(found) = read_format(path)? else { return refuse_foreign(path).map(|()| None) };
    let wanted = Format { node, shards: shards.unwrap_or(found.shards), ..found };
    check_format(path, found, wanted)?;
    let missing = store_paths(path, found.shards).find(|store| !store.is_dir());
    missing.map_or(Ok(Some(found)), |path| Err(Refusal::Missing { path }))
}

/// Makes the directory and its missing parents, and makes each name durable.
fn create(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let missing: Vec<&Path> = path.ancestors().take_while(|above| !above.exists()).collect();
    private::directory(&path)?;
    missing.into_iter().filter_map(Path::parent).try_for_each(sync_directory)
}

fn take_lock(path: &Path) -> Result<File, Refusal> {
    let lock_path = path.join(LOCK_FILE);
    let refusal = io_refusal(&lock_path, "lock");
    let opened = private::file(&lock_path, OpenOptions::new().read(true).write(true).create(true).truncate(false));
    let mut lock = opened.map_err(&refusal)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let is_known = lock.read_to_string(&mut holder).is_ok_and(|bytes| bytes > 0);
            let holder = if is_known { format!("process {}", holder.trim_end()) } else { "another process".to_owned() };
            return Err(Refusal::Locked { path: path.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(refusal(error)),
    }
    let sign = |lock: &mut File| -> io::Result<()> {
        lock.set_len(0)?;
        writeln!(lock, "{}", std::process::id())
    };
    match sign(&mut lock) {
        // The name of the holder is only for messages: a full disk must not keep the ballast from being released.
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {}
        signed => signed.map_err(&refusal)?,
    }
    Ok(lock)
}

fn read_format(path: &Path) -> Result<Option<Format>, Refusal> {
    let file = path.join(FORMAT_FILE);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_refusal(&file, "read")(error)),
    };
    /// Read first and on its own: another version may have other fields.
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let unreadable =
        |error: toml::de::Error| Refusal::Unreadable { path: file.clone(), why: error.message().to_owned() };
    let Version { version } = toml::from_str(&text).map_err(unreadable)?;
    if version != FORMAT_VERSION {
        return Err(Refusal::Version { path: path.to_owned(), found: version });
    }
    if !is_as_written(&text) {
        let why = "it is not as it was written: restore this file from a backup".to_owned();
        return Err(Refusal::Unreadable { path: file, why });
    }
    toml::from_str(&text).map(Some).map_err(unreadable)
}

/// After this comes the checksum (xxh3-64, hexadecimal) of everything before it in the file. Without it, a changed
/// digit of `created` would be noticed only when known keys are no longer recognised.
const CHECK: &str = "# check ";

fn with_check(mut text: String) -> String {
    let check = xxh3_64(text.as_bytes());
    text.push_str(&format!("{CHECK}{check:016x}\n"));
    text
}

/// Whether the file is as it was written. A file from a version without checksums has none; it ends with a complete
/// line.
fn is_as_written(text: &str) -> bool {
    match text.split_once('#') {
        Some((before, _)) => with_check(before.to_owned()) == text,
        None => text.ends_with('\n'),
    }
}

fn check_format(path: &Path, found: Format, wanted: Format) -> Result<Format, Refusal> {
    if found.shards != wanted.shards {
        return Err(Refusal::Shards { path: path.to_owned(), found: found.shards, wanted: wanted.shards });
    }
    if found.node != wanted.node {
        return Err(Refusal::Node { path: path.to_owned(), found: found.node, wanted: wanted.node });
    }
    Ok(found)
}

/// Makes the directories, then the format file, each durable before the next: a crash in between leaves a directory
/// without a format file and with empty stores, and the next start makes it again.
fn make(path: &Path, format: Format) -> Result<Format, Refusal> {
    refuse_foreign(path)?;
    let write = || -> io::Result<()> {
        for store in store_paths(path, format.shards) {
            private::directory(&store)?;
        }
        seal_format(path, format)
    };
    write().map_err(io_refusal(path, "format"))?;
    Ok(format)
}

/// Makes the stores' directories durable, then the format file, then the data directory itself.
fn seal_format(path: &Path, format: Format) -> io::Result<()> {
    let draft = path.join(FORMAT_DRAFT);
    sync_directory(path)?;
    let text = with_check(toml::to_string(&format).map_err(io::Error::other)?);
    let mut file = private::file(&draft, OpenOptions::new().write(true).create(true).truncate(true))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path.join(FORMAT_FILE))?;
    sync_directory(path)
}

fn refuse_foreign(path: &Path) -> Result<(), Refusal> {
    let refusal = io_refusal(path, "list");
    for entry in fs::read_dir(path).map_err(&refusal)? {
        let found = entry.map_err(&refusal)?.path();
        let name = found.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_ours = match name {
            LOCK_FILE | FORMAT_DRAFT | TRIAL_FILE => true,
            CONTROL => is_empty_directory(&found),
            shard if shard.starts_with(SHARD_PREFIX) => is_empty_directory(&found),
            // A new file system contains this directory.
            "lost+found" => true,
            _ => false,
        };
        if !is_ours {
            return Err(Refusal::Foreign { path: path.to_owned(), found });
        }
    }
    Ok(())
}

fn is_empty_directory(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn io_refusal(path: &Path, what: &'static str) -> impl Fn(io::Error) -> Refusal {
    let path = path.to_owned();
    move |error| Refusal::Io { path: path.clone(), what, error }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Locked { path, holder } => write!(f, "{} is in use by {holder}", path.display()),
            Refusal::Version { path, found } => write!(
                f,
                "{} has format {found}, and this program knows only format {FORMAT_VERSION}: use the version that made it",
                path.display()
            ),
            Refusal::Shards { path, found, wanted } => write!(
                f,
                "{} was made with {found} shards, the configuration says {wanted}: the number is fixed when it is made",
                path.display()
            ),
            Refusal::Node { path, found, wanted } => write!(
                f,
                "{} belongs to node {found}, the configuration says {wanted}: message ids would no longer be found",
                path.display()
            ),
            Refusal::Unreadable { path, why } => write!(f, "{} cannot be read: {why}", path.display()),
            Refusal::Foreign { path, found } => write!(
                f,
                "{} has no {FORMAT_FILE}, but is not empty either: it holds {}",
                path.display(),
                found.display()
            ),
            Refusal::NotEmpty { path, found } => write!(
                f,
                "{} is not empty, it holds {}: a backup is restored into a new directory",
                path.display(),
                found.display()
            ),
            Refusal::Missing { path } => write!(f, "{} is missing: restore it from a backup", path.display()),
            Refusal::NoData { path } => {
                write!(f, "{} is not a data directory: it has no {FORMAT_FILE} and no {CONTROL}", path.display())
            }
            Refusal::Io { path, what, error } => write!(f, "cannot {what} {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for Refusal {}

/// The file of a store's high-water mark.
#[derive(Debug)]
pub struct HighWaterFile {
    file: File,
    mark: HighWater,
}

impl HighWaterFile {
    /// Opens or makes the file in a store's directory; gives also the mark of the last run, if one can be read.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn open(store: &Path) -> io::Result<(HighWaterFile, Option<HighWater>)> {
        let path = store.join(HIGH_WATER_FILE);
        let file = private::file(&path, OpenOptions::new().read(true).write(true).create(true).truncate(false))?;
        let mut bytes = Vec::with_capacity(high_water::FILE_BYTES);
        (&file).take(high_water::FILE_BYTES as u64).read_to_end(&mut bytes)?;
        let mark = high_water::decode(&bytes);
        Ok((HighWaterFile { file, mark: mark.unwrap_or_default() }, mark))
    }

    /// Sets the mark to a durable commit, without waiting for the disk. To be called at most once a second.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn write(&mut self, commit: u64) -> io::Result<()> {
        self.put(self.mark.next(commit, false))
    }

    /// Sets the mark at a clean stop; it is durable on return.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn seal(&mut self, commit: u64) -> io::Result<()> {
        self.put(self.mark.next(commit, true))?;
        self.file.sync_all()
    }

    /// Sets the mark to a durable commit; the mark is durable on return.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn write_durably(&mut self, commit: u64) -> io::Result<()> {
        self.write(commit)?;
        self.file.sync_all()
    }

    fn put(&mut self, mark: HighWater) -> io::Result<()> {
        self.file.write_all_at(&high_water::encode(mark), mark.offset() as u64)?;
        self.mark = mark;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Format = Format { version: FORMAT_VERSION, node: 3, shards: 2, created: 1_700_000_000 };

    fn refusal(path: &Path, wanted: Format) -> String {
        let refusal = DataDirectory::open(path, wanted).expect_err("refused").to_string();
        assert!(!refusal.contains('\n'), "one line: {refusal:?}");
        refusal.replace(&path.display().to_string(), "DATA")
    }

    #[test]
    fn a_directory_is_made_once_and_found_again() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("new/data");
        let made = DataDirectory::open(&path, WANTED).unwrap();
        assert!(made.is_new() && made.shard(1).is_dir() && made.control().is_dir());
        assert_eq!(made.shard(1), path.join("shard-01"));
        drop(made);
        let found = DataDirectory::open(&path, Format { created: 9, ..WANTED }).unwrap();
        assert_eq!((found.is_new(), found.format()), (false, WANTED));
        let seen = |node, shards| look(&path, node, shards).map_err(|refusal| refusal.to_string());
        assert_eq!([seen(3, None), seen(3, Some(2))], [Ok(Some(WANTED)), Ok(Some(WANTED))]);
        assert!(seen(4, None).is_err_and(|why| why.contains("belongs to node 3")));
        assert!(seen(3, Some(4)).is_err_and(|why| why.contains("made with 2 shards")));
        let text = fs::read_to_string(path.join(FORMAT_FILE)).unwrap();
        assert_eq!(text, "version = 1\nnode = 3\nshards = 2\ncreated = 1700000000\n# check 253390b7e52cd297\n");
    }

    #[test]
    fn a_changed_format_file_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(FORMAT_FILE);
        drop(DataDirectory::open(root.path(), WANTED).unwrap());
        let good = fs::read(&file).unwrap();
        for (at, flip) in (0..good.len()).flat_map(|at| [1, 2, 4, 8, 16, 32, 64, 128].map(|flip| (at, flip))) {
            let mut bad = good.clone();
            bad[at] ^= flip;
            fs::write(&file, bad).unwrap();
            DataDirectory::open(root.path(), WANTED).expect_err("changed");
        }
        // What remains of a file that was cut may contain all the fields, and is then accepted.
        for cut in 0..good.len() {
            fs::write(&file, &good[..cut]).unwrap();
            assert!(DataDirectory::open(root.path(), WANTED).is_err_and(|_| true) || cut == 53, "cut at {cut}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_one_line() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        let made = DataDirectory::open(path, WANTED).unwrap();
        assert_eq!(refusal(path, WANTED), format!("DATA is in use by process {}", std::process::id()));
        drop(made);
        assert_eq!(
            refusal(path, Format { shards: 4, ..WANTED }),
            "DATA was made with 2 shards, the configuration says 4: the number is fixed when it is made"
        );
        assert!(refusal(path, Format { node: 4, ..WANTED }).starts_with("DATA belongs to node 3"));
        fs::remove_dir(path.join("shard-01")).unwrap();
        assert_eq!(refusal(path, WANTED), "DATA/shard-01 is missing: restore it from a backup");
        fs::write(path.join(FORMAT_FILE), "version = 2\nother = true\n").unwrap();
        assert!(refusal(path, WANTED).starts_with("DATA has format 2, and this program knows only format 1"));
        fs::write(path.join(FORMAT_FILE), "version = 1\nnode = -1\n").unwrap();
        assert!(refusal(path, WANTED).starts_with("DATA/stentor.format cannot be read"));
    }

    #[test]
    fn one_that_never_was_is_told_from_one_that_lost_its_format() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        let refused = |path: &Path| match DataDirectory::open_existing(path) {
            Err(refusal) => refusal.to_string().replace(&root.path().display().to_string(), "DATA"),
            Ok(_) => panic!("opened"),
        };
        fs::write(path.join("letter"), "not ours").unwrap();
        assert_eq!(refused(path), "DATA is not a data directory: it has no stentor.format and no control");
        assert!(refused(&path.join("nowhere")).starts_with("DATA/nowhere is not a data directory"));
        fs::create_dir(path.join("shard-00")).unwrap();
        assert_eq!(refused(path), "DATA/stentor.format is missing: restore it from a backup");
    }

    #[test]
    fn no_other_user_reads_it_and_no_link_leads_out_of_it() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let root = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
        let path = root.path().join("data");
        let made = DataDirectory::open(&path, WANTED).unwrap();
        assert!(matches!(made.exposure(), Exposure::Closed));
        assert_eq!([&path, &made.shard(0), &made.control()].map(|path| mode(path)), [0o700; 3]);
        assert_eq!([LOCK_FILE, FORMAT_FILE].map(|name| mode(&path.join(name))), [0o600; 2]);
        drop(made);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        refusal(&path, Format { shards: 4, ..WANTED });
        assert_eq!(mode(&path), 0o755, "what is refused is not touched");
        let found = DataDirectory::open(&path, WANTED).unwrap();
        assert!(matches!(found.exposure(), Exposure::WasOpen(0o755)) && mode(&path) == 0o700);
        drop(found);

        let victim = root.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let foreign = root.path().join("foreign");
        for name in [LOCK_FILE, FORMAT_DRAFT] {
            fs::create_dir_all(&foreign).unwrap();
            symlink(&victim, foreign.join(name)).unwrap();
            let refused = refusal(&foreign, WANTED);
            assert!(refused.ends_with("it is a symbolic link, and these are not followed"), "{refused}");
            fs::remove_dir_all(&foreign).unwrap();
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn a_crash_while_it_is_made_is_made_good_but_lost_data_is_not_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        fs::create_dir(path.join("shard-00")).unwrap();
        fs::write(path.join(FORMAT_DRAFT), "vers").unwrap();
        fs::write(path.join(TRIAL_FILE), "").unwrap();
        assert!(matches!(look(path, 3, None), Ok(None)));
        drop(DataDirectory::open(path, WANTED).unwrap());
        fs::remove_file(path.join(FORMAT_FILE)).unwrap();
        fs::write(path.join("shard-00/0.jnl"), "data").unwrap();
        assert_eq!(
            refusal(path, WANTED),
            "DATA has no stentor.format, but is not empty either: it holds DATA/shard-00"
        );
        let foreign = tempfile::tempdir().unwrap();
        fs::write(foreign.path().join("letter.txt"), "dear").unwrap();
        assert!(refusal(foreign.path(), WANTED).ends_with("it holds DATA/letter.txt"));
    }

    #[test]
    fn the_high_water_mark_is_found_again_also_after_a_torn_write() {
        let root = tempfile::tempdir().unwrap();
        let (mut file, found) = HighWaterFile::open(root.path()).unwrap();
        assert_eq!(found, None);
        for commit in [5, 9] {
            file.write(commit).unwrap();
        }
        let (mut file, found) = HighWaterFile::open(root.path()).unwrap();
        assert_eq!(found, Some(HighWater { counter: 2, commit: 9, is_clean: false }));
        file.seal(11).unwrap();
        let path = root.path().join(HIGH_WATER_FILE);
        let sealed = HighWater { counter: 3, commit: 11, is_clean: true };
        assert_eq!(HighWaterFile::open(root.path()).unwrap().1, Some(sealed));
        let mut bytes = fs::read(&path).unwrap();
        bytes[sealed.offset() + 20] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(HighWaterFile::open(root.path()).unwrap().1.map(|mark| mark.commit), Some(9));
    }
}
