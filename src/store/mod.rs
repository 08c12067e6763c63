//! Remembers: the key space, the records, atomic batches, recovery. Knows nothing of why a shard writes what it writes.
//! `docs/STORAGE.md` describes every key and record.

pub mod backend;
pub mod batch;
pub mod content;
pub mod directory;
pub mod fjall;
mod fjall_journals;
pub mod fjall_mutants;
mod fjall_ranges;
pub mod fjall_start;
pub mod fjall_verify;
pub mod fold;
pub mod high_water;
pub mod key;
pub mod memory;
pub mod reader;
pub mod record;
pub mod recovery;
pub mod run;
pub mod scanner;
pub mod segment;

pub use backend::{Backend, Op, Reader, Space, StoreError};
pub use batch::{CommitSeq, WriteBatch};
pub use reader::{Answerer, Found, ReadRequest, StoredMessage};
pub use recovery::{Recovery, recover};
