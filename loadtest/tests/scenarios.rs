//! End to end with real processes: the scenarios at a small size. Each prints its table and fails by its exit code.
//! `STENTOR_E2E_MESSAGES` scales them.

mod stage;

use std::path::Path;

use stage::{budget, messages, scenario};

/// Plays a scenario; in CI the machine may lack nothing.
fn play(arguments: &[&str]) {
    let is_played = scenario::play(&[arguments, &["--stall", "30"]].concat());
    assert!(is_played || std::env::var_os("CI").is_none(), "{arguments:?} cannot be played here");
}

#[test]
fn everything_goes_through_once() {
    play(&["million", "--count", &messages(20_000).to_string()]);
}

#[test]
fn a_stop_and_start_loses_and_repeats_nothing() {
    play(&["restart", "--signal", "TERM", "--count", &messages(20_000).to_string(), "--rate", "10000"]);
}

#[test]
fn a_kill_loses_nothing_and_repeats_only_what_was_in_doubt() {
    play(&["restart", "--signal", "KILL", "--count", &messages(20_000).to_string(), "--rate", "10000"]);
}

#[test]
fn a_backlog_survives_a_kill_and_is_delivered() {
    // How fast the start is depends on the machine: only the scenario at full size makes a claim.
    play(&["backlog", "--count", &messages(50_000).to_string(), "--ready-max", "30"]);
}

#[test]
fn what_expires_while_the_carrier_is_away_is_shown_counted_and_freed() {
    let count = messages(10_000).to_string();
    play(&["expiry", "--count", &count, "--from", "2", "--upto", "6"]);
}

#[test]
fn a_peak_never_exceeds_the_rate() {
    let count = messages(5_000);
    let rate = (count / 4).to_string();
    play(&["peak", "--count", &count.to_string(), "--rate", &rate, "--mean-min", "0"]);
    play(&["peak", "--count", &count.to_string(), "--rate", &rate, "--kill"]);
}

/// Half a minute in which three retentions pass; only the full run can show that nothing grows.
#[test]
fn a_soak_loses_nothing_while_retention_passes() {
    play(&["soak", "--minutes", "0.5", "--rate", "2000", "--clock", "360"]);
}

#[test]
fn an_overload_is_refused_with_a_reason_and_hurts_no_neighbour() {
    let seconds = budget("STENTOR_OVERLOAD_SECONDS", 10_u64).max(4);
    let sizes = ["--rate", "300", "--lines", "5", "--clients", "16", "--seconds", &seconds.to_string()];
    play(&[&["overload", "--untimed"], &sizes[..]].concat());
}

#[test]
fn a_rough_carrier_gets_everything() {
    play(&["rough", "--count", &messages(10_000).to_string(), "--rate", "5000"]);
}

#[test]
fn a_carrier_that_spaces_strictly_is_not_run_into() {
    // How much of it is used depends on the machine: only the scenario at full length makes a claim.
    play(&["contract", "--clause", "spacing", "--seconds", "5", "--used-min", "0"]);
}

#[test]
fn one_bind_of_two_is_enough_for_everybody() {
    play(&["contract", "--clause", "bind"]);
}

#[test]
fn a_session_that_is_ended_in_order_leaves_nothing_in_doubt() {
    play(&["contract", "--clause", "goodbye"]);
}

#[test]
fn a_few_messages_beside_a_backlog() {
    let small = ["--backlog", "20000", "--seconds", "3", "--untimed"];
    play(&[&["beside"], &small[..]].concat());
    play(&[&["beside", "--same-class"], &small[..]].concat());
}

#[test]
fn limits_of_every_kind_are_kept() {
    play(&["limits", "--untimed", "--only", "kinds", "--seconds", "4", "--span", "2"]);
}

#[test]
fn many_messages_wait_for_many_counters_over_a_kill() {
    let (count, small) = (messages(20_000).max(5_000).to_string(), ["--every", "4", "--idle", "1", "--wakes", "1"]);
    play(&[&["limits", "--untimed", "--only", "many", "--messages", &count], &small[..]].concat());
}

#[test]
fn limits_of_every_kind_are_kept_over_kills() {
    play(&["limits", "--untimed", "--only", "restart", "--seconds", "4", "--span", "2", "--kills", "1"]);
}

fn foreign(extra: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/node-smsc.sh").display().to_string();
    play(&[&["peer", "--count", "200", "--smsc", &script], extra].concat());
}

#[test]
fn a_foreign_carrier_reads_what_was_meant() {
    foreign(&[]);
}

#[test]
fn a_foreign_carrier_over_tls() {
    foreign(&["--tls"]);
}

#[test]
fn a_foreign_carrier_that_dies_in_the_middle() {
    foreign(&["--kill"]);
}
