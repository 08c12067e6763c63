//! The link's behaviour, subject by subject, in virtual time against server sessions.

mod asking;
mod receiving;
mod recovery;
mod sending;
mod sessions;
mod trial;
mod world;

mod hostile;
mod model;
