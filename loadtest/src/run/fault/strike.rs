//! One strike of each fault, from the fault itself until the daemon is ready again.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::ground::Ground;
use super::{Fault, PATIENCE, TICK, World};
use crate::http;

/// The daemon's exit code when a write or a sync fails (sysexits: input/output error).
pub(super) const EXIT_IO: i32 = 74;
/// The longest SIGSTOP: well beyond the five seconds after which the watchdog acts.
const STOP_MAX_MS: u64 = 7_000;
/// The farthest jump of the wall clock in either direction.
const JUMP_MAX_S: u64 = 3_600;
/// How long a jump, or a slow disk, lasts.
const HOLD: Duration = Duration::from_secs(2);

impl World {
    pub(super) fn strike(&mut self) -> Result<(), String> {
        match self.options.fault {
            Fault::Kill => self.kill(),
            Fault::Power => self.cut_power(),
            Fault::Stop => self.stop(),
            Fault::Oom => self.starve(),
            Fault::Eio => self.fail_writes(),
            Fault::Site => self.fail_site(),
            Fault::Slow => {
                thread::sleep(HOLD);
                self.await_ready()
            }
            Fault::Full => self.fill_disk(),
            Fault::Clock => self.jump(),
        }
    }

    fn kill(&mut self) -> Result<(), String> {
        self.stentor.signal(Signal::KILL);
        self.stentor.wait(self.ground.stall())?;
        self.start_again()
    }

    /// The process is stopped first, as it would be without power: on a file system that is shut down the kernel may
    /// report a sync under way as done although its transaction was given up (a journal aborted between data and
    /// commit), and a running process would pass that on.
    fn cut_power(&mut self) -> Result<(), String> {
        let disk = self.disk.as_mut().ok_or("no disk")?;
        self.stentor.signal(Signal::STOP);
        self.stentor.wait_still(PATIENCE)?;
        disk.cut()?;
        self.stentor.signal(Signal::KILL);
        self.stentor.wait(self.ground.stall())?;
        disk.remount()?;
        self.start_again()
    }

    fn stop(&mut self) -> Result<(), String> {
        self.stentor.signal(Signal::STOP);
        thread::sleep(Duration::from_millis(200 + self.chance.below(STOP_MAX_MS)));
        self.stentor.signal(Signal::CONT);
        self.await_ready()
    }

    fn starve(&mut self) -> Result<(), String> {
        let cgroup = self.cgroup.as_ref().ok_or("no cgroup")?;
        let (begun, stall) = (Instant::now(), self.ground.stall());
        let stentor = &mut self.stentor;
        cgroup.squeeze(|| !stentor.is_alive() || begun.elapsed() > stall)?;
        let ended = self.stentor.wait(PATIENCE)?;
        self.books.ended_s_max = self.books.ended_s_max.max(begun.elapsed().as_secs_f64());
        self.books.claim("it was the kernel that ended it", ended.signal() == Some(Signal::KILL.as_raw()));
        cgroup.relax()?;
        self.start_again()
    }

    fn fail_writes(&mut self) -> Result<(), String> {
        let disk = self.disk.as_mut().ok_or("no disk")?;
        disk.fail_writes(true)?;
        let begun = Instant::now();
        let ended = self.stentor.wait(self.ground.stall())?;
        let ended_s = begun.elapsed().as_secs_f64();
        disk.fail_writes(false)?;
        disk.remount()?;
        let output = self.stentor.output();
        let lines: Vec<_> = output.lines().filter(|line| line.starts_with("stentor: ")).collect();
        self.books.ended_s_max = self.books.ended_s_max.max(ended_s);
        if ended.code() != Some(EXIT_IO) || lines.len() != 1 {
            return Err(self.stentor.failure(&format!("{ended}, {lines:?}")));
        }
        self.books.claim("each failed write ended it with 74 and one line", true);
        self.start_again()
    }

    fn jump(&mut self) -> Result<(), String> {
        let seconds = self.chance.below(2 * JUMP_MAX_S) as i64 - JUMP_MAX_S as i64;
        set_clock(&self.ground, seconds)?;
        thread::sleep(HOLD);
        self.await_ready()
    }

    /// Waits until the daemon, which must not have ended, reports that it is ready.
    pub(super) fn await_ready(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            self.stentor.check_alive()?;
            match http::get(self.ground.http(), "/readyz", PATIENCE) {
                Ok((200, _)) => return Ok(()),
                Ok(_) | Err(_) if begun.elapsed() < self.ground.stall() => thread::sleep(TICK),
                Ok((status, body)) => return Err(format!("not ready: {status} {}", String::from_utf8_lossy(&body))),
                Err(error) => return Err(format!("not ready: {error}")),
            }
        }
    }
}

/// Gives the daemon a wall clock that can be moved while it runs; the monotonic clock stays correct.
pub(super) fn fake_clock(ground: &mut Ground) -> Result<(), String> {
    set_clock(ground, 0)?;
    ground.fake_wall_clock()?;
    ground.set_variable("FAKETIME_TIMESTAMP_FILE", &clock_file(ground).display().to_string());
    ground.set_variable("FAKETIME_CACHE_DURATION", "1");
    Ok(())
}

fn set_clock(ground: &Ground, seconds: i64) -> Result<(), String> {
    fs::write(clock_file(ground), format!("{seconds:+}\n")).map_err(|error| format!("clock: {error}"))
}

fn clock_file(ground: &Ground) -> PathBuf {
    ground.path().join("clock")
}
