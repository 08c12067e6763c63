//! *Whether*: what a tenant may send, what a message may look like, how many may come in, and what a shard still has
//! room for. Doors ask before they make a frame, shards before they give a place in the queue. The answers are values,
//! which each door puts into its own words. Knows no door, no carrier and no disk.
//!
//! At a door: [`Draft`] (what the client wants) → [`judge()`] (an accepted message, by the rules of [`numbering`] and
//! of a [`Tenant`]) → [`Printer`] (its fingerprint) → [`Intake`] (charged, and in frames).
//! At a shard: [`KeyWindow`] (was it taken before?), [`Gate`] (is it taken now?), [`Places`] (how many messages of each
//! tenant wait). `KeyWindow` and `Places` share out what they have by [`Shares`].

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
pub mod recipients;
pub mod sender;
pub mod shares;
pub mod tenant;

pub use draft::{Body, Draft, Expiry, TagList, TlvList};
pub use gate::{Allowance, Gate, Known};
pub use intake::{Intake, Outlook, Parcel, Place, Target};
pub use judge::{Defaults, Meant, Rules, judge, objections};
pub use key_window::{KeyWindow, Moment, Seen};
pub use meter::{Charge, Limit, Meter, Quota, Standing, Standings, UsedUp};
pub use objection::Objection;
pub use places::Places;
pub use prints::Printer;
pub use recipients::{NumberList, Recipients};
pub use shares::{Over, Shares};
pub use tenant::{Tenant, TenantOptions};
