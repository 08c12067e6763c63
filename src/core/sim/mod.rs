//! The simulated world: the daemon's own nodes with their shards and links, in virtual time, over a disk, a network,
//! carriers and clients that fail in every way a seed can choose, judged by an oracle that trusts none of the code's
//! own records. Knows floors 0 to 3; refuses to know clocks, sockets, files and threads: the same seed gives the same
//! run, to the last byte.
//!
//! - [`simulator::run`] is the entry point: it takes a seed and gives a report or the first broken promise.
//! - [`plan`] is what a seed decides, [`kinds`] and [`limits`] are special kinds of worlds, [`world`] runs a plan, [`troubles`] are
//!   the faults in it, [`ending`] is how it comes to rest; [`stage`] is the state that all of them share.
//! - [`process`] drives the daemon's own nodes over [`disk`] and [`network`], [`machine`] is what a node can use in a
//!   turn; [`faulty`] plans which disk operations fail, [`phase`] names where in its turn a process dies.
//! - [`smsc`] plays the carriers around [`carrier`], which `dev` and the load test use too, and [`queries`] answers
//!   `query_sm`; [`clients`] plays the clients, [`doors`] the HTTP doors that they use. [`control`] is the daemon's
//!   control over a disk of its own.
//! - [`operator`] makes and restores backups, and decides about unsent messages; [`tending`] is what else an operator
//!   does, and days that pass.
//! - [`oracle`], [`wire`], [`quotas`], [`entries`], [`handsets`], [`hands`], [`copies`], [`crowd`], [`limited`], [`causes`],
//!   [`refusals`], [`restored`] and [`audit`] check what must be true; [`mutants`] are bugs that they must find, and [`sabotage`]
//!   applies them.
//! - [`trace`] proves that equal seeds are equal runs; [`tally`] proves that every fault fired and every place in the
//!   turn was hit.

pub mod agenda;
pub mod audit;
pub mod carrier;
pub mod causes;
pub mod clients;
pub mod contract;
pub mod control;
pub mod copies;
pub mod crowd;
pub mod disk;
pub mod doors;
pub mod ending;
pub mod entries;
pub mod faulty;
pub mod hands;
pub mod handsets;
pub mod happening;
pub mod kinds;
pub mod limited;
pub mod limits;
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
pub mod server;
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
    Failure, Report, SimOptions, run, run_crowded, run_culprit, run_day, run_ids_given_again, run_large, run_limited,
    run_limited_and_well, run_limited_briefly, run_queried, run_silent, run_strict, run_tardy, run_tended, run_weeks,
};
pub use tally::{Count, Tally};
pub use trace::TraceMark;
