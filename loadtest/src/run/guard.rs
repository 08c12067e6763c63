//! Who cleans up when a run is killed itself: a shell beside it that waits for the run's end, and then ends what the run
//! started, unmounts what it mounted, and removes its directory. Knows the run's directory, by which it finds both.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use std::os::unix::process::CommandExt as _;

use super::fault::cgroup::Cgroup;

/// In the environment of everything that a run starts and that outlasts a moment: its directory.
pub(super) const MARK: &str = "LOADTEST_DIRECTORY";

/// `$1`: the directory; `$2`: whether it goes as well; `$3`: the run's cgroup, if it made one. Its standard input ends
/// with the run.
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

/// The shell; ended when dropped, for then the run has cleaned up by itself.
#[derive(Debug)]
pub(super) struct Guard {
    shell: Child,
}

impl Guard {
    /// Watches over a run in that directory.
    pub(super) fn over(directory: &Path, is_kept: bool) -> Result<Self, String> {
        let cgroup = Cgroup::path().unwrap_or_default();
        let shell = Command::new("sh")
            .args(["-c", &SCRIPT.replace("$MARK", MARK), "guard"])
            .arg(directory)
            .arg(if is_kept { "keep" } else { "remove" })
            .arg(cgroup)
            // What interrupts the run from a terminal must not reach it.
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
        // Before its input ends: it has nothing to do.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
