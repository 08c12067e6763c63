//! *Whether*: exact dedup within its window, the queue's limit and each tenant's share of it, and time that is already up.
//! What a number or a text may look like was checked at the door, with the rules of [`numbering`]. Knows no carrier and no
//! disk.

pub mod key_window;
pub mod numbering;
pub mod shares;

pub use key_window::{KeyWindow, Seen};
pub use shares::{Over, Shares};
