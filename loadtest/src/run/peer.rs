//! Scenario `peer`: a foreign SMSC, node-smpp, instead of the simulator: texts of every kind must arrive there
//! unchanged, all receipts must be matched, TLS must bind, and a carrier that is killed in the middle loses nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::Deserialize;

use super::ground::{Ground, GroundOptions};
use super::letters::{self, Received};
use super::process::Process;
use super::prometheus::IN_DOUBT;
use super::result::ScenarioResult;
use crate::http::Connection;

const LINES_PER_REQUEST: u64 = 100;
/// Most ids per lookup.
const IDS_PER_LOOKUP: usize = 1_000;
const TICK: Duration = Duration::from_millis(200);
/// The middle is checked often: small rounds end soon.
const MIDDLE_TICK: Duration = Duration::from_millis(10);
const TIMEOUT: Duration = Duration::from_secs(60);

/// Sizes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// Messages
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// Script that starts the SMSC; gets --port and --journal, and with --tls also --key and --cert
    #[arg(long, value_name = "FILE", default_value = "loadtest/peers/node-smsc.sh")]
    smsc: PathBuf,
    /// Bind over TLS
    #[arg(long)]
    tls: bool,
    /// Kill the SMSC in the middle and start it again
    #[arg(long)]
    kill: bool,
}

#[derive(Deserialize)]
struct Accepted {
    id: Option<String>,
}

#[derive(Deserialize)]
struct Found {
    messages: Vec<State>,
}

#[derive(Deserialize)]
struct State {
    id: String,
    /// Absent if the id is unknown.
    state: Option<String>,
}

/// Plays the scenario.
pub(super) fn play(options: &Options) -> Result<ScenarioResult, String> {
    let mut ground = Ground::prepare(&options.ground)?;
    let journal = ground.path().join("journal.ndjson");
    let mut arguments = vec!["--journal".to_owned(), journal.display().to_string()];
    if options.tls {
        arguments.extend(make_certificate(&mut ground)?);
    }
    let start = |ground: &Ground, number: u32| {
        let mut command = Command::new(&options.smsc);
        command.args(["--port", &ground.smpp_port().to_string()]).args(&arguments);
        Process::start(&format!("node-smsc-{number}"), ground.path(), &mut command)
    };
    let mut smsc = start(&ground, 1)?;
    wait_until("the SMSC listens", TICK, || Ok(smsc.output().contains("listening")))?;
    let (mut stentor, _) = ground.start_stentor()?;
    let ids = offer(&ground, options.count)?;
    if options.kill {
        wait_until("the middle", MIDDLE_TICK, || Ok(read(&journal).parts >= options.count / 2))?;
        smsc.signal(Signal::KILL);
        smsc.wait(TIMEOUT)?;
        smsc = start(&ground, 2)?;
    }
    let mut waiting = ids.clone();
    // The claims below name the messages that stay undelivered.
    let ended = wait_until("delivery and its receipts", TICK, || {
        smsc.check_alive()?;
        stentor.check_alive()?;
        drop_delivered(&ground, &mut waiting)?;
        Ok(waiting.is_empty() && read(&journal).owed() == 0)
    });
    if let Err(error) = ended {
        eprintln!("{error}");
    }
    let in_doubt = ground.metrics().sum(IN_DOUBT).unwrap_or(0.0) as u64;
    Ok(judge(options, &ids, &waiting, &read(&journal), in_doubt))
}

fn judge(
    options: &Options,
    ids: &[String],
    undelivered: &[String],
    received: &Received,
    in_doubt: u64,
) -> ScenarioResult {
    let count = options.count;
    let (equal, twice) = (received.count_equal(count), received.count_twice());
    let delivered = (ids.len() - undelivered.len()) as u64;
    let mut result = ScenarioResult::new("peer");
    result.figure("accepted", ids.len());
    result.figure("parts received", received.parts);
    result.figure("receipts taken", received.acknowledged);
    result.figure("messages received twice", twice);
    result.figure("in doubt", in_doubt);
    if let Some(id) = undelivered.first() {
        result.figure("not delivered, for example", id.as_str());
    }
    result.claim("every message was accepted", ids.len() as u64 == count);
    result.claim(format!("all {count} texts arrived unchanged: {equal}"), equal == count);
    result.claim(format!("all {count} are delivered: {delivered}"), delivered == count);
    result.claim("every receipt was taken", received.owed() == 0);
    if options.kill {
        result.claim("no more came twice than was in doubt", twice <= in_doubt);
    } else {
        result.claim("every receipt was taken once", received.acknowledged == received.parts);
        result.claim("no message came twice, none was in doubt", twice == 0 && in_doubt == 0);
    }
    result
}

fn read(journal: &Path) -> Received {
    Received::read(&fs::read_to_string(journal).unwrap_or_default())
}

fn wait_until(what: &str, tick: Duration, mut is_so: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let begun = Instant::now();
    while !is_so()? {
        if begun.elapsed() > 2 * TIMEOUT {
            return Err(format!("waited too long for {what}"));
        }
        thread::sleep(tick);
    }
    Ok(())
}

fn offer(ground: &Ground, count: u64) -> Result<Vec<String>, String> {
    let mut connection = Connection::connect(ground.http(), TIMEOUT).map_err(|error| error.to_string())?;
    let mut ids = Vec::new();
    for first in (0..count).step_by(LINES_PER_REQUEST as usize) {
        let body: String = (first..count.min(first + LINES_PER_REQUEST)).map(letters::line).collect();
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
            ground.http(),
            body.len()
        );
        let response = connection.exchange(head.as_bytes(), body.as_bytes()).map_err(|error| error.to_string())?;
        let results: Vec<Accepted> = serde_json::from_slice(response.body)
            .map_err(|error| format!("{}: {error}: {}", response.status, String::from_utf8_lossy(response.body)))?;
        ids.extend(results.into_iter().filter_map(|accepted| accepted.id));
    }
    Ok(ids)
}

/// Asks for the states of the waiting messages, and removes the delivered ones.
fn drop_delivered(ground: &Ground, waiting: &mut Vec<String>) -> Result<(), String> {
    let mut connection = Connection::connect(ground.http(), TIMEOUT).map_err(|error| error.to_string())?;
    let mut still = Vec::new();
    for ids in waiting.chunks(IDS_PER_LOOKUP) {
        let body = serde_json::json!({ "ids": ids }).to_string();
        let head = format!(
            "POST /v1/messages/lookup HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            ground.http(),
            body.len()
        );
        let response = connection.exchange(head.as_bytes(), body.as_bytes()).map_err(|error| error.to_string())?;
        let found: Found = serde_json::from_slice(response.body)
            .map_err(|error| format!("{}: {error}: {}", response.status, String::from_utf8_lossy(response.body)))?;
        let open = found.messages.into_iter().filter(|message| message.state.as_deref() != Some("delivered"));
        still.extend(open.map(|message| message.id));
    }
    *waiting = still;
    Ok(())
}

/// Makes a certificate for 127.0.0.1; gives the SMSC's arguments. Stentor is told to trust it.
fn make_certificate(ground: &mut Ground) -> Result<[String; 4], String> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
        .map_err(|error| format!("certificate: {error}"))?;
    let (cert, key) = (ground.path().join("cert.pem"), ground.path().join("key.pem"));
    fs::write(&cert, made.cert.pem()).map_err(|error| error.to_string())?;
    fs::write(&key, made.signing_key.serialize_pem()).map_err(|error| error.to_string())?;
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    ground.set_carrier("TLS__CA", &cert);
    Ok(["--key".to_owned(), key, "--cert".to_owned(), cert])
}
