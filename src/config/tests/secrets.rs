//! Secrets: the sources they are read from, and that no output shows them.

use super::super::Config;
use super::{LEAST, parse, parse_under};

fn with_password(password: &str) -> String {
    LEAST.replace("system_id = \"me\"", &format!("system_id = \"me\"\npassword = {password}"))
}

#[test]
fn come_by_value_file_and_credential() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("pw"), "s3cr3t\r\n").expect("a file");
    let file = directory.path().join("pw").display().to_string();
    let revealed = |password: &str, environment: &[(&str, &str)]| {
        let config = parse_under(&with_password(password), environment).expect("it loads");
        config.carriers[0].password.reveal().to_owned()
    };
    assert_eq!(revealed("\"s3cr3t\"", &[]), "s3cr3t");
    assert_eq!(revealed(&format!("{{ file = {file:?} }}"), &[]), "s3cr3t");
    let credentials = directory.path().display().to_string();
    assert_eq!(revealed("{ credential = \"pw\" }", &[("CREDENTIALS_DIRECTORY", &credentials)]), "s3cr3t");
    let variable = format!("{{ file = {file:?} }}");
    assert_eq!(revealed("\"other\"", &[("STENTOR__CARRIER__ONE__PASSWORD", &variable)]), "s3cr3t");
}

#[test]
fn say_what_is_missing() {
    let cases = [
        ("\"\"", "the secret is empty: write a value, or leave the secret out"),
        ("{ file = \"/nonexistent/pw\" }", "cannot read /nonexistent/pw: No such file or directory (os error 2)"),
        (
            "{ credential = \"pw\" }",
            "credential `pw` cannot be read: CREDENTIALS_DIRECTORY is not set; add LoadCredential=pw:/path to the systemd \
             unit, or use { file = \"/path\" }",
        ),
        (
            "{ credential = \"../pw\" }",
            "`../pw` is not a credential name: write the file's name alone, without / or a leading .",
        ),
    ];
    for (password, expected) in cases {
        let problems = parse(&with_password(password)).expect_err("it is refused");
        assert_eq!(problems.to_string(), format!("t.toml:6:12: carrier.one.password: {expected}"));
    }
}

#[test]
fn are_not_quoted_whatever_is_wrong() {
    let long = format!("\"{}\"", "8274619".repeat(40));
    let shapes = [
        "8274619",
        "99999999999999999999",
        "82746.19",
        "[\"8274619\"]",
        "{ fil = \"8274619\" }",
        "{ file = 8274619 }",
        "{ file = \"8274619\", credential = \"8274619\" }",
        &long,
        "8274619-01-01",
    ];
    for shape in shapes {
        let problems = parse(&with_password(shape)).expect_err("it is refused").to_string();
        assert!(problems.starts_with("t.toml:6:"), "{problems}");
        assert!(!problems.contains("82746"), "{problems}");
    }
}

#[test]
fn are_masked_in_every_form() {
    let text = with_password("\"pa55word\"")
        + "[[tenant]]\nname = \"a\"\nkeys = [\"pa55word-pa55word\"]\nadmin_keys = [\"pa55word-pa55word2\"]\n";
    let config: Config = parse(&text).expect("it loads");
    let written = toml::to_string(&config).expect("it is TOML");
    assert!(written.contains("password = \"(secret)\""), "{written}");
    for shown in [format!("{config:?}"), format!("{config:#?}"), written] {
        assert!(!shown.contains("pa55"), "{shown}");
    }
    let raw: super::super::RawConfig = toml::from_str(&text).expect("it is TOML");
    assert!(!format!("{raw:?}").contains("pa55"));
}
