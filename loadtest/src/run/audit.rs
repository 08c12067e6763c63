//! What happened to every message, asked of the daemon itself (`/v1/records`, timelines) and compared with what clients
//! were told and what the carrier saw. Judges; starts and breaks nothing.
//!
//! The recipient of a message gives its serial, because no recipient occurs twice in these runs.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde::Deserialize;

use super::ground::{Ground, Smsc};
use super::result::ScenarioResult;
use crate::send::report::Report;

/// Records per page.
const PAGE: u64 = 50_000;
/// Ids of one lookup (the API's limit).
const LOOKUP: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(120);
/// The class whose messages are dropped when in doubt, by default.
const DROPPED: &str = "otp";
const DROPPED_REASON: &str = "in_doubt_dropped";

/// The result of the audit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Audit {
    pub acknowledged: u64,
    pub records: u64,
    /// Acknowledged, but neither at the carrier nor given up.
    pub lost: u64,
    /// Acknowledged without a record.
    pub unrecorded: u64,
    /// Recorded more than once: accepted twice.
    pub accepted_twice: u64,
    pub unsettled: u64,
    /// How often the carrier took a message again after the first time.
    pub repeats: u64,
    /// Repeated messages that never were in the ledger.
    pub repeats_unlisted: u64,
    /// Repeated messages of a class that drops messages in doubt.
    pub repeats_dropped_class: u64,
    /// Given up (state `dead`) for whatever reason.
    pub dropped: u64,
    /// Of these: given up for another reason than a doubt, in a class that does not drop, or without having been in doubt.
    pub dropped_wrongly: u64,
    /// One example of each kind of error, for the investigation.
    pub examples: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    id: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    class: String,
    #[serde(default)]
    state: String,
    #[serde(default, rename = "final")]
    is_final: bool,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Found {
    messages: Vec<Shown>,
}

#[derive(Debug, Deserialize)]
struct Shown {
    id: String,
    #[serde(default)]
    timeline: Vec<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    event: String,
}

/// Serials for which more than the record must be known, by id: serial and class.
type Watched = HashMap<String, (u64, String)>;

impl Audit {
    /// Queries everything; the daemon must be up and every message settled. `first`: the recipient of serial 0.
    pub(super) fn take(ground: &Ground, smsc: &mut Smsc, report: &Report, first: u64) -> Result<Self, String> {
        let upto = report.acknowledged.last().map_or(0, |(_, to)| *to);
        let repeated: BTreeSet<u64> = smsc.repeated(usize::MAX)?.into_iter().collect();
        let missing: BTreeSet<u64> = smsc.missing(upto, usize::MAX)?.into_iter().collect();
        let mut audit = Self { acknowledged: report.acknowledged_count(), ..Self::default() };
        audit.repeats = smsc.stats(None)?.messages.repeats;
        let mut seen = vec![0_u8; usize::try_from(upto).unwrap_or_default()];
        let (mut watched, mut dropped) = (Watched::new(), BTreeSet::new());
        each_record(ground, |line| {
            let Some(serial) = line.to.trim_start_matches('+').parse().ok().and_then(|to: u64| to.checked_sub(first))
            else {
                return;
            };
            audit.records += 1;
            if let Some(times) = usize::try_from(serial).ok().and_then(|serial| seen.get_mut(serial)) {
                audit.accepted_twice += u64::from(*times == 1);
                *times = times.saturating_add(1);
            }
            if !line.is_final {
                audit.unsettled += 1;
                audit.example("unsettled", &line);
            }
            let is_dead = line.state == "dead";
            if is_dead {
                audit.dropped += 1;
                dropped.insert(serial);
                if line.class != DROPPED || line.reason != DROPPED_REASON {
                    audit.dropped_wrongly += 1;
                    audit.example("dead", &line);
                }
            }
            if is_dead || repeated.contains(&serial) {
                watched.insert(line.id, (serial, line.class));
            }
        })?;
        for serial in (0..upto).filter(|serial| report.is_acknowledged(*serial)) {
            audit.unrecorded += u64::from(seen[serial as usize] == 0);
            if missing.contains(&serial) && !dropped.contains(&serial) {
                audit.lost += 1;
                audit.note(format!("lost: serial {serial}"));
            }
        }
        audit.judge_watched(ground, &watched, &repeated)?;
        Ok(audit)
    }

    fn judge_watched(&mut self, ground: &Ground, watched: &Watched, repeated: &BTreeSet<u64>) -> Result<(), String> {
        let ids: Vec<&String> = watched.keys().collect();
        for ids in ids.chunks(LOOKUP) {
            for shown in lookup(ground, ids)? {
                let Some((serial, class)) = watched.get(&shown.id) else { continue };
                let was_in_doubt = shown.timeline.iter().any(|event| event.event == "in_doubt");
                if repeated.contains(serial) {
                    self.repeats_unlisted += u64::from(!was_in_doubt);
                    self.repeats_dropped_class += u64::from(class == DROPPED);
                    if !was_in_doubt || class == DROPPED {
                        self.note(format!("repeated: serial {serial}, {class}, {shown:?}"));
                    }
                } else if !was_in_doubt {
                    self.dropped_wrongly += 1;
                    self.note(format!("dead: serial {serial}, {class}, {shown:?}"));
                }
            }
        }
        let known: BTreeSet<u64> = watched.values().map(|(serial, _)| *serial).collect();
        self.repeats_unlisted += repeated.difference(&known).count() as u64;
        Ok(())
    }

    fn example(&mut self, what: &str, line: &Line) {
        self.note(format!("{what}: {line:?}"));
    }

    fn note(&mut self, what: String) {
        let kind = what.split(':').next().unwrap_or_default();
        if !self.examples.iter().any(|known| known.starts_with(kind)) {
            self.examples.push(what);
        }
    }

    /// Adds the figures and claims to the verdict.
    pub(super) fn tell(&self, result: &mut ScenarioResult) {
        result.figure("acknowledged", self.acknowledged);
        result.figure("records", self.records);
        result.figure("lost", self.lost);
        result.figure("submitted again", self.repeats);
        result.figure("given up", self.dropped);
        for example in &self.examples {
            result.figure("example", example.as_str());
        }
        result.claim("something was acknowledged", self.acknowledged > 0);
        result.claim("nothing acknowledged was lost", self.lost == 0 && self.unrecorded == 0);
        result.claim("nothing was accepted twice", self.accepted_twice == 0);
        result.claim("every message reached a final state", self.unsettled == 0);
        result.claim("messages that came twice were in the ledger", self.repeats_unlisted == 0);
        result.claim("no message of a class that drops came twice", self.repeats_dropped_class == 0);
        result.claim("messages given up were in doubt, in a class that drops", self.dropped_wrongly == 0);
    }
}

fn each_record(ground: &Ground, mut each: impl FnMut(Line)) -> Result<(), String> {
    let mut cursor = String::new();
    loop {
        let target = match cursor.as_str() {
            "" => format!("/v1/records?limit={PAGE}"),
            cursor => format!("/v1/records?limit={PAGE}&cursor={cursor}"),
        };
        let (status, body) = ground.get(&target, PATIENCE)?;
        let mut count = 0;
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line =
                serde_json::from_slice(line).map_err(|error| format!("records: HTTP {status}: {error}"))?;
            match line.cursor {
                Some(next) => cursor = next,
                None => {
                    count += 1;
                    each(line);
                }
            }
        }
        if count == 0 {
            return Ok(());
        }
    }
}

fn lookup(ground: &Ground, ids: &[&String]) -> Result<Vec<Shown>, String> {
    let (_, answer) = ground.post("/v1/messages/lookup", &serde_json::json!({ "ids": ids }).to_string(), PATIENCE)?;
    let found: Found = serde_json::from_slice(&answer).map_err(|error| format!("lookup: {error}"))?;
    Ok(found.messages)
}
