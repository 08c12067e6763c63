//! `stentor doctor`: whether this machine and a configuration can run Stentor well, before it is used for real.
//! Knows how findings are shown; `runtime::doctor` knows what to look at and how to judge it.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::exit::{Ended, Exit, Failure};
use super::shown::plain;
use crate::runtime::doctor::{Finding, State, examine};

/// The arguments of `stentor doctor`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "STENTOR_CONFIG")]
    config: PathBuf,
    /// Also bind to each host of each carrier with the configured account, and unbind. Some carriers then end another session
    /// of the account, so do not use it while messages are being sent
    #[arg(long)]
    bind: bool,
    /// One JSON document: [{"check", "state": "ok" | "warn" | "fail", "what", "advice"}]
    #[arg(long)]
    json: bool,
}

/// Shows everything that was found; exit code 78 if something fails.
pub(super) fn run(typed: &Arguments, out: &mut dyn Write) -> Ended {
    let mut found = Vec::new();
    let mut told: io::Result<()> = Ok(());
    examine(&typed.config, typed.bind, &mut |finding| {
        if !typed.json && told.is_ok() {
            told = writeln!(out, "{}", line(&finding)).and_then(|()| out.flush());
        }
        found.push(finding);
    });
    told.map_err(Failure::from)?;
    if typed.json {
        writeln!(out, "{}", Value::Array(found.iter().map(document).collect()))?;
    } else {
        writeln!(out, "{}", sum(&found))?;
    }
    let fails = found.iter().any(|finding| finding.state == State::Fail);
    Ok(if fails { Exit::CONFIG } else { Exit::DONE })
}

fn line(Finding { check, state, what, advice }: &Finding) -> String {
    let advice = if advice.is_empty() { String::new() } else { format!(" → {advice}") };
    // Some of the words come from carriers and files, so control characters are removed.
    plain(&format!("{:<4}  {check}: {what}{advice}", state.name()))
}

fn document(Finding { check, state, what, advice }: &Finding) -> Value {
    json!({"check": check, "state": state.name(), "what": what, "advice": advice})
}

fn sum(found: &[Finding]) -> String {
    let number = |state| found.iter().filter(|finding| finding.state == state).count();
    format!("{} ok, {} warn, {} fail", number(State::Ok), number(State::Warn), number(State::Fail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_that_steers_no_terminal() {
        assert_eq!(line(&Finding::ok("kernel", "Linux 6.1")), "ok    kernel: Linux 6.1");
        let hostile = Finding::fail("carrier.a h:1", "bound by \u{1b}[31m\nred", "ask");
        assert_eq!(line(&hostile), "fail  carrier.a h:1: bound by  [31m red → ask");
        let document = document(&hostile);
        assert_eq!((&document["state"], &document["advice"]), (&json!("fail"), &json!("ask")));
        let warn = Finding::warn("clock", "not synchronised", "run one");
        assert_eq!(sum(&[warn.clone(), warn, hostile]), "0 ok, 2 warn, 1 fail");
    }

    fn ran(text: &str, json: bool) -> (Exit, String) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("stentor.toml");
        std::fs::write(&file, text).expect("written");
        let mut out = Vec::new();
        let exit = run(&Arguments { config: file, bind: false, json }, &mut out).expect("output");
        (exit, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_configuration_that_is_wrong_fails_and_the_machine_is_looked_at_all_the_same() {
        let (exit, text) = ran("[node]\nno_such_key = 1\n", false);
        assert_eq!(exit, Exit::CONFIG);
        let fails: Vec<_> = text.lines().filter(|line| line.starts_with("fail  configuration: ")).collect();
        assert!(fails.iter().any(|line| line.contains("no_such_key")), "{text}");
        assert!(text.lines().any(|line| line.contains("  kernel: ")), "{text}");
        let (exit, text) = ran("[node]\nno_such_key = 1\n", true);
        let list: Value = serde_json::from_str(&text).expect("one document");
        assert_eq!(
            (exit, &list[0]["check"], &list[0]["state"]),
            (Exit::CONFIG, &json!("configuration"), &json!("fail"))
        );
    }
}
