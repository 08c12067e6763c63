//! `POST /v1/messages`: the body to frames, the frames to shards, their results to one answer. No frame is sent before the
//! whole body was read and found valid; no answer is given before every shard that got a frame has answered.

use std::rc::Rc;

use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER},
};

use super::{
    api::{Answered, Api, Asked, Settings, typed},
    auth::{Caller, Scope},
    body::{ResponseBody, Whole},
    door::PendingReply,
    ingest::{Ingest, Terms},
    items::Form,
    memory::Room,
    problem::{Code, Problem},
    query,
    report::{ParcelResult, Report, Tally},
};
use crate::host::executor;
use stentor_core::{
    admission::{Charge, Parcel, Rules, Tenant},
    model::{KeyPrint, Quoted, ReplyTo, TenantId, limits},
    shard::{Ask, Claimed, Reply},
};

/// Bytes that are read, hashed or written between two looks at the clock. Lines take 3 to 20 ns per byte.
const SLICE: usize = 32 << 10;
/// Up to this many results an answer is written in one piece; with more it is made while the client takes it.
const WHOLE_MAX: u64 = 1_024;
/// Approximate bytes of one piece of such an answer.
const PIECE: usize = 16 << 10;

/// The value of `ack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ack {
    Full,
    Summary,
}

impl Api {
    pub(super) async fn submit(
        self: &Rc<Self>,
        asked: Asked,
        caller: Caller<'_>,
        settings: &Settings,
        tally: &mut Tally,
    ) -> Answered {
        let tenant = caller.tenant;
        let form = form(asked.head.headers.get(CONTENT_TYPE))?;
        let ack = ack(asked.query())?;
        let key = request_key(&asked.head.headers)?;
        let body = asked.body.whole().await?;
        let request = match key {
            Some(key) => Some(self.print(tenant, key, &body).await),
            None => None,
        };
        let (parcels, mut report, mut charge) = self.plan(&body, form, request, caller, settings).await?;
        // The body is dropped; what was made of it stays claimed, because it is in memory until the shards have stored it.
        let room = body.into_room();
        room.shrink(parcels.iter().map(Parcel::held_bytes).sum::<usize>() + report.settled_bytes());
        if let Some(print) = request.filter(|_| !parcels.is_empty()) {
            let is_paid = parcels.iter().any(|parcel| parcel.frame.paid() > 0);
            self.claim(tenant.id(), print, is_paid).await?;
        }
        report.settle(self.send(parcels, &mut charge, &room).await);
        *tally = report.tally();
        charge.settle(tally.accepted);
        if tally.accepted + tally.duplicates == 0 {
            return Err(report.problem());
        }
        let entries = match ack {
            Ack::Full => report.len() as u64,
            Ack::Summary => tally.rejected,
        };
        let location = report.location();
        let rest_after_s = if tally.rejected > 0 { report.rest_after_s() } else { 0 };
        let mut answer = Writing { report, ack, next: Some(0), told: 0 }.answer(entries, room).await;
        *answer.status_mut() = StatusCode::ACCEPTED;
        if rest_after_s > 0 {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(rest_after_s));
        }
        if let Some(location) = location.and_then(|path| HeaderValue::try_from(path).ok()) {
            answer.headers_mut().insert(LOCATION, location);
        }
        Ok(answer)
    }

    /// The fingerprint of the request's own idempotency key.
    async fn print(&self, tenant: &Tenant, key: &HeaderValue, body: &[u8]) -> KeyPrint {
        let mut print = self.printer.request(tenant.id(), key.as_bytes());
        for slice in body.chunks(SLICE) {
            print.add(slice);
            executor::breathe().await;
        }
        print.end()
    }

    async fn plan(
        &self,
        body: &Whole,
        form: Form,
        request: Option<KeyPrint>,
        caller: Caller<'_>,
        settings: &Settings,
    ) -> Result<(Vec<Parcel>, Report, Charge), Problem> {
        let (now, catalog, body_bytes) = (executor::now(), self.catalog(), body.room().bytes());
        let Settings { defaults, numbering, .. } = settings;
        let is_admin = caller.scope >= Scope::Admin;
        let rules = Rules { now: now.wall, tenant: caller.tenant, is_admin, defaults, numbering };
        let (shards, printer, limits) = (self.shards, self.printer, settings.limits);
        let mut terms = Terms { rules, catalog: &catalog, shards, printer, limits, now };
        let mut ingest = Ingest::new(body, form, &terms, request);
        while ingest.advance(&terms, SLICE)? {
            body.room().grow(body_bytes + ingest.held_bytes()).await?;
            executor::breathe().await;
            terms.now = executor::now();
        }
        Ok(ingest.finish(&terms))
    }

    /// Records the request's key, so that it cannot be used for another body; unless `is_paid`, only checks it.
    async fn claim(self: &Rc<Self>, tenant: TenantId, print: KeyPrint, is_paid: bool) -> Result<(), Problem> {
        let home = self.shards.shard_of(print.key as u64);
        match self.door.ask(home, |reply: ReplyTo| Ask::Claim { reply, tenant, print, is_paid }).await? {
            Reply::Claimed(Claimed::Ours) => Ok(()),
            Reply::Claimed(Claimed::Reused) => {
                Err(Problem::new(Code::KeyReused, "this Idempotency-Key was already used with a different body"))
            }
            Reply::Claimed(Claimed::Full) => Err(Problem::new(Code::KeyWindowFull, Code::KeyWindowFull.title())),
            Reply::Claimed(Claimed::Refused(refusal)) => {
                let code = Code::from(refusal);
                Err(Problem::new(code, code.title()))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// `room` covers the parcels: it is held until their shards have answered, even if the client is gone by then.
    async fn send(self: &Rc<Self>, parcels: Vec<Parcel>, charge: &mut Charge, room: &Room) -> Vec<ParcelResult> {
        let mut answers: Vec<Result<PendingReply, Code>> = Vec::with_capacity(parcels.len());
        for Parcel { shard, mut frame } in parcels {
            let messages = frame.paid().into();
            let posted = self.door.post(shard, Some(room), |reply| {
                frame.reply = reply;
                Ask::Submit(frame)
            });
            let posted = posted.await.map_err(|_| Code::Overloaded);
            charge.ask(if posted.is_ok() { messages } else { 0 });
            answers.push(posted);
        }
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in answers {
            outcomes.push(match answer {
                Ok(answer) => match answer.await {
                    Reply::Submitted(results) => Ok(results),
                    other => Err(unexpected(&other).code),
                },
                Err(code) => Err(code),
            });
        }
        outcomes
    }
}

/// A problem for an answer that a shard should not have given.
pub(super) fn unexpected(reply: &Reply) -> Problem {
    match reply {
        Reply::Unreadable => {
            Problem::new(Code::Unreadable, "the store is damaged at this message; the log tells the operator")
        }
        Reply::Submitted(_)
        | Reply::Claimed(_)
        | Reply::Found(_)
        | Reply::Cancelled(_)
        | Reply::Records { .. }
        | Reply::Inbound { .. }
        | Reply::Doubts { .. }
        | Reply::Resolved(_)
        | Reply::Released(_)
        | Reply::Limits(_)
        | Reply::Parked(_) => Problem::new(Code::Internal, "a shard answered another question"),
    }
}

/// An answer that is being written from a report.
struct Writing {
    report: Report,
    ack: Ack,
    /// The next message to write; `None`: all are written.
    next: Option<usize>,
    /// Bytes of flaws reported so far.
    told: usize,
}

impl Writing {
    /// Writes about `work` more bytes; false when there was nothing more to write.
    fn write(&mut self, work: usize, out: &mut Vec<u8>) -> bool {
        let Some(from) = self.next else { return false };
        self.next = match self.ack {
            Ack::Full => self.report.write_results(from, work, &mut self.told, out),
            Ack::Summary => self.report.write_summary(from, work, &mut self.told, out),
        };
        true
    }

    /// The answer, covered by the claim for what it is written from.
    async fn answer(mut self, entries: u64, room: Room) -> Response<ResponseBody> {
        room.becomes_answer();
        let body = if entries <= WHOLE_MAX {
            let mut out = Vec::with_capacity(entries as usize * 50 + 128);
            while self.write(SLICE, &mut out) {
                executor::breathe().await;
            }
            room.shrink(out.capacity());
            ResponseBody::Metered(out.into(), room)
        } else {
            room.shrink(self.report.settled_bytes());
            ResponseBody::made(move || {
                // The closure owns the claim: it is given back with the last piece or when the connection ends.
                let _held = &room;
                let mut out = Vec::with_capacity(PIECE + 1_024);
                self.write(PIECE, &mut out).then(|| out.into())
            })
        };
        typed("application/json", body)
    }
}

fn form(media: Option<&HeaderValue>) -> Result<Form, Problem> {
    let wanted = || {
        let known = "application/json (an object or an array) or application/x-ndjson (one object per line), in UTF-8";
        Problem::media_type(media, known)
    };
    let text = media.and_then(|media| media.to_str().ok()).ok_or_else(wanted)?;
    let (media, parameters) = text.split_once(';').unwrap_or((text, ""));
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    if charset.is_some_and(|charset| !charset.trim_matches('"').eq_ignore_ascii_case("utf-8")) {
        return Err(wanted());
    }
    match media.trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(Form::Json),
        "application/x-ndjson" | "application/ndjson" => Ok(Form::Lines),
        _ => Err(wanted()),
    }
}

fn ack(query: &str) -> Result<Ack, Problem> {
    let mut ack = Ack::Full;
    for (name, value) in query::pairs(query)? {
        ack = match (&*name, &*value) {
            ("ack", "full") => Ack::Full,
            ("ack", "summary") => Ack::Summary,
            _ => {
                let detail = format!("{}: this call takes `ack=full` or `ack=summary`", Quoted(&name));
                return Err(Problem::new(Code::InvalidParameter, detail));
            }
        }
    }
    Ok(ack)
}

fn request_key(headers: &HeaderMap) -> Result<Option<&HeaderValue>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() || key.is_empty() || key.len() > limits::KEY_BYTES_MAX {
        let detail = format!("`Idempotency-Key` must be given once, with 1 to {} bytes", limits::KEY_BYTES_MAX);
        return Err(Problem::new(Code::InvalidKey, detail));
    }
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        let form = |text: &'static str| form(Some(&HeaderValue::from_static(text))).map_err(|problem| problem.code);
        for json in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""] {
            assert_eq!(form(json), Ok(Form::Json), "{json}");
        }
        assert_eq!(form("application/x-ndjson"), Ok(Form::Lines));
        for other in ["", "text/plain", "application/jsonp", "application/json; charset=latin1", "application/xml"] {
            assert_eq!(form(other), Err(Code::UnsupportedMediaType), "{other}");
        }
        let told = |media: Option<&'static str>| {
            let media = media.map(HeaderValue::from_static);
            super::form(media.as_ref()).expect_err("not read").detail
        };
        assert!(told(None).starts_with("Content-Type is missing; "), "{}", told(None));
        let plain = told(Some("text/plain"));
        assert!(plain.starts_with("Content-Type: \"text/plain\" came; this call takes application/json"), "{plain}");
        let long = HeaderValue::from_str(&"x".repeat(8_000)).expect("a header");
        assert!(super::form(Some(&long)).is_err_and(|problem| problem.detail.len() < 300));
    }

    #[test]
    fn parameters() {
        let ack = |query| ack(query).map_err(|problem| problem.code);
        assert_eq!([ack(""), ack("ack=full"), ack("ack=summary")], [Ok(Ack::Full), Ok(Ack::Full), Ok(Ack::Summary)]);
        for other in ["ack=", "ack", "ack=none", "wait=1", "ack=summary&x=1"] {
            assert_eq!(ack(other), Err(Code::InvalidParameter), "{other}");
        }
    }
}
