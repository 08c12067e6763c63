//! Which process limited a measurement: decided from how much CPU each used while messages were offered. Calculates only.

/// CPUs used by each process: 1 is one CPU, busy all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shares {
    pub daemon: f64,
    pub generator: f64,
    pub simulator: f64,
    /// All other processes on the machine.
    pub others: f64,
    /// CPUs of the machine.
    pub cpus: f64,
}

/// CPUs that each process was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Allotted {
    /// Infinite where the daemon is on another host.
    pub daemon: f64,
    pub generator: f64,
}

/// A process that uses this share of its CPUs, or more, is at its limit.
const FULL: f64 = 0.9;
/// The simulator does everything on one thread.
const SIMULATOR_CPUS: f64 = 1.0;
/// Other processes are mentioned if they use more than this share of the machine.
const OTHERS_MAX: f64 = 0.1;

impl Shares {
    /// What was at its limit, in words for the report.
    pub(super) fn bottleneck(&self, allotted: Allotted) -> String {
        let Self { daemon, generator, simulator, others, cpus } = *self;
        let each = format!("daemon {daemon:.2}, generator {generator:.2}, simulator {simulator:.2} CPUs");
        if simulator >= FULL * SIMULATOR_CPUS {
            return format!(
                "the simulator: its one thread was busy, so Stentor may be faster than these figures ({each})"
            );
        }
        if generator >= FULL * allotted.generator {
            return format!("the generator: its CPUs were busy, so Stentor may be faster than these figures ({each})");
        }
        if allotted.daemon.is_infinite() {
            return format!("nothing on this machine (generator {generator:.2}, simulator {simulator:.2} CPUs)");
        }
        if daemon >= FULL * allotted.daemon {
            return format!("the daemon: its CPUs were busy ({each})");
        }
        let ours = daemon + generator + simulator;
        if ours + others >= FULL * cpus && others > ours {
            return format!(
                "other processes on this machine: they used {others:.2} of {cpus:.0} CPUs. These figures are not Stentor's ({each})"
            );
        }
        if ours + others >= FULL * cpus {
            let tools = (generator + simulator) / cpus.max(1e-9) * 100.0;
            return format!(
                "the machine: all its CPUs were busy, {tools:.0} % of them with generator and simulator; on CPUs of its own \
                 Stentor may be faster ({each})"
            );
        }
        format!("no CPU: the disk, the windows, or the number of connections ({each})")
    }

    /// A remark about other processes on the machine, if they used much of it.
    pub(super) fn disturbance(&self) -> Option<String> {
        let is_much = self.others >= OTHERS_MAX * self.cpus;
        is_much.then(|| format!("others used {:.2} of {:.0} CPUs meanwhile", self.others, self.cpus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_is_full_is_named() {
        let idle = Shares { daemon: 1.0, generator: 0.3, simulator: 0.3, others: 0.0, cpus: 8.0 };
        let named = |shares: Shares, allotted: (f64, f64)| {
            let told = shares.bottleneck(Allotted { daemon: allotted.0, generator: allotted.1 });
            told.split(':').next().unwrap().to_owned()
        };
        assert_eq!(named(idle, (8.0, 8.0)), "no CPU");
        assert_eq!(named(idle, (1.0, 8.0)), "the daemon");
        assert!(named(idle, (f64::INFINITY, 8.0)).starts_with("nothing on this machine"));
        assert_eq!(named(Shares { simulator: 0.95, ..idle }, (1.0, 8.0)), "the simulator");
        assert_eq!(named(Shares { generator: 1.9, ..idle }, (1.0, 2.0)), "the generator");
        assert_eq!(named(Shares { cpus: 1.7, ..idle }, (2.0, 2.0)), "the machine");
        assert_eq!(named(Shares { others: 1.4, cpus: 3.0, ..idle }, (8.0, 8.0)), "the machine");
        assert_eq!(named(Shares { others: 6.0, ..idle }, (8.0, 8.0)), "other processes on this machine");
    }

    #[test]
    fn others_are_told_of_when_they_matter() {
        let shares = |others| Shares { others, cpus: 2.0, ..Shares::default() };
        assert_eq!(shares(0.1).disturbance(), None);
        assert_eq!(shares(0.5).disturbance(), Some("others used 0.50 of 2 CPUs meanwhile".to_owned()));
    }
}
