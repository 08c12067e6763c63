//! The files of certificates and keys as they were when they were read: whether they have changed since, and when a
//! certificate ends. Warns of one that ends soon, when it comes into use and then once a day. `tls` knows what they are used for.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    CertificateError, Error, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    pki_types::{CertificateDer, UnixTime},
    server::ParsedCertificate,
};

use crate::{
    config::{Change, Config},
    http::rfc3339,
};
use stentor_core::model::Wall;

use super::{
    pin::{self, Pin, Print},
    tls,
};

/// A certificate that ends within this many days is warned of.
pub(super) const SOON_DAYS: i64 = 14;
pub(super) const DAY_S: i64 = 86_400;
/// Time between two warnings.
const AGAIN: Duration = Duration::from_secs(86_400);

/// What the files of one key of the configuration contained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The configuration's key: `http.tls`, `carrier.NAME.tls`.
    pub key: String,
    /// The digest of all files together.
    print: Print,
    ends: Option<End>,
}

/// The first certificate of a file to end, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    file: PathBuf,
    at_s: i64,
}

/// Reads the files that the configuration names. A file that cannot be read is reported where it is used.
pub fn look(config: &Config) -> Vec<Seen> {
    let http = config.http.tls.as_ref().map(|typed| {
        let others = [Some(typed.key.as_path()), typed.client_ca.as_deref()];
        seen("http.tls".to_owned(), Some(&typed.cert), others.into_iter().flatten())
    });
    let carriers = config.carriers.iter().filter_map(|carrier| {
        let typed = carrier.tls.as_ref()?;
        let pinned: Vec<PathBuf> = typed
            .pin
            .iter()
            .filter_map(|pin| match Pin::parse(pin) {
                Pin::File(file) => Some(file),
                Pin::Print(_) => None,
            })
            .collect();
        let others = [typed.key.as_deref(), typed.ca.as_deref()].into_iter().flatten();
        let others = others.chain(pinned.iter().map(PathBuf::as_path));
        Some(seen(format!("carrier.{}.tls", carrier.name), typed.cert.as_deref(), others))
    });
    http.into_iter().chain(carriers).collect()
}

/// `ours`: the file of the certificate that this side shows.
fn seen<'f>(key: String, ours: Option<&'f Path>, others: impl Iterator<Item = &'f Path>) -> Seen {
    let mut bytes = Vec::new();
    for file in ours.into_iter().chain(others) {
        let read = tls::read(file).unwrap_or_default();
        bytes.extend_from_slice(&read.len().to_le_bytes());
        bytes.extend_from_slice(&read);
    }
    let ends = ours.and_then(|file| Some(End { file: file.to_owned(), at_s: end(file)? }));
    Seen { key, print: pin::print(&bytes), ends }
}

/// When the first of a file's certificates ends, in seconds since 1970.
fn end(file: &Path) -> Option<i64> {
    let ends = tls::certificates(file).ok()?.into_iter().filter_map(|certificate| not_after(&certificate));
    ends.min()
}

/// When the certificate ends; `None`: it cannot be read. Rustls tells a certificate's dates only in the error of a check, so it is
/// checked at a time that no certificate reaches: the error then says when it ended.
pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    let read = ParsedCertificate::try_from(certificate).ok()?;
    let then = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    match verify_server_cert_signed_by_trust_anchor(&read, &RootCertStore::empty(), &[], then, &[]) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            i64::try_from(not_after.as_secs()).ok()
        }
        Err(_) | Ok(()) => None,
    }
}

/// What differs in `new` from `old`, under the same key.
pub fn renewed(old: &[Seen], new: &[Seen]) -> Vec<Change> {
    let pair = |new: &Seen| {
        let old = old.iter().find(|old| old.key == new.key)?;
        let told = |seen: &Seen| Some(seen.to_string());
        (old != new).then(|| Change { path: new.key.clone(), old: told(old), new: told(new), needs_restart: false })
    };
    new.iter().filter_map(pair).collect()
}

impl std::fmt::Display for Seen {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, ..] = self.print;
        write!(out, "files {a:02x}{b:02x}{c:02x}{d:02x}")?;
        match &self.ends {
            Some(End { at_s, .. }) => write!(out, " (certificate until {})", moment(*at_s)),
            None => Ok(()),
        }
    }
}

impl Seen {
    /// A warning if its certificate ends soon or has ended.
    pub fn warning(&self, now_s: i64) -> Option<String> {
        let End { file, at_s } = self.ends.as_ref()?;
        let (file, left_s, at) = (file.display(), at_s - now_s, moment(*at_s));
        match left_s {
            ..=0 => Some(format!("the certificate in {file} has ended: {at}")),
            _ if left_s <= SOON_DAYS * DAY_S => {
                Some(format!("the certificate in {file} ends in {} days: {at}", left_s.div_euclid(DAY_S)))
            }
            _ => None,
        }
    }
}

/// Formats seconds since 1970 for people.
pub(super) fn moment(at_s: i64) -> String {
    let mut text = Vec::new();
    rfc3339::push(&mut text, Wall(u64::try_from(at_s).unwrap_or_default() * 1_000));
    String::from_utf8_lossy(&text).into_owned()
}

/// The current time in seconds since 1970.
pub fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed())
}

/// The certificates in use.
#[derive(Clone, Debug, Default)]
pub struct InUse(Arc<Mutex<Vec<Seen>>>);

/// Dropping it stops the daily warnings.
#[derive(Debug)]
pub struct Watching {
    _stop: mpsc::Sender<()>,
}

impl InUse {
    /// Replaces them.
    pub fn put(&self, seen: Vec<Seen>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// All of them.
    pub fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For each key, when its certificate ends, in seconds since 1970.
    pub fn ends(&self) -> Vec<(String, i64)> {
        self.all().into_iter().filter_map(|seen| Some((seen.key, seen.ends?.at_s))).collect()
    }

    /// Logs once a day which certificates end soon, until the returned value is dropped. The first time tomorrow.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn watch(&self) -> io::Result<Watching> {
        let (stop, stopped) = mpsc::channel::<()>();
        let in_use = self.clone();
        thread::Builder::new().name("certificates".to_owned()).spawn(move || {
            while stopped.recv_timeout(AGAIN) == Err(mpsc::RecvTimeoutError::Timeout) {
                for seen in in_use.all() {
                    if let Some(what) = seen.warning(now_s()) {
                        tracing::warn!("{}: {what}", seen.key);
                    }
                }
            }
        })?;
        Ok(Watching { _stop: stop })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(year: i32) -> String {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        params.not_after = date_time_ymd(year, 1, 1);
        params.self_signed(&KeyPair::generate().expect("key")).expect("certificate").pem()
    }

    fn http(cert: &Path, key: &Path) -> Seen {
        seen("http.tls".to_owned(), Some(cert), std::iter::once(key))
    }

    #[test]
    fn other_contents_under_the_same_names_are_a_change() {
        let at = tempfile::tempdir().expect("a directory");
        let (cert, key) = (at.path().join("cert.pem"), at.path().join("key.pem"));
        fs::write(&cert, certificate(2031)).expect("written");
        fs::write(&key, "a").expect("written");
        let first = http(&cert, &key);
        assert_eq!(renewed(std::slice::from_ref(&first), &[http(&cert, &key)]), []);
        fs::write(&key, "b").expect("written");
        let second = http(&cert, &key);
        let changes = renewed(&[first], std::slice::from_ref(&second));
        let [change] = &changes[..] else { panic!("one change") };
        assert!(!change.needs_restart && change.to_string().starts_with("http.tls: files "), "{change}");
        fs::write(&cert, certificate(2032)).expect("written");
        let changes = renewed(&[second], &[http(&cert, &key)]);
        let [change] = &changes[..] else { panic!("one change") };
        let told = change.to_string();
        let ends =
            ["(certificate until 2031-01-01T00:00:00.000Z) → files", "(certificate until 2032-01-01T00:00:00.000Z)"];
        assert!(ends.iter().all(|end| told.contains(end)), "{told}");
        assert_eq!(renewed(&[], &[http(&cert, &key)]), [], "the configuration's own change tells it");
    }

    #[test]
    fn the_end_is_told_two_weeks_before_it_comes() {
        let at = tempfile::tempdir().expect("a directory");
        let (cert, key) = (at.path().join("cert.pem"), at.path().join("none.pem"));
        // Of a chain, the first certificate that ends counts.
        fs::write(&cert, certificate(2032) + &certificate(2031)).expect("written");
        let seen = http(&cert, &key);
        let end = 1_924_992_000;
        assert_eq!(seen.warning(end - 15 * DAY_S), None);
        let soon = seen.warning(end - 14 * DAY_S).expect("soon");
        assert!(soon.ends_with("cert.pem ends in 14 days: 2031-01-01T00:00:00.000Z"), "{soon}");
        assert!(seen.warning(end - 1).is_some_and(|what| what.contains("ends in 0 days")));
        assert!(seen.warning(end).is_some_and(|what| what.contains("has ended: 2031-01-01")));
        assert_eq!(http(&key, &cert).warning(end), None, "what cannot be read has no end");
        let in_use = InUse::default();
        in_use.put(vec![seen]);
        assert_eq!(in_use.ends(), [("http.tls".to_owned(), end)]);
    }
}
