//! `stentor check [FILE]`: everything that is wrong with a configuration, before a daemon meets it. With `--data`: everything
//! that is wrong with a data directory ([`super::check_data`]).
//! Knows how problems are shown; `config` and `runtime::translate` know what a problem is.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::check_data;
use super::exit::{Ended, Exit, Failure};
use crate::config::{Config, Place, Problem, Problems};
use crate::runtime::warnings::{Warning, of_text, warnings};
use crate::runtime::{certificates, translate};

/// The arguments of `stentor check`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// Configuration file, as for `serve`; without either, the file that STENTOR_CONFIG names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Do not read secrets from files and credentials, nor files of certificates and keys: for a machine that has none, such as one
    /// of CI
    #[arg(long)]
    no_secrets: bool,
    /// Instead, read everything in this data directory, which no daemon may use meanwhile, and report what is damaged
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "config", "no_secrets"])]
    data: Option<PathBuf>,
    /// One JSON document: {"file", "ok", "problems": [{"place", "path", "what"}], "warnings": [{"path", "what"}]}; with --data:
    /// {"data", "ok", "stores": [{"store", "commit", "tables", "entries", "damage": [...]}]}
    #[arg(long)]
    json: bool,
}

/// Shows all problems, or, if there are none, all warnings; exit code 78 if there is a problem.
pub(super) fn run(typed: &Arguments, out: &mut dyn Write) -> Ended {
    run_under(std::env::var_os("STENTOR_CONFIG").map(PathBuf::from), typed, out)
}

/// Like [`run`], with the value of STENTOR_CONFIG.
fn run_under(named: Option<PathBuf>, typed: &Arguments, out: &mut dyn Write) -> Ended {
    if let Some(data) = &typed.data {
        return check_data::run(data, typed.json, out);
    }
    let file = typed.file.as_ref().or(typed.config.as_ref()).or(named.as_ref());
    let missing = || Failure::usage("no configuration is named: use stentor check FILE, or set STENTOR_CONFIG");
    run_file(file.ok_or_else(missing)?, typed, out)
}

fn run_file(path: &Path, typed: &Arguments, out: &mut dyn Write) -> Ended {
    let file = path.display().to_string();
    // The files that a configuration names, and its tests, are checked only if its text has no flaw.
    let loaded = if typed.no_secrets { Config::load_without_secrets(path) } else { Config::load(path) };
    let checked = loaded.and_then(|config| {
        let check = if typed.no_secrets { translate::check_without_secrets } else { translate::check };
        check(&config, &file).map(|()| config)
    });
    let (problems, warnings) = match checked {
        Ok(config) if typed.no_secrets => (Vec::new(), of_text(&config)),
        Ok(config) => (Vec::new(), warnings(&config, certificates::now_s())),
        Err(Problems(problems)) => (problems, Vec::new()),
    };
    if typed.json {
        let list: Vec<_> = problems.iter().map(document).collect();
        let odd: Vec<_> = warnings.iter().map(|Warning { path, what }| json!({"path": path, "what": what})).collect();
        writeln!(out, "{}", json!({"file": file, "ok": list.is_empty(), "problems": list, "warnings": odd}))?;
    } else if problems.is_empty() {
        writeln!(out, "{file}: ok")?;
        warnings.iter().try_for_each(|warning| writeln!(out, "{file}: warning: {warning}"))?;
    } else {
        writeln!(out, "{}", Problems(problems.clone()))?;
    }
    Ok(if problems.is_empty() { Exit::DONE } else { Exit::CONFIG })
}

fn document(problem: &Problem) -> Value {
    let place = match &problem.place {
        Place::File { file, line, column } => json!({"file": file, "line": line, "column": column}),
        Place::Variable(name) => json!({"variable": name}),
        Place::Whole(file) => json!({"file": file}),
    };
    json!({"place": place, "path": problem.path, "what": problem.what})
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Arguments = Arguments { file: None, config: None, no_secrets: false, data: None, json: false };

    fn ran(text: &str, json: bool) -> (Exit, String) {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("stentor.toml");
        std::fs::write(&file, text).expect("written");
        let mut out = Vec::new();
        let exit = run(&Arguments { file: Some(file.clone()), json, ..NONE }, &mut out).expect("output");
        (exit, String::from_utf8(out).expect("text").replace(&file.display().to_string(), "FILE"))
    }

    const GOOD: &str = "[[carrier]]\nname = \"a\"\nhosts = [\"127.0.0.1:2775\"]\nsystem_id = \"s\"\n\
                        [[route]]\nname = \"all\"\ncarriers = [{ name = \"a\" }]\n";

    #[test]
    fn a_good_file_is_ok() {
        assert_eq!(ran(GOOD, false), (Exit::DONE, "FILE: ok\n".to_owned()));
        let document = r#"{"file":"FILE","ok":true,"problems":[],"warnings":[]}"#;
        assert_eq!(ran(GOOD, true), (Exit::DONE, format!("{document}\n")));
    }

    #[test]
    fn what_is_odd_is_told_and_is_no_problem() {
        let idle = format!("{GOOD}[[carrier]]\nname = \"b\"\nhosts = [\"h\"]\nsystem_id = \"s\"\n");
        let (exit, text) = ran(&idle, false);
        assert_eq!(exit, Exit::DONE);
        assert_eq!(text, "FILE: ok\nFILE: warning: carrier.b: no route leads to it: it will never be used\n");
        let (_, text) = ran(&idle, true);
        let document: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&document["ok"], &document["warnings"][0]["path"]), (&json!(true), &json!("carrier.b")));
    }

    #[test]
    fn every_problem_has_its_place() {
        let bad = GOOD.replace("hosts", "host").replace("name = \"a\" }", "name = \"b\" }");
        let (exit, text) = ran(&bad, false);
        assert_eq!(exit, Exit::CONFIG);
        assert!(text.contains("FILE:3:1: carrier.a"), "{text}");
        let (_, text) = ran(&bad, true);
        let document: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&document["ok"], &document["problems"][0]["place"]["line"]), (&json!(false), &json!(3)));
    }

    #[test]
    fn the_file_is_named_as_for_serve() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("stentor.toml");
        std::fs::write(&file, GOOD).expect("written");
        let ran =
            |named: Option<&Path>, typed: &Arguments| run_under(named.map(Path::to_owned), typed, &mut Vec::new());
        let nowhere = Path::new("/nowhere/at/all.toml");
        assert_eq!(ran(Some(&file), &NONE), Ok(Exit::DONE));
        assert_eq!(ran(Some(nowhere), &Arguments { config: Some(file.clone()), ..NONE }), Ok(Exit::DONE));
        assert_eq!(ran(Some(nowhere), &Arguments { file: Some(file.clone()), ..NONE }), Ok(Exit::DONE));
        assert_eq!(ran(None, &NONE).map_err(|failure| failure.exit), Err(Exit::USAGE));
    }

    /// On a machine without its credentials, the documented example was said to have the same key twice: both keys were empty.
    #[test]
    fn secrets_that_are_not_there_are_told_each_once_or_left_out() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/smpp.toml");
        let text = std::fs::read_to_string(&file).expect("the example");
        let secrets =
            text.lines().filter(|line| !line.starts_with('#')).map(|line| line.matches("credential =").count());
        let mut out = Vec::new();
        let typed = Arguments { file: Some(file), ..NONE };
        assert_eq!(run(&typed, &mut out), Ok(Exit::CONFIG));
        let told = String::from_utf8(out).expect("text");
        assert_eq!(told.lines().count(), secrets.sum::<usize>(), "{told}");
        let mut out = Vec::new();
        let ended = run(&Arguments { no_secrets: true, ..typed }, &mut out);
        let told = String::from_utf8(out).expect("text");
        assert_eq!(ended, Ok(Exit::DONE), "the example can be carried out: {told}");
        assert!(!told.contains("credential") && !told.contains("a second time"), "{told}");
    }

    #[test]
    fn a_file_that_is_not_there_is_a_problem() {
        let mut out = Vec::new();
        let exit = run(&Arguments { file: Some("/nowhere/at/all.toml".into()), ..NONE }, &mut out).expect("output");
        assert_eq!(exit, Exit::CONFIG);
        assert!(String::from_utf8_lossy(&out).contains("cannot be read"));
    }
}
