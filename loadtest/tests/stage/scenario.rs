//! `loadtest run` as a user would run it, with `config/bench.toml` and the `stentor` of this build.

use std::path::Path;
use std::process::Command;

use super::daemon::stentor;

/// Its exit code if the machine lacks something.
pub(crate) const MISSING: i32 = 77;

/// `loadtest run` with these arguments, not started yet; its directories are made in `parent`.
pub(crate) fn command(arguments: &[&str], parent: &Path) -> Command {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/bench.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.arg("run").args(arguments).arg("--config").arg(config).arg("--stentor").arg(stentor());
    command.arg("--dir").arg(parent);
    command
}

/// Plays a scenario, prints its table and fails by its exit code; false, with a message, if the machine lacks something.
pub(crate) fn play(arguments: &[&str]) -> bool {
    let output = command(arguments, Path::new(env!("CARGO_TARGET_TMPDIR"))).output().expect("loadtest run starts");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    print!("{stdout}");
    if output.status.code() == Some(MISSING) {
        eprintln!("SKIPPED: {arguments:?}: {stderr}");
        return false;
    }
    assert!(output.status.success(), "{arguments:?}\n{stdout}{stderr}");
    true
}
