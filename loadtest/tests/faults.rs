//! Faults under load with real processes, a few rounds of each. `STENTOR_FAULT_ROUNDS` says how many; the full run is
//! `loadtest run fault …` with its own options. A fault for which this machine lacks something is skipped aloud; in CI none
//! may be, but for those that need a kernel or root that the machine does not give.

mod stage;

use stage::scenario;

fn strike(fault: &str, rounds: u64) {
    let rounds = std::env::var("STENTOR_FAULT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(rounds);
    scenario::play(&["fault", fault, "--rounds", &rounds.to_string(), "--rate", "3000", "--stall", "120"]);
}

#[test]
fn kill_9_loses_nothing_and_what_came_twice_stood_in_the_ledger() {
    strike("kill", 4);
}

#[test]
fn a_power_cut_loses_nothing_and_what_came_twice_stood_in_the_ledger() {
    strike("power", 4);
}

#[test]
fn a_disk_that_fails_every_write_ends_the_daemon_and_loses_nothing() {
    strike("eio", 2);
}

#[test]
fn a_single_failed_call_ends_the_daemon_and_loses_nothing() {
    strike("site", 5);
}

#[test]
fn a_full_disk_refuses_what_is_new_and_goes_on_with_the_rest() {
    strike("full", 1);
}

#[test]
fn a_slow_disk_is_waited_for() {
    strike("slow", 1);
}

#[test]
fn a_stopped_process_goes_on() {
    strike("stop", 1);
}

#[test]
fn a_wall_clock_that_jumps_changes_nothing() {
    strike("clock", 2);
}
