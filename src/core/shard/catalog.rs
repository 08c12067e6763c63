//! Routes and carriers as every core sees them: immutable, versioned, replaced as a whole.

use std::sync::Arc;

use crate::admission::numbering::Numbering;
use crate::limit::LimitTable;
use crate::model::{CarrierId, GroupId, LinkId, RouteId, ShardId};
use crate::routing::RouteTable;
use stentor_smpp::coding::DefaultAlphabet;
use stentor_smpp::receipt_id::Dialect;

/// Routes and carriers, with their version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Grows with each change.
    pub version: u64,
    /// The routing rules.
    pub routes: RouteTable,
    /// All carriers.
    pub carriers: Vec<CatalogCarrier>,
    /// The core of each shard, by shard number.
    pub shard_cores: Vec<u8>,
    /// All limits.
    pub limits: Arc<LimitTable>,
    /// Finds the country of a recipient; only if there are limits.
    pub numbering: Option<Arc<Numbering>>,
}

/// A carrier as shards need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogCarrier {
    pub id: CarrierId,
    pub name: String,
    /// Receipts are matched by id within this group of carriers.
    pub group: GroupId,
    /// How it writes ids in receipts, as far as the configuration says.
    pub dialect: Dialect,
    /// `dialect.number = "ignore"`: a receipt whose numbers differ may still be about the part.
    pub is_number_ignored: bool,
    /// It sends no receipts; its link queries it instead.
    pub is_queried: bool,
    /// The core of its only link; `None` if it has a link on every core.
    pub home: Option<u8>,
    /// The alphabet that data_coding 0 means in what it delivers.
    pub default_alphabet: DefaultAlphabet,
}

impl Catalog {
    /// The core on which a shard runs.
    pub fn core_of(&self, shard: ShardId) -> u8 {
        self.shard_cores.get(usize::from(shard.0)).copied().unwrap_or_default()
    }

    /// A shard's own links, each with the routes that lead over it: the link on the shard's core, or the carrier's only one.
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

    /// The first carrier of a group; its name stands for the group in what is shown.
    pub fn carrier_of(&self, group: GroupId) -> Option<&CatalogCarrier> {
        self.carriers.iter().find(|carrier| carrier.group == group)
    }

    /// Whether a carrier is queried about its messages because it sends no receipts.
    pub fn is_queried(&self, id: CarrierId) -> bool {
        self.carriers.iter().any(|carrier| carrier.id == id && carrier.is_queried)
    }

    /// A carrier's name, for people; `None` if the catalog does not have it.
    pub fn carrier_name(&self, id: CarrierId) -> Option<&str> {
        self.carriers.iter().find(|carrier| carrier.id == id).map(|carrier| carrier.name.as_str())
    }
}
