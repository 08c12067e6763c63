//! A minute of attacks on a daemon with one core, beside a well-behaved client and carrier. `STENTOR_HOSTILE_SECONDS`
//! sets the duration; the full run, which also makes claims about times, is `loadtest run hostile`.

mod stage;

use stage::{budget, scenario};

#[test]
fn bytes_from_outside_do_not_end_it_stop_it_or_fill_it() {
    let minutes = budget("STENTOR_HOSTILE_SECONDS", 60.0) / 60.0;
    // Claims that hold for a build without optimisation on a busy machine: none about times.
    let arguments = ["hostile", "--minutes", &minutes.to_string(), "--idle", "5", "--untimed", "--stall", "120"];
    assert!(scenario::play(&arguments), "it needs nothing that a machine may lack");
}
