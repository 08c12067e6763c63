//! The store on disk: fjall behind the contract of `stentor_core::store`, the data directory, and the modes of its
//! files. `docs/STORAGE.md` describes the files.

pub mod directory;
pub mod fjall;
pub mod fjall_backup;
#[cfg(test)]
mod fjall_conformance_tests;
mod fjall_journals;
pub mod fjall_mutants;
mod fjall_ranges;
mod fjall_reads;
pub mod fjall_start;
pub mod fjall_verify;
pub mod private;
#[cfg(test)]
mod restored_tests;
