//! A disk in the state that a trace left at some point: synced data is there, and of the rest what chance leaves.
//!
//! Knows what may happen at a power cut. Unsynced file data may be kept, lost, cut, or kept in part by blocks of 512
//! bytes in any order, with old content or zeroes in place of missing blocks. Unsynced directory entries may be kept,
//! lost, kept up to some point, or kept in part; a rename happens whole or not at all. Syncing a file does not sync the
//! directory that names it. Refuses to know what the files mean.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use stentor_core::model::Prng;

use super::marks;
use super::trace::{Change, Node, Trace};

const BLOCK: u64 = 512;

/// What happens to data that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// All of it reached the disk.
    Kept,
    /// None of it reached the disk.
    Lost,
    /// It reached the disk up to some point.
    Cut,
    /// Some of it reached the disk, in any order.
    Scattered,
    /// As `Scattered`, but missing blocks read as zeroes.
    Zeroed,
}

impl Fate {
    pub(super) const ALL: [Self; 5] = [Self::Kept, Self::Lost, Self::Cut, Self::Scattered, Self::Zeroed];

    /// Draws one.
    pub(super) fn draw(chance: &mut Prng) -> Self {
        Self::ALL[chance.below(Self::ALL.len() as u64) as usize]
    }
}

/// What happens to everything that was not synced, in one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Of data in files.
    pub data: Fate,
    /// Of entries in directories.
    pub entries: Fate,
    /// If some of it is kept: how much, in parts per million.
    pub kept_ppm: u32,
}

impl Cut {
    /// A cut that loses nothing.
    pub(super) const NOTHING_LOST: Self = Self { data: Fate::Kept, entries: Fate::Kept, kept_ppm: 0 };

    /// Draws one.
    pub(super) fn draw(chance: &mut Prng) -> Self {
        let (data, entries) = (Fate::draw(chance), Fate::draw(chance));
        // A few blocks, half of them, or all but a few: the last leaves batches whose end is there but whose middle is not.
        Self { data, entries, kept_ppm: [120_000, 500_000, 920_000][chance.below(3) as usize] }
    }
}

/// Changes of one node: indices into the trace.
#[derive(Clone, Debug, Default)]
struct History {
    changes: Vec<usize>,
    /// How many of them are on stable storage.
    durable: usize,
}

/// A disk in the state that a trace left at some point. Only moves forward along the trace.
#[derive(Debug)]
pub(super) struct Disk<'a> {
    trace: &'a Trace,
    at: usize,
    nodes: Vec<History>,
}

impl<'a> Disk<'a> {
    /// The disk before the first change.
    pub(super) fn new(trace: &'a Trace) -> Self {
        Self { trace, at: 0, nodes: vec![History::default(); trace.paths.len()] }
    }

    /// Applies every change before number `to`.
    pub(super) fn forward(&mut self, to: usize) {
        for at in self.at..to {
            match &self.trace.changes[at] {
                Change::Made { parent, .. } | Change::Renamed { parent, .. } | Change::Removed { parent, .. } => {
                    self.nodes[*parent].changes.push(at);
                }
                Change::Written { node, .. } | Change::Length { node, .. } => self.nodes[*node].changes.push(at),
                Change::Synced { node } => self.nodes[*node].durable = self.nodes[*node].changes.len(),
                Change::Marked(_) => {}
            }
        }
        self.at = self.at.max(to);
    }

    /// Writes what a power cut here may leave into the new directory `to`.
    pub(super) fn image(&self, to: &Path, cut: Cut, chance: &mut Prng) -> io::Result<()> {
        self.directory(0, to, cut, chance)
    }

    fn directory(&self, node: Node, to: &Path, cut: Cut, chance: &mut Prng) -> io::Result<()> {
        fs::create_dir_all(to)?;
        for (name, child) in self.entries(node, cut, chance) {
            if node == 0 && name == marks::FILE {
                continue;
            }
            let path = to.join(&name);
            if self.trace.directories[child] {
                self.directory(child, &path, cut, chance)?;
            } else {
                self.file(child, &path, cut, chance)?;
            }
        }
        Ok(())
    }

    fn entries(&self, node: Node, cut: Cut, chance: &mut Prng) -> BTreeMap<String, Node> {
        let history = &self.nodes[node];
        let (durable, open) = history.changes.split_at(history.durable);
        let mut entries = BTreeMap::new();
        let end = chance.below(open.len() as u64 + 1) as usize;
        let kept = open.iter().enumerate().filter(|(index, _)| match cut.entries {
            Fate::Kept => true,
            Fate::Lost => false,
            Fate::Cut => *index < end,
            Fate::Scattered | Fate::Zeroed => chance.chance(cut.kept_ppm),
        });
        for at in durable.iter().chain(kept.map(|(_, at)| at)) {
            match &self.trace.changes[*at] {
                Change::Made { name, node, .. } => drop(entries.insert(name.clone(), *node)),
                Change::Removed { name, .. } => drop(entries.remove(name)),
                Change::Renamed { from, to, .. } => {
                    if let Some(node) = entries.remove(from) {
                        entries.insert(to.clone(), node);
                    }
                }
                Change::Written { .. } | Change::Length { .. } | Change::Synced { .. } | Change::Marked(_) => {}
            }
        }
        entries
    }

    fn file(&self, node: Node, to: &Path, cut: Cut, chance: &mut Prng) -> io::Result<()> {
        let history = &self.nodes[node];
        let (durable, open) = history.changes.split_at(history.durable);
        let file = File::create_new(to)?;
        for at in durable {
            self.apply(&file, *at)?;
        }
        match cut.data {
            Fate::Kept => open.iter().try_for_each(|at| self.apply(&file, *at)),
            Fate::Lost => Ok(()),
            Fate::Cut => {
                let end = chance.below(open.len() as u64 + 1) as usize;
                open[..end].iter().try_for_each(|at| self.apply(&file, *at))?;
                open.get(end).map_or(Ok(()), |at| self.apply_cut(&file, *at, chance))
            }
            Fate::Scattered | Fate::Zeroed => open.iter().try_for_each(|at| self.apply_blocks(&file, *at, cut, chance)),
        }
    }

    fn apply(&self, file: &File, at: usize) -> io::Result<()> {
        match &self.trace.changes[at] {
            Change::Written { offset, bytes, .. } => file.write_all_at(self.trace.bytes(bytes), *offset),
            Change::Length { length, .. } => file.set_len(*length),
            Change::Made { .. }
            | Change::Synced { .. }
            | Change::Renamed { .. }
            | Change::Removed { .. }
            | Change::Marked(_) => Ok(()),
        }
    }

    /// Applies the first blocks of a write; the file may have its new length all the same.
    fn apply_cut(&self, file: &File, at: usize, chance: &mut Prng) -> io::Result<()> {
        let Change::Written { offset, bytes, .. } = &self.trace.changes[at] else { return Ok(()) };
        let bytes = self.trace.bytes(bytes);
        let end = offset + bytes.len() as u64;
        let cut = (offset + chance.below(bytes.len() as u64 + 1)) / BLOCK * BLOCK;
        let kept = cut.saturating_sub(*offset) as usize;
        file.write_all_at(&bytes[..kept], *offset)?;
        if chance.chance(500_000) && file.metadata()?.len() < end {
            file.set_len(end)?;
        }
        Ok(())
    }

    fn apply_blocks(&self, file: &File, at: usize, cut: Cut, chance: &mut Prng) -> io::Result<()> {
        match &self.trace.changes[at] {
            Change::Written { offset, bytes, .. } => {
                let bytes = self.trace.bytes(bytes);
                let mut done = 0;
                while done < bytes.len() {
                    let from = offset + done as u64;
                    let length = ((BLOCK - from % BLOCK) as usize).min(bytes.len() - done);
                    let block = &bytes[done..done + length];
                    if chance.chance(cut.kept_ppm) {
                        file.write_all_at(block, from)?;
                    } else if cut.data == Fate::Zeroed {
                        file.write_all_at(&vec![0; length], from)?;
                    }
                    done += length;
                }
                Ok(())
            }
            Change::Length { length, .. } if chance.chance(500_000) => file.set_len(*length),
            Change::Length { .. }
            | Change::Made { .. }
            | Change::Synced { .. }
            | Change::Renamed { .. }
            | Change::Removed { .. }
            | Change::Marked(_) => Ok(()),
        }
    }
}

/// Compares two directories: if they differ, a change is missing in the trace.
pub(super) fn difference(one: &Path, other: &Path) -> io::Result<Option<String>> {
    let names = |path: &Path| -> io::Result<Vec<String>> {
        let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names: Vec<String> = entries.collect::<io::Result<_>>()?;
        names.retain(|name| name != marks::FILE);
        names.sort();
        Ok(names)
    };
    let (ours, theirs) = (names(one)?, names(other)?);
    if ours != theirs {
        return Ok(Some(format!("{} holds {ours:?}, but by the trace {theirs:?}", one.display())));
    }
    for name in ours {
        let (one, other) = (one.join(&name), other.join(&name));
        let differs = if one.is_dir() {
            difference(&one, &other)?
        } else {
            (fs::read(&one)? != fs::read(&other)?).then(|| format!("{} is not what the trace says", one.display()))
        };
        if differs.is_some() {
            return Ok(differs);
        }
    }
    Ok(None)
}
