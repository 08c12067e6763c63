//! The simulated carrier's memory across restarts: the parts it accepted, the receipts it sent, and the texts of
//! handsets, one JSON line each.
//!
//! A real carrier does not forget because its client was killed. So that a kill and restart shows the daemon's durability
//! and not the simulator's forgetfulness, this one does not forget either. It promises less than the daemon: nothing is
//! synced, so it survives a kill of the process, not of the machine.
//!
//! Bounded: at [`BYTES_MAX`] the file is renamed to `….1`, replacing an older one, and both are read at the start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::inbox::Part;
use crate::disk::private;
use stentor_core::sim::carrier::Fate;

/// Largest size of one file; a part takes about 400 bytes.
const BYTES_MAX: u64 = 16 << 20;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    /// A part was accepted; these receipts will follow.
    Taken {
        part: Part,
        /// The receipts to send.
        receipts: Vec<Planned>,
    },
    /// A receipt was sent and answered.
    Told {
        id: u64,
        /// The receipt's final state.
        fate: Word,
    },
    /// A handset wrote a part. Its ids are counted apart from those of accepted parts.
    Written { part: Part },
    /// A part that a handset wrote was delivered and answered.
    Heard { id: u64 },
}

/// A receipt that will be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Planned {
    /// Milliseconds since 1970.
    pub(super) at_ms: u64,
    /// The final state that it will report.
    pub(super) fate: Word,
}

/// A fate in its written form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub(super) struct Word(pub(super) Fate);

const FATES: [Fate; 5] = [Fate::Enroute, Fate::Delivered, Fate::Expired, Fate::Undeliverable, Fate::Rejected];

impl TryFrom<String> for Word {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        FATES
            .into_iter()
            .find(|fate| fate.word() == word)
            .map(Self)
            .ok_or_else(|| format!("there is no fate called {word}"))
    }
}

impl From<Word> for &'static str {
    fn from(word: Word) -> Self {
        word.0.word()
    }
}

/// The journal, open for writing.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    failed: bool,
}

impl Journal {
    /// Opens the journal and returns what it holds, oldest first. Lines that cannot be read are skipped: the last one
    /// may be torn, and another version may have written others.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Note>)> {
        Self::open_bounded(path, BYTES_MAX)
    }

    fn open_bounded(path: &Path, bytes_max: u64) -> io::Result<(Self, Vec<Note>)> {
        let mut notes = Vec::new();
        for file in [&older(path), path] {
            match File::open(file) {
                Ok(file) => read(file, &mut notes)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut file = private::file(path, OpenOptions::new().append(true).create(true))?;
        // Ends a line that a kill tore; empty lines are skipped when reading.
        file.write_all(b"\n")?;
        let bytes = file.metadata()?.len();
        Ok((Self { path: path.to_owned(), file, bytes, bytes_max, failed: false }, notes))
    }

    /// Writes a note. A failure only costs the memory across a restart, so it is logged, once.
    pub(super) fn write(&mut self, note: &Note) {
        if let Err(error) = self.try_write(note)
            && !self.failed
        {
            self.failed = true;
            tracing::warn!(%error, path = %self.path.display(), "the simulated carrier cannot write its memory");
        }
    }

    fn try_write(&mut self, note: &Note) -> io::Result<()> {
        let mut line = serde_json::to_vec(note)?;
        line.push(b'\n');
        if self.bytes + line.len() as u64 > self.bytes_max {
            fs::rename(&self.path, older(&self.path))?;
            self.file = private::file(&self.path, OpenOptions::new().append(true).create(true))?;
            self.bytes = 0;
        }
        self.bytes += line.len() as u64;
        self.file.write_all(&line)
    }
}

fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn read(file: File, notes: &mut Vec<Note>) -> io::Result<()> {
    for line in BufReader::new(file).split(b'\n') {
        notes.extend(serde_json::from_slice::<Note>(&line?).ok());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(id: u64) -> Note {
        let part = Part { id, to: "+491".to_owned(), user_data: vec![0, 255], ..Part::default() };
        Note::Taken { part, receipts: vec![Planned { at_ms: 5, fate: Word(Fate::Delivered) }] }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("carrier.ndjson");
        let (mut journal, notes) = Journal::open(&path).expect("opened");
        assert_eq!(notes, []);
        let written: Vec<_> =
            FATES.map(|fate| Note::Told { id: 1, fate: Word(fate) }).into_iter().chain([taken(2)]).collect();
        written.iter().for_each(|note| journal.write(note));
        assert_eq!(Journal::open(&path).expect("opened").1, written);
    }

    #[test]
    fn a_torn_line_costs_itself_alone() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("carrier.ndjson");
        let (mut journal, _) = Journal::open(&path).expect("opened");
        journal.write(&taken(1));
        journal.write(&taken(2));
        let length = fs::metadata(&path).expect("file").len();
        OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(length - 9)).expect("torn");
        let (mut journal, notes) = Journal::open(&path).expect("opened");
        assert_eq!(notes, [taken(1)]);
        journal.write(&taken(3));
        assert_eq!(Journal::open(&path).expect("opened").1, [taken(1), taken(3)]);
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("carrier.ndjson");
        let (mut journal, _) = Journal::open_bounded(&path, 2_000).expect("opened");
        (0..200).for_each(|id| journal.write(&taken(id)));
        let (_, notes) = Journal::open(&path).expect("opened");
        assert_eq!(notes.last(), Some(&taken(199)));
        assert!((5..40).contains(&notes.len()), "{}", notes.len());
        assert_eq!(fs::read_dir(directory.path()).expect("directory").count(), 2);
    }
}
