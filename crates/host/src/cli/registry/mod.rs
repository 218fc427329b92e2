//! The verbs about registries, and what they have in common.

mod access;
mod login;
mod prompt;
mod push;
mod search;
mod sending;
mod serve;
mod signatures;

pub(crate) use access::{RegistryFlags, access, proxy_variables};
pub(crate) use login::{LOGIN, LOGOUT};
pub(crate) use push::{Push, VERB as PUSH};
pub(crate) use search::VERB as SEARCH;
pub(crate) use sending::{Part, Sending, document_style};
pub(crate) use serve::VERB as SERVE;
pub(crate) use signatures::SignatureFlags;
