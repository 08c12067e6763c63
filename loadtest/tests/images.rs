//! Power cuts on real directories, at a small size. `STENTOR_IMAGES` sets the number of images (2,000 is the full run),
//! `STENTOR_SEED` which ones. Damage to a directory at rest: `STENTOR_FLIPS` (5,000).

use std::process::Command;

fn play(subject: &str, arguments: &[&str]) {
    let seed = std::env::var("STENTOR_SEED").unwrap_or_else(|_| "1".to_owned());
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args([subject, "--seed", &seed])
        .args(arguments)
        .output()
        .expect("loadtest starts");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    print!("{stdout}");
    assert!(output.status.success(), "{subject}, seed {seed}, {arguments:?}\n{stdout}{stderr}");
}

#[test]
fn what_was_kept_is_there_after_a_power_cut() {
    let count = std::env::var("STENTOR_IMAGES").unwrap_or_else(|_| "200".to_owned());
    play("images", &["--flood", "--every-phase", "--images", &count]);
}

#[test]
fn a_store_that_syncs_too_little_is_caught() {
    if cfg!(debug_assertions) {
        play("images", &["--mutants", "--images", "400"]);
    } else {
        eprintln!("SKIPPED: deliberate bugs exist only in a build with debug assertions");
    }
}

#[test]
fn no_damage_to_a_directory_at_rest_goes_unnoticed() {
    let count = std::env::var("STENTOR_FLIPS").unwrap_or_else(|_| "500".to_owned());
    play("flips", &["--count", &count]);
}
