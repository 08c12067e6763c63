//! A bind followed by an unbind: whether a carrier accepts the account. Deliveries that come meanwhile are not answered, so that
//! the carrier delivers them again later.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::visit::Stream;
use crate::config::{BindKind, Carrier};
use crate::runtime::translate;
use stentor_core::link;
use stentor_smpp::encode::EncodeError;
use stentor_smpp::pdu::{Bind, BindMode};
use stentor_smpp::session::{CloseReason, Event, Options, Session};
use stentor_smpp::status::{CommandStatus, ErrorClass};

/// Time limit for the answer to the bind.
const BIND: Duration = Duration::from_secs(5);
/// Time limit for the answer to the unbind. It is no problem if none comes.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes read at once.
const READ_BYTES: usize = 4 << 10;

/// The account to bind with.
#[derive(Clone, Debug)]
pub(super) struct Login {
    /// Bound one after the other, each on a connection of its own.
    pub(super) modes: Vec<BindMode>,
    account: link::Account,
    numbering: link::TonNpi,
}

impl Login {
    /// The carrier's account as configured.
    pub(super) fn of(carrier: &Carrier) -> Self {
        let modes = match carrier.bind {
            BindKind::Transceiver => vec![BindMode::Transceiver],
            BindKind::Pair => vec![BindMode::Transmitter, BindMode::Receiver],
            BindKind::Transmitter => vec![BindMode::Transmitter],
        };
        Self { modes, account: translate::account(carrier), numbering: carrier.numbering.bind }
    }

    fn request(&self) -> Bind<'_> {
        self.account.request(self.numbering)
    }
}

/// Why the bind failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BindTrouble {
    /// The carrier refused it.
    Refused(CommandStatus),
    /// No answer came in time.
    Silent,
    /// The connection ended before the answer.
    HungUp,
    /// The session ended for another reason.
    Ended(CloseReason),
    /// The configured values cannot be encoded.
    Unwritable(EncodeError),
}

/// Binds and unbinds; returns the carrier's `system_id`. `give` sets the stream's time limit from now.
pub(super) fn bind(
    stream: &mut dyn Stream,
    account: &Login,
    mode: BindMode,
    give: &dyn Fn(Duration),
) -> Result<String, BindTrouble> {
    let begun = Instant::now();
    let now_ns = || u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let session = Session::<u32>::client(&Options::default(), mode, &account.request(), now_ns());
    let mut session = session.map_err(BindTrouble::Unwritable)?;
    let (mut out, mut read) = (Vec::new(), vec![0; READ_BYTES]);
    let mut bound = None;
    give(BIND);
    loop {
        if session.poll_transmit(&mut out) {
            if let Err(error) = stream.write_all(&out).and_then(|()| stream.flush()) {
                return bound.ok_or_else(|| lost(&error));
            }
            session.handle_written(out.len());
            out.clear();
        }
        let bytes = match stream.read(&mut read) {
            Ok(0) => return bound.ok_or(BindTrouble::HungUp),
            Ok(bytes) => bytes,
            Err(error) => return bound.ok_or_else(|| lost(&error)),
        };
        let (mut input, is_new) = (read.get(..bytes).unwrap_or_default(), bound.is_none());
        while let Some(event) = session.poll_event(&mut input, now_ns()) {
            match heard(&event) {
                Heard::Bound(name) => bound = Some(name),
                Heard::Over(trouble) => return bound.ok_or(trouble),
                Heard::Nothing => {}
            }
        }
        if is_new && bound.is_some() {
            give(FAREWELL);
            session.unbind(0, now_ns());
            session.handle_timeout(now_ns());
        }
    }
}

fn lost(error: &io::Error) -> BindTrouble {
    if error.kind() == io::ErrorKind::TimedOut { BindTrouble::Silent } else { BindTrouble::HungUp }
}

/// The events that matter here.
enum Heard {
    Bound(String),
    Over(BindTrouble),
    Nothing,
}

fn heard<T>(event: &Event<'_, T>) -> Heard {
    match event {
        Event::Bound { resp, .. } => Heard::Bound(String::from_utf8_lossy(resp.system_id).into_owned()),
        Event::BindFailed { status } => Heard::Over(BindTrouble::Refused(*status)),
        Event::Closed { reason } => Heard::Over(BindTrouble::Ended(*reason)),
        Event::BindRequest { .. }
        | Event::SubmitResp(_)
        | Event::DeliverResp(_)
        | Event::DataResp(_)
        | Event::QueryResp { .. }
        | Event::ResponseTimeout { .. }
        | Event::Submit { .. }
        | Event::Deliver { .. }
        | Event::Data { .. }
        | Event::Query { .. }
        | Event::Alert(_)
        | Event::Outbind(_)
        | Event::EnquireLink
        | Event::EnquireLinkResp
        | Event::UnbindRequested
        | Event::UnbindAnswered
        | Event::Refused { .. }
        | Event::Malformed { .. }
        | Event::UnknownResponse { .. }
        | Event::Unresolved { .. } => Heard::Nothing,
    }
}

/// The name of a bind mode.
pub(super) const fn name(mode: BindMode) -> &'static str {
    match mode {
        BindMode::Receiver => "receiver",
        BindMode::Transmitter => "transmitter",
        BindMode::Transceiver => "transceiver",
    }
}

impl fmt::Display for BindTrouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status) => write!(out, "refused with {status}"),
            Self::Silent => write!(out, "not answered within {} s", BIND.as_secs()),
            Self::HungUp => out.write_str("it hangs up instead of answering"),
            Self::Ended(reason) => reason.fmt(out),
            Self::Unwritable(error) => error.fmt(out),
        }
    }
}

impl BindTrouble {
    /// What the operator can do about it.
    pub(super) const fn advice(&self) -> &'static str {
        const ACCOUNT: &str =
            "check `system_id`, `password` and `system_type`; ask the carrier whether the account is active";
        const PORT: &str =
            "perhaps this port does not speak SMPP, or needs TLS; ask if the carrier allows this machine's address";
        match self {
            Self::Refused(status) => match status.class() {
                Some(ErrorClass::Credential) => ACCOUNT,
                Some(ErrorClass::Session) => {
                    "perhaps the account has no bind left: a running daemon uses some. Or check `system_id`, `password` and `bind`"
                }
                Some(ErrorClass::Throttle | ErrorClass::Transient) => "try again later, or ask the carrier",
                Some(ErrorClass::PermanentMessage | ErrorClass::OurBug | ErrorClass::Unknown) | None => {
                    "ask the carrier what it means by that"
                }
            },
            Self::Silent | Self::HungUp | Self::Ended(_) => PORT,
            Self::Unwritable(_) => ACCOUNT,
        }
    }
}
