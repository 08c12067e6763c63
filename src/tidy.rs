//! The rules for the source tree, as tests: which room may import which, how long things may be, what may not occur where.
//!
//! Reads the sources as text and compiles nothing, so it also sees code behind `cfg`. Each rule is a function from a file to
//! its breaches. Code that may break a rule is listed in [`EXCEPTIONS`] with the reason, and an exception that is no longer
//! needed is a breach itself. `docs/ARCHITECTURE.md` says what the floors are for.

mod circles;
mod invariants;
mod scan;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use scan::Source;

/// Rooms by floor. A room imports lower floors, and from its own floor only what [`SIDEWAYS`] lists.
/// Between crates the compiler enforces this: `model` to `node`, and `sim`, are `stentor-core`; `smpp` is `stentor-smpp`;
/// the others are `stentor`.
const FLOORS: [(u8, &[&str]); 9] = [
    (0, &["model", "smpp", "metrics"]),
    (1, &["traffic", "limit", "queue", "routing", "admission", "delivery"]),
    (2, &["mesh", "store"]),
    (3, &["control", "shard", "link", "node"]),
    (4, &["sim", "host", "disk"]),
    (5, &["http", "egress"]),
    (6, &["config"]),
    (7, &["runtime"]),
    (8, &["cli", "main", "lib", "tidy"]),
];

/// Which room of its own floor a room may import: (importer, imported).
const SIDEWAYS: [(&str, &str); 3] = [
    // `delivery` judges outcomes in the terms in which links report them.
    ("delivery", "traffic"),
    // A node drives both; they do not know each other.
    ("node", "shard"),
    ("node", "link"),
];

/// Rooms that know what carriers say only in the terms of `model`, whatever protocol a carrier speaks.
/// In `link` these are the files that a carrier of any kind needs; `link/smpp` speaks.
const SPEECHLESS: [&str; 9] = ["routing", "queue", "delivery", "traffic", "store", "mesh", "shard", "node", "link"];

/// Parts of [`SPEECHLESS`] rooms that speak SMPP all the same.
const SPEAKERS: [&str; 2] = ["src/core/link/smpp/", "src/core/link/tests/"];

const FILE_LINES_MAX: usize = 700;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    /// The first line of a file says what the file is.
    Head,
    /// A file is short enough to be read in one sitting.
    FileLength,
    /// No name without a subject, such as `utils` or `helpers`.
    Name,
    /// A room imports only lower floors.
    Import,
    /// Code that decides does not act: no I/O, no clock, no waiting, no state outside of values.
    Thinking,
    /// `unreachable!` says why it cannot be reached.
    Unreachable,
    /// Bytes from outside are read only by the budgeted reader (`host/net/`), so that no peer decides how long an executor is
    /// busy with them.
    Reader,
    /// On executors, nothing that may block is called: files, name look-ups, processes.
    Waiting,
}

/// Code that may break a rule, and why.
struct Exception {
    rule: Rule,
    /// Beginning of the file's path.
    path: &'static str,
    /// Part of the breach's text; empty: every breach of the rule below `path`.
    says: &'static str,
    /// Why it is allowed; for the reader of this table only.
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        rule: Rule::Thinking,
        path: "src/core/sim/trace.rs",
        says: "std::thread::panicking",
        reason: "a panic of the code under test ends its world: a test that asked for log lines then gets them",
    },
    Exception {
        rule: Rule::Import,
        path: "src/core/shard/",
        says: "stentor_smpp::receipt_id",
        reason: "`model` has no terms for spellings of ids yet: a receipt's id is matched in each of its spellings",
    },
    Exception {
        rule: Rule::Import,
        path: "src/core/shard/catalog.rs",
        says: "stentor_smpp::coding::DefaultAlphabet",
        reason: "doors such as `http` decode texts from handsets with it: `model` has no terms for alphabets yet",
    },
    Exception {
        rule: Rule::Import,
        path: "src/core/link/options.rs",
        says: "stentor_smpp::",
        reason: "the settings of an SMPP carrier; those of another kind will be a file of their own",
    },
    Exception {
        rule: Rule::Import,
        path: "src/core/link/in_hand.rs",
        says: "stentor_smpp::split::",
        reason: "how the message is cut into parts, kept beside the state of each part",
    },
    Exception {
        rule: Rule::Import,
        path: "src/core/link/status.rs",
        says: "stentor_smpp::session::CloseReason",
        reason: "why a session ended is counted by its reason",
    },
    Exception {
        rule: Rule::Import,
        path: "src/core/link/trouble.rs",
        says: "stentor_smpp::status::CommandStatus",
        reason: "the operator reads the name of the status with which a bind was refused",
    },
    Exception {
        rule: Rule::Thinking,
        path: "src/core/mesh/waker.rs",
        says: "",
        reason: "the waking half of the mesh: a sleeping thread is woken here",
    },
    Exception {
        rule: Rule::Thinking,
        path: "src/core/mesh/tests.rs",
        says: "",
        reason: "what crosses threads is tested with threads",
    },
    Exception {
        rule: Rule::Thinking,
        path: "src/core/admission/meter_tests.rs",
        says: "std::thread",
        reason: "cores that ask at once are threads",
    },
    Exception {
        rule: Rule::Thinking,
        path: "src/core/sim/tests.rs",
        says: "std::env",
        reason: "the number of seeds, and a single seed, are set by environment variables",
    },
    Exception {
        rule: Rule::Thinking,
        path: "src/core/sim/tests.rs",
        says: "std::thread",
        reason: "worlds share nothing: the suite runs them on every core",
    },
    Exception {
        rule: Rule::Thinking,
        path: "src/core/store/memory.rs",
        says: "`Mutex`",
        reason: "writer, readers and maintainer of one store share its content, as they share the disk",
    },
    Exception { rule: Rule::Reader, path: "src/host/net/", says: "", reason: "the one budgeted reader" },
    Exception {
        rule: Rule::Reader,
        path: "src/runtime/doctor/",
        says: "`TcpStream`",
        reason: "a command that visits carriers: no executor runs, each wait has a limit, nothing that is read is kept",
    },
    Exception {
        rule: Rule::Reader,
        path: "src/http/transport.rs",
        says: "`poll_read`",
        reason: "hyper reads through the one reader",
    },
    Exception {
        rule: Rule::Reader,
        path: "src/egress/connection.rs",
        says: "`poll_read`",
        reason: "a session's bytes come through the one reader",
    },
    Exception {
        rule: Rule::Waiting,
        path: "src/http/backup.rs",
        says: "thread::sleep",
        reason: "the thread of a backup waits for its reader",
    },
];

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Breach {
    path: String,
    line: usize,
    rule: Rule,
    says: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {:?}: {}", self.path, self.line, self.rule, self.says)
    }
}

/// A rule's finding: line and what is wrong.
type Found = (usize, String);

type Check = fn(&Source) -> Vec<Found>;

const RULES: [(Rule, Check); 8] = [
    (Rule::Head, head),
    (Rule::FileLength, file_length),
    (Rule::Name, name),
    (Rule::Import, import),
    (Rule::Thinking, thinking),
    (Rule::Unreachable, unreachable_without_reason),
    (Rule::Reader, reader),
    (Rule::Waiting, waiting),
];

/// The room that a file of the daemon belongs to; `None` for the load tool and the benches.
fn room(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    inside.strip_prefix("core/").unwrap_or(inside).split('/').next().map(|first| first.trim_end_matches(".rs"))
}

/// Whether the file's crate does no I/O: its manifest must list anything that does.
fn thinks(path: &str) -> bool {
    ["src/core/", "src/smpp/"].iter().any(|folder| path.starts_with(folder))
}

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(floor, _)| *floor)
}

fn head(file: &Source) -> Vec<Found> {
    let says = || (1, "begins without a `//!` that says what it knows and what it refuses to know".to_owned());
    if file.text.starts_with("//!") { Vec::new() } else { vec![says()] }
}

fn file_length(file: &Source) -> Vec<Found> {
    let lines = file.text.lines().count();
    let too_long = lines > FILE_LINES_MAX;
    too_long.then(|| (lines, format!("{lines} lines, at most {FILE_LINES_MAX}"))).into_iter().collect()
}

fn name(file: &Source) -> Vec<Found> {
    let of_path = file.path.split('/').map(|part| (1, part.split('.').next().unwrap_or(part)));
    let of_modules = file.find("mod").map(|at| {
        let rest = file.code[at + 3..].trim_start();
        (file.line(at), rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or(rest))
    });
    let banned = ["util", "utils", "helper", "helpers", "common", "misc", "manager", "managers"];
    let is_banned = |name: &str| name.split('_').any(|word| banned.contains(&word));
    let found = of_path.chain(of_modules).filter(|(_, name)| is_banned(name));
    found.map(|(line, name)| (line, format!("`{name}` names no subject"))).collect()
}

fn import(file: &Source) -> Vec<Found> {
    let Some(own) = room(&file.path) else { return Vec::new() };
    let Some(height) = floor(own) else { return vec![(1, format!("room `{own}` is on no floor"))] };
    let mut found = Vec::new();
    let rooms = ["crate", "stentor_core"].into_iter().flat_map(|name| file.paths(name)).filter(|_| own != "smpp");
    for (at, path) in rooms {
        let target = path.split("::").next().unwrap_or_default();
        let is_below = floor(target).is_none_or(|other| other < height) || SIDEWAYS.contains(&(own, target));
        // Tests may import `node`, which drives them like the daemon, and the second world `sim`.
        let is_second_world = ["sim", "node"].contains(&target) && file.is_test(at);
        if target != own && !is_below && !is_second_world {
            found.push((file.line(at), format!("`{own}` imports {path}, which is not below it")));
        }
    }
    if SPEECHLESS.contains(&own) && !SPEAKERS.iter().any(|folder| file.path.starts_with(folder)) {
        let spoken = file.paths("stentor_smpp").into_iter();
        found.extend(spoken.map(|(at, path)| {
            (file.line(at), format!("`{own}` imports stentor_smpp::{path}: it knows carriers by the words of `model`"))
        }));
    }
    let inside = file.path.trim_end_matches("/mod.rs").replace("src/core/", "src/").split('/').count() - 1;
    for at in file.find("super") {
        let climbed = file.code[at..].split("::").take_while(|part| part.trim() == "super").count();
        if climbed >= inside
            && !file.is_test(at)
            && !file.code[..at].ends_with("::")
            && !file.code[..at].ends_with("pub(")
        {
            found.push((file.line(at), "leaves its room by `super`; write `crate::` so that it is seen".to_owned()));
        }
    }
    found
}

fn thinking(file: &Source) -> Vec<Found> {
    if !thinks(&file.path) {
        return Vec::new();
    }
    let doing = ["fs", "net", "thread", "env", "time", "process"];
    let of_std = file
        .paths("std")
        .into_iter()
        .filter(|(_, path)| doing.iter().any(|room| path.split("::").next() == Some(room)));
    let mut found: Vec<Found> =
        of_std.map(|(at, path)| (file.line(at), format!("std::{path} in a crate that does no I/O"))).collect();
    let acts = ["glommio", "async", "await"].into_iter();
    let shares = ["thread_local", "static mut", "Mutex", "RwLock", "OnceLock", "LazyLock"].into_iter();
    let acts = acts.flat_map(|word| file.find(word).map(move |at| (at, word)));
    let shares = shares.flat_map(|word| file.find(word).map(move |at| (at, word))).filter(|&(at, _)| !file.is_test(at));
    found.extend(acts.chain(shares).map(|(at, word)| (file.line(at), format!("`{word}` in a crate that does no I/O"))));
    found
}

fn unreachable_without_reason(file: &Source) -> Vec<Found> {
    let found = file.find("unreachable!()").filter(|&at| !file.is_test(at)).map(|at| file.line(at));
    found.map(|line| (line, "`unreachable!` without why it cannot be reached".to_owned())).collect()
}

/// Rooms whose code runs on executors and talks to the outside world.
fn is_door(path: &str) -> bool {
    ["http", "egress", "webhook"].iter().any(|door| room(path) == Some(door))
}

fn reader(file: &Source) -> Vec<Found> {
    if !is_door(&file.path) && !["host", "runtime"].iter().any(|own| room(&file.path) == Some(own)) {
        return Vec::new();
    }
    let kernel = [
        "glommio::net",
        "rustix::net",
        "TcpStream",
        "UdpSocket",
        "UnixStream",
        "UnixDatagram",
        "libc::recv",
        "libc::read",
    ];
    let reads = ["poll_read", "poll_peek", "recv_from", "recv_with_flags", "recv_vectored"];
    let found = kernel.into_iter().chain(reads).flat_map(|word| file.find(word).map(move |at| (at, word)));
    let found = found.filter(|&(at, _)| !file.is_test(at));
    found.map(|(at, word)| (file.line(at), format!("`{word}`: read by host::net::Stream"))).collect()
}

fn waiting(file: &Source) -> Vec<Found> {
    if !is_door(&file.path) {
        return Vec::new();
    }
    let files = ["std::fs", "fs::", "File::open"].into_iter();
    let waits = files.chain(["to_socket_addrs", "thread::sleep", "thread::park", "process::Command"]);
    let found = waits.flat_map(|word| file.find(word).map(move |at| (at, word)));
    let found = found.filter(|&(at, _)| !file.is_test(at));
    found.map(|(at, word)| (file.line(at), format!("`{word}` waits where an executor runs"))).collect()
}

fn breaches(file: &Source) -> Vec<Breach> {
    let found = RULES.iter().flat_map(|(rule, check)| check(file).into_iter().map(move |found| (*rule, found)));
    found.map(|(rule, (line, says))| Breach { path: file.path.clone(), line, rule, says }).collect()
}

/// Whether `exception` covers `breach`.
fn covers(exception: &Exception, breach: &Breach) -> bool {
    exception.rule == breach.rule && breach.path.starts_with(exception.path) && breach.says.contains(exception.says)
}

/// Every breach that no exception covers, and every exception that covers none.
fn untidy(files: &[Source]) -> BTreeSet<Breach> {
    let all: Vec<Breach> = files.iter().flat_map(breaches).collect();
    let stale = EXCEPTIONS.iter().filter(|exception| !all.iter().any(|breach| covers(exception, breach)));
    let stale: Vec<Breach> = stale
        .map(|exception| {
            let says = format!("nothing in {} needs this exception any more: {}", exception.path, exception.reason);
            Breach { path: "src/tidy.rs".to_owned(), line: 0, rule: exception.rule, says }
        })
        .collect();
    let left = all.into_iter().filter(|breach| !EXCEPTIONS.iter().any(|exception| covers(exception, breach)));
    left.chain(stale).collect()
}

fn read_below(root: &Path, folder: &str, out: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else { return };
    for entry in entries.flatten() {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read_below(root, &path, out);
        } else if path.ends_with(".rs") {
            let text = std::fs::read_to_string(entry.path()).expect("a source file can be read");
            out.push(Source::new(&path, &text));
        }
    }
}

fn house(root: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    for folder in ["src", "loadtest/src", "loadtest/tests", "benches"] {
        read_below(root, folder, &mut files);
    }
    files
}

/// The links of a page that lead to files of the repository.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let here = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    here.map(|target| target.split('#').next().unwrap_or(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_somewhere() {
        assert_eq!(links("[a](b.md#c) [d](https://e/f) [g](#h)").collect::<Vec<_>>(), ["b.md"]);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut broken = Vec::new();
        for folder in ["", "docs", "docs/adr", "docs/errors", "loadtest"] {
            for entry in std::fs::read_dir(root.join(folder)).expect("a folder of documents").flatten() {
                if entry.path().extension().is_some_and(|extension| extension == "md") {
                    let page = std::fs::read_to_string(entry.path()).expect("a page can be read");
                    let lost = links(&page).filter(|target| !root.join(folder).join(target).exists());
                    broken.extend(lost.map(|target| format!("{folder}/{:?} → {target}", entry.file_name())));
                }
            }
        }
        assert!(broken.is_empty(), "{broken:#?}");
    }

    #[test]
    fn the_house_is_tidy() {
        let files = house(Path::new(env!("CARGO_MANIFEST_DIR")));
        assert!(files.len() > 100, "only {} files found", files.len());
        let untidy = untidy(&files);
        let list: Vec<_> = untidy.iter().map(ToString::to_string).collect();
        assert!(list.is_empty(), "{} breaches:\n{}", list.len(), list.join("\n"));
    }

    /// Only the shard itself wires its machines together.
    #[test]
    fn files_of_a_shard_import_only_what_lies_below_them() {
        let files = house(Path::new(env!("CARGO_MANIFEST_DIR")));
        assert_eq!(circles::circles(&files, "src/core/shard/"), [] as [&str; 0]);
    }

    /// See the head of `node/mod.rs`.
    #[test]
    fn only_a_node_asks_shards_and_links_what_they_want_done() {
        let files = house(Path::new(env!("CARGO_MANIFEST_DIR")));
        let says = |file: &Source, words: &[&str]| words.iter().any(|word| file.find(word).any(|at| !file.is_test(at)));
        let asks = files.iter().filter(|file| {
            says(file, &["Shard", "Link"]) && says(file, &[".poll_commit(", ".poll_read(", ".poll_effect("])
        });
        assert_eq!(asks.map(|file| file.path.as_str()).collect::<Vec<_>>(), ["src/core/node/mod.rs"]);
    }

    #[test]
    fn every_invariant_bites() {
        let (toothless, all) = invariants::toothless(&house(Path::new(env!("CARGO_MANIFEST_DIR"))));
        println!("{} of {all} invariants bite", all - toothless.len());
        assert!(toothless.is_empty(), "{} of {all}:\n{}", toothless.len(), toothless.join("\n"));
    }

    /// The rules that a file breaks, apart from the missing head.
    fn check(path: &str, text: &str, expected: &[Rule]) {
        let source = Source::new(path, &format!("//! Head.\n{text}"));
        let rules: Vec<_> = breaches(&source).into_iter().map(|breach| breach.rule).collect();
        assert_eq!(rules, expected, "{path}: {text}");
    }

    #[test]
    fn heads() {
        check("src/core/model/a.rs", "", &[]);
        assert_eq!(breaches(&Source::new("src/core/model/a.rs", "use x;\n"))[0].rule, Rule::Head);
    }

    #[test]
    fn lengths() {
        check("src/core/model/a.rs", &"\n".repeat(FILE_LINES_MAX - 1), &[]);
        check("src/core/model/a.rs", &"\n".repeat(FILE_LINES_MAX), &[Rule::FileLength]);
        check("src/core/model/a.rs", &format!("const T: [u8; 1] = [{}1];", "\n".repeat(100)), &[]);
    }

    #[test]
    fn names() {
        check("src/core/model/utils.rs", "", &[Rule::Name]);
        check("src/core/model/misc/a.rs", "", &[Rule::Name]);
        check("src/core/model/a.rs", "mod http_helpers;", &[Rule::Name]);
        check("src/core/model/a.rs", "mod commons_chamber;", &[]);
    }

    #[test]
    fn imports() {
        check("src/core/shard/a.rs", "use crate::{model::Wall, queue, store::{Key, Record}};", &[]);
        check("src/core/queue/a.rs", "use crate::{model::Wall, store::{Key, Record}};", &[Rule::Import, Rule::Import]);
        check("src/core/shard/a.rs", "fn f() -> stentor_core::link::Link {}", &[Rule::Import]);
        check("src/core/queue/a.rs", "use stentor_core::queue::Lane; // use stentor_core::shard", &[]);
        check("src/core/sim/a.rs", "use crate::{shard, link};", &[]);
        check("src/core/sim/a.rs", "use crate::http;", &[Rule::Import]);
        check("src/core/shard/a.rs", "use stentor_core::sim;", &[Rule::Import]);
        check("src/core/shard/a.rs", "#[cfg(test)]\nmod tests { use crate::{node, sim}; }", &[]);
        check("src/core/shard/a.rs", "use stentor_core::node::Node;", &[Rule::Import]);
        check("src/attic/a.rs", "", &[Rule::Import]);
        check("src/core/store/a.rs", "use stentor_smpp::status::CommandStatus;", &[Rule::Import]);
        check("src/core/link/smpp/a.rs", "use stentor_smpp::status::CommandStatus;", &[]);
        check("src/core/link/a.rs", "use stentor_smpp::status::CommandStatus;", &[Rule::Import]);
        check("src/core/link/a.rs", "use crate::shard::Shard;", &[Rule::Import]);
        check("src/core/node/a.rs", "use crate::{link::Link, shard::Shard};", &[]);
        check("src/smpp/a.rs", "use crate::split::Plan;", &[]);
        check("src/core/link/smpp/a.rs", "use stentor_smpp::status::CommandStatus;", &[]);
        check("src/core/shard/a.rs", "use super::b; pub(super) use c;", &[]);
        check("src/core/shard/a.rs", "use super::super::link;", &[Rule::Import]);
        check("src/core/shard/mod.rs", "use super::link;", &[Rule::Import]);
        check("src/cli/a.rs", "use crate::runtime; use stentor_core::sim;", &[]);
    }

    #[test]
    fn thinking_rooms() {
        check("src/core/shard/a.rs", "use std::{fmt, fs};", &[Rule::Thinking]);
        check("src/core/sim/a.rs", "let now = std::time::Instant::now();", &[Rule::Thinking]);
        check("src/core/link/a.rs", "async fn f() {}", &[Rule::Thinking]);
        check("src/core/store/a.rs", "use glommio::timer;", &[Rule::Thinking]);
        check("src/core/store/a.rs", "static LOCK: Mutex<u8> = x;", &[Rule::Thinking]);
        check("src/core/queue/a.rs", "/// async is `std::fs` and glommio\nfn asynchronous() {}", &[]);
        check("src/http/a.rs", "use std::{fs, net}; async fn f() {}", &[]);
        check("src/core/store/a_tests.rs", "static RULES: LazyLock<u8> = x;", &[]);
    }

    #[test]
    fn what_cannot_be_says_why() {
        check("src/http/a.rs", "fn f() { unreachable!() }", &[Rule::Unreachable]);
        check("src/http/a.rs", "fn f() { unreachable!(\"a ticket is answered once\") }", &[]);
        check("src/http/a_tests.rs", "fn f() { unreachable!() }", &[]);
    }

    #[test]
    fn bytes_come_in_by_one_reader() {
        check("src/http/a.rs", "fn f() { socket.poll_read(context, into) }", &[Rule::Reader]);
        check("src/runtime/a.rs", "use glommio::net::TcpListener;", &[Rule::Reader]);
        check("src/egress/a.rs", "use std::net::TcpStream;", &[Rule::Reader]);
        check("src/cli/a.rs", "use std::net::TcpStream;", &[]);
        check("src/http/a_tests.rs", "use std::net::TcpStream;", &[]);
    }

    #[test]
    fn doors_do_not_wait_for_files() {
        check("src/http/a.rs", "fn f() { std::thread::sleep(SECOND) }", &[Rule::Waiting]);
        check("src/egress/a.rs", "use std::fs;", &[Rule::Waiting]);
        check("src/egress/a.rs", "fn f() { (name, 0).to_socket_addrs() }", &[Rule::Waiting]);
        check("src/runtime/a.rs", "use std::fs;", &[]);
    }

    #[test]
    fn an_exception_that_nothing_needs_is_told() {
        let stale = untidy(&[]);
        assert_eq!(stale.len(), EXCEPTIONS.len());
        let used = untidy(&[Source::new("src/core/shard/a.rs", "//! Head.\nuse stentor_smpp::receipt_id::Dialect;")]);
        assert_eq!(used.len(), EXCEPTIONS.len() - 1);
    }
}
