//! Where the log goes: stderr, as text for people or as one JSON object per line. Knows `[log]` of the configuration and
//! the subscriber. Each caller of `tracing` must see to it that no body and no complete phone number is logged. Writing a log line
//! never waits for the reader of stderr (`host/logging`).

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat, LogLevel};
use crate::host::logging;

/// Changes the log level while the process runs.
pub(super) struct Level(Box<dyn Fn(EnvFilter)>);

impl Level {
    /// Sets the level from now on.
    pub(super) fn set(&self, level: LogLevel) {
        (self.0)(filter(level));
    }
}

/// Starts the log, with a thread; a second call in one process changes nothing.
///
/// # Errors
/// When the process cannot have another thread or descriptor.
pub(super) fn start(log: &Log) -> io::Result<Level> {
    let lines = logging::of_process()?;
    let builder = fmt().with_env_filter(filter(log.level)).with_writer(move || lines.clone());
    tell_panics();
    let terminal = io::stderr().is_terminal();
    // Either call fails only if there is a subscriber already, and then that one stays.
    if is_json(log.format, terminal) {
        let builder = builder.json().flatten_event(true).with_current_span(false).with_span_list(false);
        let builder = builder.with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = builder.try_init();
        Ok(Level(Box::new(move |filter| drop(handle.reload(filter)))))
    } else {
        let builder = builder.with_ansi(terminal).with_target(false).with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = builder.try_init();
        Ok(Level(Box::new(move |filter| drop(handle.reload(filter)))))
    }
}

/// Logs panics: the standard library would write them to stderr, and wait for its reader.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        // Only captured with RUST_BACKTRACE=1; otherwise this costs nothing.
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(thread, %backtrace, "{panic}");
    }));
}

fn is_json(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    }
}

/// The level is for this program; libraries log warnings and errors only, unless it is `trace`: then they log at `debug`.
fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "warn,stentor=info",
        LogLevel::Debug => "warn,stentor=debug",
        LogLevel::Trace => "debug,stentor=trace",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_asks_who_is_looking() {
        let table = [(LogFormat::Auto, true, false), (LogFormat::Auto, false, true), (LogFormat::Json, true, true)];
        for (format, terminal, json) in table {
            assert_eq!(is_json(format, terminal), json, "{format:?} {terminal}");
        }
    }
}
