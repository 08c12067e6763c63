//! Power cuts on real directories, at a small size. `STENTOR_IMAGES` says how many images there shall be (2,000 is the full
//! run), `STENTOR_SEED` which ones.

use std::process::Command;

fn images(arguments: &[&str]) {
    let seed = std::env::var("STENTOR_SEED").unwrap_or_else(|_| "1".to_owned());
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["images", "--seed", &seed])
        .args(arguments)
        .output()
        .expect("loadtest images starts");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    print!("{stdout}");
    assert!(output.status.success(), "seed {seed}, {arguments:?}\n{stdout}{stderr}");
}

#[test]
fn what_was_kept_is_there_after_a_power_cut() {
    let count = std::env::var("STENTOR_IMAGES").unwrap_or_else(|_| "200".to_owned());
    images(&["--flood", "--every-phase", "--images", &count]);
}

#[test]
fn a_store_that_syncs_too_little_is_caught() {
    if cfg!(debug_assertions) {
        images(&["--mutants", "--images", "400"]);
    } else {
        eprintln!("SKIPPED: deliberate bugs exist only in a build with debug assertions");
    }
}
