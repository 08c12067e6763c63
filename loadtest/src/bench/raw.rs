//! What the machine can do without Stentor, with the same bytes that the generator sends: append and `fdatasync`, a
//! round trip over loopback, and parsing alone. Each runs for a fixed time, on the CPUs of the process that does this
//! work in the measurement.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Deserialize;

use crate::run::cpus::Cpus;
use crate::run::figure::{Better, Unit};
use crate::run::result::Number;
use crate::send::batch::{Renderer, Shape};
use crate::smsc::stats::Quantiles;

/// At this size the file is started anew, so that the probe does not fill the disk.
const FILE_BYTES_MAX: usize = 256 << 20;
/// Stands for an answer on the way back; about as long as a 202 with a summary.
const ANSWER: [u8; 160] = [b'.'; 160];
/// More threads than these would show nothing more.
const CONNECTIONS_MAX: u64 = 256;
const PATIENCE: Duration = Duration::from_secs(10);

/// The result of one probe.
#[derive(Debug)]
pub(super) struct Probe {
    pub figures: Vec<Number>,
}

/// A request body of `batch` messages, as the generator renders it.
pub(super) fn body(batch: u64, length: usize) -> Result<Vec<u8>, String> {
    let shape = Shape {
        length,
        first_recipient: 4_915_110_000_000,
        recipients: 80_000_000,
        first_mark: 0,
        from: None,
        classes: Vec::new(),
        keys: false,
        receipt: None,
    };
    shape.check()?;
    let mut renderer = Renderer::new(shape, usize::try_from(batch).unwrap_or(usize::MAX), false);
    Ok(renderer.render(0..batch, 1_800_000_000_000_000).to_vec())
}

/// Appends `block` again and again to a file in `directory`, with an `fdatasync` after each. A block stands for
/// `messages` messages.
pub(super) fn disk(
    directory: &Path,
    block: &[u8],
    messages: f64,
    time: Duration,
    cpus: Option<&Cpus>,
) -> Result<Probe, String> {
    let _held = cpus.map(Cpus::hold).transpose()?;
    let told = |error: std::io::Error| format!("{}: {error}", directory.display());
    let mut file = tempfile::tempfile_in(directory).map_err(told)?;
    let mut syncs_us = histogram();
    let (mut blocks, mut spent, mut length) = (0_u64, Duration::ZERO, 0);
    while blocks == 0 || spent < time {
        if length + block.len() > FILE_BYTES_MAX.max(block.len()) {
            file = tempfile::tempfile_in(directory).map_err(told)?;
            length = 0;
        }
        let at = Instant::now();
        append(&mut file, block).map_err(told)?;
        let took = at.elapsed();
        syncs_us.saturating_record(took.as_micros() as u64);
        spent += took;
        length += block.len();
        blocks += 1;
    }
    let per_s = blocks as f64 / spent.as_secs_f64().max(1e-9);
    let sync = Quantiles::read(|quantile| syncs_us.value_at_quantile(quantile));
    let mut figures = vec![
        number("messages/s", per_s * messages, Unit::PerSecond),
        number("appends with fdatasync a second", per_s, Unit::Count),
        number("bytes a second", per_s * block.len() as f64, Unit::Bytes),
        number("bytes an append", block.len() as f64, Unit::Bytes),
    ];
    figures.extend(latencies("append with fdatasync", &sync));
    Ok(Probe { figures })
}

fn append(file: &mut File, block: &[u8]) -> std::io::Result<()> {
    file.write_all(block)?;
    file.sync_data()
}

/// Sends the body over loopback on `connections` connections; each waits for a short answer before it sends again.
pub(super) fn loopback(
    body: &[u8],
    messages: u64,
    connections: u64,
    time: Duration,
    cpus: (Option<&Cpus>, Option<&Cpus>),
) -> Result<Probe, String> {
    let told = |error: std::io::Error| format!("loopback: {error}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(told)?;
    let address = listener.local_addr().map_err(told)?;
    let connections = connections.clamp(1, CONNECTIONS_MAX);
    let length = body.len();
    let (books, seconds) = thread::scope(|scope| {
        let mut senders = Vec::new();
        let begun = Instant::now();
        for _ in 0..connections {
            let held = cpus.1.map(Cpus::hold).transpose()?;
            let sender = TcpStream::connect(address).map_err(told)?;
            let (receiver, _) = listener.accept().map_err(told)?;
            drop(held);
            let receiving = cpus.0.map(Cpus::hold).transpose()?;
            scope.spawn(move || answer(receiver, length));
            drop(receiving);
            let sending = cpus.1.map(Cpus::hold).transpose()?;
            senders.push(scope.spawn(move || offer(sender, body, begun + time)));
            drop(sending);
        }
        let mut books = histogram();
        for sender in senders {
            let own = sender.join().map_err(|_| "loopback: a thread panicked".to_owned())?.map_err(told)?;
            // Both have the same bounds, so adding cannot fail.
            let _ = books.add(own);
        }
        Ok::<_, String>((books, begun.elapsed().as_secs_f64()))
    })?;
    let per_s = books.len() as f64 / seconds.max(1e-9);
    let mut figures = vec![
        number("messages/s", per_s * messages as f64, Unit::PerSecond),
        number("requests a second", per_s, Unit::Count),
        number("bytes a second", per_s * length as f64, Unit::Bytes),
    ];
    figures.extend(latencies("way and back", &Quantiles::read(|quantile| books.value_at_quantile(quantile))));
    Ok(Probe { figures })
}

fn offer(mut stream: TcpStream, body: &[u8], until: Instant) -> std::io::Result<Histogram<u64>> {
    let mut books = histogram();
    let mut answer = ANSWER;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    while books.is_empty() || Instant::now() < until {
        let at = Instant::now();
        stream.write_all(body)?;
        stream.read_exact(&mut answer)?;
        books.saturating_record(at.elapsed().as_micros() as u64);
    }
    Ok(books)
}

/// Answers until the sender closes.
fn answer(mut stream: TcpStream, length: usize) {
    let mut body = vec![0; length];
    // The sender reports errors; here an error just ends the connection.
    let _ = stream.set_nodelay(true);
    while stream.read_exact(&mut body).is_ok() && stream.write_all(&ANSWER).is_ok() {}
}

/// A line, as serde_json reads it: deliberately not Stentor's reader, so that the figure depends on the machine only
/// and stays the same when Stentor changes.
#[derive(Deserialize)]
struct Line<'a> {
    to: &'a str,
    body: &'a str,
}

/// Parses the body on `threads` threads.
pub(super) fn parse(
    body: &[u8],
    messages: u64,
    threads: usize,
    time: Duration,
    cpus: Option<&Cpus>,
) -> Result<Probe, String> {
    let _held = cpus.map(Cpus::hold).transpose()?;
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let round = || -> Result<usize, String> {
        let mut sum = 0;
        for line in text.lines() {
            let line: Line<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
            sum += line.to.len() + line.body.len();
        }
        Ok(sum)
    };
    let work = || -> Result<f64, String> {
        let (begun, mut rounds) = (Instant::now(), 0_u64);
        while rounds == 0 || begun.elapsed() < time {
            std::hint::black_box(round()?);
            rounds += 1;
        }
        Ok(rounds as f64 / begun.elapsed().as_secs_f64().max(1e-9))
    };
    let one = work()?;
    let all = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let joined =
            workers.into_iter().map(|worker| worker.join().map_err(|_| "parse: a thread panicked".to_owned())?);
        joined.sum::<Result<f64, String>>()
    })?;
    Ok(Probe {
        figures: vec![
            number("messages/s", all * messages as f64, Unit::PerSecond),
            number("messages/s on one CPU", one * messages as f64, Unit::PerSecond),
            number("bytes a second", all * body.len() as f64, Unit::Bytes),
        ],
    })
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap_or_else(|_| unreachable!("fixed bounds"))
}

/// A figure of the machine: reported but not judged, as it says nothing about Stentor.
fn number(name: &str, value: f64, unit: Unit) -> Number {
    Number { name: name.to_owned(), value, unit, better: Better::Neither }
}

fn latencies(name: &str, us: &Quantiles) -> Vec<Number> {
    [("p50", us.p50), ("p99", us.p99), ("max", us.max)]
        .map(|(quantile, us)| number(&format!("{name} {quantile}"), us as f64 / 1_000.0, Unit::Millis))
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(probe: &Probe, name: &str) -> f64 {
        probe.figures.iter().find(|figure| figure.name == name).unwrap().value
    }

    #[test]
    fn the_bytes_are_those_of_the_generator() {
        let body = body(10, 160).unwrap();
        let lines: Vec<Line<'_>> =
            std::str::from_utf8(&body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), lines[3].body.len()), (10, 160));
        assert_eq!(lines[3].to, "+4915110000003");
        assert!(super::body(10, 3).is_err());
    }

    /// Each does its work at least once, however short the time.
    #[test]
    fn every_probe_counts_what_it_did() {
        let directory = tempfile::tempdir().unwrap();
        let body = body(10, 160).unwrap();
        let disk = disk(directory.path(), &body, 10.0, Duration::ZERO, None).unwrap();
        assert_eq!(value(&disk, "bytes an append"), body.len() as f64);
        assert!(value(&disk, "messages/s") > 0.0);
        let loopback = loopback(&body, 10, 3, Duration::ZERO, (None, None)).unwrap();
        let (messages, requests) = (value(&loopback, "messages/s"), value(&loopback, "requests a second"));
        assert!(requests > 0.0 && (messages / requests - 10.0).abs() < 1e-6);
        let parse = parse(&body, 10, 2, Duration::ZERO, None).unwrap();
        assert!(value(&parse, "messages/s") > 0.0 && value(&parse, "messages/s on one CPU") > 0.0);
        assert!(super::parse(b"{\n", 1, 1, Duration::ZERO, None).is_err());
        let nowhere = directory.path().join("nowhere");
        assert!(super::disk(&nowhere, &body, 1.0, Duration::ZERO, None).is_err());
    }
}
