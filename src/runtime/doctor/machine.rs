//! The machine: kernel, io_uring, locked memory, descriptors, CPUs, clock. Each check passes what it finds to a pure function
//! that judges it.

use std::{fs, io};

use super::finding::{Finding, size};
use super::quota;
use crate::config::{Config, NodeIo};
use crate::host::probe::{self, KERNEL_MIN, ProbeError};
use crate::runtime::descriptors::{Plan, TooFew};

/// All checks. `executors`: as many as would run; `plan`: how the configuration's descriptors are divided, if it can be read.
pub(super) fn looks(executors: usize, config: Option<&Config>, plan: Option<Descriptors>) -> Vec<Finding> {
    let wanted = config.map_or(NodeIo::Auto, |config| config.node.io);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut found = vec![
        of_kernel(release.trim()),
        // Before Linux 5.12 rings count as locked memory: its limit is raised first, as at a start.
        of_memory(probe::memlock(executors).as_ref(), wanted),
        of_rings(probe::rings().as_ref(), wanted),
    ];
    found.extend(plan.zip(config).map(|(plan, config)| of_descriptors(&plan, config.http.connections_max.into())));
    found.push(of_cores(executors, quota::allowed(), quota::quota()));
    found.push(of_clock(clock()));
    found
}

fn of_kernel(release: &str) -> Finding {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= KERNEL_MIN => {
            Finding::ok("kernel", format!("Linux {release}"))
        }
        (Some(Ok(_)), Some(Ok(_))) => {
            let what = format!("Linux {release}, older than {}.{}", KERNEL_MIN.0, KERNEL_MIN.1);
            Finding::warn("kernel", what, "use a newer kernel: see io_uring below")
        }
        (Some(_) | None, _) => {
            let what = format!("the version `{release}` cannot be understood");
            Finding::warn("kernel", what, "see io_uring below")
        }
    }
}

/// The consequence when io_uring cannot be used.
fn without_rings(wanted: NodeIo, what: &str, advice: String) -> Finding {
    match wanted {
        NodeIo::IoUring => Finding::fail("io_uring", format!("{what}: the daemon cannot run"), advice),
        NodeIo::Auto | NodeIo::Epoll => Finding::warn("io_uring", format!("{what}: executors run on epoll"), advice),
    }
}

fn of_rings(found: Result<&(), &ProbeError>, wanted: NodeIo) -> Finding {
    match found {
        _ if wanted == NodeIo::Epoll => Finding::ok("io_uring", "not used: node.io is \"epoll\""),
        Ok(()) => Finding::ok("io_uring", "it works"),
        Err(error @ ProbeError::Forbidden { .. }) => without_rings(wanted, "io_uring is forbidden", error.to_string()),
        Err(
            error @ (ProbeError::Missing
            | ProbeError::TooOld
            | ProbeError::NoMemory
            | ProbeError::NoDescriptor
            | ProbeError::Memlock { .. }
            | ProbeError::NoEpoll { .. }
            | ProbeError::Other(_)),
        ) => without_rings(wanted, "io_uring cannot be used", error.to_string()),
    }
}

/// The soft limit, after it was raised as at a start.
fn of_memory(found: Result<&u64, &ProbeError>, wanted: NodeIo) -> Finding {
    const CHECK: &str = "locked memory";
    let judge = if wanted == NodeIo::IoUring { Finding::fail } else { Finding::warn };
    match found {
        _ if wanted == NodeIo::Epoll => Finding::ok(CHECK, "not needed: node.io is \"epoll\""),
        Ok(&limit) if limit == libc::RLIM_INFINITY => Finding::ok(CHECK, "without limit"),
        Ok(&limit) => Finding::ok(CHECK, format!("{} may be locked, which is enough", size(limit))),
        Err(ProbeError::Memlock { hard, needed }) => {
            let what = format!("only {} may be locked, {} are needed", size(*hard), size(*needed));
            judge(CHECK, what, "raise ulimit -l (LimitMEMLOCK= under systemd, --ulimit memlock= for containers)")
        }
        Err(
            error @ (ProbeError::Forbidden { .. }
            | ProbeError::Missing
            | ProbeError::TooOld
            | ProbeError::NoMemory
            | ProbeError::NoDescriptor
            | ProbeError::NoEpoll { .. }
            | ProbeError::Other(_)),
        ) => judge(CHECK, error.to_string(), "ulimit -l shows the limit"),
    }
}

/// The limit of descriptors, raised as at a start, and how they would be divided.
pub(super) type Descriptors = io::Result<(u64, Result<Plan, TooFew>)>;

fn of_descriptors(found: &Descriptors, wanted: u64) -> Finding {
    const CHECK: &str = "descriptors";
    const RAISE: &str = "raise ulimit -Hn (LimitNOFILE= under systemd, --ulimit nofile= for containers)";
    match found {
        Err(error) => Finding::fail(CHECK, format!("the limit cannot be read: {error}"), "ulimit -Hn shows the limit"),
        Ok((_, Err(TooFew { limit, needed }))) => {
            let what = format!("only {limit} are allowed; this configuration needs at least {needed}");
            Finding::fail(CHECK, what, RAISE)
        }
        Ok((limit, Ok(Plan { connections, .. }))) if *connections < wanted => {
            let what = format!(
                "{limit} are allowed: enough for {connections} of {wanted} HTTP connections (http.connections_max)"
            );
            Finding::warn(CHECK, what, RAISE)
        }
        Ok((limit, Ok(_))) => Finding::ok(CHECK, format!("{limit} are allowed, enough for this configuration")),
    }
}

fn of_cores(executors: usize, allowed: Option<usize>, quota: Option<f64>) -> Finding {
    const CHECK: &str = "cores";
    let cpus = allowed.map_or("an unknown number of CPUs".to_owned(), |allowed| counted(allowed, "CPU"));
    let bounded = quota.map_or_else(String::new, |quota| format!(", of which the control group may use {quota:.1}"));
    let what = format!("{} on {cpus}{bounded}", counted(executors, "executor"));
    if allowed.is_some_and(|allowed| executors > allowed) {
        return Finding::warn(CHECK, what, "executors that share a CPU wait for each other: set node.cores = \"auto\"");
    }
    match quota.filter(|quota| *quota < executors as f64) {
        Some(quota) => {
            let cores = (quota as usize).max(1);
            let fewer = if cores < executors { format!(", or set node.cores = {cores}") } else { String::new() };
            let advice =
                "executors stop when the quota is used up: raise it (CPUQuota= under systemd, --cpus for containers)";
            Finding::warn(CHECK, what, format!("{advice}{fewer}"))
        }
        None => Finding::ok(CHECK, what),
    }
}

fn counted(number: usize, thing: &str) -> String {
    let more = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{more}")
}

/// Whether the kernel considers its clock synchronised, and its largest possible error in µs.
type Clock = io::Result<(bool, u64)>;

fn of_clock(found: Clock) -> Finding {
    const SERVICE: &str = "run a time service (systemd-timesyncd, chrony): expiry, schedules and ids read the clock";
    match found {
        Ok((true, error_us)) => {
            Finding::ok("clock", format!("synchronised, wrong by {:.1} ms at most", error_us as f64 / 1_000.0))
        }
        Ok((false, _)) => Finding::warn("clock", "not synchronised", SERVICE),
        Err(error) => Finding::warn("clock", format!("the kernel does not say whether it is right: {error}"), SERVICE),
    }
}

fn clock() -> Clock {
    // SAFETY: a timex of zeros asks for nothing to be changed; it outlives the call, which fills it.
    #[allow(unsafe_code, reason = "libc has no safe face for the kernel's clock")]
    let (state, told) = unsafe {
        let mut told: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut told), told)
    };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    let is_right = state != libc::TIME_ERROR && told.status & libc::STA_UNSYNC == 0;
    Ok((is_right, u64::try_from(told.maxerror).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn check(found: &Finding, state: State, what: &str, advice: &str) {
        assert_eq!((found.state, found.what.as_str()), (state, what), "{found:?}");
        assert!(found.advice.contains(advice), "{found:?}");
        assert_eq!(
            found.advice.is_empty(),
            state == State::Ok,
            "what is not well has advice, and nothing else: {found:?}"
        );
    }

    #[test]
    fn a_kernel_is_judged_by_its_first_two_numbers() {
        check(&of_kernel("6.1.0-18-amd64"), State::Ok, "Linux 6.1.0-18-amd64", "");
        check(&of_kernel("5.7"), State::Ok, "Linux 5.7", "");
        check(&of_kernel("5.4.0"), State::Warn, "Linux 5.4.0, older than 5.7", "newer");
        check(&of_kernel("4.18"), State::Warn, "Linux 4.18, older than 5.7", "newer");
        check(&of_kernel(""), State::Warn, "the version `` cannot be understood", "io_uring");
        check(&of_kernel("x.y"), State::Warn, "the version `x.y` cannot be understood", "io_uring");
    }

    #[test]
    fn each_refusal_of_io_uring_says_what_to_do() {
        check(&of_rings(Ok(&()), NodeIo::Auto), State::Ok, "it works", "");
        let forbidden = "io_uring is forbidden: the daemon cannot run";
        let filter = ProbeError::Forbidden { sysctl: Some(0) };
        check(&of_rings(Err(&filter), NodeIo::IoUring), State::Fail, forbidden, "seccomp");
        let switched_off = ProbeError::Forbidden { sysctl: Some(2) };
        check(
            &of_rings(Err(&switched_off), NodeIo::IoUring),
            State::Fail,
            forbidden,
            "sysctl -w kernel.io_uring_disabled=0",
        );
        let unusable = "io_uring cannot be used: the daemon cannot run";
        check(&of_rings(Err(&ProbeError::Missing), NodeIo::IoUring), State::Fail, unusable, "CONFIG_IO_URING");
        check(&of_rings(Err(&ProbeError::NoMemory), NodeIo::IoUring), State::Fail, unusable, "LimitMEMLOCK=");
        let instead = "io_uring is forbidden: executors run on epoll";
        check(&of_rings(Err(&filter), NodeIo::Auto), State::Warn, instead, "seccomp");
        check(&of_rings(Err(&filter), NodeIo::Epoll), State::Ok, "not used: node.io is \"epoll\"", "");
    }

    #[test]
    fn locked_memory_is_enough_or_says_how_much_would_be() {
        check(&of_memory(Ok(&libc::RLIM_INFINITY), NodeIo::IoUring), State::Ok, "without limit", "");
        check(&of_memory(Ok(&(8 << 20)), NodeIo::IoUring), State::Ok, "8 MiB may be locked, which is enough", "");
        let short = ProbeError::Memlock { hard: 64 << 10, needed: 768 << 10 };
        let what = "only 64 KiB may be locked, 768 KiB are needed";
        check(&of_memory(Err(&short), NodeIo::IoUring), State::Fail, what, "LimitMEMLOCK=");
    }

    #[test]
    fn descriptors_are_enough_or_too_few_for_connections_or_for_all() {
        let plan = |connections| Ok(Plan { tables_per_store: 8, connections });
        let found = Ok((20_000, plan(8_192)));
        check(&of_descriptors(&found, 8_192), State::Ok, "20000 are allowed, enough for this configuration", "");
        let what = "1024 are allowed: enough for 627 of 8192 HTTP connections (http.connections_max)";
        check(&of_descriptors(&Ok((1_024, plan(627))), 8_192), State::Warn, what, "LimitNOFILE=");
        let found = Ok((128, Err(TooFew { limit: 128, needed: 182 })));
        let what = "only 128 are allowed; this configuration needs at least 182";
        check(&of_descriptors(&found, 8_192), State::Fail, what, "LimitNOFILE=");
    }

    #[test]
    fn executors_have_a_cpu_each_and_time_to_use_it() {
        check(&of_cores(2, Some(2), None), State::Ok, "2 executors on 2 CPUs", "");
        check(&of_cores(4, Some(2), None), State::Warn, "4 executors on 2 CPUs", "node.cores = \"auto\"");
        let what = "4 executors on 8 CPUs, of which the control group may use 1.5";
        check(&of_cores(4, Some(8), Some(1.5)), State::Warn, what, "node.cores = 1");
        let what = "1 executor on 8 CPUs, of which the control group may use 0.5";
        let found = of_cores(1, Some(8), Some(0.5));
        check(&found, State::Warn, what, "CPUQuota=");
        assert!(!found.advice.contains("node.cores"), "there are no fewer than one: {found:?}");
        let what = "2 executors on 8 CPUs, of which the control group may use 2.0";
        check(&of_cores(2, Some(8), Some(2.0)), State::Ok, what, "");
        check(&of_cores(2, None, None), State::Ok, "2 executors on an unknown number of CPUs", "");
    }

    #[test]
    fn a_clock_that_is_not_synchronised_is_told() {
        check(&of_clock(Ok((true, 1_500))), State::Ok, "synchronised, wrong by 1.5 ms at most", "");
        check(&of_clock(Ok((false, 16_000_000))), State::Warn, "not synchronised", "chrony");
        let refused = of_clock(Err(io::Error::from_raw_os_error(libc::ENOSYS)));
        assert!(refused.state == State::Warn && refused.what.starts_with("the kernel does not say"), "{refused:?}");
        assert!(clock().is_ok());
    }
}
