//! Images out of archives and directories, and into them.
//!
//! ```text
//!  tar or directory ─► every file into the staging place, hashed ─► index.json?    OCI layout
//!                                                                └► manifest.json? docker-archive, dir
//! ```
//!
//! An archive is read once, front to back, so it may come from a pipe; which file is what is only known
//! at its end, where all formats keep their list.

mod directory;
mod docker;
mod files;
mod import;
pub(crate) mod layout;
mod load;
mod oci;
mod save;
mod select;
mod sink;
mod transport;

pub(crate) use docker::layer_type;
pub use import::{ImportOptions, import};
pub use load::{LoadOptions, Loaded, load, load_directory, load_transport};
pub use save::{ArchiveFormat, Destination, SaveOptions, save};
pub(crate) use select::{Chosen, choose};
pub use transport::{Selector, Transport};

use berth_contract::{Class, Error};

/// The full reference, where containerd and Docker keep it.
const FULL_NAME: &str = "io.containerd.image.name";
/// The tag alone, as image-spec wants it, or a full reference.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(Class::Invalid, "cannot load the archive").caused_by(reason.into())
}
