//! The images on this machine.
//!
//! ```text
//!  DATA/ (0700)
//!    oci/               a valid OCI image layout that other tools can read
//!      oci-layout
//!      index.json       names → manifests and indexes; replaced atomically under index.lock
//!      blobs/sha256/    manifests, configs, layers as they were received
//!    layers/<chain>/    one extracted directory per chain id, shared by all images and containers
//!    layers/<chain>.size  bytes of its files, for listings
//!    layers/empty/      the lower directory of images without layers
//!    ingest/            *.partial downloads, half-made layers, unsynced-* marks
//!    trash/             renamed here, then deleted
//!    images.lock        shared: content is being added or relied upon; exclusive: collecting garbage
//! ```
//!
//! Visible means complete. The order of a commit is: everything into `ingest`, one `syncfs`, then the
//! renames (layers, blobs, configs, manifests), then `index.json`. A manifest that is there has
//! everything it names. What a builder makes is renamed before it is synced: `unsynced.rs`. Two writers of one thing are no conflict: whoever renames second drops theirs.

mod artifact_files;
mod artifacts;
mod blobs;
mod check;
mod collect;
mod forest;
mod graph;
mod images;
mod index;
mod lists;
mod owners;
mod platforms;
mod rebuild;
mod remove;
mod repository;
mod spool;
mod survey;
mod transaction;
mod unsynced;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::file::Directory;

pub use artifact_files::{ArtifactFile, ArtifactWish};
pub(crate) use artifacts::is_listed;
pub use artifacts::{Artifact, ArtifactListing};
pub(crate) use blobs::{digest_of, digest_of_reader, sha256, sha512};
pub use check::{CheckOptions, Finding};
pub(crate) use collect::Deletion;
pub use collect::Usage;
pub use forest::{Leaf, Tree};
pub(crate) use graph::Graph;
pub(crate) use images::Found;
pub use images::Listing;
pub(crate) use index::{is_named, name_of, no_such_image, replace_target};
pub use lists::{BareList, Named};
pub use remove::{Containers, NoContainers, Removed, Use};
pub use survey::{ImageUsage, Survey};
pub(crate) use transaction::{Partial, Transaction};
pub(crate) use unsynced::Unsynced;

/// The images on this machine.
#[derive(Debug, Clone)]
pub struct Store {
    data: PathBuf,
}

/// Keeps every image and layer from being collected while it lives.
#[derive(Debug)]
pub struct Hold {
    /// None where nobody can write, and nobody could lock anything before.
    _lock: Option<File>,
}

impl Store {
    /// The store beneath this data directory. Nothing is read or made yet.
    #[must_use]
    pub fn open(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
        }
    }

    /// Holds on to the content: take it before looking an image up, keep it until a record that counts
    /// as a root (a container, a name) is written.
    ///
    /// # Errors
    /// The data directory cannot be made or written.
    pub fn hold(&self) -> Result<Hold> {
        self.prepare()?;
        let path = self.data.join("images.lock");
        let lock = match open_lock(&path) {
            // Whoever could take something away would need it too.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => None,
            opened => Some(opened.explain(|| format!("cannot open {}", path.display()))?),
        };
        if let Some(lock) = &lock {
            lock.lock_shared()
                .explain(|| "cannot lock the image store".into())?;
        }
        Ok(Hold { _lock: lock })
    }

    /// Makes the directories; the root is 0700 so that setuid files in layers are out of reach for
    /// other users of the host (CVE-2021-41103, CVE-2021-41091).
    pub(crate) fn prepare(&self) -> Result<()> {
        if self.data.join("oci/oci-layout").exists() {
            return Ok(());
        }
        let cannot = |path: &Path| format!("cannot make {}", path.display());
        let directories = ["", "oci/blobs/sha256", "layers/empty", "ingest", "trash"];
        for directory in directories {
            let path = self.data.join(directory);
            make_directories(&path).explain(|| cannot(&path))?;
        }
        // It is the root directory that containers of such images see.
        let empty = self.empty_layer();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&empty, open).explain(|| cannot(&empty))?;
        self.begin_index()?;
        let layout = self.data.join("oci/oci-layout");
        std::fs::write(&layout, br#"{"imageLayoutVersion":"1.0.0"}"#).explain(|| cannot(&layout))
    }

    /// Where a blob lies, whether it exists or not.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.data
            .join("oci/blobs")
            .join(digest.algorithm())
            .join(digest.hex())
    }

    /// Where a layer lies, whether it exists or not.
    pub(crate) fn layer_path(&self, chain: &Digest) -> PathBuf {
        self.data.join("layers").join(chain.hex())
    }

    /// The lower directory of images without layers.
    pub(crate) fn empty_layer(&self) -> PathBuf {
        self.data.join("layers/empty")
    }

    /// A path beneath the data directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    pub(crate) fn directory(&self, name: &str) -> Result<Directory> {
        let path = self.data.join(name);
        Directory::open(&path).explain(|| format!("cannot open {}", path.display()))
    }

    fn lock_file(&self, name: &str) -> Result<File> {
        let path = self.data.join(name);
        open_lock(&path).explain(|| format!("cannot open {}", path.display()))
    }

    /// Moves something damaged out of the way and says where it went.
    pub(crate) fn quarantine(&self, path: &Path, what: &str) -> Error {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".damaged");
        let aside = self.data.join("ingest").join(
            Path::new(&aside)
                .file_name()
                .unwrap_or(OsStr::new("damaged")),
        );
        let note = match std::fs::rename(path, &aside) {
            Ok(()) => format!("it was set aside as {}", aside.display()),
            Err(error) => format!("it could not be set aside: {error}"),
        };
        Error::new(Class::Internal, format!("{what} is damaged")).caused_by(note)
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        // Where nothing can be written, a lock that is there may be held all the same.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            File::open(path).or(Err(error))
        }
        opened => opened,
    }
}

/// `mkdir -p` with mode 0700.
fn make_directories(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Chain ids from diff ids, bottom first: the first is the diff id itself, each further one the digest of
/// the chain below and the diff id (image-spec `config.md`).
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let chain = match chains.last() {
            Some(below) => sha256(format!("{below} {diff_id}").as_bytes()),
            None => diff_id.clone(),
        };
        chains.push(chain);
    }
    chains
}

/// Bytes of a layer's files as recorded when it was extracted.
#[must_use]
pub fn layer_size(layer: &Path) -> u64 {
    let mut record = layer.as_os_str().to_owned();
    record.push(".size");
    std::fs::read_to_string(record)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}
