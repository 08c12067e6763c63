//! The words of the domain and their limits. No behaviour beyond parsing and packing: decisions, memory and transport
//! are on higher floors. Reads no clock and no disk; chance only as an argument ([`Prng`], [`Buggify`]).

pub mod buggify;
pub mod calendar;
pub mod carrier_error;
pub mod class;
pub mod content;
pub mod disk;
pub mod ids;
pub mod inboxes;
pub mod invariant;
pub mod limits;
pub mod map;
pub mod message;
pub mod message_id;
pub mod msisdn;
pub mod nearest;
pub mod numbers;
pub mod pieces;
pub mod prefix;
pub mod prng;
pub mod quoted;
pub mod reason;
pub mod receipt_state;
pub mod segment;
pub mod sender;
pub mod state;
pub mod time;
pub mod zone;

pub use buggify::{Buggify, Point};
pub use calendar::Period;
pub use carrier_error::{CarrierError, ErrorFamily, ErrorOrigin, ErrorText};
pub use class::Class;
pub use content::{Coding, Content, Encoding, NotContent};
pub use disk::DiskRoom;
pub use ids::{
    Address, CarrierId, Country, GroupId, Lane, LimitId, LinkId, NodeId, RouteId, SetNumber, ShardId, TenantId, Whose,
};
pub use inboxes::Inboxes;
pub use invariant::holds;
pub use invariant::{Broken, Sound, WALKED_MAX};
pub use map::{Map, map};
pub use message::{Frame, Head, KeyPrint, Line, ReplyTo};
pub use message_id::MessageId;
pub use msisdn::{Msisdn, Tail};
pub use nearest::nearest;
pub use numbers::{Agreement, Numbers};
pub use pieces::Pieces;
pub use prefix::{Beginnings, Prefix};
pub use prng::Prng;
pub use quoted::{Clipped, Quoted};
pub use reason::{DeadLetterReason, Refusal};
pub use receipt_state::ReceiptState;
pub use segment::Segment;
pub use sender::SenderId;
pub use state::MessageState;
pub use time::{Mono, Now, Wall};
pub use zone::Zone;
