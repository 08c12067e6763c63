//! Faults under load with real processes, a few rounds of each. `STENTOR_FAULT_ROUNDS` sets how many; the full run is
//! `loadtest run fault …` with its own options. A fault for which this machine lacks something is skipped with a
//! message; in CI only those may be that need a kernel feature or root.

mod stage;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use stage::{budget, scenario, until};

fn strike(fault: &str, rounds: u64) {
    let rounds = budget("STENTOR_FAULT_ROUNDS", rounds);
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

/// Number of processes whose environment shows that they belong to a run in that directory.
fn processes_in(parent: &Path) -> usize {
    let parent = parent.to_str().expect("UTF-8");
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let environments = entries.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
    let is_there = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains(&format!("LOADTEST_DIRECTORY={parent}"));
    environments.filter(is_there).count()
}

/// Kills a run in the middle; false, with a message, if the machine lacks something for it.
fn leaves_nothing(fault: &str, mounts_something: bool) -> bool {
    let parent = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mounts = || fs::read_to_string("/proc/mounts").expect("mounts");
    let mount = parent.path().to_str().expect("UTF-8");
    let mut run = scenario::command(&["fault", fault, "--rounds", "1000", "--rate", "3000"], parent.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("loadtest run starts");
    let mut ended = None;
    until("it plays, or cannot", || {
        let is_mounted = !mounts_something || mounts().contains(mount);
        ended = run.try_wait().expect("asked");
        ended.is_some() || (processes_in(parent.path()) >= 3 && is_mounted)
    });
    if let Some(status) = ended {
        assert_eq!(status.code(), Some(scenario::MISSING), "{fault}");
        eprintln!("SKIPPED: {fault}");
        return false;
    }
    run.kill().expect("killed");
    run.wait().expect("ended");
    until("everything is gone", || {
        let left = fs::read_dir(parent.path()).expect("readable").count();
        processes_in(parent.path()) == 0 && !mounts().contains(mount) && left == 0
    });
    true
}

#[test]
fn a_run_that_is_killed_leaves_nothing() {
    assert!(leaves_nothing("kill", false));
    leaves_nothing("full", true);
}
