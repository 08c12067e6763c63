//! The trace that the shim writes, read back: every change to the files under one directory, in order.
//!
//! Knows the format at the head of `disk_shim.c`, and which node a path meant at each time. Refuses to know what is
//! durable (`disk`).

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use super::marks::{self, Mark};

const HEAD_BYTES: usize = 1 + 3 * 8;

/// A file or directory over its whole life, numbered from 0; 0 is the root.
pub(super) type Node = usize;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// An entry `name` in directory `parent` for a new file or directory.
    Made { parent: Node, name: String, node: Node, is_directory: bool },
    /// Bytes written at an offset, as a range of the trace.
    Written { node: Node, offset: u64, bytes: Range<usize> },
    /// The length was set.
    Length { node: Node, length: u64 },
    /// Everything before in this node is on stable storage.
    Synced { node: Node },
    /// An entry was renamed within its directory.
    Renamed { parent: Node, from: String, to: String },
    /// An entry was removed.
    Removed { parent: Node, name: String },
    /// A mark of the driver.
    Marked(Mark),
}

/// The trace.
#[derive(Debug)]
pub(super) struct Trace {
    bytes: Vec<u8>,
    /// All changes, in order.
    pub changes: Vec<Change>,
    /// The path of each node when it was made, for people and to tell phases apart.
    pub paths: Vec<String>,
    /// Which nodes are directories.
    pub directories: Vec<bool>,
}

#[derive(Default)]
struct Names {
    by_inode: HashMap<u64, Node>,
    by_path: HashMap<String, Node>,
}

impl Trace {
    /// Reads a whole trace.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut trace = Self { bytes, changes: Vec::new(), paths: Vec::new(), directories: Vec::new() };
        let (mut names, mut at) = (Names::default(), 0);
        while at < trace.bytes.len() {
            let head = trace.bytes.get(at..at + HEAD_BYTES).ok_or("the trace ends inside a record")?;
            let number = |from: usize| u64::from_le_bytes(std::array::from_fn(|index| head[from + index]));
            let (kind, inode, offset, length) = (head[0], number(1), number(9), number(17) as usize);
            let body = at + HEAD_BYTES..at + HEAD_BYTES + length;
            at = body.end;
            if trace.bytes.get(body.clone()).is_none() {
                return Err("the trace ends inside a record".to_owned());
            }
            trace.take(&mut names, kind, inode, offset, body)?;
        }
        Ok(trace)
    }

    /// The bytes of the trace in this range.
    pub(super) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }

    fn text(&self, range: Range<usize>) -> Result<String, String> {
        String::from_utf8(self.bytes[range].to_vec()).map_err(|_| "a path that is not UTF-8".to_owned())
    }

    fn take(&mut self, names: &mut Names, kind: u8, inode: u64, offset: u64, body: Range<usize>) -> Result<(), String> {
        let node = |names: &Names| names.by_inode.get(&inode).copied().ok_or(format!("inode {inode} was never made"));
        let change = match kind {
            b'C' | b'M' => {
                let path = self.text(body)?;
                let (parent, name) = split(names, &path)?;
                let node = self.paths.len();
                names.by_inode.insert(inode, node);
                names.by_path.insert(path.clone(), node);
                self.paths.push(path);
                self.directories.push(kind == b'M');
                if node == 0 {
                    return Ok(());
                }
                Change::Made { parent, name, node, is_directory: kind == b'M' }
            }
            b'W' if self.paths[node(names)?] == marks::FILE => Change::Marked(marks::decode(&self.text(body)?)?),
            b'W' => Change::Written { node: node(names)?, offset, bytes: body },
            b'T' => Change::Length { node: node(names)?, length: offset },
            b'S' => Change::Synced { node: node(names)? },
            b'R' => {
                let both = self.text(body)?;
                let (from, to) = both.split_once('\0').ok_or("a rename with only one path")?;
                let ((parent, old), (other, new)) = (split(names, from)?, split(names, to)?);
                if parent != other {
                    return Err(format!("{from} was renamed to {to}, which is in another directory"));
                }
                if let Some(node) = names.by_path.remove(from) {
                    names.by_path.insert(to.to_owned(), node);
                }
                Change::Renamed { parent, from: old, to: new }
            }
            b'U' | b'D' => {
                let path = self.text(body)?;
                let (parent, name) = split(names, &path)?;
                names.by_path.remove(&path);
                Change::Removed { parent, name }
            }
            other => return Err(format!("a record of kind {other}")),
        };
        self.changes.push(change);
        Ok(())
    }
}

fn split(names: &Names, path: &str) -> Result<(Node, String), String> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if path.is_empty() {
        return Ok((0, String::new()));
    }
    let parent = names.by_path.get(parent).copied().ok_or(format!("the directory of {path} was never made"))?;
    Ok((parent, name.to_owned()))
}
