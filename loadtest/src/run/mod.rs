//! `loadtest run`: scenarios with real processes. Each starts Stentor, the simulator and the generator on loopback in a
//! temporary directory, measures, and fails if one of its claims does not hold.

mod audit;
pub(crate) mod backlog;
mod beside;
mod compare;
mod contract;
pub(crate) mod cpus;
mod expiry;
mod fault;
pub(crate) mod figure;
pub(crate) mod ground;
mod guard;
mod hostile;
mod letters;
mod limits;
mod means;
pub(crate) mod million;
mod overload;
pub(crate) mod peak;
mod peer;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod restart;
pub(crate) mod result;
pub(crate) mod roster;
mod rough;
mod soak;

use std::fs;

/// The scenarios.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Scenario {
    /// All messages through once, as fast as possible
    Million(million::Options),
    /// `million` alternately with another build of Stentor, and the ratio of each pair
    Compare(compare::Options),
    /// A carrier that enforces its contract: strict spacing, one bind, sessions that it unbinds
    Contract(contract::Options),
    /// SIGTERM or kill -9 in the middle, and a restart
    Restart(restart::Options),
    /// Messages pile up while the carrier is down; kill -9; the carrier returns
    Backlog(backlog::Options),
    /// A few messages beside the backlog of another class or tenant, at a saturated carrier
    Beside(beside::Options),
    /// Messages expire while the carrier is away
    Expiry(expiry::Options),
    /// One fault again and again under load: kill -9, power cut, failing or full disk, and more
    Fault(fault::Options),
    /// Clients with and without a key and a carrier try to crash, stop or fill the daemon, while another tenant goes on sending
    Hostile(hostile::Options),
    /// Limits of every kind, many messages that wait for many counters, and kills while limits are spent
    Limits(limits::Options),
    /// Several times as much is offered as the carrier takes
    Overload(overload::Options),
    /// A foreign SMSC (node-smpp) instead of the simulator
    Peer(peer::Options),
    /// A carrier with every bad habit at once
    Rough(rough::Options),
    /// A burst far above the carrier's rate
    Peak(peak::Options),
    /// A large share of what the machine can do, for long: memory, descriptors and disk must not grow
    Soak(soak::Options),
}

/// Plays one scenario, prints its verdict, and fails if a claim does not hold.
pub(crate) fn run(scenario: &Scenario) -> Result<(), String> {
    let (result, ground) = match scenario {
        Scenario::Million(options) => (million::play(options)?, &options.ground),
        Scenario::Compare(options) => (compare::play(options)?, options.ground()),
        Scenario::Contract(options) => (contract::play(options)?, &options.ground),
        Scenario::Restart(options) => (restart::play(options)?, &options.ground),
        Scenario::Backlog(options) => (backlog::play(options)?, &options.ground),
        Scenario::Beside(options) => (beside::play(options)?, &options.ground),
        Scenario::Expiry(options) => (expiry::play(options)?, &options.ground),
        Scenario::Fault(options) => (fault::play(options)?, &options.ground),
        Scenario::Hostile(options) => (hostile::play(options)?, &options.ground),
        Scenario::Limits(options) => (limits::play(options)?, &options.ground),
        Scenario::Overload(options) => (overload::play(options)?, &options.ground),
        Scenario::Peer(options) => (peer::play(options)?, &options.ground),
        Scenario::Rough(options) => (rough::play(options)?, &options.ground),
        Scenario::Peak(options) => (peak::play(options)?, &options.ground),
        Scenario::Soak(options) => (soak::play(options)?, &options.ground),
    };
    print!("{result}");
    if let Some(path) = &ground.json {
        let json = serde_json::to_string_pretty(&result).map_err(|error| error.to_string())?;
        fs::write(path, json).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    result.check()
}
