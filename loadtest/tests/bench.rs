//! `loadtest bench` as a user would run it, at its smallest size: its output is complete, and can be compared with
//! itself. Speeds are not checked.

mod stage;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use stage::daemon::stentor;

fn bench(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.arg("bench").args(arguments).current_dir(directory).output().expect("loadtest bench runs")
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// A CPU that this test may use.
fn a_cpu() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a list of CPUs");
    list.trim().split(['-', ',']).next().expect("a CPU").to_owned()
}

/// In a directory without a checkout: the configuration is built in.
#[test]
fn the_smallest_bench_writes_figures_and_a_report() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let at = directory.path();
    let stentor = stentor().display().to_string();
    let place = at.display().to_string();
    let cpu = a_cpu();
    let small = ["--size", "tiny", "--repeats", "1", "--only", "limits,million,peak", "--cpus-load", &cpu];
    let output = bench(&[&small[..], &["--stentor", &stentor, "--dir", &place, "--stall", "60"]].concat(), at);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));

    let json = std::fs::read_to_string(at.join("bench.json")).expect("figures");
    let outcome: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&outcome["format"], &outcome["size"]), (&1.into(), &"tiny".into()));
    assert_eq!(outcome["placement"]["generator"], cpu.as_str());
    assert!(outcome["machine"]["cpus"].as_u64().is_some_and(|cpus| cpus > 0), "{}", outcome["machine"]);
    assert!(outcome["subject"]["version"].as_str().is_some_and(|version| version.starts_with("stentor")));
    assert!(!json.contains("\"password\": \"stentor\""), "a secret of the configuration");
    let measurements = outcome["measurements"].as_array().expect("measurements");
    let million = measurements.iter().find(|one| one["name"] == "million").expect("million");
    let figure = |name: &str| {
        let figures = million["figures"].as_array().expect("figures");
        figures.iter().find(|figure| figure["name"] == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    assert_eq!(figure("accepted")["median"], figure("accepted, by its own count")["median"]);
    assert_eq!(
        (&figure("end to end/s")["unit"], &figure("end to end/s")["better"]),
        (&"msg/s".into(), &"higher".into())
    );
    assert!(figure("end to end/s")["median"].as_f64().is_some_and(|rate| rate > 0.0));
    assert!(million["model"].as_str().is_some_and(|model| model.starts_with("closed loop")));
    assert!(million["durability"].as_str().is_some_and(|words| !words.is_empty()));
    let limits = outcome["limits"].as_array().expect("limits");
    for name in ["limit-disk", "limit-loopback", "limit-parse"] {
        assert!(limits.iter().any(|limit| limit["name"] == name), "{name}");
    }
    let left_out = outcome["left_out"].as_array().expect("what was left out");
    assert!(left_out.iter().any(|left| left["name"] == "sweep"), "{left_out:?}");

    let html = std::fs::read_to_string(at.join("bench.html")).expect("a report");
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>"));
    assert!(!html.contains("NaN") && !html.contains("<script") && !html.contains("https:"));
    results_are_compared_and_rendered_again(at, &json);
}

fn results_are_compared_and_rendered_again(at: &Path, json: &str) {
    let same = bench(&["--compare", "bench.json", "bench.json"], at);
    assert!(same.status.success(), "{}", text(&same.stdout));

    let mut slower: Value = serde_json::from_str(json).expect("JSON");
    let figures = slower["measurements"][0]["figures"].as_array_mut().expect("figures");
    let speed = figures.iter_mut().find(|figure| figure["name"] == "end to end/s").expect("a speed");
    for part in ["min", "median", "max"] {
        speed[part] = (speed[part].as_f64().expect("a number") / 2.0).into();
    }
    std::fs::write(at.join("slower.json"), slower.to_string()).expect("a file");
    let worse = bench(&["--compare", "bench.json", "slower.json", "--fail", "5%"], at);
    assert_eq!(worse.status.code(), Some(1), "{}", text(&worse.stdout));
    assert!(text(&worse.stdout).contains("WORSE"), "{}", text(&worse.stdout));
    let lenient = bench(&["--compare", "bench.json", "slower.json", "--fail", "60%"], at);
    assert!(lenient.status.success(), "{}", text(&lenient.stdout));

    let again = bench(&["--render", "bench.json", "--html", "again.html"], at);
    assert!(again.status.success() && at.join("again.html").is_file(), "{}", text(&again.stderr));
}

#[test]
fn what_cannot_be_done_is_told_with_a_code_of_its_own() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    std::fs::write(directory.path().join("other.json"), "{\"scenario\":\"million\"}").expect("a file");
    for (arguments, told) in [
        (&["--compare", "other.json", "other.json"][..], "not a result"),
        (&["--compare", "a.json", "b.json"], "a.json"),
        (&["--render", "missing.json"], "missing.json"),
        (&["--size", "tiny", "--target", "https://127.0.0.1:1"], "http://HOST:PORT"),
        (&["--size", "tiny", "--target", "http://127.0.0.1:1", "--smsc-listen", "127.0.0.1:0"], "readyz"),
        (&["--size", "tiny", "--stentor", "/no/such/stentor"], "/no/such/stentor"),
        (&["--compare", "a.json", "b.json", "--fail", "much"], "much"),
        (&["--cpus-daemon", "3-1"], "3-1"),
    ] {
        let output = bench(arguments, directory.path());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(told), "{arguments:?}: {}", text(&output.stderr));
    }
}

/// A daemon that this run did not start: found by its URL, with the simulator at the address where it expects its carrier.
#[test]
fn a_daemon_elsewhere_is_measured_from_outside() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let at = directory.path();
    let carrier = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("its address")
    };
    let daemon = stage::bench_daemon::Daemon::start(&at.join("data"), carrier, &[]);
    let (url, listen) = (daemon.url(), carrier.to_string());
    let arguments =
        ["--size", "tiny", "--repeats", "1", "--target", &url, "--smsc-listen", &listen, "--json", "far.json"];
    let output = bench(&arguments, at);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let outcome: Value = serde_json::from_slice(&std::fs::read(at.join("far.json")).expect("figures")).expect("JSON");
    let names: Vec<_> =
        outcome["measurements"].as_array().expect("measurements").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["million", "single", "sweep"]);
    assert_eq!(outcome["target"], url.as_str());
    let left_out = outcome["left_out"].as_array().expect("what was left out");
    assert!(left_out.iter().any(|left| left["name"] == "restart"), "{left_out:?}");
}
