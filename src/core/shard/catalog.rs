//! What is not per recipient, as every core sees it: immutable, versioned, replaced whole.

use crate::model::{CarrierId, GroupId, LinkId, RouteId, ShardId};
use crate::routing::RouteTable;
use stentor_smpp::coding::DefaultAlphabet;
use stentor_smpp::receipt_id::Dialect;

/// Routes and carriers, under the version of control that holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Grows with each change.
    pub version: u64,
    /// Where messages go.
    pub routes: RouteTable,
    /// Carriers by number.
    pub carriers: Vec<CatalogCarrier>,
    /// Cores that run shards, by shard number.
    pub shard_cores: Vec<u8>,
}

/// A carrier as shards need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogCarrier {
    /// Its number.
    pub id: CarrierId,
    /// Its name.
    pub name: String,
    /// Receipts are matched within this group.
    pub group: GroupId,
    /// How it writes ids, as far as it was told.
    pub dialect: Dialect,
    /// The numbers in its receipts say of no message that it is another's.
    pub is_number_ignored: bool,
    /// It sends no receipts, and is asked instead.
    pub is_queried: bool,
    /// The core of its one link; `None`: a link on every core.
    pub home: Option<u8>,
    /// What data_coding 0 means in what it delivers.
    pub default_alphabet: DefaultAlphabet,
}

impl Catalog {
    /// Where a shard runs.
    pub fn core_of(&self, shard: ShardId) -> u8 {
        self.shard_cores.get(usize::from(shard.0)).copied().unwrap_or_default()
    }

    /// The links that are a shard's own, each with the routes that lead over it: its core's, or the carrier's only one.
    pub fn links_of(&self, shard: ShardId) -> Vec<(LinkId, Vec<RouteId>)> {
        let own_core = self.core_of(shard);
        self.carriers
            .iter()
            .map(|carrier| {
                let link = LinkId { carrier: carrier.id, core: carrier.home.unwrap_or(own_core) };
                (link, self.routes.over(carrier.id))
            })
            .filter(|(_, routes)| !routes.is_empty())
            .collect()
    }

    /// The first carrier of a group, by which what came in over the group is told.
    pub fn carrier_of(&self, group: GroupId) -> Option<&CatalogCarrier> {
        self.carriers.iter().find(|carrier| carrier.group == group)
    }

    /// Whether a carrier is asked what became of its messages.
    pub fn is_queried(&self, id: CarrierId) -> bool {
        self.carriers.iter().any(|carrier| carrier.id == id && carrier.is_queried)
    }

    /// A carrier's name, for people.
    pub fn carrier_name(&self, id: CarrierId) -> Option<&str> {
        self.carriers.iter().find(|carrier| carrier.id == id).map(|carrier| carrier.name.as_str())
    }
}
