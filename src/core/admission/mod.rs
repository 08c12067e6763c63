//! *Whether*: what a tenant may send, what a message may look like, how many may come in, and what a shard still has room
//! for. Doors ask before there is a frame, shards before there is a place in a queue; the answers are values, which each door
//! says in its own words. Knows no door, no carrier and no disk.
//!
//! At a door: [`Draft`] (what is wanted) → [`judge()`] (what is meant, by the rules of [`numbering`] and of a [`Tenant`]) →
//! [`Printer`] (by what it is known again) → [`Intake`] (charged, and in frames).
//! At a shard: [`KeyWindow`] (was it taken before?), [`Gate`] (is it taken now?), [`Places`] (whose messages wait). Both share
//! out what there is by [`Shares`].

pub mod draft;
pub mod gate;
pub mod intake;
pub mod judge;
pub mod key_window;
pub mod meter;
pub mod numbering;
pub mod objection;
pub mod places;
pub mod prints;
pub mod sender;
pub mod shares;
pub mod tenant;

pub use draft::{Body, Draft, Expiry, TagList, TlvList};
pub use gate::{Allowance, Gate, Known};
pub use intake::{Intake, Outlook, Parcel, Place, Target};
pub use judge::{Defaults, Meant, Rules, judge, objections};
pub use key_window::{KeyWindow, Moment, Seen};
pub use meter::{Charge, Limit, Meter, Quota, Standing, UsedUp};
pub use objection::Objection;
pub use places::Places;
pub use prints::Printer;
pub use shares::{Over, Shares};
pub use tenant::{Tenant, TenantOptions};
