//! Tests of control over a store in memory.

use crate::model::Wall;
use crate::store::Backend;
use crate::store::control::{EntryRecord, FoundControl, recover};
use crate::store::memory::{Drops, MemoryStore};

use super::*;

/// Control together with its store.
struct Bench {
    control: Control,
    store: MemoryStore,
    tickets: u64,
}

impl Bench {
    fn new(bounds: Bounds) -> Self {
        Self::over(MemoryStore::new(Drops::AtOnce), bounds)
    }

    fn over(store: MemoryStore, bounds: Bounds) -> Self {
        let control = Control::recover(recover(&store.reader()).expect("read"), bounds).expect("sound");
        Self { control, store, tickets: 0 }
    }

    /// A new process over what is durable.
    fn again(self) -> Self {
        Self::over(self.store, self.control.bounds)
    }

    fn ask(&mut self, changes: Vec<Change>) -> u64 {
        self.tickets += 1;
        self.control.handle(ControlEvent::Change { ticket: self.tickets, changes });
        self.tickets
    }

    fn commit(&mut self) -> Option<u64> {
        let batch = self.control.poll_commit()?;
        let version = batch.record.version;
        self.store.commit(batch.into_ops()).expect("committed");
        Some(version)
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.control.poll_effect()).collect()
    }

    /// Makes a request and commits it; gives its answer.
    fn settle(&mut self, changes: Vec<Change>) -> Result<u64, Refused> {
        let ticket = self.ask(changes);
        if let Some(version) = self.commit() {
            self.control.handle_committed(version);
        }
        match self.effects().pop() {
            Some(Effect::Reply(answered, result)) if answered == ticket => result,
            other => panic!("{other:?} instead of a reply"),
        }
    }
}

fn put(key: &str, value: &str) -> Change {
    Change::Put { kind: Kind::Configuration, key: key.into(), value: value.into() }
}

fn remove(key: &str) -> Change {
    Change::Remove { kind: Kind::Configuration, key: key.into() }
}

fn number(kind: Kind, name: &str) -> Change {
    Change::Number { kind, name: name.into() }
}

fn small() -> Bounds {
    Bounds { kinds: [Bound { entries: 3, bytes: 24 }; Kind::COUNT], all: Bound { entries: 5, bytes: 40 } }
}

/// Two routes and a setting are durable, and another setting is being committed; gives the number of the invariant that
/// `change` breaks.
fn breach(change: fn(&mut Control)) -> u8 {
    let mut bench = Bench::new(small());
    assert_eq!(bench.settle(vec![number(Kind::Route, "a"), number(Kind::Route, "b"), put("k", "v")]), Ok(1));
    bench.ask(vec![put("l", "w")]);
    bench.commit().expect("a batch");
    assert_eq!(bench.control.check(), Ok(()));
    change(&mut bench.control);
    bench.control.check().expect_err("a breach").number
}

#[test]
fn breaking_invariant_2_uses_a_version_again_or_leaves_one_out() {
    assert_eq!(breach(|control| control.decided.set_version(1)), 2);
    assert_eq!(breach(|control| control.decided.set_version(3)), 2);
    assert_eq!(breach(|control| control.under_way = None), 2);
    assert_eq!(breach(|control| Arc::make_mut(&mut control.published).set_version(2)), 2);
}

#[test]
fn breaking_invariant_4_gives_a_number_again_or_takes_one_away() {
    fn set(control: &mut Control, name: &str, to: Option<u16>) {
        control.decided.set(Kind::Route, name.as_bytes(), to.map(|number| names::numbered(number, 1)));
    }
    assert_eq!(breach(|control| set(control, "b", Some(1))), 4);
    assert_eq!(breach(|control| set(control, "b", Some(3))), 4);
    assert_eq!(breach(|control| set(control, "b", None)), 4);
    let exchanged = |control: &mut Control| {
        set(control, "a", Some(2));
        set(control, "b", Some(1));
    };
    assert_eq!(breach(exchanged), 4);
}

#[test]
fn breaking_invariant_5_holds_more_than_there_may_be() {
    fn set(control: &mut Control, key: &str, bytes: usize) {
        let entry = Entry { version: 1, value: vec![b'v'; bytes].into() };
        control.decided.set(Kind::Configuration, key.as_bytes(), Some(entry));
    }
    assert_eq!(breach(|control| set(control, "k", 24)), 5, "bytes");
    assert_eq!(breach(|control| ["x", "y"].iter().for_each(|key| set(control, key, 0))), 5, "entries");
}

#[test]
fn a_number_once_given_stays() {
    let mut bench = Bench::new(Bounds::default());
    let names = |routes: &[&str]| Names { routes: routes.iter().map(|&n| n.into()).collect(), ..Names::default() };
    assert_eq!(bench.settle(names(&["a", "b"]).changes()), Ok(1));
    assert_eq!(bench.settle(names(&["b"]).changes()), Ok(1), "nothing has changed");
    assert_eq!(bench.settle(names(&["c", "a", "c"]).changes()), Ok(2));
    let mut bench = bench.again();
    assert_eq!(bench.settle(vec![number(Kind::Tenant, "a")]), Ok(3));
    let entries = bench.control.published();
    assert_eq!(["a", "b", "c", "d"].map(|name| entries.route(name)), [Some(1), Some(2), Some(3), None]);
    assert_eq!((entries.tenant("a"), entries.tenant("b"), entries.version()), (Some(1), None, 3));
    assert_eq!(bench.settle(Names { limits: vec!["a".into()], ..Names::default() }.changes()), Ok(4));
    assert_eq!(bench.control.published().limit("a"), Some(1));
    for change in [put("k", "v"), remove("k")] {
        let wrong = match change {
            Change::Put { key, value, .. } => Change::Put { kind: Kind::Route, key, value },
            Change::Remove { .. } => Change::Remove { kind: Kind::Route, key: b"a".to_vec() },
            Change::Number { .. } | Change::Replace { .. } => continue,
        };
        assert_eq!(bench.settle(vec![wrong]), Err(Refused::Numbered(Kind::Route)));
    }
    let wrong = number(Kind::Configuration, "a");
    assert_eq!(bench.settle(vec![wrong]), Err(Refused::NotNumbered(Kind::Configuration)));
}

#[test]
fn who_decides_by_an_entry_is_refused_when_it_has_changed() {
    let mut bench = Bench::new(Bounds::default());
    let replace = |seen, value: Option<&str>| Change::Replace {
        kind: Kind::Readers,
        key: b"k".to_vec(),
        seen,
        value: value.map(Into::into),
    };
    let changed = Err(Refused::Changed(Kind::Readers));
    assert_eq!(bench.settle(vec![replace(1, Some("a"))]), changed, "there is no entry");
    assert_eq!(bench.settle(vec![replace(0, Some("a"))]), Ok(1));
    assert_eq!(bench.settle(vec![replace(0, Some("b"))]), changed);
    // Two callers have seen the same entry, before either change is durable.
    let (first, second) = (bench.ask(vec![replace(1, Some("b"))]), bench.ask(vec![replace(1, Some("c"))]));
    let version = bench.commit().expect("a batch");
    bench.control.handle_committed(version);
    let replies = [Effect::Reply(first, Ok(2)), Effect::Reply(second, changed)];
    assert_eq!(bench.effects()[1..], replies);
    let mut bench = bench.again();
    assert_eq!(bench.settle(vec![replace(1, None)]), changed);
    assert_eq!(bench.settle(vec![replace(2, None)]), Ok(3));
    assert_eq!(bench.control.published().len(Kind::Readers), 0);
    let wrong = Change::Replace { kind: Kind::Route, key: b"k".to_vec(), seen: 0, value: None };
    assert_eq!(bench.settle(vec![wrong]), Err(Refused::Numbered(Kind::Route)));
}

#[test]
fn nothing_is_said_before_it_is_durable() {
    let mut bench = Bench::new(Bounds::default());
    let first = bench.ask(vec![number(Kind::Route, "a")]);
    let version = bench.commit().expect("a batch");
    assert_eq!((bench.effects(), bench.control.published().version()), (vec![], 0));
    // The same name again while its number is being committed; then something new, which must wait for the next batch.
    let second = bench.ask(vec![number(Kind::Route, "a")]);
    let third = bench.ask(vec![put("k", "v")]);
    assert_eq!((bench.commit(), bench.effects()), (None, vec![]), "one batch at a time");
    bench.control.handle_committed(version);
    let published = Arc::clone(bench.control.published());
    assert_eq!((published.route("a"), published.get(Kind::Configuration, b"k")), (Some(1), None));
    let told = vec![Effect::Publish(published), Effect::Reply(first, Ok(1)), Effect::Reply(second, Ok(1))];
    assert_eq!(bench.effects(), told);
    assert!(!bench.control.is_idle());
    assert_eq!(bench.commit(), Some(2));
    bench.control.handle_committed(2);
    assert_eq!(bench.effects()[1..], [Effect::Reply(third, Ok(2))]);
    assert!(bench.control.is_idle());
}

#[test]
fn a_version_that_was_lost_with_a_crash_was_never_seen() {
    let mut bench = Bench::new(Bounds::default());
    assert_eq!(bench.settle(vec![put("k", "1")]), Ok(1));
    bench.ask(vec![put("k", "2")]);
    let lost = bench.control.poll_commit().expect("a batch");
    assert_eq!(lost.record.version, 2);
    let mut bench = bench.again();
    let entries = bench.control.published();
    assert_eq!((entries.version(), entries.get(Kind::Configuration, b"k").map(|entry| entry.version)), (1, Some(1)));
    assert_eq!(bench.settle(vec![put("k", "3")]), Ok(2));
}

#[test]
fn a_reader_of_versions_learns_of_removals() {
    let mut bench = Bench::new(Bounds::default());
    assert_eq!(bench.settle(vec![put("a", "1"), put("b", "1")]), Ok(1));
    assert_eq!(bench.settle(vec![put("a", "2")]), Ok(2));
    assert_eq!(bench.settle(vec![remove("b"), put("c", "1"), remove("none")]), Ok(3));
    assert_eq!(bench.settle(vec![number(Kind::Route, "r")]), Ok(4));
    assert_eq!(bench.settle(vec![remove("none")]), Ok(4));
    assert_eq!(bench.settle(vec![put("d", "1"), remove("d")]), Ok(5));
    let bench = bench.again();
    let entries = bench.control.published();
    assert_eq!((entries.changed(Kind::Configuration), entries.changed(Kind::Route)), (5, 4));
    assert_eq!((entries.changed(Kind::Tenant), entries.version()), (0, 5));
    let found: Vec<_> = entries.iter(Kind::Configuration).map(|(key, entry)| (key, entry.version)).collect();
    assert_eq!(found, [(&b"a"[..], 2), (b"c", 3)]);
    assert_eq!(recover(&bench.store.reader()).expect("read").entries.len(), 3, "a removal leaves nothing behind");
}

#[test]
fn a_request_is_applied_whole_or_not_at_all() {
    let mut bench = Bench::new(small());
    assert_eq!(bench.settle(vec![put("a", "1"), put("b", "1")]), Ok(1));
    let before = Arc::clone(bench.control.published());
    let wish = vec![put("a", "2"), remove("b"), put("b", "3"), number(Kind::Route, "r"), put("", "empty")];
    assert_eq!(bench.settle(wish), Err(Refused::Key(Kind::Configuration, 0)));
    assert_eq!(bench.commit(), None, "nothing of it was gathered");
    assert_eq!(bench.control.published(), &before);
    // A refused request next to one that is already gathered.
    bench.ask(vec![put("a", "4"), remove("b")]);
    bench.ask(vec![put("b", "5"), put("a", "6"), put("", "empty")]);
    assert_eq!(bench.commit(), Some(2));
    bench.control.handle_committed(2);
    let bench = bench.again();
    let found: Vec<_> = bench.control.published().iter(Kind::Configuration).collect();
    assert_eq!(found, [(&b"a"[..], &Entry { version: 2, value: b"4"[..].into() })]);
}

#[test]
fn every_bound_has_its_refusal() {
    let kind = Kind::Configuration;
    let mut bench = Bench::new(Bounds::default());
    let long = "k".repeat(KEY_BYTES_MAX + 1);
    assert_eq!(bench.settle(vec![put(&long, "")]), Err(Refused::Key(kind, KEY_BYTES_MAX + 1)));
    let large = "v".repeat(VALUE_BYTES_MAX + 1);
    assert_eq!(bench.settle(vec![put("k", &large)]), Err(Refused::Value(kind, VALUE_BYTES_MAX + 1)));
    let mut bench = Bench::new(small());
    assert_eq!(bench.settle(vec![put("a", &"v".repeat(24))]), Err(Refused::KindBytes(kind, 24)));
    assert_eq!(bench.settle(vec![put("a", ""), put("b", ""), put("c", "")]), Ok(1));
    assert_eq!(bench.settle(vec![put("d", "")]), Err(Refused::KindEntries(kind, 3)));
    assert_eq!(bench.settle(vec![put("a", "other")]), Ok(2), "no more than before");
    let routes = |names: [&str; 2]| names.iter().map(|name| number(Kind::Route, name)).collect::<Vec<_>>();
    assert_eq!(bench.settle(routes(["r", "s"])), Ok(3));
    assert_eq!(bench.settle(vec![number(Kind::Tenant, "t")]), Err(Refused::AllEntries(5)));
    assert_eq!(bench.settle(vec![remove("b"), number(Kind::Tenant, "t")]), Ok(4));
    // 24 bytes of the one setting, 8 of the routes and 4 of the tenant: 4 of 40 are left.
    assert_eq!(bench.settle(vec![remove("c"), put("a", &"v".repeat(23))]), Ok(5));
    assert_eq!(bench.settle(vec![number(Kind::Tenant, "long")]), Err(Refused::AllBytes(40)));
}

#[test]
fn what_a_start_finds_over_a_bound_stays_and_grows_no_more() {
    let mut bench = Bench::new(Bounds::default());
    let many: Vec<_> = ["a", "b", "c", "d"].iter().map(|key| put(key, "0123456789")).collect();
    assert_eq!(bench.settle(many), Ok(1));
    let mut bench = Bench::over(bench.store, small());
    assert_eq!(bench.settle(vec![put("e", "")]), Err(Refused::KindEntries(Kind::Configuration, 3)));
    assert_eq!(bench.settle(vec![put("a", "9876543210")]), Ok(2));
    assert_eq!(bench.settle(vec![put("a", "98765432100")]), Err(Refused::KindBytes(Kind::Configuration, 24)));
}

#[test]
fn numbers_end_at_sixteen_bits() {
    let mut bench = Bench::new(Bounds { all: Bound { entries: u32::MAX, bytes: u64::MAX }, ..Bounds::default() });
    let all = (1..=kind::NUMBERS_MAX).map(|name| number(Kind::Group, &name.to_string())).collect();
    assert_eq!(bench.settle(all), Ok(1));
    assert_eq!(bench.control.published().group("65535"), Some(u16::MAX));
    let over = bench.settle(vec![number(Kind::Group, "x")]).expect_err("full");
    assert_eq!(over, Refused::KindEntries(Kind::Group, 65_535));
    assert!(over.to_string().starts_with("groups: there are no more than 65535 numbers"), "{over}");
}

#[test]
fn damage_is_named() {
    let damage = |entries: &[(u8, &str, &[u8])]| {
        let entry = |&(kind, key, value): &(u8, &str, &[u8])| {
            (kind, key.as_bytes().to_vec(), EntryRecord { version: 1, value: value.to_vec() })
        };
        let found = FoundControl { entries: entries.iter().map(entry).collect(), ..FoundControl::default() };
        Control::recover(found, Bounds::default()).expect_err("damage").to_string()
    };
    assert_eq!(damage(&[(1, "a", &[1, 1, 0]), (1, "b", &[1, 1, 0])]), "control: routes: a and b both have number 1");
    assert_eq!(damage(&[(4, "a", &[1, 3, 0])]), "control: tenants: of 3 numbers 2 are missing");
    assert_eq!(damage(&[(2, "a", &[1, 0, 0])]), "control: carriers: a has no readable number");
    assert_eq!(damage(&[(2, "a\n", &[9])]), "control: carriers: a\\n has no readable number");
    assert_eq!(damage(&[(77, "a", &[])]), "control: entries of kind 77, which is unknown");
}

#[test]
fn a_configuration_that_is_applied_again_has_a_new_version() {
    let mut bench = Bench::new(Bounds::default());
    let versions = [7, 7, 3].map(|at| bench.settle(vec![applied(Wall(at))]));
    assert_eq!(versions, [Ok(1), Ok(2), Ok(3)]);
}

#[test]
fn a_backup_of_what_is_published_is_what_the_store_holds() {
    let mut bench = Bench::new(Bounds::default());
    assert_eq!(bench.settle(vec![number(Kind::Tenant, "t"), number(Kind::Route, "r"), put("k", "v")]), Ok(1));
    assert_eq!(bench.settle(vec![number(Kind::Route, "a"), remove("k")]), Ok(2));
    let stored: Vec<_> = bench.control.published().stored().collect();
    assert!(stored.is_sorted(), "by key");
    let mut copy = MemoryStore::new(Drops::AtOnce);
    let op = |space, (key, value)| crate::store::Op::Put { space, key, value };
    let entries = stored.into_iter().map(|entry| op(crate::store::Space::Entry, entry));
    let version = op(crate::store::Space::Meta, bench.control.published().stored_version());
    copy.commit(entries.chain([version]).collect()).expect("committed");
    assert_eq!(recover(&copy.reader()), recover(&bench.store.reader()));
    let copied = Control::recover(recover(&copy.reader()).expect("read"), Bounds::default()).expect("sound");
    assert_eq!(copied.published(), bench.control.published());
}
