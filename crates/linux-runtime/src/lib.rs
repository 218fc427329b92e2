//! An OCI runtime-spec in, a running native guest out.

#![forbid(unsafe_code)]

mod capability;
pub mod defaults;
mod filter;
mod options;
