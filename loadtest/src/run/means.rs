//! What a scenario needs on the machine: root, tools, devices. Reports what is missing before anything is started, and
//! ends the program with an exit code of its own, so that a test can tell "cannot be tried here" from "does not hold".

use std::env;
use std::path::Path;
use std::process::{self, Command};

/// Exit code when the machine lacks something (as automake's tests skip).
pub(super) const MISSING: i32 = 77;

/// Something that a scenario needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Root,
    /// A program in the path, and the Debian package that contains it.
    Tool(&'static str, &'static str),
    /// A file or device, and its purpose.
    File(&'static str, &'static str),
}

/// Ends the program if something is missing.
pub(super) fn demand(needs: &[Need]) {
    let missing: Vec<_> = needs.iter().filter_map(|need| need.missing()).collect();
    if !missing.is_empty() {
        eprintln!("loadtest: this cannot be tried here: {}", missing.join("; "));
        process::exit(MISSING);
    }
}

impl Need {
    fn missing(self) -> Option<String> {
        let (is_there, what) = match self {
            Self::Root => (rustix::process::geteuid().is_root(), "root is needed".to_owned()),
            Self::Tool(name, package) => (in_path(name), format!("{name} is not installed (package {package})")),
            Self::File(path, purpose) => (Path::new(path).exists(), format!("{path} is missing, {purpose}")),
        };
        (!is_there).then_some(what)
    }
}

fn in_path(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|place| place.join(name).is_file())
}

/// Runs a tool until it ends.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let told = || format!("{program} {}", arguments.join(" "));
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{}: {error}", told()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}\n{}", told(), output.status, String::from_utf8_lossy(&output.stderr).trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(Need::Tool("sh", "dash").missing(), None);
        assert_eq!(Need::File("/proc", "for everything").missing(), None);
        let told = Need::Tool("no-such-tool", "nothing").missing().unwrap();
        assert_eq!(told, "no-such-tool is not installed (package nothing)");
    }

    #[test]
    fn a_tool_that_fails_says_why() {
        assert_eq!(run("true", &[]), Ok(()));
        assert!(run("sh", &["-c", "echo no >&2; exit 3"]).unwrap_err().ends_with("no"));
    }
}
