//! `send`, `status`, `in-doubt`, `restored` and `backup` as whole commands, against a server that answers by a script.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use clap::Parser;

use super::consent::Person;
use super::exit::{Exit, Failure};
use super::{Arguments, Command, backup, in_doubt, inbound, restored, send, status};

/// Gives one answer per connection, in order; returns the request lines and bodies. Status 0: closes instead of an answer.
fn script(answers: &'static [(u16, &'static str)]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    let serving = thread::spawn(move || {
        answers
            .iter()
            .map(|(status, body)| {
                let (mut stream, _) = listener.accept().expect("connection");
                let mut request = String::new();
                while !is_whole(&request) {
                    let mut chunk = [0; 4096];
                    let read = stream.read(&mut chunk).expect("request");
                    request.push_str(&String::from_utf8_lossy(&chunk[..read]));
                }
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                if *status > 0 {
                    stream.write_all(head.as_bytes()).expect("answered");
                }
                let (head, body) = request.split_once("\r\n\r\n").expect("head");
                format!("{} {body}", head.split(" HTTP/1.1").next().expect("request line")).trim_end().to_owned()
            })
            .collect()
    });
    (url, serving)
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().expect("length"))
}

struct Ran {
    exit: Exit,
    out: String,
    asked: Vec<String>,
}

/// Runs a command with no person at the terminal.
fn ran(words: &str, answers: &'static [(u16, &'static str)]) -> Ran {
    ran_before(words, answers, None)
}

/// Runs a command with a person who answers `says`; also returns the questions.
fn ran_asking(words: &str, answers: &'static [(u16, &'static str)], says: bool) -> (Vec<String>, Ran) {
    let mut asked = Vec::new();
    let ran = ran_before(
        words,
        answers,
        Some(&mut |question: &str| {
            asked.push(question.to_owned());
            says
        }),
    );
    (asked, ran)
}

fn ran_before(words: &str, answers: &'static [(u16, &'static str)], person: Option<Person<'_>>) -> Ran {
    let (url, serving) = script(answers);
    let words = format!("stentor {words} --url {url}");
    let typed = Arguments::try_parse_from(words.split_whitespace()).expect("arguments");
    let mut out = Vec::new();
    let ended = match typed.command {
        Command::Send(typed) => send::run(typed, &mut out),
        Command::Status(typed) => status::run(typed, &mut out),
        Command::InDoubt(typed) => in_doubt::run_before(&typed, &mut out, person),
        Command::Restored(typed) => restored::run_before(&typed, &mut out, person),
        Command::Backup(typed) => backup::run(typed, &mut out),
        Command::Inbound(typed) => inbound::run(typed, &mut out),
        Command::Dev(_)
        | Command::Serve(_)
        | Command::Check(_)
        | Command::Doctor(_)
        | Command::Reload(_)
        | Command::Restore(_)
        | Command::Papers(_) => panic!("speaks to no server"),
    };
    let exit = ended.unwrap_or_else(|Failure { exit, what }| {
        writeln!(out, "{}", what.replace(&url, "URL")).expect("memory");
        exit
    });
    let out = String::from_utf8(out).expect("text").replace(&url, "URL");
    Ran { exit, out, asked: serving.join().expect("the script was played to its end") }
}

#[test]
fn a_message_is_sent_and_its_id_printed() {
    let Ran { exit, out, asked } = ran("send --to +491 --body Hi --key k", &[(202, r#"{"results":[{"id":"a-1"}]}"#)]);
    assert_eq!((exit, out.as_str()), (Exit::DONE, "a-1\n"));
    assert_eq!(asked, [r#"POST /v1/messages {"body":"Hi","key":"k","to":"+491"}"#]);
}

#[test]
fn each_change_of_state_is_told_until_the_end() {
    let told = &[
        (202, r#"{"id":"a"}"#),
        (200, r#"{"id":"a","state":"queued"}"#),
        (200, r#"{"id":"a","state":"queued"}"#),
        (200, r#"{"id":"a","state":"submitted"}"#),
        (200, r#"{"id":"a","state":"delivered"}"#),
    ];
    let Ran { exit, out, asked } = ran("send --to +491 --body Hi --wait", told);
    assert_eq!((exit, out.as_str()), (Exit::DONE, "a\na  queued\na  submitted\na  delivered\n"));
    assert_eq!(asked[4], "GET /v1/messages/a");
}

#[test]
fn what_did_not_arrive_is_a_failure() {
    let told = &[(202, r#"{"id":"a"}"#), (200, r#"{"id":"a","state":"undelivered"}"#)];
    let Ran { exit, out, .. } = ran("send --to +491 --body Hi --wait --json", told);
    assert_eq!((exit, out.as_str()), (Exit::FAILED, "[{\"id\":\"a\",\"state\":\"undelivered\"}]\n"));
}

#[test]
fn one_refused_among_several_fails_and_the_others_are_told() {
    let told = &[(202, r#"{"results":[{"id":"a"},{"error":{"code":"invalid_recipient","detail":"short"}}]}"#)];
    let Ran { exit, out, .. } = ran("send --to +491 --to 1 --body Hi", told);
    assert_eq!((exit, out.as_str()), (Exit::FAILED, "a\n"));
}

#[test]
fn a_refusal_says_code_detail_and_page() {
    let told = &[(422, r#"{"code":"invalid_recipient","detail":"short","doc_url":"/docs/errors/invalid_recipient"}"#)];
    let Ran { exit, out, .. } = ran("send --to 1 --body Hi", told);
    let text = "invalid_recipient (HTTP 422): short\n  see URL/docs/errors/invalid_recipient\n";
    assert_eq!((exit, out.as_str()), (Exit::FAILED, text));
}

#[test]
fn status_of_the_daemon_is_five_questions() {
    let told = &[
        (503, r#"{"ready":false,"reasons":["draining"]}"#),
        (200, r#"{"depth":3}"#),
        (200, r#"{"carriers":[]}"#),
        (200, r#"{"limits":[]}"#),
        (200, r#"{"restored":false}"#),
    ];
    let Ran { exit, out, asked } = ran("status", told);
    assert_eq!(exit, Exit::UNAVAILABLE);
    assert!(out.starts_with("URL is not ready: draining\n\nqueues: 3 ready, - scheduled"), "{out}");
    assert_eq!(asked, ["GET /readyz", "GET /v1/queues", "GET /v1/carriers", "GET /v1/limits", "GET /v1/restored"]);
    let Ran { out, .. } = ran("status --json", told);
    assert_eq!(
        out,
        "{\"carriers\":[],\"limits\":[],\"queues\":{\"depth\":3},\"ready\":false,\"reasons\":[\"draining\"],\
                     \"restored\":{\"restored\":false}}\n"
    );
}

#[test]
fn whether_the_daemon_is_ready_is_one_question_without_a_key() {
    let Ran { exit, out, asked } = ran("status --ready", &[(200, r#"{"ready":true,"reasons":[]}"#)]);
    assert_eq!((exit, out.as_str(), &asked[..]), (Exit::DONE, "URL is ready\n", &["GET /readyz".to_owned()][..]));
    let Ran { exit, out, .. } = ran("status --ready", &[(503, r#"{"ready":false,"reasons":["draining"]}"#)]);
    assert_eq!((exit, out.as_str()), (Exit::UNAVAILABLE, "URL is not ready: draining\n"));
}

#[test]
fn status_of_messages_is_one_question_each() {
    let told = &[(200, r#"{"id":"a","state":"queued"}"#), (404, r#"{"code":"message_not_found","detail":"no"}"#)];
    let Ran { exit, out, asked } = ran("status a b", told);
    assert_eq!((exit, out.as_str()), (Exit::FAILED, "a  queued\nmessage_not_found (HTTP 404): no\n"));
    assert_eq!(asked, ["GET /v1/messages/a", "GET /v1/messages/b"]);
}

/// The server searches for a limited time, so an answer may have no message and not be the last.
#[test]
fn what_was_sent_to_a_number_is_looked_for_to_the_end() {
    let told = &[
        (200, r#"{"messages":[{"id":"a","state":"queued"}],"next":"c1"}"#),
        (200, r#"{"messages":[],"next":"c2"}"#),
        (200, r#"{"messages":[{"id":"b","state":"delivered"}],"next":null}"#),
    ];
    let Ran { exit, out, asked } = ran("status --to +4915112345678 --since 2026-07-01T12:00:00Z --tenant *", told);
    assert_eq!((exit, out.as_str()), (Exit::DONE, "a  queued\nb  delivered\n"));
    let filters = "&since=2026-07-01T12%3A00%3A00Z&tenant=%2A";
    assert_eq!(asked[0], format!("GET /v1/messages?to=%2B4915112345678&limit=100{filters}"));
    assert_eq!(asked[2], format!("GET /v1/messages?to=%2B4915112345678&limit=99{filters}&cursor=c2"));
    let Ran { out, .. } = ran("status --to +491", &[(200, r#"{"messages":[],"next":null}"#)]);
    assert!(out.starts_with("no message to \"+491\" was accepted"), "{out}");
}

#[test]
fn the_ledger_is_read_page_by_page() {
    let told = &[(200, r#"{"in_doubt":[{"id":"a"}],"next":"01"}"#), (200, r#"{"in_doubt":[{"id":"b"}],"next":null}"#)];
    let Ran { exit, out, asked } = ran("in-doubt --carrier north --json", told);
    assert_eq!((exit, out.as_str()), (Exit::DONE, "[{\"id\":\"a\"},{\"id\":\"b\"}]\n"));
    let first = "GET /v1/in-doubt?limit=1000&carrier=north";
    assert_eq!(asked, [first.to_owned(), format!("{first}&cursor=01")]);
}

const FIRST: &str =
    "{\"id\":\"0-1-0\",\"at\":\"t\",\"from\":\"+1\",\"to\":\"2\",\"text\":\"one\"}\n{\"cursor\":\"i01\"}\n";
const SECOND: &str =
    "{\"id\":\"0-2-0\",\"at\":\"t\",\"from\":\"+1\",\"to\":\"2\",\"text\":\"two\"}\n{\"cursor\":\"i02\"}\n";
const NOTHING_MORE: &str = "{\"cursor\":\"i02\"}\n";

#[test]
fn what_came_in_is_read_until_nothing_is_left() {
    let Ran { exit, out, asked } = ran("inbound", &[(200, FIRST), (200, SECOND), (200, NOTHING_MORE)]);
    assert_eq!((exit, out.as_str()), (Exit::DONE, "t  +1 → 2  one\nt  +1 → 2  two\ncursor i02\n"));
    let first = "GET /v1/inbound?limit=1000";
    assert_eq!(asked, [first.to_owned(), format!("{first}&cursor=i01"), format!("{first}&cursor=i02")]);
    let Ran { exit, out, .. } = ran("inbound --cursor i01 --json", &[(200, NOTHING_MORE), (200, NOTHING_MORE)]);
    assert_eq!((exit, out.as_str()), (Exit::DONE, "{\"cursor\":\"i02\"}\n"));
    let Ran { exit, out, .. } = ran("inbound", &[(200, FIRST), (0, "")]);
    assert_eq!(exit, Exit::UNAVAILABLE);
    assert!(out.ends_with("closed the connection without an answer\n"), "{out}");
}

/// How long `words` waits each time, and what it does.
fn followed(words: &str, answers: &'static [(u16, &'static str)]) -> (Vec<u64>, Ran) {
    let (url, serving) = script(answers);
    let words = format!("stentor {words} --url {url}");
    let typed = Arguments::try_parse_from(words.split_whitespace()).expect("arguments");
    let Command::Inbound(typed) = typed.command else { panic!("another command") };
    let (mut out, mut waits) = (Vec::new(), Vec::new());
    let ended = inbound::run_waiting(typed, &mut out, &mut |pause| waits.push(pause.as_secs()));
    let exit = ended.unwrap_or_else(|failure| failure.exit);
    (waits, Ran { exit, out: String::from_utf8(out).expect("text"), asked: serving.join().expect("played to its end") })
}

#[test]
fn who_follows_goes_on_from_the_cursor_over_lost_connections_until_refused() {
    const TOLD: &[(u16, &str)] = &[
        (200, SECOND),
        (200, NOTHING_MORE),
        (200, NOTHING_MORE),
        (0, ""),
        (503, r#"{"code":"overloaded","detail":"busy","retryable":true}"#),
        (0, ""),
        (200, "{\"id\":\"0-3-0\"}\n{\"cursor\":\"i03\"}\n"),
        (0, ""),
        (403, r#"{"code":"forbidden","detail":"no"}"#),
    ];
    let (waits, Ran { exit, out, asked }) = followed("inbound --follow --cursor i01 --json", TOLD);
    assert_eq!(exit, Exit::FAILED);
    let lines: Vec<_> = out.lines().filter(|line| line.contains("cursor") || line.contains("0-3-0")).collect();
    // After each page that had messages, so that a command that is stopped has printed its cursor.
    assert_eq!(lines, [r#"{"cursor":"i02"}"#, r#"{"id":"0-3-0"}"#, r#"{"cursor":"i03"}"#]);
    let from = |cursor: &str| format!("GET /v1/inbound?limit=1000&cursor={cursor}");
    assert_eq!(asked, ["i01", "i02", "i02", "i02", "i02", "i02", "i02", "i03", "i03"].map(from));
    assert_eq!(waits, [1, 1, 1, 2, 4, 1]);
}

#[test]
fn who_follows_a_server_that_was_never_there_is_told_at_once() {
    let (waits, Ran { exit, asked, .. }) = followed("inbound --follow", &[(0, "")]);
    assert_eq!((exit, waits.len(), asked.len()), (Exit::UNAVAILABLE, 0, 1));
}

#[test]
fn a_decision_names_its_messages_or_a_filter() {
    let told = &[(
        200,
        r#"{"resolved":1,"results":[{"id":"a","result":"sent"},{"id":"b","error":{"detail":"not any more"}}],"more":false}"#,
    )];
    let Ran { exit, out, asked } = ran("in-doubt a b --resolve sent", told);
    assert_eq!((exit, out.as_str()), (Exit::FAILED, "a sent\nb not decided: not any more\n"));
    assert_eq!(asked, [r#"POST /v1/in-doubt/resolve {"action":"sent","ids":["a","b"]}"#]);
    let told = &[
        (200, r#"{"resolved":1,"results":[{"id":"a","result":"resent"}],"more":true}"#),
        (200, r#"{"resolved":0,"results":[],"more":false}"#),
    ];
    let Ran { exit, out, asked } = ran("in-doubt --resolve resend --class otp", told);
    assert_eq!((exit, out.as_str()), (Exit::DONE, "a resent\n"));
    assert_eq!(asked, [r#"POST /v1/in-doubt/resolve {"action":"resend","filter":{"class":"otp"}}"#; 2]);
}

const LEDGER: &str =
    r#"{"in_doubt":[{"id":"a","tenant":"shop"},{"id":"b","tenant":"bank"},{"id":"c","tenant":"shop"}],"next":null}"#;
const EMPTY_LEDGER: &str = r#"{"in_doubt":[],"next":null}"#;

/// Before: it sent everything that was in doubt again, of all tenants, without a question.
#[test]
fn a_decision_over_everything_is_asked_about_or_said() {
    let Ran { exit, out, asked } = ran("in-doubt --resolve resend", &[]);
    assert!(exit == Exit::USAGE && out.contains("--all") && asked.is_empty(), "{out}");
    let (questions, Ran { exit, out, asked }) = ran_asking("in-doubt --resolve resend", &[(200, LEDGER)], false);
    assert_eq!(questions, ["Send 3 messages of 2 tenants again?"]);
    assert_eq!((exit, out.as_str()), (Exit::FAILED, "nothing was decided\n"));
    assert_eq!(asked, ["GET /v1/in-doubt?limit=1000"]);
    let told = &[(200, LEDGER), (200, r#"{"results":[{"id":"a","result":"dropped"}],"more":false}"#)];
    let (questions, Ran { exit, asked, .. }) = ran_asking("in-doubt --resolve drop --class otp", told, true);
    assert_eq!((questions.as_slice(), exit), (&["Give up 3 messages of 2 tenants?".to_owned()][..], Exit::DONE));
    // Only those that the question was about: more may be in doubt by now.
    assert_eq!(asked[1], r#"POST /v1/in-doubt/resolve {"action":"drop","ids":["a","b","c"]}"#);
    let (questions, Ran { exit, out, .. }) = ran_asking("in-doubt --resolve drop", &[(200, EMPTY_LEDGER)], true);
    assert_eq!((questions.len(), exit, out.as_str()), (0, Exit::DONE, "nothing is in doubt\n"));
    let told = &[(200, r#"{"resolved":0,"results":[],"more":false}"#)];
    let (questions, Ran { exit, out, asked }) = ran_asking("in-doubt --resolve resend --all", told, false);
    assert_eq!((questions.len(), exit, out.as_str()), (0, Exit::DONE, "nothing is in doubt\n"));
    assert_eq!(asked, [r#"POST /v1/in-doubt/resolve {"action":"resend","filter":{}}"#]);
}

#[test]
fn a_dry_run_asks_and_decides_nothing() {
    let Ran { exit, out, asked } = ran("in-doubt --resolve resend --dry-run --class otp", &[(200, LEDGER)]);
    let text = "a would be sent again\nb would be sent again\nc would be sent again\nnothing was decided: a dry run\n";
    assert_eq!((exit, out.as_str()), (Exit::DONE, text));
    assert_eq!(asked, ["GET /v1/in-doubt?limit=1000&class=otp"]);
    let Ran { exit, out, .. } = ran("in-doubt a x --resolve sent --dry-run --json", &[(200, LEDGER)]);
    let missing = r#"{"error":{"code":"not_in_doubt","detail":"it is not in doubt"},"id":"x"}"#;
    assert_eq!((exit, out), (Exit::FAILED, format!("[{{\"id\":\"a\",\"would\":\"sent\"}},{missing}]\n")));
}

const RESTORED: &str = r#"{"restored":true,"mark":"M","at":"A","classes":[
    {"class":"otp","unsent":"hold","messages":7},{"class":"marketing","unsent":"hold","messages":1}]}"#;

#[test]
fn what_a_backup_held_unsent_is_shown_and_decided_over() {
    let Ran { exit, out, .. } = ran("restored", &[(200, RESTORED)]);
    let text = "restored at A; unsent in the backup of M:\n  CLASS      MESSAGES  DECISION\n  otp        7         hold\n  \
                marketing  1         hold\n";
    assert_eq!((exit, out.as_str()), (Exit::DONE, text));
    let Ran { out, .. } = ran("restored", &[(200, r#"{"restored":false}"#)]);
    assert_eq!(out, "this installation was not restored from a backup\n");
    let Ran { exit, out, asked } = ran("restored --resolve drop", &[]);
    assert!(exit == Exit::USAGE && out.contains("--all") && asked.is_empty(), "{out}");
    let (questions, Ran { exit, asked, .. }) = ran_asking("restored --resolve drop", &[(200, RESTORED)], false);
    assert_eq!((questions.as_slice(), exit), (&["Give up 8 messages of the backup?".to_owned()][..], Exit::FAILED));
    assert_eq!(asked, ["GET /v1/restored"]);
    let told = &[(200, RESTORED), (200, r#"{"action":"resend","class":"marketing","messages":1}"#)];
    let (questions, Ran { exit, out, asked }) = ran_asking("restored --resolve resend --class marketing", told, true);
    assert_eq!(questions, ["Send 1 message of the backup, of which some may have been sent already?"]);
    assert_eq!((exit, out.as_str()), (Exit::DONE, "1 message to be sent\n"));
    assert_eq!(asked[1], r#"POST /v1/restored/resolve {"action":"resend","class":"marketing"}"#);
    let Ran { out, asked, .. } = ran("restored --resolve hold --all", &[(200, r#"{"action":"hold","messages":8}"#)]);
    assert_eq!(out, "8 messages held\n");
    assert_eq!(asked, [r#"POST /v1/restored/resolve {"action":"hold"}"#]);
    let Ran { out, asked, .. } = ran("restored --resolve drop --dry-run --class otp", &[(200, RESTORED)]);
    assert_eq!((out.as_str(), asked.len()), ("7 messages would be given up\nnothing was decided: a dry run\n", 1));
}

#[test]
fn a_wait_that_is_over_has_its_own_exit_code() {
    let told = &[(202, r#"{"id":"a"}"#), (200, r#"{"id":"a","state":"submitted"}"#)];
    let Ran { exit, out, .. } = ran("send --to +491 --body Hi --wait --timeout 0", told);
    assert_eq!((exit, out.as_str()), (Exit::STILL_OPEN, "a\na  submitted\n"));
}

#[test]
fn a_backup_that_is_refused_or_none_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("b");
    let backup = |told| ran(&format!("backup {}", file.display()), told);
    let Ran { exit, out, asked } = backup(&[(409, r#"{"code":"backup_under_way","detail":"one","retryable":true}"#)]);
    assert_eq!((exit, out.as_str()), (Exit::UNAVAILABLE, "backup_under_way (HTTP 409): one\n"));
    assert_eq!(asked, ["GET /v1/backup"]);
    let Ran { exit, out, .. } = backup(&[(200, "hello, I am no backup")]);
    assert_eq!((exit, out.as_str()), (Exit::DATA, "what the daemon sent: this is not a Stentor backup\n"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn who_does_not_answer_json_is_no_stentor() {
    let Ran { exit, out, .. } = ran("status", &[(200, "<html>")]);
    assert_eq!((exit, out.as_str()), (Exit::FAILED, "HTTP 200, not an answer from Stentor: <html>\n"));
}
