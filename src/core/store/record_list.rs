//! Records of lists: what a list is for, the messages in it, and how far it was taken; and of the delay queue.

use bincode::{Decode, Encode};

use crate::model::{Class, Lane, RouteId, SetNumber, TenantId};

use super::record::Record;

impl Record for ListRecord {
    const VERSION: u8 = 2;
}
impl Record for ReadyRecord {}

impl Record for DueRecord {
    const VERSION: u8 = 3;
}

/// A fifo's name: list, generation, kind.
pub type FifoCode = (u32, u8, u8);

/// `meta`: what a list is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ListRecord {
    /// Messages of a lane: class, route, the tenant (`None`: all tenants), and the set of counters.
    Lane(u8, u16, Option<u32>, u32),
}

impl ListRecord {
    /// The list in the shard's own type; `None` if the record is damaged.
    pub fn of(self) -> Option<Lane> {
        let Self::Lane(class, route, tenant, set) = self;
        let tenant = tenant.map_or(TenantId::SHARED, TenantId);
        Some(Lane { class: Class::from_index(class)?, route: RouteId(route), tenant, set: SetNumber(set) })
    }
}

impl From<Lane> for ListRecord {
    fn from(of: Lane) -> Self {
        let tenant = (of.tenant != TenantId::SHARED).then_some(of.tenant.0);
        Self::Lane(of.class as u8, of.route.0, tenant, of.set.0)
    }
}

/// `ready`: segment numbers with runs of slots, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ReadyRecord(pub Vec<(u64, Vec<(u16, u16)>)>);

/// An entry of the delay queue: packed address, class, route, tenant, set of counters, reason.
pub type DueCode = (u64, u8, u16, u32, u32, u8);

/// `due`: entries of the delay queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct DueRecord(pub Vec<DueCode>);

/// A fifo's head after a turn that moved it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TakenNote {
    /// The fifo's name.
    pub fifo: FifoCode,
    /// New head: commit.
    pub commit: u64,
    /// New head: index.
    pub index: u32,
    /// Messages taken by this turn.
    pub messages: u32,
}

/// A fifo in a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FifoNote {
    /// The fifo's name.
    pub fifo: FifoCode,
    /// Head: commit.
    pub commit: u64,
    /// Head: index.
    pub index: u32,
    /// Commit of its newest record.
    pub newest: u64,
    /// Messages waiting.
    pub waiting: u64,
}

#[cfg(test)]
mod tests {
    use crate::store::record::encode;

    use super::*;

    fn hex(bytes: Vec<u8>) -> String {
        data_encoding::HEXLOWER.encode(&bytes)
    }

    #[test]
    fn golden_bytes_of_lists() {
        let ready = ReadyRecord(vec![(5, vec![(0, 2)])]);
        assert_eq!(hex(encode(&ready)), "010100000000000000050000000000000001000000000000000000".to_owned() + "0200");
        let of = |tenant| Lane { class: Class::Otp, route: RouteId(3), tenant, set: SetNumber(5) };
        for (tenant, expected) in
            [(TenantId::SHARED, "02000000000103000005000000"), (TenantId(4), "0200000000010300010400000005000000")]
        {
            assert_eq!(hex(encode(&ListRecord::from(of(tenant)))), expected);
            assert_eq!(ListRecord::from(of(tenant)).of(), Some(of(tenant)));
        }
        assert_eq!(ListRecord::Lane(9, 1, None, 0).of(), None, "no such class");
    }
}
