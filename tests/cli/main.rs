//! What a person sees: whole screens of the real program.

#![expect(clippy::unwrap_used, reason = "a failing step fails the test")]

mod ages;
mod artifacts;
mod choose;
mod crash;
mod devices;
mod documents;
mod errors;
mod files;
mod frozen;
mod hosts;
mod imagetools;
mod isolation;
mod layers;
mod lifecycle;
mod lists;
mod logins;
mod many;
mod networks;
mod newcomer;
mod places;
mod promises;
mod reference;
mod remote_lists;
mod removal;
mod scp;
mod security;
mod signatures;
mod storage;
mod store;
mod terminal;
mod users;
