//! The daemon in poor surroundings: its log is not read, or it may open few files.

mod stage;

use std::io::Write;
use std::net::TcpStream;

use rustix::process::Signal;
use serde_json::json;

use stage::daemon::Daemon;

/// Size of a pipe on Linux.
const PIPE_BYTES: usize = 64 << 10;

/// Carriers that do not exist: each is reported in the log again and again.
fn config() -> String {
    let carrier = |number: u8| {
        format!(
            "[[carrier]]\nname = \"c{number}\"\nhosts = [\"127.0.0.1:1\"]\nsystem_id = \"me\"\n\
             reconnect_min = \"100ms\"\nreconnect_max = \"200ms\"\n"
        )
    };
    let carriers: String = (0..10).map(carrier).collect();
    format!("[log]\nlevel = \"debug\"\n{carriers}[[route]]\nname = \"all\"\ncarriers = [{{ name = \"c0\" }}]\n")
}

fn metric(daemon: &Daemon, name: &str) -> Option<f64> {
    let (_, text) = daemon.call("GET", "/metrics", &[], "");
    let text = text.as_str().expect("text").to_owned();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn takes_messages(daemon: &Daemon) {
    let (status, answer) = daemon.post("/v1/messages", &json!({"to": "+4915112345678", "body": "hello"}));
    assert_eq!(status, 202, "{answer}");
}

#[test]
fn a_log_without_a_reader_stops_nothing() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(&[b'x'; PIPE_BYTES]).expect("room for as much");
    let mut daemon = Daemon::new("drain_timeout = \"1s\"", &config());
    daemon.start_telling(writer.try_clone().expect("a copy").into(), writer.into());
    takes_messages(&daemon);
    assert_eq!(daemon.call("GET", "/livez", &[], "").0, 200);
    let (status, _) = daemon.end(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    drop(reader);
}

#[test]
fn a_log_whose_reader_is_gone_costs_its_lines() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut daemon = Daemon::new("drain_timeout = \"1s\"", &config());
    daemon.start_telling(writer.try_clone().expect("a copy").into(), writer.into());
    takes_messages(&daemon);
    let dropped = || metric(&daemon, "stentor_log_lines_dropped_total ").is_some_and(|lines| lines > 0.0);
    daemon.until("lines are dropped", dropped);
    let (status, _) = daemon.end(Signal::TERM);
    assert_eq!(status.code(), Some(0));
}

#[test]
fn the_limit_of_descriptors_is_raised_as_far_as_it_may_be() {
    let mut daemon = Daemon::new("shards = 2\ncores = 2", &config());
    daemon.start_after("ulimit -Sn 200");
    assert!(metric(&daemon, "process_max_fds ").is_some_and(|most| most > 200.0));
}

#[test]
fn too_few_descriptors_are_refused_with_a_word() {
    let mut daemon = Daemon::new("shards = 2\ncores = 2", &config());
    assert_eq!(daemon.refuses_after("ulimit -n 128"), Some(78));
    assert!(daemon.log().contains("only 128 file descriptors are allowed"), "{}", daemon.log());
}

#[test]
fn strangers_who_only_connect_leave_the_store_its_descriptors() {
    let mut daemon = Daemon::new("shards = 2\ncores = 2", &config());
    daemon.start_after("ulimit -n 256");
    assert!(daemon.log().contains("too few descriptors for http.connections_max"), "{}", daemon.log());
    let connections: Vec<_> = (0..300).map_while(|_| TcpStream::connect(daemon.http()).ok()).collect();
    assert!(connections.len() > 200, "{}", connections.len());
    drop(connections);
    daemon.until("messages are taken again", || {
        let headers = ["Content-Type: application/json"];
        let body = r#"{"to": "+4915112345678", "body": "hello"}"#;
        daemon.try_call("POST", "/v1/messages", &headers, body).is_some_and(|(status, _)| status == 202)
    });
    assert_eq!(metric(&daemon, "stentor_http_accept_backoffs_total "), Some(0.0));
}
