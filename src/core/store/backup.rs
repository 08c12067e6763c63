//! A backup as bytes: what every store held at the mark, in blocks that show when they are damaged or missing.
//!
//! Knows: the layout, what the checksums cover, the order of stores and tables. Refuses to know: where the bytes go,
//! what a key or value means (`restored`), how a store is read and filled (`fjall_backup`).
//!
//! A backup is not a copy of the files: it contains key spaces, keys and values, so neither fjall nor its version is part of
//! the format, and a backup can be made while batches are committed.
//!
//! ```text
//! STENTORB, version u32 = 1
//! block: kind u8, coding u8 (0 none, 1 zstd), store u16, number u32, plain length u32, stored length u32 (both in bytes),
//!        xxh3-64 u64 of the 16 bytes before it and the stored bytes; then the stored bytes   (little endian)
//!   kind 1, once, first: the manifest (TOML)
//!   kind 2: entries of one table: length u8 and name of the table, then each
//!           entry: key length u16, value length u32, key, value
//!   kind 3, once, last: entries u64
//! ```
//!
//! Invariants, which [`BackupReader`] checks:
//! 1. Block numbers count from 0 without a gap; nothing follows the last block.
//! 2. Stores are in the order of the manifest, control last; a table is in one piece; `meta` is the last table of its
//!    store.
//! 3. The keys of a table are strictly ascending.
//!
//! To change the format: a new version number, the old one still read, golden bytes of both.

use std::fmt;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::backend::{KEY_BYTES_MAX, RunId, Space, VALUE_BYTES_MAX};
use super::run;

const MAGIC: &[u8; 8] = b"STENTORB";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 24;
const KIND_MANIFEST: u8 = 1;
const KIND_ENTRIES: u8 = 2;
const KIND_END: u8 = 3;
const CODING_PLAIN: u8 = 0;
const CODING_ZSTD: u8 = 1;

/// A block is closed when it holds this many bytes.
const BLOCK_BYTES: usize = 1 << 20;
/// Most bytes in a block: one entry of the largest size fits.
const BLOCK_BYTES_MAX: usize = VALUE_BYTES_MAX + KEY_BYTES_MAX + BLOCK_BYTES;
/// Fast, and halves the size of everything but segments, which are compressed already.
const ZSTD_LEVEL: i32 = 1;

/// The store number of control.
pub const CONTROL: u16 = u16::MAX;

/// The description of a backup, in its first block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the program that made the backup.
    pub stentor: String,
    /// Number of the node in message ids.
    pub node: u16,
    /// Number of shards.
    pub shards: u16,
    /// When the data directory was made, seconds since 1970; seeds the fingerprints of keys.
    pub created: u64,
    /// When the backup was begun, ms since 1970: it holds everything that was acknowledged before.
    pub mark: u64,
    /// By shard: the last commit in the backup.
    pub commits: Vec<u64>,
}

impl Manifest {
    /// The numbers of the stores, in their order.
    fn stores(&self) -> impl Iterator<Item = u16> {
        (0..self.shards).chain([CONTROL])
    }
}

/// A part of a store: a key space or a sorted run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// A sorted run.
    Run(RunId),
    /// A key space.
    Space(Space),
}

impl Table {
    fn name(self) -> String {
        match self {
            Self::Run(id) => run::name(id),
            Self::Space(space) => space.name().to_owned(),
        }
    }

    fn parse(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        let space = Space::ALL.into_iter().find(|space| space.name() == name);
        space.map(Self::Space).or_else(|| run::parse_name(name).map(Self::Run))
    }
}

/// Writes a backup, block by block.
pub struct BackupWriter<W> {
    out: W,
    compressor: zstd::bulk::Compressor<'static>,
    number: u32,
    store: u16,
    /// The block being filled: empty, or a table's name and entries of the table.
    plain: Vec<u8>,
    /// Length of the name at its beginning, bytes.
    name_len: usize,
    entries: u64,
}

impl<W: Write> BackupWriter<W> {
    /// Begins a backup.
    ///
    /// # Errors
    /// Errors of `out`.
    pub fn begin(mut out: W, manifest: &Manifest) -> io::Result<Self> {
        let text = toml::to_string(manifest).map_err(io::Error::other)?;
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        let mut writer =
            Self { out, compressor, number: 0, store: CONTROL, plain: Vec::new(), name_len: 0, entries: 0 };
        writer.block(KIND_MANIFEST, text.as_bytes())?;
        Ok(writer)
    }

    /// Begins a table: the following entries belong to it.
    ///
    /// # Errors
    /// Errors of `out`.
    pub fn table(&mut self, store: u16, table: Table) -> io::Result<()> {
        self.close()?;
        let name = table.name();
        self.store = store;
        self.plain.clear();
        self.plain.push(name.len() as u8);
        self.plain.extend_from_slice(name.as_bytes());
        self.name_len = self.plain.len();
        Ok(())
    }

    /// Adds an entry to the table; its key is greater than the one before.
    ///
    /// # Errors
    /// Errors of `out`.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.plain.extend_from_slice(&(key.len() as u16).to_le_bytes());
        self.plain.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.plain.extend_from_slice(key);
        self.plain.extend_from_slice(value);
        self.entries += 1;
        if self.plain.len() < BLOCK_BYTES {
            return Ok(());
        }
        self.close()
    }

    /// Ends the backup; gives the number of entries. Only now is what was written a complete backup.
    ///
    /// # Errors
    /// Errors of `out`.
    pub fn finish(mut self) -> io::Result<u64> {
        self.close()?;
        self.store = CONTROL;
        let entries = self.entries;
        self.block(KIND_END, &entries.to_le_bytes())?;
        self.out.flush()?;
        Ok(entries)
    }

    fn close(&mut self) -> io::Result<()> {
        if self.plain.len() > self.name_len {
            let plain = std::mem::take(&mut self.plain);
            self.block(KIND_ENTRIES, &plain)?;
            self.plain = plain;
            self.plain.truncate(self.name_len);
        }
        Ok(())
    }

    fn block(&mut self, kind: u8, plain: &[u8]) -> io::Result<()> {
        let packed = self.compressor.compress(plain)?;
        let (coding, stored) =
            if packed.len() < plain.len() { (CODING_ZSTD, &packed[..]) } else { (CODING_PLAIN, plain) };
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&[kind, coding]);
        header.extend_from_slice(&self.store.to_le_bytes());
        for number in [self.number, plain.len() as u32, stored.len() as u32] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&checksum(&header, stored).to_le_bytes());
        self.number += 1;
        self.out.write_all(&header)?;
        self.out.write_all(stored)
    }
}

impl<W> fmt::Debug for BackupWriter<W> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BackupWriter").field("blocks", &self.number).finish_non_exhaustive()
    }
}

fn checksum(head: &[u8], stored: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(head);
    hash.update(stored);
    hash.digest()
}

/// Why bytes are not a complete backup. Each is one line for the operator.
#[derive(Debug)]
pub enum Broken {
    /// They do not begin like a backup.
    NotABackup,
    /// The backup has a format that this program does not know.
    Version(u32),
    /// The backup ends too early, after this many bytes.
    CutOff(u64),
    /// A block is not as it was written.
    Damaged { block: u32, at: u64, what: &'static str },
    /// The backup cannot be read.
    Io(io::Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABackup => out.write_str("this is not a Stentor backup"),
            Self::Version(found) => {
                write!(out, "the backup has format {found}, and this program knows only format {VERSION}")
            }
            Self::CutOff(bytes) => write!(out, "the backup is cut off after {bytes} bytes"),
            Self::Damaged { block, at, what } => {
                write!(out, "the backup is damaged in block {block} at byte {at}: {what}")
            }
            Self::Io(error) => write!(out, "the backup cannot be read: {error}"),
        }
    }
}

impl std::error::Error for Broken {}

/// Entries of one table, after all checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The number of the store.
    pub store: u16,
    /// The table.
    pub table: Table,
    plain: Vec<u8>,
    name_len: usize,
}

impl Piece {
    /// The entries (key and value), ascending by key.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.plain.get(self.name_len..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (key, value, after) = split_entry(rest)?;
            rest = after;
            Some((key, value))
        })
    }
}

fn split_entry(rest: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key_len, rest) = rest.split_first_chunk::<2>()?;
    let (value_len, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key_len)))?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value_len) as usize)?;
    Some((key, value, rest))
}

/// Reads a backup and refuses an incomplete one: the backup is complete when [`Self::next_piece`] has returned `None`.
#[derive(Debug)]
pub struct BackupReader<R> {
    input: R,
    manifest: Manifest,
    /// Bytes read so far.
    at: u64,
    number: u32,
    entries: u64,
    /// Bytes of the keys and values read so far.
    plain_bytes: u64,
    /// Position of the last entry: index of its store, its table, its key.
    last: Option<(usize, Table, Vec<u8>)>,
    /// Tables of the current store that are finished.
    done: Vec<Table>,
    is_through: bool,
}

impl<R: Read> BackupReader<R> {
    /// Opens a backup and reads its manifest.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn open(input: R) -> Result<Self, Broken> {
        let manifest =
            Manifest { stentor: String::new(), node: 0, shards: 0, created: 0, mark: 0, commits: Vec::new() };
        let mut reader = Self {
            input,
            manifest,
            at: 0,
            number: 0,
            entries: 0,
            plain_bytes: 0,
            last: None,
            done: Vec::new(),
            is_through: false,
        };
        let (mut magic, mut version) = ([0; MAGIC.len()], [0; 4]);
        reader.fill(&mut magic)?;
        if magic != *MAGIC {
            return Err(Broken::NotABackup);
        }
        reader.fill(&mut version)?;
        let version = u32::from_le_bytes(version);
        if version != VERSION {
            return Err(Broken::Version(version));
        }
        let (kind, _, plain) = reader.block()?;
        let text = String::from_utf8(plain).ok().filter(|_| kind == KIND_MANIFEST);
        let manifest = text.and_then(|text| toml::from_str::<Manifest>(&text).ok());
        let fits = |manifest: &Manifest| manifest.commits.len() == usize::from(manifest.shards);
        reader.manifest = manifest.filter(fits).ok_or_else(|| reader.damaged("there is no valid manifest"))?;
        Ok(reader)
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Bytes read so far.
    pub const fn bytes(&self) -> u64 {
        self.at
    }

    /// Entries read so far.
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes of the keys and values read so far.
    pub const fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }

    /// The next entries; `None` at the end of a complete backup.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Broken> {
        if self.is_through {
            return Ok(None);
        }
        let (kind, store, plain) = self.block()?;
        match kind {
            KIND_ENTRIES => self.piece(store, plain).map(Some),
            KIND_END if plain == self.entries.to_le_bytes() => {
                let mut more = [0];
                match self.input.read(&mut more) {
                    Ok(0) => {}
                    Ok(_) => return Err(self.damaged("there is data after its end")),
                    Err(error) => return Err(Broken::Io(error)),
                }
                self.is_through = true;
                Ok(None)
            }
            KIND_END => Err(self.damaged("entries are missing")),
            _ => Err(self.damaged("a block of an unknown kind")),
        }
    }

    fn piece(&mut self, store: u16, plain: Vec<u8>) -> Result<Piece, Broken> {
        let name_len = 1 + plain.first().map_or(0, |len| usize::from(*len));
        let table = plain.get(1..name_len).and_then(Table::parse).ok_or_else(|| self.damaged("an unknown table"))?;
        let place = self.manifest.stores().position(|known| known == store);
        let place = place.ok_or_else(|| self.damaged("a store that the manifest does not list"))?;
        let mut last = match self.last.take() {
            Some((before, known, key)) if (before, known) == (place, table) => key,
            Some((before, known, _)) if before == place && known != Table::Space(Space::Meta) => {
                self.done.push(known);
                Vec::new()
            }
            Some((before, ..)) if before >= place => return Err(self.damaged("a store out of order")),
            Some(_) | None => {
                self.done.clear();
                Vec::new()
            }
        };
        if self.done.contains(&table) {
            return Err(self.damaged("a table in two pieces"));
        }
        let mut rest = plain.get(name_len..).unwrap_or_default();
        while !rest.is_empty() {
            let (key, value, after) = split_entry(rest).ok_or_else(|| self.damaged("an entry that cannot be read"))?;
            if key <= last.as_slice() {
                return Err(self.damaged("keys out of order"));
            }
            last.clear();
            last.extend_from_slice(key);
            rest = after;
            self.entries += 1;
            self.plain_bytes += (key.len() + value.len()) as u64;
        }
        self.last = Some((place, table, last));
        Ok(Piece { store, table, plain, name_len })
    }

    /// The next block: kind, store, content.
    fn block(&mut self) -> Result<(u8, u16, Vec<u8>), Broken> {
        let mut header = [0; HEADER_BYTES];
        self.fill(&mut header)?;
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (number, plain_len, stored_len) = (word(4), word(8) as usize, word(12) as usize);
        if plain_len > BLOCK_BYTES_MAX || stored_len > plain_len {
            return Err(self.damaged("a block of impossible size"));
        }
        // Not allocated at once: a damaged length must not reserve memory that the input does not fill.
        let mut stored = Vec::new();
        let read = self.input.by_ref().take(stored_len as u64).read_to_end(&mut stored).map_err(Broken::Io)?;
        self.at += read as u64;
        if read < stored_len {
            return Err(Broken::CutOff(self.at));
        }
        let sum = u64::from(word(16)) | u64::from(word(20)) << 32;
        if checksum(&header[..16], &stored) != sum {
            return Err(self.damaged("the checksum does not match"));
        }
        if number != self.number {
            return Err(self.damaged("a block is missing before it"));
        }
        let plain = match header[1] {
            CODING_PLAIN if stored_len == plain_len => stored,
            CODING_ZSTD => {
                let plain = zstd::bulk::decompress(&stored, plain_len).ok().filter(|plain| plain.len() == plain_len);
                plain.ok_or_else(|| self.damaged("it does not decompress"))?
            }
            _ => return Err(self.damaged("an unknown coding")),
        };
        self.number += 1;
        Ok((header[0], u16::from_le_bytes([header[2], header[3]]), plain))
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<(), Broken> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) if self.at == 0 => return Err(Broken::NotABackup),
                Ok(0) => return Err(Broken::CutOff(self.at)),
                Ok(read) => {
                    filled += read;
                    self.at += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken::Io(error)),
            }
        }
        Ok(())
    }

    fn damaged(&self, what: &'static str) -> Broken {
        Broken::Damaged { block: self.number, at: self.at, what }
    }
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
