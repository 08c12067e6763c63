//! What the hot paths cost on one core, in nanoseconds per message: no disk, no socket, no second thread.
//!
//! `cargo bench` measures: rounds of each subject for a third of a second, median and best round. `cargo test` runs each
//! subject once, so that none rots. These figures compare one build with another; what the whole daemon does, `loadtest` says.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stentor::http::ingest::{Ingest, RequestLimits, Terms};
use stentor::http::items::Form;
use stentor_core::admission::{Defaults, KeyWindow, Moment, Printer, Rules, Seen, Tenant, numbering::Numbering};
use stentor_core::limit::SlidingLimit;
use stentor_core::mesh::ShardMap;
use stentor_core::model::{Address, Head, KeyPrint, Mono, Msisdn, Now, RouteId, Segment, TenantId, Wall};
use stentor_core::queue::{Chunk, Fifo, SlotRuns};
use stentor_core::routing::{Condition, Route, RouteTable};
use stentor_core::shard::Catalog;
use stentor_core::store::segment;
use stentor_smpp::decode::decode;
use stentor_smpp::encode::encode;
use stentor_smpp::framer::Framer;
use stentor_smpp::pdu::{self, Pdu, ShortMessage};
use stentor_smpp::status::CommandStatus;

/// Messages of one round.
const MESSAGES: usize = 1_000;
const MEASURE: Duration = Duration::from_millis(333);
const TEXT: &str = "Your parcel arrives tomorrow between 9 and 11. Not at home? Choose another day or a neighbour at \
                    https://example.com/p/8412 until midnight. Thank you, your courier.";

/// Runs rounds, or a single one.
struct Bench {
    measures: bool,
}

impl Bench {
    /// `round` handles [`MESSAGES`] messages; the time of `prepare` is not counted.
    fn run<I, O>(&self, name: &str, mut prepare: impl FnMut() -> I, mut round: impl FnMut(I) -> O) {
        let begun = Instant::now();
        let mut rounds = Vec::new();
        loop {
            let input = prepare();
            let at = Instant::now();
            black_box(round(black_box(input)));
            rounds.push(at.elapsed().as_nanos() as u64);
            if !self.measures || begun.elapsed() >= MEASURE {
                break;
            }
        }
        if self.measures {
            rounds.sort_unstable();
            let each = |nanoseconds: u64| nanoseconds as f64 / MESSAGES as f64;
            println!("{name:<28} {:>9.1} ns {:>9.1} ns", each(rounds[rounds.len() / 2]), each(rounds[0]));
        }
    }
}

fn recipient(n: usize) -> u64 {
    4_915_112_000_000 + n as u64 * 7
}

fn ingest(bench: &Bench) {
    let line = |n: usize| format!("{{\"to\":\"+{}\",\"body\":\"{TEXT}\"}}\n", recipient(n));
    let body: String = (0..MESSAGES).map(line).collect();
    let route = Route { id: RouteId(1), name: "all".to_owned(), when: Condition::default(), ways: Vec::new() };
    let catalog = Catalog { routes: RouteTable { routes: vec![route] }, ..Catalog::default() };
    let numbering = Numbering::new(None).expect("no country is named");
    let (tenant, defaults) = (Tenant::default(), Defaults::default());
    let now = Now { mono: Mono(1), wall: Wall(1_800_000_000_000) };
    let terms = Terms {
        rules: Rules { now: now.wall, tenant: &tenant, is_admin: false, defaults: &defaults, numbering: &numbering },
        catalog: &catalog,
        shards: ShardMap::new(4, 2),
        printer: Printer::new(7),
        limits: RequestLimits::default(),
        now,
    };
    bench.run(
        "ingest: NDJSON to frames",
        || body.as_bytes(),
        |body| {
            let mut ingest = Ingest::new(body, Form::Lines, &terms, None);
            while ingest.advance(&terms, 32 << 10).expect("readable") {}
            assert_eq!(ingest.sent(), MESSAGES as u64);
            ingest.finish(&terms)
        },
    );
    let typed: Vec<String> = (0..MESSAGES).map(|n| format!("+{}", recipient(n))).collect();
    bench.run(
        "numbering: +E.164",
        || &typed,
        |typed| {
            assert!(typed.iter().all(|number| numbering.parse(number).is_ok()));
        },
    );
}

fn sample_segment() -> Segment {
    let mut arena = Vec::new();
    let mut head = |n: usize| {
        let content_at = arena.len() as u32;
        arena.extend_from_slice(TEXT.as_bytes());
        let to = Msisdn::from_number(recipient(n)).expect("a number");
        Head { to, parts: 1, content_at, content_len: TEXT.len() as u32, ..Head::default() }
    };
    let heads = (0..MESSAGES).map(&mut head).collect();
    Segment { number: 1, heads, arena: Arc::new(arena), slots: Vec::new() }
}

fn store(bench: &Bench) {
    let sample = sample_segment();
    let bytes = segment::encode(&sample);
    bench.run("segment: encode", || &sample, segment::encode);
    bench.run(
        "segment: decode",
        || &bytes,
        |bytes| {
            assert_eq!(segment::decode(bytes).expect("whole").heads.len(), MESSAGES);
        },
    );
}

fn queue(bench: &Bench) {
    let segment = Arc::new(sample_segment());
    let full = || {
        let mut fifo = Fifo::default();
        let chunk = Chunk { commit: 1, segment: segment.clone(), runs: SlotRuns(vec![(0, MESSAGES as u16)]) };
        fifo.append(1, MESSAGES as u32, vec![chunk], usize::MAX);
        fifo
    };
    bench.run("queue: take", full, |mut fifo| {
        assert_eq!(std::iter::from_fn(|| fifo.take()).count(), MESSAGES);
    });
}

fn admission(bench: &Bench) {
    let print = |n: usize| {
        let mixed = (n as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        KeyPrint { key: mixed, content: n as u64 }
    };
    bench.run(
        "keys: claim",
        || KeyWindow::new(MESSAGES, 1),
        |mut window| {
            assert!(
                (0..MESSAGES)
                    .all(|n| window.claim(print(n), TenantId(0), Address::default(), Moment::default()) == Seen::New)
            );
            window
        },
    );
}

fn limit(bench: &Bench) {
    bench.run(
        "limit: ask and take",
        || SlidingLimit::new(100_000),
        |mut limit| {
            let mut taken = 0;
            for n in 0..MESSAGES {
                let now = Mono(10_000_000_000 + n as u64 * 10_000);
                taken += limit.allowance(now).min(1);
                limit.take(1, now);
            }
            assert!(taken > 0);
            limit
        },
    );
}

fn wire(bench: &Bench) {
    let digits: Vec<String> = (0..MESSAGES).map(|n| recipient(n).to_string()).collect();
    let write = |out: &mut Vec<u8>| {
        for (n, digits) in digits.iter().enumerate() {
            let message = ShortMessage {
                source: pdu::Address { ton: 5, npi: 0, digits: b"Stentor" },
                destination: pdu::Address { ton: 1, npi: 1, digits: digits.as_bytes() },
                registered_delivery: 1,
                short_message: TEXT.as_bytes(),
                ..ShortMessage::default()
            };
            encode(out, n as u32 + 1, CommandStatus::ROK, &Pdu::SubmitSm(message)).expect("within limits");
        }
    };
    let mut stream = Vec::new();
    write(&mut stream);
    bench.run(
        "smpp: write submit_sm",
        || Vec::with_capacity(stream.len()),
        |mut out| {
            write(&mut out);
            out
        },
    );
    bench.run(
        "smpp: frame and read",
        || Framer::new(65_536),
        |mut framer| {
            let (mut input, mut read) = (&stream[..], 0);
            while let Some(frame) = framer.next_frame(&mut input) {
                read += usize::from(decode(&frame.expect("framed")).is_ok());
            }
            assert_eq!(read, MESSAGES);
        },
    );
}

fn main() {
    // What cargo, or a test runner that asks for a list first, says.
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return;
    }
    let bench = Bench { measures: arguments.iter().any(|argument| argument == "--bench") };
    if bench.measures {
        println!("{:<28} {:>12} {:>12}", "per message", "median", "best");
    }
    for subject in [ingest, store, queue, admission, limit, wire] {
        subject(&bench);
    }
}
