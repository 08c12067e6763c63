//! `/v1/records/readers`: keeps, for each reader of a tenant's records, where it goes on. A reader is a name and a cursor;
//! the cursor moves when the reader confirms that it has everything before it, and never back.
//!
//! Knows the changes to a tenant's readers, and the documents. Control keeps the readers; what it publishes is durable, and so is
//! what is answered here. A decision on an entry that another request has changed meanwhile is made again.

use std::{
    fmt,
    rc::Rc,
    sync::{Arc, mpsc},
};

use serde::Deserialize;

use super::{
    api::{Answered, Api, Asked, json_only, no_query, written},
    document,
    json::Object,
    lookup::DOCUMENT_BYTES_MAX,
    problem::{Code, Problem},
    records::Cursor,
};
use crate::host::executor::{self, HEARTBEAT};
use stentor_core::{
    control::{Change, Entries, Kind, Refused},
    model::{Quoted, TenantId, Wall},
    store::{
        control::{ReaderRecord, ReadersRecord},
        record::{decode, encode},
    },
};

/// Most readers of one tenant.
pub const READERS_MAX: usize = 16;
/// Longest name of a reader, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// How often a decision is made again when other requests change the same tenant's readers.
const TRIES: usize = 8;

/// Delivers the result of a change: entries that include it, durable and published.
pub type Changing = mpsc::Receiver<Result<Arc<Entries>, Refused>>;

/// Control, as the calls use it. One for all cores.
#[derive(Clone)]
pub struct ControlDoor {
    /// The entries that are published now.
    pub published: Arc<dyn Fn() -> Arc<Entries> + Send + Sync>,
    /// Asks for changes, all of them or none; `None` when too many other changes are waiting.
    pub change: Arc<dyn Fn(Vec<Change>) -> Option<Changing> + Send + Sync>,
}

impl fmt::Debug for ControlDoor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ControlDoor").finish_non_exhaustive()
    }
}

impl ControlDoor {
    async fn change(&self, change: Change) -> Result<Result<Arc<Entries>, Refused>, Problem> {
        let overloaded = || Problem::new(Code::Overloaded, "too many changes are waiting to be stored");
        let answer = (self.change)(vec![change]).ok_or_else(overloaded)?;
        loop {
            match answer.try_recv() {
                Ok(answer) => return Ok(answer),
                Err(mpsc::TryRecvError::Disconnected) => {
                    return Err(Problem::new(Code::Draining, Code::Draining.title()));
                }
                Err(mpsc::TryRecvError::Empty) => executor::sleep(HEARTBEAT).await,
            }
        }
    }
}

/// Checks the name of a reader.
///
/// # Errors
/// [`Code::InvalidReader`].
pub(super) fn name(text: &str) -> Result<&str, Problem> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(text);
    }
    let wanted = "a reader's name has 1 to 64 characters of A-Z, a-z, 0-9, `_`, `.` and `-`";
    Err(Problem::new(Code::InvalidReader, format!("{wanted}, not {}", Quoted(text))))
}

fn unknown(name: &str) -> Problem {
    let begin = "POST /v1/records/readers/NAME creates one";
    Problem::new(Code::ReaderNotFound, format!("there is no reader {}; {begin}", Quoted(name)))
}

/// A change to a reader.
#[derive(Clone, Copy, Debug)]
enum Wish<'a> {
    /// Everything before the cursor is read; without a cursor, only create the reader if there is none.
    Confirm(Option<&'a Cursor>),
    /// Delete the reader.
    End,
}

impl Wish<'_> {
    /// The reader after the change, or before it was deleted, and whether anything changed.
    fn come_true(
        self,
        readers: &mut Vec<ReaderRecord>,
        name: &str,
        shards: u8,
        now: Wall,
    ) -> Result<(ReaderRecord, bool), Problem> {
        let place = readers.binary_search_by(|reader| reader.name.as_str().cmp(name));
        match (self, place) {
            (Self::End, Ok(at)) => Ok((readers.remove(at), true)),
            (Self::End, Err(_)) => Err(unknown(name)),
            (Self::Confirm(_), Err(_)) if readers.len() >= READERS_MAX => {
                let detail = format!("there are already {READERS_MAX} readers; delete one first");
                Err(Problem::new(Code::TooManyReaders, detail))
            }
            (Self::Confirm(cursor), Err(at)) => {
                let positions = cursor.map_or_else(|| Cursor::start(shards).packed(), Cursor::packed);
                let reader = ReaderRecord { name: name.to_owned(), positions, confirmed_at: now.0 };
                readers.insert(at, reader.clone());
                Ok((reader, true))
            }
            (Self::Confirm(cursor), Ok(at)) => {
                let (reader, new) = (&mut readers[at], cursor.map(Cursor::packed));
                let new = new.unwrap_or_else(|| reader.positions.clone());
                if new.iter().zip(&reader.positions).any(|(new, old)| new < old) {
                    let told = Cursor::of(&reader.positions, shards).text();
                    let detail = format!("the reader is at {told} and cannot go back: create another reader");
                    return Err(Problem::new(Code::CursorGoesBack, detail));
                }
                let has_moved = new != reader.positions;
                if has_moved {
                    (reader.positions, reader.confirmed_at) = (new, now.0);
                }
                Ok((reader.clone(), has_moved))
            }
        }
    }
}

/// The key of a tenant's readers in control.
pub fn key(tenant: TenantId) -> Vec<u8> {
    tenant.0.to_be_bytes().to_vec()
}

/// A tenant's readers and the version of their entry; 0 if there is no entry.
fn readers(entries: &Entries, tenant: TenantId) -> Result<(Vec<ReaderRecord>, u64), Problem> {
    let Some(entry) = entries.get(Kind::Readers, &key(tenant)) else { return Ok((Vec::new(), 0)) };
    let record: ReadersRecord =
        decode(&entry.value).map_err(|error| Problem::new(Code::Unreadable, error.to_string()))?;
    Ok((record.0, entry.version))
}

fn write(reader: &ReaderRecord, shards: u8, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.text("name", &reader.name).text("cursor", &Cursor::of(&reader.positions, shards).text());
    object.time("confirmed_at", Wall(reader.confirmed_at));
    object.end();
}

/// The document of `GET /v1/records/readers`.
pub(super) fn write_all(readers: &[ReaderRecord], shards: u8, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.list("readers", readers, |out, reader| write(reader, shards, out));
    object.end();
}

/// The body of a confirmation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmBody {
    #[serde(default)]
    cursor: Option<String>,
}

impl Api {
    fn control(&self) -> Result<&ControlDoor, Problem> {
        self.control.as_ref().ok_or_else(|| Problem::new(Code::NotFound, "this server stores nothing"))
    }

    /// The cursor of a reader of this tenant.
    pub(super) fn reader_stands(&self, tenant: TenantId, name: &str) -> Result<Cursor, Problem> {
        let (readers, _) = readers(&(self.control()?.published)(), tenant)?;
        let reader = readers.iter().find(|reader| reader.name == name).ok_or_else(|| unknown(name))?;
        Ok(Cursor::of(&reader.positions, self.shards.shards()))
    }

    pub(super) fn readers(&self, asked: &Asked, tenant: TenantId) -> Answered {
        no_query(asked)?;
        let (readers, _) = readers(&(self.control()?.published)(), tenant)?;
        Ok(written("application/json", |out| write_all(&readers, self.shards.shards(), out)))
    }

    pub(super) async fn confirm(self: &Rc<Self>, asked: Asked, tenant: TenantId) -> Answered {
        no_query(&asked)?;
        json_only(&asked)?;
        name(&asked.parameter)?;
        let body = asked.body.within(DOCUMENT_BYTES_MAX).whole().await?;
        let typed: ConfirmBody = document::read(r#"{"cursor":"…"}"#, &body)?;
        let cursor = typed.cursor.map(|text| Cursor::parse(&text, self.shards.shards())).transpose()?;
        self.come_true(tenant, &asked.parameter, Wish::Confirm(cursor.as_ref())).await
    }

    pub(super) async fn end_reader(self: &Rc<Self>, asked: &Asked, tenant: TenantId) -> Answered {
        no_query(asked)?;
        self.come_true(tenant, name(&asked.parameter)?, Wish::End).await
    }

    async fn come_true(&self, tenant: TenantId, name: &str, wish: Wish<'_>) -> Answered {
        let (control, shards) = (self.control()?, self.shards.shards());
        let _turn = self.turns.wait(tenant).await;
        for _ in 0..TRIES {
            let (mut readers, seen) = readers(&(control.published)(), tenant)?;
            let (reader, has_changed) = wish.come_true(&mut readers, name, shards, executor::now().wall)?;
            if has_changed {
                let value = (!readers.is_empty()).then(|| encode(&ReadersRecord(readers)));
                let change = Change::Replace { kind: Kind::Readers, key: key(tenant), seen, value };
                match control.change(change).await? {
                    Ok(_) => {}
                    Err(Refused::Changed(_)) => continue,
                    Err(full) => return Err(Problem::new(Code::TooManyReaders, full.to_string())),
                }
            }
            return Ok(written("application/json", |out| write(&reader, shards, out)));
        }
        Err(Problem::new(Code::Overloaded, "too many requests change this tenant's readers at once"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_core::model::{Address, ShardId};

    fn at(segments: [u64; 2]) -> Cursor {
        let mut cursor = Cursor::start(2);
        for (shard, segment) in segments.into_iter().enumerate() {
            cursor.advance(ShardId(shard as u8), Address::new(segment, 0));
        }
        cursor
    }

    #[test]
    fn a_cursor_moves_forth_and_never_back() {
        let mut readers = Vec::new();
        let mut confirm = |name: &str, cursor: Option<Cursor>, now| {
            let come_true = Wish::Confirm(cursor.as_ref()).come_true(&mut readers, name, 2, Wall(now));
            come_true.map(|(reader, changed)| (Cursor::of(&reader.positions, 2), reader.confirmed_at, changed))
        };
        let code = |result: Result<_, Problem>| result.map_err(|problem| problem.code);
        assert_eq!(confirm("b", None, 1), Ok((Cursor::start(2), 1, true)));
        assert_eq!(confirm("b", None, 2), Ok((Cursor::start(2), 1, false)), "there is one");
        assert_eq!(confirm("b", Some(at([3, 5])), 3), Ok((at([3, 5]), 3, true)));
        assert_eq!(confirm("b", Some(at([3, 5])), 4), Ok((at([3, 5]), 3, false)), "said again");
        assert_eq!(code(confirm("b", Some(at([4, 4])), 5)), Err(Code::CursorGoesBack), "in one shard");
        assert_eq!(confirm("b", None, 6), Ok((at([3, 5]), 3, false)));
        assert_eq!(confirm("a", Some(at([1, 1])), 7), Ok((at([1, 1]), 7, true)), "each its own");
    }

    #[test]
    fn there_are_so_many_readers_and_one_that_ends_makes_room() {
        let mut readers = Vec::new();
        let mut wish = |wish: Wish<'_>, name: &str| {
            wish.come_true(&mut readers, name, 1, Wall(1)).map(|_| ()).map_err(|problem| problem.code)
        };
        for number in 0..READERS_MAX {
            assert_eq!(wish(Wish::Confirm(None), &format!("r{}", number * 7 % 16)), Ok(()));
        }
        assert_eq!(wish(Wish::Confirm(None), "x"), Err(Code::TooManyReaders));
        assert_eq!(wish(Wish::End, "x"), Err(Code::ReaderNotFound));
        assert_eq!(wish(Wish::End, "r3"), Ok(()));
        assert_eq!(wish(Wish::End, "r3"), Err(Code::ReaderNotFound));
        assert_eq!(wish(Wish::Confirm(None), "x"), Ok(()));
        assert!(readers.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn a_name_is_short_and_plain() {
        let code = |text: &str| name(text).map(str::len).map_err(|problem| problem.code);
        assert_eq!((code("a-Z_0.9"), code(&"x".repeat(64))), (Ok(7), Ok(64)));
        for wrong in ["", &"x".repeat(65), "a b", "a/b", "a%20b", "ä"] {
            assert_eq!(code(wrong), Err(Code::InvalidReader), "{wrong}");
        }
    }
}
