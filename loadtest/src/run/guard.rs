//! Cleans up if a run is killed: a shell beside the run waits for its end, and then ends the processes that the run
//! started, unmounts what it mounted, and removes its directory. It finds all of these by the run's directory.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use std::os::unix::process::CommandExt as _;

use super::fault::cgroup::Cgroup;

/// Environment variable of all longer-lived processes that a run starts; contains the run's directory.
pub(super) const MARK: &str = "LOADTEST_DIRECTORY";

/// `$1`: the directory; `$2`: whether it is removed as well; `$3`: the run's cgroup, if it made one. The standard input
/// ends when the run ends.
const SCRIPT: &str = r#"
cat > /dev/null
is_left=1
while [ "$is_left" ]; do
    is_left=
    for process in /proc/[0-9]*; do
        grep -qzxF "$MARK=$1" "$process/environ" 2> /dev/null || continue
        kill -KILL "${process#/proc/}" && is_left=1
    done
    sleep 0.05
done
rmdir "$3" 2> /dev/null
cut -d ' ' -f 2 /proc/mounts | grep -F "$1/" | sort -r | while read -r mount; do umount -l "$mount"; done
[ "$2" = keep ] || rm -rf "$1"
"#;

/// The shell; killed when dropped, because then the run has cleaned up by itself.
#[derive(Debug)]
pub(super) struct Guard {
    shell: Child,
}

impl Guard {
    /// Guards a run in that directory.
    pub(super) fn over(directory: &Path, is_kept: bool) -> Result<Self, String> {
        let cgroup = Cgroup::path().unwrap_or_default();
        let shell = Command::new("sh")
            .args(["-c", &SCRIPT.replace("$MARK", MARK), "guard"])
            .arg(directory)
            .arg(if is_kept { "keep" } else { "remove" })
            .arg(cgroup)
            // A signal from the terminal that interrupts the run must not reach the shell.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        Ok(Self { shell })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Killed before its input ends: there is nothing left to clean up.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
