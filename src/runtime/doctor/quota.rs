//! CPUs: on how many this process may run, and how much of their time its control group may use. Knows the kernel's texts, for
//! control groups v2 and v1; a text that it does not understand means no limit.

use std::fs;
use std::path::Path;

/// How many CPUs this process may run on; `None`: the kernel does not say.
pub(super) fn allowed() -> Option<usize> {
    of_status(&fs::read_to_string("/proc/self/status").ok()?)
}

/// How many CPUs' worth of time its control group, or a parent of it, may use; `None`: no limit.
pub(super) fn quota() -> Option<f64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let quotas = groups.lines().filter_map(of_group).flat_map(|(tree, path, version)| {
        let folders = Path::new(path).ancestors().map(Path::to_path_buf).collect::<Vec<_>>();
        folders.into_iter().filter_map(move |folder| {
            let folder = Path::new(tree).join(folder.strip_prefix("/").unwrap_or(&folder));
            let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
            match version {
                Version::Two => of_max(&read("cpu.max")?),
                Version::One => of_pair(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?),
            }
        })
    });
    quotas.reduce(f64::min)
}

/// Version of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A line of `/proc/self/cgroup` for the controller of CPU time: the tree and the path in it.
fn of_group(line: &str) -> Option<(&'static str, &str, Version)> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    match controllers {
        "" => Some(("/sys/fs/cgroup", path, Version::Two)),
        _ if controllers.split(',').any(|controller| controller == "cpu") => {
            Some(("/sys/fs/cgroup/cpu", path, Version::One))
        }
        _ => None,
    }
}

/// `max 100000`, or `150000 100000`: microseconds of CPU time per period of microseconds.
fn of_max(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    of_pair(quota, period)
}

fn of_pair(quota: &str, period: &str) -> Option<f64> {
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|number| *number > 0);
    Some(number(quota)? as f64 / number(period)? as f64)
}

/// From the line `Cpus_allowed_list: 0-3,8` of `/proc/self/status`.
fn of_status(text: &str) -> Option<usize> {
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().split(',').try_fold(0, |sum: usize, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_of_both_versions_are_read() {
        assert_eq!(of_max("max 100000\n"), None);
        assert_eq!(of_max("150000 100000\n"), Some(1.5));
        assert_eq!(of_pair("-1\n", "100000\n"), None);
        assert_eq!(of_pair("50000\n", "100000\n"), Some(0.5));
        assert_eq!(of_pair("50000", "0"), None);
        assert_eq!(of_max("whatever"), None);
    }

    #[test]
    fn groups_are_found_where_time_is_counted() {
        assert_eq!(of_group("0::/a/b"), Some(("/sys/fs/cgroup", "/a/b", Version::Two)));
        assert_eq!(of_group("4:cpu,cpuacct:/c:d"), Some(("/sys/fs/cgroup/cpu", "/c:d", Version::One)));
        assert_eq!(of_group("3:cpuset:/"), None);
        assert_eq!(of_group("nonsense"), None);
    }

    #[test]
    fn cpus_are_counted() {
        assert_eq!(of_status("Name:\tx\nCpus_allowed_list:\t0-3,8\nMems:\t0\n"), Some(5));
        assert_eq!(of_status("Cpus_allowed_list:\t7"), Some(1));
        for broken in ["", "Cpus_allowed_list:\t3-1", "Cpus_allowed_list:\tx"] {
            assert_eq!(of_status(broken), None, "{broken}");
        }
        assert!(allowed().is_some_and(|cpus| cpus > 0));
    }
}
