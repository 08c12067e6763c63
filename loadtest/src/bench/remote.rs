//! A daemon on another host: generator and simulator run here, the daemon is started there by the operator. Measures
//! what can be seen from outside and in its metrics; everything that would need its process is left out, by name.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::course::{Course, Found};
use super::plan::Subject;
use super::result::{Figure, Measurement, Point};
use super::scenes::note_kept;
use crate::run::figure::{Unit, Value};
use crate::run::ground::{Ground, GroundOptions, Smsc};
use crate::run::million::{self, Pass};
use crate::run::prometheus::{ACCEPTED, BUILD, PROCESS_CPU};
use crate::run::result::ScenarioResult;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Messages of `single` in each repeat: over a network each one takes a while.
const SINGLES: u64 = 500;

const CLOSED: &str = "closed loop over the network: each connection sends its next request when the last was answered";
const OPEN: &str =
    "open loop over the network: a request is due at its place in time, and its latency counts from there";
const LEFT_OUT: [(&str, &str); 6] = [
    ("limits", "they would be this machine's, and the daemon is on another"),
    ("ladder", "the daemon's cores are set where it runs"),
    ("peak", "the carrier's rate is set where the daemon runs"),
    ("backlog", "the daemon's process is on another host: it cannot be killed and started from here"),
    ("restart", "the daemon's process is on another host: it cannot be killed and started from here"),
    ("written per message, RSS, CPU of threads", "the daemon's process is on another host"),
];

/// Reads `http://HOST:PORT`.
pub(super) fn resolve(url: &str) -> Result<SocketAddr, String> {
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(format!("--target {url}: must be http://HOST:PORT; the generator does not speak TLS"));
    };
    let host = rest.strip_suffix('/').unwrap_or(rest);
    let with_port = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let told = |error: &dyn std::fmt::Display| format!("--target {url}: {error}");
    let mut found = with_port.to_socket_addrs().map_err(|error| told(&error))?;
    found.next().ok_or_else(|| told(&"no address"))
}

/// The ground with a daemon on another host.
#[derive(Debug)]
pub(super) struct Remote {
    ground: Ground,
    smsc: Smsc,
}

impl Remote {
    /// Queries the daemon, starts the simulator, and waits until the daemon has bound to it.
    pub(super) fn prepare(
        options: &GroundOptions,
        target: SocketAddr,
        smsc: SocketAddr,
        key: Option<&str>,
    ) -> Result<Self, String> {
        let mut ground = Ground::prepare(options)?;
        ground.use_target(target, smsc);
        if let Some(key) = key {
            ground.use_secret_key(key)?;
        }
        match ground.get("/readyz", PATIENCE)? {
            (200, _) => {}
            (status, body) => return Err(format!("{target}/readyz: {status} {}", String::from_utf8_lossy(&body))),
        }
        let mut simulator = ground.start_smsc(&["--receipt-delay", "0"])?;
        eprintln!("waiting until the daemon binds to {smsc}");
        ground.watch(&mut simulator, "the daemon's bind", |stats| stats.connections.bound > 0)?;
        Ok(Self { ground, smsc: simulator })
    }

    /// Its version, as its metrics report it.
    pub(super) fn version(&self) -> String {
        let metrics = self.ground.metrics();
        let version = metrics.label(BUILD, "version").map(|version| format!("stentor {version}"));
        version.unwrap_or_else(|| "unknown: /metrics was not shown".to_owned())
    }

    fn pass(&mut self, count: u64, rate: Option<f64>) -> Found {
        self.smsc.reset()?;
        let before = self.ground.metrics();
        let flow = million::flow(&self.ground, &mut self.smsc, count, rate, None)?;
        let accepted = before.sum(ACCEPTED).unwrap_or(0.0) as u64 + flow.report.acknowledged_count();
        let after = self.ground.metrics_of(accepted);
        let mut verdict = ScenarioResult::new("million");
        let mut pass: Pass = million::tell(&mut verdict, &flow, &after.since(&before), count);
        if let (Some(from), Some(to)) = (before.sum(PROCESS_CPU), after.sum(PROCESS_CPU)) {
            pass.cpu_us = (to - from) * 1e6 / count.max(1) as f64;
            verdict.figure("stentor CPU per message", Value::number(pass.cpu_us, Unit::MicrosPerMessage));
        }
        Ok((verdict, Some(pass)))
    }
}

impl Course<'_> {
    /// Measures everything that can be measured from outside. `ground` is the one with which `remote` was prepared.
    pub(super) fn run_remote(&mut self, remote: &mut Remote, ground: &GroundOptions) -> Result<(), String> {
        for (name, why) in LEFT_OUT {
            self.leave_out(name, why);
        }
        let mut count = self.sizes.count(0.0, ground.batch, self.sizes.warm_up);
        for _ in 0..2 {
            let (_, pass) = remote.pass(count, None)?;
            self.rate = pass.map_or(0.0, |pass| pass.messages_per_s);
            eprintln!("warm-up: {:.0} msg/s end to end", self.rate);
            count = self.sizes.count(self.rate, ground.batch, 0);
        }
        if self.wants(Subject::Million, "million") {
            let count = count.max(self.sizes.million_min);
            let load = (ground.connections, ground.batch);
            let million = self.closed(remote, ground, ("million", "As fast as it can, over the network"), load, count);
            self.rate = million.figure("end to end/s").map_or(self.rate, |rate| rate.median);
            self.push(million);
        }
        if self.wants(Subject::Single, "single") {
            let count = SINGLES * self.sizes.repeats as u64;
            let single =
                self.closed(remote, ground, ("single", "One message, one connection, over the network"), (1, 1), count);
            self.push(single);
        }
        if self.wants(Subject::Sweep, "sweep") {
            self.sweep_remote(remote, ground);
        }
        Ok(())
    }

    fn closed(
        &mut self,
        remote: &mut Remote,
        ground: &GroundOptions,
        (name, title): (&str, &str),
        (connections, batch): (u64, u64),
        count: u64,
    ) -> Measurement {
        remote.ground.use_load(connections, batch);
        let trials = self.trials(name, self.sizes.repeats, ground, |_| remote.pass(count, None));
        remote.ground.use_load(ground.connections, ground.batch);
        let parameters =
            [("messages", count as f64), ("connections", connections as f64), ("messages a request", batch as f64)];
        let empty = self.measurement(name, title, CLOSED, &parameters);
        self.gather(empty, &trials, self.allotted())
    }

    fn sweep_remote(&mut self, remote: &mut Remote, ground: &GroundOptions) {
        let (mut points, mut kept, mut last) = (Vec::new(), Vec::new(), Measurement::default());
        for share in self.sizes.shares {
            let rate = self.rate * share;
            let count = self.sizes.count(rate, ground.batch, 0);
            let name = format!("sweep at {rate:.0}/s");
            let trials = self.trials(&name, self.sizes.rounds, ground, |_| remote.pass(count, Some(rate)));
            note_kept(&mut kept, &trials, rate);
            if !trials.is_empty() {
                last = self.gather(Measurement::default(), &trials, self.allotted());
                points.push(Point { axis: "offered/s".to_owned(), at: rate, figures: last.figures.clone() });
            }
        }
        let parameters = [("connections", ground.connections as f64)];
        let mut measurement = self.measurement("sweep", "Rising rates, over the network", OPEN, &parameters);
        measurement.figures.extend(Figure::new(
            "highest rate kept/s",
            Unit::PerSecond,
            Unit::PerSecond.better(),
            &kept,
        ));
        (measurement.repeats, measurement.broken, measurement.points) = (last.repeats, last.broken, points);
        (measurement.bottleneck, measurement.remarks) = (last.bottleneck, last.remarks);
        self.push(measurement);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_plain_http() {
        let shown = |url: &str| resolve(url).map(|address| address.to_string());
        assert_eq!(shown("http://127.0.0.1:8080"), Ok("127.0.0.1:8080".to_owned()));
        assert_eq!(shown("http://127.0.0.1/"), Ok("127.0.0.1:80".to_owned()));
        assert_eq!(shown("http://[::1]:99"), Ok("[::1]:99".to_owned()));
        for url in ["https://127.0.0.1:8080", "127.0.0.1:8080", "http://"] {
            assert!(shown(url).is_err(), "{url}");
        }
    }
}
