//! The machine: CPU, cores, governor, memory, kernel, file system and disk of the directory that is measured. Read from
//! /proc and /sys; what cannot be read there is reported as unknown.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use serde::{Deserialize, Serialize};

/// The machine, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub host: String,
    /// Model of the CPU.
    pub cpu: String,
    /// Number of CPUs that are online.
    pub cpus: usize,
    /// CPUs that this program may use.
    pub cpus_allowed: usize,
    pub governor: String,
    pub memory_bytes: u64,
    /// The product's name, which often names a virtual machine.
    pub product: String,
    /// Whether the CPU reports a hypervisor.
    pub is_virtual: bool,
    pub system: String,
    pub kernel: String,
    pub file_system: FileSystem,
    /// Load average of the minute before the bench.
    pub load_before: f64,
}

/// The file system that holds the data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileSystem {
    pub directory: String,
    /// Type: `ext4`, `xfs`, `tmpfs`.
    pub kind: String,
    pub options: String,
    pub device: String,
    /// Model, rotating or not, scheduler and write cache of its disk.
    pub disk: String,
}

const UNKNOWN: &str = "unknown";

impl Machine {
    /// Reads everything; the file system is that of `directory`.
    pub(super) fn read(directory: &Path) -> Self {
        let cpuinfo = text("/proc/cpuinfo");
        let field = |name: &str| line_value(&cpuinfo, name, ':');
        let cpu = field("model name").or_else(|| field("CPU part").map(|part| format!("part {part}")));
        let release = text("/etc/os-release");
        let system = line_value(&release, "PRETTY_NAME", '=').map(|name| name.trim_matches('"').to_owned());
        let memory = line_value(&text("/proc/meminfo"), "MemTotal", ':');
        let kib = memory.and_then(|kib| kib.trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0);
        let allowed = thread::available_parallelism().map_or(1, usize::from);
        Self {
            host: one_line("/proc/sys/kernel/hostname"),
            cpu: cpu.unwrap_or_else(|| UNKNOWN.to_owned()),
            cpus: count_cpus(&one_line("/sys/devices/system/cpu/online")).unwrap_or(allowed),
            cpus_allowed: allowed,
            governor: one_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            memory_bytes: kib * 1_024,
            product: one_line("/sys/class/dmi/id/product_name"),
            is_virtual: field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            system: system.unwrap_or_else(|| UNKNOWN.to_owned()),
            kernel: format!("{} {}", one_line("/proc/sys/kernel/osrelease"), one_line("/proc/sys/kernel/version")),
            file_system: FileSystem::of(directory, &text("/proc/self/mountinfo")),
            load_before: one_line("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }
}

impl FileSystem {
    /// The mount that holds the directory: the longest mount point above it; of several with that path the last, which
    /// covers the others.
    fn of(directory: &Path, mounts: &str) -> Self {
        let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        let above = mounts.lines().filter_map(Mount::parse).filter(|mount| directory.starts_with(&mount.point));
        let Some(mount) = above.max_by_key(|mount| mount.point.components().count()) else {
            return Self { directory: directory.display().to_string(), ..Self::default() };
        };
        Self {
            directory: directory.display().to_string(),
            kind: mount.kind.to_owned(),
            options: mount.options.to_owned(),
            device: mount.device.to_owned(),
            disk: disk(mount.number),
        }
    }

    /// Whether a sync there reaches no disk.
    pub(super) fn is_memory(&self) -> bool {
        matches!(self.kind.as_str(), "tmpfs" | "ramfs")
    }
}

/// A line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
struct Mount<'a> {
    number: &'a str,
    point: PathBuf,
    options: &'a str,
    kind: &'a str,
    device: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(2);
        let (number, _root, point, options) = (left.next()?, left.next()?, left.next()?, left.next()?);
        let mut right = right.split(' ');
        let (kind, device) = (right.next()?, right.next()?);
        Some(Self { number, point: PathBuf::from(point.replace("\\040", " ")), options, kind, device })
    }
}

/// The disk with device number `major:minor`; a partition uses the queue of the whole disk.
fn disk(number: &str) -> String {
    let link = PathBuf::from(format!("/sys/dev/block/{number}"));
    let Ok(device) = link.canonicalize() else { return "no disk".to_owned() };
    let whole = [Some(device.as_path()), device.parent()];
    let Some(disk) = whole.into_iter().flatten().find(|path| path.join("queue").is_dir()) else {
        return UNKNOWN.to_owned();
    };
    let read = |file: &str| one_line(&disk.join(file).display().to_string());
    let turning = match read("queue/rotational").as_str() {
        "0" => "not turning",
        "1" => "turning",
        _ => "turning or not: unknown",
    };
    let scheduler = read("queue/scheduler");
    let chosen = scheduler.split(['[', ']']).nth(1).unwrap_or(&scheduler);
    let name = disk.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let model = read("device/model");
    format!("{name}, model {model}, {turning}, scheduler {chosen}, {}", read("queue/write_cache"))
}

/// How many CPUs a list of the kernel contains, as in `0-3,8`.
fn count_cpus(list: &str) -> Option<usize> {
    let mut count = 0;
    for piece in list.split(',') {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        count += (last + 1).checked_sub(first)?;
    }
    Some(count)
}

fn line_value(text: &str, name: &str, mark: char) -> Option<String> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(mark));
    let (_, value) = pairs.find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn one_line(path: &str) -> String {
    let text = text(path);
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() { UNKNOWN.to_owned() } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_the_innermost_one() {
        let mounts = "21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            30 21 0:27 / /proc rw - proc proc rw\n31 21 0:28 / /a\\040b rw,noatime - tmpfs none rw\nnonsense\n";
        let kind = |path: &str| FileSystem::of(Path::new(path), mounts).kind;
        assert_eq!((kind("/no/such/place"), kind("/a b/c")), ("ext4".to_owned(), "tmpfs".to_owned()));
        assert!(FileSystem::of(Path::new("/a b"), mounts).is_memory());
        assert_eq!(FileSystem::of(Path::new("/"), "").kind, "");
    }

    #[test]
    fn fields_and_lists_are_read() {
        assert_eq!(line_value("a : b\nmodel name\t: X Y\n", "model name", ':'), Some("X Y".to_owned()));
        assert_eq!(line_value("a : b", "c", ':'), None);
        assert_eq!(
            (count_cpus("0-3,8"), count_cpus("0"), count_cpus("x"), count_cpus("3-1")),
            (Some(5), Some(1), None, None)
        );
    }

    #[test]
    fn this_machine_has_a_cpu_and_a_kernel() {
        let machine = Machine::read(Path::new("."));
        assert!(machine.cpus > 0 && machine.cpus_allowed > 0 && machine.memory_bytes > 0, "{machine:?}");
        assert!(!machine.kernel.starts_with(UNKNOWN) && !machine.file_system.kind.is_empty(), "{machine:?}");
    }
}
