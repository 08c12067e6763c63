//! The second world: the very nodes of the daemon with their shards and links, in virtual time, over a disk, a network, carriers and clients
//! that fail in every way a seed can think of, judged by an oracle that believes nobody. Knows floors 0 to 3; refuses to
//! know clocks, sockets, files and threads: one seed is one run, to the last byte.
//!
//! - [`simulator::run`] is the face: a seed in, a report or the first broken promise out.
//! - [`plan`] is what a seed decides, [`kinds`] are worlds of a kind, [`world`] lets it happen, [`troubles`] is what goes wrong in it, [`ending`] how it comes to rest;
//!   [`stage`] is what everybody shares.
//! - [`process`] drives the daemon's own nodes over [`disk`] and [`network`], [`machine`] is what they have at hand in a turn;
//!   [`faulty`] is what of a disk fails, [`phase`] where in its turn a process dies.
//! - [`smsc`] plays the carriers around [`carrier`], which `dev` and the load test use too, and [`queries`], what carriers say that are asked; [`clients`] plays the clients,
//!   [`doors`] the doors that they come to. [`control`] is the daemon's control over a disk of its own.
//! - [`operator`] makes backups and restores them, and decides over the ledger by hand; [`tending`] is what else an operator does, and
//!   days that pass.
//! - [`oracle`], [`wire`], [`quotas`], [`entries`], [`handsets`], [`hands`], [`copies`], [`causes`], [`refusals`], [`restored`] and [`audit`] hold what must be true; [`mutants`] are bugs that they must find, with
//!   [`sabotage`] as their hands.
//! - [`trace`] proves that equal seeds are equal runs; [`tally`] that every fault fired, and every place was hit.

pub mod agenda;
pub mod audit;
pub mod carrier;
pub mod causes;
pub mod clients;
pub mod contract;
pub mod control;
pub mod copies;
pub mod disk;
pub mod doors;
pub mod ending;
pub mod entries;
pub mod faulty;
pub mod hands;
pub mod handsets;
pub mod happening;
pub mod kinds;
pub mod machine;
pub mod mutants;
pub mod network;
pub mod operator;
pub mod oracle;
pub mod part;
pub mod phase;
pub mod plan;
pub mod process;
pub mod queries;
pub mod quotas;
pub mod refusals;
pub mod restored;
pub mod sabotage;
pub mod simulator;
pub mod smsc;
pub mod spelling;
pub mod stage;
pub mod tally;
pub mod tending;
pub mod trace;
pub mod troubles;
pub mod wire;
pub mod world;

#[cfg(test)]
mod tests;

pub use mutants::Mutant;
pub use oracle::{Invariant, Violation};
pub use simulator::{
    Failure, Report, SimOptions, run, run_culprit, run_day, run_ids_given_again, run_large, run_queried, run_silent,
    run_strict, run_tardy, run_tended, run_weeks,
};
pub use tally::{Count, Tally};
pub use trace::TraceMark;
