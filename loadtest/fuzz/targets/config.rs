//! A configuration as an operator might type it, with variables over it: understood, or refused with places.
#![no_main]

use stentor::config::Config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Secrets may be read from files: not from those that a fuzzer thinks of.
    if text.contains("file") || text.contains("credential") {
        return;
    }
    let (variables, text) = text.split_once('\0').unwrap_or(("", text));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let environment = variables.map(|(name, value)| (format!("STENTOR__{name}"), value.to_owned()));
    match Config::parse("fuzz.toml", text, environment) {
        Ok(config) => assert!(!format!("{config:?}").is_empty()),
        Err(problems) => assert!(!problems.0.is_empty() && !problems.to_string().is_empty()),
    }
});
