//! Records of lists: what a list is for, the messages in it, and how far it was taken.

use bincode::{Decode, Encode};

use crate::model::{Class, Lane, RouteId, TenantId};

use super::record::Record;

impl Record for ListRecord {}
impl Record for ReadyRecord {}

/// A fifo's name: list, generation, kind.
pub type FifoCode = (u32, u8, u8);

/// `meta`: what a list is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ListRecord {
    /// Messages of a lane: class, route, and the tenant (`None`: all tenants).
    Lane(u8, u16, Option<u32>),
}

impl ListRecord {
    /// The list in the shard's own type; `None` if the record is damaged.
    pub fn of(self) -> Option<Lane> {
        let Self::Lane(class, route, tenant) = self;
        let tenant = tenant.map_or(TenantId::SHARED, TenantId);
        Some(Lane { class: Class::from_index(class)?, route: RouteId(route), tenant })
    }
}

impl From<Lane> for ListRecord {
    fn from(of: Lane) -> Self {
        let tenant = (of.tenant != TenantId::SHARED).then_some(of.tenant.0);
        Self::Lane(of.class as u8, of.route.0, tenant)
    }
}

/// `ready`: segment numbers with runs of slots, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ReadyRecord(pub Vec<(u64, Vec<(u16, u16)>)>);

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
        let of = |tenant| Lane { class: Class::Otp, route: RouteId(3), tenant };
        for (tenant, expected) in
            [(TenantId::SHARED, "010000000001030000"), (TenantId(4), "01000000000103000104000000")]
        {
            assert_eq!(hex(encode(&ListRecord::from(of(tenant)))), expected);
            assert_eq!(ListRecord::from(of(tenant)).of(), Some(of(tenant)));
        }
        assert_eq!(ListRecord::Lane(9, 1, None).of(), None, "no such class");
    }
}
