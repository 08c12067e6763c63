//! The store: key space, records, atomic batches, recovery. Knows nothing of why a shard writes what it writes.
//! `docs/STORAGE.md` describes every key and record.

pub mod backend;
pub mod backup;
pub mod batch;
pub mod book;
pub mod control;
pub mod expiry;
pub mod extent;
pub mod fold;
pub mod high_water;
pub mod key;
pub mod memory;
mod memory_tail;
pub mod reader;
pub mod receipt_run;
pub mod record;
mod record_event;
mod record_handset;
mod record_list;
mod record_set;
pub mod recovery;
pub mod restored;
pub mod run;
pub mod scanner;
pub mod segment;
pub mod trim;

pub use backend::{Backend, Op, Reader, Space, StoreError};
pub use batch::{CommitSeq, WriteBatch};
pub use book::Snapshot;
pub use reader::{Answerer, Found, Quarantined, ReadRequest, ReceiptKeys, Step, StoredMessage, Walk};
pub use recovery::{Recovery, recover};
