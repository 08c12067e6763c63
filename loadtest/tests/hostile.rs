//! A minute of attacks on a daemon with one core, beside a client and a carrier that mean well. `STENTOR_HOSTILE_SECONDS`
//! says how long; the full run, which also claims times, is `loadtest run hostile`.

mod stage;

use stage::{budget, scenario};

#[test]
fn nobody_outside_ends_it_stops_it_or_fills_it() {
    let minutes = budget("STENTOR_HOSTILE_SECONDS", 60.0) / 60.0;
    // What is true of a build without optimisation on a machine with other work: nothing of times.
    let arguments = ["hostile", "--minutes", &minutes.to_string(), "--idle", "5", "--untimed", "--stall", "120"];
    assert!(scenario::play(&arguments), "it needs nothing that a machine may lack");
}
