//! The configuration as a whole: text and environment in, resolved values or problems out.

mod broken;
mod limits;
mod overlay;
mod reference;
mod reload;
mod secrets;
mod spoken;

use super::{Config, Problems};

/// The smallest file that loads.
const LEAST: &str = r#"
[[carrier]]
name = "one"
hosts = ["127.0.0.1"]
system_id = "me"
[[route]]
name = "all"
carriers = [{ name = "one" }]
"#;

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse("t.toml", text, [])
}

fn parse_under(text: &str, environment: &[(&str, &str)]) -> Result<Config, Problems> {
    Config::parse("t.toml", text, environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// `LEAST` with `more` in front of it, so that line numbers in `more` start at 1.
fn with(more: &str) -> String {
    format!("{more}{LEAST}")
}

#[test]
fn a_file_is_loaded_or_told_about() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("least.toml");
    let missing = Config::load(&file).expect_err("it is not there").to_string();
    assert_eq!(missing, format!("{}: cannot be read: No such file or directory (os error 2)", file.display()));
    std::fs::write(&file, LEAST).expect("a file");
    assert_eq!(Config::load(&file), parse(LEAST));
    std::fs::write(&file, b"\xff").expect("a file");
    let broken = Config::load(&file).expect_err("it is not UTF-8").to_string();
    assert_eq!(broken, format!("{}: cannot be read: stream did not contain valid UTF-8", file.display()));
}
