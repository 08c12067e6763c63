//! The files in `config/`: the reference lists every key with its true default, and the other files load as intended.

use super::super::diff::needs_restart;
use super::super::shape::Shape;
use super::super::{BindKind, Config, RawConfig, diff};
use super::{parse, parse_under};

const REFERENCE: &str = include_str!("../../../config/stentor.toml");
const BENCH: &str = include_str!("../../../config/bench.toml");
const SMPP: &str = include_str!("../../../config/smpp.toml");

/// The reference with the comment marks of its defaults removed, and those of its examples too if `examples` is true.
fn uncommented(examples: bool) -> String {
    let line = |line: &'static str| match line.strip_prefix("#? ") {
        Some(example) if examples => example,
        Some(_) => line,
        None => match line.strip_prefix('#') {
            Some(default) if default.starts_with(|c: char| c.is_ascii_lowercase()) => default,
            Some(_) | None => line,
        },
    };
    REFERENCE.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_reference_names_the_defaults_truly() {
    let as_it_stands = parse(REFERENCE).expect("the reference loads");
    let with_defaults = parse(&uncommented(false)).expect("its defaults load");
    assert_ne!(REFERENCE, uncommented(false));
    assert_eq!(diff(&as_it_stands, &with_defaults), []);
    assert_eq!(as_it_stands, with_defaults);
}

/// Every leaf of a shape, as `carrier.tls.ca`.
fn leaves(path: &str, shape: &Shape, found: &mut Vec<String>) {
    match shape {
        Shape::Table(keys) => {
            for (key, inside) in keys {
                leaves(&if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") }, inside, found);
            }
        }
        Shape::List(inside) if !inside.keys().is_empty() => leaves(path, inside, found),
        Shape::List(_) | Shape::OneOrMany(_) | Shape::Map(_) | Shape::Choice(_) | Shape::Text | Shape::Other => {
            found.push(path.to_owned());
        }
    }
}

/// Every leaf of a value, in the same form.
fn written(path: &str, value: &toml::Value, shape: &Shape, found: &mut Vec<String>) {
    if let (toml::Value::Table(table), Shape::Table(_)) = (value, shape) {
        for (key, value) in table {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match shape.key(key) {
                Some(inside) => written(&path, value, inside, found),
                None => found.push(format!("{path} is not a known key")),
            }
        }
    } else if let (toml::Value::Array(array), Shape::List(inside)) = (value, shape)
        && !inside.keys().is_empty()
    {
        array.iter().for_each(|element| written(path, element, inside, found));
    } else {
        found.push(path.to_owned());
    }
    found.sort();
    found.dedup();
}

#[test]
fn the_reference_marks_what_needs_a_restart() {
    let (mut section, mut comment, mut marked) = (String::new(), String::new(), 0);
    for line in REFERENCE.lines() {
        let key = line.trim_start_matches("#? ").trim_start_matches('#').split_once(" = ").map(|(key, _)| key);
        match key.filter(|key| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')) {
            Some(key) => {
                let path = format!("{section}.{key}");
                assert_eq!(comment.contains("(start)"), needs_restart(&path), "{path}");
                marked += usize::from(needs_restart(&path));
            }
            None if line.starts_with('[') => section = line.trim_matches(['[', ']']).to_owned(),
            None if line.is_empty() => comment.clear(),
            None => comment.push_str(line),
        }
    }
    assert_eq!(marked, 14);
}

#[test]
fn the_reference_names_every_key() {
    let shape = Shape::of::<RawConfig>();
    let (mut known, mut named) = (Vec::new(), Vec::new());
    leaves("", &shape, &mut known);
    known.sort();
    let all: toml::Value = toml::from_str(&uncommented(true)).expect("every line of the reference is TOML");
    written("", &all, &shape, &mut named);
    assert_eq!(known, named);
    assert!(known.len() > 100, "the probe found only {} keys", known.len());
}

#[test]
fn what_is_written_out_has_the_keys_of_the_file() {
    let password = [("STENTOR__CARRIER__EXAMPLE__PASSWORD", "secret")];
    let config = parse_under(&uncommented(true), &password).expect("the reference with its examples loads");
    let shape = Shape::of::<RawConfig>();
    let (mut known, mut shown) = (Vec::new(), Vec::new());
    leaves("", &shape, &mut known);
    written("", &toml::Value::try_from(&config).expect("it is TOML"), &shape, &mut shown);
    known.retain(|path| {
        !["carrier.port", "route.failover", "carrier.tlvs.text", "test.expect.reject"].contains(&path.as_str())
    });
    known.sort();
    shown.retain(|path| path != "test.expect.reject");
    assert_eq!(known, shown);
}

#[test]
fn bench_is_what_measurements_from_outside_depend_on() {
    let config = parse(BENCH).expect("bench.toml loads");
    assert_eq!(config.http.listen, ["127.0.0.1:8080".parse().expect("an address")]);
    assert!(config.tenants.is_empty() && config.http.tls.is_none());
    assert_eq!(config.node.data_dir.to_str(), Some("./bench-data"));
    let [carrier] = config.carriers.as_slice() else { panic!("one carrier") };
    assert_eq!((carrier.name.as_str(), carrier.hosts[0].to_string().as_str()), ("bench", "127.0.0.1:2775"));
    assert_eq!((carrier.system_id.as_str(), carrier.password.reveal()), ("stentor", "stentor"));
    assert_eq!((carrier.window, carrier.binds, carrier.registered_delivery), (2_000, 0, 1));
    assert_eq!((carrier.rate_parts_per_s, carrier.bind_rate_parts_per_s), (None, None));
    assert_eq!(carrier.bind, BindKind::Transceiver);
    let [route] = config.routes.as_slice() else { panic!("one route") };
    assert!(route.when.is_always());
    assert_eq!(route.carriers[0].name, "bench");

    let moved = [("STENTOR__NODE__DATA_DIR", "/mnt/fast"), ("STENTOR__CARRIER__BENCH__PORT", "2999")];
    let config = parse_under(BENCH, &moved).expect("bench.toml loads");
    assert_eq!(config.node.data_dir.to_str(), Some("/mnt/fast"));
    assert_eq!(config.carriers[0].hosts[0].to_string(), "127.0.0.1:2999");
}

#[test]
fn damaged_files_are_told_about_and_never_more() {
    let lines: Vec<&str> = REFERENCE.lines().filter(|line| !line.starts_with("# ")).collect();
    for at in 0..lines.len() {
        let without: Vec<&str> =
            lines.iter().enumerate().filter(|(line, _)| *line != at).map(|(_, line)| *line).collect();
        let cut = lines[..at].join("\n") + "\n" + &lines[at][..lines[at].len() / 2];
        for damaged in [without.join("\n"), cut, uncommented(true).replacen(lines[at], "\u{fc}", 1)] {
            if let Err(problems) = parse(&damaged) {
                assert!(!problems.0.is_empty());
                assert!(problems.0.iter().all(|problem| !problem.what.is_empty()), "{problems}");
            }
        }
    }
}

#[test]
fn the_example_loads_with_its_credentials() {
    let directory = tempfile::tempdir().expect("a directory");
    let secrets = [
        ("north-password", "n0rth\n"),
        ("south-password", "s0uth"),
        ("shop-key", "0123456789abcdef\n"),
        ("operations-key", "fedcba9876543210\n"),
    ];
    for (name, value) in secrets {
        std::fs::write(directory.path().join(name), value).expect("a file");
    }
    let environment = [("CREDENTIALS_DIRECTORY".to_owned(), directory.path().display().to_string())];
    let config = Config::parse("smpp.toml", SMPP, environment).expect("smpp.toml loads");
    let carrier = |index: usize| &config.carriers[index];
    assert_eq!((carrier(0).password.reveal(), carrier(1).password.reveal()), ("n0rth", "s0uth"));
    assert_eq!(carrier(0).rate_parts_per_s, Some(500));
    assert_eq!(config.tenants[0].keys[0].reveal(), "0123456789abcdef");
    assert_eq!(config.routes[1].carriers[0].name, "south");
}
