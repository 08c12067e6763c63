//! `stentor check FILE`: everything that is wrong with a configuration, before a daemon meets it. With `--data`: everything
//! that is wrong with a data directory ([`super::check_data`]).
//! Knows how problems are told; what a problem is, `config` and `runtime::translate` know.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::check_data;
use super::exit::{Ended, Exit};
use crate::config::{Config, Place, Problem, Problems};
use crate::runtime::warnings::{Warning, warnings};
use crate::runtime::{certificates, translate};

/// What was typed.
#[derive(Debug, Args)]
pub(super) struct Typed {
    /// The configuration
    #[arg(value_name = "FILE", required_unless_present = "data")]
    file: Option<PathBuf>,
    /// Instead: read everything in this data directory, which no daemon may use meanwhile, and tell what is damaged
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    data: Option<PathBuf>,
    /// One JSON document: {"file", "ok", "problems": [{"place", "path", "what"}], "warnings": [{"path", "what"}]}; with --data:
    /// {"data", "ok", "stores": [{"store", "commit", "tables", "entries", "damage": [...]}]}
    #[arg(long)]
    json: bool,
}

/// Tells all problems, or else all warnings; exit code 78 if there is a problem.
pub(super) fn run(typed: &Typed, out: &mut dyn Write) -> Ended {
    match (&typed.data, &typed.file) {
        (Some(data), _) => check_data::run(data, typed.json, out),
        (None, Some(file)) => run_file(file, typed.json, out),
        (None, None) => Ok(Exit::USAGE),
    }
}

fn run_file(path: &Path, is_json: bool, out: &mut dyn Write) -> Ended {
    let file = path.display().to_string();
    // What needs more than the text, the files that it names and its tests, is asked only of a text without a flaw.
    let checked = Config::load(path).and_then(|config| translate::check(&config, &file).map(|()| config));
    let (problems, warnings) = match checked {
        Ok(config) => (Vec::new(), warnings(&config, certificates::now_s())),
        Err(Problems(problems)) => (problems, Vec::new()),
    };
    if is_json {
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

    fn ran(text: &str, json: bool) -> (Exit, String) {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("stentor.toml");
        std::fs::write(&file, text).expect("written");
        let mut out = Vec::new();
        let exit = run(&Typed { file: Some(file.clone()), data: None, json }, &mut out).expect("output");
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
        assert_eq!(text, "FILE: ok\nFILE: warning: carrier.b: no route leads to it: it will carry nothing\n");
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
    fn a_file_that_is_not_there_is_a_problem() {
        let mut out = Vec::new();
        let exit = run(&Typed { file: Some("/nowhere/at/all.toml".into()), data: None, json: false }, &mut out)
            .expect("output");
        assert_eq!(exit, Exit::CONFIG);
        assert!(String::from_utf8_lossy(&out).contains("cannot be read"));
    }
}
