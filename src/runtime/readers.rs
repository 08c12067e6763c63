//! Tells shards how far readers of records have come, as control has published it, so that a record that is deleted at the end
//! of its retention without being read is reported. Knows where to find both; decides nothing.

use std::{collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use stentor_core::{
    control::{Entries, Kind},
    model::{Address, ShardId, TenantId},
    store::{
        control::{NumberRecord, ReadersRecord},
        fold::ReaderAt,
        record::decode,
    },
};

use super::{control::Published, core::Core};
use crate::host::executor::{self, OnPanic};

/// Time between two looks at what is published: what was confirmed meanwhile may be reported as unread, with no other effect.
const PERIOD: Duration = Duration::from_millis(250);

/// Tells the shards of one core, and again after each change, until the core ends. `known`: the positions at the start, which
/// shards must have before they may drop anything.
pub(super) fn attend(core: &Rc<Core>, known: &Entries, published: &Arc<Published>) {
    tell(core, known);
    executor::spawn(OnPanic::Abort, "readers", follow(Rc::clone(core), Arc::clone(published), known.version()));
}

async fn follow(core: Rc<Core>, published: Arc<Published>, known: u64) {
    let mut known = known;
    loop {
        let entries = published.get();
        if entries.changed(Kind::Readers) > known {
            tell(&core, &entries);
        }
        known = entries.version();
        executor::sleep(PERIOD).await;
    }
}

fn tell(core: &Core, entries: &Entries) {
    let (names, readers) = (names(entries), all(entries));
    let of_shard = |shard| readers.iter().flat_map(|(tenant, record)| of(shard, *tenant, record, &names)).collect();
    core.handle_readers(of_shard);
}

fn names(entries: &Entries) -> BTreeMap<TenantId, String> {
    let named = entries.iter(Kind::Tenant).filter_map(|(name, entry)| {
        let NumberRecord(number) = decode(&entry.value).ok()?;
        Some((TenantId(number.into()), String::from_utf8_lossy(name).into_owned()))
    });
    named.collect()
}

fn all(entries: &Entries) -> Vec<(TenantId, ReadersRecord)> {
    let readers = entries.iter(Kind::Readers).filter_map(|(key, entry)| {
        Some((TenantId(u32::from_be_bytes(key.try_into().ok()?)), decode(&entry.value).ok()?))
    });
    readers.collect()
}

fn of(
    shard: ShardId,
    tenant: TenantId,
    record: &ReadersRecord,
    names: &BTreeMap<TenantId, String>,
) -> impl Iterator<Item = ReaderAt> {
    record.0.iter().map(move |reader| {
        let name = match names.get(&tenant) {
            Some(tenant) => format!("reader {} of tenant {tenant}", reader.name),
            None => format!("reader {}", reader.name),
        };
        let at = reader.positions.get(usize::from(shard.0)).copied().map(Address::from_packed).unwrap_or_default();
        ReaderAt { tenant, name, at }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::readers::key;
    use stentor_core::{
        control::{Change, Control, ControlEvent, Names},
        store::{control::ReaderRecord, record::encode},
    };

    #[test]
    fn a_shard_is_told_of_all_tenants_readers_where_they_stand_in_it() {
        let mut control = Control::default();
        let reader = |name: &str| ReaderRecord { name: name.to_owned(), positions: vec![7, 9], confirmed_at: 1 };
        let put = |tenant, names: &[&str]| Change::Put {
            kind: Kind::Readers,
            key: key(TenantId(tenant)),
            value: encode(&ReadersRecord(names.iter().map(|name| reader(name)).collect())),
        };
        let changes = Names { tenants: vec!["acme".to_owned()], ..Names::default() }.changes();
        let changes = [changes, vec![put(0, &["x"]), put(1, &["a", "b"])]].concat();
        control.handle(ControlEvent::Change { ticket: 1, changes });
        let batch = control.poll_commit().expect("a batch");
        control.handle_committed(batch.record.version);
        let entries = control.published();
        let names = names(entries);
        let told: Vec<_> = all(entries)
            .iter()
            .flat_map(|(tenant, record)| of(ShardId(1), *tenant, record, &names).collect::<Vec<_>>())
            .collect();
        let at = |tenant, name: &str| ReaderAt {
            tenant: TenantId(tenant),
            name: name.to_owned(),
            at: Address::from_packed(9),
        };
        assert_eq!(told, [at(0, "reader x"), at(1, "reader a of tenant acme"), at(1, "reader b of tenant acme")]);
    }
}
