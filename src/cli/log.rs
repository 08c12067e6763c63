//! Where the log goes: stderr, as text for people or as one JSON object a line. Knows `[log]` of the configuration and
//! the subscriber; what is told, and that no body and no whole number is, is the matter of who tells it. Who tells never
//! waits for whoever reads (`host/logging`).

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat, LogLevel};
use crate::host::logging;

/// What is told, while the process runs.
pub(super) struct Level(Box<dyn Fn(EnvFilter)>);

impl Level {
    /// From now on.
    pub(super) fn set(&self, level: LogLevel) {
        (self.0)(filter(level));
    }
}

/// Starts it, with a thread; a second call in one process changes nothing.
///
/// # Errors
/// When the process cannot have another thread or descriptor.
pub(super) fn start(log: &Log) -> io::Result<Level> {
    let lines = logging::of_process()?;
    let builder = fmt().with_env_filter(filter(log.level)).with_writer(move || lines.clone());
    tell_panics();
    let terminal = io::stderr().is_terminal();
    // Only a second subscriber makes either fail, and then the first one stays.
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

/// The standard library would write a panic to stderr, and wait for its reader.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        // With RUST_BACKTRACE=1; it costs nothing without.
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

/// The level is ours; what we stand on speaks from warnings up, or with us when we speak of everything.
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
