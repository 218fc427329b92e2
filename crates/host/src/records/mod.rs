//! What was asked, kept on disk: one directory a container, one link a name.
//!
//! ```text
//!  containers/.new-<id>/   being made; its `creating` lock is held by whoever makes it
//!        │ rename (last)
//!        ▼
//!  containers/<id>/        complete      names/<name> ─► "<id>"  (a symbolic link: made exclusively, whole)
//!        │ rename (first)
//!        ▼
//!  trash/<id>              on its way out
//! ```
//!
//! Nothing here is synced: records of a machine that lost power may be gone, never half there.

mod builder;
mod document;
mod lookup;
mod name;
mod record;
mod staging;

pub(crate) use builder::{Builder, mark_as_built};
pub(crate) use document::write_file;
pub use document::{read_document, write_document};
pub use lookup::{find, identifiers};
pub(crate) use name::OPERATION_LOCK;
pub(crate) use name::clear_stale;
pub use name::{free, random_name, reserve};
pub use record::{RECORD_FILE, Record, SUMMARY_FILE};
pub(crate) use record::{StoredSummary, command, runtime_name};
pub use staging::{Staging, discard, quarantine};
pub(crate) use staging::{delete, empty_trash, entries, half_made, hide, is_being_made};
